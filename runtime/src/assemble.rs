//! Makes plugins of a config: opens the buses, joins settings and hardware, decides the order.
//!
//! The order of start is the reverse of the order of stop: the bridge first, so that it publishes the end of all others;
//! then what processes readings, then what makes them. A mistake in one instance makes that one `failed`; nothing here
//! stops the node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sedge_actors::PluginSpec;
use sedge_config::{Bus, Config, Gpio, Sensor};
use sedge_hal::{I2cBus, Lines, SimBus};
use sedge_mqtt::MqttBridge;
use sedge_plugin::{Clock, Id, Plugin, State};
use sedge_plugins::plausible::Plausible;
use sedge_plugins::relay::{self, Relay, RelayArgs};
use sedge_plugins::sensor::{SensorArgs, SensorPlugin};
use sedge_plugins::sensors;
use sedge_plugins::system::{self, System, SystemArgs};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::catalogue::BusSettings;

/// A bus that was opened.
enum Opened {
    I2c(I2cBus),
    Gpio(Lines),
    Sim(SimBus, I2cBus),
}

type Buses = BTreeMap<String, Result<Opened, String>>;

/// The plugins of a config, in the order in which they start. `bridge` is left out where nothing is to be published.
pub fn assemble(
    config: Config,
    bridge: Option<sedge_mqtt::Settings>,
    clock: &Arc<dyn Clock>,
) -> Vec<PluginSpec> {
    let buses: Buses = config.buses.iter().map(|bus| (bus.id.to_string(), open(bus, clock))).collect();
    let mut specs = Vec::new();
    if let Some(settings) = bridge {
        specs.push(PluginSpec::new::<MqttBridge>(Id::sanitized("mqtt", "mqtt"), settings));
    }
    specs.push(named::<Plausible>(&config, |_: Json| Ok(())));
    specs.push(named::<System>(&config, |settings: system::Settings| {
        SystemArgs::new(settings).map_err(|error| error.to_string())
    }));
    specs.extend(config.gpios.into_iter().map(|gpio| relay(gpio, &buses)));
    specs.extend(config.sensors.into_iter().map(|sensor| self::sensor(sensor, &buses)));
    specs
}

/// The same config with every bus simulated.
pub fn simulated(mut config: Config) -> Config {
    for bus in &mut config.buses {
        bus.kind = "sim".into();
    }
    config
}

fn open(bus: &Bus, clock: &Arc<dyn Clock>) -> Result<Opened, String> {
    if let Some(fault) = &bus.fault {
        return Err(format!("its bus `{}` is at fault: {fault}", bus.id));
    }
    let threads = |error: std::io::Error| format!("no thread for bus `{}`: {error}", bus.id);
    if bus.kind == "sim" {
        let sim = SimBus::new(bus.id.as_str(), clock.clone());
        let i2c = sim.i2c().map_err(threads)?;
        return Ok(Opened::Sim(sim, i2c));
    }
    let settings: BusSettings = read(bus.settings.clone().into_value())?;
    let device = settings.device.map_or_else(|| device_of(&bus.id, &bus.kind), PathBuf::from);
    match bus.kind.as_str() {
        "i2c" => sedge_hal::i2c_bus(&device).map(Opened::I2c).map_err(threads),
        _ => Ok(Opened::Gpio(sedge_hal::lines(&device))),
    }
}

/// `/dev/i2c-1` for a bus called `i2c-1`; `/dev/gpiochip0` for one called `gpio0`.
fn device_of(bus: &Id, kind: &str) -> PathBuf {
    let number = bus.as_str().trim_start_matches(|c: char| !c.is_ascii_digit());
    match kind {
        "gpio" if !number.is_empty() => format!("/dev/gpiochip{number}").into(),
        _ => format!("/dev/{bus}").into(),
    }
}

fn sensor(sensor: Sensor, buses: &Buses) -> PluginSpec {
    let Sensor { id, kind: kind_name, bus, address, every, enabled, settings, fault } = sensor;
    let failed = |why: String| PluginSpec::barred(id.clone(), &kind_name, State::Failed, Some(why));
    if let Some(fault) = fault {
        return failed(fault);
    }
    if !enabled {
        return PluginSpec::barred(id, &kind_name, State::Disabled, None);
    }
    let Some(kind) = sensors::kind(&kind_name) else {
        return failed(format!("there is no kind `{kind_name}`"));
    };
    let (bus_name, address) = (bus.unwrap_or_default(), address.unwrap_or(kind.addresses[0]));
    let i2c = match buses.get(&bus_name) {
        Some(Ok(Opened::I2c(i2c))) => i2c.clone(),
        Some(Ok(Opened::Sim(sim, i2c))) => {
            sim.simulate(&id, address, kind);
            i2c.clone()
        }
        Some(Ok(Opened::Gpio(_))) => return failed(format!("`{bus_name}` is no I2C bus")),
        Some(Err(why)) => return failed(why.clone()),
        None => return failed(format!("there is no bus `{bus_name}`")),
    };
    let args =
        SensorArgs { kind, bus: i2c, bus_name, address, every: every.0, settings: settings.into_value() };
    PluginSpec::new::<SensorPlugin>(id, args).kind(kind.kind)
}

fn relay(gpio: Gpio, buses: &Buses) -> PluginSpec {
    let Gpio { id, kind, bus, line, enabled, settings, fault } = gpio;
    let failed = |why: String| PluginSpec::barred(id.clone(), &kind, State::Failed, Some(why));
    if let Some(fault) = fault {
        return failed(fault);
    }
    if !enabled {
        return PluginSpec::barred(id, &kind, State::Disabled, None);
    }
    let lines = match buses.get(&bus) {
        Some(Ok(Opened::Gpio(lines))) => lines.clone(),
        Some(Ok(Opened::Sim(sim, _))) => sim.lines(),
        Some(Ok(Opened::I2c(_))) => return failed(format!("`{bus}` is no GPIO chip")),
        Some(Err(why)) => return failed(why.clone()),
        None => return failed(format!("there is no bus `{bus}`")),
    };
    match read::<relay::Settings>(settings.into_value()) {
        Ok(settings) => {
            PluginSpec::new::<Relay>(id, RelayArgs { lines, chip_name: bus, line: line.into(), settings })
        }
        Err(why) => failed(why),
    }
}

/// A plugin that there is one of, with the settings of its section or, where there is none, with its defaults.
fn named<P: Named>(config: &Config, args: impl FnOnce(P::Settings) -> Result<P::Args, String>) -> PluginSpec {
    let name = P::MANIFEST.name;
    let id = Id::sanitized(name, name);
    let section = config.plugins.iter().find(|plugin| plugin.id == id);
    let failed = |why: String| PluginSpec::barred(id.clone(), name, State::Failed, Some(why));
    match section {
        Some(section) if section.fault.is_some() => return failed(section.fault.clone().unwrap_or_default()),
        Some(section) if !section.enabled => return PluginSpec::barred(id, name, State::Disabled, None),
        _ => {}
    }
    let settings =
        section.map_or_else(|| Json::Object(Default::default()), |s| s.settings.clone().into_value());
    match read(settings).and_then(args) {
        Ok(args) if section.is_some() => PluginSpec::new::<P>(id, args),
        Ok(args) => PluginSpec::new::<P>(id, args).by_default(),
        Err(why) => failed(why),
    }
}

/// A plugin that a `[plugin.NAME]` section is about.
trait Named: Plugin {
    /// What the section says.
    type Settings: DeserializeOwned;
}

impl Named for Plausible {
    type Settings = Json;
}

impl Named for System {
    type Settings = system::Settings;
}

/// The config was checked against the schema of the kind, so what is wrong here is a hole in the schema.
fn read<T: DeserializeOwned>(settings: Json) -> Result<T, String> {
    serde_json::from_value(settings).map_err(|error| format!("settings: {error}"))
}
