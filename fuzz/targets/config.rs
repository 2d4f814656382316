//! Any text as `sedge.toml`: no panic, and every mistake has its place in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_config::{Catalogue, Kind, Section};

fuzz_target!(|text: &str| {
    let row = |section, name: &str, addresses: &[u8], buses: &[&str]| Kind {
        section,
        name: name.into(),
        schema: serde_json::json!({ "type": "object", "properties": { "offset": { "type": "number" } }, "additionalProperties": false }),
        addresses: addresses.into(),
        buses: buses.iter().map(|bus| (*bus).into()).collect(),
        outside: None,
    };
    let kinds = vec![
        row(Section::Bus, "i2c", &[], &[]),
        row(Section::Bus, "sim", &[], &[]),
        row(Section::Bus, "tca9548a", &[], &["i2c", "tca9548a", "sim"]),
        row(Section::Bus, "w1", &[], &[]),
        row(Section::Sensor, "bme280", &[0x76, 0x77], &["i2c", "tca9548a", "sim"]),
        row(Section::Sensor, "ds18b20", &[], &["w1", "sim"]),
        row(Section::Gpio, "relay", &[], &["gpio", "sim"]),
        row(Section::Gpio, "power", &[], &["gpio", "sim"]),
        row(Section::Plugin, "system", &[], &[]),
    ];
    let outcome = sedge_config::parse("sedge.toml", text, &Catalogue { kinds, ..Catalogue::default() });
    let lines = text.lines().count().max(1);
    for diagnostic in &outcome.diagnostics {
        assert!((1..=lines + 1).contains(&diagnostic.line));
        let _ = (diagnostic.one_line(), diagnostic.render(true));
    }
});
