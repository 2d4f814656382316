//! A disk for tests, in memory, that fails as disks do. From one seed always in the same way.
//!
//! It knows what was synced: after [`FaultDisk::cut`] there is what was, and any part of what was not, torn at sectors and
//! now and then within them, with files that were made or renamed or not. A sync that fails forgets what it should have
//! written, though it can still be read, as Linux does. It is stricter than file systems are: no write waits for another.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, Mode};

const SECTOR: usize = 512;

/// How often, of a thousand times, what goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Reads that fail.
    pub read: u32,
    /// Writes that fail, after a part of them.
    pub write: u32,
    /// Writes and reads of a part.
    pub short: u32,
    /// Writes and reads that are interrupted.
    pub interrupted: u32,
    /// Syncs of a file that fail, and lose what they should have written.
    pub sync: u32,
    /// Changes to the directory, or syncs of it, that fail.
    pub directory: u32,
}

/// A disk that fails. Clones are the same disk.
#[derive(Clone)]
pub struct FaultDisk {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    random: u64,
    faults: Faults,
    capacity: u64,
    read_only: bool,
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    /// The directory as it is on the disk.
    durable: BTreeMap<String, u64>,
    /// What was done to it since.
    changes: Vec<Change>,
    next: u64,
    /// Handles of a process that ended are worth nothing.
    process: u64,
    locked: bool,
    /// Changes until the power fails.
    left: Option<u64>,
    off: bool,
    changed: u64,
}

#[derive(Default, Clone)]
struct File {
    /// As a read sees it.
    cache: Vec<u8>,
    disk: Vec<u8>,
    dirty: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum Change {
    Made(String, u64),
    Renamed(String, String),
    Removed(String),
}

struct Handle {
    disk: FaultDisk,
    file: u64,
    process: u64,
    writes: bool,
}

impl FaultDisk {
    /// Empty and well.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            random: seed ^ 0x9E37_79B9_7F4A_7C15,
            faults: Faults::default(),
            capacity: u64::MAX,
            read_only: false,
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
            next: 0,
            process: 0,
            locked: false,
            left: None,
            off: false,
            changed: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.inner().faults = faults;
    }

    /// The bytes that all files may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner().capacity = bytes;
    }

    /// Whether writing is refused.
    pub fn set_read_only(&self, read_only: bool) {
        self.inner().read_only = read_only;
    }

    /// The power fails at the change after so many others: a write, a sync, or what is done to the directory.
    pub fn cut_after(&self, changes: u64) {
        self.inner().left = Some(changes);
    }

    /// Whether the power has failed.
    pub fn is_off(&self) -> bool {
        self.inner().off
    }

    /// Changes that were made or tried.
    pub fn changes(&self) -> u64 {
        self.inner().changed
    }

    /// The process ends as if killed: what it wrote can be read.
    pub fn kill(&self) {
        let mut inner = self.inner();
        inner.process += 1;
        inner.locked = false;
    }

    /// The power fails, and is back: a part of what was not synced is there.
    pub fn cut(&self) {
        self.kill();
        let mut inner = self.inner();
        (inner.left, inner.off) = (None, false);
        inner.forget_changes();
        let mut files = std::mem::take(&mut inner.files);
        files.retain(|id, _| inner.durable.values().any(|held| held == id));
        for file in files.values_mut() {
            inner.write_some(file);
            file.cache = file.disk.clone();
        }
        inner.files = files;
        inner.names = inner.durable.clone();
    }

    /// The bytes of a file, as a read sees them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        inner.names.get(name).map(|id| inner.files[id].cache.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        inner.files.insert(id, File { cache: bytes.into(), disk: bytes.into(), dirty: Vec::new() });
        inner.names.insert(name.into(), id);
        inner.durable.insert(name.into(), id);
    }

    /// A disk with the same files, all durable.
    pub fn copy(&self) -> Self {
        let copy = Self::new(1);
        let inner = self.inner();
        for (name, id) in &inner.names {
            copy.put(name, &inner.files[id].cache);
        }
        copy
    }
}

impl Inner {
    fn chance(&mut self, below: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    fn happens(&mut self, which: impl Fn(&Faults) -> u32) -> bool {
        let of_thousand = which(&self.faults);
        of_thousand > 0 && self.chance(1000) < u64::from(of_thousand)
    }

    fn may(&self, process: u64) -> io::Result<()> {
        match self.off || process != self.process {
            true => Err(io::Error::other("the power is off")),
            false => Ok(()),
        }
    }

    /// Counts a change; the power fails at this one where it is its turn. What it did then is not synced.
    fn change(&mut self) -> io::Result<bool> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.changed += 1;
        match &mut self.left {
            Some(0) => self.off = true,
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(self.off)
    }

    /// As an operation ends at which the power fails.
    fn ended(off: bool) -> io::Result<()> {
        if off { Err(io::Error::other("the power fails")) } else { Ok(()) }
    }

    fn change_directory(&mut self, change: Change) -> io::Result<()> {
        let off = self.change()?;
        if !off && self.happens(|faults| faults.directory) {
            return Err(io::Error::other("input/output error"));
        }
        apply(&mut self.names, &change);
        self.changes.push(change);
        Self::ended(off)
    }

    /// Of the changes to the directory the first few are on the disk, as with a journal, or any of them.
    fn forget_changes(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let kept = self.chance(changes.len() as u64 + 1) as usize;
        let any = self.chance(3) == 0;
        for (index, change) in changes.iter().enumerate() {
            if if any { self.chance(2) == 0 } else { index < kept } {
                apply(&mut self.durable, change);
            }
        }
    }

    /// Writes any part of what is dirty.
    fn write_some(&mut self, file: &mut File) {
        let often = [0, 20, 50, 90, 100][self.chance(5) as usize];
        for (offset, bytes) in std::mem::take(&mut file.dirty) {
            let mut at = 0;
            while at < bytes.len() {
                let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                if self.chance(100) < often {
                    let torn = self.chance(16) == 0;
                    let keep = if torn { at + self.chance((end - at) as u64 + 1) as usize } else { end };
                    write(&mut file.disk, offset + at, &bytes[at..keep]);
                }
                at = end;
            }
        }
        // A file may have its length before it has its bytes.
        if file.disk.len() < file.cache.len() && self.chance(2) == 0 {
            file.disk.resize(file.cache.len(), 0);
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|id| self.files[id].cache.len() as u64).sum()
    }

    /// The part of a transfer that is done, or why it is not.
    fn part(&mut self, bytes: usize) -> io::Result<usize> {
        if self.happens(|faults| faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match bytes > 1 && self.happens(|faults| faults.short) {
            true => Ok(1 + self.chance(bytes as u64 - 1) as usize),
            false => Ok(bytes),
        }
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: &Change) {
    match change {
        Change::Made(name, id) => _ = names.insert(name.clone(), *id),
        Change::Removed(name) => _ = names.remove(name),
        Change::Renamed(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
    }
}

fn write(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if into.len() < offset + bytes.len() {
        into.resize(offset + bytes.len(), 0);
    }
    into[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Disk for FaultDisk {
    fn place(&self) -> String {
        "a disk for tests".into()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().names.keys().cloned().collect())
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        let process = inner.process;
        inner.may(process)?;
        if mode == Mode::Write && inner.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if mode == Mode::Create {
            let id = inner.next;
            inner.next += 1;
            inner.files.insert(id, File::default());
            inner.change_directory(Change::Made(name.into(), id))?;
        }
        let file = *inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        drop(inner);
        Ok(Box::new(Handle { disk: self.clone(), file, process, writes: mode != Mode::Read }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may(inner.process)?;
        if !inner.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change_directory(Change::Renamed(from.into(), to.into()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may(inner.process)?;
        if !inner.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change_directory(Change::Removed(name.into()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.may(inner.process)?;
        Inner::ended(inner.change()?)?;
        if inner.happens(|faults| faults.directory) {
            return Err(io::Error::other("input/output error"));
        }
        inner.durable = inner.names.clone();
        inner.changes.clear();
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let mut inner = self.inner();
        if inner.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        inner.locked = true;
        Ok(Box::new(Lock(self.clone(), inner.process)))
    }

    fn chance(&self) -> u64 {
        self.inner().chance(u64::MAX)
    }
}

struct Lock(FaultDisk, u64);

impl Drop for Lock {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        if inner.process == self.1 {
            inner.locked = false;
        }
    }
}

impl Handle {
    fn inner(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.inner();
        inner.may(self.process)?;
        if inner.files.contains_key(&self.file) { Ok(inner) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn changing(&self) -> io::Result<MutexGuard<'_, Inner>> {
        if self.writes { self.inner() } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for Handle {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.inner()?;
        if inner.happens(|faults| faults.read) {
            return Err(io::Error::other("input/output error"));
        }
        let wanted = inner.part(into.len())?;
        let from = inner.files[&self.file].cache.get(offset as usize..).unwrap_or_default();
        let count = from.len().min(wanted);
        into[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.changing()?;
        let off = inner.change()?;
        let fails = !off && inner.happens(|faults| faults.write);
        let mut part =
            if fails { inner.chance(bytes.len() as u64 + 1) as usize } else { inner.part(bytes.len())? };
        let held = inner.files[&self.file].cache.len();
        let room = inner.capacity.saturating_sub(inner.used()) as usize;
        let full = (offset as usize + part).saturating_sub(held) > room;
        if full {
            part = (held + room).saturating_sub(offset as usize).min(part);
        }
        if part > 0 {
            let file = inner.files.entry(self.file).or_default();
            write(&mut file.cache, offset as usize, &bytes[..part]);
            file.dirty.push((offset as usize, bytes[..part].into()));
        }
        Inner::ended(off)?;
        match () {
            () if full && part == 0 => Err(io::ErrorKind::StorageFull.into()),
            () if fails => Err(io::Error::other("input/output error")),
            () => Ok(part),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.changing()?;
        Inner::ended(inner.change()?)?;
        let fails = inner.happens(|faults| faults.sync);
        let Some(mut file) = inner.files.remove(&self.file) else { return Ok(()) };
        if fails {
            // They may even be written; but nobody will write them if not.
            inner.write_some(&mut file);
        } else {
            for (offset, bytes) in std::mem::take(&mut file.dirty) {
                write(&mut file.disk, offset, &bytes);
            }
            file.disk.resize(file.cache.len(), 0);
        }
        inner.files.insert(self.file, file);
        if fails { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.inner()?.files[&self.file].cache.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut inner = self.changing()?;
        let off = inner.change()?;
        let file = inner.files.entry(self.file).or_default();
        file.cache.resize(bytes as usize, 0);
        file.disk.truncate(bytes as usize);
        Inner::ended(off)
    }
}
