//! Looks after the other nodes now and then: which sensors are silent, and what is to be said of it in health.

use std::time::Duration;

use sedge_plugin::Id;

use super::fleet::Fleet;

/// Names that are told one by one.
const MOST_NAMED: usize = 5;

/// So many intervals without a reading are no accident.
const MISSED: u32 = 3;

impl Fleet {
    /// Takes back what is silent or offline. `down` says since when there is no connection.
    pub(super) fn look(&mut self, down: Option<Duration>) {
        let now = self.ctx.clock().up();
        let max_age = self.import.max_age;
        let cut_off = down.is_some_and(|since| now.saturating_sub(since) > max_age);
        let mut silent: Vec<(Id, Id)> = Vec::new();
        for (id, node) in &self.nodes {
            for (sensor, far) in node.sensors.iter().filter(|(_, far)| far.announced) {
                // One that tells by itself may have nothing to tell for long.
                let patience = self.ctx.directory().sensor(&far.local).and_then(|sensor| sensor.interval);
                let patience = patience.map(|interval| max_age.max(interval * MISSED));
                let quiet = patience.is_some_and(|patience| now.saturating_sub(far.heard) > patience);
                if quiet || cut_off || node.online == Some(false) {
                    silent.push((id.clone(), sensor.clone()));
                }
            }
        }
        for (id, sensor) in silent {
            self.withdraw(&id, &sensor);
        }
    }

    /// What is amiss with the other nodes; none where all is well.
    pub(super) fn amiss(&self) -> Option<String> {
        let mut told = Vec::new();
        if let (Some(node), true) = (&self.import.node, self.nodes.is_empty()) {
            told.push(format!("the broker knows nothing of `{node}`"));
        }
        let offline: Vec<&str> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.online != Some(true))
            .map(|(id, _)| id.as_str())
            .collect();
        told.extend(named(&offline).map(|names| format!("offline: {names}")));
        let online = || self.nodes.iter().filter(|(_, node)| node.online == Some(true));
        let far = || online().flat_map(|(_, node)| node.sensors.values());
        let silent: Vec<&str> = far()
            .filter(|far| !far.announced && far.conflict.is_none())
            .map(|far| far.local.as_str())
            .collect();
        told.extend(named(&silent).map(|names| format!("silent: {names}")));
        told.extend(far().filter_map(|far| far.conflict.clone()).take(MOST_NAMED));
        let taken: Vec<&str> = online().filter(|(_, node)| node.taken).map(|(id, _)| id.as_str()).collect();
        told.extend(named(&taken).map(|names| format!("their tools come from another section: {names}")));
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// Some names, and how many more there are.
fn named(names: &[&str]) -> Option<String> {
    let told = names.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        n if n > MOST_NAMED => Some(format!("{told} and {} more", n - MOST_NAMED)),
        _ => Some(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        assert_eq!(named(&[]), None);
        assert_eq!(named(&["a", "b"]).as_deref(), Some("a, b"));
        assert_eq!(named(&["a"; 7]).as_deref(), Some("a, a, a, a, a and 2 more"));
    }
}
