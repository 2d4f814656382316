//! `[plugin.NAME]`: the settings of a plugin, which mostly there is one of. One that runs twice has two names of its own
//! and a `kind` that says which plugin it is.

use schemars::JsonSchema;
use sedge_plugin::Id;
use sedge_plugin::schema::child_pointer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalogue::{Catalogue, Section};
use crate::fingerprint::fingerprint;
use crate::instance::{CommonKeys, Read};
use crate::outside::Outside;
use crate::report::{Fault, Report, Scope};
use crate::secret::Settings;

/// A plugin that the file names. One that it does not name runs with its defaults, if it does so at all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plugin {
    /// Its name.
    pub id: Id,
    /// Which plugin; its name unless it says another.
    pub kind: String,
    /// Whether it runs.
    pub enabled: bool,
    /// What the plugin defines.
    pub settings: Settings,
    /// Of a plugin from outside: how far it may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Plugin {
    pub(crate) fn new(fault: Fault, read: Read<PluginKeys>) -> Self {
        let Read { instance, keys, settings, outside } = read;
        let kind = keys.kind.unwrap_or_else(|| instance.id.to_string());
        Self {
            id: instance.id,
            kind,
            enabled: keys.enabled,
            settings,
            outside,
            fault: fault.text,
            mark: fault.mark,
        }
    }

    /// A number that changes when anything here does, secrets included; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, kind, enabled, settings, outside, fault: _, mark } = self;
        fingerprint(&json!([id, kind, enabled, **settings, outside, mark]))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct PluginKeys {
    /// Which plugin. Without it: the one that is called as the section is.
    #[schemars(length(min = 1))]
    pub(crate) kind: Option<String>,
    /// Whether it runs.
    pub(crate) enabled: bool,
}

impl Default for PluginKeys {
    fn default() -> Self {
        Self { kind: None, enabled: true }
    }
}

impl CommonKeys for PluginKeys {
    const SECTION: Section = Section::Plugin;
    fn kind<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        Some(self.kind.as_deref().unwrap_or(name))
    }
}

/// Refuses one plugin under the name of another: a node may run that one too.
pub(crate) fn check(report: &mut Report<'_>, catalogue: &Catalogue, read: &Read<PluginKeys>) {
    let Read { instance, keys, .. } = read;
    let name = instance.name.as_str();
    if let Some(kind) = keys.kind.as_deref().filter(|kind| *kind != name)
        && catalogue.find(Section::Plugin, name).is_some_and(|kind| kind.outside.is_none())
    {
        let place = report.document.place(&child_pointer(&instance.pointer, "kind")).value;
        let message = format!("a plugin of kind `{kind}` cannot be called `{name}`, which is another plugin");
        report.error(Scope::Instance(instance), place, &message).help("choose another name");
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
