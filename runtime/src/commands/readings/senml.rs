//! Readings as SenML (RFC 8428), in JSON: one pack, a record per value.
//!
//! ```json
//! [
//! {"bn":"pi-kitchen/kitchen/","bt":1795195704.123,"n":"temperature","u":"Cel","v":21.5},
//! {"n":"humidity","u":"%RH","v":44.1}
//! ]
//! ```
//!
//! The base time is that of the first reading, and `t` is added to it. A value that is missing has no record, and a reading whose
//! time is not known has none either: without a time SenML means now. A unit that the registry of SenML does not have is left
//! out.

use sedge_plugin::{Id, Quality, Reading, Value};
use serde_json::{Map, Value as Json, json};

/// A pack that is being written.
pub(super) struct Senml {
    node: Id,
    sensor: Option<Id>,
    base_ms: Option<i64>,
    records: u64,
    /// Readings that were left out because their time is not known.
    pub(super) untimed: u64,
}

impl Senml {
    pub(super) fn new(node: &Id) -> Self {
        Self { node: node.clone(), sensor: None, base_ms: None, records: 0, untimed: 0 }
    }

    /// The records of a reading, each on a line of its own.
    pub(super) fn reading<'a>(&mut self, reading: &Reading, unit: impl Fn(&str) -> &'a str) -> String {
        let Some(at) = reading.taken.wall_ms else {
            self.untimed += 1;
            return String::new();
        };
        let mut text = String::new();
        for sample in &reading.frame.samples {
            let Ok(value) = &sample.value else { continue };
            if sample.quality == Quality::Rejected {
                continue;
            }
            let mut record = Map::new();
            if self.sensor.as_ref() != Some(&reading.sensor) {
                record.insert("bn".into(), format!("{}/{}/", self.node, reading.sensor).into());
                self.sensor = Some(reading.sensor.clone());
            }
            let base = *self.base_ms.get_or_insert_with(|| {
                record.insert("bt".into(), seconds(at));
                at
            });
            record.insert("n".into(), sample.field.as_ref().into());
            if let Some(unit) = registered(unit(&sample.field), &sample.field) {
                record.insert("u".into(), unit.into());
            }
            let (key, value) = match value {
                Value::Number(n) => ("v", json!(n)),
                Value::Bool(on) => ("vb", json!(on)),
                Value::Text(text) => ("vs", json!(text)),
            };
            record.insert(key.into(), value);
            if at != base {
                record.insert("t".into(), seconds(at - base));
            }
            text.push_str(if self.records == 0 { "[\n" } else { ",\n" });
            text.push_str(&Json::Object(record).to_string());
            self.records += 1;
        }
        text
    }

    /// What ends the pack.
    pub(super) fn end(&self) -> &'static str {
        if self.records == 0 { "[]\n" } else { "\n]\n" }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact to the millisecond for the next 285,000 years")]
fn seconds(ms: i64) -> Json {
    json!(ms as f64 / 1000.0)
}

/// The symbol of a unit in the registries of RFC 8428 and RFC 8798, where it is there.
fn registered(symbol: &str, field: &str) -> Option<&'static str> {
    Some(match symbol {
        "°C" => "Cel",
        "%" if field.contains("humidity") => "%RH",
        "%" => "%",
        "hPa" => "hPa",
        "lx" => "lx",
        "V" => "V",
        "A" => "A",
        "W" => "W",
        "Hz" => "Hz",
        "ppm" => "ppm",
        "\u{b5}g/m³" => "ug/m3",
        "m" => "m",
        "mm" => "mm",
        "s" => "s",
        "B" => "B",
        "B/s" => "B/s",
        "°" => "deg",
        "K" => "K",
        "Pa" => "Pa",
        "m/s" => "m/s",
        "km/h" => "km/h",
        "cm" => "cm",
        "m/s²" => "m/s2",
        "rpm" => "1/min",
        "L" => "l",
        "m³" => "m3",
        "Wh" => "Wh",
        "kWh" => "kWh",
        "Ω" => "Ohm",
        "dBm" => "dBm",
        _ => return None,
    })
}
