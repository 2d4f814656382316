//! `[gpio.ID]`: something on a GPIO line, such as a relay or a button.

use schemars::JsonSchema;
use sedge_plugin::Id;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalogue::Section;
use crate::fingerprint::fingerprint;
use crate::instance::{CommonKeys, Read};
use crate::report::Fault;
use crate::secret::Settings;

/// A component on a GPIO line. When it has a fault, what is wrong stands at its default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gpio {
    /// Its id in topics.
    pub id: Id,
    /// What it is.
    pub kind: String,
    /// The name of its bus.
    pub bus: String,
    /// The line's number on its chip.
    pub line: u16,
    /// Whether it runs.
    pub enabled: bool,
    /// What the kind defines.
    pub settings: Settings,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Gpio {
    pub(crate) fn new(fault: Fault, read: Read<GpioKeys>) -> Self {
        let Read { instance, keys, settings, .. } = read;
        Self {
            id: instance.id,
            kind: keys.kind,
            bus: keys.bus.unwrap_or_default(),
            line: keys.line.unwrap_or_default(),
            enabled: keys.enabled,
            settings,
            fault: fault.text,
            mark: fault.mark,
        }
    }

    /// A number that changes when anything here does, secrets included; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, kind, bus, line, enabled, settings, fault: _, mark } = self;
        fingerprint(&json!([id, kind, bus, line, enabled, **settings, mark]))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["kind", "bus", "line"]))]
pub(crate) struct GpioKeys {
    /// What it is, such as "relay".
    #[schemars(length(min = 1))]
    pub(crate) kind: String,
    /// The name of the bus that its line is on.
    pub(crate) bus: Option<String>,
    /// The line's number on its chip.
    #[schemars(range(min = 0, max = 1023))]
    pub(crate) line: Option<u16>,
    /// Whether it runs.
    pub(crate) enabled: bool,
}

impl Default for GpioKeys {
    fn default() -> Self {
        Self { kind: String::new(), bus: None, line: None, enabled: true }
    }
}

impl CommonKeys for GpioKeys {
    const SECTION: Section = Section::Gpio;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        Some(&self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<GpioKeys>();
    }
}
