//! `plugin.toml`: what a plugin on disk says of itself.
//!
//! ```toml
//! manifest = 1
//!
//! [plugin]
//! name = "pump"                     # the name of its folder
//! version = "1.2.0"
//! description = "Drives a pump."
//! author = "A. Grower"
//! category = "tool"
//! tags = ["water"]
//! needs = ["tank"]
//! requires = [{ device = "/dev/gpiochip0" }, { program = "python3" }]
//! activation = "on-demand"
//!
//! [entry]
//! command = ["python3", "main.py"]  # or: wasm = "pump.wasm"
//! stdio = false                     # true: speaks over its standard input and output
//!
//! [settings]
//! schema = "schema/settings.json"   # or a table
//!
//! [[tool]]
//! name = "pump_set"
//! description = "Switches the pump."
//! input = "schema/set.json"         # or a table
//! timeout = "30s"
//!
//! [requests]                        # what the config is to grant
//! gpio.pump = "out"
//! hosts = ["api.example.org"]
//! why = "asks the weather, and waters"
//!
//! [[hook]]                          # a topic that it hears or is a step of
//! topic = "pre_tool_execute"
//!
//! [python]                          # a virtual environment of its own
//! requirements = "requirements.txt"
//! ```
//!
//! A kind of sensor (category `sensor`) says what `[sensor.ID] kind = "NAME"` is:
//!
//! ```toml
//! [sensor]
//! bus = "i2c"
//! addresses = [0x76, 0x77]
//! simulate = "bme280"               # what stands for it on a simulated bus
//!
//! [sensor.fields.temperature]
//! unit = "°C"
//! class = "temperature"
//! min = -40.0
//! max = 85.0
//! ```
//!
//! The keys stand in [`MANIFEST_SCHEMA`]; what a schema cannot say is in `rules`. All mistakes are found in one run. It
//! must not look beyond the plugin's folder, nor whether a requirement is met.

mod document;
mod rules;
mod schemas;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use sedge_plugin::grant::Requests;
use sedge_plugin::topics::Command;
use sedge_plugin::{Annotations, Every, FieldKind, Name, PluginInfo, Tool};
use serde::{Deserialize, Serialize};

use crate::mistake::Mistake;
pub use schemas::SchemaText;
pub(crate) use text::{Stamp, unreadable};

/// The name of the file.
pub const MANIFEST_FILE: &str = "plugin.toml";

/// The newest form of the file that is understood.
pub const MANIFEST_VERSION: i64 = 1;

/// The largest manifest, in bytes.
pub const MAX_MANIFEST: usize = 64 * 1024;

/// The largest schema that a manifest names, in bytes.
pub const MAX_SCHEMA: usize = 256 * 1024;

/// The JSON Schema of the file, for editors too.
pub const MANIFEST_SCHEMA: &str = include_str!("../../plugin.schema.json");

/// What a plugin declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Declaration {
    /// What a list shows. Without the schema of its settings: a list needs none, and it may be large. See
    /// [`Declaration::into_info`].
    pub info: PluginInfo,
    /// How it is started; nothing for a plugin that brings only words, or is compiled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// Of a command: the node is found at the standard input and output, where a language cannot reach file descriptor 3.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stdio: bool,
    /// The tools that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<DeclaredTool>,
    /// The schema of its settings; none where it has no settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SchemaText>,
    /// What it asks for.
    #[serde(default)]
    pub requests: Requests,
    /// The topics that it hears or is a step of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<DeclaredHook>,
    /// Where it is a kind of sensor: what `[sensor.ID] kind = "NAME"` is. A manifest of category `sensor` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<DeclaredSensor>,
    /// The Python packages that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonNeeds>,
    /// Commands of the command line, each a tool of its own in other words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
}

/// What a plugin needs of Python: `[python]`. It gets a virtual environment of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonNeeds {
    /// A file in the plugin's folder, as `pip` reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Whether it sees the packages of the system too.
    #[serde(default)]
    pub system_site_packages: bool,
}

/// A topic that a plugin hears or is a step of: `[[hook]]`. It asks for the topic thereby.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeclaredHook {
    /// Its name: `deliver`.
    pub topic: String,
    /// Lower runs earlier.
    #[serde(default = "usual_priority")]
    pub priority: i32,
    /// How long one message may take: `timeout = "200ms"`; five seconds where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Every>,
}

fn usual_priority() -> i32 {
    100
}

/// What a kind of sensor is: `[sensor]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeclaredSensor {
    /// The kind of bus that it sits on: `i2c`; none for one that reaches what it measures by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Its possible I2C addresses, the usual one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<u8>,
    /// A kind that comes with a node whose simulation stands for it on a `sim` bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<String>,
    /// What it measures.
    pub fields: BTreeMap<Name, DeclaredField>,
}

/// A field of a kind of sensor: `[sensor.fields.temperature]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeclaredField {
    /// As in a descriptor: `°C`.
    pub unit: sedge_plugin::Unit,
    /// What kind of value it has.
    #[serde(default = "measured")]
    pub kind: FieldKind,
    /// What is measured: `temperature`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// Digits after the point that mean something.
    #[serde(default = "two")]
    pub precision: u8,
    /// The least that it can measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

fn measured() -> FieldKind {
    FieldKind::Measurement
}

fn two() -> u8 {
    2
}

impl Declaration {
    /// Of a plugin that is compiled in, or brings only words.
    pub(crate) fn of(info: PluginInfo) -> Self {
        Self {
            info,
            entry: None,
            stdio: false,
            tools: Vec::new(),
            settings: None,
            requests: Requests::default(),
            hooks: Vec::new(),
            sensor: None,
            python: None,
            commands: Vec::new(),
        }
    }

    /// All that it says of itself, with the schema of its settings.
    #[must_use]
    pub fn into_info(self) -> PluginInfo {
        PluginInfo { settings: self.settings.map(|schema| schema.value()), ..self.info }
    }
}

/// How a plugin is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A program and its arguments. `{python}` stands for the interpreter of the plugin's own virtual environment where it has
    /// one, and for `python3` where it has none.
    Command(Vec<String>),
    /// A WebAssembly component, a file in the plugin's folder.
    Wasm(String),
}

/// A tool that a plugin offers, known before it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeclaredTool {
    /// What callers call.
    pub name: Name,
    /// What it does, in a sentence or two.
    pub description: String,
    /// The schema of its arguments; none where it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<SchemaText>,
    /// The schema of its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<SchemaText>,
    /// A short title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Hints.
    #[serde(default)]
    pub annotations: Annotations,
    /// How long a call may take: `timeout = "30s"`; five seconds where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Every>,
}

impl From<DeclaredTool> for Tool {
    fn from(declared: DeclaredTool) -> Self {
        let tool = Self::new(declared.name, &declared.description);
        let timeout = declared.timeout.and_then(|every| u64::try_from(every.0.as_millis()).ok());
        Self {
            input_schema: declared.input.map_or(tool.input_schema, |schema| schema.value()),
            output_schema: declared.output.map(|schema| schema.value()),
            title: declared.title,
            annotations: declared.annotations,
            timeout_ms: timeout.unwrap_or(tool.timeout_ms),
            ..Self::new(tool.name, &tool.description)
        }
    }
}

/// What was read of a plugin, and which files besides the manifest.
pub(crate) struct Reading {
    pub(crate) declaration: Declaration,
    /// Paths below the plugin's folder, with the state that they had before they were read.
    pub(crate) files: Vec<(String, Stamp)>,
}

/// Reads the plugin in a folder. Whoever starts a plugin reads it by this, not from a list that may come from a cache.
///
/// # Errors
/// All mistakes of the manifest and of the schemas that it names, in the order of the files.
pub fn read(folder: &Path) -> Result<Declaration, Vec<Mistake>> {
    read_named(folder, &name_of(folder)).map(|reading| reading.declaration)
}

/// Reads a manifest that need not lie in its folder yet. The files that it names must.
///
/// # Errors
/// All mistakes of the manifest and of the schemas that it names, in the order of the files.
pub fn parse(folder: &Path, manifest: &[u8]) -> Result<Declaration, Vec<Mistake>> {
    let file = folder.join(MANIFEST_FILE);
    let text = text::text(&file, manifest.into(), MAX_MANIFEST).map_err(|mistake| vec![mistake])?;
    rules::read(folder, &name_of(folder), &file, &text).map(|reading| reading.declaration)
}

/// Reads the plugin in a folder of this name.
pub(crate) fn read_named(folder: &Path, name: &str) -> Result<Reading, Vec<Mistake>> {
    let file = folder.join(MANIFEST_FILE);
    let text = text::is_inside(folder, &file)
        .map_err(|message| Mistake::of_file(&file, message))
        .and_then(|()| text::read(&file, MAX_MANIFEST))
        .map_err(|mistake| vec![mistake])?;
    rules::read(folder, name, &file, &text)
}

/// The name of a folder, also of one that is given as `.`.
pub(crate) fn name_of(folder: &Path) -> String {
    let real = || std::fs::canonicalize(folder).ok()?.file_name().map(ToOwned::to_owned);
    let name = folder.file_name().map(ToOwned::to_owned).or_else(real);
    name.unwrap_or_default().to_string_lossy().into_owned()
}
