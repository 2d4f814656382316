//! Reads a journal from any position, beside its writer.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::JournalError;
use crate::aside::{Aside, Kind};
use crate::disk::{Disk, Mode};
use crate::format::{HEADER, Mark};
use crate::open;
use crate::ring::Record;
use crate::state::{Meta, Segment, Shared, State, Stats};
use crate::walk::{Step, Walk};

/// Segments that one call looks into. A longer way is gone in several calls.
const MOST_ROUNDS: usize = 64;

/// Reads what was appended: from memory where it is recent, else from the segments. Clones read on their own.
///
/// The writer never waits for a reader: a segment that is dropped while it is read is read as dropped.
pub struct Reader {
    shared: Arc<Shared>,
    hint: Mutex<Option<Hint>>,
}

/// Where the last read ended, so that the next one need not begin at the start of its segment.
#[derive(Clone, Copy)]
struct Hint {
    epoch: u32,
    position: u64,
    at: u64,
}

/// What a read found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Records with their positions, in order.
    pub records: Vec<(u64, Vec<u8>)>,
    /// Where to read on. Where it is where the read began, there is nothing yet.
    pub next: u64,
    /// Positions that were passed over.
    pub missing: Vec<Missing>,
}

/// Positions without records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub range: Range<u64>,
    /// Why.
    pub why: Why,
}

/// Why there is no record at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its segment was dropped to make room.
    Dropped,
    /// It was not kept when segments were made smaller.
    Compacted,
    /// Its bytes are not what was written.
    Damaged,
    /// The disk could not read it. It may later.
    Unreadable,
    /// It left memory without having reached the disk, and was handed to the owner.
    Lost,
    /// Not given out as far as is known: numbers are left out after an end that was not in order, so that none is used twice.
    /// What was appended and not synced before a power cut is among them.
    Skipped,
}

/// What is in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its file.
    pub name: String,
    /// Its first position.
    pub first: u64,
    /// One above its last.
    pub end: u64,
    /// Good records.
    pub records: u64,
    /// Bytes in these.
    pub bytes: u64,
    /// Places with damage.
    pub bad: u64,
    /// Bytes that the disk could not read.
    pub unreadable: u64,
}

/// What [`Reader::verify`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verification {
    /// Segments.
    pub segments: u64,
    /// Good records.
    pub records: u64,
    /// Bytes in these.
    pub bytes: u64,
    /// Places with damage.
    pub bad: u64,
    /// Bytes that the disk could not read.
    pub unreadable: u64,
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, hint: Mutex::new(None) }
    }

    /// A journal for looking at: nothing is locked, repaired or written. Shows what there was when it was opened, also while a
    /// node writes.
    pub fn open_read_only(disk: Arc<dyn Disk>) -> Result<Self, JournalError> {
        let names = open::names(&*disk)?;
        let aside = Aside::new(&*disk, &names, false);
        let loaded = open::load(&*disk, &aside, &names, false);
        // Also while a node writes: what it leaves out does not concern a look.
        let state = State::new(loaded.segments, 0, loaded.found.end);
        Ok(Self::new(Arc::new(Shared::new(disk, aside, state))))
    }

    /// The position that the next record gets.
    pub fn head(&self) -> u64 {
        self.shared.state().head
    }

    /// The oldest position that is held.
    pub fn tail(&self) -> u64 {
        self.shared.state().tail()
    }

    /// All below is safe from a power cut.
    pub fn durable(&self) -> u64 {
        self.shared.state().durable
    }

    /// What the journal is and did.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Records from a position on: as many as are asked for and there are, of so many bytes; one at least, however large.
    pub fn read(&self, from: u64, max_records: usize, max_bytes: usize) -> Chunk {
        let mut basket = Basket::new(from, max_records, max_bytes);
        for _ in 0..MOST_ROUNDS {
            if basket.full {
                break;
            }
            match self.place(basket.chunk.next, basket.records_left) {
                Place::Head => break,
                Place::Gap(end, why) => basket.miss(end, why),
                Place::Memory(records) => records.iter().for_each(|(position, payload)| {
                    if !basket.full {
                        basket.miss(*position, Why::Skipped);
                        basket.put(*position, payload);
                    }
                }),
                Place::Segment(meta) => self.read_segment(&meta, &mut basket),
            }
        }
        basket.chunk
    }

    /// The segments, by their positions; the one that is written to is the last.
    pub fn segments(&self) -> Vec<Segment> {
        let state = self.shared.state();
        let shown = |meta: &Meta| Segment { first: meta.first, end: meta.end, bytes: meta.limit };
        state.segments.iter().map(shown).collect()
    }

    /// Reads everything that is on the disk.
    pub fn verify(&self, on_segment: &mut dyn FnMut(&SegmentReport)) -> Verification {
        let segments = self.shared.state().segments.clone();
        let newest = segments.last().map(|meta| meta.epoch);
        let mut sum = Verification::default();
        for meta in segments {
            let Some(report) = self.report(&meta, newest == Some(meta.epoch)) else { continue };
            sum.segments += 1;
            sum.records += report.records;
            sum.bytes += report.bytes;
            sum.bad += report.bad;
            sum.unreadable += report.unreadable;
            on_segment(&report);
        }
        sum
    }

    /// An end that was never finished is damage but in the newest segment: there it is what is just being written, or what a power
    /// cut has left and the next start cuts off.
    fn report(&self, meta: &Meta, is_newest: bool) -> Option<SegmentReport> {
        let (name, first, end) = (meta.name.clone(), meta.first, meta.end);
        let mut report = SegmentReport { name, first, end, records: 0, bytes: 0, bad: 0, unreadable: 0 };
        let Ok(file) = self.shared.disk.open(&meta.name, Mode::Read) else {
            report.unreadable = meta.limit;
            return self.holds(meta).then_some(report);
        };
        let mut walk = Walk::new(&*file, meta.epoch, HEADER as u64, meta.limit);
        loop {
            match walk.step() {
                Step::Record { payload, .. } => {
                    report.records += 1;
                    report.bytes += payload.len() as u64;
                }
                Step::Bad(_) => report.bad += 1,
                Step::Mark(Mark::Sealed, _) => break,
                Step::Mark(..) => {}
                Step::End { torn, .. } => {
                    report.bad += u64::from(torn && !is_newest);
                    break;
                }
            }
        }
        report.unreadable = walk.unreadable();
        self.holds(meta).then_some(report)
    }

    /// Whether a segment is still what it was.
    fn holds(&self, meta: &Meta) -> bool {
        self.shared.state().segments.iter().any(|held| held.epoch == meta.epoch && held.name == meta.name)
    }

    fn place(&self, position: u64, most: usize) -> Place {
        let state = self.shared.state();
        let tail = state.tail();
        if position >= state.head {
            return Place::Head;
        }
        if position < tail {
            return Place::Gap(tail, Why::Dropped);
        }
        let recent = state.ring.first().unwrap_or(state.head);
        if recent <= position {
            let records: Vec<Record> = state.ring.from(position).take(most).cloned().collect();
            return if records.is_empty() {
                Place::Gap(state.head, Why::Skipped)
            } else {
                Place::Memory(records)
            };
        }
        let index = state.segments.partition_point(|segment| segment.first <= position);
        if let Some(meta) = state.segments[..index].last().filter(|meta| position < meta.end) {
            return Place::Segment(meta.clone());
        }
        let next = state.segments.get(index).map_or(recent, |segment| segment.first.min(recent));
        let lost = state.lost.iter().any(|lost| lost.start < next && position < lost.end);
        Place::Gap(next, if lost { Why::Lost } else { Why::Skipped })
    }

    fn read_segment(&self, meta: &Meta, basket: &mut Basket) {
        let before = basket.mark();
        let Ok(file) = self.shared.disk.open(&meta.name, Mode::Read) else {
            if self.holds(meta) {
                basket.miss(meta.end, Why::Unreadable);
            }
            return;
        };
        let hint = *self.hint.lock().unwrap_or_else(PoisonError::into_inner);
        let hint = hint.filter(|hint| hint.epoch == meta.epoch && hint.position <= basket.chunk.next);
        let start = hint.map_or(HEADER as u64, |hint| hint.at);
        let mut walk = Walk::new(&*file, meta.epoch, start, meta.limit).window(basket.bytes_left);
        let mut places = Vec::new();
        let at = gather(meta, &mut walk, basket, &mut places);
        // Its file may have been used for another segment meanwhile: then nothing of this was so.
        if !self.holds(meta) {
            return basket.back(before);
        }
        for (span, kind) in places {
            self.shared.aside.place(&*self.shared.disk, &*file, meta.epoch, span, kind);
        }
        self.shared.aside.unreadable(walk.unreadable());
        let hint = Hint { epoch: meta.epoch, position: basket.chunk.next, at };
        *self.hint.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint);
    }
}

/// Takes the records of a segment from the basket's position on; where the next one begins.
fn gather(meta: &Meta, walk: &mut Walk, basket: &mut Basket, places: &mut Vec<(Range<u64>, Kind)>) -> u64 {
    let mut bad = false;
    loop {
        let (at, unreadable) = (walk.at(), walk.unreadable() > 0);
        let broken = if unreadable { Why::Unreadable } else { Why::Damaged };
        let unknown = if meta.compacted { Why::Compacted } else { Why::Skipped };
        match walk.step() {
            Step::Record { position, .. } if position >= meta.end => {
                basket.miss(meta.end, if bad { broken } else { unknown });
                return at;
            }
            Step::Record { position, payload } => {
                if position >= basket.chunk.next {
                    basket.miss(position, if bad { broken } else { unknown });
                    basket.put(position, payload);
                    if basket.chunk.next == position {
                        return at;
                    }
                }
                bad = false;
            }
            Step::Bad(span) => {
                bad = true;
                places.push((span, Kind::Span));
            }
            Step::Mark(Mark::Opened, next) => {
                basket.miss(next.min(meta.end), Why::Skipped);
                bad = false;
            }
            Step::Mark(mark, next) => {
                basket.miss(next.min(meta.end), if meta.compacted { Why::Compacted } else { broken });
                if mark == Mark::Sealed {
                    basket.miss(meta.end, Why::Skipped);
                    return at;
                }
            }
            Step::End { at, torn } => {
                if torn {
                    places.push((at..meta.limit, Kind::Tail));
                }
                basket.miss(meta.end, if torn || bad || walk.unreadable() > 0 { broken } else { unknown });
                return at;
            }
        }
        if basket.full {
            return walk.at();
        }
    }
}

enum Place {
    Head,
    Gap(u64, Why),
    Memory(Vec<Record>),
    Segment(Meta),
}

/// What a read has gathered, and what it may still take.
struct Basket {
    chunk: Chunk,
    records_left: usize,
    bytes_left: usize,
    full: bool,
}

impl Basket {
    fn new(next: u64, records_left: usize, bytes_left: usize) -> Self {
        let chunk = Chunk { next, ..Chunk::default() };
        Self { chunk, records_left, bytes_left, full: records_left == 0 }
    }

    /// The positions up to here are missing.
    fn miss(&mut self, end: u64, why: Why) {
        let start = self.chunk.next;
        if start >= end {
            return;
        }
        self.chunk.next = end;
        match self.chunk.missing.last_mut() {
            Some(last) if last.why == why && last.range.end == start => last.range.end = end,
            _ => self.chunk.missing.push(Missing { range: start..end, why }),
        }
    }

    /// Takes a record if there is room.
    fn put(&mut self, position: u64, payload: &[u8]) {
        if payload.len() > self.bytes_left && !self.chunk.records.is_empty() {
            self.full = true;
            return;
        }
        self.chunk.records.push((position, payload.to_vec()));
        self.chunk.next = position + 1;
        self.records_left -= 1;
        self.bytes_left = self.bytes_left.saturating_sub(payload.len());
        self.full = self.records_left == 0 || self.bytes_left == 0;
    }

    fn mark(&self) -> (usize, usize, u64, usize, usize) {
        let chunk = &self.chunk;
        (chunk.records.len(), chunk.missing.len(), chunk.next, self.records_left, self.bytes_left)
    }

    /// As it was when the mark was taken.
    fn back(&mut self, mark: (usize, usize, u64, usize, usize)) {
        self.chunk.records.truncate(mark.0);
        self.chunk.missing.truncate(mark.1);
        (self.chunk.next, self.records_left, self.bytes_left) = (mark.2, mark.3, mark.4);
        if let Some(last) = self.chunk.missing.last_mut() {
            last.range.end = last.range.end.min(mark.2);
        }
        self.full = false;
    }
}
