//! Devices: what a driver holds of the hardware.
//!
//! An [`I2cDevice`] is an `embedded-hal` 1.0 bus that knows its device's address, a [`SpiDevice`] an `embedded-hal` SPI
//! device, so any driver crate takes them; a [`FileDevice`] is a folder of the kernel's. What stands behind one is
//! `/dev/i2c-1`, a simulation or a mock; the driver cannot tell.
//!
//! ```
//! use sedge_plugin::device::{I2cDevice, NoDelay};
//! use sedge_plugin::sim::{RegisterFile, Wire};
//! let chip = RegisterFile::new(&[(0x0F, &[0x01, 0x17])]);
//! let mut device = I2cDevice::new(0x48, Wire::to(0x48, chip), NoDelay);
//! assert_eq!(device.read_u16_be(0x0F).unwrap(), 0x0117);
//! ```
//!
//! It reaches one address and no other: a driver that tries gets [`BusError::NotGranted`].

use std::borrow::Cow;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, ErrorKind, NoAcknowledgeSource};
use embedded_hal::spi;

use crate::sim::{FileModel, I2cModel, SpiModel};

mod files;
mod i2c_device;
mod spi_device;

pub use files::{FileDevice, Files};
pub use i2c_device::{Granted, I2cDevice};
pub use spi_device::SpiDevice;

/// What a driver can hold: one of the three kinds of devices.
pub trait Device: sealed::Sealed + Send + 'static {
    /// What a simulation of such a device is.
    type Model: ?Sized + Send + 'static;
}

impl Device for I2cDevice {
    type Model = dyn I2cModel;
}

impl Device for SpiDevice {
    type Model = dyn SpiModel;
}

impl Device for FileDevice {
    type Model = dyn FileModel;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::I2cDevice {}
    impl Sealed for super::SpiDevice {}
    impl Sealed for super::FileDevice {}
}

/// What a bus says when a transfer fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// No device answered.
    #[error("no device answers (check the wiring, the supply and the address)")]
    NoAnswer,
    /// The kernel shows no such device. Says which there are.
    #[error("{0}")]
    Absent(Cow<'static, str>),
    /// The device stopped answering in the middle.
    #[error("the device refused a byte (a loose wire, or another device at this address)")]
    Refused,
    /// The transfer took too long.
    #[error(
        "the transfer timed out (a device holds the bus, a pull-up is missing, or nobody is there: some adapters cannot tell)"
    )]
    Timeout,
    /// Another master won the bus.
    #[error("another master took the bus")]
    Arbitration,
    /// A kernel driver owns the address.
    #[error(
        "a driver of the kernel owns the address (see `/sys/bus/i2c/devices`; unbind it, or read it through the kernel)"
    )]
    Busy,
    /// A transfer does not come back, not even from the kernel.
    #[error("a transfer on this bus hangs; its thread was left behind")]
    Hung,
    /// The driver spoke to an address other than its own.
    #[error("address {0:#04x} is not this device's")]
    NotGranted(u16),
    /// The bus itself is not there.
    #[error("{0}")]
    Gone(Cow<'static, str>),
    /// Anything else.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAnswer => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::Refused => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Self::Arbitration => ErrorKind::ArbitrationLoss,
            _ => ErrorKind::Other,
        }
    }
}

impl From<ErrorKind> for BusError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data) => Self::Refused,
            ErrorKind::NoAcknowledge(_) => Self::NoAnswer,
            ErrorKind::ArbitrationLoss => Self::Arbitration,
            ErrorKind::Bus => Self::Other("bus error (start or stop at the wrong time)".into()),
            ErrorKind::Overrun => Self::Other("overrun".into()),
            _ => Self::Other("bus error".into()),
        }
    }
}

impl spi::Error for BusError {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl From<spi::ErrorKind> for BusError {
    fn from(kind: spi::ErrorKind) -> Self {
        Self::Other(kind.to_string().into())
    }
}

/// Waits, on the thread of the bus.
pub struct Delay(Box<dyn DelayNs + Send>);

impl Delay {
    fn new(delay: impl DelayNs + Send + 'static) -> Self {
        Self(Box::new(delay))
    }
}

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        self.0.delay_ns(ns);
    }
    fn delay_us(&mut self, us: u32) {
        self.0.delay_us(us);
    }
    fn delay_ms(&mut self, ms: u32) {
        self.0.delay_ms(ms);
    }
}

/// Does not wait: for tests and simulations.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}
