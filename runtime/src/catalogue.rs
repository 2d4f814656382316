//! All kinds that this program has, for whoever checks a config.

use schemars::JsonSchema;
use sedge_config::{Catalogue, Kind, Section};
use sedge_plugin::NoSettings;
use sedge_plugins::{GPIOS, PLUGINS, sensors};
use serde::Deserialize;
use serde_json::Value as Json;

/// Settings of a bus of the kinds `i2c` and `gpio`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BusSettings {
    /// The device node; without it: made from the bus's name, `/dev/i2c-1` for `[bus.i2c-1]`.
    pub device: Option<String>,
}

/// The kinds of a `[bus.NAME]` section.
pub const BUSES: [&str; 3] = ["i2c", "gpio", "sim"];

/// The catalogue of this program.
pub fn catalogue() -> Catalogue {
    let row = |section, name: &str, schema: Json, addresses: &[u8]| Kind {
        section,
        name: name.into(),
        schema,
        addresses: addresses.into(),
    };
    let none = schemars::schema_for!(NoSettings).to_value();
    let bus = |name: &str| match name {
        "sim" => none.clone(),
        _ => schemars::schema_for!(BusSettings).to_value(),
    };
    let mut kinds: Vec<Kind> = BUSES.iter().map(|name| row(Section::Bus, name, bus(name), &[])).collect();
    kinds.extend(
        sensors::KINDS.iter().map(|kind| row(Section::Sensor, kind.kind, (kind.schema)(), kind.addresses)),
    );
    kinds.extend(GPIOS.iter().map(|kind| row(Section::Gpio, kind.name, (kind.schema)(), &[])));
    kinds.extend(PLUGINS.iter().map(|kind| row(Section::Plugin, kind.name, (kind.schema)(), &[])));
    Catalogue { kinds, reserved: vec![("mqtt".into(), "[mqtt]".into())] }
}
