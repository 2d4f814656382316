//! Runs what is written against `sedge-plugin` outside of a node. The same source, three homes:
//!
//! | home | how |
//! |---|---|
//! | compiled in | a row in a table: see [Write a plugin](https://github.com/sedge-dev/sedge/blob/main/plugins/README.md) |
//! | a process | `fn main() -> ExitCode { sedge_sdk::plugin::<Dice>() }` |
//! | a WebAssembly component | `sedge_sdk::component!(plugin: Dice);` |
//!
//! ```no_run
//! use std::process::ExitCode;
//! use sedge_plugin::prelude::*;
//!
//! struct Dice;
//!
//! impl Plugin for Dice {
//!     type Args = NoSettings;
//!     const MANIFEST: Manifest = Manifest::new("dice", env!("CARGO_PKG_VERSION"), "Throws a die.");
//!     async fn setup(_: &NoSettings, _: Context) -> Result<Self, PluginError> {
//!         Ok(Self)
//!     }
//!     fn hooks(hooks: &mut impl Hooks<Self>, _: &NoSettings, _: &Context) {
//!         hooks.tools();
//!     }
//! }
//!
//! impl Tools for Dice {
//!     fn tools(&self) -> Vec<Tool> {
//!         vec![Tool::new(Name::new("dice_throw").unwrap(), "Throws it.")]
//!     }
//!     async fn call(&mut self, _: ToolCall) -> Result<serde_json::Value, ToolError> {
//!         Ok(4.into())
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     sedge_sdk::plugin::<Dice>()
//! }
//! ```
//!
//! Beside it lies a `plugin.toml`, whose name, version, tools and hooks are those of the source. The settings are the plugin's
//! `Args`.
//!
//! What is not as in a node:
//! - Topics: a plugin hears and is a step of those that [`sedge_protocol::topics::ALL`] names; of others, and of topics around
//!   something, its set-up says that they cannot be had. It publishes none but `event_raised`, and fires none.
//! - Of a context: no [`cursor`], no [`history`], no [`import`], no [`reach`]; [`config`] is null and [`data_dir`] an error
//!   unless granted; the [`metrics`] are its own, told once a second, and without histograms. [`latest`], [`directory`],
//!   [`announce`], [`withdraw`] and [`degraded`] hold the plugin up for the way to the node and back.
//! - No services: what runs beside the handlers is a future ([`spawn`]), 64 at most. In a component those go on only while a
//!   handler runs.
//! - A destination observes `deliver`: an observer that fails gets the same readings again.
//! - A sensor sits on I2C. A processor is not asked whether it may be for all sensors, and what it says of the fields of
//!   a sensor nobody hears.
//! - A panic ends the process, or the component, after a teardown where there can be one; the node starts it anew.
//!
//! For a component of few bytes: `opt-level = "s"`, `lto = "fat"`, `codegen-units = 1`, `strip = true` and `panic = "abort"` in
//! the profile (this workspace's `guest`). A driver is then 250 KB, 90 of them when packed; all that stands behind a context,
//! with the topics, adds 500 KB to a plugin and to a processor.
//!
//! It must not know what a node does with a message, nor start a thread beyond the one that reads the line.
//!
//! [`cursor`]: sedge_plugin::Context::cursor
//! [`history`]: sedge_plugin::Context::history
//! [`import`]: sedge_plugin::Context::import
//! [`reach`]: sedge_plugin::Context::reach
//! [`config`]: sedge_plugin::Context::config
//! [`data_dir`]: sedge_plugin::Context::data_dir
//! [`metrics`]: sedge_plugin::Context::metrics
//! [`latest`]: sedge_plugin::Context::latest
//! [`directory`]: sedge_plugin::Context::directory
//! [`announce`]: sedge_plugin::Context::announce
//! [`withdraw`]: sedge_plugin::Context::withdraw
//! [`degraded`]: sedge_plugin::Context::degraded
//! [`spawn`]: sedge_plugin::Context::spawn

#[doc(hidden)]
pub mod component;
mod directory;
mod executor;
mod guest;
mod hardware;
mod host;
mod link;
mod log;
#[cfg(unix)]
#[doc(hidden)]
pub mod process;
#[cfg(not(unix))]
#[path = "no_process.rs"]
mod process;
mod session;

pub use guest::Guest;
pub use hardware::{gpio_get, gpio_set, i2c};
pub use link::Level;
#[doc(hidden)]
pub use link::Link;
pub use log::log;

/// Runs a plugin at the node that has started this process. Its settings are its arguments.
pub fn plugin<P>() -> std::process::ExitCode
where
    P: sedge_plugin::Plugin<Args: serde::de::DeserializeOwned>,
{
    process::main(Guest::plugin::<P>())
}

/// Runs a driver of a device on I2C at the node that has started this process. Its version is the manifest's:
/// `env!("CARGO_PKG_VERSION")`.
pub fn sensor<S>(version: &str) -> std::process::ExitCode
where
    S: sedge_plugin::Sensor<Device = sedge_plugin::I2cDevice>,
{
    process::main(Guest::sensor::<S>(version))
}

/// Runs a processor at the node that has started this process. Its version is the manifest's: `env!("CARGO_PKG_VERSION")`.
pub fn processor<P: sedge_plugin::Processor>(version: &str) -> std::process::ExitCode {
    process::main(Guest::processor::<P>(version))
}
