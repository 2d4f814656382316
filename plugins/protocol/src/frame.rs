//! Frames as JSON: `{"temperature": 21.5, "humidity": {"missing": "crc"}, "level": {"value": 3, "quality": "stale"}}`.
//!
//! Why not as readings have them (`fields`, `err`, `q`): an author writes frames by hand, and three objects that must agree
//! are two too many. Both forms are read alike where a message has the one or the other.
//!
//! ```
//! let frame = sedge_protocol::frame::decode(&serde_json::json!({ "level": 4, "flow": null })).unwrap();
//! assert_eq!(frame.get("level"), Some(&4.0.into()));
//! assert_eq!(frame.samples[0].value, Err("missing".into()));
//! ```
//!
//! The order of fields is that of their names, since an object of JSON has none. It must not make up a value: what cannot be
//! one is refused.

use sedge_plugin::{Frame, Name, Quality, Sample, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// Fields that a frame from outside may have.
pub const MOST_FIELDS: usize = 256;

/// Why a field has no value, where nobody says.
const MISSING: &str = "missing";

/// Up to here a whole number is exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
const NEGATIVE_ZERO: u64 = (-0.0_f64).to_bits();

/// A frame as a plugin gives it to its node.
pub fn encode(frame: &Frame) -> Json {
    let field = |sample: &Sample| {
        let json = match (checked(sample), sample.quality) {
            (Ok(value), Quality::Ok) => of_value(value),
            (Ok(value), quality) => json!({ "value": of_value(value), "quality": quality }),
            (Err(reason), Quality::Ok) => json!({ "missing": reason }),
            (Err(reason), quality) => json!({ "missing": reason, "quality": quality }),
        };
        (sample.field.to_string(), json)
    };
    Json::Object(frame.samples.iter().map(field).collect())
}

/// A frame that a plugin gave to its node.
///
/// # Errors
/// What is no frame, and where.
pub fn decode(json: &Json) -> Result<Frame, String> {
    let Some(fields) = json.as_object() else {
        return Err(format!(
            "a frame is an object of fields, such as {{\"level\": 4.2}}; found {}",
            kind(json)
        ));
    };
    if fields.len() > MOST_FIELDS {
        return Err(format!("a frame has at most {MOST_FIELDS} fields; found {}", fields.len()));
    }
    let samples = fields.iter().map(|(name, json)| sample(name, json)).collect::<Result<_, _>>()?;
    Ok(Frame { samples })
}

fn sample(name: &str, json: &Json) -> Result<Sample, String> {
    let name = Name::new(name).map_err(|error| format!("a field's name: {error}"))?;
    let wrong = |what: String| format!("the field `{name}` {what}");
    let (value, quality) = match json {
        Json::Object(parts) => {
            let known = ["value", "missing", "quality"];
            if let Some(other) = parts.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(wrong(format!("has `{other}`; there are `value`, `missing` and `quality`")));
            }
            let quality = match parts.get("quality") {
                Some(quality) => {
                    Quality::deserialize(quality).map_err(|error| wrong(format!("has a quality: {error}")))?
                }
                None => Quality::Ok,
            };
            let value = match (parts.get("missing"), parts.get("value")) {
                (Some(Json::String(reason)), None) => Err(reason.clone()),
                (None, Some(value)) => to_value(value).map_err(wrong)?,
                _ => return Err(wrong("is to have either `value`, or `missing` with the reason".into())),
            };
            (value, quality)
        }
        json => (to_value(json).map_err(wrong)?, Quality::Ok),
    };
    let field = name.as_str().to_owned().into();
    Ok(Sample { field, value: value.map_err(Into::into), quality })
}

/// What a reading has: its values, why some are missing, which are not `ok`.
pub(crate) fn split(frame: &Frame, into: &mut Map<String, Json>) {
    let (mut fields, mut err, mut q) = (Map::new(), Map::new(), Map::new());
    for sample in &frame.samples {
        let name = sample.field.to_string();
        if sample.quality != Quality::Ok {
            q.insert(name.clone(), json!(sample.quality));
        }
        let value = match checked(sample) {
            Ok(value) => of_value(value),
            Err(reason) => {
                err.insert(name.clone(), reason.into());
                Json::Null
            }
        };
        fields.insert(name, value);
    }
    into.insert("fields".into(), fields.into());
    for (key, part) in [("err", err), ("q", q)] {
        if !part.is_empty() {
            into.insert(key.into(), part.into());
        }
    }
}

/// The frame of a message with `fields`, `err` and `q`.
pub(crate) fn join(message: &Map<String, Json>) -> Result<Frame, String> {
    let mut frame = decode(message.get("fields").ok_or("it has no `fields`")?)?;
    for (key, apply) in [("err", why as fn(&mut Sample, &Json) -> bool), ("q", how)] {
        let Some(part) = message.get(key).filter(|part| !part.is_null()) else { continue };
        let part = part.as_object().ok_or_else(|| format!("`{key}` is to be an object of fields"))?;
        for (name, said) in part {
            let sample = frame.samples.iter_mut().find(|sample| sample.field == name.as_str());
            if !sample.is_some_and(|sample| apply(sample, said)) {
                return Err(format!("`{key}` says something of `{name}` that does not fit it"));
            }
        }
    }
    Ok(frame)
}

fn why(sample: &mut Sample, reason: &Json) -> bool {
    match (&mut sample.value, reason) {
        (Err(before), Json::String(reason)) => {
            *before = reason.clone().into();
            true
        }
        // Given a value since: the reason that it had none is history.
        (Ok(_), Json::String(_)) => true,
        _ => false,
    }
}

fn how(sample: &mut Sample, quality: &Json) -> bool {
    let quality = Quality::deserialize(quality);
    quality.map(|quality| sample.quality = quality).is_ok()
}

fn checked(sample: &Sample) -> Result<&Value, &str> {
    match &sample.value {
        Ok(Value::Number(n)) if !n.is_finite() => Err("not_finite"),
        Ok(value) => Ok(value),
        Err(reason) => Err(reason),
    }
}

fn of_value(value: &Value) -> Json {
    match value {
        // A whole number without its `.0`, as every other program writes it; but no integer is a negative zero.
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within what is exact")]
        Value::Number(n) if n.fract() == 0.0 && n.abs() < EXACT && n.to_bits() != NEGATIVE_ZERO => {
            (*n as i64).into()
        }
        Value::Number(n) => (*n).into(),
        Value::Bool(on) => (*on).into(),
        Value::Text(text) => text.as_str().into(),
    }
}

fn to_value(json: &Json) -> Result<Result<Value, String>, String> {
    match json {
        Json::Null => Ok(Err(MISSING.into())),
        Json::Bool(on) => Ok(Ok(Value::Bool(*on))),
        Json::Number(n) => {
            let number = n.as_f64().filter(|n| n.is_finite());
            number.map(|n| Ok(Value::Number(n))).ok_or_else(|| format!("is {n}, which no double holds"))
        }
        Json::String(text) => Ok(Ok(Value::Text(text.clone()))),
        other => Err(format!("is {}; a value is a number, a text, true, false or null", kind(other))),
    }
}

pub(crate) fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
