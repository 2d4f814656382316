//! A device on SPI.

use embedded_hal::delay::DelayNs;
use embedded_hal::spi::{self, Operation};

use super::{BusError, Delay};

type Bus = Box<dyn spi::SpiDevice<Error = BusError> + Send>;

/// One device on an SPI bus, with its own chip select. Takes the same for `embedded-hal` driver crates.
pub struct SpiDevice {
    bus: Bus,
    delay: Delay,
}

impl SpiDevice {
    /// A device behind `bus`.
    pub fn new<B>(bus: B, delay: impl DelayNs + Send + 'static) -> Self
    where
        B: spi::SpiDevice + Send + 'static,
        B::Error: Into<BusError>,
    {
        Self { bus: Box::new(Mapped(bus)), delay: Delay::new(delay) }
    }

    /// Splits it into a bus and a delay, for driver crates that take both.
    pub fn split(self) -> (impl spi::SpiDevice<Error = BusError> + Send, Delay) {
        (Granted(self.bus), self.delay)
    }

    /// Waits, blocking this bus alone. For more than 50 ms use [`Sensor::start`](crate::Sensor::start).
    pub fn delay_ms(&mut self, ms: u32) {
        self.delay.delay_ms(ms);
    }

    /// Writes and reads at once, byte for byte, in place.
    pub fn transfer(&mut self, bytes: &mut [u8]) -> Result<(), BusError> {
        self.bus.transfer_in_place(bytes)
    }

    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BusError> {
        self.bus.write(bytes)
    }

    /// Reads bytes.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<(), BusError> {
        self.bus.read(buffer)
    }

    /// Writes, then reads, with the chip selected throughout.
    pub fn write_read(&mut self, bytes: &[u8], buffer: &mut [u8]) -> Result<(), BusError> {
        self.bus.transaction(&mut [Operation::Write(bytes), Operation::Read(buffer)])
    }
}

struct Granted(Bus);

impl spi::ErrorType for Granted {
    type Error = BusError;
}

impl spi::SpiDevice for Granted {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        self.0.transaction(operations)
    }
}

/// Any device, with our errors.
struct Mapped<B>(B);

impl<B: spi::SpiDevice> spi::ErrorType for Mapped<B> {
    type Error = BusError;
}

impl<B: spi::SpiDevice> spi::SpiDevice for Mapped<B>
where
    B::Error: Into<BusError>,
{
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        self.0.transaction(operations).map_err(Into::into)
    }
}
