//! The layers of a config: files, the environment and flags, of which the later wins.
//!
//! They become one document in which everything knows where it is from, so that whatever is checked afterwards need
//! not know that there was more than one. It must not open a file or read the environment: the caller has done that.

use std::fmt;

use toml::de::{DeTable, Error};

use crate::catalogue::{Catalogue, Section};
use crate::document::Document;
use crate::overrides::{self, Notice};
use crate::source::{From, Sources};

/// One layer.
#[derive(Clone, PartialEq)]
pub enum Layer {
    /// A file such as `sedge.toml` or `conf.d/20-site.toml`.
    File {
        /// What messages call it.
        name: String,
        /// Its content.
        text: String,
    },
    /// A file such as `plugins/system.toml`: all of it stands within `[plugin.system]`.
    Plugin {
        /// The name of the plugin.
        plugin: String,
        /// What messages call the file.
        name: String,
        /// Its content.
        text: String,
    },
    /// Variables, of which those that begin with `SEDGE__` are settings: `SEDGE__SENSOR__PI_KITCHEN__EVERY` is
    /// `sensor.pi-kitchen.every`.
    Environment(Vec<(String, String)>),
    /// Dotted TOML keys and their values: `--set sensor.kitchen.every=5s`.
    Flags(Vec<(String, String)>),
}

/// Without what it says, which may be secret.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, .. } | Self::Plugin { name, .. } => f.write_str(name),
            Self::Environment(variables) => write!(f, "{} variables", variables.len()),
            Self::Flags(flags) => write!(f, "{} flags", flags.len()),
        }
    }
}

/// All layers as one document.
pub(crate) struct Merged {
    pub(crate) sources: Sources,
    pub(crate) document: Document,
    /// What is no TOML, with the number of the source.
    pub(crate) unreadable: Vec<(usize, Vec<Error>)>,
    /// What is wrong with variables and flags.
    pub(crate) notices: Vec<Notice>,
    /// Pointers to what was given outside of files and is not to be shown.
    pub(crate) secrets: Vec<String>,
}

impl Merged {
    pub(crate) fn new(layers: &[Layer], catalogue: &Catalogue) -> Self {
        let mut merged = Self {
            sources: Sources::new(),
            document: Document::default(),
            unreadable: Vec::new(),
            notices: Vec::new(),
            secrets: Vec::new(),
        };
        if !matches!(layers.first(), Some(Layer::File { .. } | Layer::Plugin { .. })) {
            // What is said of no place in particular is said of the file that is not there.
            merged.sources.add("sedge.toml", "", From::File);
        }
        for layer in layers {
            match layer {
                Layer::File { name, text } => merged.file(name, text, None),
                Layer::Plugin { plugin, name, text } => merged.file(name, text, Some(plugin)),
                Layer::Environment(variables) => overrides::environment(&mut merged, catalogue, variables),
                Layer::Flags(flags) => overrides::flags(&mut merged, catalogue, flags),
            }
        }
        merged
    }

    fn file(&mut self, name: &str, text: &str, plugin: Option<&str>) {
        let base = self.sources.add(name, text, From::File);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            self.unreadable.push((self.sources.len() - 1, errors));
            return;
        }
        self.document.merge(match plugin {
            Some(plugin) => Document::within(&[Section::Plugin.word(), plugin], table.get_ref(), base),
            None => Document::new(table.get_ref(), base),
        });
    }
}
