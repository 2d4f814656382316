//! Where a bus gets its devices from.

use sedge_plugin::{BusError, FileDevice, I2cDevice, SpiDevice, SpiMode, Sysfs};

use super::Seat;

/// What a bus is driven through: an adapter of the kernel, a simulation. Owned by the thread of the bus, and made anew for
/// another thread when that one hangs.
pub trait Adapter: Send + 'static {
    /// The way to the device at an I2C address (7 bits). Asked for anew whenever a device is opened, so that an adapter may
    /// come and go.
    ///
    /// # Errors
    /// [`BusError::Gone`] when there is no such adapter, with what a person can do about it.
    fn i2c(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        let _ = address;
        Err(BusError::Other("this is no I2C bus".into()))
    }

    /// The way to the device behind a chip select of an SPI bus.
    ///
    /// # Errors
    /// As [`i2c`](Self::i2c).
    fn spi(&mut self, select: u8, mode: SpiMode) -> Result<SpiDevice, BusError> {
        let _ = (select, mode);
        Err(BusError::Other("this is no SPI bus".into()))
    }

    /// The way to a device that the kernel drives: the one called `name`, or the only one that is at that place.
    ///
    /// # Errors
    /// As [`i2c`](Self::i2c).
    fn files(&mut self, name: Option<&str>, place: Sysfs) -> Result<FileDevice, BusError> {
        let _ = name;
        Err(BusError::Other(format!("this is no bus of kind `{}`", place.bus).into()))
    }

    /// Opens the bus anew beneath its devices.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn reopen(&mut self) -> Result<(), BusError> {
        Ok(())
    }

    /// Does what can be done to a bus that somebody holds.
    ///
    /// # Errors
    /// What there is to do failed. None: there is nothing to be done from here.
    fn recover(&mut self) -> Option<Result<(), BusError>> {
        None
    }

    /// The supply of a device was switched off and on. Hardware knows; a simulation has to be told.
    fn power_cycled(&mut self, seat: &Seat) {
        let _ = seat;
    }
}

impl Adapter for Box<dyn Adapter> {
    fn i2c(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        self.as_mut().i2c(address)
    }
    fn spi(&mut self, select: u8, mode: SpiMode) -> Result<SpiDevice, BusError> {
        self.as_mut().spi(select, mode)
    }
    fn files(&mut self, name: Option<&str>, place: Sysfs) -> Result<FileDevice, BusError> {
        self.as_mut().files(name, place)
    }
    fn reopen(&mut self) -> Result<(), BusError> {
        self.as_mut().reopen()
    }
    fn recover(&mut self) -> Option<Result<(), BusError>> {
        self.as_mut().recover()
    }
    fn power_cycled(&mut self, seat: &Seat) {
        self.as_mut().power_cycled(seat);
    }
}
