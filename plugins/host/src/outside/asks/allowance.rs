//! How much of what nobody has to grant a plugin may ask for: all of it costs the node, its disk, or whoever reads along.
//!
//! So many at once, and so many a second after that; what is more is refused with `busy`, and the plugin goes on. A plugin that
//! works as plugins do never meets it. It must not wait: what waits would be one of the few asks that may be under way.

use std::sync::{Mutex, PoisonError};

use sedge_plugin::{ToolError, ToolErrorCode};
use serde_json::Value as Json;

use super::bad;
use crate::outside::log::Bucket;

/// Readings, raw ones among them: at once, and a second.
const READINGS: (u32, f64) = (1000, 200.0);
/// Their bytes.
const BYTES: (u32, f64) = (4 << 20, 1_048_576.0);
/// Values that are stored or forgotten.
const WRITES: (u32, f64) = (30, 1.0);
/// Sensors that are announced or withdrawn.
const SENSORS: (u32, f64) = (100, 5.0);
/// Changes of how it fares.
const HEALTH: (u32, f64) = (20, 2.0);
/// Events.
const EVENTS: (u32, f64) = (20, 1.0);
/// Bytes of the data of an event.
const EVENT_DATA: usize = 16 * 1024;

/// What one start of a plugin may still ask for.
pub(super) struct Allowance {
    readings: Mutex<(Bucket, Bucket)>,
    writes: Mutex<Bucket>,
    sensors: Mutex<Bucket>,
    health: Mutex<(Bucket, Option<String>)>,
    events: Mutex<Bucket>,
}

impl Default for Allowance {
    fn default() -> Self {
        let bucket = |(most, per_second)| Bucket::new(most, per_second);
        Self {
            readings: Mutex::new((bucket(READINGS), bucket(BYTES))),
            writes: Mutex::new(bucket(WRITES)),
            sensors: Mutex::new(bucket(SENSORS)),
            health: Mutex::new((bucket(HEALTH), None)),
            events: Mutex::new(bucket(EVENTS)),
        }
    }
}

impl Allowance {
    /// A reading of so many bytes.
    pub(super) fn reading(&self, bytes: usize) -> Result<(), ToolError> {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if !readings.0.take() {
            return Err(busy(format!("it submits more than {} readings a second", READINGS.1)));
        }
        match readings.1.take_some(bytes.into()) {
            true => Ok(()),
            false => Err(busy(format!("it submits more than {} bytes a second", BYTES.1))),
        }
    }

    pub(super) fn write(&self) -> Result<(), ToolError> {
        let text = "it stores more often than its disk is for: one value a second";
        take(&self.writes, text)
    }

    pub(super) fn sensor(&self) -> Result<(), ToolError> {
        let text = format!("it announces and withdraws more than {} sensors a second", SENSORS.1);
        take(&self.sensors, &text)
    }

    /// To say the same again costs nothing.
    pub(super) fn health(&self, reason: &Option<String>) -> Result<(), ToolError> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.1 == *reason {
            return Ok(());
        }
        if !health.0.take() {
            return Err(busy(format!("how it fares changes more than {} times a second", HEALTH.1)));
        }
        health.1.clone_from(reason);
        Ok(())
    }

    pub(super) fn event(&self) -> Result<(), ToolError> {
        take(&self.events, "it raises more events than people can read: one a second")
    }
}

/// Whether an event may carry this.
pub(super) fn event_data(data: &Json) -> Result<(), ToolError> {
    match data.is_null() || data.to_string().len() <= EVENT_DATA {
        true => Ok(()),
        false => Err(bad(format!("the data of an event has at most {EVENT_DATA} bytes"))),
    }
}

fn take(bucket: &Mutex<Bucket>, text: &str) -> Result<(), ToolError> {
    match bucket.lock().unwrap_or_else(PoisonError::into_inner).take() {
        true => Ok(()),
        false => Err(busy(text.to_owned())),
    }
}

fn busy(what: String) -> ToolError {
    ToolError::new(ToolErrorCode::Busy, format!("{what}, and some at once: wait, and ask again"))
}
