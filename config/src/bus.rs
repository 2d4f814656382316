//! `[bus.NAME]`: something that devices are on.

use schemars::JsonSchema;
use sedge_plugin::Id;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalogue::Section;
use crate::fingerprint::fingerprint;
use crate::instance::{CommonKeys, Read};
use crate::report::Fault;
use crate::secret::Settings;

/// A bus: an I2C adapter, a GPIO chip, or a simulation of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bus {
    /// Its name, which sensors and GPIO components refer to.
    pub id: Id,
    /// Which kind of bus.
    pub kind: String,
    /// What the kind defines, such as `device`.
    pub settings: Settings,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Bus {
    pub(crate) fn new(fault: Fault, read: Read<BusKeys>) -> Self {
        let Read { instance, keys, settings } = read;
        Self { id: instance.id, kind: keys.kind, settings, fault: fault.text, mark: fault.mark }
    }

    /// A number that changes when anything here does, secrets included; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, kind, settings, fault: _, mark } = self;
        fingerprint(&json!([id, kind, **settings, mark]))
    }
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["kind"]))]
pub(crate) struct BusKeys {
    /// Which kind of bus, such as "i2c".
    #[schemars(length(min = 1))]
    pub(crate) kind: String,
}

impl CommonKeys for BusKeys {
    const SECTION: Section = Section::Bus;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        Some(&self.kind)
    }
}

/// What a component needs of its bus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Need {
    I2c,
    Gpio,
}

impl Need {
    /// Whether a bus of this kind can do it. Of kinds beyond the three that every node has nothing is known here, so
    /// opening the device decides.
    pub(crate) fn is_met_by(self, bus_kind: &str) -> bool {
        match bus_kind {
            "i2c" => self == Self::I2c,
            "gpio" => self == Self::Gpio,
            _ => true,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::I2c => "i2c",
            Self::Gpio => "gpio",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<BusKeys>();
    }

    #[test]
    fn a_simulated_bus_serves_both() {
        assert!(Need::I2c.is_met_by("sim") && Need::Gpio.is_met_by("sim"));
        assert!(!Need::I2c.is_met_by("gpio") && !Need::Gpio.is_met_by("i2c"));
    }
}
