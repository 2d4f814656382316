//! Makes plugins of a config: opens the buses, joins settings and hardware.
//!
//! A mistake in one instance makes that one `failed`; nothing here stops the node. What is made carries a fingerprint of
//! all that the config says of it, its bus included, so that a reload restarts what has changed and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use sedge_actors::{Guard, PluginSpec};
use sedge_config::{Bus, Config, Destination, Gpio, Processor, Sensor};
use sedge_hal::{I2cBus, Lines, SimBus};
use sedge_mqtt::MqttBridge;
use sedge_plugin::prelude::*;
use sedge_plugins::destinations::{self, Start};
use sedge_plugins::plausible::Plausible;
use sedge_plugins::processor::{Applies, ProcessorArgs, ProcessorPlugin};
use sedge_plugins::prometheus::{self, Prometheus};
use sedge_plugins::relay::{self, Relay, RelayArgs};
use sedge_plugins::sensor::{SensorArgs, SensorPlugin};
use sedge_plugins::system::{self, System, SystemArgs};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::catalogue::BusSettings;
use crate::extend;

/// A bus that was opened.
#[derive(Clone)]
enum Opened {
    I2c(I2cBus),
    Gpio(Lines),
    Sim(SimBus, I2cBus),
}

/// A bus as it was opened, with the fingerprint of what the config said.
struct Known {
    fingerprint: u64,
    opened: Result<Opened, String>,
    /// The devices on a simulated bus: one that goes on must not be made anew under its driver.
    simulated: BTreeMap<Id, u64>,
}

/// The hardware of a node, and how plugins are made of a config for it. Outlives reloads.
pub struct House {
    clock: Arc<dyn Clock>,
    buses: BTreeMap<String, Known>,
}

/// The bridge, as it is to be, with the fingerprint of its settings.
pub type Bridge = (sedge_mqtt::Settings, u64);

impl House {
    /// A house without hardware.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, buses: BTreeMap::new() }
    }

    /// The plugins of a config. `bridge` is left out where nothing is to be published. `load` names the only ones that are
    /// to run, where not all are.
    pub fn plugins(
        &mut self,
        config: Config,
        bridge: Option<Bridge>,
        load: Option<&[String]>,
    ) -> Vec<PluginSpec> {
        self.open(&config.buses);
        let mut specs = Vec::new();
        if let Some((settings, fingerprint)) = bridge {
            let id = Id::sanitized("mqtt", "mqtt");
            specs.push(PluginSpec::new::<MqttBridge>(id, settings).fingerprint(fingerprint));
        }
        let chains: Vec<(Id, Vec<Id>)> = config
            .sensors
            .iter()
            .map(|sensor| (sensor.id.clone(), sensor.process.clone().unwrap_or_default()))
            .collect();
        named::<Plausible>(&config, true, &mut specs, |_: Json| Ok(()));
        named::<System>(&config, true, &mut specs, |settings: system::Settings| {
            SystemArgs::new(settings).map_err(|error| error.to_string())
        });
        named::<Prometheus>(&config, false, &mut specs, |settings: prometheus::Settings| Ok(settings));
        added(&config, &mut specs);
        unknown(&config, &mut specs);
        specs.extend(config.processors.into_iter().map(|processor| self::processor(processor, &chains)));
        specs.extend(config.destinations.into_iter().map(destination));
        specs.extend(config.gpios.into_iter().map(|gpio| self.relay(gpio)));
        specs.extend(config.sensors.into_iter().map(|sensor| self.sensor(sensor)));
        match load {
            Some(load) => specs.into_iter().map(|spec| restricted(spec, load)).collect(),
            None => specs,
        }
    }

    /// Opens the buses that are new or have changed, and lets go of those that are gone.
    fn open(&mut self, buses: &[Bus]) {
        let mut before = std::mem::take(&mut self.buses);
        let mut devices: BTreeMap<PathBuf, Id> = BTreeMap::new();
        for bus in buses {
            let device = device_named(bus).filter(|_| bus.kind != "sim");
            if let Some(other) = device.and_then(|device| devices.insert(device, bus.id.clone())) {
                let opened = Err(format!("bus `{other}` has the same device as bus `{}`", bus.id));
                self.buses
                    .insert(bus.id.to_string(), Known { fingerprint: 0, opened, simulated: BTreeMap::new() });
                continue;
            }
            let fingerprint = bus.fingerprint();
            let known = before.remove(bus.id.as_str()).filter(|known| known.fingerprint == fingerprint);
            let known = known.unwrap_or_else(|| Known {
                fingerprint,
                opened: open(bus, &self.clock),
                simulated: BTreeMap::new(),
            });
            self.buses.insert(bus.id.to_string(), known);
        }
    }

    fn bus(&self, name: &str) -> Result<&Opened, String> {
        match self.buses.get(name) {
            Some(known) => known.opened.as_ref().map_err(Clone::clone),
            None => Err(format!("there is no bus `{name}`")),
        }
    }

    /// What the config says of an instance and of its bus, as a number.
    fn fingerprint(&self, own: u64, bus: &str) -> u64 {
        let bus = self.buses.get(bus).map_or(0, |known| known.fingerprint);
        sedge_plugin::fnv1a(format!("{own:x} {bus:x}").as_bytes())
    }

    fn sensor(&mut self, sensor: Sensor) -> PluginSpec {
        let fingerprint = self.fingerprint(sensor.fingerprint(), sensor.bus.as_deref().unwrap_or_default());
        let (id, kind) = (sensor.id.clone(), sensor.kind.clone());
        let spec = self
            .sensor_args(sensor, fingerprint)
            .map(|args| PluginSpec::new::<SensorPlugin>(id.clone(), args));
        spec.unwrap_or_else(|barred| barred.spec(id, &kind)).kind(&kind).fingerprint(fingerprint)
    }

    fn sensor_args(&mut self, sensor: Sensor, fingerprint: u64) -> Result<SensorArgs, Barred> {
        let Sensor { id, kind, bus, address, every, settings, fault, enabled, .. } = sensor;
        Barred::check(fault, enabled)?;
        let kind = extend::sensor(&kind).ok_or_else(|| format!("there is no kind `{kind}`"))?;
        let (bus_name, address) = (bus.unwrap_or_default(), address.or(kind.addresses.first().copied()));
        let address = address.ok_or_else(|| format!("a `{}` has no address", kind.kind))?;
        let i2c = match self.bus(&bus_name)?.clone() {
            Opened::I2c(i2c) => i2c,
            Opened::Sim(sim, i2c) => {
                let simulated = self.buses.get_mut(&bus_name).map(|known| &mut known.simulated);
                if simulated.and_then(|all| all.insert(id.clone(), fingerprint)) != Some(fingerprint) {
                    sim.simulate(&id, address, kind);
                }
                i2c
            }
            Opened::Gpio(_) => return Err(format!("`{bus_name}` is no I2C bus").into()),
        };
        Ok(SensorArgs { kind, bus: i2c, bus_name, address, every: every.0, settings: settings.into_value() })
    }

    fn relay(&self, gpio: Gpio) -> PluginSpec {
        let fingerprint = self.fingerprint(gpio.fingerprint(), &gpio.bus);
        let (id, kind) = (gpio.id.clone(), gpio.kind.clone());
        let spec = self.relay_args(gpio).map(|args| PluginSpec::new::<Relay>(id.clone(), args));
        spec.unwrap_or_else(|barred| barred.spec(id, &kind)).fingerprint(fingerprint)
    }

    fn relay_args(&self, gpio: Gpio) -> Result<RelayArgs, Barred> {
        let Gpio { bus, line, settings, fault, enabled, .. } = gpio;
        Barred::check(fault, enabled)?;
        let lines = match self.bus(&bus)? {
            Opened::Gpio(lines) => lines.clone(),
            Opened::Sim(sim, _) => sim.lines(),
            Opened::I2c(_) => return Err(format!("`{bus}` is no GPIO chip").into()),
        };
        let settings = read::<relay::Settings>(settings.into_value())?;
        Ok(RelayArgs { lines, chip_name: bus, line: line.into(), settings })
    }
}

/// Why an instance is not started.
enum Barred {
    Disabled,
    Failed(String),
}

impl Barred {
    fn check(fault: Option<String>, enabled: bool) -> Result<(), Self> {
        match fault {
            Some(fault) => Err(Self::Failed(fault)),
            None if enabled => Ok(()),
            None => Err(Self::Disabled),
        }
    }

    fn spec(self, id: Id, kind: &str) -> PluginSpec {
        match self {
            Self::Disabled => PluginSpec::barred(id, kind, State::Disabled, None),
            Self::Failed(why) => PluginSpec::barred(id, kind, State::Failed, Some(why)),
        }
    }
}

impl From<String> for Barred {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// The same config with every bus simulated.
pub fn simulated(mut config: Config) -> Config {
    for bus in &mut config.buses {
        bus.kind = "sim".into();
    }
    config
}

/// The guards of a config. One that cannot be understood lets nothing through.
pub fn guards(config: &Config) -> Vec<Guard> {
    let guard = |guard: &sedge_config::Guard| {
        let condition = guard.only_if.as_deref().map(sedge_plugin::expr::parse).transpose();
        let fault = guard.fault.clone().or_else(|| condition.as_ref().err().map(ToString::to_string));
        Guard {
            tools: if fault.is_some() && guard.tools.is_empty() {
                vec!["*".into()]
            } else {
                guard.tools.clone()
            },
            allow: guard.allow.clone().unwrap_or_else(|| vec!["*".into()]),
            deny: guard.deny.clone(),
            cooldown: guard.cooldown.map(|every| every.0),
            at_most: guard.at_most.zip(guard.per).map(|(most, per)| (most, per.0)),
            only_if: condition.ok().flatten(),
            max_age: guard.max_age.0,
            dry_run: guard.dry_run,
            fault,
            ..Guard::new(guard.id.clone())
        }
    };
    config.guards.iter().filter(|guard| guard.enabled || guard.fault.is_some()).map(guard).collect()
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

/// The device of a bus, where its settings can be read.
fn device_named(bus: &Bus) -> Option<PathBuf> {
    let settings: BusSettings = read(bus.settings.clone().into_value()).ok()?;
    Some(settings.device.map_or_else(|| device_of(&bus.id, &bus.kind), PathBuf::from))
}

/// `/dev/i2c-1` for a bus called `i2c-1`; `/dev/gpiochip0` for one called `gpio0`.
fn device_of(bus: &Id, kind: &str) -> PathBuf {
    let number = bus.as_str().trim_start_matches(|c: char| !c.is_ascii_digit());
    match kind {
        "gpio" if !number.is_empty() => format!("/dev/gpiochip{number}").into(),
        _ => format!("/dev/{bus}").into(),
    }
}

fn processor(processor: Processor, chains: &[(Id, Vec<Id>)]) -> PluginSpec {
    let own = processor.fingerprint();
    let Processor { id, kind, sensors, priority, enabled, settings, fault, .. } = processor;
    let place = |(sensor, chain): &(Id, Vec<Id>)| {
        let place = chain.iter().position(|name| *name == id)?;
        Some((sensor.clone(), u16::try_from(place).unwrap_or(u16::MAX)))
    };
    let chains: BTreeMap<Id, u16> = chains.iter().filter_map(place).collect();
    // One that sensors name and that names none itself is for those that name it, and for nobody else.
    let sensors: Option<BTreeSet<Id>> = match sensors {
        Some(sensors) => Some(ids(&sensors).collect()),
        None => (!chains.is_empty()).then(BTreeSet::new),
    };
    let applies = Applies { sensors, priority, chains };
    let fingerprint = sedge_plugin::fnv1a(format!("{own:x} {applies:?}").as_bytes());
    let spec = Barred::check(fault, enabled).and_then(|()| {
        let kind = extend::processor(&kind).ok_or_else(|| format!("there is no kind `{kind}`"))?;
        let args = ProcessorArgs::new(kind, settings.into_value(), applies);
        Ok(PluginSpec::new::<ProcessorPlugin>(id.clone(), args))
    });
    spec.unwrap_or_else(|barred| barred.spec(id, &kind)).kind(&kind).fingerprint(fingerprint)
}

/// Makes a spec of a destination, whose type only its table knows.
struct Specify(Id);

impl Start for Specify {
    type Out = PluginSpec;
    fn start<P: Plugin>(self, args: P::Args) -> PluginSpec {
        PluginSpec::new::<P>(self.0, args)
    }
}

fn destination(destination: Destination) -> PluginSpec {
    let fingerprint = destination.fingerprint();
    let Destination { id, kind, sensors, enabled, settings, fault, .. } = destination;
    let spec = Barred::check(fault, enabled).and_then(|()| {
        let sensors = sensors.map(|sensors| ids(&sensors).collect());
        match destinations::start(&kind, settings.into_value(), sensors, Specify(id.clone())) {
            Some(spec) => spec.map_err(|error| Barred::Failed(format!("settings: {error}"))),
            None => Err(format!("there is no kind `{kind}`").into()),
        }
    });
    spec.unwrap_or_else(|barred| barred.spec(id, &kind)).kind(&kind).fingerprint(fingerprint)
}

fn ids(texts: &[String]) -> impl Iterator<Item = Id> {
    texts.iter().filter_map(|text| Id::new(text).ok())
}

/// The instances of a plugin: one for each section that is about it, with its settings; where there is none and it runs by
/// default, one with its defaults.
fn named<P: Named>(
    config: &Config,
    by_default: bool,
    specs: &mut Vec<PluginSpec>,
    args: impl Fn(P::Settings) -> Result<P::Args, String>,
) {
    let name = P::MANIFEST.name;
    let sections: Vec<_> = config.plugins.iter().filter(|plugin| plugin.kind == name).collect();
    for section in &sections {
        let made = Barred::check(section.fault.clone(), section.enabled).and_then(|()| {
            let args = read(section.settings.clone().into_value()).and_then(&args)?;
            Ok(PluginSpec::new::<P>(section.id.clone(), args))
        });
        let spec = made.unwrap_or_else(|barred| barred.spec(section.id.clone(), name));
        specs.push(spec.fingerprint(section.fingerprint()));
    }
    if sections.is_empty() && by_default {
        let id = Id::sanitized(name, name);
        let made = read(Json::Object(Default::default())).and_then(&args);
        specs.push(match made {
            Ok(args) => PluginSpec::new::<P>(id, args).by_default(),
            Err(why) => PluginSpec::barred(id, name, State::Failed, Some(why)),
        });
    }
}

/// The instances of plugins that were added to the program: one for each section that is about one.
fn added(config: &Config, specs: &mut Vec<PluginSpec>) {
    for plugin in &extend::added().plugins {
        for section in config.plugins.iter().filter(|section| section.kind == plugin.info.name) {
            let made = Barred::check(section.fault.clone(), section.enabled)
                .and_then(|()| Ok((plugin.spec)(section.id.clone(), section.settings.clone().into_value())?));
            let spec = made.unwrap_or_else(|barred| barred.spec(section.id.clone(), &section.kind));
            specs.push(spec.fingerprint(section.fingerprint()));
        }
    }
}

/// Sections about plugins that this program does not have: the config has said so, the list shows it too.
fn unknown(config: &Config, specs: &mut Vec<PluginSpec>) {
    let known = |kind: &str| {
        let added = &extend::added().plugins;
        sedge_plugins::PLUGINS.iter().any(|plugin| plugin.name == kind)
            || added.iter().any(|plugin| plugin.info.name == kind)
    };
    for section in config.plugins.iter().filter(|section| !known(&section.kind)) {
        let why = section.fault.clone().unwrap_or_else(|| format!("there is no plugin `{}`", section.kind));
        let spec = PluginSpec::barred(section.id.clone(), &section.kind, State::Failed, Some(why));
        specs.push(spec.fingerprint(section.fingerprint()));
    }
}

/// Switches a plugin off that is not named.
fn restricted(spec: PluginSpec, load: &[String]) -> PluginSpec {
    if load.iter().any(|name| name == spec.id().as_str()) {
        return spec;
    }
    spec.not_started(State::Disabled, Some("not named in SEDGE_LOAD_PLUGINS".into()))
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

impl Named for Prometheus {
    type Settings = prometheus::Settings;
}

/// The config was checked against the schema of the kind, so what is wrong here is a hole in the schema.
fn read<T: DeserializeOwned>(settings: Json) -> Result<T, String> {
    serde_json::from_value(settings).map_err(|error| format!("settings: {error}"))
}
