//! What stands for Linux's buses and lines where there is no Linux: nothing but an answer that says so.

use std::io;
use std::path::Path;

use sedge_plugin::BusError;

use crate::i2c::I2cBus;
use crate::lines::{Chip, LineError, Lines, Output};

const REMEDY: &str = "this system has no such devices; use a bus with `kind = \"sim\"`";

/// A bus whose devices cannot be opened.
///
/// # Errors
/// When the system gives no more threads.
pub fn i2c_bus(path: &Path) -> io::Result<I2cBus> {
    let text = format!("{}: {REMEDY}", path.display());
    I2cBus::new("i2c", move |_| Err(BusError::Gone(text.clone().into())))
}

/// A chip whose lines cannot be claimed.
pub fn lines(path: &Path) -> Lines {
    Lines::new(Nothing(path.display().to_string()))
}

struct Nothing(String);

impl Chip for Nothing {
    fn output(&self, _: u32, _: bool, _: bool) -> Result<Box<dyn Output>, LineError> {
        Err(LineError::Gone(format!("{}: {REMEDY}", self.0)))
    }
}
