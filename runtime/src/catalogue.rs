//! All kinds that this program has, for whoever checks a config.

use schemars::JsonSchema;
use sedge_config::{Catalogue, Kind, Section};
use sedge_plugin::NoSettings;
use sedge_plugins::destinations::DESTINATIONS;
use sedge_plugins::{GPIOS, PLUGINS, processors, sensors};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::extend;

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
    kinds.extend(
        processors::KINDS.iter().map(|kind| row(Section::Processor, kind.kind, (kind.schema)(), &[])),
    );
    let added = extend::added();
    let none = schemars::schema_for!(NoSettings).to_value();
    kinds.extend(added.sensors.iter().map(|k| row(Section::Sensor, k.kind, (k.schema)(), k.addresses)));
    kinds.extend(added.processors.iter().map(|k| row(Section::Processor, k.kind, (k.schema)(), &[])));
    kinds.extend(added.plugins.iter().map(|plugin| {
        let schema = plugin.info.settings.clone().unwrap_or_else(|| none.clone());
        row(Section::Plugin, &plugin.info.name, schema, &[])
    }));
    kinds.extend(DESTINATIONS.iter().map(|kind| row(Section::Destination, kind.name, (kind.schema)(), &[])));
    let reserved = vec![("mqtt".into(), "[mqtt]".into()), ("node".into(), "[node]".into())];
    Catalogue { kinds, reserved, expression: Some(expression) }
}

fn expression(text: &str) -> Result<(), (usize, String)> {
    match sedge_plugin::expr::parse(text) {
        Ok(expression) if expression.inputs().iter().any(|input| input.sensor.is_none()) => {
            Err((0, "a condition names its sensors: `tank.level`, not `level`".into()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err((error.at, error.message)),
    }
}
