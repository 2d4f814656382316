//! What came, taken note of as it comes: readings, repetitions, what was out of order or made up, and what the node says is lost.
//!
//! ```
//! use sedge_faults::{frames::Way, tally::Tally};
//! # use sedge_faults::frames::{Reading, Stream};
//! # let reading = |seq| Reading { stream: Stream { sensor: "s1".into(), boot: 1 }, seq, ts: None, is_true: true };
//! let mut tally = Tally::default();
//! tally.readings(Way::Live, vec![reading(1), reading(2), reading(2)]);
//! assert_eq!((tally.distinct(), tally.duplicates()), (2, 1));
//! ```
//!
//! It must not judge: what is missing is for the [`oracle`](crate::oracle) to say.

use std::collections::{BTreeMap, BTreeSet};

use crate::frames::{Account, Loss, Reading, Said, Stream, Way};

/// Findings that are kept word by word; all are counted.
const TOLD: usize = 5;

/// Things that should not be: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many.
    pub count: u64,
    /// The first ones.
    pub first: Vec<String>,
}

impl Findings {
    /// One more.
    pub fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(what());
        }
    }
}

/// What came of one stream.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The numbers that came, with the time at which each was taken.
    pub readings: BTreeMap<u64, Option<i64>>,
    /// Those that came on each topic.
    on: BTreeMap<Way, BTreeSet<u64>>,
}

impl Seen {
    /// The highest number.
    pub fn last(&self) -> u64 {
        self.readings.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// How many are missing below the highest.
    pub fn holes(&self) -> u64 {
        self.last() - self.readings.len() as u64
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By stream.
    pub streams: BTreeMap<Stream, Seen>,
    /// Readings that are not what the sensor said, and messages that are not of the contract.
    pub invented: Findings,
    /// Readings that came behind a later one of their topic.
    pub misordered: Findings,
    /// What the node says is lost, the latest of each account.
    pub losses: BTreeMap<Account, Loss>,
    deliveries: u64,
    /// In which order the lives came, per sensor and topic.
    boots: BTreeMap<(String, Way), Vec<u32>>,
}

impl Tally {
    /// Takes note of a message.
    pub fn message(&mut self, said: Said) {
        match said {
            Said::Readings(way, readings) => self.readings(way, readings),
            Said::Lost(losses) => losses.into_iter().for_each(|loss| self.loss(loss)),
            Said::Malformed(what) => self.invented.add(|| format!("not of the contract: {what}")),
            Said::Other => {}
        }
    }

    /// Takes note of what the node says is lost. An account grows; what comes late or twice says nothing new.
    pub fn loss(&mut self, loss: Loss) {
        let known = self.losses.get(&loss.of).map_or(0, |known| known.count);
        if loss.count > known {
            self.losses.insert(loss.of.clone(), loss);
        }
    }

    /// Takes note of readings.
    pub fn readings(&mut self, way: Way, readings: Vec<Reading>) {
        for reading in readings {
            self.reading(way, reading);
        }
    }

    fn reading(&mut self, way: Way, reading: Reading) {
        let Reading { stream, seq, ts, is_true } = reading;
        self.deliveries += 1;
        if !is_true || seq == 0 {
            self.invented
                .add(|| format!("{} {:08x} {seq} says what the sensor did not", stream.sensor, stream.boot));
            return;
        }
        let seen = self.streams.entry(stream.clone()).or_default();
        match seen.readings.get(&seq).copied() {
            None => drop(seen.readings.insert(seq, ts)),
            // A time that was not known may be known later.
            Some(None) => drop(seen.readings.insert(seq, ts)),
            Some(Some(before)) if ts.is_some_and(|ts| ts != before) => {
                self.invented
                    .add(|| format!("{} {:08x} {seq} came with two times", stream.sensor, stream.boot));
            }
            Some(Some(_)) => {}
        }
        let on = seen.on.entry(way).or_default();
        let before = on.last().copied().unwrap_or(0);
        if !on.insert(seq) {
            return;
        }
        if seq < before {
            self.misordered
                .add(|| format!("{} {:08x}: {seq} behind {before} ({way:?})", stream.sensor, stream.boot));
        }
        let boots = self.boots.entry((stream.sensor.clone(), way)).or_default();
        if boots.last() != Some(&stream.boot) {
            if boots.contains(&stream.boot) {
                self.misordered.add(|| {
                    format!("{} {:08x} {seq} behind a later life ({way:?})", stream.sensor, stream.boot)
                });
            } else {
                boots.push(stream.boot);
            }
        }
    }

    /// How many different readings came.
    pub fn distinct(&self) -> u64 {
        self.streams.values().map(|seen| seen.readings.len() as u64).sum()
    }

    /// How many came once more than needed.
    pub fn duplicates(&self) -> u64 {
        self.deliveries - self.distinct() - self.invented.count.min(self.deliveries - self.distinct())
    }

    /// How many the node says are lost.
    pub fn named(&self) -> u64 {
        self.losses.values().map(|loss| loss.count).sum()
    }

    /// How many are missing below the highest of each stream.
    pub fn holes(&self) -> u64 {
        self.streams.values().map(Seen::holes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Way::{Backlog, Live};

    fn reading(boot: u32, seq: u64) -> Reading {
        Reading { stream: Stream { sensor: "s1".into(), boot }, seq, ts: Some(1000), is_true: true }
    }

    fn tally(deliveries: &[(Way, u32, u64)]) -> Tally {
        let mut tally = Tally::default();
        deliveries.iter().for_each(|(way, boot, seq)| tally.readings(*way, vec![reading(*boot, *seq)]));
        tally
    }

    #[test]
    fn each_topic_has_an_order_of_its_own_and_what_comes_again_has_none() {
        let good =
            [(Live, 1, 1), (Live, 1, 5), (Backlog, 1, 2), (Backlog, 1, 3), (Backlog, 1, 2), (Backlog, 1, 4)];
        assert_eq!(tally(&good).misordered.count, 0);
        assert_eq!((tally(&good).distinct(), tally(&good).duplicates(), tally(&good).holes()), (5, 1, 0));
        assert_eq!(tally(&[(Live, 1, 2), (Live, 1, 1)]).misordered.count, 1);
    }

    #[test]
    fn lives_do_not_mix_on_a_topic() {
        assert_eq!(
            tally(&[(Live, 1, 9), (Live, 2, 1), (Backlog, 1, 8), (Backlog, 2, 2)]).misordered.count,
            0
        );
        assert_eq!(tally(&[(Backlog, 1, 1), (Backlog, 2, 1), (Backlog, 1, 2)]).misordered.count, 1);
    }

    #[test]
    fn a_reading_that_changes_is_made_up_and_one_whose_time_becomes_known_is_not() {
        let mut tally = tally(&[(Live, 1, 1)]);
        tally.readings(Live, vec![Reading { ts: Some(2000), ..reading(1, 1) }]);
        assert_eq!(tally.invented.count, 1);
        tally.readings(Live, vec![Reading { ts: None, ..reading(1, 2) }, reading(1, 2)]);
        assert_eq!(tally.invented.count, 1);
        tally.readings(Live, vec![Reading { is_true: false, ..reading(1, 3) }]);
        assert_eq!((tally.invented.count, tally.distinct()), (2, 2));
    }

    #[test]
    fn an_account_grows_and_is_not_added_up() {
        let mut tally = Tally::default();
        for count in [2, 5, 5, 2] {
            tally.message(Said::Lost(vec![Loss { of: Account::default(), count, runs: Vec::new() }]));
        }
        assert_eq!(tally.losses.values().map(|loss| loss.count).collect::<Vec<_>>(), [5]);
    }
}
