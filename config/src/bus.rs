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

/// A bus: an I2C or SPI adapter, a GPIO chip, a channel of a multiplexer, what the kernel drives itself, or a simulation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bus {
    /// Its name, which sensors and GPIO components refer to.
    pub id: Id,
    /// Which kind of bus.
    pub kind: String,
    /// The name of the bus that it is on itself, where it is a channel of a multiplexer; the same as `settings.bus`.
    pub parent: Option<String>,
    /// What the kind defines, such as `device`.
    pub settings: Settings,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Bus {
    pub(crate) fn new(fault: Fault, read: Read<BusKeys>) -> Self {
        let Read { instance, keys, settings, .. } = read;
        let BusKeys { kind, parent } = keys;
        Self { id: instance.id, kind, parent, settings, fault: fault.text, mark: fault.mark }
    }

    /// A number that changes when anything here does, secrets included; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, kind, parent, settings, fault: _, mark } = self;
        fingerprint(&json!([id, kind, parent, **settings, mark]))
    }
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["kind"]))]
pub(crate) struct BusKeys {
    /// Which kind of bus, such as "i2c".
    #[schemars(length(min = 1))]
    pub(crate) kind: String,
    /// The name of the bus that it is on; found among the settings of the kind.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) parent: Option<String>,
}

impl CommonKeys for BusKeys {
    const SECTION: Section = Section::Bus;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        Some(&self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<BusKeys>();
    }
}
