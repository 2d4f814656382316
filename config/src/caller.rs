//! `[caller.NAME]`: somebody who signs calls of tools, and what they may call.
//!
//! ```toml
//! [caller.attic]
//! key = "ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="   # as `sedge caller new attic` prints it
//! tools = ["pump_*"]
//! rate = "10/min"
//! ```
//!
//! The name is the caller's alone: a guard that allows `attic` allows nobody who only says that it is `attic`. So a caller with
//! a mistake stays in the config, without a key: its calls are refused, and its name is still not free.

use schemars::JsonSchema;
use sedge_plugin::schema::child_pointer;
use sedge_plugin::{Id, PublicKey, Rate};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalogue::Section;
use crate::fingerprint::fingerprint;
use crate::guard::{elements, wrong_tool};
use crate::instance::{CommonKeys, Read};
use crate::report::{Fault, Report, Scope};

/// Names that stand for those who have none of their own.
const TAKEN: [&str; 2] = ["cli", "mqtt"];

/// Somebody who signs calls.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Caller {
    /// Its name. Callers have a name space of their own.
    pub id: Id,
    /// What its signatures are checked with; none where there is a mistake: then its calls are refused.
    pub key: Option<PublicKey>,
    /// Patterns of the tools that it may call; `*` stands for any characters.
    pub tools: Vec<String>,
    /// How often it may call. Nothing: as often as all others.
    pub rate: Option<Rate>,
    /// What is wrong with it.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Caller {
    pub(crate) fn new(fault: Fault, read: Read<CallerKeys>) -> Self {
        let Read { instance, keys, .. } = read;
        let key = keys.key.filter(|_| fault.text.is_none());
        let CallerKeys { tools, rate, .. } = keys;
        Self { id: instance.id, key, tools, rate, fault: fault.text, mark: fault.mark }
    }

    /// A number that changes when anything here does; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, key, tools, rate, fault: _, mark } = self;
        fingerprint(&json!([id, key, tools, rate, mark]))
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["key", "tools"]))]
pub(crate) struct CallerKeys {
    /// The public half of its key, as "sedge caller new NAME" prints it.
    key: Option<PublicKey>,
    /// The tools that it may call, such as "pump_*"; `*` stands for any characters.
    #[schemars(length(min = 1))]
    tools: Vec<String>,
    /// How often it may call, such as "10/min"; without it as often as `[calls]` says.
    rate: Option<Rate>,
}

impl CommonKeys for CallerKeys {
    const SECTION: Section = Section::Caller;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        None
    }
}

/// Checks what no schema can say.
pub(crate) fn check(report: &mut Report<'_>, read: &Read<CallerKeys>) {
    let Read { instance, keys, .. } = read;
    let scope = Scope::Instance(instance);
    for (place, tool) in elements(report, instance, "tools", &keys.tools) {
        if let Some(why) = wrong_tool(tool) {
            report.error(scope, place, &why).help("a tool's name, in which `*` stands for any characters");
        }
    }
    if TAKEN.contains(&instance.name.as_str()) {
        let message = format!("`{}` is what callers without a key of their own are called", instance.name);
        report.error(scope, instance.key.clone(), &message).help("choose another name");
    }
}

/// Finds two callers with one key: what one of them signs would be good for the other's rights.
pub(crate) fn shared_keys(report: &mut Report<'_>, callers: &[Read<CallerKeys>]) {
    for (at, read) in callers.iter().enumerate() {
        let same = |other: &&Read<CallerKeys>| other.keys.key.is_some() && other.keys.key == read.keys.key;
        let Some(other) = callers[..at].iter().find(same) else { continue };
        let place =
            |of: &Read<CallerKeys>| report.document.place(&child_pointer(&of.instance.pointer, "key")).value;
        let (here, there) = (place(read), place(other));
        let message = format!("`{}` has this key too", other.instance.title());
        report.conflict(&read.instance, here, &message, there, "the other one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<CallerKeys>();
    }
}
