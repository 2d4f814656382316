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

/// What is known of the channels of a bus.
#[derive(Default)]
pub(super) struct Channels {
    /// Those that are connected, from the trunk on; none where that is not known.
    pub(super) connected: Option<Vec<Hop>>,
    /// Every way that leads to a device.
    ways: Vec<Vec<Way>>,
}

pub(super) type Selected = Arc<Mutex<Channels>>;

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
    let mut channels = lock(selected);
    channels.connected = None;
    channels.ways.retain(|known| !hops(known).eq(route.iter().copied()));
    channels.ways.push(ways.clone());
    drop(channels);
    Ok(I2cDevice::new(address, Routed { bus, ways, selected: selected.clone() }, delay))
}

fn hops(ways: &[Way]) -> impl Iterator<Item = Hop> + Clone {
    ways.iter().map(|way| way.0)
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
    /// Connects the way to the device, and cuts off every other multiplexer that can be reached on it: a device of the same
    /// address may be there, and two that answer at once are a number that nobody measured.
    fn select(&mut self) -> Result<(), BusError> {
        let mut channels = lock(&self.selected);
        if channels.connected.as_ref().is_some_and(|connected| connected.iter().copied().eq(hops(&self.ways)))
        {
            return Ok(());
        }
        channels.connected = None;
        for depth in 0..=self.ways.len() {
            let here = hops(&self.ways).take(depth);
            let ours = self.ways.get(depth);
            let beside = channels.ways.iter().filter(|ways| hops(ways).take(depth).eq(here.clone()));
            for (hop, mux) in beside.filter_map(|ways| ways.get(depth)) {
                if ours.is_none_or(|ours| ours.0.address != hop.address) {
                    match write(*hop, mux, 0) {
                        // One that is not there connects nothing.
                        Ok(()) | Err(BusError::NoAnswer | BusError::Refused) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            if let Some((hop, mux)) = ours {
                write(*hop, mux, 1 << (hop.channel & 7)).map_err(|error| explained(*hop, error))?;
            }
        }
        channels.connected = Some(hops(&self.ways).collect());
        Ok(())
    }
}

fn write(hop: Hop, mux: &Mutex<Granted>, channels: u8) -> Result<(), BusError> {
    lock(mux).write(hop.address, &[channels])
}

fn explained(hop: Hop, error: BusError) -> BusError {
    match error {
        BusError::Gone(_) | BusError::Timeout | BusError::Arbitration => error,
        error => BusError::Other(format!("the multiplexer at {:#04x}: {error}", hop.address).into()),
    }
}

impl I2c for Routed {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.select()?;
        let result = self.bus.transaction(address, operations);
        if result.is_err() {
            lock(&self.selected).connected = None;
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
