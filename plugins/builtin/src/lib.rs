//! The sensors and plugins that come with a node, one file each.
//!
//! - [`sensors`]: a driver per chip, and the table of them.
//! - [`sensor`]: makes a plugin of a driver.
//! - [`relay`], [`system`], [`plausible`]: plugins.
//!
//! ```
//! use sedge_plugins::{GPIOS, PLUGINS, sensors};
//! assert!(sensors::KINDS.iter().any(|kind| kind.kind == "bme280"));
//! assert!(GPIOS.iter().any(|kind| kind.name == "relay"));
//! assert!(PLUGINS.iter().any(|kind| kind.name == "system"));
//! ```
//!
//! They use what a stranger's plugin uses, `sedge_plugin`, and reach hardware through `sedge_hal` alone.

pub mod plausible;
pub mod relay;
pub mod sensor;
pub mod sensors;
pub mod system;

use sedge_plugin::{Manifest, Plugin};

/// What a config may name, besides the kinds of sensors: all that is known of a kind without running one.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The word in the config.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// JSON Schema of its settings.
    pub schema: fn() -> serde_json::Value,
}

impl Kind {
    const fn of<P: Plugin>(schema: fn() -> serde_json::Value) -> Self {
        let Manifest { name, description, .. } = P::MANIFEST;
        Self { name, description, schema }
    }
}

/// The kinds of a `[gpio.ID]` section.
pub const GPIOS: &[Kind] = &[Kind::of::<relay::Relay>(|| schemars::schema_for!(relay::Settings).to_value())];

/// The plugins of a `[plugin.NAME]` section.
pub const PLUGINS: &[Kind] = &[
    Kind::of::<plausible::Plausible>(|| schemars::schema_for!(sedge_plugin::NoSettings).to_value()),
    Kind::of::<system::System>(|| schemars::schema_for!(system::Settings).to_value()),
];
