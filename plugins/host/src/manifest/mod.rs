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
//!
//! [settings]
//! schema = "schema/settings.json"   # or a table
//!
//! [[tool]]
//! name = "pump_set"
//! description = "Switches the pump."
//! input = "schema/set.json"         # or a table
//! ```
//!
//! The keys stand in [`MANIFEST_SCHEMA`]; what a schema cannot say is in `rules`. All mistakes are found in one run. It
//! must not look beyond the plugin's folder, nor whether a requirement is met.

mod document;
mod rules;
mod schemas;
mod text;

use std::path::Path;

use sedge_plugin::{Name, PluginInfo, Tool};
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
    /// The tools that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<DeclaredTool>,
    /// The schema of its settings; none where it has no settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SchemaText>,
}

impl Declaration {
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
    /// A program and its arguments.
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
}

impl From<DeclaredTool> for Tool {
    fn from(declared: DeclaredTool) -> Self {
        let tool = Self::new(declared.name, &declared.description);
        match declared.input {
            Some(schema) => Self { input_schema: schema.value(), ..tool },
            None => tool,
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
