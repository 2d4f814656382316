//! What is on the disk, and what a power cut leaves of it.
//!
//! Everything written is seen at once and durable only by a sync: of a file for its bytes and its length, of a folder for the names in it.
//! A cut keeps of the rest each 512-byte sector of each write, each change of a length and each change of a name, or not,
//! independently of one another: so writes are torn, and later ones are kept where earlier ones are not.
//!
//! ```
//! use sedge_faults::disk::Disk;
//! let mut disk = Disk::default();
//! let file = disk.create(Disk::ROOT, "a", false).unwrap();
//! disk.write(file, 0, b"synced").unwrap();
//! disk.sync(file).unwrap();
//! disk.sync(Disk::ROOT).unwrap();
//! disk.write(file, 6, b" and not").unwrap();
//! disk.cut(&mut fastrand::Rng::with_seed(1));
//! assert_eq!(&disk.read(disk.lookup(Disk::ROOT, "a").unwrap(), 0, 6).unwrap(), b"synced");
//! ```
//!
//! It is stricter than ext4, which writes names in order, and syncs the name of a new file with it. It must never be kinder.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

/// What is written as one, or not at all.
const SECTOR: usize = 512;

/// What the disk refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refuses {
    /// Bytes that files may have together.
    pub capacity: Option<u64>,
    /// Any change, with EROFS.
    pub read_only: bool,
    /// Every n-th write, with EIO.
    pub writes: Option<u64>,
    /// Every n-th sync, with EIO: what it should have made durable never is, and nobody is told again.
    pub syncs: Option<u64>,
}

/// The number of a file or a folder.
pub type Number = u64;

/// What a number stands for.
#[derive(Debug, Clone)]
pub enum Node {
    /// Bytes.
    File(Vec<u8>),
    /// Names.
    Folder(BTreeMap<String, Number>),
}

/// A change that was made and is not durable.
#[derive(Debug, Clone)]
enum Change {
    Write(Number, usize, Vec<u8>),
    Length(Number, usize),
    /// A name in a folder, and what it stands for from now on.
    Name(Number, String, Option<Number>),
    /// From, to, and what was moved.
    Rename([Number; 2], [String; 2], Number),
}

impl Change {
    /// Whether a sync of this makes it durable.
    fn is_of(&self, number: Number) -> bool {
        match self {
            Self::Write(file, ..) | Self::Length(file, _) => *file == number,
            Self::Name(folder, ..) => *folder == number,
            Self::Rename(folders, ..) => folders.contains(&number),
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Disk {
    now: BTreeMap<Number, Node>,
    durable: BTreeMap<Number, Node>,
    changes: Vec<Change>,
    last: Number,
    /// What it refuses.
    pub refuses: Refuses,
    /// Changes and syncs that were asked for so far.
    pub steps: u64,
    /// The power goes with this step: from it on everything is refused.
    pub cut_at: Option<u64>,
}

impl Default for Disk {
    fn default() -> Self {
        let root = BTreeMap::from([(Self::ROOT, Node::Folder(BTreeMap::new()))]);
        Self {
            now: root.clone(),
            durable: root,
            changes: Vec::new(),
            last: Self::ROOT,
            refuses: Refuses::default(),
            steps: 0,
            cut_at: None,
        }
    }
}

/// How a call ends.
pub type Outcome<T> = Result<T, Errno>;

impl Disk {
    /// The folder of all.
    pub const ROOT: Number = 1;

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.cut_at.is_some_and(|at| self.steps >= at)
    }

    /// One more change or sync.
    fn step(&mut self) -> Outcome<()> {
        if self.is_off() {
            return Err(Errno::EIO);
        }
        self.steps += 1;
        if self.is_off() { Err(Errno::EIO) } else { Ok(()) }
    }

    /// One more change.
    fn change(&mut self) -> Outcome<()> {
        self.step()?;
        if self.refuses.read_only { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// What a number stands for.
    pub fn node(&self, number: Number) -> Outcome<&Node> {
        self.now.get(&number).ok_or(Errno::ENOENT)
    }

    fn folder(&self, number: Number) -> Outcome<&BTreeMap<String, Number>> {
        match self.node(number)? {
            Node::Folder(names) => Ok(names),
            Node::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn bytes(&self, number: Number) -> Outcome<&Vec<u8>> {
        match self.node(number)? {
            Node::File(bytes) => Ok(bytes),
            Node::Folder(_) => Err(Errno::EISDIR),
        }
    }

    /// What a name stands for.
    pub fn lookup(&self, folder: Number, name: &str) -> Outcome<Number> {
        self.folder(folder)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// The names in a folder.
    pub fn names(&self, folder: Number) -> Outcome<Vec<(String, Number)>> {
        Ok(self.folder(folder)?.iter().map(|(name, number)| (name.clone(), *number)).collect())
    }

    /// Makes a file or a folder.
    pub fn create(&mut self, folder: Number, name: &str, is_folder: bool) -> Outcome<Number> {
        if self.folder(folder)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.change()?;
        self.last += 1;
        let node = if is_folder { Node::Folder(BTreeMap::new()) } else { Node::File(Vec::new()) };
        // The thing itself is there from now on; whether a name leads to it is another question.
        self.durable.insert(self.last, node.clone());
        self.now.insert(self.last, node);
        self.make(Change::Name(folder, name.into(), Some(self.last)));
        Ok(self.last)
    }

    /// Reads.
    pub fn read(&self, file: Number, at: usize, most: usize) -> Outcome<Vec<u8>> {
        if self.is_off() {
            return Err(Errno::EIO);
        }
        let bytes = self.bytes(file)?;
        let start = at.min(bytes.len());
        Ok(bytes[start..at.saturating_add(most).clamp(start, bytes.len())].to_vec())
    }

    /// Writes; as much as there is room for.
    pub fn write(&mut self, file: Number, at: usize, data: &[u8]) -> Outcome<usize> {
        let before = self.bytes(file)?.len();
        self.change()?;
        if self.refuses.writes.is_some_and(|every| self.steps.is_multiple_of(every)) {
            return Err(Errno::EIO);
        }
        let end = at.checked_add(data.len()).ok_or(Errno::EFBIG)?;
        let room = self.room().map_or(end, |room| before + room);
        let count = data.len().saturating_sub(end.saturating_sub(room.max(before)));
        if count == 0 && !data.is_empty() {
            return Err(Errno::ENOSPC);
        }
        self.make(Change::Write(file, at, data[..count].to_vec()));
        Ok(count)
    }

    /// Sets the length of a file.
    pub fn resize(&mut self, file: Number, length: usize) -> Outcome<()> {
        let before = self.bytes(file)?.len();
        self.change()?;
        if self.room().is_some_and(|room| length > before + room) {
            return Err(Errno::ENOSPC);
        }
        self.make(Change::Length(file, length));
        Ok(())
    }

    /// Bytes that files have together.
    pub fn used(&self) -> u64 {
        let length =
            |number| if let Some(Node::File(bytes)) = self.now.get(&number) { bytes.len() as u64 } else { 0 };
        named(&self.now).into_iter().map(length).sum()
    }

    fn room(&self) -> Option<usize> {
        let left = self.refuses.capacity?.saturating_sub(self.used());
        Some(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Takes a name away. `of_folder`: whether it must be one of a folder, which must be empty.
    pub fn remove(&mut self, folder: Number, name: &str, of_folder: bool) -> Outcome<()> {
        let number = self.lookup(folder, name)?;
        match (self.node(number)?, of_folder) {
            (Node::Folder(_), false) => return Err(Errno::EISDIR),
            (Node::File(_), true) => return Err(Errno::ENOTDIR),
            (Node::Folder(names), true) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.change()?;
        self.make(Change::Name(folder, name.into(), None));
        Ok(())
    }

    /// Moves a name; what had the new one has it no more.
    pub fn rename(&mut self, folders: [Number; 2], names: [&str; 2], may_replace: bool) -> Outcome<()> {
        let number = self.lookup(folders[0], names[0])?;
        if self.folder(folders[1])?.contains_key(names[1]) && !may_replace {
            return Err(Errno::EEXIST);
        }
        self.change()?;
        self.make(Change::Rename(folders, names.map(String::from), number));
        Ok(())
    }

    /// Makes durable what was changed in a file or a folder.
    pub fn sync(&mut self, number: Number) -> Outcome<()> {
        self.step()?;
        if self.refuses.read_only {
            return Err(Errno::EROFS);
        }
        let (of_it, others) =
            std::mem::take(&mut self.changes).into_iter().partition(|change| change.is_of(number));
        self.changes = others;
        if self.refuses.syncs.is_some_and(|every| self.steps.is_multiple_of(every)) {
            return Err(Errno::EIO);
        }
        let of_it: Vec<Change> = of_it;
        of_it.into_iter().for_each(|change| apply(&mut self.durable, change));
        Ok(())
    }

    fn make(&mut self, change: Change) {
        apply(&mut self.now, change.clone());
        self.changes.push(change);
    }

    /// The power was cut and is back: what was not synced is kept or not, as it is drawn.
    pub fn cut(&mut self, random: &mut fastrand::Rng) {
        // Sometimes all of it, sometimes nothing, mostly some.
        let kept = [0.0, 0.2, 0.5, 0.8, 1.0][random.usize(0..5)];
        let mut survivors: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Write(file, at, data) => survivors.extend(
                    sectors(at, &data)
                        .filter(|_| random.f64() < kept)
                        .map(|(at, part)| Change::Write(file, at, part.to_vec())),
                ),
                change if random.f64() < kept => survivors.push(change),
                _ => {}
            }
        }
        survivors.into_iter().for_each(|change| apply(&mut self.durable, change));
        let named = named(&self.durable);
        self.durable.retain(|number, _| named.contains(number));
        self.now = self.durable.clone();
        (self.steps, self.cut_at) = (0, None);
    }
}

/// What a name leads to.
fn named(nodes: &BTreeMap<Number, Node>) -> BTreeSet<Number> {
    let mut named = BTreeSet::from([Disk::ROOT]);
    let mut ahead = vec![Disk::ROOT];
    while let Some(number) = ahead.pop() {
        if let Some(Node::Folder(names)) = nodes.get(&number) {
            ahead.extend(names.values().copied().filter(|number| named.insert(*number)));
        }
    }
    named
}

/// The parts of a write that are kept or not, each as one.
fn sectors(at: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let start = at + done;
        let end = data.len().min((start / SECTOR + 1) * SECTOR - at);
        let part = (start, &data[done..end]);
        done = end;
        (!part.1.is_empty()).then_some(part)
    })
}

fn apply(nodes: &mut BTreeMap<Number, Node>, change: Change) {
    match change {
        Change::Write(file, at, data) => {
            if let Some(Node::File(bytes)) = nodes.get_mut(&file) {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[at..at + data.len()].copy_from_slice(&data);
            }
        }
        Change::Length(file, length) => {
            if let Some(Node::File(bytes)) = nodes.get_mut(&file) {
                bytes.resize(length, 0);
            }
        }
        Change::Name(folder, name, number) => {
            if let Some(Node::Folder(names)) = nodes.get_mut(&folder) {
                match number {
                    Some(number) => drop(names.insert(name, number)),
                    None => drop(names.remove(&name)),
                }
            }
        }
        Change::Rename(folders, [from, to], number) => {
            if let Some(Node::Folder(names)) = nodes.get_mut(&folders[0]) {
                // Where an earlier change was lost, the name may stand for something else.
                if names.get(&from) == Some(&number) {
                    names.remove(&from);
                }
            }
            if let Some(Node::Folder(names)) = nodes.get_mut(&folders[1]) {
                names.insert(to, number);
            }
        }
    }
}

#[cfg(test)]
#[path = "model/tests.rs"]
mod tests;
