//! A device on I2C.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, I2c, Operation};

use super::{BusError, Delay};

type Bus = Box<dyn I2c<Error = BusError> + Send>;

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
        Self { address, bus: Box::new(Mapped(bus)), delay: Delay::new(delay) }
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

    /// Writes an 8-bit register.
    pub fn write_u8(&mut self, register: u8, value: u8) -> Result<(), BusError> {
        self.write(&[register, value])
    }

    /// Writes a 16-bit register, high byte first.
    pub fn write_u16_be(&mut self, register: u8, value: u16) -> Result<(), BusError> {
        let [high, low] = value.to_be_bytes();
        self.write(&[register, high, low])
    }

    /// Reads a 16-bit register, low byte first.
    pub fn read_u16_le(&mut self, register: u8) -> Result<u16, BusError> {
        let mut buffer = [0; 2];
        self.write_read(&[register], &mut buffer)?;
        Ok(u16::from_le_bytes(buffer))
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
