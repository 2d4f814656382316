//! Readings that wait for a destination, in order.
//!
//! Where the node keeps a journal they are read from there, so many at a time: what was not handed over is there again after a
//! restart. Where it keeps none they wait here, so many at most. Those that are on their way are kept until it is known what
//! became of them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use sedge_plugin::journal::{Cause, Entry};
use sedge_plugin::{Cursor, Id, Reading};

/// Readings of the journal that are held in memory.
const WINDOW: usize = 1000;

/// See the [module](self).
pub(crate) struct Backlog {
    waiting: VecDeque<Held>,
    away: Vec<Held>,
    most: usize,
    feed: Option<Feed>,
}

struct Held {
    /// In the journal, where it is from there.
    position: Option<u64>,
    reading: Arc<Reading>,
}

/// Where readings come from.
struct Feed {
    cursor: Cursor,
    /// The sensors whose readings are wanted; none for all.
    sensors: Option<Vec<Id>>,
    /// Where to read on.
    next: u64,
}

impl Backlog {
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: VecDeque::new(), away: Vec::new(), most, feed: None }
    }

    /// Reads from the journal, where there is one.
    pub(crate) fn fed_by(self, cursor: Option<Cursor>, sensors: Option<Vec<Id>>) -> Self {
        let most = if cursor.is_some() { self.most.min(WINDOW) } else { self.most };
        Self { most, feed: cursor.map(|cursor| Feed { cursor, sensors, next: 0 }), ..self }
    }

    /// Whether what waits is there again after a restart.
    pub(crate) fn is_kept(&self) -> bool {
        self.feed.as_ref().is_some_and(|feed| feed.cursor.is_durable())
    }

    /// Takes from the journal what there is room for.
    pub(crate) async fn refill(&mut self) {
        let Some(feed) = &mut self.feed else { return };
        while self.waiting.len() + self.away.len() < self.most {
            let open = feed.cursor.pending(feed.next..feed.cursor.head()).into_iter().next();
            let Some(open) = open else { return };
            let room = self.most - self.waiting.len() - self.away.len();
            let start = open.start;
            let batch = feed.cursor.read(open, room).await;
            if batch.next <= start {
                return;
            }
            feed.next = batch.next;
            for Entry { position, reading } in batch.entries {
                let wanted = feed.sensors.as_ref().is_none_or(|sensors| sensors.contains(&reading.sensor));
                match wanted {
                    true => self.waiting.push_back(Held { position: Some(position), reading }),
                    false => feed.cursor.done(position..position + 1),
                }
            }
        }
    }

    /// How many the journal has lost for us since this was asked last.
    pub(crate) fn lost(&self) -> u64 {
        let Some(feed) = &self.feed else { return 0 };
        let untold = feed.cursor.untold();
        feed.cursor.told(&untold);
        untold.iter().map(|loss| loss.count.saturating_sub(loss.told)).sum()
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
        first.take_while(|held| !alone(&held.reading) || seen.insert(&held.reading.sensor)).count()
    }

    /// There is one more. Where it is not in the journal it is added; says how many went for it: the oldest of those that are
    /// not on their way.
    pub(crate) fn push(&mut self, reading: Arc<Reading>) -> u64 {
        if self.feed.is_some() {
            return 0;
        }
        self.waiting.push_back(Held { position: None, reading });
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
        self.away.iter().map(|held| held.reading.clone()).collect()
    }

    /// The first so many of those on their way have arrived; the others wait again, before all others.
    pub(crate) fn arrived(&mut self, count: usize) {
        if let Some(feed) = &self.feed {
            let positions = self.away.iter().take(count).filter_map(|held| held.position);
            positions.for_each(|position| feed.cursor.done(position..position + 1));
        }
        for held in self.away.drain(..).skip(count).rev() {
            self.waiting.push_front(held);
        }
    }

    /// Those on their way will never be taken; says how many are lost with them.
    pub(crate) fn refused(&mut self) -> u64 {
        let away = std::mem::take(&mut self.away);
        let Some(feed) = &self.feed else { return away.len() as u64 };
        for Held { position, reading } in away {
            if let Some(position) = position {
                feed.cursor.give_up(&Entry { position, reading }, Cause::Rejected);
            }
        }
        self.lost()
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::journal::Journal;
    use sedge_plugin::testing::{MemoryJournal, block_on};

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

    /// With a journal of so many readings, of which one destination wants those of `air`.
    fn fed(journal: &MemoryJournal) -> Backlog {
        let id = |text: &str| Id::new(text).unwrap();
        let cursor = Cursor::new(journal.cursor(&id("card")));
        Backlog::new(3).fed_by(Some(cursor), Some(vec![id("air")]))
    }

    #[test]
    fn what_was_not_handed_over_is_there_again_after_a_restart() {
        let journal = MemoryJournal::new(100);
        let mut backlog = fed(&journal);
        (1..=5).for_each(|n| journal.put(Reading::clone(&nth(n))));
        let mut other = Reading::clone(&nth(1));
        other.sensor = Id::new("door").unwrap();
        journal.put(other);
        assert_eq!(backlog.push(nth(6)), 0, "what is in the journal is not held twice");
        block_on(backlog.refill());
        assert_eq!(seqs(&backlog.take(9)), [1, 2, 3]);
        backlog.arrived(2);
        drop(backlog);
        let mut backlog = fed(&journal);
        block_on(backlog.refill());
        assert_eq!(seqs(&backlog.take(9)), [3, 4, 5]);
        backlog.arrived(3);
        block_on(backlog.refill());
        assert_eq!(journal.pending(&Id::new("card").unwrap()), 0, "another's reading is nothing to wait for");
    }

    #[test]
    fn what_is_refused_is_lost_once_and_told_once() {
        let journal = MemoryJournal::new(100);
        let mut backlog = fed(&journal);
        (1..=2).for_each(|n| journal.put(Reading::clone(&nth(n))));
        block_on(backlog.refill());
        backlog.take(1);
        assert_eq!(backlog.refused(), 1);
        assert_eq!(backlog.lost(), 0);
        assert_eq!(seqs(&backlog.take(9)), [2]);
    }
}
