//! What drivers of several chips share. It must not know one chip.

pub(crate) mod chip;
pub(crate) mod climate;
pub(crate) mod expander;
pub(crate) mod ina2xx;
pub(crate) mod sensirion;
