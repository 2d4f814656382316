//! `[plugin.NAME]`: the settings of a plugin that there is one of.

use schemars::JsonSchema;
use sedge_plugin::Id;
use serde::{Deserialize, Serialize};

use crate::catalogue::Section;
use crate::instance::CommonKeys;
use crate::secret::Settings;

/// A plugin that the file names. One that it does not name runs with its defaults, if it does so at all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plugin {
    /// Its name.
    pub id: Id,
    /// Whether it runs.
    pub enabled: bool,
    /// What the plugin defines.
    pub settings: Settings,
    /// Why it cannot run.
    pub fault: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct PluginKeys {
    /// Whether it runs.
    pub(crate) enabled: bool,
}

impl Default for PluginKeys {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl CommonKeys for PluginKeys {
    const SECTION: Section = Section::Plugin;
    fn kind(&self) -> Option<&str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<PluginKeys>();
    }
}
