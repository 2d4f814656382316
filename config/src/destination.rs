//! `[destination.ID]`: something that readings go to, beside the broker.

use schemars::JsonSchema;
use sedge_plugin::Id;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalogue::Section;
use crate::fingerprint::fingerprint;
use crate::instance::{CommonKeys, Read};
use crate::outside::Outside;
use crate::report::Fault;
use crate::secret::Settings;

/// A destination. When it has a fault, what is wrong stands at its default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Destination {
    /// Its id.
    pub id: Id,
    /// What it is.
    pub kind: String,
    /// The sensors whose readings it gets. Nothing: all.
    pub sensors: Option<Vec<String>>,
    /// Whether it runs.
    pub enabled: bool,
    /// What the kind defines.
    pub settings: Settings,
    /// Of a plugin from outside: how far it may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Destination {
    pub(crate) fn new(fault: Fault, read: Read<DestinationKeys>) -> Self {
        let Read { instance, keys, settings, outside } = read;
        Self {
            id: instance.id,
            kind: keys.kind,
            sensors: keys.sensors,
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
        let Self { id, kind, sensors, enabled, settings, outside, fault: _, mark } = self;
        fingerprint(&json!([id, kind, sensors, enabled, **settings, outside, mark]))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["kind"]))]
pub(crate) struct DestinationKeys {
    /// What it is, such as "file".
    #[schemars(length(min = 1))]
    pub(crate) kind: String,
    /// The sensors whose readings it gets. Without it: all.
    pub(crate) sensors: Option<Vec<String>>,
    /// Whether it runs.
    pub(crate) enabled: bool,
}

impl Default for DestinationKeys {
    fn default() -> Self {
        Self { kind: String::new(), sensors: None, enabled: true }
    }
}

impl CommonKeys for DestinationKeys {
    const SECTION: Section = Section::Destination;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        Some(&self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<DestinationKeys>();
    }
}
