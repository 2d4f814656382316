//! The conservation of readings: what the node accepted is at the subscriber, or named as lost by the node, to the reading.
//!
//! ```
//! use sedge_faults::oracle::{Question, judge};
//! use sedge_faults::tally::Tally;
//! let verdict = judge(&Question { seen: &Tally::default(), enough: 1, ..Question::default() });
//! assert!(!verdict.is_kept(), "nothing was seen: nothing is proven");
//! ```
//!
//! What was accepted: all numbers up to the highest that was seen ([`Accepted`] adds what the node's own journal says it has).
//! A reading that was delivered nowhere, is in no journal and is above every other number of its life cannot be known of by its
//! number; it is found by the clock: the newest reading of a life that ended by force may be older than its end by no more than
//! [`Life::window`].

use std::collections::{BTreeMap, BTreeSet};

use crate::frames::{Account, Loss, Stream};
use crate::tally::{Findings, Seen, Tally};

/// What the node has accepted, as far as somebody knows it.
pub trait Accepted {
    /// The numbers that were accepted, by stream.
    fn accepted(&self) -> BTreeMap<Stream, BTreeSet<u64>>;
}

/// The subscriber's own view: what it has seen, and all below.
impl Accepted for Tally {
    fn accepted(&self) -> BTreeMap<Stream, BTreeSet<u64>> {
        self.streams.iter().map(|(stream, seen)| (stream.clone(), (1..=seen.last()).collect())).collect()
    }
}

/// A life of the node that was ended by force, on the wall clock in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// When it is known to have read its sensors.
    pub began: i64,
    /// When it was ended.
    pub ended: i64,
    /// How much of its end may be lost.
    pub window: i64,
    /// Whether single readings within the window may be lost too: a power cut keeps one write and not another.
    pub may_have_holes: bool,
}

/// What is to be judged.
pub struct Question<'a> {
    /// What the subscriber has.
    pub seen: &'a Tally,
    /// What the broker has acknowledged and could not deliver, because it was killed: not the node's loss.
    pub acknowledged: Option<&'a Tally>,
    /// What else is known to have been accepted.
    pub accepted: &'a [&'a dyn Accepted],
    /// What the node names as lost besides its events.
    pub ledger: &'a [Loss],
    /// Lives that were ended by force.
    pub lives: &'a [Life],
    /// The sensors.
    pub sensors: &'a [String],
    /// The time between two readings of a sensor, in milliseconds.
    pub every: i64,
    /// Readings below which nothing is proven.
    pub enough: u64,
}

impl Default for Question<'_> {
    fn default() -> Self {
        static NOTHING: std::sync::LazyLock<Tally> = std::sync::LazyLock::new(Tally::default);
        Self {
            seen: &NOTHING,
            acknowledged: None,
            accepted: &[],
            ledger: &[],
            lives: &[],
            sensors: &[],
            every: 10,
            enough: 0,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Different readings at the subscriber.
    pub readings: u64,
    /// Deliveries beyond them.
    pub duplicates: u64,
    /// Missing, and named as lost by the node.
    pub named: u64,
    /// Missing within the window that is stated for the way in which a life ended.
    pub in_window: u64,
    /// Acknowledged by a broker that was killed before it delivered them.
    pub by_broker: u64,
    /// Missing, and nobody said so.
    pub silent: Findings,
    /// Lost in the window of a power cut with later ones kept, so that the node can see it, and not counted by it.
    pub untold: u64,
    /// Counted by the node after a power cut, and there: the cut took the note of their delivery along with the readings.
    pub at_most: u64,
    /// Counted by the node after power cuts beyond what can have been accepted in their windows.
    pub unbounded: u64,
    /// Named as lost, and there.
    pub overstated: u64,
    /// Made up, or changed.
    pub invented: Findings,
    /// Behind a later one.
    pub misordered: Findings,
    /// Readings without which nothing is proven, where there were fewer.
    pub too_few: Option<u64>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_kept(&self) -> bool {
        self.complaints().is_empty()
    }

    /// The promises that were broken.
    pub fn complaints(&self) -> Vec<String> {
        let told = |what: &str, found: &Findings| {
            (found.count > 0).then(|| format!("{} {what}: {}", found.count, found.first.join("; ")))
        };
        let overstated =
            (self.overstated > 0).then(|| format!("{} named as lost, and there", self.overstated));
        let untold =
            (self.untold > 0).then(|| format!("{} lost in a power cut, and not counted", self.untold));
        let unbounded = (self.unbounded > 0)
            .then(|| format!("{} counted after power cuts beyond what their windows hold", self.unbounded));
        let few =
            self.too_few.map(|least| format!("{} readings prove nothing, {least} would", self.readings));
        [
            told("lost silently", &self.silent),
            told("invented", &self.invented),
            told("out of order", &self.misordered),
            overstated,
            untold,
            unbounded,
            few,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Judges.
pub fn judge(question: &Question<'_>) -> Verdict {
    let Question { seen, ledger, .. } = question;
    let mut verdict = Verdict {
        readings: seen.distinct(),
        duplicates: seen.duplicates(),
        invented: seen.invented.clone(),
        misordered: seen.misordered.clone(),
        ..Verdict::default()
    };
    verdict.too_few = (verdict.readings < question.enough).then_some(question.enough);
    // What a cut took nobody can name: the node counts it.
    let cut = question.lives.iter().any(|life| life.may_have_holes);
    let mut accounts = Accounts::new(seen.losses.values().chain(*ledger));
    for (stream, accepted) in obligations(question) {
        let here = seen.streams.get(&stream);
        let there = question.acknowledged.and_then(|tally| tally.streams.get(&stream));
        for seq in accepted {
            if has(here, seq) {
                accounts.present(&stream, seq);
            } else if has(there, seq) {
                verdict.by_broker += 1;
            } else if accounts.names(&stream, seq) {
                verdict.named += 1;
            } else if within_window(question, here, seq) {
                verdict.in_window += 1;
            } else if accounts.unnamed > 0 && !cut {
                accounts.unnamed -= 1;
                verdict.named += 1;
            } else {
                verdict.silent.add(|| format!("{} {:08x} {seq}", stream.sensor, stream.boot));
            }
        }
    }
    if cut {
        verdict.untold = verdict.in_window.saturating_sub(accounts.unnamed);
        verdict.unbounded = accounts.unnamed.saturating_sub(most(question));
        verdict.at_most = accounts.unnamed.saturating_sub(verdict.in_window);
        verdict.overstated = accounts.wrong;
    } else {
        verdict.overstated = accounts.unnamed + accounts.wrong;
    }
    for life in question.lives {
        ends(question, life, &mut verdict.silent);
    }
    verdict
}

/// What can have been accepted in the windows of all power cuts: a bound of what the node may count for them.
fn most(question: &Question<'_>) -> u64 {
    let cuts = question.lives.iter().filter(|life| life.may_have_holes);
    let windows: i64 = cuts.map(|life| life.window / question.every.max(1) + 1).sum();
    u64::try_from(windows).unwrap_or(0).saturating_mul(question.sensors.len().max(1) as u64)
}

fn obligations(question: &Question<'_>) -> BTreeMap<Stream, BTreeSet<u64>> {
    let mut all = question.seen.accepted();
    let acknowledged = question.acknowledged.map(Accepted::accepted);
    for more in question.accepted.iter().map(|known| known.accepted()).chain(acknowledged) {
        for (stream, numbers) in more {
            all.entry(stream).or_default().extend(numbers);
        }
    }
    // What the node names as lost it had accepted, also above all that arrived.
    for loss in question.seen.losses.values().chain(question.ledger) {
        if let Some(stream) = &loss.of.stream {
            let numbers = loss.runs.iter().flat_map(|(first, last)| *first..=*last);
            all.entry(stream.clone()).or_default().extend(numbers);
        }
    }
    all
}

fn has(seen: Option<&Seen>, seq: u64) -> bool {
    seen.is_some_and(|seen| seen.readings.contains_key(&seq))
}

/// What the node says is lost.
struct Accounts {
    /// Runs that are named wholly.
    runs: Vec<(Stream, u64, u64)>,
    /// Counted without saying which.
    unnamed: u64,
    /// Named and yet there.
    wrong: u64,
}

impl Accounts {
    /// What several say of the same account is said once.
    fn new<'a>(losses: impl Iterator<Item = &'a Loss>) -> Self {
        let mut accounts = Self { runs: Vec::new(), unnamed: 0, wrong: 0 };
        let mut latest: BTreeMap<&Account, &Loss> = BTreeMap::new();
        for loss in losses {
            let known = latest.entry(&loss.of).or_insert(loss);
            if loss.count > known.count {
                *known = loss;
            }
        }
        for loss in latest.into_values() {
            let length: u64 = loss.runs.iter().map(|(first, last)| (last + 1).saturating_sub(*first)).sum();
            match &loss.of.stream {
                Some(stream) if length == loss.count => {
                    let runs = loss.runs.iter().map(|(first, last)| (stream.clone(), *first, *last));
                    accounts.runs.extend(runs);
                }
                // Where runs were joined, which of them are lost is not said.
                _ => accounts.unnamed += loss.count,
            }
        }
        accounts
    }

    fn names(&self, stream: &Stream, seq: u64) -> bool {
        self.runs.iter().any(|(of, first, last)| of == stream && (*first..=*last).contains(&seq))
    }

    fn present(&mut self, stream: &Stream, seq: u64) {
        self.wrong += u64::from(self.names(stream, seq));
    }
}

/// Whether a missing reading was taken so late in a life that its end may have taken it along.
fn within_window(question: &Question<'_>, seen: Option<&Seen>, seq: u64) -> bool {
    let after = seen.and_then(|seen| seen.readings.range(seq..).find_map(|(seq, ts)| Some((*seq, (*ts)?))));
    let Some((next, ts)) = after else { return false };
    let taken = ts - i64::try_from(next - seq).unwrap_or(i64::MAX).saturating_mul(question.every);
    let holes = question.lives.iter().filter(|life| life.may_have_holes);
    holes.into_iter().any(|life| (life.ended - life.window..=life.ended).contains(&taken) && ts <= life.ended)
}

/// Whether the readings of a life go on until its end.
fn ends(question: &Question<'_>, life: &Life, silent: &mut Findings) {
    let until = life.ended - life.window;
    if until <= life.began {
        return;
    }
    for sensor in question.sensors {
        let of_both = [Some(question.seen), question.acknowledged].into_iter().flatten();
        let of_sensor =
            of_both.flat_map(|tally| &tally.streams).filter(|(stream, _)| stream.sensor == *sensor);
        let times = of_sensor.flat_map(|(_, seen)| seen.readings.values().copied().flatten());
        let newest = times.filter(|ts| (life.began..=life.ended).contains(ts)).max();
        if newest.is_none_or(|newest| newest < until) {
            let age = newest.map_or("none".into(), |newest| format!("{} ms before it", life.ended - newest));
            silent.add(|| format!("{sensor}: of a life that ended at {} the newest is {age}", life.ended));
        }
    }
}

#[cfg(test)]
#[path = "oracle/tests.rs"]
mod tests;
