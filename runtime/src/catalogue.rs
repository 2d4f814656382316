//! All kinds that this program has compiled in; [`Shelf`](crate::shelf::Shelf) adds those on disk.

use sedge_config::{Catalogue, Kind, Section};
use sedge_plugin::{NoSettings, SensorKind};
use sedge_plugins::destinations::DESTINATIONS;
use sedge_plugins::{GPIOS, PLUGINS, processors, sensors};
use serde_json::Value as Json;

use crate::buses::{BUSES, serving};
use crate::extend;

/// The catalogue of this program.
pub fn catalogue() -> Catalogue {
    let row = |section, name: &str, schema: Json| Kind {
        section,
        name: name.into(),
        schema,
        addresses: Vec::new(),
        buses: Vec::new(),
        outside: None,
    };
    let sensor = |kind: &SensorKind| Kind {
        addresses: kind.addresses().into(),
        buses: serving(kind.bus()),
        ..row(Section::Sensor, kind.kind, (kind.schema)())
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).into()).collect();
    let mut kinds: Vec<Kind> = BUSES
        .iter()
        .map(|kind| Kind { buses: words(kind.buses), ..row(Section::Bus, kind.name, (kind.schema)()) })
        .collect();
    kinds.extend(sensors::KINDS.iter().map(sensor));
    kinds.extend(GPIOS.iter().map(|kind| {
        // A pulse may come from a line or from what the board has for it.
        let buses: &[&str] = if kind.name == "pwm" { &["gpio", "pwm", "sim"] } else { &["gpio", "sim"] };
        Kind { buses: words(buses), ..row(Section::Gpio, kind.name, (kind.schema)()) }
    }));
    kinds.extend(PLUGINS.iter().map(|kind| row(Section::Plugin, kind.name, (kind.schema)())));
    kinds.extend(processors::KINDS.iter().map(|kind| row(Section::Processor, kind.kind, (kind.schema)())));
    let added = extend::added();
    let none = schemars::schema_for!(NoSettings).to_value();
    kinds.extend(added.sensors.iter().map(sensor));
    kinds.extend(added.processors.iter().map(|k| row(Section::Processor, k.kind, (k.schema)())));
    kinds.extend(added.plugins.iter().map(|plugin| {
        let schema = plugin.info.settings.clone().unwrap_or_else(|| none.clone());
        row(Section::Plugin, &plugin.info.name, schema)
    }));
    kinds.extend(DESTINATIONS.iter().map(|kind| row(Section::Destination, kind.name, (kind.schema)())));
    let reserved = vec![("mqtt".into(), "[mqtt]".into()), ("node".into(), "[node]".into())];
    Catalogue { kinds, broken: Vec::new(), reserved, expression: Some(expression) }
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
