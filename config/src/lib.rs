//! What a node is told: `sedge.toml`, read and checked.
//!
//! Why not deserialize it and be done: a person who writes a file wants all mistakes at once, each with its place and
//! the word that was meant; and a mistake in one sensor must not keep the others from running. So a mistake is either
//! fatal (no TOML, or something in the top level, `[node]` or `[mqtt]`), or it is the `fault` of one instance.
//!
//! ```
//! use sedge_config::{Catalogue, Kind, Section};
//! use serde_json::json;
//!
//! let kind = |section, name: &str, addresses: &[u8]| Kind {
//!     section,
//!     name: name.into(),
//!     schema: json!({ "type": "object", "additionalProperties": false }),
//!     addresses: addresses.into(),
//! };
//! let catalogue = Catalogue {
//!     reserved: Vec::new(),
//!     kinds: vec![kind(Section::Bus, "i2c", &[]), kind(Section::Sensor, "bme280", &[0x76, 0x77])],
//! };
//! let text = r#"
//! mqtt.url = "mqtt://broker.local"
//! bus.i2c-1.kind = "i2c"
//!
//! [sensor.kitchen]
//! kind = "bme280"
//! bus = "i2c-1"
//! evry = "10s"
//! "#;
//! let outcome = sedge_config::parse("sedge.toml", text, &catalogue);
//! assert_eq!(
//!     outcome.diagnostics[0].one_line(),
//!     "sedge.toml:8:1: unknown key `evry`; did you mean `every`? allowed: address, bus, enabled, every, kind"
//! );
//! let config = outcome.config.expect("only one sensor is at fault");
//! assert!(config.sensors[0].fault.is_some());
//! ```
//!
//! It must not know any plugin (the catalogue has what it needs), open a file, read the environment, or let a secret
//! into a message.

mod broker;
mod bus;
mod catalogue;
mod conflicts;
mod diagnostic;
mod document;
mod gpio;
mod instance;
mod mqtt;
mod node;
mod plugin;
mod report;
mod secret;
mod sensor;
mod syntax;
mod top;

pub use broker::{BrokerUrl, BrokerUrlError};
pub use bus::Bus;
pub use catalogue::{Catalogue, Kind, Section};
pub use diagnostic::{Diagnostic, Related, Severity};
pub use gpio::Gpio;
pub use mqtt::Mqtt;
pub use node::Node;
pub use plugin::Plugin;
pub use secret::Settings;
pub use sensor::Sensor;
pub use top::CONFIG_VERSION;

use bus::{BusKeys, Need};
use document::Document;
use gpio::GpioKeys;
use instance::{Instance, Read};
use plugin::PluginKeys;
use report::Report;
use sensor::SensorKeys;

/// What became of a text.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Nothing when there was a fatal mistake.
    pub config: Option<Config>,
    /// All mistakes and warnings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

impl Outcome {
    /// Whether there is an error, fatal or not: what a check or a reload refuses.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// What a node is told. Instances stand in the order of the file.
///
/// An instance whose id belongs to another one is not here, because it could not be told apart from that one: it is in
/// [`Outcome::diagnostics`] only.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[mqtt]`
    pub mqtt: Mqtt,
    /// `[bus.NAME]`
    pub buses: Vec<Bus>,
    /// `[sensor.ID]`
    pub sensors: Vec<Sensor>,
    /// `[gpio.ID]`
    pub gpios: Vec<Gpio>,
    /// `[plugin.NAME]`
    pub plugins: Vec<Plugin>,
}

/// Reads a text. `file` is the name that messages show.
#[must_use]
pub fn parse(file: &str, text: &str, catalogue: &Catalogue) -> Outcome {
    let (document, errors) = match syntax::read(text) {
        Ok(document) => (document, Vec::new()),
        Err(errors) => (Document::default(), errors),
    };
    let mut report = Report::new(file, text, &document);
    let config = if errors.is_empty() {
        read(&mut report, catalogue)
    } else {
        syntax::explain(&mut report, text, &errors);
        None
    };
    Outcome { config, diagnostics: report.finish() }
}

fn read(report: &mut Report<'_>, catalogue: &Catalogue) -> Option<Config> {
    if !top::is_of_this_version(report) {
        return None;
    }
    top::check_keys(report);
    let node = Node::read(report);
    let mqtt = Mqtt::read(report);
    let instances = Instances::read(report, catalogue);
    let losers = instances.check(report, catalogue);
    if report.is_fatal() {
        return None;
    }
    Some(instances.into_config(report, &losers, node?, mqtt?))
}

/// All instances while they are checked.
struct Instances {
    buses: Vec<Read<BusKeys>>,
    sensors: Vec<Read<SensorKeys>>,
    gpios: Vec<Read<GpioKeys>>,
    plugins: Vec<Read<PluginKeys>>,
}

impl Instances {
    fn read(report: &mut Report<'_>, catalogue: &Catalogue) -> Self {
        let mut instances = Self {
            buses: instance::read_all(report, catalogue),
            sensors: instance::read_all(report, catalogue),
            gpios: instance::read_all(report, catalogue),
            plugins: instance::read_all(report, catalogue),
        };
        instances.sensors.iter_mut().for_each(|sensor| sensor::check(report, catalogue, sensor));
        instances
    }

    /// Checks the instances against each other. Gives the pointers of those that have no id of their own.
    fn check(&self, report: &mut Report<'_>, catalogue: &Catalogue) -> Vec<String> {
        for Read { instance, keys, .. } in &self.sensors {
            let is_i2c =
                catalogue.find(Section::Sensor, &keys.kind).is_some_and(|kind| !kind.addresses.is_empty());
            if let Some(bus) = &keys.bus {
                conflicts::check_bus(report, &self.buses, instance, bus, is_i2c.then_some(Need::I2c));
            }
        }
        for Read { instance, keys, .. } in &self.gpios {
            if let Some(bus) = &keys.bus {
                conflicts::check_bus(report, &self.buses, instance, bus, Some(Need::Gpio));
            }
        }
        conflicts::shared_addresses(report, &self.sensors);
        conflicts::shared_lines(report, &self.gpios);
        conflicts::taken_ids(report, catalogue, self.all())
    }

    fn all(&self) -> Vec<&Instance> {
        let buses = self.buses.iter().map(|read| &read.instance);
        let sensors = self.sensors.iter().map(|read| &read.instance);
        let gpios = self.gpios.iter().map(|read| &read.instance);
        let plugins = self.plugins.iter().map(|read| &read.instance);
        buses.chain(sensors).chain(gpios).chain(plugins).collect()
    }

    /// Why an instance cannot run: its own mistakes, or those of its bus.
    fn fault(&self, report: &Report<'_>, instance: &Instance, bus: Option<&str>) -> Option<String> {
        let own = report.fault_of(&instance.pointer);
        own.or_else(|| {
            let bus = conflicts::find_bus(&self.buses, bus?)?;
            let line = report.first_line_of(&bus.instance.pointer)?;
            let message = format!("bus `{}` is misconfigured (line {line})", bus.instance.name);
            Some(report.located(&conflicts::bus_place(report, instance), &message))
        })
    }

    fn into_config(self, report: &Report<'_>, losers: &[String], node: Node, mqtt: Mqtt) -> Config {
        let keeps = |instance: &Instance| !losers.contains(&instance.pointer);
        let mut config = Config { node, mqtt, ..Config::default() };
        for Read { instance, keys, settings } in self.buses.iter().filter(|read| keeps(&read.instance)) {
            config.buses.push(Bus {
                id: instance.id.clone(),
                kind: keys.kind.clone(),
                settings: settings.clone(),
                fault: self.fault(report, instance, None),
            });
        }
        for Read { instance, keys, settings } in self.sensors.iter().filter(|read| keeps(&read.instance)) {
            config.sensors.push(Sensor {
                id: instance.id.clone(),
                kind: keys.kind.clone(),
                bus: keys.bus.clone(),
                address: keys.address.and_then(|address| u8::try_from(address).ok()),
                every: keys.every,
                enabled: keys.enabled,
                settings: settings.clone(),
                fault: self.fault(report, instance, keys.bus.as_deref()),
            });
        }
        for Read { instance, keys, settings } in self.gpios.iter().filter(|read| keeps(&read.instance)) {
            config.gpios.push(Gpio {
                id: instance.id.clone(),
                kind: keys.kind.clone(),
                bus: keys.bus.clone().unwrap_or_default(),
                line: keys.line.unwrap_or_default(),
                enabled: keys.enabled,
                settings: settings.clone(),
                fault: self.fault(report, instance, keys.bus.as_deref()),
            });
        }
        for Read { instance, keys, settings } in self.plugins.iter().filter(|read| keeps(&read.instance)) {
            config.plugins.push(Plugin {
                id: instance.id.clone(),
                enabled: keys.enabled,
                settings: settings.clone(),
                fault: self.fault(report, instance, None),
            });
        }
        config
    }
}
