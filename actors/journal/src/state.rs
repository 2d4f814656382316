//! What the writer and the readers share: which segments there are, the newest records, and what was counted.
//!
//! The lock is held for a look or a change in memory, never while a file is read or written.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::aside::Aside;
use crate::disk::Disk;
use crate::ring::Ring;

/// Ranges of lost positions that are remembered.
const MOST_LOST: usize = 64;

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) aside: Aside,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// By their first position. The active one, where there is one, is the last.
    pub(crate) segments: Vec<Meta>,
    pub(crate) ring: Ring,
    pub(crate) head: u64,
    pub(crate) durable: u64,
    /// What left memory without having reached the disk.
    pub(crate) lost: Vec<Range<u64>>,
    pub(crate) lost_records: u64,
    pub(crate) bytes_written: u64,
    pub(crate) syncs: u64,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) epoch: u32,
    pub(crate) first: u64,
    /// One above its last position; where nobody counted, the first of the next segment.
    pub(crate) end: u64,
    /// Bytes of the file that may hold frames.
    pub(crate) limit: u64,
    /// Made by compaction: what is not in it was not kept.
    pub(crate) compacted: bool,
    /// The one that is written to.
    pub(crate) active: bool,
}

/// One segment: the oldest that is no longer written to, or one of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its first position.
    pub first: u64,
    /// One above its last.
    pub end: u64,
    /// Bytes that dropping it frees.
    pub bytes: u64,
}

/// What was found damaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Damage {
    /// Ends of segments with the beginning of a record that was never finished.
    pub torn_tails: u64,
    /// Places within segments that held no records, with good ones behind them.
    pub bad_spans: u64,
    /// Bytes in these places.
    pub bad_bytes: u64,
    /// Bytes that the disk could not read.
    pub unreadable_bytes: u64,
    /// Files in which no record was found.
    pub bad_files: u64,
    /// Bytes that were kept in `.bad` files.
    pub kept_bytes: u64,
}

/// What a journal is and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Segments that hold records, the active one among them.
    pub segments: usize,
    /// Bytes that these take on the disk.
    pub bytes: u64,
    /// The oldest position that is held.
    pub first: u64,
    /// The position that the next record gets.
    pub next: u64,
    /// All below is safe from a power cut.
    pub durable: u64,
    /// Records that left memory without having reached the disk.
    pub lost: u64,
    /// Bytes given to the disk since the journal was opened.
    pub bytes_written: u64,
    /// Times that the disk was told to make them durable.
    pub syncs: u64,
    /// What was found damaged since it was opened.
    pub damage: Damage,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, aside: Aside, state: State) -> Self {
        Self { disk, aside, state: Mutex::new(state) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        let damage = self.aside.damage();
        let state = self.state();
        Stats {
            segments: state.segments.len(),
            bytes: state.segments.iter().map(|segment| segment.limit).sum(),
            first: state.tail(),
            next: state.head,
            durable: state.durable,
            lost: state.lost_records,
            bytes_written: state.bytes_written,
            syncs: state.syncs,
            damage,
        }
    }
}

impl State {
    pub(crate) fn new(segments: Vec<Meta>, memory_bytes: usize, head: u64) -> Self {
        let ring = Ring::new(memory_bytes);
        let (lost, lost_records, bytes_written, syncs) = (Vec::new(), 0, 0, 0);
        Self { segments, ring, head, durable: head, lost, lost_records, bytes_written, syncs }
    }

    pub(crate) fn tail(&self) -> u64 {
        let segment = self.segments.iter().find(|segment| segment.first < segment.end || segment.active);
        let first = segment.map_or(self.head, |segment| segment.first);
        self.ring.first().unwrap_or(self.head).min(first)
    }

    pub(crate) fn segment(&mut self, epoch: u32) -> Option<&mut Meta> {
        self.segments.iter_mut().find(|segment| segment.epoch == epoch)
    }

    pub(crate) fn lose(&mut self, position: u64) {
        self.lost_records += 1;
        match self.lost.last_mut() {
            Some(last) if last.end == position => last.end += 1,
            _ => self.lost.push(position..position + 1),
        }
        if self.lost.len() > MOST_LOST {
            self.lost.remove(0);
        }
    }
}
