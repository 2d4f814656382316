//! The reading frame, a reading as JSON: `{"ts":…,"seq":4711,"boot":"9f3c21ab","fields":{"temperature":21.53}}`.
//!
//! ```
//! use sedge_plugin::wire::ReadingFrame;
//! let frame: ReadingFrame =
//!     serde_json::from_str(r#"{"ts":null,"seq":1,"boot":"9f3c21ab","fields":{"level":4}}"#).unwrap();
//! assert_eq!(frame.get("level"), Some(&4.0.into()));
//! ```
//!
//! The bridge publishes it, destinations write it, the command line reads it: one form for all of them. Never a NaN or an
//! infinity: such a value is null, with its reason beside it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::reading::{Frame, Sample};
use crate::{Boot, Quality, Reading, Value};

/// Up to here a whole number is exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A reading, as the wire carries it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ReadingFrame {
    /// When it was taken, in milliseconds since 1970; none while the node's wall time was not known.
    #[serde(with = "wall")]
    pub ts: Option<i64>,
    /// Counts from 1 per sensor and boot. A hole is a loss.
    pub seq: u64,
    /// The start of the process that took it.
    #[serde(with = "boot")]
    pub boot: Boot,
    /// The fields in the driver's order; none is a value that could not be taken.
    #[serde(with = "pairs")]
    pub fields: Vec<(String, Option<Value>)>,
    /// Why a field has no value.
    #[serde(default, with = "pairs", skip_serializing_if = "Vec::is_empty")]
    pub err: Vec<(String, String)>,
    /// The fields that are not `ok`.
    #[serde(default, with = "pairs", skip_serializing_if = "Vec::is_empty")]
    pub q: Vec<(String, Quality)>,
    /// `unsynced` where the wall time was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// Milliseconds since the machine booted, where the wall time was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_ms: Option<u64>,
}

impl ReadingFrame {
    /// A field's value; none where it is not there or was not taken.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| name == field)?.1.as_ref()
    }
}

impl From<&Reading> for ReadingFrame {
    fn from(reading: &Reading) -> Self {
        let unsynced = reading.taken.wall_ms.is_none();
        let mut frame = Self {
            ts: reading.taken.wall_ms,
            seq: reading.seq,
            boot: reading.boot,
            fields: Vec::with_capacity(reading.frame.samples.len()),
            err: Vec::new(),
            q: Vec::new(),
            clock: unsynced.then(|| "unsynced".into()),
            up_ms: unsynced.then_some(reading.taken.up_ms),
        };
        for sample in &reading.frame.samples {
            let name = sample.field.to_string();
            if sample.quality != Quality::Ok {
                frame.q.push((name.clone(), sample.quality));
            }
            let value = value_of(sample);
            if let Err(reason) = value {
                frame.err.push((name.clone(), reason.into()));
            }
            frame.fields.push((name, value.ok().cloned()));
        }
        frame
    }
}

/// A reading, written as its [`ReadingFrame`] is and without making one: for whoever writes many.
///
/// ```
/// use sedge_plugin::wire::{AsFrame, ReadingFrame};
/// use sedge_plugin::{Boot, Frame, Id, Reading, Taken};
/// let mut frame = Frame::default();
/// frame.push("temperature", 21.5);
/// let taken = Taken { up_ms: 5000, wall_ms: None };
/// let sensor = Id::new("air").unwrap();
/// let reading = Reading { sensor, boot: Boot(7), seq: 1, taken, frame, origin: None };
/// let (one, other) = (AsFrame(&reading), ReadingFrame::from(&reading));
/// assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AsFrame<'a>(pub &'a Reading);

impl Serialize for AsFrame<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Reading { boot, seq, taken, frame, .. } = self.0;
        let samples = Samples { frame, of: |sample| Some(FieldValue(value_of(sample).ok())) };
        let reasons = Samples { frame, of: |sample| value_of(sample).err() };
        let marks = Samples { frame, of: |sample| (sample.quality != Quality::Ok).then_some(sample.quality) };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ts", &Wall(taken.wall_ms))?;
        map.serialize_entry("seq", seq)?;
        map.serialize_entry("boot", boot)?;
        map.serialize_entry("fields", &samples)?;
        if reasons.are_some() {
            map.serialize_entry("err", &reasons)?;
        }
        if marks.are_some() {
            map.serialize_entry("q", &marks)?;
        }
        if taken.wall_ms.is_none() {
            map.serialize_entry("clock", "unsynced")?;
            map.serialize_entry("up_ms", &taken.up_ms)?;
        }
        map.end()
    }
}

/// The value of a sample, or why there is none.
fn value_of(sample: &Sample) -> Result<&Value, &str> {
    match &sample.value {
        Ok(Value::Number(n)) if !n.is_finite() => Err("not_finite"),
        Ok(value) => Ok(value),
        Err(reason) => Err(reason),
    }
}

/// What there is `of` some samples, by their fields.
struct Samples<'a, V> {
    frame: &'a Frame,
    of: fn(&'a Sample) -> Option<V>,
}

impl<V> Samples<'_, V> {
    fn are_some(&self) -> bool {
        self.frame.samples.iter().any(|sample| (self.of)(sample).is_some())
    }
}

impl<V: Serialize> Serialize for Samples<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for sample in &self.frame.samples {
            if let Some(what) = (self.of)(sample) {
                map.serialize_entry(&*sample.field, &what)?;
            }
        }
        map.end()
    }
}

struct Wall(Option<i64>);

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        wall::serialize(&self.0, serializer)
    }
}

/// A wall time in milliseconds as RFC 3339, or null: for `#[serde(with = "wall")]`.
pub mod wall {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(missing_docs, reason = "what serde asks for")]
    pub fn serialize<S: Serializer>(ms: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match ms {
            Some(ms) => serializer.serialize_str(&crate::clock::rfc3339(*ms)),
            None => serializer.serialize_none(),
        }
    }

    #[expect(missing_docs, reason = "what serde asks for")]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let ms = crate::clock::parse_rfc3339(&text);
        ms.map(Some).ok_or_else(|| D::Error::custom(format!("`{text}` is not a time")))
    }
}

/// A [`Boot`] as eight hex digits: for `#[serde(with = "boot")]`.
pub mod boot {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::Boot;

    #[expect(missing_docs, reason = "what serde asks for")]
    pub fn serialize<S: Serializer>(boot: &Boot, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(boot)
    }

    #[expect(missing_docs, reason = "what serde asks for")]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Boot, D::Error> {
        let text = String::deserialize(deserializer)?;
        let legal = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = legal.then(|| u32::from_str_radix(&text, 16).ok()).flatten();
        number.map(Boot).ok_or_else(|| D::Error::custom(format!("`{text}` is not eight hex digits")))
    }
}

impl Serialize for Boot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        boot::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Boot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        boot::deserialize(deserializer)
    }
}

/// A JSON object whose order is kept.
mod pairs {
    use super::*;

    pub(super) fn serialize<S: Serializer, V: Item>(
        pairs: &Vec<(String, V)>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(pairs.len()))?;
        for (name, value) in pairs {
            map.serialize_entry(name, &Written(value))?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, V)>, D::Error> {
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

struct Pairs<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
    type Value = Vec<(String, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// How a value of the frame is written.
trait Item {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

struct Written<'a, V>(&'a V);

impl<V: Item> Serialize for Written<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl Item for Option<Value> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FieldValue(self.as_ref()).serialize(serializer)
    }
}

/// A value as it is written, or null.
struct FieldValue<'a>(Option<&'a Value>);

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_none(),
            // A whole number without its `.0`, as every other program writes it.
            #[expect(clippy::cast_possible_truncation, reason = "whole, and within what is exact")]
            Some(Value::Number(n)) if n.fract() == 0.0 && n.abs() < EXACT => {
                serializer.serialize_i64(*n as i64)
            }
            Some(value) => value.serialize(serializer),
        }
    }
}

impl Item for String {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

impl Item for Quality {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Id, Taken};

    fn reading(frame: Frame, wall_ms: Option<i64>) -> Reading {
        let taken = Taken { up_ms: 5000, wall_ms };
        Reading {
            sensor: Id::new("air").unwrap(),
            boot: Boot(0x9f3c_21ab),
            seq: 7,
            taken,
            frame,
            origin: None,
        }
    }

    fn text(frame: Frame) -> String {
        serde_json::to_string(&ReadingFrame::from(&reading(frame, None)).fields_only()).unwrap()
    }

    impl ReadingFrame {
        fn fields_only(&self) -> impl Serialize + use<> {
            #[derive(serde::Serialize)]
            struct Only {
                #[serde(with = "pairs")]
                fields: Vec<(String, Option<Value>)>,
            }
            Only { fields: self.fields.clone() }
        }
    }

    #[test]
    fn a_whole_number_has_no_fraction_and_the_order_is_the_drivers() {
        let mut frame = Frame::default();
        for (field, value) in [("z", 21.0), ("a", 44.1), ("m", -0.0), ("big", 1e300)] {
            frame.push(field, value);
        }
        assert_eq!(text(frame), r#"{"fields":{"z":21,"a":44.1,"m":0,"big":1e+300}}"#);
    }

    #[test]
    fn a_number_that_is_not_finite_is_null_with_its_reason() {
        let mut frame = Frame::default();
        frame.push("t", 1.0);
        frame.samples[0].value = Ok(Value::Number(f64::NAN));
        let frame = ReadingFrame::from(&reading(frame, Some(0)));
        assert_eq!(frame.fields, [("t".to_string(), None)]);
        assert_eq!(frame.err, [("t".to_string(), "not_finite".to_string())]);
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            // As sensors have them: serde_json reads a double of seventeen digits with an error in the last bit.
            (any::<i32>(), 0_i32..6)
                .prop_map(|(n, decimals)| Value::Number(f64::from(n) / 10_f64.powi(decimals))),
            any::<i32>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::Text),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            fields in prop::collection::vec(("[a-z]{1,8}", prop::option::of(value())), 0..6),
            seq in any::<u64>(),
            boot in any::<u32>(),
            ts in prop::option::of(0_i64..4_000_000_000_000),
        ) {
            let frame = ReadingFrame {
                ts, seq, boot: Boot(boot), fields,
                err: vec![("a".into(), "crc".into())], q: vec![("b".into(), Quality::Stuck)],
                clock: ts.is_none().then(|| "unsynced".into()), up_ms: ts.is_none().then_some(9),
            };
            let text = serde_json::to_string(&frame).unwrap();
            prop_assert_eq!(serde_json::from_str::<ReadingFrame>(&text).unwrap(), frame);
        }

        #[test]
        fn a_reading_is_written_as_its_frame_is(
            samples in prop::collection::vec(("[a-z]{1,8}", prop::option::of(value()), any::<bool>()), 0..6),
            wall_ms in prop::option::of(0_i64..4_000_000_000_000),
        ) {
            let mut frame = Frame::default();
            for (field, value, stuck) in samples {
                match value {
                    Some(value) => frame.push(field, value),
                    None => frame.missing(field, "crc"),
                }
                frame.samples.last_mut().unwrap().quality = if stuck { Quality::Stuck } else { Quality::Ok };
            }
            let reading = reading(frame, wall_ms);
            let (one, other) = (AsFrame(&reading), ReadingFrame::from(&reading));
            prop_assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<ReadingFrame>(&bytes);
        }
    }
}
