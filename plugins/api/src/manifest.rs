//! What a plugin says of itself, known without running any of its code.
//!
//! A [`Manifest`] stands beside a compiled-in plugin as a constant. A [`PluginInfo`] is the same in a form that can be
//! read from a file and printed, so that a list shows both alike.
//!
//! ```
//! use sedge_plugin::{Category, Manifest, PluginInfo, Requirement};
//! const PUMP: Manifest = Manifest::new("pump", "1.0.0", "Drives a pump.")
//!     .author("A. Grower")
//!     .category(Category::Tool)
//!     .tags(&["water"])
//!     .needs(&["tank"])
//!     .requires(&[Requirement::Device("/dev/gpiochip0")]);
//! let info = PluginInfo::from(PUMP);
//! assert_eq!(info.needs, ["tank"]);
//! assert_eq!(info.requires[0].to_string(), "device /dev/gpiochip0");
//! ```
//!
//! Nothing here looks whether a requirement is met: that is the node's business.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What kind of plugin it is: for lists, and for the order of start where nothing else decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Carries readings and tools to other nodes.
    Bridge,
    /// Runs for others' sake: an endpoint, a store.
    Service,
    /// Takes readings away: a file, a database.
    Destination,
    /// Changes readings on their way.
    Processor,
    /// Judges readings on their way.
    Validator,
    /// Anything else.
    #[default]
    Other,
    /// Offers tools.
    Tool,
    /// Makes readings.
    Sensor,
}

impl Category {
    /// The word of lists.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Service => "service",
            Self::Destination => "destination",
            Self::Processor => "processor",
            Self::Validator => "validator",
            Self::Other => "other",
            Self::Tool => "tool",
            Self::Sensor => "sensor",
        }
    }
}

/// Something on the host that a plugin cannot do without. Unmet, the plugin is skipped, and started when it appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement<S = &'static str> {
    /// A device node: `/dev/i2c-1`.
    Device(S),
    /// A program on the `PATH`: `ffmpeg`.
    Program(S),
    /// A shared library: `libcamera.so.0`.
    Library(S),
    /// A kernel module, loaded or built in: `i2c_dev`.
    Module(S),
}

impl<S: AsRef<str>> Requirement<S> {
    /// With a text of its own.
    pub fn to_owned(&self) -> Requirement<String> {
        match self {
            Self::Device(s) => Requirement::Device(s.as_ref().into()),
            Self::Program(s) => Requirement::Program(s.as_ref().into()),
            Self::Library(s) => Requirement::Library(s.as_ref().into()),
            Self::Module(s) => Requirement::Module(s.as_ref().into()),
        }
    }
}

impl<S: AsRef<str>> fmt::Display for Requirement<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, name) = match self {
            Self::Device(s) => ("device", s),
            Self::Program(s) => ("program", s),
            Self::Library(s) => ("library", s),
            Self::Module(s) => ("kernel module", s),
        };
        write!(f, "{what} {}", name.as_ref())
    }
}

/// When a plugin is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// With the node.
    #[default]
    Startup,
    /// At the first call of one of the tools that it [declares](crate::Plugin::declares); stopped after five minutes
    /// without one.
    OnDemand,
}

/// What a compiled-in plugin says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// What it is called in the config: `[plugin.NAME]`, or the `kind` of a sensor.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// Who made it.
    pub author: &'static str,
    /// What kind of plugin it is.
    pub category: Category,
    /// Words to find it by.
    pub tags: &'static [&'static str],
    /// Plugins, by id, that must run before it starts.
    pub needs: &'static [&'static str],
    /// What it needs of the host.
    pub requires: &'static [Requirement],
    /// When it is started.
    pub activation: Activation,
}

impl Manifest {
    /// A manifest of a plugin that needs nothing.
    pub const fn new(name: &'static str, version: &'static str, description: &'static str) -> Self {
        Self {
            name,
            version,
            description,
            author: "",
            category: Category::Other,
            tags: &[],
            needs: &[],
            requires: &[],
            activation: Activation::Startup,
        }
    }

    /// With its author.
    pub const fn author(self, author: &'static str) -> Self {
        Self { author, ..self }
    }

    /// With its category.
    pub const fn category(self, category: Category) -> Self {
        Self { category, ..self }
    }

    /// With words to find it by.
    pub const fn tags(self, tags: &'static [&'static str]) -> Self {
        Self { tags, ..self }
    }

    /// With the plugins that must run before it starts.
    pub const fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    /// With what it needs of the host.
    pub const fn requires(self, requires: &'static [Requirement]) -> Self {
        Self { requires, ..self }
    }

    /// Started at the first call of one of its tools.
    pub const fn on_demand(self) -> Self {
        Self { activation: Activation::OnDemand, ..self }
    }
}

/// What a plugin says of itself, from wherever: as a `plugin.toml` has it, as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginInfo {
    /// What it is called in the config.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in a sentence.
    pub description: String,
    /// Who made it.
    #[serde(default)]
    pub author: String,
    /// What kind of plugin it is.
    #[serde(default)]
    pub category: Category,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Plugins, by id, that must run before it starts.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What it needs of the host.
    #[serde(default)]
    pub requires: Vec<Requirement<String>>,
    /// When it is started.
    #[serde(default)]
    pub activation: Activation,
    /// JSON Schema of its settings; none where it has no settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Json>,
}

impl From<Manifest> for PluginInfo {
    fn from(manifest: Manifest) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Self {
            name: manifest.name.into(),
            version: manifest.version.into(),
            description: manifest.description.into(),
            author: manifest.author.into(),
            category: manifest.category,
            tags: owned(manifest.tags),
            needs: owned(manifest.needs),
            requires: manifest.requires.iter().map(Requirement::to_owned).collect(),
            activation: manifest.activation,
            settings: None,
        }
    }
}
