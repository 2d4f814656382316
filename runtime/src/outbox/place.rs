//! A reader's place in the journal: what it is done with, on disk once a second.
//!
//! The newest readings come from memory; older ones are read from the disk on a thread for such work.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use sedge_journal::{Chunk, Done, Why};
use sedge_plugin::journal::{Batch, Cause, CursorSource, Entry, Loss};
use sedge_plugin::record::Record;
use sedge_plugin::{BoxFuture, Id, Reading};
use tracing::warn;

use super::ranges::Ranges;
use super::{Shared, lock};

/// What the name of a place's file begins with.
pub(crate) const PREFIX: &str = "cursor-";

/// Bytes that are read from the disk at once.
const MOST_BYTES: usize = 256 << 10;

/// Ranges that are written.
const STORED: usize = 250;

/// See the [module](self).
pub(crate) struct Place {
    pub(crate) reader: Id,
    state: Mutex<State>,
}

struct State {
    done: Ranges,
    /// What the reader was ever given since the start: it may have it in its hands.
    given: Ranges,
    stored: Done,
    dirty: bool,
}

impl Place {
    /// Where the reader was. One that was never here begins with the oldest reading that there is.
    pub(crate) fn open(shared: &Shared, reader: &Id) -> Self {
        let stored = Done::load(&*shared.disk, &format!("{PREFIX}{reader}"));
        let mut done = Ranges::default();
        let all = 0..shared.reader.head();
        let open = stored.pending(all.clone());
        // What is not open is done.
        let mut at = all.start;
        for range in open.into_iter().chain(std::iter::once(all.end..all.end)) {
            done.add(at..range.start);
            at = range.end;
        }
        // What was let go is gone for all, also where its end came between the ledger and the removal.
        for gone in lock(&shared.ledger).gone() {
            done.add(gone);
        }
        done.add(0..shared.reader.tail());
        // Numbers that were left out after an end that was not in order: nobody waits for them.
        done.add(shared.found.end..shared.began);
        Self {
            reader: reader.clone(),
            state: Mutex::new(State { done, given: Ranges::default(), stored, dirty: false }),
        }
    }

    /// Gives what was waited for too long, and is done with it too.
    pub(crate) fn done(&self, positions: Range<u64>) -> Option<Range<u64>> {
        let mut state = lock(&self.state);
        state.dirty = true;
        state.done.add(positions)
    }

    pub(crate) fn has_done(&self, position: u64) -> bool {
        lock(&self.state).done.contains(position)
    }

    /// Whether the reader may have it in its hands.
    pub(crate) fn was_given(&self, position: u64) -> bool {
        lock(&self.state).given.contains(position)
    }

    fn given(&self, batch: &Batch) {
        if let (Some(first), Some(last)) = (batch.entries.first(), batch.entries.last()) {
            lock(&self.state).given.add(first.position..last.position + 1);
        }
    }

    pub(crate) fn pending(&self, range: Range<u64>) -> Vec<Range<u64>> {
        lock(&self.state).done.missing(range)
    }

    /// Writes what changed. The disk is not waited for under the lock.
    pub(crate) fn store(&self, shared: &Shared) -> std::io::Result<()> {
        let mut stored = {
            let mut state = lock(&self.state);
            if !std::mem::take(&mut state.dirty) {
                return Ok(());
            }
            let mut stored = std::mem::take(&mut state.stored);
            state.done.first(STORED).for_each(|range| stored.add(range));
            stored
        };
        let outcome = stored.store(&*shared.disk);
        let mut state = lock(&self.state);
        state.stored = stored;
        state.dirty |= outcome.is_err();
        outcome
    }
}

/// What a plugin's cursor is made of.
#[derive(Clone)]
pub(crate) struct Source {
    shared: Arc<Shared>,
    place: Arc<Place>,
}

impl Source {
    pub(crate) fn new(shared: Arc<Shared>, place: Arc<Place>) -> Self {
        Self { shared, place }
    }

    /// From memory, where all that is asked for is there.
    fn recent(&self, range: &Range<u64>, most: usize) -> Option<Batch> {
        let recent = lock(&self.shared.recent);
        let oldest = recent.front()?.position;
        if range.start < oldest {
            return None;
        }
        let from = recent.partition_point(|entry| entry.position < range.start);
        let entries: Vec<Entry> =
            recent.range(from..).take_while(|entry| entry.position < range.end).take(most).cloned().collect();
        let next = match entries.last() {
            Some(last) if entries.len() == most => last.position + 1,
            _ => range.end.min(*self.shared.head.borrow()).max(range.start),
        };
        drop(recent);
        let entries = entries.into_iter().map(|entry| self.shared.at_its_time(entry)).collect();
        Some(Batch { entries, next })
    }

    /// Makes readings of what was read.
    fn taken(&self, range: &Range<u64>, chunk: Chunk) -> Batch {
        let mut batch =
            Batch { entries: Vec::with_capacity(chunk.records.len()), next: chunk.next.min(range.end) };
        for missing in chunk.missing {
            self.missing(missing.range, missing.why);
        }
        for (position, bytes) in chunk.records.into_iter().filter(|(position, _)| range.contains(position)) {
            match Record::decode(&bytes) {
                Ok(record) => batch.entries.push(self.shared.entry(position, record)),
                Err(error) => {
                    warn!(position, %error, "A record of the journal cannot be read.");
                    self.missing(position..position + 1, Why::Damaged);
                }
            }
        }
        batch
    }

    /// What was dropped or thinned out stands in the ledger since it was; what is damaged comes into it now.
    fn missing(&self, range: Range<u64>, why: Why) {
        let open: u64 = self.place.pending(range.clone()).iter().map(|open| open.end - open.start).sum();
        self.place.done(range);
        if open > 0 && matches!(why, Why::Damaged) {
            lock(&self.shared.ledger).add_unknown(&self.place.reader, open, Cause::Damaged);
            self.shared.lost.send_modify(|count| *count += 1);
        }
    }
}

impl CursorSource for Source {
    fn head(&self) -> u64 {
        *self.shared.head.borrow()
    }

    fn grown(&self, beyond: u64) -> BoxFuture<'static, ()> {
        let mut head = self.shared.head.subscribe();
        Box::pin(async move {
            // An error means that the node ends: nothing comes any more.
            if head.wait_for(|head| *head > beyond).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn read(&self, range: Range<u64>, most: usize) -> BoxFuture<'static, Batch> {
        if range.is_empty() {
            return Box::pin(std::future::ready(Batch { entries: Vec::new(), next: range.end }));
        }
        if let Some(batch) = self.recent(&range, most) {
            self.place.given(&batch);
            return Box::pin(std::future::ready(batch));
        }
        let (source, end) = (self.clone(), range.end);
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || {
                let most = most.min(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
                let chunk = source.shared.reader.read(range.start, most, MOST_BYTES);
                let batch = source.taken(&range, chunk);
                source.place.given(&batch);
                batch
            });
            // It does not panic; should it, what was asked for stays undone, and comes after the next connect.
            work.await.unwrap_or(Batch { entries: Vec::new(), next: end })
        })
    }

    fn pending(&self, range: Range<u64>) -> Vec<Range<u64>> {
        self.place.pending(range.start.max(self.shared.reader.tail())..range.end.min(self.head()))
    }

    fn done(&self, positions: Range<u64>) {
        // In this order: who looks for what is lost holds the ledger while it asks what is done.
        let hole = self.place.done(positions.clone());
        let mut ledger = lock(&self.shared.ledger);
        ledger.arrived(&self.place.reader, positions);
        // What a receiver refuses for so long that the places between cannot be told apart any more.
        if let Some(hole) = hole {
            ledger.add_unknown(&self.place.reader, hole.end - hole.start, Cause::Rejected);
            drop(ledger);
            self.shared.lost.send_modify(|count| *count += 1);
        }
    }

    fn give_up(&self, entry: &Entry, cause: Cause) {
        if !self.place.has_done(entry.position) {
            lock(&self.shared.ledger).add(&self.place.reader, &entry.reading, cause);
            self.place.done(entry.position..entry.position + 1);
            self.shared.lost.send_modify(|count| *count += 1);
        }
    }

    fn is_durable(&self) -> bool {
        self.shared.durable
    }

    fn losing(&self) -> BoxFuture<'static, ()> {
        let source = self.clone();
        let mut changes = self.shared.lost.subscribe();
        Box::pin(async move {
            loop {
                changes.borrow_and_update();
                if !source.untold().is_empty() {
                    return;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        })
    }

    fn untold(&self) -> Vec<Loss> {
        lock(&self.shared.ledger).untold(&self.place.reader)
    }

    fn told(&self, losses: &[Loss]) {
        if !losses.is_empty() {
            lock(&self.shared.ledger).told(losses);
        }
    }
}

impl Shared {
    /// A record as a reading, at its true time.
    pub(crate) fn entry(&self, position: u64, record: Record) -> Entry {
        let Record { kernel, mut reading } = record;
        reading.taken = lock(&self.times).true_time(kernel, reading.taken);
        Entry { position, reading: Arc::new(reading) }
    }

    /// A reading of this start of the kernel, at its true time.
    fn at_its_time(&self, entry: Entry) -> Entry {
        if entry.reading.taken.wall_ms.is_some() {
            return entry;
        }
        let taken = lock(&self.times).true_time(self.kernel, entry.reading.taken);
        match taken.wall_ms {
            Some(_) => {
                Entry { reading: Arc::new(Reading { taken, ..Reading::clone(&entry.reading) }), ..entry }
            }
            None => entry,
        }
    }
}
