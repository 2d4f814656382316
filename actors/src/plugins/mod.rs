//! Plugins as supervised actors.
//!
//! | file | what it does |
//! |---|---|
//! | `spec` | what a node is told of a plugin |
//! | `order` | in which order they start, and which do not |
//! | `lifecycle` | the states of its life, as a pure machine |
//! | `keeper` | starts it, waits for its end, starts it again |
//! | `roll` | whether all keepers answer |
//! | `actor` | hands it one thing at a time, and watches how it takes it |
//! | `wiring` | what it subscribed to, with its type |
//! | `host` | what stands behind its context |

pub(crate) mod actor;
pub(crate) mod host;
pub(crate) mod keeper;
pub mod lifecycle;
pub(crate) mod order;
pub(crate) mod roll;
pub(crate) mod spec;
pub(crate) mod wiring;
