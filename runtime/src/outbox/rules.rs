//! What holds for which sensor: when its readings are committed, and what goes of them when there is no room.

use std::time::Duration;

use sedge_config::{Commit, Policy};
use sedge_plugin::{Id, glob};

/// For one sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Whether a reading is committed before its sensor is told that it is accepted.
    pub(crate) commits_each: bool,
    /// The time between two commits.
    pub(crate) commit: Duration,
    pub(crate) policy: Policy,
    /// With [`Policy::Thin`].
    pub(crate) keep_every: u64,
}

/// For all sensors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) max_age: Option<Duration>,
    general: Rule,
    classes: Vec<(Vec<String>, Rule)>,
}

impl Rules {
    pub(crate) fn new(settings: &sedge_config::Outbox) -> Self {
        let class = |class: &sedge_config::Class| {
            (class.sensors.clone(), rule(class.commit, class.policy, class.keep_every))
        };
        Self {
            max_age: settings.max_age.map(|age| age.0),
            general: rule(settings.commit, settings.policy, settings.keep_every),
            classes: settings.classes.iter().map(class).collect(),
        }
    }

    pub(crate) fn of(&self, sensor: &Id) -> Rule {
        let fits = |(patterns, _): &&(Vec<String>, Rule)| patterns.iter().any(|p| glob(p, sensor.as_str()));
        self.classes.iter().find(fits).map_or(self.general, |(_, rule)| *rule)
    }

    /// What holds for all sensors, without a pattern; then each class.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&[String], Rule)> {
        let classes = self.classes.iter().map(|(patterns, rule)| (&patterns[..], *rule));
        std::iter::once((&[][..], self.general)).chain(classes)
    }

    /// Whether anything is kept of what is the oldest.
    pub(crate) fn keeps_some(&self) -> bool {
        let mut rules = self.classes.iter().map(|(_, rule)| rule).chain([&self.general]);
        rules.any(|rule| rule.policy != Policy::DropOldest)
    }
}

fn rule(commit: Commit, policy: Policy, keep_every: u32) -> Rule {
    let (commits_each, commit) = match commit {
        Commit::Each => (true, Duration::ZERO),
        Commit::Every(every) => (false, every.0),
    };
    Rule { commits_each, commit, policy, keep_every: u64::from(keep_every.max(2)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_counts() {
        let class = |name: &str, sensors: &str, policy| sedge_config::Class {
            name: name.into(),
            sensors: vec![sensors.into()],
            commit: Commit::Each,
            policy,
            keep_every: 5,
        };
        let rules = Rules::new(&sedge_config::Outbox {
            classes: vec![class("a", "meter-*", Policy::Refuse), class("b", "*", Policy::Thin)],
            ..sedge_config::Outbox::default()
        });
        assert_eq!(rules.of(&Id::new("meter-1").unwrap()).policy, Policy::Refuse);
        assert_eq!(rules.of(&Id::new("air").unwrap()).policy, Policy::Thin);
        assert!(rules.keeps_some());
        assert!(!Rules::new(&sedge_config::Outbox::default()).keeps_some());
    }
}
