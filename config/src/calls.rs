//! `[calls]`: what is asked of calls of tools that come over MQTT.
//!
//! A mistake here keeps the node from starting, because whatever it would do instead could let in whom it should not.

use schemars::JsonSchema;
use sedge_plugin::Rate;
use sedge_plugin::schema::child_pointer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::fingerprint::fingerprint;
use crate::guard::wrong_tool;
use crate::report::{Report, Scope};

/// Which calls must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MustSign {
    /// None. A signature that does not hold is refused all the same.
    #[default]
    Off,
    /// Those of tools that are not read-only.
    Actuate,
    /// All.
    All,
}

/// What is asked of calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// Which calls must be signed: "off" for none, "actuate" for those of tools that are not read-only, "all".
    pub signed: MustSign,
    /// The tools that may be called without a signature all the same, such as "lamp_*".
    pub allow_unsigned: Vec<String>,
    /// How often each caller may call, such as "60/min".
    pub per_caller: Rate,
    /// How often all those together may call who do not sign, such as "600/min".
    pub unsigned: Rate,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            signed: MustSign::Off,
            allow_unsigned: Vec::new(),
            per_caller: Rate::per_minute(60),
            unsigned: Rate::per_minute(600),
        }
    }
}

impl Calls {
    /// A number that changes when anything here does.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&json!(self))
    }

    /// Reads the section; nothing if it has a mistake.
    pub(crate) fn read(report: &mut Report<'_>) -> Option<Self> {
        let document = report.document;
        let Some(table) = document.value.get("calls") else { return Some(Self::default()) };
        report.problems_within(Scope::Node, "/calls");
        let schema = schemars::schema_for!(Self).to_value();
        let checked = report.check(Scope::Node, "/calls", &schema, table, &[]);
        let calls: Self = serde_json::from_value(checked.rest_of(table)).unwrap_or_default();
        let mut good = checked.is_good();
        for (at, tool) in calls.allow_unsigned.iter().enumerate() {
            let Some(why) = wrong_tool(tool) else { continue };
            let place = document.place(&child_pointer("/calls/allow_unsigned", &at.to_string())).value;
            let help = "a tool's name, in which `*` stands for any characters";
            report.error(Scope::Node, place, &why).help(help);
            good = false;
        }
        if calls.signed == MustSign::Off && !calls.allow_unsigned.is_empty() {
            let place = document.place("/calls/allow_unsigned").key;
            report.warning(place, "`allow_unsigned` has no effect while no call must be signed");
        }
        if calls.signed != MustSign::Off && !document.has("/caller") {
            let place = document.place("/calls/signed").value;
            let message = "calls must be signed, and there is nobody who can";
            report
                .warning(place, message)
                .help("add a `[caller.NAME]`; `sedge caller new NAME` makes its key");
        }
        good.then_some(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_checked_and_described() {
        let schema = schemars::schema_for!(Calls).to_value();
        sedge_plugin::schema::Schema::compile(&schema).expect("within the subset");
        for (key, property) in schema["properties"].as_object().expect("properties") {
            assert!(property["description"].is_string(), "`{key}` says what it is for");
        }
    }
}
