//! A journal in memory, for tests of what reads one. It forgets all when it is dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use super::lock;
use crate::Id;
use crate::context::BoxFuture;
use crate::journal::{Batch, Cause, CursorSource, Entry, HistorySource, Journal, Loss};
use crate::reading::Reading;

/// A journal with room for so many readings; the oldest goes where there are more. Clones are the same journal.
#[derive(Clone)]
pub struct MemoryJournal {
    capacity: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    first: u64,
    kept: VecDeque<Arc<Reading>>,
    readers: BTreeMap<Id, Reader>,
    wakers: Vec<Waker>,
}

#[derive(Default)]
struct Reader {
    pending: BTreeSet<u64>,
    losses: Vec<Loss>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl MemoryJournal {
    /// An empty one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, inner: Arc::default() }
    }

    /// Puts a reading in.
    pub fn put(&self, reading: Reading) {
        let mut inner = lock(&self.inner);
        let position = inner.head();
        inner.kept.push_back(Arc::new(reading));
        inner.readers.values_mut().for_each(|reader| {
            reader.pending.insert(position);
        });
        while inner.kept.len() > self.capacity {
            inner.drop_oldest();
        }
        inner.wake();
    }

    /// How many a reader has not done.
    pub fn pending(&self, reader: &Id) -> usize {
        lock(&self.inner).readers.get(reader).map_or(0, |reader| reader.pending.len())
    }

    /// What a reader has lost, told or not.
    pub fn lost(&self, reader: &Id) -> Vec<Loss> {
        lock(&self.inner).readers.get(reader).map(|reader| reader.losses.clone()).unwrap_or_default()
    }
}

impl Inner {
    fn head(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn read(&self, range: Range<u64>, most: usize) -> Batch {
        let from = range.start.max(self.first);
        let to = range.end.min(self.head()).min(from.saturating_add(most as u64)).max(from);
        let entry = |position: u64| {
            let at = usize::try_from(position - self.first).ok()?;
            Some(Entry { position, reading: self.kept.get(at)?.clone() })
        };
        Batch { entries: (from..to).filter_map(entry).collect(), next: to }
    }

    fn drop_oldest(&mut self) {
        let Some(reading) = self.kept.pop_front() else { return };
        let position = self.first;
        self.first += 1;
        for (id, reader) in &mut self.readers {
            if reader.pending.remove(&position) {
                reader.lose(id, &reading, Cause::Full);
            }
        }
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Reader {
    fn lose(&mut self, id: &Id, reading: &Reading, cause: Cause) {
        let (sensor, boot) = (Some(reading.sensor.clone()), Some(reading.boot));
        let fits = |loss: &&mut Loss| (&loss.sensor, loss.boot, loss.cause) == (&sensor, boot, cause);
        if let Some(loss) = self.losses.iter_mut().find(fits) {
            loss.add(reading.seq, reading.taken.wall_ms);
            return;
        }
        let mut loss = Loss::new(id.clone(), sensor, boot, cause);
        loss.add(reading.seq, reading.taken.wall_ms);
        self.losses.push(loss);
    }

    fn untold(&self) -> Vec<Loss> {
        self.losses.iter().filter(|loss| loss.told < loss.count).cloned().collect()
    }
}

impl Journal for MemoryJournal {
    fn record(&self, reading: Arc<Reading>) -> BoxFuture<'_, ()> {
        self.put(Reading::clone(&reading));
        Box::pin(std::future::ready(()))
    }

    fn cursor(&self, reader: &Id) -> Arc<dyn CursorSource> {
        let mut inner = lock(&self.inner);
        let all = inner.first..inner.head();
        inner
            .readers
            .entry(reader.clone())
            .or_insert_with(|| Reader { pending: all.collect(), losses: Vec::new() });
        Arc::new(Place { reader: reader.clone(), inner: self.inner.clone() })
    }

    fn history(&self) -> Arc<dyn HistorySource> {
        Arc::new(Past(self.inner.clone()))
    }
}

struct Past(Arc<Mutex<Inner>>);

impl HistorySource for Past {
    /// All: a test has few.
    fn between(&self, _: Option<i64>, _: Option<i64>) -> BoxFuture<'static, Range<u64>> {
        let inner = lock(&self.0);
        Box::pin(std::future::ready(inner.first..inner.head()))
    }

    fn read(&self, range: Range<u64>, most: usize) -> BoxFuture<'static, Batch> {
        Box::pin(std::future::ready(lock(&self.0).read(range, most)))
    }
}

struct Place {
    reader: Id,
    inner: Arc<Mutex<Inner>>,
}

impl Place {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn with<T: Default>(&self, act: impl FnOnce(&mut Reader) -> T) -> T {
        self.inner().readers.get_mut(&self.reader).map(act).unwrap_or_default()
    }

    fn until(&self, ready: impl Fn(&Inner) -> bool + Send + 'static) -> BoxFuture<'static, ()> {
        let inner = self.inner.clone();
        Box::pin(poll_fn(move |cx| {
            let mut inner = lock(&inner);
            if ready(&inner) {
                return Poll::Ready(());
            }
            inner.wakers.push(cx.waker().clone());
            Poll::Pending
        }))
    }
}

impl CursorSource for Place {
    fn head(&self) -> u64 {
        self.inner().head()
    }

    fn grown(&self, beyond: u64) -> BoxFuture<'static, ()> {
        self.until(move |inner| inner.head() > beyond)
    }

    fn read(&self, range: Range<u64>, most: usize) -> BoxFuture<'static, Batch> {
        Box::pin(std::future::ready(self.inner().read(range, most)))
    }

    fn pending(&self, range: Range<u64>) -> Vec<Range<u64>> {
        self.with(|reader| {
            let mut open: Vec<Range<u64>> = Vec::new();
            for &position in reader.pending.range(range) {
                match open.last_mut().filter(|last| last.end == position) {
                    Some(last) => last.end += 1,
                    None => open.push(position..position + 1),
                }
            }
            open
        })
    }

    fn done(&self, positions: Range<u64>) {
        self.with(|reader| reader.pending.retain(|position| !positions.contains(position)));
    }

    fn give_up(&self, entry: &Entry, cause: Cause) {
        let id = self.reader.clone();
        self.with(|reader| {
            if reader.pending.remove(&entry.position) {
                reader.lose(&id, &entry.reading, cause);
            }
        });
        self.inner().wake();
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn losing(&self) -> BoxFuture<'static, ()> {
        let id = self.reader.clone();
        self.until(move |inner| inner.readers.get(&id).is_some_and(|reader| !reader.untold().is_empty()))
    }

    fn untold(&self) -> Vec<Loss> {
        self.with(|reader| reader.untold())
    }

    fn told(&self, told: &[Loss]) {
        self.with(|reader| {
            for loss in &mut reader.losses {
                let same = |told: &&Loss| {
                    (&told.sensor, told.boot, told.cause) == (&loss.sensor, loss.boot, loss.cause)
                };
                if let Some(told) = told.iter().find(same) {
                    loss.told = loss.told.max(told.count);
                }
            }
        });
    }
}
