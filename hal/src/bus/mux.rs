//! TI TCA9548A (NXP PCA9548A): one I2C bus becomes eight.
//!
//! Datasheet: SCPS207G, section 8.6.2: one byte is written, each of its bits connects a channel.
//!
//! A channel is selected when a device behind it is spoken to, and stays so until another is needed. It must not be
//! believed after a failure: the chip may have lost its supply.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use sedge_plugin::device::Granted;
use sedge_plugin::{BusError, I2cDevice};

use super::adapter::Adapter;

/// A channel of a multiplexer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The multiplexer's address.
    pub address: u8,
    /// 0 to 7.
    pub channel: u8,
}

/// A channel and the way to its multiplexer.
type Way = (Hop, Arc<Mutex<Granted>>);

/// The channels that are connected, from the trunk on; none where that is not known.
pub(super) type Selected = Arc<Mutex<Option<Vec<Way>>>>;

/// The way to a device behind multiplexers.
pub(super) fn device(
    adapter: &mut dyn Adapter,
    route: &[Hop],
    address: u8,
    selected: &Selected,
) -> Result<I2cDevice, BusError> {
    let (bus, delay) = adapter.i2c(address)?.split();
    let mut ways = Vec::with_capacity(route.len());
    for hop in route {
        ways.push((*hop, Arc::new(Mutex::new(adapter.i2c(hop.address)?.split().0))));
    }
    Ok(I2cDevice::new(address, Routed { bus, ways, selected: selected.clone() }, delay))
}

struct Routed {
    bus: Granted,
    ways: Vec<Way>,
    selected: Selected,
}

impl ErrorType for Routed {
    type Error = BusError;
}

impl Routed {
    /// Connects the way to the device, and cuts off what another multiplexer on the trunk had connected: a device of the
    /// same address may be there.
    fn select(&mut self) -> Result<(), BusError> {
        let mut selected = lock(&self.selected);
        let same = |before: &Vec<Way>| before.iter().map(|way| way.0).eq(self.ways.iter().map(|way| way.0));
        if selected.as_ref().is_some_and(same) {
            return Ok(());
        }
        let before = selected.take().and_then(|before| before.into_iter().next());
        if let Some((hop, mux)) = before.filter(|before| before.0.address != self.ways[0].0.address) {
            write(hop, &mux, 0)?;
        }
        for (hop, mux) in &self.ways {
            write(*hop, mux, 1 << (hop.channel & 7))?;
        }
        *selected = Some(self.ways.clone());
        Ok(())
    }
}

fn write(hop: Hop, mux: &Mutex<Granted>, channels: u8) -> Result<(), BusError> {
    lock(mux).write(hop.address, &[channels]).map_err(|error| match error {
        BusError::Gone(_) | BusError::Timeout | BusError::Arbitration => error,
        error => BusError::Other(format!("the multiplexer at {:#04x}: {error}", hop.address).into()),
    })
}

impl I2c for Routed {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.select()?;
        let result = self.bus.transaction(address, operations);
        if result.is_err() {
            *lock(&self.selected) = None;
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
