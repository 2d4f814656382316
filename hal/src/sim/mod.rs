//! A bus and a GPIO chip without hardware.
//!
//! Every sensor kind brings a model of its chip, spoken to in bytes, so the real driver runs. Time is the
//! given clock's; nothing here waits.
//!
//! ```
//! use std::sync::Arc;
//! use sedge_hal::{SimBus, SystemClock};
//! use sedge_plugin::sim::RegisterFile;
//! let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
//! bus.attach(0x48, Box::new(RegisterFile::new(&[(0x0F, &[0x17])])));
//! assert_eq!(bus.device(0x48).read_u8(0x0F), Ok(0x17));
//! bus.detach(0x48);
//! assert!(bus.device(0x48).read_u8(0x0F).is_err());
//! ```
//!
//! It must not know any chip.

mod lines;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use sedge_plugin::device::NoDelay;
use sedge_plugin::prelude::I2cModel;
use sedge_plugin::sim::transfer;
use sedge_plugin::{BusError, Clock, I2cDevice, Id, SensorKind, fnv1a};

use crate::i2c::I2cBus;
use crate::lines::Lines;

/// A simulated bus with chips on it, and a simulated GPIO chip. Clones are the same bus.
#[derive(Clone)]
pub struct SimBus {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    chips: Arc<Mutex<BTreeMap<u8, Box<dyn I2cModel>>>>,
    lines: lines::SimLines,
}

impl SimBus {
    /// An empty bus.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.into(), clock, chips: Arc::default(), lines: lines::SimLines::default() }
    }

    /// Puts a chip at an address (7 bits); one that was there goes.
    pub fn attach(&self, address: u8, chip: Box<dyn I2cModel>) {
        lock(&self.chips).insert(address, chip);
    }

    /// Puts the chip of sensor `id` at its address. What it measures depends on the id alone.
    pub fn simulate(&self, id: &Id, address: u8, kind: &SensorKind) {
        self.attach(address, (kind.simulate)(fnv1a(id.as_str().as_bytes())));
    }

    /// Takes the chip at an address away, as if its wire had come off.
    pub fn detach(&self, address: u8) {
        lock(&self.chips).remove(&address);
    }

    /// The way to an address, without a thread.
    pub fn device(&self, address: u8) -> I2cDevice {
        I2cDevice::new(address, self.clone(), NoDelay)
    }

    /// A handle to the bus with a thread of its own.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn i2c(&self) -> io::Result<I2cBus> {
        let bus = self.clone();
        I2cBus::new(&self.name, move |address| Ok(bus.device(address)))
    }

    /// The lines of the GPIO chip.
    pub fn lines(&self) -> Lines {
        Lines::new(self.lines.clone())
    }

    /// The level of a line, as a meter would show it: true is high. None for a line that was never driven.
    pub fn level(&self, line: u32) -> Option<bool> {
        self.lines.level(line)
    }
}

impl ErrorType for SimBus {
    type Error = BusError;
}

impl I2c for SimBus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let now = self.clock.up();
        let mut chips = lock(&self.chips);
        let chip = chips.get_mut(&address).ok_or(BusError::NoAnswer)?;
        transfer(chip.as_mut(), operations, now)
    }
}

/// A model that panicked has harmed itself alone.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sedge_plugin::sim::RegisterFile;
    use sedge_plugin::testing::HandClock;

    use super::*;

    #[test]
    fn a_chip_is_told_the_time_of_the_clock() {
        let clock = Arc::new(HandClock::default());
        let bus = SimBus::new("test", clock.clone());
        bus.attach(0x20, Box::new(RegisterFile::live(|chip, now| chip.set(0, &[now.as_secs() as u8]))));
        assert_eq!(bus.device(0x20).read_u8(0), Ok(0));
        clock.advance(Duration::from_secs(9));
        assert_eq!(bus.device(0x20).read_u8(0), Ok(9));
    }

    #[test]
    fn nobody_answers_at_an_empty_address() {
        let bus = SimBus::new("test", Arc::new(HandClock::default()));
        assert_eq!(bus.device(0x20).read_u8(0), Err(BusError::NoAnswer));
    }
}
