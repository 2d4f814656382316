//! Makes plugins of a config: opens the buses, joins settings and hardware.
//!
//! A mistake in one instance makes that one `failed`; nothing here stops the node. What is made carries a fingerprint of
//! all that the config says of it, its bus included, so that a reload restarts what has changed and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sedge_actors::{Guard, PluginSpec};
use sedge_config::{self as config, Address, Config, Destination, Section};
use sedge_hal::{Seat, Supply};
use sedge_host::install::Trust;
use sedge_host::outside::Role;
use sedge_mqtt::MqttBridge;
use sedge_plugin::grant::I2cGrant;
use sedge_plugin::prelude::*;
use sedge_plugins::audit::{self, Audit, AuditArgs};
use sedge_plugins::bus::BusPlugin;
use sedge_plugins::destinations::{self, Start};
use sedge_plugins::history::History;
use sedge_plugins::plausible::Plausible;
use sedge_plugins::processor::{Applies, LONGEST_CHAIN, OWN_CHAIN, ProcessorArgs, ProcessorPlugin};
use sedge_plugins::prometheus::{self, Prometheus};
use sedge_plugins::sensor::{SensorArgs, SensorPlugin};
use sedge_plugins::system::{self, System, SystemArgs};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::buses::{Buses, Opened};
use crate::devices::SharedDevices;
use crate::outside::{Instance, SharedIsolation, Workshop};
use crate::roster::BY_DEFAULT;
use crate::shelf::{Along, Shelf};
use crate::{callers, extend, gpio, outside, remotes};

/// The hardware of a node, and how plugins are made of a config for it. Outlives reloads.
pub struct House {
    clock: Arc<dyn Clock>,
    buses: Buses,
    /// What switches the supply of sensors, by the id of its section.
    supplies: BTreeMap<Id, Supply>,
    /// What lies beside the config, and the plugins on disk that it can name.
    along: Along,
    /// The buses, for plugins from outside.
    devices: SharedDevices,
    trust: Trust,
    isolation: SharedIsolation,
}

/// The bridge, as it is to be, with the fingerprint of its settings.
pub type Bridge = (sedge_mqtt::Settings, u64);

impl House {
    /// A house without hardware, for a config.
    pub fn new(clock: Arc<dyn Clock>, along: Along) -> Self {
        Self {
            buses: Buses::new(clock.clone(), along.folder.clone()),
            clock,
            supplies: BTreeMap::new(),
            along,
            devices: SharedDevices::default(),
            trust: Trust::default(),
            isolation: SharedIsolation::default(),
        }
    }

    /// How far each plugin from outside is kept from the rest of the machine.
    pub fn isolation(&self) -> SharedIsolation {
        self.isolation.clone()
    }

    /// What belongs to the config that comes next.
    pub fn look_again(&mut self, along: Along) {
        let data = self.along.data.take();
        self.along = Along { data, ..along };
    }

    /// The plugins of a config. `bridge` is left out where nothing is to be published. `load` names the only ones that are
    /// to run, where not all are.
    pub fn plugins(
        &mut self,
        mut config: Config,
        bridge: Option<Bridge>,
        load: Option<&[String]>,
    ) -> Vec<PluginSpec> {
        self.buses.open(&config.buses);
        self.devices.set(self.buses.all());
        self.trust = outside::trust(&config);
        self.supplies.retain(|id, _| config.gpios.iter().any(|gpio| gpio.id == *id));
        for gpio in config.gpios.iter().filter(|gpio| gpio.kind == "power") {
            self.supplies.entry(gpio.id.clone()).or_insert_with(|| Supply::new(self.clock.clone()));
        }
        let mut specs: Vec<PluginSpec> = self
            .buses
            .threads()
            .map(|(id, kind, bus, mark)| PluginSpec::new::<BusPlugin>(id, bus).kind(kind).fingerprint(mark))
            .collect();
        specs.extend(remotes::specs(&config, bridge.as_ref()));
        if let Some((settings, fingerprint)) = bridge {
            let (calls, mark) = callers::rules(&config);
            let settings = sedge_mqtt::Settings { calls, ..settings };
            let fingerprint = fingerprint.rotate_left(1) ^ mark;
            let id = Id::sanitized("mqtt", "mqtt");
            specs.push(PluginSpec::new::<MqttBridge>(id, settings).fingerprint(fingerprint));
        }
        let chains: Vec<(Id, Vec<Id>)> = config
            .sensors
            .iter()
            .map(|sensor| (sensor.id.clone(), sensor.process.clone().unwrap_or_default()))
            .collect();
        self.tell_of_shadows(&config);
        specs.extend(self.outside(&mut config, &chains));
        let shelf = self.along.shelf.clone();
        let shelf = &*shelf;
        named::<Audit>(&config, true, shelf, &mut specs, |settings: audit::Settings| {
            AuditArgs::new(settings).map_err(|error| error.to_string())
        });
        named::<History>(&config, true, shelf, &mut specs, |_: Json| Ok(()));
        named::<Plausible>(&config, true, shelf, &mut specs, |_: Json| Ok(()));
        named::<System>(&config, true, shelf, &mut specs, |settings: system::Settings| {
            SystemArgs::new(settings).map_err(|error| error.to_string())
        });
        named::<Prometheus>(&config, false, shelf, &mut specs, |settings: prometheus::Settings| Ok(settings));
        added(&config, shelf, &mut specs);
        unknown(&config, shelf, &mut specs);
        specs.extend(config.processors.into_iter().map(|processor| self::processor(processor, &chains)));
        specs.extend(config.destinations.into_iter().map(destination));
        specs.extend(config.gpios.into_iter().map(|gpio| gpio::spec(gpio, &self.buses, &self.supplies)));
        specs.extend(config.sensors.into_iter().map(|sensor| self.sensor(sensor)));
        match load {
            Some(load) => specs.into_iter().map(|spec| restricted(spec, load)).collect(),
            None => specs,
        }
    }

    /// The instances of plugins on disk, which are in the config no more thereafter.
    fn outside(&mut self, config: &mut Config, chains: &[(Id, Vec<Id>)]) -> Vec<PluginSpec> {
        let mut all = Vec::new();
        for plugin in config.plugins.extract_if(.., |plugin| plugin.outside.is_some()) {
            let mark = plugin.fingerprint();
            let config::Plugin { id, kind, enabled, settings, outside, fault, .. } = plugin;
            let (section, role, words) = (Section::Plugin, Role::Plain, outside.unwrap_or_default());
            all.push(Instance { id, section, kind, enabled, fault, settings, words, role, mark });
        }
        for processor in config.processors.extract_if(.., |processor| processor.outside.is_some()) {
            let own = processor.fingerprint();
            let config::Processor { id, kind, sensors, priority, enabled, settings, outside, fault, .. } =
                processor;
            let stage = self.stage(&kind);
            let (sensors, priority) = at_once(&applies(&id, sensors, priority, chains));
            let role = Role::Processor { stage, sensors, priority };
            let mark = sedge_plugin::fnv1a(format!("{own:x} {role:?}").as_bytes());
            let (section, words) = (Section::Processor, outside.unwrap_or_default());
            all.push(Instance { id, section, kind, enabled, fault, settings, words, role, mark });
        }
        for destination in config.destinations.extract_if(.., |destination| destination.outside.is_some()) {
            let mark = destination.fingerprint();
            let Destination { id, kind, sensors, enabled, settings, outside, fault, .. } = destination;
            let role = Role::Destination { sensors: sensors.map(|sensors| ids(&sensors).collect()) };
            let (section, words) = (Section::Destination, outside.unwrap_or_default());
            all.push(Instance { id, section, kind, enabled, fault, settings, words, role, mark });
        }
        for sensor in config.sensors.extract_if(.., |sensor| sensor.outside.is_some()) {
            all.push(self.outside_sensor(sensor));
        }
        let Self { along, devices, buses, trust, .. } = self;
        let mut told = BTreeMap::new();
        let mut workshop = Workshop { along, devices, buses, trust, isolation: &mut told };
        let specs = all.into_iter().map(|instance| workshop.spec(instance)).collect();
        self.isolation.store(Arc::new(told));
        specs
    }

    fn stage(&self, kind: &str) -> Stage {
        match self.along.shelf.kind(Section::Processor, kind) {
            Some((_, declaration)) if declaration.info.category == Category::Validator => Stage::Validate,
            _ => Stage::Process,
        }
    }

    /// A sensor whose driver runs outside. On a simulated bus the model of a kind of the node's stands for the device.
    fn outside_sensor(&mut self, sensor: config::Sensor) -> Instance {
        let bus = sensor.bus.clone().unwrap_or_default();
        let mark = self.buses.fingerprint(sensor.fingerprint(), &bus);
        let config::Sensor { id, kind, address, every, enabled, settings, outside, mut fault, .. } = sensor;
        let declared = self.along.shelf.kind(Section::Sensor, &kind);
        let declared = declared.and_then(|(_, declaration)| declaration.sensor.clone());
        let first = declared.as_ref().and_then(|declared| declared.addresses.first().copied());
        let number = match &address {
            Some(Address::Number(number)) => Some(*number),
            Some(Address::Name(_)) => None,
            None => first,
        };
        let is_i2c = declared.as_ref().is_some_and(|declared| declared.bus.as_deref() == Some("i2c"));
        let device = number.filter(|_| is_i2c).map(|address| I2cGrant { bus: bus.clone(), address });
        let model = declared.and_then(|declared| declared.simulate);
        if let (Some(model), Some(I2cGrant { address, .. })) = (model, &device) {
            match sedge_plugins::sensors::kind(&model) {
                Some(model) => self.buses.simulate(&bus, &id, &Seat::Number(*address), model, mark),
                None => {
                    let why =
                        format!("its manifest says `simulate = \"{model}\"`, and there is no such kind");
                    fault = fault.or_else(|| self.buses.is_simulated(&bus).then_some(why));
                }
            }
        }
        let place = match (&device, address) {
            (Some(device), _) => format!("{bus}/{:#04x}", device.address),
            (None, Some(address)) => format!("{bus}/{address}"),
            (None, None) => bus,
        };
        let role = Role::Sensor { every: every.0, place, device };
        let (section, words) = (Section::Sensor, outside.unwrap_or_default());
        Instance { id, section, kind, enabled, fault, settings, words, role, mark }
    }

    /// What runs by default and does not because something on disk has its name.
    fn tell_of_shadows(&self, config: &Config) {
        for name in BY_DEFAULT {
            let found = self.along.shelf.named(name);
            let named = || config.plugins.iter().any(|plugin| plugin.kind == name);
            if let Some(path) = found.and_then(|found| found.path.as_deref()).filter(|_| !named()) {
                tracing::warn!(
                    plugin = name, by = %path.display(),
                    "What comes with the node is shadowed by a plugin on disk, and does not run."
                );
            }
        }
    }

    fn sensor(&mut self, sensor: config::Sensor) -> PluginSpec {
        let bus = sensor.bus.as_deref().unwrap_or_default();
        let fingerprint = self.buses.fingerprint(sensor.fingerprint(), bus);
        let (id, kind) = (sensor.id.clone(), sensor.kind.clone());
        let spec = self
            .sensor_args(sensor, fingerprint)
            .map(|args| PluginSpec::new::<SensorPlugin>(id.clone(), args));
        spec.unwrap_or_else(|barred| barred.spec(id, &kind)).kind(&kind).fingerprint(fingerprint)
    }

    fn sensor_args(&mut self, sensor: config::Sensor, fingerprint: u64) -> Result<SensorArgs, Barred> {
        let config::Sensor { id, kind, bus, address, every, power, settings, fault, enabled, .. } = sensor;
        Barred::check(fault, enabled)?;
        let kind = extend::sensor(&kind).ok_or_else(|| format!("there is no kind `{kind}`"))?;
        let bus_name = bus.unwrap_or_default();
        let seat = seat(kind, address);
        self.buses.simulate(&bus_name, &id, &seat, kind, fingerprint);
        let bus = match self.buses.get(&bus_name)? {
            Opened::Bus(bus) | Opened::Sim(_, bus) => bus.clone(),
            Opened::Replay(cassette, bus) => {
                cassette.fits(kind, &seat)?;
                bus.clone()
            }
            Opened::Gpio(_) | Opened::Pwm(_) => {
                return Err(format!("devices cannot sit on `{bus_name}`").into());
            }
        };
        let power = power.and_then(|power| self.supplies.get(&power).cloned());
        let settings = settings.into_value();
        Ok(SensorArgs { kind, bus, bus_name, seat, every: every.0, settings, power })
    }
}

/// Why an instance is not started.
pub(crate) enum Barred {
    Disabled,
    Failed(String),
}

impl Barred {
    pub(crate) fn check(fault: Option<String>, enabled: bool) -> Result<(), Self> {
        match fault {
            Some(fault) => Err(Self::Failed(fault)),
            None if enabled => Ok(()),
            None => Err(Self::Disabled),
        }
    }

    pub(crate) fn spec(self, id: Id, kind: &str) -> PluginSpec {
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

/// Where a sensor sits, by what its kind takes.
pub(crate) fn seat(kind: &SensorKind, address: Option<Address>) -> Seat {
    match (kind.attachment, address) {
        (_, Some(Address::Number(number))) => Seat::Number(number),
        (_, Some(Address::Name(name))) => Seat::Name(name),
        (Attachment::I2c { addresses, .. }, None) => {
            addresses.first().map_or(Seat::Only, |&a| Seat::Number(a))
        }
        (Attachment::Spi { .. }, None) => Seat::Number(0),
        (Attachment::Files { .. }, None) => Seat::Only,
    }
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

fn processor(processor: config::Processor, chains: &[(Id, Vec<Id>)]) -> PluginSpec {
    let own = processor.fingerprint();
    let config::Processor { id, kind, sensors, priority, enabled, settings, fault, .. } = processor;
    let applies = applies(&id, sensors, priority, chains);
    let fingerprint = sedge_plugin::fnv1a(format!("{own:x} {applies:?}").as_bytes());
    let spec = Barred::check(fault, enabled).and_then(|()| {
        let kind = extend::processor(&kind).ok_or_else(|| format!("there is no kind `{kind}`"))?;
        let args = ProcessorArgs::new(kind, settings.into_value(), applies);
        Ok(PluginSpec::new::<ProcessorPlugin>(id.clone(), args))
    });
    spec.unwrap_or_else(|barred| barred.spec(id, &kind)).kind(&kind).fingerprint(fingerprint)
}

/// Which readings a processor sees, and where it stands.
fn applies(id: &Id, sensors: Option<Vec<String>>, priority: i32, chains: &[(Id, Vec<Id>)]) -> Applies {
    let place = |(sensor, chain): &(Id, Vec<Id>)| {
        let place = chain.iter().position(|name| name == id)?;
        Some((sensor.clone(), u16::try_from(place).unwrap_or(u16::MAX)))
    };
    let chains: BTreeMap<Id, u16> = chains.iter().filter_map(place).collect();
    // One that sensors name and that names none itself is for those that name it, and for nobody else.
    let sensors: Option<BTreeSet<Id>> = match sensors {
        Some(sensors) => Some(ids(&sensors).collect()),
        None => (!chains.is_empty()).then(BTreeSet::new),
    };
    Applies { sensors, priority, chains }
}

/// The same for one that has a single place: that of the chains, the earliest, where a sensor names it in its own.
fn at_once(applies: &Applies) -> (Option<BTreeSet<Id>>, i32) {
    let Applies { sensors, priority, chains } = applies;
    let first = chains.values().min().map(|&place| OWN_CHAIN + i32::from(place.min(LONGEST_CHAIN - 1)));
    let sensors = sensors.as_ref().map(|own| own.iter().chain(chains.keys()).cloned().collect());
    (sensors, first.unwrap_or(*priority))
}

/// Makes a spec of a destination, whose type only its table knows.
struct Specify(Id);

impl Start for Specify {
    type Out = PluginSpec;
    fn start<P: sedge_plugin::Plugin>(self, args: P::Args) -> PluginSpec {
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
    shelf: &Shelf,
    specs: &mut Vec<PluginSpec>,
    args: impl Fn(P::Settings) -> Result<P::Args, String>,
) {
    let name = P::MANIFEST.name;
    if shelf.named(name).is_some() {
        return;
    }
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
fn added(config: &Config, shelf: &Shelf, specs: &mut Vec<PluginSpec>) {
    for plugin in extend::added().plugins.iter().filter(|plugin| shelf.named(&plugin.info.name).is_none()) {
        for section in config.plugins.iter().filter(|section| section.kind == plugin.info.name) {
            let made = Barred::check(section.fault.clone(), section.enabled)
                .and_then(|()| Ok((plugin.spec)(section.id.clone(), section.settings.clone().into_value())?));
            let spec = made.unwrap_or_else(|barred| barred.spec(section.id.clone(), &section.kind));
            specs.push(spec.fingerprint(section.fingerprint()));
        }
    }
}

/// Sections about plugins that this program does not have: the config has said so, the list shows it too.
fn unknown(config: &Config, shelf: &Shelf, specs: &mut Vec<PluginSpec>) {
    let known = |kind: &str| {
        let added = &extend::added().plugins;
        if shelf.named(kind).is_some() {
            return false;
        }
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
trait Named: sedge_plugin::Plugin {
    /// What the section says.
    type Settings: DeserializeOwned;
}

impl Named for Audit {
    type Settings = audit::Settings;
}

impl Named for History {
    type Settings = Json;
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
pub(crate) fn read<T: DeserializeOwned>(settings: Json) -> Result<T, String> {
    serde_json::from_value(settings).map_err(|error| format!("settings: {error}"))
}
