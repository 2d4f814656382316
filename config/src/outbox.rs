//! `[outbox]`: how readings are kept until everybody has them, and what goes first when there is no room.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use sedge_plugin::{Every, Size, duration};
use serde::{Deserialize, Serialize};

use crate::report::{Report, Scope};

/// The shortest and the longest time between two commits.
const COMMITS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// What the smallest journal has room for.
const LEAST: Size = Size(1 << 20);

/// The largest journal in memory; more belongs on a disk.
const MOST_IN_MEMORY: Size = Size(256 << 20);

/// Classes of sensors.
const MAX_CLASSES: usize = 32;

/// Where readings are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// On the disk, in the node's folder for data; lost readings are those of the last commit at most.
    #[default]
    Disk,
    /// In memory: a restart loses what was not sent.
    Memory,
}

/// What goes when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The oldest.
    #[default]
    DropOldest,
    /// The oldest, but for every so many and the extremes between them.
    Thin,
    /// The newest: what was accepted stays.
    Refuse,
}

/// When what was accepted is forced onto the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Commit {
    /// Before the sensor is told that its reading is accepted.
    Each,
    /// Together with all others of this time.
    Every(Every),
}

/// How readings are kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outbox {
    /// Where.
    pub storage: Storage,
    /// When they are forced onto the disk.
    pub commit: Commit,
    /// Bytes that the journal may have.
    pub max_bytes: Size,
    /// How long a reading is kept at most. Nothing: until its room is needed.
    pub max_age: Option<Every>,
    /// What goes when there is no room.
    pub policy: Policy,
    /// With `thin`: every so many readings are kept.
    pub keep_every: u32,
    /// Sensors for which other rules hold, in the order of their names; the first that fits counts.
    pub classes: Vec<Class>,
}

/// Sensors for which other rules hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Which sensors: ids, with `*` for any letters.
    pub sensors: Vec<String>,
    /// When their readings are forced onto the disk.
    pub commit: Commit,
    /// What goes when there is no room.
    pub policy: Policy,
    /// With `thin`: every so many readings are kept.
    pub keep_every: u32,
}

impl Default for Outbox {
    fn default() -> Self {
        let keys = Keys::default();
        Self {
            storage: keys.storage,
            commit: Commit::Every(Every::secs(1)),
            max_bytes: Size(256 << 20),
            max_age: None,
            policy: keys.policy,
            keep_every: keys.keep_every,
            classes: Vec::new(),
        }
    }
}

/// The section as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// Where readings are kept until everybody has them.
    storage: Storage,
    /// How often what was accepted is forced onto the disk, such as "1s": a power cut loses what was accepted since. "each": before a sensor is told that its reading is accepted.
    commit: String,
    /// Bytes that the journal may have, such as "256MiB"; in memory "16MiB" unless told otherwise.
    #[schemars(extend("default" = "256MiB"))]
    max_bytes: Option<Size>,
    /// How long a reading is kept at most, such as "30d". Without it: until its room is needed.
    max_age: Option<Every>,
    /// What goes when there is no room: the oldest, the oldest but for every so many, or the newest.
    policy: Policy,
    /// With policy "thin": every so many readings of a sensor are kept, and the extremes between them.
    #[schemars(range(min = 2, max = 1000))]
    keep_every: u32,
    /// Sensors for which other rules hold.
    class: BTreeMap<String, ClassKeys>,
}

/// A class as it is written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["sensors"]))]
pub(crate) struct ClassKeys {
    /// Which sensors: ids, with "*" for any letters.
    #[schemars(length(min = 1))]
    sensors: Vec<String>,
    /// How often their readings are forced onto the disk, or "each"; as for all others unless told otherwise.
    commit: Option<String>,
    /// What goes when there is no room; as for all others unless told otherwise.
    #[schemars(with = "Policy")]
    policy: Option<Policy>,
    /// With policy "thin": every so many readings are kept; as for all others unless told otherwise.
    #[schemars(range(min = 2, max = 1000))]
    keep_every: Option<u32>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            storage: Storage::Disk,
            commit: "1s".into(),
            max_bytes: None,
            max_age: None,
            policy: Policy::DropOldest,
            keep_every: 10,
            class: BTreeMap::new(),
        }
    }
}

impl Outbox {
    /// Reads the section; nothing if it has a mistake.
    pub(crate) fn read(report: &mut Report<'_>) -> Option<Self> {
        let Some(table) = report.document.value.get("outbox") else { return Some(Self::default()) };
        report.problems_within(Scope::Node, "/outbox");
        let schema = schemars::schema_for!(Keys).to_value();
        let checked = report.check(Scope::Node, "/outbox", &schema, table, &[]);
        let keys: Keys = serde_json::from_value(checked.rest_of(table)).unwrap_or_default();
        let mut reading = Reading { report, good: checked.is_good() };
        let read = reading.read(keys);
        reading.good.then_some(read)
    }
}

/// The section while what no schema can say is checked.
struct Reading<'r, 'a> {
    report: &'r mut Report<'a>,
    good: bool,
}

impl Reading<'_, '_> {
    fn read(&mut self, keys: Keys) -> Outbox {
        let commit = self.commit("commit", &keys.commit);
        let max_bytes = keys.max_bytes.unwrap_or(match keys.storage {
            Storage::Disk => Size(256 << 20),
            Storage::Memory => Size(16 << 20),
        });
        if max_bytes < LEAST {
            self.wrong("max_bytes", &format!("{max_bytes} is too little"), &format!("at least {LEAST}"));
        }
        if keys.storage == Storage::Memory && max_bytes > MOST_IN_MEMORY {
            let help = format!("at most {MOST_IN_MEMORY} in memory, or `storage = \"disk\"`");
            self.wrong("max_bytes", &format!("{max_bytes} is too much"), &help);
        }
        if keys.max_age.is_some_and(|age| age.0 < Duration::from_secs(60)) {
            self.wrong("max_age", "readings would be lost at once", "at least 1m");
        }
        if keys.class.len() > MAX_CLASSES {
            self.wrong("class", "too many classes", &format!("at most {MAX_CLASSES}"));
        }
        let mut classes = Vec::new();
        for (name, class) in keys.class {
            let own = class.commit.as_deref().map(|text| self.commit(&format!("class/{name}/commit"), text));
            classes.push(Class {
                name,
                sensors: class.sensors,
                commit: own.unwrap_or(commit),
                policy: class.policy.unwrap_or(keys.policy),
                keep_every: class.keep_every.unwrap_or(keys.keep_every),
            });
        }
        let Keys { storage, max_age, policy, keep_every, .. } = keys;
        Outbox { storage, commit, max_bytes, max_age, policy, keep_every, classes }
    }

    fn commit(&mut self, key: &str, text: &str) -> Commit {
        if text == "each" {
            return Commit::Each;
        }
        match duration::parse(text) {
            Ok(every) if COMMITS.contains(&every) => Commit::Every(Every(every)),
            Ok(every) => {
                let (least, most) = (Every(*COMMITS.start()), Every(*COMMITS.end()));
                self.wrong(
                    key,
                    &format!("{} is out of range", Every(every)),
                    &format!("{least} to {most}, or \"each\""),
                );
                Commit::Each
            }
            Err(error) => {
                self.wrong(key, &error.to_string(), "such as \"1s\", or \"each\"");
                Commit::Each
            }
        }
    }

    fn wrong(&mut self, key: &str, message: &str, help: &str) {
        let place = self.report.document.place(&format!("/outbox/{key}")).value;
        self.report.error(Scope::Node, place, message).help(help);
        self.good = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalogue;

    fn parse(text: &str) -> (Option<Outbox>, Vec<String>) {
        let outcome =
            crate::parse("sedge.toml", &format!("mqtt.embedded = true\n{text}"), &Catalogue::default());
        let told = outcome.diagnostics.iter().map(crate::Diagnostic::one_line).collect();
        (outcome.config.map(|config| config.outbox), told)
    }

    #[test]
    fn a_class_has_the_rules_of_all_but_for_its_own() {
        let text = "[outbox]\ncommit = \"5s\"\npolicy = \"thin\"\n[outbox.class.meters]\nsensors = [\"meter-*\"]\ncommit = \"each\"\n";
        let (outbox, told) = parse(text);
        assert_eq!(told, Vec::<String>::new());
        let outbox = outbox.unwrap();
        assert_eq!(outbox.commit, Commit::Every(Every::secs(5)));
        let class = &outbox.classes[0];
        assert_eq!((class.commit, class.policy, class.keep_every), (Commit::Each, Policy::Thin, 10));
    }

    #[test]
    fn a_journal_in_memory_is_smaller() {
        assert_eq!(parse("outbox.storage = \"memory\"").0.unwrap().max_bytes, Size(16 << 20));
        assert_eq!(parse("").0.unwrap().max_bytes, Size(256 << 20));
    }

    #[test]
    fn each_mistake_is_told_with_its_place() {
        for (text, told) in [
            ("outbox.commit = \"now\"", "sedge.toml:2:17: `now` is not a duration"),
            ("outbox.commit = \"1ms\"", "sedge.toml:2:17: 1ms is out of range"),
            ("outbox.max_bytes = \"1kB\"", "sedge.toml:2:20: 1KB is too little"),
            ("outbox.max_age = \"1s\"", "sedge.toml:2:18: readings would be lost at once"),
            ("outbox.storage = \"memory\"\noutbox.max_bytes = \"1GB\"", "sedge.toml:3:20: 1GB is too much"),
            ("outbox.class.a.policy = \"thin\"", "sedge.toml:2:14: missing key `sensors`"),
            ("outbox.policy = \"drop\"", "sedge.toml:2:17: "),
        ] {
            let (outbox, diagnostics) = parse(text);
            assert!(outbox.is_none(), "{text}");
            assert!(diagnostics.iter().any(|line| line.starts_with(told)), "{text}: {diagnostics:?}");
        }
    }

    #[test]
    fn every_key_is_checked_and_described() {
        let schema = schemars::schema_for!(Keys).to_value();
        sedge_plugin::schema::Schema::compile(&schema).expect("within the subset");
        for (key, property) in schema["properties"].as_object().expect("properties") {
            assert!(property["description"].is_string(), "`{key}` says what it is for");
        }
    }
}
