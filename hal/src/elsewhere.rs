//! What stands for Linux's buses and lines where there is no Linux: nothing but an answer that says so.

use std::io;
use std::path::Path;

use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::{BusError, Clock, FileDevice, I2cDevice, SpiDevice, SpiMode, Sysfs};

use crate::bus::{Adapter, Bus};
use crate::lines::{Chip, InputLine, InputOptions, LineError, Lines, Output};
use crate::pwm::{Channels, Modulate, PwmChip, PwmError, PwmOptions};

const REMEDY: &str = "this system has no such devices; use a bus with `kind = \"sim\"`";

/// How a bus would be used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct I2cOptions {
    /// How long a transfer may take.
    pub timeout: Duration,
    /// Whether the adapter may be reset.
    pub rebind: bool,
}

/// A bus whose devices cannot be opened.
///
/// # Errors
/// When the system gives no more threads.
pub fn i2c_bus(path: &Path, _: I2cOptions, clock: Arc<dyn Clock>) -> io::Result<Bus> {
    let text = format!("{}: {REMEDY}", path.display());
    Bus::new("i2c", clock, move || Missing(text.clone()))
}

/// A bus whose devices cannot be opened.
///
/// # Errors
/// When the system gives no more threads.
pub fn spi_bus(path: &Path, clock: Arc<dyn Clock>) -> io::Result<Bus> {
    i2c_bus(path, I2cOptions::default(), clock)
}

/// What a kernel of Linux would drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SysfsKind(());

impl SysfsKind {
    /// The kind that the config calls so.
    pub fn of(word: &str) -> Option<Self> {
        ["w1", "iio", "hwmon"].contains(&word).then_some(Self(()))
    }

    /// Where it would be shown.
    pub fn folder(self) -> &'static Path {
        Path::new("/sys")
    }
}

/// A bus whose devices cannot be opened.
///
/// # Errors
/// When the system gives no more threads.
pub fn sysfs_bus(_: &str, _: SysfsKind, folder: &Path, clock: Arc<dyn Clock>) -> io::Result<Bus> {
    i2c_bus(folder, I2cOptions::default(), clock)
}

struct Missing(String);

impl Adapter for Missing {
    fn i2c(&mut self, _: u8) -> Result<I2cDevice, BusError> {
        Err(BusError::Gone(self.0.clone().into()))
    }
    fn spi(&mut self, _: u8, _: SpiMode) -> Result<SpiDevice, BusError> {
        Err(BusError::Gone(self.0.clone().into()))
    }
    fn files(&mut self, _: Option<&str>, _: Sysfs) -> Result<FileDevice, BusError> {
        Err(BusError::Gone(self.0.clone().into()))
    }
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
    fn input(&self, _: u32, _: InputOptions) -> Result<InputLine, LineError> {
        Err(LineError::Gone(format!("{}: {REMEDY}", self.0)))
    }
}

/// A chip whose channels cannot be had.
pub fn pwm_chip(folder: &Path) -> PwmChip {
    PwmChip::new(Nothing(folder.display().to_string()))
}

impl Channels for Nothing {
    fn open(&self, _: u32, _: PwmOptions) -> Result<Box<dyn Modulate>, PwmError> {
        Err(PwmError::Gone(format!("{}: {REMEDY}", self.0)))
    }
}
