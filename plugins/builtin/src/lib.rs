//! The sensors and plugins that come with a node, one file each.
//!
//! - [`sensors`]: a driver per chip, and the table of them.
//! - [`sensor`]: makes a plugin of a driver.
//! - [`processors`]: what changes, judges or holds back readings, and the table of them.
//! - [`processor`]: makes a plugin of a processor.
//! - [`gpio`]: what sits on GPIO lines.
//! - [`system`], [`plausible`], [`prometheus`], [`history`], [`audit`]: plugins.
//! - [`destinations`]: where readings go besides the broker, and the table of them.
//!
//! ```
//! use sedge_plugins::{GPIOS, PLUGINS, sensors};
//! assert!(sensors::KINDS.iter().any(|kind| kind.kind == "bme280"));
//! assert!(GPIOS.iter().any(|kind| kind.name == "relay"));
//! assert!(PLUGINS.iter().any(|kind| kind.name == "system"));
//! ```
//!
//! They use what a stranger's plugin uses, `sedge_plugin`, and reach hardware through `sedge_hal` alone.

pub mod audit;
#[cfg(test)]
mod bench;
pub mod bus;
pub mod destinations;
mod flight;
pub mod gpio;
pub mod history;
pub mod plausible;
pub mod processor;
pub mod processors;
pub mod prometheus;
pub mod sensor;
pub mod sensors;
pub mod system;

use sedge_plugin::{Manifest, Plugin, PluginInfo};

pub use gpio::relay;

/// Who made what comes with a node.
pub(crate) const AUTHOR: &str = "Sedge";

/// What a config may name, besides the kinds of sensors: all that is known of a kind without running one.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The word in the config.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// JSON Schema of its settings.
    pub schema: fn() -> serde_json::Value,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl Kind {
    const fn of<P: Plugin>(schema: fn() -> serde_json::Value) -> Self {
        let manifest = P::MANIFEST;
        Self { name: manifest.name, description: manifest.description, schema, manifest }
    }

    /// What it says of itself, as a list shows it.
    pub fn info(&self) -> PluginInfo {
        PluginInfo { settings: Some((self.schema)()), ..self.manifest.into() }
    }
}

/// The kinds of a `[gpio.ID]` section.
pub const GPIOS: &[Kind] = &[
    Kind::of::<gpio::counter::Counter>(|| schemars::schema_for!(gpio::counter::Settings).to_value()),
    Kind::of::<gpio::input::Input>(|| schemars::schema_for!(gpio::input::Settings).to_value()),
    Kind::of::<gpio::power::Power>(|| schemars::schema_for!(gpio::power::Settings).to_value()),
    Kind::of::<gpio::pwm::PwmLine>(|| schemars::schema_for!(gpio::pwm::Settings).to_value()),
    Kind::of::<gpio::relay::Relay>(|| schemars::schema_for!(gpio::relay::Settings).to_value()),
];

/// The plugins of a `[plugin.NAME]` section.
pub const PLUGINS: &[Kind] = &[
    Kind::of::<audit::Audit>(|| schemars::schema_for!(audit::Settings).to_value()),
    Kind::of::<history::History>(|| schemars::schema_for!(sedge_plugin::NoSettings).to_value()),
    Kind::of::<plausible::Plausible>(|| schemars::schema_for!(sedge_plugin::NoSettings).to_value()),
    Kind::of::<prometheus::Prometheus>(|| schemars::schema_for!(prometheus::Settings).to_value()),
    Kind::of::<system::System>(|| schemars::schema_for!(system::Settings).to_value()),
];
