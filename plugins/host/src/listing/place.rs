//! Where plugins come from, and who wins.
//!
//! It must not know where these places are: that is a matter of the environment, which the caller reads.

use std::path::{Path, PathBuf};

use sedge_plugin::PluginInfo;
use serde::Serialize;

/// What kind of place, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `plugins/` beside the config file.
    Project,
    /// The user's own, such as `~/.local/share/sedge/plugins`.
    User,
    /// The machine's, such as `/usr/lib/sedge/plugins`.
    System,
    /// Named in the config: `[plugins] paths`.
    Extra,
    /// Compiled in.
    BuiltIn,
}

impl Origin {
    /// The word of lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::User => "user",
            Self::System => "system",
            Self::Extra => "extra",
            Self::BuiltIn => "built in",
        }
    }
}

/// A place with plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub(super) origin: Origin,
    pub(super) source: Source,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Folder(PathBuf),
    BuiltIn(Vec<PluginInfo>),
}

impl Place {
    /// The folder beside the config file.
    pub fn project(path: impl Into<PathBuf>) -> Self {
        Self { origin: Origin::Project, source: Source::Folder(path.into()) }
    }

    /// A folder of the user's.
    pub fn user(path: impl Into<PathBuf>) -> Self {
        Self { origin: Origin::User, source: Source::Folder(path.into()) }
    }

    /// A folder of the machine's.
    pub fn system(path: impl Into<PathBuf>) -> Self {
        Self { origin: Origin::System, source: Source::Folder(path.into()) }
    }

    /// A folder that the config names.
    pub fn extra(path: impl Into<PathBuf>) -> Self {
        Self { origin: Origin::Extra, source: Source::Folder(path.into()) }
    }

    /// Its folder; none for what is compiled in.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::Folder(folder) => Some(folder),
            Source::BuiltIn(_) => None,
        }
    }

    /// Plugins that are compiled in.
    pub fn built_in(infos: impl IntoIterator<Item = PluginInfo>) -> Self {
        Self { origin: Origin::BuiltIn, source: Source::BuiltIn(infos.into_iter().collect()) }
    }
}
