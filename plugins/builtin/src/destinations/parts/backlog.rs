//! Readings that wait for a destination, so many at most, in order.
//!
//! Those that are on their way are kept until it is known what became of them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use sedge_plugin::Reading;

/// See the [module](self).
pub(crate) struct Backlog {
    waiting: VecDeque<Arc<Reading>>,
    away: Vec<Arc<Reading>>,
    most: usize,
}

impl Backlog {
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: VecDeque::new(), away: Vec::new(), most }
    }

    /// How many there are, those on their way included.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.away.len()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is little room left.
    pub(crate) fn is_pressed(&self) -> bool {
        self.len().saturating_mul(5) >= self.most.saturating_mul(4)
    }

    /// Whether it is at most half full.
    pub(crate) fn is_relaxed(&self) -> bool {
        self.len() <= self.most / 2
    }

    /// How many of the first `most` there are until a sensor has a second one of which `alone` says that a batch may have
    /// one at most.
    pub(crate) fn distinct(&self, most: usize, alone: impl Fn(&Reading) -> bool) -> usize {
        let mut seen = BTreeSet::new();
        let first = self.waiting.iter().take(most);
        first.take_while(|reading| !alone(reading) || seen.insert(&reading.sensor)).count()
    }

    /// Adds one, and says how many went for it: the oldest of those that are not on their way.
    pub(crate) fn push(&mut self, reading: Arc<Reading>) -> u64 {
        self.waiting.push_back(reading);
        if self.len() <= self.most {
            return 0;
        }
        self.waiting.pop_front();
        1
    }

    /// Sends the oldest on their way.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Arc<Reading>> {
        debug_assert!(self.away.is_empty(), "one batch at a time");
        self.away = self.waiting.drain(..most.min(self.waiting.len())).collect();
        self.away.clone()
    }

    /// The first so many of those on their way have arrived; the others wait again, before all others.
    pub(crate) fn arrived(&mut self, count: usize) {
        for reading in self.away.drain(..).skip(count).rev() {
            self.waiting.push_front(reading);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::nth;
    use super::*;

    fn seqs(readings: &[Arc<Reading>]) -> Vec<u64> {
        readings.iter().map(|reading| reading.seq).collect()
    }

    #[test]
    fn what_did_not_arrive_waits_again_in_its_old_order() {
        let mut backlog = Backlog::new(10);
        (1..=5).for_each(|n| _ = backlog.push(nth(n)));
        assert_eq!(seqs(&backlog.take(3)), [1, 2, 3]);
        backlog.arrived(1);
        assert_eq!(seqs(&backlog.take(10)), [2, 3, 4, 5]);
    }

    #[test]
    fn the_oldest_goes_when_it_is_full_but_never_one_on_its_way() {
        let mut backlog = Backlog::new(3);
        assert_eq!((1..=3).map(|n| backlog.push(nth(n))).sum::<u64>(), 0);
        assert_eq!(seqs(&backlog.take(2)), [1, 2]);
        assert_eq!(backlog.push(nth(4)), 1, "3 went");
        backlog.arrived(0);
        assert_eq!(seqs(&backlog.take(9)), [1, 2, 4]);
        assert_eq!(backlog.push(nth(5)), 1, "all are on their way: the new one goes");
        assert_eq!(backlog.len(), 3);
    }
}
