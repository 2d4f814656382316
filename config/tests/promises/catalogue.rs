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
    let kind = |section, name: &str, addresses: &[u8], buses: &[&str], properties: Value| Kind {
        section,
        name: name.into(),
        schema: json!({ "type": "object", "properties": properties, "additionalProperties": false }),
        addresses: addresses.into(),
        buses: buses.iter().map(|&bus| bus.into()).collect(),
        outside: None,
    };
    let i2c = ["i2c", "tca9548a", "sim", "replay"];
    let gpio = ["gpio", "sim"];
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
    let (text, span) = (json!({ "type": "string" }), json!({ "type": "string", "format": "duration" }));
    let (boolean, number) = (json!({ "type": "boolean" }), json!({ "type": "number" }));
    let adapter = json!({ "device": text, "timeout": span, "rebind": text });
    let mux = json!({
        "type": "object",
        "properties": {
            "bus": text,
            "address": { "type": "integer", "minimum": 0x70, "maximum": 0x77, "default": 0x70 },
            "channel": { "type": "integer", "minimum": 0, "maximum": 7 },
        },
        "required": ["bus", "channel"],
        "additionalProperties": false,
    });
    let power = json!({ "active_low": boolean, "off": span, "settle": span });
    let input = json!({ "pull": text, "debounce": span, "active_low": boolean });
    let counter = json!({ "pull": text, "debounce": span, "per_unit": number, "unit": text });
    Catalogue {
        expression: Some(expression),
        broken: Vec::new(),
        reserved: vec![("mqtt".into(), "[mqtt]".into())],
        kinds: vec![
            kind(Section::Bus, "i2c", &[], &[], adapter),
            kind(Section::Bus, "gpio", &[], &[], json!({ "chip": { "type": "string" } })),
            kind(Section::Bus, "sim", &[], &[], json!({ "seed": { "type": "integer", "minimum": 0 } })),
            kind(
                Section::Sensor,
                "bme280",
                &[0x76, 0x77],
                &i2c,
                json!({ "mode": mode, "oversampling": oversampling, "offset": offset }),
            ),
            kind(Section::Sensor, "sht3x", &[0x44, 0x45], &i2c, json!({})),
            kind(Section::Sensor, "cpu", &[], &[], json!({})),
            kind(Section::Gpio, "relay", &[], &gpio, json!({ "inverted": { "type": "boolean" } })),
            kind(Section::Gpio, "button", &[], &gpio, json!({})),
            kind(Section::Plugin, "system", &[], &[], json!({ "every": duration })),
            kind(
                Section::Plugin,
                "weather",
                &[],
                &[],
                json!({ "api_token": { "type": "string" }, "pin": { "type": "string", "writeOnly": true } }),
            ),
            kind(
                Section::Processor,
                "smooth",
                &[],
                &[],
                json!({ "window": { "type": "integer", "minimum": 1 } }),
            ),
            kind(
                Section::Processor,
                "limit",
                &[],
                &[],
                json!({ "max": { "type": "number", "default": 100.0 } }),
            ),
            kind(Section::Destination, "file", &[], &[], json!({ "path": { "type": "string" } })),
            Kind {
                section: Section::Plugin,
                name: "strange".into(),
                schema: json!({ "properties": { "name": { "pattern": "^a" } } }),
                addresses: Vec::new(),
                buses: Vec::new(),
                outside: None,
            },
            kind(Section::Bus, "spi", &[], &[], json!({ "device": { "type": "string" } })),
            kind(Section::Bus, "w1", &[], &[], json!({})),
            kind(Section::Bus, "hwmon", &[], &[], json!({})),
            kind(Section::Bus, "pwm", &[], &[], json!({})),
            Kind {
                section: Section::Bus,
                name: "tca9548a".into(),
                schema: mux,
                addresses: Vec::new(),
                buses: ["i2c", "tca9548a", "sim"].map(str::to_owned).into(),
                outside: None,
            },
            kind(Section::Sensor, "shtc3", &[0x70], &i2c, json!({})),
            kind(Section::Sensor, "max31855", &[], &["spi", "sim", "replay"], json!({})),
            kind(Section::Sensor, "ds18b20", &[], &["w1", "sim", "replay"], json!({})),
            kind(Section::Sensor, "hwmon", &[], &["hwmon", "sim", "replay"], json!({})),
            kind(Section::Gpio, "power", &[], &gpio, power),
            kind(Section::Gpio, "input", &[], &gpio, input),
            kind(Section::Gpio, "counter", &[], &gpio, counter),
            kind(
                Section::Gpio,
                "pwm",
                &[],
                &["gpio", "pwm", "sim"],
                json!({ "frequency": { "type": "number" } }),
            ),
        ],
    }
}
