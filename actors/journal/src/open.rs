//! Finds what is in a directory, whatever that is, and makes it a journal again.
//!
//! Quick: of all segments the header is read, of the newest everything. A segment whose header is destroyed is known by its
//! name and its frames; a file without a single good frame is put aside; files of others are left alone.

use std::io;

use crate::JournalError;
use crate::aside::{Aside, Kind};
use crate::disk::{Disk, Mode, read_all_at, write_all_at};
use crate::format::{self, HEADER, Header, Mark, SMALLEST};
use crate::state::Meta;
use crate::walk::{Step, Walk};

/// After an end that was not in order positions go on at the next multiple of this: more than any run can have given out and
/// not written, so that no number is used twice.
pub(crate) const SKIP: u64 = 1 << 32;
/// The same where a part of the log cannot be seen, in which there may have been several such ends.
const LONG_SKIP: u64 = 1 << 42;
/// Attempts at a header: without it much is unknown.
const READS: usize = 3;
/// Empty segments that are kept for use.
pub(crate) const MOST_FREE: usize = 4;

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Segments with records.
    pub segments: usize,
    /// Records in the newest one, the only one that is read when a journal is opened.
    pub newest_records: u64,
    /// The oldest position.
    pub first: u64,
    /// One above the last position that was found.
    pub end: u64,
    /// The position that the next record gets: above `end` where the journal was not closed in order.
    pub next: u64,
    /// It was closed in order, or is new.
    pub in_order: bool,
    /// Leftovers of what a crash interrupted, removed.
    pub leftovers: u64,
    /// Damaged ends, places and files seen when it was opened; older segments are checked when they are read.
    pub damaged: u64,
}

pub(crate) struct Loaded {
    pub(crate) segments: Vec<Meta>,
    pub(crate) free: Vec<String>,
    /// The highest epoch that any name or header has.
    pub(crate) epoch: u32,
    pub(crate) next: u64,
    /// Where the newest segment may be written on.
    pub(crate) resume: Option<u64>,
    /// Bytes of the newest segment up to the end of its frames.
    pub(crate) used: u64,
    pub(crate) found: Found,
}

pub(crate) fn names(disk: &dyn Disk) -> Result<Vec<String>, JournalError> {
    let mut names = disk.list().map_err(|source| JournalError::Directory { place: disk.place(), source })?;
    names.sort_unstable();
    Ok(names)
}

/// Reads the directory. Only with `repair` something is changed in it.
pub(crate) fn load(disk: &dyn Disk, aside: &Aside, names: &[String], repair: bool) -> Loaded {
    let mut found = Found::default();
    let (mut segments, mut free, mut highest, mut unseen) = (Vec::new(), Vec::new(), 0, false);
    for name in names {
        let Some((epoch, ending)) = format::parse_name(name) else { continue };
        highest = highest.max(epoch);
        match ending {
            "free" => match free_epoch(disk, name) {
                // It may have been about to be a segment: what is in it is of the epoch that its header says.
                Some(epoch) => {
                    highest = highest.max(epoch);
                    free.push(name.clone());
                }
                None => {
                    found.leftovers += 1;
                    let _ = repair.then(|| disk.remove(name));
                }
            },
            "seg" => match segment(disk, aside, name, epoch) {
                Some(segment) => segments.push(segment),
                None => unseen = true,
            },
            _ => {
                found.leftovers += 1;
                let _ = repair.then(|| disk.remove(name));
            }
        }
    }
    highest = segments.iter().map(|(meta, _)| meta.epoch).fold(highest, u32::max);
    found.leftovers += remove_replaced(disk, &mut segments, repair);
    segments.sort_by_key(|(meta, _)| (meta.first, meta.epoch));
    put_aside_shadowed(disk, aside, &mut segments);
    for index in 1..segments.len() {
        segments[index - 1].0.end = segments[index].0.first;
    }
    let mut loaded =
        Loaded { segments: Vec::new(), free, epoch: highest, next: 0, resume: None, used: 0, found };
    match segments.last_mut() {
        Some((meta, header)) => scan_newest(disk, aside, meta, header.as_ref(), &mut loaded),
        // There was something: its numbers are not known any more.
        None if highest > 0 => unseen = true,
        None => loaded.found.in_order = true,
    }
    if unseen {
        loaded.found.in_order = false;
        loaded.next = (loaded.next / LONG_SKIP + 1) * LONG_SKIP;
    }
    loaded.segments = segments.into_iter().map(|(meta, _)| meta).collect();
    let found = &mut loaded.found;
    found.segments = loaded.segments.len();
    found.next = loaded.next;
    found.first = loaded.segments.first().map_or(loaded.next, |meta| meta.first);
    let damage = aside.damage();
    found.damaged = damage.bad_files + damage.bad_spans + damage.torn_tails;
    loaded
}

fn free_epoch(disk: &dyn Disk, name: &str) -> Option<u32> {
    let mut bytes = [0; HEADER];
    read_all_at(&*disk.open(name, Mode::Read).ok()?, &mut bytes, 0).ok()?;
    Header::decode(&bytes).map(|header| header.epoch)
}

fn segment(disk: &dyn Disk, aside: &Aside, name: &str, epoch: u32) -> Option<(Meta, Option<Header>)> {
    let file = disk.open(name, Mode::Read).ok()?;
    let limit = file.size().ok()?;
    let mut bytes = [0; HEADER];
    let read = (0..READS).any(|_| read_all_at(&*file, &mut bytes, 0).is_ok());
    let header = read.then(|| Header::decode(&bytes)).flatten();
    let meta = |epoch, first, end, compacted| {
        Some(Meta { name: name.into(), epoch, first, end, limit, compacted, active: false })
    };
    if let Some(header) = header {
        let compacted = header.end > header.base;
        return Some((
            meta(header.epoch, header.base, header.end.max(header.base), compacted)?,
            Some(header),
        ));
    }
    // Frames may stand where the header should: it is part of what is damaged.
    let mut walk = Walk::new(&*file, epoch, 0, limit);
    if let Some(first) = first_record(&mut walk) {
        return Some((meta(epoch, first, first, false)?, None));
    }
    // What cannot be read today may be read tomorrow.
    if walk.unreadable() == 0 {
        drop(file);
        aside.file(disk, name, limit);
    }
    None
}

fn first_record(walk: &mut Walk) -> Option<u64> {
    loop {
        match walk.step() {
            Step::Record { position, .. } | Step::Mark(_, position) => return Some(position),
            Step::Bad(_) => {}
            Step::End { .. } => return None,
        }
    }
}

/// A crash may have left the segments from which compaction made a smaller one. All that is older and within its positions was
/// known when it was made, or was given up before.
fn remove_replaced(disk: &dyn Disk, segments: &mut Vec<(Meta, Option<Header>)>, repair: bool) -> u64 {
    let made: Vec<Header> =
        segments.iter().filter_map(|(_, header)| *header).filter(|header| header.end > header.base).collect();
    let before = segments.len();
    segments.retain(|(meta, _)| {
        let replaced = made
            .iter()
            .any(|header| header.epoch > meta.epoch && (header.base..header.end).contains(&meta.first));
        if replaced && repair {
            let _ = disk.remove(&meta.name);
        }
        !replaced
    });
    (before - segments.len()) as u64
}

/// Of two that begin with one position the newer counts: it was written because the older could not be.
fn put_aside_shadowed(disk: &dyn Disk, aside: &Aside, segments: &mut Vec<(Meta, Option<Header>)>) {
    let mut index = 1;
    while index < segments.len() {
        if segments[index - 1].0.first == segments[index].0.first {
            let (meta, _) = segments.remove(index - 1);
            aside.file(disk, &meta.name, meta.limit);
        } else {
            index += 1;
        }
    }
}

fn scan_newest(
    disk: &dyn Disk,
    aside: &Aside,
    meta: &mut Meta,
    header: Option<&Header>,
    loaded: &mut Loaded,
) {
    let file = match disk.open(&meta.name, Mode::Read) {
        Ok(file) => file,
        Err(_) => {
            loaded.next = (meta.end.max(meta.first) / LONG_SKIP + 1) * LONG_SKIP;
            meta.end = loaded.next;
            return;
        }
    };
    let start = if header.is_some() { HEADER as u64 } else { 0 };
    let mut walk = Walk::new(&*file, meta.epoch, start, meta.limit);
    let (mut next, mut at, mut last) = (meta.end.max(meta.first), start, None);
    loop {
        match walk.step() {
            Step::Record { position, .. } => {
                loaded.found.newest_records += 1;
                (next, last) = (next.max(position + 1), None);
            }
            Step::Mark(mark, position) => (next, last) = (next.max(position), Some(mark)),
            Step::Bad(span) => aside.place(disk, &*file, meta.epoch, span, Kind::Span),
            Step::End { at, torn } => {
                if torn && last != Some(Mark::Sealed) {
                    aside.place(disk, &*file, meta.epoch, at..meta.limit, Kind::Tail);
                    last = None;
                }
                break;
            }
        }
        at = walk.at();
    }
    let readable = walk.unreadable() == 0;
    aside.unreadable(walk.unreadable());
    meta.end = next;
    loaded.used = at;
    loaded.found.end = next;
    loaded.found.in_order = last == Some(Mark::Closed) && readable;
    let skip = if readable { SKIP } else { LONG_SKIP };
    loaded.next = if loaded.found.in_order { next } else { (next / skip + 1) * skip };
    if !readable {
        // What cannot be read today may be read tomorrow, and is not to be taken for the end.
        meta.end = loaded.next;
    }
    let whole = header.is_some() && !meta.compacted && last != Some(Mark::Sealed);
    loaded.resume = (whole && readable && at + 4 * SMALLEST <= meta.limit).then_some(at);
}

/// Writes the frames of the newest segment anew, in place. The process that wrote them may have ended after a failed sync, when
/// what can be read is not what is on the disk.
pub(crate) fn rewrite(disk: &dyn Disk, meta: &Meta, bytes: u64) -> io::Result<()> {
    let file = disk.open(&meta.name, Mode::Write)?;
    let mut piece = vec![0; 64 * 1024];
    for at in (0..bytes).step_by(piece.len()) {
        let wanted = piece.len().min((bytes - at) as usize);
        // What cannot be read cannot be saved either.
        if let Ok(read) = read_all_at(&*file, &mut piece[..wanted], at) {
            write_all_at(&*file, &piece[..read], at)?;
        }
    }
    file.sync_data()
}
