//! A small catalogue, shaped as the real one.

use sedge_config::{Catalogue, Kind, Section};
use serde_json::{Value, json};

/// The shape of the real check: where it is wrong, and why.
fn expression(text: &str) -> Result<(), (usize, String)> {
    match text.find(['?', '=']) {
        Some(at) => Err((at, format!("unexpected `{}` in the condition", &text[at..=at]))),
        None if text.trim_end().ends_with('>') => Err((text.len(), "the condition ends too early".into())),
        None => Ok(()),
    }
}

pub(crate) fn catalogue() -> Catalogue {
    let kind = |section, name: &str, addresses: &[u8], properties: Value| Kind {
        section,
        name: name.into(),
        schema: json!({ "type": "object", "properties": properties, "additionalProperties": false }),
        addresses: addresses.into(),
    };
    let duration = json!({ "type": "string", "format": "duration", "description": "How often it is read." });
    let mode = json!({
        "description": "How it measures.",
        "oneOf": [
            { "const": "normal", "type": "string", "description": "All the time." },
            { "const": "forced", "type": "string", "description": "Once for each reading." },
        ]
    });
    let oversampling = json!({ "type": "integer", "format": "uint8", "minimum": 1, "maximum": 16 });
    let offset =
        json!({ "type": "number", "format": "float", "description": "Added to every reading. Celsius." });
    Catalogue {
        expression: Some(expression),
        reserved: vec![("mqtt".into(), "[mqtt]".into())],
        kinds: vec![
            kind(Section::Bus, "i2c", &[], json!({ "device": { "type": "string" } })),
            kind(Section::Bus, "gpio", &[], json!({ "chip": { "type": "string" } })),
            kind(Section::Bus, "sim", &[], json!({ "seed": { "type": "integer", "minimum": 0 } })),
            kind(
                Section::Sensor,
                "bme280",
                &[0x76, 0x77],
                json!({ "mode": mode, "oversampling": oversampling, "offset": offset }),
            ),
            kind(Section::Sensor, "sht3x", &[0x44, 0x45], json!({})),
            kind(Section::Sensor, "cpu", &[], json!({})),
            kind(Section::Gpio, "relay", &[], json!({ "inverted": { "type": "boolean" } })),
            kind(Section::Gpio, "button", &[], json!({})),
            kind(Section::Plugin, "system", &[], json!({ "every": duration })),
            kind(
                Section::Plugin,
                "weather",
                &[],
                json!({ "api_token": { "type": "string" }, "pin": { "type": "string", "writeOnly": true } }),
            ),
            kind(Section::Processor, "smooth", &[], json!({ "window": { "type": "integer", "minimum": 1 } })),
            kind(Section::Processor, "limit", &[], json!({ "max": { "type": "number", "default": 100.0 } })),
            kind(Section::Destination, "file", &[], json!({ "path": { "type": "string" } })),
            Kind {
                section: Section::Plugin,
                name: "strange".into(),
                schema: json!({ "properties": { "name": { "pattern": "^a" } } }),
                addresses: Vec::new(),
            },
        ],
    }
}
