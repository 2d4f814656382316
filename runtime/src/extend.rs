//! A program with plugins of one's own compiled in: a `main` of three lines.
//!
//! ```no_run
//! use sedge_plugin::prelude::*;
//! # struct Pump;
//! # #[derive(Deserialize, JsonSchema)] struct Settings {}
//! # impl Plugin for Pump {
//! #     type Args = Settings;
//! #     const MANIFEST: Manifest = Manifest::new("pump", "1.0.0", "Drives a pump.");
//! #     async fn setup(_: &Settings, _: Context) -> Result<Self, PluginError> { Ok(Self) }
//! # }
//! fn main() -> std::process::ExitCode {
//!     sedge::with().plugin::<Pump>().main()
//! }
//! ```
//!
//! What is added so is like what comes with the node: `[plugin.pump]`, `sedge plugin list`, `sedge config schema`, `sedge
//! check` know it. It must not take the name of something that is there.

use std::process::ExitCode;
use std::sync::OnceLock;

use schemars::JsonSchema;
use sedge_actors::PluginSpec;
use sedge_plugin::{Id, Plugin, PluginInfo, Processor, ProcessorKind, Sensor, SensorKind};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

static ADDED: OnceLock<Program> = OnceLock::new();
static NOTHING: Program = Program { plugins: Vec::new(), processors: Vec::new(), sensors: Vec::new() };

/// What is compiled in beside what comes with a node.
#[derive(Default)]
pub struct Program {
    pub(crate) plugins: Vec<Added>,
    pub(crate) processors: Vec<ProcessorKind>,
    pub(crate) sensors: Vec<SensorKind>,
}

/// A plugin that was added.
pub(crate) struct Added {
    pub(crate) info: PluginInfo,
    pub(crate) spec: fn(Id, Json) -> Result<PluginSpec, String>,
}

/// A program to add plugins to.
pub fn with() -> Program {
    Program::default()
}

impl Program {
    /// With a plugin for `[plugin.NAME]` sections. Its arguments are its settings.
    pub fn plugin<P>(mut self) -> Self
    where
        P: Plugin,
        P::Args: DeserializeOwned + JsonSchema,
    {
        let settings = Some(schemars::schema_for!(P::Args).to_value());
        self.plugins.push(Added {
            info: PluginInfo { settings, ..P::MANIFEST.into() },
            spec: |id, settings| match serde_json::from_value(settings) {
                Ok(args) => Ok(PluginSpec::new::<P>(id, args)),
                Err(error) => Err(format!("settings: {error}")),
            },
        });
        self
    }

    /// With a kind of processor, for `[processor.ID]` sections.
    pub fn processor<P: Processor>(mut self) -> Self {
        self.processors.push(ProcessorKind::of::<P>());
        self
    }

    /// With a kind of I2C sensor, for `[sensor.ID]` sections.
    pub fn sensor<S: Sensor<Device = sedge_plugin::I2cDevice>>(mut self) -> Self {
        self.sensors.push(SensorKind::i2c::<S>());
        self
    }

    /// With a kind of sensor on another bus, such as `SensorKind::spi::<Mine>()`.
    pub fn sensor_kind(mut self, kind: SensorKind) -> Self {
        self.sensors.push(kind);
        self
    }

    /// Runs the command line.
    pub fn main(self) -> ExitCode {
        // A second program in one process would be a bug of whoever wrote `main`: the first one stays.
        let _ = ADDED.set(self);
        crate::main()
    }
}

/// What was added.
pub(crate) fn added() -> &'static Program {
    ADDED.get().unwrap_or(&NOTHING)
}

/// The processor of that kind, added or not.
pub(crate) fn processor(kind: &str) -> Option<&'static ProcessorKind> {
    let added = added().processors.iter().find(|row| row.kind == kind);
    sedge_plugins::processors::kind(kind).or(added)
}

/// The sensor of that kind, added or not.
pub(crate) fn sensor(kind: &str) -> Option<&'static SensorKind> {
    let added = added().sensors.iter().find(|row| row.kind == kind);
    sedge_plugins::sensors::kind(kind).or(added)
}
