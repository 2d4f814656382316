//! Damaged bytes, counted and kept for a person to look at: a bounded number of `.bad` files.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, Mode, read_all_at, write_all_at};
use crate::state::Damage;

/// Files that are kept. The first ones tell most.
const MOST_FILES: usize = 16;
/// Bytes in all of them.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of one damaged place within a segment.
const MOST_OF_ONE: u64 = 64 * 1024;
/// Places that are told apart; a reader that comes by again does not count one twice.
const MOST_PLACES: usize = 1024;

pub(crate) const ENDING: &str = ".bad";

/// Counts damage. It keeps bytes only where it may write.
pub(crate) struct Aside {
    writes: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    damage: Damage,
    places: BTreeSet<(u32, u64)>,
    files: usize,
    bytes: u64,
}

/// What is wrong with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Span,
    Tail,
}

impl Aside {
    /// Knows what is kept already.
    pub(crate) fn new(disk: &dyn Disk, names: &[String], writes: bool) -> Self {
        let mut inner = Inner::default();
        for name in names.iter().filter(|name| name.ends_with(ENDING)) {
            inner.files += 1;
            inner.bytes += disk.open(name, Mode::Read).and_then(|file| file.size()).unwrap_or(0);
        }
        Self { writes, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn damage(&self) -> Damage {
        self.inner().damage
    }

    /// Counts a damaged place once, and keeps its bytes.
    pub(crate) fn place(
        &self,
        disk: &dyn Disk,
        file: &dyn DiskFile,
        epoch: u32,
        span: Range<u64>,
        kind: Kind,
    ) {
        let bytes = span.end - span.start;
        let kept = bytes.min(MOST_OF_ONE);
        {
            let mut inner = self.inner();
            if inner.places.len() >= MOST_PLACES || !inner.places.insert((epoch, span.start)) {
                return;
            }
            match kind {
                Kind::Tail => inner.damage.torn_tails += 1,
                Kind::Span => {
                    inner.damage.bad_spans += 1;
                    inner.damage.bad_bytes += bytes;
                }
            }
            if !self.writes || !inner.may_keep(kept) {
                return;
            }
            inner.keep(kept);
        }
        // Where it cannot be kept it was at least counted: what is damaged stays where it is until its segment goes.
        let _ = copy(disk, file, &format!("{epoch:010}-{}{ENDING}", span.start), span.start, kept);
    }

    /// Puts a file aside in which no record was found.
    pub(crate) fn file(&self, disk: &dyn Disk, name: &str, bytes: u64) {
        let mut inner = self.inner();
        inner.damage.bad_files += 1;
        if !self.writes {
            return;
        }
        let may = inner.may_keep(bytes);
        let moved = if may { disk.rename(name, &format!("{name}{ENDING}")) } else { disk.remove(name) };
        if may && moved.is_ok() {
            inner.keep(bytes);
        }
    }

    pub(crate) fn unreadable(&self, bytes: u64) {
        self.inner().damage.unreadable_bytes += bytes;
    }
}

impl Inner {
    fn may_keep(&self, bytes: u64) -> bool {
        self.files < MOST_FILES && self.bytes + bytes <= MOST_BYTES
    }

    fn keep(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
        self.damage.kept_bytes += bytes;
    }
}

fn copy(disk: &dyn Disk, from: &dyn DiskFile, name: &str, offset: u64, bytes: u64) -> io::Result<()> {
    let mut content = vec![0; bytes as usize];
    let read = read_all_at(from, &mut content, offset)?;
    let file = disk.open(name, Mode::Create)?;
    write_all_at(&*file, &content[..read], 0)
}
