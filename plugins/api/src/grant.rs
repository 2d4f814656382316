//! What a plugin from outside asks for, and what it is granted.
//!
//! Nothing is granted by default: a plugin may log, keep a few values of its own, submit readings of its own sensors, offer the
//! tools of its manifest, raise events. All else it asks for in its manifest ([`Requests`]), and gets from the config
//! ([`Grants`]); what holds is what stands in both. Hardware is asked for by a label of the plugin's own, so that its code need
//! not know on which bus and at which address the operator has wired it.
//!
//! ```
//! use sedge_plugin::grant::{Grants, Requests};
//! let requests: Requests = serde_json::from_str(r#"{ "i2c": { "pump": [32, 33] }, "hosts": ["example.org"] }"#).unwrap();
//! let grants: Grants =
//!     serde_json::from_str(r#"{ "i2c": { "pump": { "bus": "i2c-1", "address": 32 } }, "data": true }"#).unwrap();
//! let held = requests.held(&grants);
//! assert_eq!(held.i2c["pump"].address, 32);
//! assert!(!held.data, "granted, and never asked for");
//! assert_eq!(requests.missing(&grants), ["hosts: example.org"]);
//! ```
//!
//! Of a pattern that is asked for, less may be granted: who asks for the tools `pump_*` and is granted `pump_set` holds that one.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a manifest asks for: `[requests]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    /// I2C devices, by a label of the plugin's own: the addresses that it can have, the usual one first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub i2c: BTreeMap<String, Vec<u8>>,
    /// GPIO lines, by a label of the plugin's own: `in` or `out`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gpio: BTreeMap<String, Direction>,
    /// Tools of others that it calls: names, or patterns with `*`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<String>,
    /// Hook topics that it hears or is a step of. Those of its `[[hook]]`s are asked for by themselves.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub topics: BTreeSet<String>,
    /// Hosts that it speaks to over HTTP: `api.example.org`, `*.example.org`, `192.168.1.7:8080`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// A directory of its own for files.
    #[serde(skip_serializing_if = "is_false")]
    pub data: bool,
    /// The node's config, secrets masked.
    #[serde(skip_serializing_if = "is_false")]
    pub config: bool,
    /// What for, for the one who is to grant it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What the config grants an instance: `grant = { … }` in its section.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// I2C devices, by the plugin's label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub i2c: BTreeMap<String, I2cGrant>,
    /// GPIO lines, by the plugin's label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gpio: BTreeMap<String, GpioGrant>,
    /// Tools that it may call: names, or patterns with `*`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<String>,
    /// Hook topics.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub topics: BTreeSet<String>,
    /// Hosts.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// A directory of its own.
    #[serde(skip_serializing_if = "is_false")]
    pub data: bool,
    /// The node's config, secrets masked.
    #[serde(skip_serializing_if = "is_false")]
    pub config: bool,
}

/// Which way a GPIO line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It is read.
    In,
    /// It is set.
    Out,
}

/// A device on an I2C bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct I2cGrant {
    /// The `[bus.NAME]` that it is on.
    pub bus: String,
    /// Its address, 7 bits.
    pub address: u8,
}

/// A line of a GPIO chip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpioGrant {
    /// The `[bus.NAME]` of the chip.
    pub bus: String,
    /// The line's number.
    pub line: u32,
}

impl Requests {
    /// What it holds of what it asks for.
    #[must_use]
    pub fn held(&self, grants: &Grants) -> Grants {
        let both = |asked: &BTreeSet<String>, granted: &BTreeSet<String>| {
            let whole = asked.iter().filter(|one| granted.iter().any(|pattern| covers(pattern, one)));
            // Asked for as `pump_*` and granted as `pump_set`: the narrower of the two.
            let part = granted.iter().filter(|one| asked.iter().any(|pattern| covers(pattern, one)));
            whole.chain(part).cloned().collect()
        };
        Grants {
            i2c: of(&grants.i2c, |label, grant| {
                self.i2c.get(label).is_some_and(|addresses| addresses.contains(&grant.address))
            }),
            gpio: of(&grants.gpio, |label, _| self.gpio.contains_key(label)),
            tools: both(&self.tools, &grants.tools),
            topics: both(&self.topics, &grants.topics),
            hosts: both(&self.hosts, &grants.hosts),
            data: self.data && grants.data,
            config: self.config && grants.config,
        }
    }

    /// What it asks for and is not granted, each as `hosts: example.org`.
    #[must_use]
    pub fn missing(&self, grants: &Grants) -> Vec<String> {
        let held = self.held(grants);
        let lacks = |what: &str, asked: &BTreeSet<String>, held: &BTreeSet<String>| {
            let lacking =
                asked.iter().filter(|one| !held.iter().any(|part| covers(part, one) || covers(one, part)));
            lacking.map(|one| format!("{what}: {one}")).collect::<Vec<_>>()
        };
        let labels = |what: &str, asked: Vec<&String>, held: Vec<&String>| {
            let lacking = asked.into_iter().filter(|label| !held.contains(label));
            lacking.map(|label| format!("{what}: {label}")).collect::<Vec<_>>()
        };
        let mut missing = labels("i2c", self.i2c.keys().collect(), held.i2c.keys().collect());
        missing.extend(labels("gpio", self.gpio.keys().collect(), held.gpio.keys().collect()));
        missing.extend(lacks("tools", &self.tools, &held.tools));
        missing.extend(lacks("topics", &self.topics, &held.topics));
        missing.extend(lacks("hosts", &self.hosts, &held.hosts));
        missing.extend((self.data && !held.data).then(|| "data".to_owned()));
        missing.extend((self.config && !held.config).then(|| "config".to_owned()));
        missing
    }

    /// What it asks for beyond `before`, as [`missing`](Self::missing) says it: what an update has to wait for.
    #[must_use]
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let i2c = self.i2c.iter().filter(|(label, addresses)| {
            before.i2c.get(*label).is_none_or(|had| addresses.iter().any(|address| !had.contains(address)))
        });
        let gpio = self.gpio.iter().filter(|(label, way)| before.gpio.get(*label) != Some(*way));
        let mut beyond: Vec<String> = i2c.map(|(label, _)| format!("i2c: {label}")).collect();
        beyond.extend(gpio.map(|(label, _)| format!("gpio: {label}")));
        let sets = [
            ("tools", &self.tools, &before.tools),
            ("topics", &self.topics, &before.topics),
            ("hosts", &self.hosts, &before.hosts),
        ];
        for (what, now, had) in sets {
            let new = now.iter().filter(|one| !had.iter().any(|pattern| covers(pattern, one)));
            beyond.extend(new.map(|one| format!("{what}: {one}")));
        }
        beyond.extend((self.data && !before.data).then(|| "data".to_owned()));
        beyond.extend((self.config && !before.config).then(|| "config".to_owned()));
        beyond
    }
}

/// Whether a grant covers what is asked for: the same text, or a pattern that it fits. A star that is asked for fits only a star.
fn covers(grant: &str, asked: &str) -> bool {
    grant == asked || crate::glob(grant, asked)
}

fn of<V: Clone>(grants: &BTreeMap<String, V>, is_asked: impl Fn(&str, &V) -> bool) -> BTreeMap<String, V> {
    let held = grants.iter().filter(|(label, grant)| is_asked(label, grant));
    held.map(|(label, grant)| (label.clone(), grant.clone())).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(asked: &[&str], granted: &[&str]) -> (Vec<String>, Vec<String>) {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let requests = Requests { tools: texts(asked), ..Requests::default() };
        let grants = Grants { tools: texts(granted), ..Grants::default() };
        (requests.held(&grants).tools.into_iter().collect(), requests.missing(&grants))
    }

    #[test]
    fn what_holds_is_the_narrower_of_what_is_asked_for_and_what_is_granted() {
        for (asked, granted, holds) in [
            (["pump_set"], ["pump_set"], vec!["pump_set"]),
            (["pump_set"], ["pump_*"], vec!["pump_set"]),
            (["pump_*"], ["*"], vec!["pump_*"]),
            (["pump_*"], ["pump_set"], vec!["pump_set"]),
            (["*"], ["pump_*"], vec!["pump_*"]),
            (["pump_set"], ["lamp_*"], vec![]),
            (["*_set"], ["pump_*"], vec![]),
        ] {
            let (held, missing) = held(&asked, &granted);
            assert_eq!(held, holds, "{asked:?} {granted:?}");
            assert_eq!(missing.is_empty(), !holds.is_empty(), "{asked:?} {granted:?}");
        }
    }
}
