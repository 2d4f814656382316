//! The writer.
//!
//! Appending writes at once; syncing makes durable. What a write or a sync failed on is never tried again in the same file:
//! after a failed sync nobody knows what of it is on the disk. It is written anew from memory into another segment.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::aside::Aside;
use crate::disk::{Disk, DiskFile, Mode, write_all_at};
use crate::format::{self, Header, Mark, SMALLEST, frame_bytes};
use crate::open::{self, Found, Loaded, MOST_FREE, SKIP};
use crate::reader::Reader;
use crate::ring::Record;
use crate::state::{Meta, Segment, Shared, State};
use crate::{AppendError, JournalError};

/// Says that nothing follows. Else what is left of a file's former use could be taken for a torn record.
const TERMINATOR: [u8; 8] = [0; 8];
/// What is left free behind records: a mark and the terminator.
const RESERVE: u64 = SMALLEST + TERMINATOR.len() as u64;
/// What is held of records that are durable: for readers that keep up. Others read it from the disk.
const RECENT: usize = 128 * 1024;
/// What is gathered before it is written, where many are appended at once.
const MOST_GATHERED: usize = 256 * 1024;
/// New segments for one record: where sealing fails the next one begins full of what was to be sealed.
const MOST_TURNS: usize = 8;
const SMALLEST_SEGMENT: u32 = 4096;
const FEWEST_SEGMENTS: u64 = 4;

/// How large a journal may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment, rounded up to whole blocks of 4 KiB.
    pub segment_bytes: u32,
    /// Bytes of all segments. Four segments at least; one of them is for making others smaller.
    pub max_bytes: u64,
    /// Bytes of records that are held in memory until they are durable: where the disk fails. Of those that are, a few are held
    /// for readers that keep up.
    pub memory_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 1024 * 1024, max_bytes: 256 * 1024 * 1024, memory_bytes: 4 * 1024 * 1024 }
    }
}

/// Why the journal runs from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Of what kind.
    pub kind: TroubleKind,
    /// What the system said.
    pub text: String,
}

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// There is no space left.
    Full,
    /// It may not be written to.
    ReadOnly,
    /// Anything else.
    Failed,
}

impl Trouble {
    fn new(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TroubleKind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => TroubleKind::ReadOnly,
            _ => TroubleKind::Failed,
        };
        Self { kind, text: error.to_string() }
    }

    fn error(&self) -> io::Error {
        let kind = match self.kind {
            TroubleKind::Full => io::ErrorKind::StorageFull,
            TroubleKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            TroubleKind::Failed => io::ErrorKind::Other,
        };
        io::Error::new(kind, self.text.clone())
    }
}

/// What of many records was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Their positions, one for each from the first record on.
    pub positions: Range<u64>,
    /// Why the next one was not taken, if there is one.
    pub stopped: Option<AppendError>,
}

/// The writer of a journal. Its methods block; one thread owns it.
///
/// Dropped, it writes that it was closed in order; then the next one continues the count.
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    pub(crate) segment_bytes: u64,
    most_segments: usize,
    memory_bytes: usize,
    active: Option<Active>,
    free: Vec<String>,
    epoch: u32,
    trouble: Option<Trouble>,
    unsaved: VecDeque<(u64, Vec<u8>)>,
    unsaved_bytes: usize,
    gathered: Gathered,
    /// Found when the journal was opened, and not known to be durable.
    unsure: Option<Meta>,
    _lock: Box<dyn Send + Sync>,
}

struct Active {
    file: Box<dyn DiskFile>,
    epoch: u32,
    at: u64,
    limit: u64,
}

/// Records that got positions and are not written yet.
#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

impl Journal {
    /// Opens what is there, whatever it is, or begins anew.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Found), JournalError> {
        let names = open::names(&*disk)?;
        let lock = disk.lock().map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => JournalError::Locked { place: disk.place() },
            _ => JournalError::Directory { place: disk.place(), source },
        })?;
        let aside = Aside::new(&*disk, &names, true);
        let loaded = open::load(&*disk, &aside, &names, true);
        let segment_bytes =
            u64::from(options.segment_bytes.clamp(SMALLEST_SEGMENT, 1 << 30)).next_multiple_of(4096);
        let most_segments = (options.max_bytes / segment_bytes).max(FEWEST_SEGMENTS) as usize;
        let memory_bytes = options.memory_bytes;
        let state = State::new(loaded.segments.clone(), memory_bytes, loaded.next);
        let mut journal = Self {
            shared: Arc::new(Shared::new(disk, aside, state)),
            segment_bytes,
            most_segments,
            memory_bytes,
            active: None,
            free: loaded.free.clone(),
            epoch: loaded.epoch,
            trouble: None,
            unsaved: VecDeque::new(),
            unsaved_bytes: 0,
            gathered: Gathered::default(),
            unsure: None,
            _lock: lock,
        };
        journal.tidy_free();
        if let Err(error) = journal.begin(&loaded) {
            journal.leap_anywhere(loaded.next);
            journal.fail(&error);
        }
        let next = journal.head();
        Ok((journal, Found { next, ..loaded.found }))
    }

    /// Goes on in the newest segment, or in a new one. Both say durably that the end which was found is no longer the end.
    fn begin(&mut self, loaded: &Loaded) -> io::Result<()> {
        let Some(meta) = loaded.segments.last() else { return self.save() };
        let disk = self.shared.disk.clone();
        // A segment may be seen here whose name is not on the disk: then the process before this one failed to make it so.
        let settled = disk.sync_dir().and_then(|()| match loaded.found.in_order {
            true => Ok(()),
            false => open::rewrite(&*disk, meta, loaded.used),
        });
        if let Err(error) = settled {
            self.shared.state().durable = meta.first;
            self.unsure = Some(meta.clone());
            return Err(error);
        }
        match loaded.resume.filter(|_| meta.limit == self.segment_bytes) {
            Some(at) => self.resume(meta, at, loaded.next),
            None => self.save(),
        }
    }

    fn resume(&mut self, meta: &Meta, at: u64, next: u64) -> io::Result<()> {
        let file = self.shared.disk.open(&meta.name, Mode::Write)?;
        self.active = Some(Active { file, epoch: meta.epoch, at, limit: self.segment_bytes });
        if let Some(meta) = self.shared.state().segment(meta.epoch) {
            (meta.active, meta.end) = (true, next);
        }
        self.mark_opened()
    }

    /// Says durably that positions up to the next one may have been given out.
    fn mark_opened(&mut self) -> io::Result<()> {
        let head = self.head();
        let Some(active) = &mut self.active else { return Ok(()) };
        let mut bytes = Vec::new();
        format::encode_mark(&mut bytes, active.epoch, head, Mark::Opened);
        bytes.extend_from_slice(&TERMINATOR);
        write_all_at(&*active.file, &bytes, active.at)?;
        active.file.sync_data()?;
        active.at += SMALLEST;
        let (at, epoch) = (active.at, active.epoch);
        let mut state = self.shared.state();
        state.syncs += 1;
        if let Some(meta) = state.segment(epoch) {
            (meta.end, meta.limit) = (head, at);
        }
        Ok(())
    }

    /// Gives a record a position. It outlives this process when this returns; a power cut only after [`Journal::sync`].
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, AppendError> {
        let appended = self.append_all(&[payload]);
        appended.stopped.map_or(Ok(appended.positions.start), Err)
    }

    /// The same for many, in few writes.
    pub fn append_all(&mut self, payloads: &[impl AsRef<[u8]>]) -> Appended {
        let first = self.head();
        let mut next = first;
        let mut stopped = None;
        for payload in payloads.iter().map(AsRef::as_ref) {
            if let Err(error) = self.gather(next, payload) {
                stopped = Some(error);
                break;
            }
            next += 1;
        }
        self.write_gathered();
        Appended { positions: first..next, stopped }
    }

    /// To be called before the first record with what is remembered elsewhere, such as the ends of cursors. Where that is above
    /// the position that the next record gets, the journal was taken away, or ran from memory: then positions go on far above.
    pub fn advance(&mut self, known: u64) {
        if known <= self.head() {
            return;
        }
        if self.active.is_some() {
            self.leap((known / SKIP + 1) * SKIP);
            match self.mark_opened() {
                Ok(()) => return,
                Err(error) => self.fail(&error),
            }
        }
        self.leap_anywhere(known);
    }

    /// Nothing on the disk says that positions were given out from here on: the next process may find what this one did.
    fn leap_anywhere(&mut self, known: u64) {
        // Far above what an ordinary end leaves out, and another number in each process.
        let leap = (1 << 16) + self.shared.disk.chance() % (1 << 16);
        self.leap((known / SKIP + leap) * SKIP);
    }

    /// The next record gets this position, where that is above.
    fn leap(&mut self, position: u64) {
        let mut state = self.shared.state();
        if position > state.head && position < format::MOST_POSITION {
            let all_durable = state.durable == state.head;
            state.head = position;
            if all_durable {
                state.durable = position;
            }
        }
    }

    /// Makes durable what was appended: all below the position that it returns outlives a power cut.
    pub fn sync(&mut self) -> io::Result<u64> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.error());
        }
        if !self.needs_sync() {
            return Ok(self.shared.state().durable);
        }
        if let Err(error) = self.sync_active() {
            self.fail(&error);
            self.retry();
        }
        match &self.trouble {
            Some(trouble) => Err(trouble.error()),
            None => Ok(self.shared.state().durable),
        }
    }

    /// Whether there is something that is not durable.
    pub fn needs_sync(&self) -> bool {
        let state = self.shared.state();
        state.durable < state.head
    }

    /// Why the journal runs from memory; none when all is well.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }

    /// Tries the disk again where there is trouble: what is in memory is written. It may cost the writing of a segment.
    pub fn retry(&mut self) {
        if self.trouble.is_none() {
            return;
        }
        match self.save() {
            Ok(()) => self.trouble = None,
            Err(error) => self.fail(&error),
        }
    }

    /// Records that left memory without having reached the disk since this was asked last: they are lost. As many bytes are
    /// held as memory is allowed, 256 KiB at least; of what is lost beyond, the oldest is only counted.
    pub fn take_unsaved(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.unsaved_bytes = 0;
        std::mem::take(&mut self.unsaved).into()
    }

    /// The oldest segment that is no longer written to. Not the newest of all, also where it is not written to: it says how far
    /// positions were given out.
    pub fn oldest(&self) -> Option<Segment> {
        let state = self.shared.state();
        let meta = state.segments.first().filter(|_| state.segments.len() > 1)?;
        Some(Segment { first: meta.first, end: meta.end, bytes: meta.limit })
    }

    /// Drops the oldest segment, for its file to be used again; which positions were in it. Nothing where there is none.
    pub fn drop_oldest(&mut self) -> io::Result<Range<u64>> {
        if self.oldest().is_none() {
            return Ok(0..0);
        }
        let Some(meta) = self.shared.state().segments.first().cloned() else { return Ok(0..0) };
        self.release(std::slice::from_ref(&meta))?;
        Ok(meta.first..meta.end)
    }

    /// Another reader.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    fn head(&self) -> u64 {
        self.shared.state().head
    }

    /// The most bytes that a record may have.
    pub fn limit(&self) -> usize {
        self.segment_bytes as usize / 4
    }

    fn gather(&mut self, position: u64, payload: &[u8]) -> Result<(), AppendError> {
        if payload.len() > self.limit() {
            return Err(AppendError::TooLarge { bytes: payload.len(), limit: self.limit() });
        }
        let bytes = frame_bytes(payload.len());
        for _ in 0..MOST_TURNS {
            if self.has_room(bytes) {
                break;
            }
            self.write_gathered();
            self.next_segment()?;
        }
        if !self.has_room(bytes) {
            self.fail(&io::Error::other("syncing fails again and again"));
        } else if self.gathered.bytes.len() >= MOST_GATHERED {
            self.write_gathered();
        }
        if let Some(active) = &self.active {
            format::encode_record(&mut self.gathered.bytes, active.epoch, position, payload);
        }
        self.gathered.records.push((position, payload.into()));
        Ok(())
    }

    /// In trouble there is always room: in memory.
    fn has_room(&self, bytes: u64) -> bool {
        self.active.as_ref().is_none_or(|active| {
            active.at + self.gathered.bytes.len() as u64 + bytes + RESERVE <= active.limit
        })
    }

    fn write_gathered(&mut self) {
        if self.gathered.records.is_empty() {
            return;
        }
        let written = self.write_frames();
        let mut state = self.shared.state();
        for record in self.gathered.records.drain(..) {
            state.head = record.0 + 1;
            state.ring.push(record);
        }
        let head = state.head;
        if let Some(active) = &self.active
            && let Some(meta) = state.segment(active.epoch)
        {
            (meta.end, meta.limit) = (head, active.at);
        }
        drop(state);
        if let Err(error) = written {
            self.fail(&error);
        }
        self.shrink_memory();
    }

    fn write_frames(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let frames = self.gathered.bytes.len();
        self.gathered.bytes.extend_from_slice(&TERMINATOR);
        let written = write_all_at(&*active.file, &self.gathered.bytes, active.at);
        self.gathered.bytes.clear();
        written?;
        active.at += frames as u64;
        self.shared.state().bytes_written += (frames + TERMINATOR.len()) as u64;
        Ok(())
    }

    /// What memory is not allowed to hold leaves it. What the disk does not have yet is synced first, or is lost.
    fn shrink_memory(&mut self) {
        let over = |state: &State| state.ring.is_over() && state.ring.first() >= Some(state.durable);
        if over(&self.shared.state()) && self.trouble.is_none() {
            let _ = self.sync();
        }
        let mut state = self.shared.state();
        while state.ring.is_over()
            && let Some((position, payload)) = state.ring.pop()
        {
            if position < state.durable {
                continue;
            }
            state.lose(position);
            self.unsaved_bytes += payload.len();
            self.unsaved.push_back((position, payload.to_vec()));
        }
        while self.unsaved_bytes > self.memory_bytes.max(MOST_GATHERED)
            && let Some((_, payload)) = self.unsaved.pop_front()
        {
            self.unsaved_bytes -= payload.len();
        }
    }

    fn sync_active(&mut self) -> io::Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        active.file.sync_data()?;
        let mut state = self.shared.state();
        state.syncs += 1;
        state.durable = state.head;
        let durable = state.durable;
        state.ring.forget(durable, RECENT);
        Ok(())
    }

    /// The active segment is full: another one, where there may be one more.
    fn next_segment(&mut self) -> Result<(), AppendError> {
        if self.active.is_none() {
            return Ok(());
        }
        if self.shared.state().segments.len() + 2 > self.most_segments {
            return Err(AppendError::Full);
        }
        if let Err(error) = self.seal().and_then(|()| self.save()) {
            self.fail(&error);
            // A failed sync is no reason to stay in memory: another file may be well.
            self.retry();
        }
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let mut bytes = Vec::new();
        format::encode_mark(&mut bytes, active.epoch, self.shared.state().head, Mark::Sealed);
        write_all_at(&*active.file, &bytes, active.at)?;
        active.at += SMALLEST;
        self.sync_active()?;
        self.leave_active(self.head());
        Ok(())
    }

    /// The active segment is written to no more; what it holds ends here.
    fn leave_active(&mut self, end: u64) {
        let Some(active) = self.active.take() else { return };
        if let Some(meta) = self.shared.state().segment(active.epoch) {
            (meta.active, meta.end, meta.limit) = (false, end.max(meta.first), active.limit);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.trouble = Some(Trouble::new(error));
        let durable = self.shared.state().durable;
        self.leave_active(durable);
    }

    /// Writes what is not durable into new segments, of which the last becomes the active one. Each appears in the directory
    /// only when it is durable as a whole.
    fn save(&mut self) -> io::Result<()> {
        self.save_unsure()?;
        loop {
            let (records, head) = {
                let state = self.shared.state();
                (state.ring.from(state.durable).cloned().collect::<Vec<_>>(), state.head)
            };
            let base = records.first().map_or(head, |record| record.0);
            let epoch = self.next_epoch();
            let mut bytes = Vec::new();
            Header::new(epoch, base).encode(&mut bytes);
            let mut end = base;
            for (position, payload) in &records {
                if bytes.len() as u64 + frame_bytes(payload.len()) + RESERVE > self.segment_bytes {
                    break;
                }
                format::encode_record(&mut bytes, epoch, *position, payload);
                end = position + 1;
            }
            let last = records.last().is_none_or(|record| record.0 < end);
            let at = bytes.len() as u64;
            if !last {
                format::encode_mark(&mut bytes, epoch, end, Mark::Sealed);
            }
            bytes.extend_from_slice(&TERMINATOR);
            let file = self.create(epoch, &bytes)?;
            let name = format::segment_name(epoch);
            let end = if last { head } else { end };
            let limit = if last { at } else { self.segment_bytes };
            let mut state = self.shared.state();
            state.durable = end;
            // What could not be synced at all stands in the new one: the old one holds nothing.
            let hollow =
                state.segments.last().filter(|meta| meta.first == meta.end && meta.first == base).cloned();
            if hollow.is_some() {
                state.segments.pop();
            }
            state.segments.push(Meta {
                name,
                epoch,
                first: base,
                end,
                limit,
                compacted: false,
                active: last,
            });
            drop(state);
            if let Some(hollow) = hollow {
                let _ = self.shared.disk.remove(&hollow.name);
            }
            if last {
                self.active = Some(Active { file, epoch, at, limit: self.segment_bytes });
                return Ok(());
            }
        }
    }

    /// What was found and could not be made durable in its own file gets another one.
    fn save_unsure(&mut self) -> io::Result<()> {
        let Some(meta) = self.unsure.clone() else { return Ok(()) };
        self.copy_segment(&meta)?;
        self.unsure = None;
        let mut state = self.shared.state();
        state.durable = state.ring.first().unwrap_or(state.head);
        Ok(())
    }

    pub(crate) fn next_epoch(&mut self) -> u32 {
        self.epoch += 1;
        self.epoch
    }

    /// A segment that begins with these bytes, durable under its name.
    pub(crate) fn create(&mut self, epoch: u32, bytes: &[u8]) -> io::Result<Box<dyn DiskFile>> {
        let disk = self.shared.disk.clone();
        let (from, file) = match self.take_free() {
            Some(free) => free,
            None => (format::new_name(epoch), self.zeroed(epoch)?),
        };
        let name = format::segment_name(epoch);
        let made = write_all_at(&*file, bytes, 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| disk.rename(&from, &name));
        if let Err(error) = made {
            let _ = disk.remove(&from);
            return Err(error);
        }
        if let Err(error) = disk.sync_dir() {
            let _ = disk.remove(&name);
            return Err(error);
        }
        let mut state = self.shared.state();
        state.bytes_written += bytes.len() as u64;
        state.syncs += 2;
        Ok(file)
    }

    fn take_free(&mut self) -> Option<(String, Box<dyn DiskFile>)> {
        while let Some(name) = self.free.pop() {
            let file = self.shared.disk.open(&name, Mode::Write);
            match file {
                Ok(file) if file.size().is_ok_and(|size| size == self.segment_bytes) => {
                    return Some((name, file));
                }
                _ => _ = self.shared.disk.remove(&name),
            }
        }
        None
    }

    /// A file full of zeros that are written: blocks that are only reserved cost the file system's journal a write each when
    /// they are used.
    fn zeroed(&self, epoch: u32) -> io::Result<Box<dyn DiskFile>> {
        let name = format::new_name(epoch);
        let file = self.shared.disk.open(&name, Mode::Create)?;
        let zeros = [0; 16 * 1024];
        let mut at = 0;
        while at < self.segment_bytes {
            let bytes = zeros.len().min((self.segment_bytes - at) as usize);
            if let Err(error) = write_all_at(&*file, &zeros[..bytes], at) {
                let _ = self.shared.disk.remove(&name);
                return Err(error);
            }
            at += bytes as u64;
        }
        self.shared.state().bytes_written += self.segment_bytes;
        Ok(file)
    }

    /// Takes segments out of the log; their files are used again.
    pub(crate) fn release(&mut self, segments: &[Meta]) -> io::Result<()> {
        for meta in segments {
            let free = format::free_name(meta.epoch);
            let reuse = self.free.len() < MOST_FREE && meta.limit == self.segment_bytes;
            let disk = &self.shared.disk;
            if reuse { disk.rename(&meta.name, &free) } else { disk.remove(&meta.name) }?;
            if reuse {
                self.free.push(free);
            }
            let mut state = self.shared.state();
            state.segments.retain(|held| held.name != meta.name);
            // What is gone from the disk is gone for readers that keep up as well.
            state.ring.forget_below(meta.end);
        }
        // Where this fails a power cut brings them back: they are read once more.
        let _ = self.shared.disk.sync_dir();
        self.shared.state().syncs += 1;
        Ok(())
    }

    fn tidy_free(&mut self) {
        while self.free.len() > MOST_FREE
            && let Some(name) = self.free.pop()
        {
            let _ = self.shared.disk.remove(&name);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let head = self.head();
        let Some(active) = &self.active else { return };
        let mut bytes = Vec::new();
        format::encode_mark(&mut bytes, active.epoch, head, Mark::Closed);
        bytes.extend_from_slice(&TERMINATOR);
        // Without it the next one leaves numbers out, and nothing else. It must not stand there unless all is durable.
        if write_all_at(&*active.file, &bytes, active.at).and_then(|()| active.file.sync_data()).is_err() {
            let _ = write_all_at(&*active.file, &[0; SMALLEST as usize], active.at);
        }
    }
}
