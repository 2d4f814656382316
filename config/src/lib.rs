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
//! let kind = |section, name: &str, addresses: &[u8], buses: &[&str]| Kind {
//!     section,
//!     name: name.into(),
//!     schema: json!({ "type": "object", "additionalProperties": false }),
//!     addresses: addresses.into(),
//!     buses: buses.iter().map(|&bus| bus.into()).collect(),
//!     outside: None,
//! };
//! let catalogue = Catalogue {
//!     kinds: vec![
//!         kind(Section::Bus, "i2c", &[], &[]),
//!         kind(Section::Sensor, "bme280", &[0x76, 0x77], &["i2c", "sim"]),
//!     ],
//!     ..Catalogue::default()
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
//!     "sedge.toml:8:1: unknown key `evry`; did you mean `every`? allowed: address, bus, enabled, every, kind, power, process"
//! );
//! let config = outcome.config.expect("only one sensor is at fault");
//! assert!(config.sensors[0].fault.is_some());
//! ```
//!
//! It must not know any plugin (the catalogue has what it needs), open a file, read the environment, or let a secret
//! into a message.

mod address;
mod broker;
mod bus;
mod caller;
mod calls;
mod catalogue;
mod chains;
mod conflicts;
mod destination;
mod diagnostic;
mod document;
pub mod edit;
mod effective;
mod expected;
mod fingerprint;
mod gpio;
mod guard;
mod instance;
mod instances;
mod layer;
mod mqtt;
mod mux;
mod node;
mod outbox;
mod outside;
mod overrides;
mod plugin;
mod plugins;
mod power;
mod processor;
mod remote;
mod report;
mod schema;
mod seats;
mod secret;
mod sensor;
mod source;
mod syntax;
mod top;
mod written;

pub use address::Address;
pub use broker::{BrokerScheme, BrokerUrl, BrokerUrlError};
pub use bus::Bus;
pub use caller::Caller;
pub use calls::{Calls, MustSign};
pub use catalogue::{Catalogue, CheckExpression, Kind, Section, Traits};
pub use destination::Destination;
pub use diagnostic::{Diagnostic, Related, Severity};
pub use effective::Origin;
pub use gpio::Gpio;
pub use guard::Guard;
pub use layer::Layer;
pub use mqtt::{Encoding, Mqtt, Protocol};
pub use node::Node;
pub use outbox::{Class, Commit, Outbox, Policy, Storage};
pub use outside::{Limits, Outside, Sandbox};
pub use plugin::Plugin;
pub use plugins::{Require, plugin_paths};
pub use processor::Processor;
pub use remote::{Remote, Tools};
pub use schema::schema;
pub use secret::Settings;
pub use sensor::Sensor;
pub use top::CONFIG_VERSION;

use instances::Instances;
use layer::Merged;
use overrides::Notice;
use plugins::Plugins;
use report::{Report, Scope};

/// What became of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Nothing when there was a fatal mistake.
    pub config: Option<Config>,
    /// All mistakes and warnings, in the order of the layers and of their text.
    pub diagnostics: Vec<Diagnostic>,
    /// The config with its defaults and without its secrets, as a file would have it. Null where a file is no TOML.
    pub effective: serde_json::Value,
    /// The same as a list, each setting with where it is from.
    pub origins: Vec<Origin>,
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
    /// `[outbox]`
    pub outbox: Outbox,
    /// `[bus.NAME]`
    pub buses: Vec<Bus>,
    /// `[sensor.ID]`
    pub sensors: Vec<Sensor>,
    /// `[gpio.ID]`
    pub gpios: Vec<Gpio>,
    /// `[plugin.NAME]`
    pub plugins: Vec<Plugin>,
    /// `[processor.ID]`
    pub processors: Vec<Processor>,
    /// `[destination.ID]`
    pub destinations: Vec<Destination>,
    /// `[remote.ID]`
    pub remotes: Vec<Remote>,
    /// `[guard.ID]`. One with a mistake is here whatever it is, because it must not be taken for none.
    pub guards: Vec<Guard>,
    /// `[calls]`
    pub calls: Calls,
    /// `[caller.NAME]`. One with a mistake is here too: its name is not free.
    pub callers: Vec<Caller>,
    /// `[plugins] paths`: folders with plugins that are not built in.
    pub plugin_paths: Vec<std::path::PathBuf>,
    /// `[plugins] require`: what a plugin from outside must have to be started.
    pub plugin_require: Require,
    /// `[plugins] keys`: whose signatures count.
    pub plugin_keys: Vec<String>,
}

/// Reads one text. `file` is the name that messages show.
#[must_use]
pub fn parse(file: &str, text: &str, catalogue: &Catalogue) -> Outcome {
    parse_layers(&[Layer::File { name: file.into(), text: text.into() }], catalogue)
}

/// Reads all layers, of which the later wins: tables grow together, all else is replaced.
#[must_use]
pub fn parse_layers(layers: &[Layer], catalogue: &Catalogue) -> Outcome {
    let Merged { sources, document, unreadable, notices, secrets } = Merged::new(layers, catalogue);
    let mut report = Report::new(&sources, &document, secrets);
    for (source, errors) in &unreadable {
        syntax::explain(&mut report, sources.get(*source), errors);
    }
    for Notice { span, message, help, fatal } in notices {
        let scope = if fatal { Scope::Node } else { Scope::Stray };
        report.error(scope, span, &message).help(help);
        report.is_certain();
    }
    let is_whole = unreadable.is_empty();
    let config = read(&mut report, catalogue).filter(|_| is_whole);
    let (effective, origins) = match is_whole {
        true => {
            let effective = effective::effective(&document, catalogue, report.secrets());
            let origins = effective::origins(&effective, &document, &sources);
            (effective, origins)
        }
        false => Default::default(),
    };
    Outcome { config, diagnostics: report.finish(is_whole), effective, origins }
}

fn read(report: &mut Report<'_>, catalogue: &Catalogue) -> Option<Config> {
    if !top::is_of_this_version(report) {
        return None;
    }
    top::check_keys(report);
    let node = Node::read(report);
    let mqtt = Mqtt::read(report);
    let outbox = Outbox::read(report);
    let calls = Calls::read(report);
    let plugins = Plugins::read(report);
    let instances = Instances::read(report, catalogue);
    let losers = instances.check(report, catalogue);
    if report.is_fatal() {
        return None;
    }
    let config = instances.into_config(report, &losers, node?, mqtt?);
    Some(Config {
        outbox: outbox?,
        calls: calls?,
        plugin_paths: plugins.paths,
        plugin_require: plugins.require,
        plugin_keys: plugins.keys,
        ..config
    })
}
