//! What is kept of the oldest readings when there is no room for all: by each sensor's rule.
//!
//! Thinning keeps every n-th reading of a sensor, and of those between them the one with the least and the one with the
//! greatest value of its first number: what a graph of the time would show.

use std::collections::{BTreeMap, BTreeSet};

use sedge_config::Policy;
use sedge_plugin::{Id, Reading};

use super::rules::Rule;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Thinned {
    kept: BTreeSet<u64>,
    runs: BTreeMap<Id, Run>,
}

/// The readings of a sensor since the last that was kept for its place.
#[derive(Debug, Default)]
struct Run {
    seen: u64,
    least: Option<(f64, u64)>,
    greatest: Option<(f64, u64)>,
}

impl Thinned {
    /// The next reading.
    pub(super) fn see(&mut self, position: u64, reading: &Reading, rule: Rule) {
        match rule.policy {
            Policy::DropOldest => {}
            Policy::Refuse => drop(self.kept.insert(position).then_some(())),
            Policy::Thin => self.thin(position, reading, rule.keep_every),
        }
    }

    fn thin(&mut self, position: u64, reading: &Reading, keep_every: u64) {
        let run = self.runs.entry(reading.sensor.clone()).or_default();
        run.seen += 1;
        if run.seen % keep_every == 1 {
            self.kept.extend(run.take_extremes());
            self.kept.insert(position);
            return;
        }
        let Some(value) = reading.frame.samples.iter().find_map(sedge_plugin::Sample::number) else { return };
        if run.least.is_none_or(|(least, _)| value < least) {
            run.least = Some((value, position));
        }
        if run.greatest.is_none_or(|(greatest, _)| value > greatest) {
            run.greatest = Some((value, position));
        }
    }

    /// The positions that stay.
    pub(super) fn kept(mut self) -> BTreeSet<u64> {
        for run in self.runs.values_mut() {
            self.kept.extend(run.take_extremes());
        }
        self.kept
    }
}

impl Run {
    fn take_extremes(&mut self) -> impl Iterator<Item = u64> + use<> {
        let least = self.least.take().map(|(_, position)| position);
        least.into_iter().chain(self.greatest.take().map(|(_, position)| position))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sedge_plugin::{Boot, Frame, Taken};

    use super::*;

    fn kept(policy: Policy, keep_every: u64, values: &[f64]) -> Vec<u64> {
        let mut thinned = Thinned::default();
        let rule = Rule { commits_each: false, commit: Duration::ZERO, policy, keep_every };
        for (position, value) in (0..).zip(values) {
            let mut frame = Frame::default();
            frame.push("ok", true);
            frame.push("t", *value);
            let taken = Taken { up_ms: 0, wall_ms: None };
            let sensor = Id::new("air").unwrap();
            thinned.see(
                position,
                &Reading { sensor, boot: Boot(1), seq: position, taken, frame, origin: None },
                rule,
            );
        }
        thinned.kept().into_iter().collect()
    }

    #[test]
    fn every_nth_stays_and_the_extremes_between() {
        let values = [5.0, 9.0, 1.0, 4.0, 4.0, 5.0, 5.0, 5.0, 7.0, 5.0, 0.0];
        assert_eq!(kept(Policy::Thin, 5, &values), [0, 1, 2, 5, 6, 8, 10]);
    }

    #[test]
    fn what_must_stay_stays_and_the_oldest_goes() {
        assert_eq!(kept(Policy::Refuse, 5, &[1.0, 2.0]), [0, 1]);
        assert_eq!(kept(Policy::DropOldest, 5, &[1.0, 2.0]), Vec::<u64>::new());
    }
}
