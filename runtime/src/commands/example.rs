//! Sections of a config as a person would write them: for the kinds, and for what was found.
//!
//! What must be written is, with its default, else the first that its schema takes. Each is checked by a test.

use std::fmt::Write;

use sedge_plugin::{Attachment, Every, SensorKind};
use serde_json::Value as Json;

/// How often a sensor is read, unless told otherwise.
pub const EVERY: Every = Every::secs(10);

/// A section for one sensor of a kind, with the bus that it is on.
pub fn of(kind: &SensorKind) -> String {
    let bus = usual_bus(kind.bus());
    let mut text = format!("{}\n", bus_section(bus, kind.bus()));
    // No two sections have one name.
    let id = if kind.kind == bus { format!("{bus}-1") } else { kind.kind.to_owned() };
    text.push_str(&sensor(kind, &id, bus, &usual_address(kind)));
    text
}

/// What a bus of that kind is usually called.
pub fn usual_bus(kind: &str) -> &str {
    match kind {
        "i2c" => "i2c-1",
        "spi" => "spi0",
        other => other,
    }
}

/// `[bus.i2c-1]`.
pub fn bus_section(name: &str, kind: &str) -> String {
    format!("[bus.{name}]\nkind = \"{kind}\"\n")
}

/// `[sensor.ID]`. `address` is as it is written; nothing where it is empty.
pub fn sensor(kind: &SensorKind, id: &str, bus: &str, address: &str) -> String {
    sensor_every(kind, id, bus, address, EVERY)
}

/// As [`sensor`], read so often.
pub fn sensor_every(kind: &SensorKind, id: &str, bus: &str, address: &str, every: Every) -> String {
    let mut text = format!("[sensor.{id}]\nkind = \"{}\"\nbus = \"{bus}\"\n", kind.kind);
    if !address.is_empty() {
        text.push_str(&format!("address = {address}\n"));
    }
    let _ = writeln!(text, "every = \"{every}\"");
    for (key, value) in required(&(kind.schema)()) {
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

fn usual_address(kind: &SensorKind) -> String {
    match kind.attachment {
        Attachment::I2c { addresses, .. } => {
            addresses.first().map(|address| format!("{address:#04x}")).unwrap_or_default()
        }
        Attachment::Spi { .. } => "0".into(),
        Attachment::Files { .. } => String::new(),
    }
}

/// The settings that must be written, each with a value that it takes.
fn required(schema: &Json) -> Vec<(String, String)> {
    let names = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = names.iter().filter_map(Json::as_str);
    names.map(|name| (name.to_owned(), toml(&value(&schema["properties"][name], schema, 4)))).collect()
}

/// A value that a schema takes.
fn value(schema: &Json, root: &Json, depth: u8) -> Json {
    let Some(depth) = depth.checked_sub(1) else { return Json::Null };
    if let Some(there) = ["default", "const"].iter().map(|key| &schema[*key]).find(|v| !v.is_null()) {
        return there.clone();
    }
    if let Some(first) = ["examples", "enum"].iter().find_map(|key| schema[*key].get(0)) {
        return first.clone();
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|to| root.pointer(to.strip_prefix('#')?)) {
        return value(target, root, depth);
    }
    if let Some(first) = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema[*key].get(0)) {
        return value(first, root, depth);
    }
    let word = schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str());
    match word {
        Some("integer") => schema.get("minimum").cloned().unwrap_or(1.into()),
        Some("number") => {
            schema.get("minimum").and_then(Json::as_f64).filter(|n| *n > 0.0).unwrap_or(1.0).into()
        }
        Some("boolean") => false.into(),
        Some("array") => {
            let least = schema["minItems"].as_u64().unwrap_or_default();
            (0..least).map(|_| value(&schema["items"], root, depth)).collect()
        }
        Some("object") => {
            let names = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names = names.iter().filter_map(Json::as_str);
            names.map(|name| (name.to_owned(), value(&schema["properties"][name], root, depth))).collect()
        }
        _ => "".into(),
    }
}

/// A value as TOML has it, on one line.
pub fn toml(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{} = {}", self::key(key), toml(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        // A string of JSON is one of TOML.
        other => other.to_string(),
    }
}

/// A key, in quotes where it needs them.
fn key(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if is_bare { key.into() } else { Json::from(key).to_string() }
}
