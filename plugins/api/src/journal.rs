//! The journal: every accepted reading, kept until its readers are done with it.
//!
//! A reading that got its number goes into the node's journal before anybody is told of it. Whoever must not miss one (the
//! bridge to a broker, a destination) does not observe `Deliver` but reads the journal with a [`Cursor`] of its own: it
//! survives restarts of plugin and node, so what was not done is there again.
//!
//! ```
//! use sedge_plugin::prelude::*;
//! async fn send_all(ctx: &Context) -> Option<()> {
//!     let cursor = ctx.cursor()?;
//!     for open in cursor.pending(0..cursor.head()) {
//!         let batch = cursor.read(open, 100).await;
//!         for entry in batch.entries {
//!             // … hand it over, and when it has arrived:
//!             cursor.done(entry.position..entry.position + 1);
//!         }
//!     }
//!     Some(())
//! }
//! ```
//!
//! Delivery is at least once: a cursor that was not yet on disk when the power failed goes back, never forward. What is not
//! done when its room is needed is lost, and stands in the ledger ([`Loss`]): to the reading, with the cause.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Id;
use crate::context::BoxFuture;
use crate::reading::{Boot, Reading};

/// A reading in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place. Counts up over the life of the journal, with holes.
    pub position: u64,
    /// The reading; with its true time where that became known later.
    pub reading: Arc<Reading>,
}

/// What was read at once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// In the order in which they were accepted.
    pub entries: Vec<Entry>,
    /// Where to go on.
    pub next: u64,
}

/// Why a reading does not reach a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The journal was full, and it was the oldest.
    Full,
    /// The journal was full, and every so many readings of its sensor were kept.
    Thinned,
    /// The journal was full of what must be kept, and it was the newest.
    Refused,
    /// It was older than the journal keeps readings.
    Expired,
    /// The disk had failed, and memory was full.
    Disk,
    /// Its place on the disk cannot be read.
    Damaged,
    /// It is larger than a message may be.
    TooLarge,
    /// The receiver will not have it.
    Rejected,
    /// The connection broke with it again and again.
    PutAside,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Full,
        Self::Thinned,
        Self::Refused,
        Self::Expired,
        Self::Disk,
        Self::Damaged,
        Self::TooLarge,
        Self::Rejected,
        Self::PutAside,
    ];

    /// The word of the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Thinned => "thinned",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Disk => "disk",
            Self::Damaged => "damaged",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::PutAside => "put_aside",
        }
    }

    /// For people: why the readings are lost.
    pub fn text(self) -> &'static str {
        match self {
            Self::Full => "the journal was full, they were the oldest",
            Self::Thinned => "the journal was full, it was thinned out",
            Self::Refused => "the journal was full of what must be kept",
            Self::Expired => "older than the journal keeps them",
            Self::Disk => "the disk had failed and memory was full",
            Self::Damaged => "the disk has damaged them",
            Self::TooLarge => "too large for a message",
            Self::Rejected => "the receiver refused them",
            Self::PutAside => "the connection broke with them again and again",
        }
    }
}

/// Readings of one sensor and one start of the process that a reader will never get, for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Who does not get them.
    pub reader: Id,
    /// The sensor; none where nobody can tell any more.
    pub sensor: Option<Id>,
    /// The start of the process.
    pub boot: Option<Boot>,
    /// Why.
    pub cause: Cause,
    /// How many.
    pub count: u64,
    /// Of these, told to people already.
    pub told: u64,
    /// Their numbers, first and last of each run; at most 64 runs, then the nearest are joined (the count stays right).
    pub seqs: Vec<(u64, u64)>,
    /// When the oldest was taken, in milliseconds since 1970; none where that is not known.
    pub from_ms: Option<i64>,
    /// When the newest was taken.
    pub to_ms: Option<i64>,
    /// Whether runs were joined: what lies in one may have arrived.
    #[serde(default)]
    pub joined: bool,
}

/// What stands behind a node's journal. The runtime implements it; a plugin never sees it.
#[doc(hidden)]
pub trait Journal: Send + Sync + 'static {
    /// Takes a reading. Ready when it is kept as safely as its sensor asks for; what cannot be kept is in the ledger.
    fn record(&self, reading: Arc<Reading>) -> BoxFuture<'_, ()>;
    /// The place of a reader, from wherever it was.
    fn cursor(&self, reader: &Id) -> Arc<dyn CursorSource>;
    /// All that is there, for whoever only looks.
    fn history(&self) -> Arc<dyn HistorySource>;
}

/// What stands behind a [`History`].
#[doc(hidden)]
pub trait HistorySource: Send + Sync + 'static {
    fn between(&self, since_ms: Option<i64>, until_ms: Option<i64>) -> BoxFuture<'static, Range<u64>>;
    fn read(&self, range: Range<u64>, most: usize) -> BoxFuture<'static, Batch>;
}

/// The readings that the journal still has, for looking at: it keeps nothing back from being dropped, and has no place that
/// would need a store. Cheap to clone.
///
/// ```
/// use sedge_plugin::prelude::*;
/// async fn count(ctx: &Context) -> Option<usize> {
///     let history = ctx.history()?;
///     let mut range = history.between(None, None).await;
///     let mut count = 0;
///     while !range.is_empty() {
///         let batch = history.read(range.clone(), 500).await;
///         count += batch.entries.len();
///         if batch.next <= range.start {
///             break;
///         }
///         range.start = batch.next;
///     }
///     Some(count)
/// }
/// ```
#[derive(Clone)]
pub struct History(Arc<dyn HistorySource>);

impl History {
    #[doc(hidden)]
    pub fn new(source: Arc<dyn HistorySource>) -> Self {
        Self(source)
    }

    /// Where the readings of a time are, in milliseconds since 1970. The range may begin before and end after it; what lies
    /// outside of it was not taken in that time, as far as the clock was not set.
    pub async fn between(&self, since_ms: Option<i64>, until_ms: Option<i64>) -> Range<u64> {
        self.0.between(since_ms, until_ms).await
    }

    /// The readings of a range, at most so many of them, in the order in which they were accepted. Those that are gone are left
    /// out.
    pub async fn read(&self, range: Range<u64>, most: usize) -> Batch {
        self.0.read(range, most).await
    }
}

/// What stands behind a [`Cursor`].
#[doc(hidden)]
pub trait CursorSource: Send + Sync + 'static {
    fn head(&self) -> u64;
    fn grown(&self, beyond: u64) -> BoxFuture<'static, ()>;
    fn read(&self, range: Range<u64>, most: usize) -> BoxFuture<'static, Batch>;
    fn pending(&self, range: Range<u64>) -> Vec<Range<u64>>;
    fn done(&self, positions: Range<u64>);
    fn give_up(&self, entry: &Entry, cause: Cause);
    fn is_durable(&self) -> bool;
    fn losing(&self) -> BoxFuture<'static, ()>;
    fn untold(&self) -> Vec<Loss>;
    fn told(&self, losses: &[Loss]);
}

/// A reader's place in the journal. Cheap to clone; all clones are one place.
#[derive(Clone)]
pub struct Cursor(Arc<dyn CursorSource>);

impl Cursor {
    #[doc(hidden)]
    pub fn new(source: Arc<dyn CursorSource>) -> Self {
        Self(source)
    }

    /// The position that the next reading will get.
    pub fn head(&self) -> u64 {
        self.0.head()
    }

    /// Until there is a reading at `beyond` or later.
    pub async fn grown(&self, beyond: u64) {
        self.0.grown(beyond).await;
    }

    /// The readings of a range, at most so many of them. Those that cannot be had any more are left out: they are done, and in
    /// the ledger.
    pub async fn read(&self, range: Range<u64>, most: usize) -> Batch {
        self.0.read(range, most).await
    }

    /// What of a range is there and not done.
    pub fn pending(&self, range: Range<u64>) -> Vec<Range<u64>> {
        self.0.pending(range)
    }

    /// These have arrived.
    pub fn done(&self, positions: Range<u64>) {
        self.0.done(positions);
    }

    /// This one will never arrive: it is done, and in the ledger.
    pub fn give_up(&self, entry: &Entry, cause: Cause) {
        self.0.give_up(entry, cause);
    }

    /// Whether what is not done is there again after a restart.
    pub fn is_durable(&self) -> bool {
        self.0.is_durable()
    }

    /// Until this reader has lost something that was not told yet; at once where that is so already.
    pub async fn losing(&self) {
        self.0.losing().await;
    }

    /// What this reader has lost and people were not told.
    pub fn untold(&self) -> Vec<Loss> {
        self.0.untold()
    }

    /// People were told of these, as far as [`Loss::count`] goes.
    pub fn told(&self, losses: &[Loss]) {
        self.0.told(losses);
    }
}

impl Loss {
    /// Nothing lost yet.
    pub fn new(reader: Id, sensor: Option<Id>, boot: Option<Boot>, cause: Cause) -> Self {
        Self {
            reader,
            sensor,
            boot,
            cause,
            count: 0,
            told: 0,
            seqs: Vec::new(),
            from_ms: None,
            to_ms: None,
            joined: false,
        }
    }

    /// Adds a reading that is lost; one that stands here already is not counted again. Says whether it was new.
    pub fn add(&mut self, seq: u64, wall_ms: Option<i64>) -> bool {
        let known = self.seqs.iter().any(|&(first, last)| (first..=last).contains(&seq));
        if known && !self.joined {
            return false;
        }
        self.count += 1;
        if let Some(ms) = wall_ms {
            self.from_ms = Some(self.from_ms.map_or(ms, |from| from.min(ms)));
            self.to_ms = Some(self.to_ms.map_or(ms, |to| to.max(ms)));
        }
        insert(&mut self.seqs, seq);
        if self.seqs.len() > MAX_RUNS {
            let gap = |n: &usize| self.seqs[n + 1].0 - self.seqs[*n].1;
            if let Some(nearest) = (0..self.seqs.len() - 1).min_by_key(gap) {
                let (_, end) = self.seqs.remove(nearest + 1);
                self.seqs[nearest].1 = end;
                self.joined = true;
            }
        }
        true
    }

    /// Takes a reading out again that has arrived after all. Says whether it stood here; where runs were joined nobody can tell,
    /// and it stays. The times stay as they are.
    pub fn take_back(&mut self, seq: u64) -> bool {
        let Some(at) = self.seqs.iter().position(|&(first, last)| (first..=last).contains(&seq)) else {
            return false;
        };
        if self.joined || self.seqs.len() == MAX_RUNS {
            return false;
        }
        let (first, last) = self.seqs.remove(at);
        let rest = [(first, seq.wrapping_sub(1)), (seq + 1, last)];
        self.seqs.splice(
            at..at,
            rest.into_iter().filter(|&(from, to)| {
                (first..=last).contains(&from) && (first..=last).contains(&to) && from <= to
            }),
        );
        self.count -= 1;
        self.told = self.told.min(self.count);
        true
    }
}

/// Runs of numbers that one loss lists.
const MAX_RUNS: usize = 64;

fn insert(runs: &mut Vec<(u64, u64)>, seq: u64) {
    let at = runs.partition_point(|&(_, last)| last < seq);
    if runs.get(at).is_some_and(|&(first, _)| first <= seq) {
        return;
    }
    let after = at.checked_sub(1).is_some_and(|before| runs[before].1 + 1 == seq);
    let before = runs.get(at).is_some_and(|&(first, _)| first == seq + 1);
    match (after, before) {
        (true, true) => {
            let (_, last) = runs.remove(at);
            runs[at - 1].1 = last;
        }
        (true, false) => runs[at - 1].1 = seq,
        (false, true) => runs[at].0 = seq,
        (false, false) => runs.insert(at, (seq, seq)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loss() -> Loss {
        Loss::new(Id::new("mqtt").unwrap(), None, None, Cause::Full)
    }

    #[test]
    fn a_loss_lists_its_numbers_as_runs() {
        let mut loss = loss();
        for seq in [1, 2, 3, 7, 6, 4, 10, 2] {
            loss.add(seq, None);
        }
        assert_eq!((loss.count, loss.seqs), (7, vec![(1, 4), (6, 7), (10, 10)]));
    }

    proptest! {
        #[test]
        fn what_is_taken_back_was_never_there(
            seqs in prop::collection::btree_set(0_u64..60, 0..40), back in prop::collection::vec(0_u64..60, 0..40),
        ) {
            let (mut loss, mut never) = (loss(), loss());
            seqs.iter().for_each(|&seq| _ = loss.add(seq, None));
            for &seq in &back {
                let stood = loss.seqs.iter().any(|(a, b)| (a..=b).contains(&&seq));
                prop_assert_eq!(loss.take_back(seq), stood);
            }
            seqs.iter().filter(|seq| !back.contains(seq)).for_each(|&seq| _ = never.add(seq, None));
            prop_assert_eq!(loss, never);
        }

        #[test]
        fn the_runs_are_the_numbers_and_bounded(seqs in prop::collection::btree_set(0_u64..300, 0..200)) {
            let mut loss = loss();
            for &seq in &seqs {
                loss.add(seq, Some(i64::try_from(seq).unwrap()));
            }
            prop_assert!(loss.seqs.len() <= MAX_RUNS);
            prop_assert_eq!(loss.count, seqs.len() as u64);
            prop_assert!(seqs.iter().all(|seq| loss.seqs.iter().any(|(a, b)| (a..=b).contains(&seq))));
            prop_assert!(loss.seqs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
