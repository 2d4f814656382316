//! The outbox: the node's journal of readings, until everybody has them.
//!
//! ```text
//! path of a reading ──record──▶ queue ──▶ Keeper (a thread) ──▶ sedge-journal ──▶ disk
//!                                            │ head grows
//!      bridge, destinations ◀── Place (a cursor each) ◀──┘      what is lost ──▶ Ledger
//! ```
//!
//! Why a thread: a write to a card may take seconds, and nothing else of the node is to wait for it. A reading counts as
//! accepted when it was written; it outlives a power cut when it was committed, once a second unless told otherwise.
//!
//! Room is made by `rules`: what everybody has goes first and is no loss. What a reader did not have stands in the
//! `Ledger`, which is on disk before the readings are gone.
//!
//! It must not hold up a sensor for a disk that is slow: beyond `MOST_WAITING` readings the newest is lost and in the ledger.

mod keeper;
mod ledger;
pub mod metrics;
mod past;
mod place;
mod ranges;
mod rules;
#[cfg(test)]
mod shown_tests;
mod status;
mod thin;
mod times;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sedge_config::Storage;
use sedge_journal::{Disk, Done, Folder, Found, Journal, Memory, Options, Reader};
use sedge_plugin::journal::{Cause, CursorSource, Entry, HistorySource, Journal as Recorder};
use sedge_plugin::{BoxFuture, Clock, Id, Reading};
use tokio::sync::{Notify, oneshot, watch};
use tracing::{error, info, warn};

pub use past::Past;
pub use status::{look, window};

use keeper::Keeper;
use ledger::Ledger;
use place::Place;
use rules::Rules;
use times::Times;

/// Readings that may wait to be written; beyond it their plugin waits a moment.
const WAITING: usize = 4096;

/// Readings that may wait in any case; beyond it the newest is lost.
const MOST_WAITING: usize = 2 * WAITING;

/// How long a plugin waits at most until its reading is written.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest readings, which a reader need not read from the disk.
const RECENT: usize = 512;

/// Bytes of readings that are kept in memory while the disk fails.
const MEMORY_BYTES: usize = 4 << 20;

/// A segment is at most so large, and there are at least so many.
const SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENTS: u64 = 8;

/// Where a node keeps its readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// A folder of the node's own.
    Folder(PathBuf),
    /// Nowhere: a restart forgets them.
    Memory,
}

/// The outbox of a running node. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

/// What its thread, its readers and the path of a reading share.
struct Shared {
    queue: Mutex<Queue>,
    /// To the thread: there is something in the queue.
    filled: Condvar,
    /// To whoever waits: there is room again.
    room: Notify,
    reader: Reader,
    disk: Arc<dyn Disk>,
    durable: bool,
    max_bytes: u64,
    found: Found,
    /// The position that the first reading of this start got, or will get.
    began: u64,
    /// The position that the next reading will get.
    head: watch::Sender<u64>,
    recent: Mutex<VecDeque<Entry>>,
    places: Mutex<BTreeMap<Id, Arc<Place>>>,
    ledger: Mutex<Ledger>,
    /// Counts the changes of the ledger.
    lost: watch::Sender<u64>,
    times: Arc<Mutex<Times>>,
    rules: ArcSwap<Rules>,
    /// What is wrong with the disk, for people.
    trouble: watch::Sender<Option<String>>,
    clock: Arc<dyn Clock>,
    /// This start of the kernel.
    kernel: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// When the thread was last seen at work, and not away at the disk.
    alive: Mutex<Instant>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    closed: bool,
}

/// A reading on its way to the journal.
struct Item {
    reading: Arc<Reading>,
    /// Told when it is kept as safely as its sensor asks for.
    safe: Option<oneshot::Sender<()>>,
}

impl Outbox {
    /// Opens the journal of a node. Where the folder cannot be used, readings are kept in memory, and that is said: a node does
    /// not stay away for it.
    pub fn open(settings: &sedge_config::Outbox, home: &Home, clock: Arc<dyn Clock>) -> Self {
        let folder = match (settings.storage, home) {
            (Storage::Disk, Home::Folder(folder)) => Some(folder.clone()),
            _ => None,
        };
        let mut trouble = None;
        let opened = folder.and_then(|folder| {
            let disk: Arc<dyn Disk> = match Folder::new(&folder) {
                Ok(disk) => Arc::new(disk),
                Err(error) => {
                    trouble = Some(unusable(&folder, &error));
                    return None;
                }
            };
            match Journal::open(disk.clone(), options(settings.max_bytes.0)) {
                Ok(opened) => Some((disk, opened, true)),
                Err(error) => {
                    trouble = Some(unusable(&folder, &error));
                    None
                }
            }
        });
        let (disk, (journal, found), durable) = opened.unwrap_or_else(|| in_memory(settings.max_bytes.0));
        if let Some(trouble) = &trouble {
            error!(trouble, "Readings are kept in memory: a restart loses what was not sent.");
        }
        Self::start(settings, disk, journal, found, (durable, trouble), clock)
    }

    fn start(
        settings: &sedge_config::Outbox,
        disk: Arc<dyn Disk>,
        mut journal: Journal,
        found: Found,
        (durable, trouble): (bool, Option<String>),
        clock: Arc<dyn Clock>,
    ) -> Self {
        tell_of(&found);
        advance_beyond(&mut journal, &*disk);
        let reader = journal.reader();
        let ledger = Ledger::load(&*disk);
        let (mut times, kernel) = (Times::load(&*disk), times::kernel());
        // What an earlier process of this start of the kernel took before the time was known gets it now.
        times.learn(kernel, clock.taken());
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            room: Notify::new(),
            began: reader.head(),
            head: watch::Sender::new(reader.head()),
            recent: Mutex::default(),
            places: Mutex::default(),
            lost: watch::Sender::new(0),
            times: Arc::new(Mutex::new(times)),
            ledger: Mutex::new(ledger),
            rules: ArcSwap::from_pointee(Rules::new(settings)),
            trouble: watch::Sender::new(trouble),
            max_bytes: settings.max_bytes.0,
            reader,
            disk,
            durable,
            found,
            clock,
            kernel,
            thread: Mutex::default(),
            alive: Mutex::new(Instant::now()),
        });
        let keeper = Keeper::new(shared.clone(), journal);
        let thread = std::thread::Builder::new().name("outbox".into()).spawn(move || keeper.run());
        match thread {
            Ok(thread) => *lock(&shared.thread) = Some(thread),
            // Nothing will be written: what comes is lost and in the ledger, as with a disk that has died.
            Err(error) => error!(%error, "There is no thread for the outbox."),
        }
        Self(shared)
    }

    /// Other rules from now on.
    pub fn set_rules(&self, settings: &sedge_config::Outbox) {
        self.0.rules.store(Arc::new(Rules::new(settings)));
    }

    /// What is wrong with the disk; changes are seen.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.0.trouble.subscribe()
    }

    /// Whether its thread is at work, and has come back from the disk within a time. Always while it is being closed.
    ///
    /// # Errors
    /// With what is to be said of it.
    pub fn is_at_work(&self, within: Duration) -> Result<(), String> {
        if lock(&self.0.queue).closed {
            return Ok(());
        }
        if lock(&self.0.thread).as_ref().is_none_or(JoinHandle::is_finished) {
            return Err("the journal, whose thread has ended".into());
        }
        let away = lock(&self.0.alive).elapsed();
        if away > within {
            return Err(format!("the journal, for {} s at its disk", away.as_secs()));
        }
        Ok(())
    }

    /// The wall time is known now: what was taken before gets its true time, also if no reading comes any more.
    pub fn learn_time(&self) {
        lock(&self.0.times).learn(self.0.kernel, self.0.clock.taken());
    }

    /// What it still has, for looking at.
    pub fn past(&self) -> Past {
        Past { reader: self.0.reader.clone(), times: self.0.times.clone() }
    }

    /// Writes and commits what waits, and ends. Blocks for as long as the disk takes.
    pub fn close(&self) {
        lock(&self.0.queue).closed = true;
        self.0.filled.notify_one();
        if !self.0.durable {
            for place in self.0.places() {
                let open = place.pending(self.0.reader.tail()..*self.0.head.borrow());
                let waiting: u64 = open.iter().map(|open| open.end - open.start).sum();
                if waiting > 0 {
                    warn!(reader = %place.reader, waiting, "The journal in memory ends: what was not handed over is lost.");
                }
            }
        }
        if let Some(thread) = lock(&self.0.thread).take()
            && thread.join().is_err()
        {
            error!("The thread of the outbox has panicked.");
        }
    }
}

impl Recorder for Outbox {
    /// In the queue before the first await: a plugin that is ended while it waits takes no number with it.
    fn record(&self, reading: Arc<Reading>) -> BoxFuture<'_, ()> {
        let shared = &self.0;
        let each = shared.rules.load().of(&reading.sensor).commits_each;
        let (safe, told) = each.then(oneshot::channel).unzip();
        let waiting = {
            let mut queue = lock(&shared.queue);
            if queue.items.len() >= MOST_WAITING || queue.closed {
                drop(queue);
                shared.lose_unplaced(&reading, Cause::Disk);
                return Box::pin(std::future::ready(()));
            }
            queue.items.push_back(Item { reading, safe });
            queue.items.len()
        };
        // Where there was something already the thread is at work, and sees to this one without being woken.
        if waiting == 1 {
            shared.filled.notify_one();
        }
        if !each && waiting < WAITING {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(async move {
            let safe = async {
                if let Some(told) = told {
                    // An error means that the thread has ended: nobody is left to wait for.
                    let _ = told.await;
                }
                shared.until_room().await;
            };
            if tokio::time::timeout(PATIENCE, safe).await.is_err() {
                warn!("The disk takes long: a plugin goes on before its reading is safe.");
            }
        })
    }

    fn cursor(&self, reader: &Id) -> Arc<dyn CursorSource> {
        let mut places = lock(&self.0.places);
        let place = places.entry(reader.clone()).or_insert_with(|| Arc::new(Place::open(&self.0, reader)));
        Arc::new(place::Source::new(self.0.clone(), place.clone()))
    }

    fn history(&self) -> Arc<dyn HistorySource> {
        Arc::new(self.past())
    }
}

impl Shared {
    async fn until_room(&self) {
        loop {
            let room = self.room.notified();
            if lock(&self.queue).items.len() < WAITING {
                return;
            }
            room.await;
        }
    }

    /// A reading is lost that has no place in the journal.
    fn lose_unplaced(&self, reading: &Reading, cause: Cause) {
        let readers: Vec<Id> = lock(&self.places).keys().cloned().collect();
        let mut ledger = lock(&self.ledger);
        readers.iter().for_each(|reader| ledger.add(reader, reading, cause));
        drop(ledger);
        self.lost.send_modify(|count| *count += 1);
    }

    fn places(&self) -> Vec<Arc<Place>> {
        lock(&self.places).values().cloned().collect()
    }
}

fn options(max_bytes: u64) -> Options {
    let segment = (max_bytes / SEGMENTS).clamp(64 << 10, SEGMENT_BYTES);
    Options {
        segment_bytes: u32::try_from(segment).unwrap_or(u32::MAX),
        max_bytes,
        memory_bytes: MEMORY_BYTES,
    }
}

/// A journal that a restart forgets.
fn in_memory(max_bytes: u64) -> (Arc<dyn Disk>, (Journal, Found), bool) {
    let max_bytes = max_bytes.min(16 << 20);
    // Room for the small files beside the segments.
    let disk: Arc<dyn Disk> = Arc::new(Memory::new(max_bytes + (4 << 20)));
    match Journal::open(disk.clone(), options(max_bytes)) {
        Ok(opened) => (disk, opened, false),
        Err(error) => unreachable!("a journal in memory opens: {error}"),
    }
}

/// A power cut may leave a reader's place beyond what the journal has: what follows must not be taken for done.
fn advance_beyond(journal: &mut Journal, disk: &dyn Disk) {
    let names = disk.list().unwrap_or_default();
    let places = names.iter().filter(|name| name.starts_with(place::PREFIX));
    let furthest = places.map(|name| Done::load(disk, name).end()).max();
    let gone = Ledger::load(disk).gone().map(|gone| gone.end).max();
    journal.advance(furthest.max(gone).unwrap_or(0));
}

fn unusable(folder: &Path, error: &dyn std::error::Error) -> String {
    format!("the journal in {} cannot be used: {}", folder.display(), sedge_plugin::chain(error))
}

/// What the last end has left, where that is worth a word.
fn tell_of(found: &Found) {
    if found.damaged > 0 {
        warn!(
            damaged = found.damaged,
            "The journal has damaged places; they are kept aside, `sedge outbox verify` tells more."
        );
    } else if !found.in_order {
        info!("The journal was not closed in good order, as after a power cut; what was committed is there.");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
