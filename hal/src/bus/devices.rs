//! What the thread of a bus owns: the adapter, and the drivers of the devices on it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::{Attachment, BusError, Clock, Driver, Id, SensorError, SensorKind};
use serde_json::Value as Json;

use super::adapter::Adapter;
use super::mux::{self, Hop, Selected};
use super::{Recovery, Seat};
use crate::worker::text_of;

/// A bus that was recovered is left alone for so long.
const PEACE: Duration = Duration::from_secs(10);

pub(super) struct Devices {
    pub(super) adapter: Box<dyn Adapter>,
    open: BTreeMap<Id, Box<dyn Driver>>,
    /// When each device was last spoken to without a fault.
    good: BTreeMap<Id, Duration>,
    /// Since when each device that fails has failed.
    failing: BTreeMap<Id, Duration>,
    clock: Arc<dyn Clock>,
    selected: Selected,
    recovered: Option<Duration>,
}

impl Devices {
    pub(super) fn new(adapter: Box<dyn Adapter>, clock: Arc<dyn Clock>) -> Self {
        Self {
            adapter,
            open: BTreeMap::new(),
            good: BTreeMap::new(),
            failing: BTreeMap::new(),
            clock,
            selected: Selected::default(),
            recovered: None,
        }
    }

    pub(super) fn open(
        &mut self,
        id: Id,
        route: &[Hop],
        seat: &Seat,
        kind: &'static SensorKind,
        settings: &Json,
    ) -> Result<(), SensorError> {
        self.close(&id);
        let now = self.clock.up();
        let driver = self.driver(route, seat, kind, settings).inspect_err(|_| {
            self.failing.entry(id.clone()).or_insert(now);
        })?;
        self.failing.remove(&id);
        self.good.insert(id.clone(), now);
        self.open.insert(id, driver);
        Ok(())
    }

    fn driver(
        &mut self,
        route: &[Hop],
        seat: &Seat,
        kind: &SensorKind,
        settings: &Json,
    ) -> Result<Box<dyn Driver>, SensorError> {
        Ok(match kind.attachment {
            Attachment::I2c { open, .. } => open(self.i2c(route, seat.number()?)?, settings)?,
            Attachment::Spi { mode, open, .. } => open(self.adapter.spi(seat.number()?, mode)?, settings)?,
            Attachment::Files { place, open, .. } => open(self.adapter.files(seat.name(), place)?, settings)?,
        })
    }

    pub(super) fn i2c(&mut self, route: &[Hop], address: u8) -> Result<sedge_plugin::I2cDevice, BusError> {
        match route {
            // A device on the trunk does not care which channels are connected.
            [] => self.adapter.i2c(address),
            route => mux::device(self.adapter.as_mut(), route, address, &self.selected),
        }
    }

    /// A driver that panics is dropped: nobody knows what state it is in.
    pub(super) fn with<R>(
        &mut self,
        id: Id,
        work: impl FnOnce(&mut dyn Driver) -> Result<R, SensorError>,
    ) -> Result<R, SensorError> {
        let driver = self.open.get_mut(&id).ok_or(SensorError::Closed)?;
        let result = catch_unwind(AssertUnwindSafe(|| work(driver.as_mut()))).unwrap_or_else(|panic| {
            self.close(&id);
            Err(SensorError::Panicked(text_of(panic.as_ref())))
        });
        let now = self.clock.up();
        if result.is_ok() {
            self.failing.remove(&id);
            self.good.insert(id, now);
        } else {
            self.failing.entry(id).or_insert(now);
        }
        result
    }

    /// Whether it was open.
    pub(super) fn close(&mut self, id: &Id) -> bool {
        self.good.remove(id);
        let driver = self.open.remove(id);
        // A driver may panic while it is closed or dropped too; it is gone all the same.
        let was_open = driver.is_some();
        let _ = catch_unwind(AssertUnwindSafe(move || {
            if let Some(mut driver) = driver {
                driver.close();
            }
        }));
        was_open
    }

    /// The same, for good.
    pub(super) fn leave(&mut self, id: &Id) -> bool {
        self.failing.remove(id);
        self.close(id)
    }

    pub(super) fn reopen(&mut self) -> Result<(), BusError> {
        self.forget_channels();
        self.adapter.reopen()
    }

    /// Only where the other devices fail as well: a bus that serves others is not what is broken. Where the bus itself is
    /// suspected it is enough that none has been well since this one began to fail.
    pub(super) fn recover(&mut self, id: &Id, suspected: bool) -> Result<Recovery, BusError> {
        let now = self.clock.up();
        let since = self.failing.get(id).copied();
        let well = |other: &Id| match since.filter(|_| suspected) {
            Some(since) => self.good.get(other).is_some_and(|&good| good > since),
            None => !self.failing.contains_key(other),
        };
        if self.open.keys().any(|other| other != id && well(other)) {
            return Ok(Recovery::OthersAnswer);
        }
        if self.recovered.is_some_and(|at| now.saturating_sub(at) < PEACE) {
            return Ok(Recovery::Recent);
        }
        self.forget_channels();
        match self.adapter.recover() {
            None => Ok(Recovery::NoWay),
            Some(result) => {
                self.recovered = Some(now);
                result.map(|()| Recovery::Done)
            }
        }
    }

    fn forget_channels(&mut self) {
        if let Ok(mut selected) = self.selected.lock() {
            selected.connected = None;
        }
    }
}
