//! `[processor.ID]`: something that works on readings before they are delivered.

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

/// A processor. When it has a fault, what is wrong stands at its default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Processor {
    /// Its id, which sensors name.
    pub id: Id,
    /// What it does.
    pub kind: String,
    /// The sensors that it is for. Nothing: all; where sensors name it in their `process`, those.
    pub sensors: Option<Vec<String>>,
    /// Of two that a sensor does not name, the one with the lower number works first. 100 to 999: a sensor's own chain is
    /// before all of them, rounding after.
    pub priority: i32,
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

impl Processor {
    pub(crate) fn new(fault: Fault, read: Read<ProcessorKeys>) -> Self {
        let Read { instance, keys, settings, outside } = read;
        Self {
            id: instance.id,
            kind: keys.kind,
            sensors: keys.sensors,
            priority: keys.priority,
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
        let Self { id, kind, sensors, priority, enabled, settings, outside, fault: _, mark } = self;
        fingerprint(&json!([id, kind, sensors, priority, enabled, **settings, outside, mark]))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["kind"]))]
pub(crate) struct ProcessorKeys {
    /// What it does, such as "smooth".
    #[schemars(length(min = 1))]
    pub(crate) kind: String,
    /// The sensors that it is for. Without it: all, unless sensors name it in their own `process`.
    pub(crate) sensors: Option<Vec<String>>,
    /// Of two that a sensor does not name, the one with the lower number works first. A sensor's own chain works before
    /// all of them, rounding after.
    #[schemars(range(min = 100, max = 999))]
    pub(crate) priority: i32,
    /// Whether it runs.
    pub(crate) enabled: bool,
}

impl Default for ProcessorKeys {
    fn default() -> Self {
        Self { kind: String::new(), sensors: None, priority: 100, enabled: true }
    }
}

impl CommonKeys for ProcessorKeys {
    const SECTION: Section = Section::Processor;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        Some(&self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<ProcessorKeys>();
    }
}
