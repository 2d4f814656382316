//! What Home Assistant was told of the node before, also by a former process: what is gone must be said to be.

use std::collections::BTreeMap;

use sedge_plugin::directory::State;
use sedge_plugin::{Directory, Id};
use serde::{Deserialize, Serialize};

use super::document::{Component, Document, Platform};

/// Components that are not there, by their keys.
pub(super) type Missed = BTreeMap<String, Platform>;

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Where it was told.
    pub(super) topic: String,
    components: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "p")]
    platform: Platform,
    /// The plugin behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Id>,
}

impl From<&Component> for Entry {
    fn from(component: &Component) -> Self {
        Self { platform: component.platform, by: component.owner.clone() }
    }
}

impl Known {
    /// Nothing was told there yet.
    pub(super) fn at(topic: &str) -> Self {
        Self { topic: topic.into(), ..Self::default() }
    }

    /// What is about to be told. True where something of it is new.
    pub(super) fn add(&mut self, document: &Document) -> bool {
        let before = self.components.len();
        for (key, component) in &document.components {
            self.components.entry(key.clone()).or_insert_with(|| component.into());
        }
        self.components.len() > before
    }

    /// What was told and is not there; without what belongs to a plugin that may come back with it.
    pub(super) fn absent(&self, document: &Document, directory: &Directory) -> Missed {
        let may_come_back = |by: &Id| {
            directory.plugin(by.as_str()).is_some_and(|plugin| match plugin.state {
                State::Running | State::Degraded | State::Disabled | State::Stopped => false,
                State::Discovered
                | State::Skipped
                | State::Starting
                | State::BackingOff
                | State::Resting
                | State::Failed => true,
            })
        };
        let absent = |(key, entry): &(&String, &Entry)| {
            !document.components.contains_key(*key) && !entry.by.as_ref().is_some_and(may_come_back)
        };
        self.components.iter().filter(absent).map(|(key, entry)| (key.clone(), entry.platform)).collect()
    }

    /// What was told as something else than it is now.
    pub(super) fn changed(&self, document: &Document) -> Missed {
        let changed = |(key, entry): (&String, &Entry)| {
            let now = document.components.get(key)?.platform;
            (now != entry.platform).then(|| (key.clone(), entry.platform))
        };
        self.components.iter().filter_map(changed).collect()
    }

    /// It was told that these are gone.
    pub(super) fn remove(&mut self, gone: &Missed, document: &Document) {
        self.components.retain(|key, _| !gone.contains_key(key));
        self.add(document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let entry = |by: Option<&str>| Entry {
            platform: Platform::BinarySensor,
            by: by.map(|id| Id::new(id).unwrap()),
        };
        let known = Known {
            topic: "homeassistant/device/sedge-pi/config".into(),
            components: [("air-on".into(), entry(Some("air"))), ("_x".into(), entry(None))].into(),
        };
        let text = serde_json::to_string(&known).unwrap();
        assert!(
            text.contains(r#""air-on":{"p":"binary_sensor","by":"air"},"#)
                || text.contains(r#""air-on":{"p":"binary_sensor","by":"air"}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Known>(&text).unwrap(), known);
    }
}
