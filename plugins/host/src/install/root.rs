//! A folder of plugins while something in it is changed: by one at a time, and swept before.
//!
//! What is under way lies in folders whose names begin with a dot, which no list looks into. What a killed installation has left
//! there is removed by the next one; an upgrade that was cut off between its two renames is finished or taken back.
//!
//! It must not remove what it did not make.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tree::Sums;
use super::{InstallError, Lock, Step};

const STAGING: &str = ".staging-";
const OLD: &str = ".old-";
const HELD: &str = ".held-";

/// Where the lists of files are kept, each under its own hash.
const SUMS: &str = ".sums";

/// How often it is looked whether another one is done.
const BEAT: Duration = Duration::from_millis(50);

/// A folder of plugins that nobody else changes meanwhile.
pub(super) struct Root {
    pub(super) path: PathBuf,
    pub(super) lock: Lock,
    /// Locked as long as it is open. The folder itself: nothing is left behind.
    _held: File,
    /// It was not there before.
    is_new: bool,
}

impl Root {
    /// Waits for whoever changes it now.
    pub(super) fn open(path: &Path, watch: &dyn Fn(Step) -> bool) -> Result<Self, InstallError> {
        let (path, held, is_new) = loop {
            let is_new = !path.exists();
            fs::create_dir_all(path).map_err(InstallError::io("make", path))?;
            let path = path.canonicalize().map_err(InstallError::io("read", path))?;
            let held = File::open(&path).map_err(InstallError::io("open", &path))?;
            alone(&held, &path, watch)?;
            // One that came to nothing removes the folder that it made, also where somebody waits for it.
            if is_same(&held, &path) {
                break (path, held, is_new);
            }
        };
        let lock = Lock::read(&path)?;
        let root = Self { path, lock, _held: held, is_new };
        root.sweep()?;
        Ok(root)
    }

    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn old(&self, name: &str) -> PathBuf {
        self.path.join(format!("{OLD}{name}"))
    }

    pub(super) fn held(&self, name: &str) -> PathBuf {
        self.path.join(format!("{HELD}{name}"))
    }

    /// An empty folder, gone when it is dropped.
    pub(super) fn staging(&self) -> Result<Staging, InstallError> {
        let path = self.path.join(format!("{STAGING}{}", std::process::id()));
        let staging = Staging { path };
        fs::create_dir(&staging.path).map_err(InstallError::io("make", &staging.path))?;
        Ok(staging)
    }

    /// Keeps a list of files under its hash.
    pub(super) fn keep(&self, sums: &Sums) -> Result<(), InstallError> {
        let folder = self.path.join(SUMS);
        let file = folder.join(sums.hash());
        let written =
            fs::create_dir_all(&folder).and_then(|()| super::lock::replace(&file, sums.text().as_bytes()));
        written.map_err(InstallError::io("write", &file))
    }

    fn sweep(&self) -> Result<(), InstallError> {
        let entries = fs::read_dir(&self.path).map_err(InstallError::io("read", &self.path))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(STAGING) {
                gone(&entry.path())?;
            } else if let Some(plugin) = name.strip_prefix(OLD) {
                self.finish(plugin)?;
            } else if let Some(plugin) = name.strip_prefix(HELD)
                && self.lock.plugins.get(plugin).is_none_or(|locked| locked.held.is_none())
            {
                gone(&entry.path())?;
            }
        }
        self.forget_lists();
        Ok(())
    }

    /// An upgrade that was cut off: what the lock file says is what is to be there.
    fn finish(&self, name: &str) -> Result<(), InstallError> {
        let (old, here) = (self.old(name), self.folder(name));
        let locked = self.lock.plugins.get(name).and_then(|locked| locked.sha256.clone());
        let is_done = Sums::of(&here).ok().map(|sums| sums.hash()).is_some_and(|hash| Some(hash) == locked);
        if !is_done {
            gone(&here)?;
            return fs::rename(&old, &here).map_err(InstallError::io("restore", &here));
        }
        gone(&old)
    }

    /// Lists of what is no more. Where that fails, it is tried again.
    fn forget_lists(&self) {
        // As it is on the disk: what could not be written holds nothing.
        let Ok(lock) = Lock::read(&self.path) else { return };
        let known: Vec<_> = lock.plugins.into_values().filter_map(|locked| locked.sha256).collect();
        let folder = self.path.join(SUMS);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !known.iter().any(|hash| entry.file_name() == **hash) {
                let _ = fs::remove_file(entry.path());
            }
        }
        // Only where it is empty.
        let _ = fs::remove_dir(&folder);
    }
}

/// Waits until nobody else holds a folder.
fn alone(folder: &File, path: &Path, watch: &dyn Fn(Step) -> bool) -> Result<(), InstallError> {
    let mut step = Step::Locked;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if !watch(step) => return Err(InstallError::Cancelled),
            Err(TryLockError::WouldBlock) => wait(),
            Err(TryLockError::Error(error)) => return Err(InstallError::io("lock", path)(error)),
        }
        step = Step::Waiting;
    }
}

#[expect(clippy::disallowed_methods, reason = "it waits for another program, which knows no clock of ours")]
fn wait() {
    std::thread::sleep(BEAT);
}

/// Whether an open folder is still what lies at a path.
fn is_same(folder: &File, path: &Path) -> bool {
    let one = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (folder.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => one(held) == one(there),
        _ => false,
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.forget_lists();
        if self.is_new {
            // Only where it is empty: nothing came of it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// The list of files that hashes to this.
pub(super) fn list_of(root: &Path, hash: &str) -> Option<Sums> {
    let sums = Sums::parse(&fs::read_to_string(root.join(SUMS).join(hash)).ok()?)?;
    (sums.hash() == hash).then_some(sums)
}

/// A folder in which something is made ready.
pub(super) struct Staging {
    pub(super) path: PathBuf,
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes a folder, or a link and not what it leads to. Nothing there is as good.
pub(super) fn gone(path: &Path) -> Result<(), InstallError> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_dir() => {
            fs::remove_dir_all(path).map_err(InstallError::io("remove", path))
        }
        Ok(_) => fs::remove_file(path).map_err(InstallError::io("remove", path)),
    }
}
