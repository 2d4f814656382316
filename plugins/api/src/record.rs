//! A reading as bytes: on disk, and between nodes of ours. Never on a topic that a person reads.
//!
//! ```
//! use sedge_plugin::{Boot, Frame, Id, Reading, Taken};
//! use sedge_plugin::record::Record;
//! let mut frame = Frame::default();
//! frame.push("temperature", 21.5);
//! let taken = Taken { up_ms: 5000, wall_ms: None };
//! let sensor = Id::new("air").unwrap();
//! let reading = Reading { sensor, boot: Boot(7), seq: 1, taken, frame, origin: None };
//! let record = Record { kernel: 1, reading };
//! assert_eq!(Record::decode(&record.encode()), Ok(record));
//! ```
//!
//! A byte with the version, then postcard, which does not describe itself: a new field is a new version, and an old version is
//! read for ever. What is read may have been damaged: a decoder refuses, it never panics.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Id;
use crate::reading::{Boot, Frame, Origin, Quality, Reading, Sample, Taken, Value};

/// The version that is written.
pub const VERSION: u8 = 1;

/// A reading, and which start of the machine took it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The start of the kernel: readings of one start share a clock that never jumps.
    pub kernel: u64,
    /// The reading.
    pub reading: Reading,
}

/// Why bytes are not a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a later version.
    #[error("a record of version {0}; this program reads up to {VERSION}")]
    Version(u8),
    /// No record.
    #[error("not a record: {0}")]
    Malformed(String),
}

#[derive(Serialize, Deserialize)]
struct V1<'a> {
    kernel: u64,
    #[serde(borrow)]
    sensor: Cow<'a, str>,
    boot: u32,
    seq: u64,
    up_ms: u64,
    wall_ms: Option<i64>,
    #[serde(borrow)]
    origin: Option<(Cow<'a, str>, Cow<'a, str>, u32, u64)>,
    #[serde(borrow)]
    samples: Vec<(Cow<'a, str>, V1Value<'a>, Quality)>,
}

#[derive(Serialize, Deserialize)]
enum V1Value<'a> {
    Number(f64),
    Bool(bool),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    #[serde(borrow)]
    Missing(Cow<'a, str>),
}

impl Record {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.kernel, &self.reading)
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// When they are not a record that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let malformed = |why: &str| RecordError::Malformed(why.into());
        let (version, rest) = bytes.split_first().ok_or_else(|| malformed("it is empty"))?;
        if *version != VERSION {
            return Err(RecordError::Version(*version));
        }
        let v1: V1 = postcard::from_bytes(rest).map_err(|error| malformed(&error.to_string()))?;
        let sensor = Id::new(&v1.sensor).map_err(|error| malformed(&error.to_string()))?;
        let sample = |(field, value, quality): (Cow<'_, str>, V1Value<'_>, Quality)| Sample {
            field: field.into_owned().into(),
            value: match value {
                V1Value::Number(n) if !n.is_finite() => Err("not_finite".into()),
                V1Value::Number(n) => Ok(Value::Number(n)),
                V1Value::Bool(on) => Ok(Value::Bool(on)),
                V1Value::Text(text) => Ok(Value::Text(text.into_owned())),
                V1Value::Missing(reason) => Err(reason.into_owned().into()),
            },
            quality,
        };
        let origin = match v1.origin {
            None => None,
            Some((node, sensor, boot, seq)) => {
                let id = |text: &str| Id::new(text).map_err(|error| malformed(&error.to_string()));
                let (node, sensor) = (id(&node)?, id(&sensor)?);
                Some(Arc::new(Origin { node, sensor, boot: Boot(boot), seq }))
            }
        };
        let frame = Frame { samples: v1.samples.into_iter().map(sample).collect() };
        let taken = Taken { up_ms: v1.up_ms, wall_ms: v1.wall_ms };
        let reading = Reading { sensor, boot: Boot(v1.boot), seq: v1.seq, taken, frame, origin };
        Ok(Self { kernel: v1.kernel, reading })
    }
}

/// The bytes of a reading that was taken in a start of the kernel.
pub fn encode(kernel: u64, reading: &Reading) -> Vec<u8> {
    let v1 = V1 {
        kernel,
        sensor: reading.sensor.as_str().into(),
        boot: reading.boot.0,
        seq: reading.seq,
        up_ms: reading.taken.up_ms,
        wall_ms: reading.taken.wall_ms,
        origin: reading.origin.as_deref().map(|origin| {
            (origin.node.as_str().into(), origin.sensor.as_str().into(), origin.boot.0, origin.seq)
        }),
        samples: reading.frame.samples.iter().map(written).collect(),
    };
    // Writing to memory what is made of plain data does not fail.
    postcard::to_extend(&v1, vec![VERSION]).unwrap_or_default()
}

fn written(sample: &Sample) -> (Cow<'_, str>, V1Value<'_>, Quality) {
    let value = match &sample.value {
        Ok(Value::Number(n)) => V1Value::Number(*n),
        Ok(Value::Bool(on)) => V1Value::Bool(*on),
        Ok(Value::Text(text)) => V1Value::Text(text.as_str().into()),
        Err(reason) => V1Value::Missing(reason.as_ref().into()),
    };
    (sample.field.as_ref().into(), value, sample.quality)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Result<Value, Cow<'static, str>>> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| Ok(Value::Number(n))),
            any::<bool>().prop_map(|on| Ok(Value::Bool(on))),
            ".{0,20}".prop_map(|text| Ok(Value::Text(text))),
            "[a-z_]{1,10}".prop_map(|reason| Err(reason.into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            samples in prop::collection::vec(("[a-z]{1,8}", value()), 0..6),
            (boot, seq, kernel) in any::<(u32, u64, u64)>(),
            (up_ms, wall_ms) in any::<(u64, Option<i64>)>(),
            origin in prop::option::of(any::<(u32, u64)>()),
        ) {
            let sample = |(field, value): (String, _)| Sample { field: field.into(), value, quality: Quality::Stuck };
            let frame = Frame { samples: samples.into_iter().map(sample).collect() };
            let sensor = Id::new("air-1").unwrap();
            let origin = origin.map(|(boot, seq)| {
                Arc::new(Origin { node: Id::new("far").unwrap(), sensor: sensor.clone(), boot: Boot(boot), seq })
            });
            let reading = Reading { sensor, boot: Boot(boot), seq, taken: Taken { up_ms, wall_ms }, frame, origin };
            let record = Record { kernel, reading };
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
            let _ = Record::decode(&[&[VERSION], &*bytes].concat());
        }
    }

    /// What is on a disk stays readable: this is version 1, written once and never again.
    #[test]
    fn a_record_of_version_1_is_read_for_ever() {
        let mut frame = Frame::default();
        frame.push("temperature", 21.5);
        frame.missing("humidity", "crc");
        let taken = Taken { up_ms: 5000, wall_ms: Some(1_795_195_704_123) };
        let reading = Reading {
            sensor: Id::new("air").unwrap(),
            boot: Boot(0x9f3c_21ab),
            seq: 7,
            taken,
            frame,
            origin: None,
        };
        let record = Record { kernel: 1, reading };
        let bytes: &[u8] = b"\x01\x01\x03air\xab\xc3\xf0\xf9\x09\x07\x88\x27\x01\xf6\xcc\x84\xa0\xbfh\x00\
            \x02\x0btemperature\x00\x00\x00\x00\x00\x00\x805@\x00\x08humidity\x03\x03crc\x00";
        assert_eq!(record.encode(), bytes, "{}", record.encode().escape_ascii());
        assert_eq!(Record::decode(bytes), Ok(record));
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        assert_eq!(Record::decode(&[9, 1, 2]), Err(RecordError::Version(9)));
        assert!(matches!(Record::decode(&[]), Err(RecordError::Malformed(_))));
    }
}
