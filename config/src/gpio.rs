//! `[gpio.ID]`: something on a GPIO line, such as a relay or a button.

use schemars::JsonSchema;
use sedge_plugin::Id;
use serde::{Deserialize, Serialize};

use crate::catalogue::Section;
use crate::instance::CommonKeys;
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
    fn kind(&self) -> Option<&str> {
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
