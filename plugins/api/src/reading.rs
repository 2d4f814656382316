//! Readings: what a sensor said, when, and how far it can be trusted.
//!
//! A driver fills a [`Frame`]. The node adds place and time and gets a [`Draft`], which the processors may change and
//! the validators mark. Accepted for delivery it is numbered and becomes a [`Reading`], which never changes again.
//!
//! ```
//! use sedge_plugin::{Frame, Value};
//! let mut frame = Frame::default();
//! frame.push("temperature", 21.53_f32);
//! frame.missing("humidity", "crc");
//! assert_eq!(frame.get("temperature"), Some(&Value::Number(21.53_f32.into())));
//! assert_eq!(frame.get("humidity"), None);
//! ```
//!
//! A value that could not be taken is missing with its reason; nothing here makes up a zero.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Id;

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// A text.
    Text(String),
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}
impl From<f32> for Value {
    fn from(n: f32) -> Self {
        Self::Number(n.into())
    }
}
impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Self::Number(n.into())
    }
}
impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Number(n.into())
    }
}
impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Bool(on)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Number(n) => fmt::Display::fmt(n, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// How far a sample can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Nothing speaks against it.
    #[default]
    Ok,
    /// Older than it should be.
    Stale,
    /// Has not moved for suspiciously long.
    Stuck,
    /// Outside what the device can measure.
    OutOfRange,
    /// Computed, not measured.
    Estimated,
    /// A validator refused the reading; it is kept and counted all the same.
    Rejected,
}

/// One field of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The field's name.
    pub field: Cow<'static, str>,
    /// The value, or why there is none.
    pub value: Result<Value, Cow<'static, str>>,
    /// How far the value can be trusted.
    pub quality: Quality,
}

impl Sample {
    /// Gives it another value. A number that is not finite becomes a missing value with that reason.
    pub fn set(&mut self, value: impl Into<Value>) {
        self.value = match value.into() {
            Value::Number(n) if !n.is_finite() => Err("not_finite".into()),
            value => Ok(value),
        };
    }

    /// Its number, if it has one.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Ok(Value::Number(n)) => Some(n),
            _ => None,
        }
    }
}

/// The fields of one reading, in the order in which the driver gave them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frame {
    /// The fields.
    pub samples: Vec<Sample>,
}

impl Frame {
    /// Adds a value. A number that is not finite becomes a missing value with that reason.
    pub fn push(&mut self, field: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let mut sample = Sample { field: field.into(), value: Err(Cow::default()), quality: Quality::Ok };
        sample.set(value);
        self.samples.push(sample);
    }

    /// Adds a value at which the device `cut` what it measured `off`: the true one is there or beyond. It is marked as out of
    /// range where that is so.
    pub fn push_cut_off(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
        cut_off: bool,
    ) {
        self.push(field, value);
        if let (true, Some(sample)) = (cut_off, self.samples.last_mut()) {
            sample.quality = Quality::OutOfRange;
        }
    }

    /// Adds a value that could not be taken, with a short reason such as `crc`.
    pub fn missing(&mut self, field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) {
        let sample = Sample { field: field.into(), value: Err(reason.into()), quality: Quality::Ok };
        self.samples.push(sample);
    }

    /// The value of a field, if it is there and was taken.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.samples.iter().find(|sample| sample.field == field)?.value.as_ref().ok()
    }

    /// Removes all fields; keeps the memory.
    pub fn clear(&mut self) {
        self.samples.clear();
    }
}

/// When a frame was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Milliseconds since the machine booted; runs on through a suspend and never jumps.
    pub up_ms: u64,
    /// Milliseconds since 1970-01-01 UTC; none while the wall clock is not known.
    pub wall_ms: Option<i64>,
}

/// Where a reading was taken that another node took. (`node`, `sensor`, `boot`, `seq`) names it for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The node that took it.
    pub node: Id,
    /// What the sensor is called there.
    pub sensor: Id,
    /// The start of that node's process.
    pub boot: Boot,
    /// The number that it has there.
    pub seq: u64,
}

/// A reading on its way: has a place and a time, and no number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The sensor.
    pub sensor: Id,
    /// When it was taken.
    pub taken: Taken,
    /// What was measured.
    pub frame: Frame,
    /// Where it is from; none where this node took it.
    pub origin: Option<Arc<Origin>>,
}

impl Draft {
    /// A reading that this node took.
    pub fn new(sensor: Id, taken: Taken, frame: Frame) -> Self {
        Self { sensor, taken, frame, origin: None }
    }
}

/// Eight hex digits that are drawn at each start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Boot(pub u32);

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A reading that was accepted. (`sensor`, `boot`, `seq`) names it for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The sensor.
    pub sensor: Id,
    /// The start of the process that took it.
    pub boot: Boot,
    /// Counts from 1 per sensor and boot. A hole is a loss.
    pub seq: u64,
    /// When it was taken.
    pub taken: Taken,
    /// What was measured.
    pub frame: Frame,
    /// Where it is from; none where this node took it. One from elsewhere is not published again.
    pub origin: Option<Arc<Origin>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_finite_is_missing_with_its_reason() {
        let mut frame = Frame::default();
        frame.push("a", f64::NAN);
        frame.push("b", f32::INFINITY);
        for sample in &frame.samples {
            assert_eq!(sample.value, Err("not_finite".into()));
        }
    }
}
