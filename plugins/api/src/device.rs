//! Devices: what a driver holds of the hardware.
//!
//! An [`I2cDevice`] is an `embedded-hal` 1.0 bus that knows its device's address, so any driver crate takes it. What
//! stands behind it is `/dev/i2c-1`, a simulation or a mock; the driver cannot tell.
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
use embedded_hal::i2c::{self, ErrorKind, I2c, NoAcknowledgeSource, Operation};

/// What a bus says when a transfer fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// No device answered.
    #[error("no device answers (check the wiring, the supply and the address)")]
    NoAnswer,
    /// The device stopped answering in the middle.
    #[error("the device refused a byte (a loose wire, or another device at this address)")]
    Refused,
    /// The transfer took too long.
    #[error("the transfer timed out (a device holds the bus, or a pull-up is missing)")]
    Timeout,
    /// Another master won the bus.
    #[error("another master took the bus")]
    Arbitration,
    /// A kernel driver owns the address.
    #[error("the address is taken by a kernel driver")]
    Busy,
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

type Bus = Box<dyn I2c<Error = BusError> + Send>;

/// Waits, on the thread of the bus.
pub struct Delay(Box<dyn DelayNs + Send>);

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

/// One device on an I2C bus.
pub struct I2cDevice {
    address: u8,
    bus: Bus,
    delay: Delay,
}

impl I2cDevice {
    /// A device at `address` (7 bits) of `bus`.
    pub fn new<B>(address: u8, bus: B, delay: impl DelayNs + Send + 'static) -> Self
    where
        B: I2c + Send + 'static,
        B::Error: Into<BusError>,
    {
        Self { address, bus: Box::new(Mapped(bus)), delay: Delay(Box::new(delay)) }
    }

    /// Its address, 7 bits.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// Splits it into a bus and a delay, for driver crates that take both.
    pub fn split(self) -> (Granted, Delay) {
        (Granted { address: self.address, bus: self.bus }, self.delay)
    }

    /// Waits, blocking this bus alone. For more than 50 ms use [`Sensor::start`](crate::Sensor::start).
    pub fn delay_ms(&mut self, ms: u32) {
        self.delay.delay_ms(ms);
    }

    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BusError> {
        self.bus.write(self.address, bytes)
    }

    /// Reads bytes.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<(), BusError> {
        self.bus.read(self.address, buffer)
    }

    /// Writes, then reads without letting go of the bus.
    pub fn write_read(&mut self, bytes: &[u8], buffer: &mut [u8]) -> Result<(), BusError> {
        self.bus.write_read(self.address, bytes, buffer)
    }

    /// Reads an 8-bit register.
    pub fn read_u8(&mut self, register: u8) -> Result<u8, BusError> {
        let mut buffer = [0; 1];
        self.write_read(&[register], &mut buffer)?;
        Ok(buffer[0])
    }

    /// Reads a 16-bit register, high byte first.
    pub fn read_u16_be(&mut self, register: u8) -> Result<u16, BusError> {
        let mut buffer = [0; 2];
        self.write_read(&[register], &mut buffer)?;
        Ok(u16::from_be_bytes(buffer))
    }
}

/// A bus on which one address may be reached.
pub struct Granted {
    address: u8,
    bus: Bus,
}

impl i2c::ErrorType for Granted {
    type Error = BusError;
}

impl I2c for Granted {
    fn read(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), BusError> {
        self.check(address)?;
        self.bus.read(address, buffer)
    }
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusError> {
        self.check(address)?;
        self.bus.write(address, bytes)
    }
    fn write_read(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), BusError> {
        self.check(address)?;
        self.bus.write_read(address, bytes, buffer)
    }
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.check(address)?;
        self.bus.transaction(address, operations)
    }
}

impl Granted {
    fn check(&self, address: u8) -> Result<(), BusError> {
        if address == self.address { Ok(()) } else { Err(BusError::NotGranted(address.into())) }
    }
}

/// Any bus, with our errors. The four methods are passed on one by one: a mock tells them apart.
struct Mapped<B>(B);

impl<B: I2c> i2c::ErrorType for Mapped<B> {
    type Error = BusError;
}

impl<B: I2c> I2c for Mapped<B>
where
    B::Error: Into<BusError>,
{
    fn read(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), BusError> {
        self.0.read(address, buffer).map_err(Into::into)
    }
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusError> {
        self.0.write(address, bytes).map_err(Into::into)
    }
    fn write_read(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), BusError> {
        self.0.write_read(address, bytes, buffer).map_err(Into::into)
    }
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.0.transaction(address, operations).map_err(Into::into)
    }
}

/// Does not wait: for tests and simulations.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}
