//! The [`Disk`] as the kernel sees it, through FUSE.
//!
//! Nothing is kept by the kernel: every write is here when its call returns, and what is read after a cut is what the cut left.
//! The process that uses it must have ended before [`Mounted::cut`]: its open files would be of another time.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    AccessFlags, BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use tempfile::TempDir;

use super::model::{Disk, Node, Number, Outcome};
use crate::Trouble;

/// The kernel asks each time.
const NEVER: Duration = Duration::ZERO;

/// What `statfs` counts in.
const BLOCK: u32 = 4096;

/// A disk that is mounted. Dropping it takes it away.
pub struct Mounted {
    shared: Arc<Shared>,
    _session: BackgroundSession,
    /// Where it is, where that is its own; it goes after what is mounted there.
    at: Option<TempDir>,
}

#[derive(Default)]
struct Shared {
    disk: Mutex<Disk>,
    /// The power is gone.
    off: Condvar,
}

impl Shared {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mounted {
    /// An empty one, in a new folder within this one.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn within(folder: &Path) -> Result<Self, Trouble> {
        let at = tempfile::Builder::new().prefix("sedge-faults-disk-").tempdir_in(folder);
        let at = at.map_err(Trouble::about("the disk's folder"))?;
        let mut mounted = Self::new(at.path())?;
        mounted.at = Some(at);
        Ok(mounted)
    }

    /// Where it is, where [`Mounted::within`] made the folder.
    pub fn at(&self) -> Option<&Path> {
        self.at.as_ref().map(TempDir::path)
    }

    /// An empty one, at a folder that is there.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn new(at: &Path) -> Result<Self, Trouble> {
        if !Path::new("/dev/fuse").exists() {
            return Err(Trouble::NotAllowed("there is no /dev/fuse".into()));
        }
        let shared = Arc::new(Shared::default());
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("faults".into()), MountOption::NoAtime];
        let session = fuser::spawn_mount(Kernel(shared.clone()), at, &config);
        let session =
            session.map_err(|error| Trouble::NotAllowed(format!("mounting a FUSE file system: {error}")))?;
        Ok(Self { shared, _session: session, at: None })
    }

    /// The disk itself.
    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.shared.disk()
    }

    /// Waits until the power is gone, at most so long; tells whether it is.
    pub fn wait_off(&self, patience: Duration) -> bool {
        let disk = self.disk();
        let waited = self.shared.off.wait_timeout_while(disk, patience, |disk| !disk.is_off());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_off()
    }

    /// The power was cut and is back.
    pub fn cut(&self, random: &mut fastrand::Rng) {
        self.disk().cut(random);
    }
}

struct Kernel(Arc<Shared>);

impl Kernel {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.disk()
    }

    /// After anything that may have been the last.
    fn done<T>(&self, disk: &Disk, outcome: Outcome<T>) -> Result<T, Errno> {
        if disk.is_off() {
            self.0.off.notify_all();
        }
        outcome.map_err(|error| Errno::from_i32(error as i32))
    }
}

fn attr(disk: &Disk, number: Number) -> Result<FileAttr, Errno> {
    let (kind, size, perm) = match disk.node(number).map_err(|error| Errno::from_i32(error as i32))? {
        Node::File(bytes) => (FileType::RegularFile, bytes.len() as u64, 0o644),
        Node::Folder(_) => (FileType::Directory, 0, 0o755),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn name(name: &OsStr) -> Result<&str, Errno> {
    name.to_str().ok_or(Errno::EINVAL)
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Filesystem for Kernel {
    fn lookup(&self, _: &Request, parent: INodeNo, child: &OsStr, reply: ReplyEntry) {
        let disk = self.disk();
        let found = name(child).and_then(|name| self.done(&disk, disk.lookup(parent.0, name)));
        match found.and_then(|number| attr(&disk, number)) {
            Ok(attr) => reply.entry(&NEVER, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attr(&self.disk(), ino.0) {
            Ok(attr) => reply.attr(&NEVER, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let outcome = size.map_or(Ok(()), |size| disk.resize(ino.0, place(size)));
        match self.done(&disk, outcome).and_then(|()| attr(&disk, ino.0)) {
            Ok(attr) => reply.attr(&NEVER, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, child: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let mut disk = self.disk();
        let made = name(child).and_then(|name| {
            let made = disk.create(parent.0, name, true);
            self.done(&disk, made)
        });
        match made.and_then(|number| attr(&disk, number)) {
            Ok(attr) => reply.entry(&NEVER, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        child: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut disk = self.disk();
        let made = name(child).and_then(|name| {
            let made = disk.create(parent.0, name, false);
            self.done(&disk, made)
        });
        match made.and_then(|number| attr(&disk, number)) {
            Ok(attr) => {
                reply.created(&NEVER, &attr, Generation(0), FileHandle(0), FopenFlags::FOPEN_DIRECT_IO)
            }
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Else the kernel would go on showing what was there before a cut.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = self.disk();
        match self.done(&disk, disk.read(ino.0, place(offset), place(size.into()))) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.disk();
        let written = disk.write(ino.0, place(offset), data);
        match self.done(&disk, written) {
            Ok(count) => reply.written(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, child: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, child, false, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, child: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, child, true, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        from: &OsStr,
        new_parent: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.intersects(RenameFlags::RENAME_EXCHANGE | RenameFlags::RENAME_WHITEOUT) {
            return reply.error(Errno::EINVAL);
        }
        let mut disk = self.disk();
        let outcome = name(from).and_then(|from| Ok((from, name(to)?))).and_then(|(from, to)| {
            let may_replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
            let moved = disk.rename([parent.0, new_parent.0], [from, to], may_replace);
            self.done(&disk, moved)
        });
        answer(outcome, reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.disk();
        let names = match self.done(&disk, disk.names(ino.0)) {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        for (place, (name, number)) in names.into_iter().enumerate().skip(place(offset)) {
            let kind = match disk.node(number) {
                Ok(Node::Folder(_)) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let disk = self.disk();
        let all = disk.refuses.capacity.unwrap_or(1 << 40) / u64::from(BLOCK);
        let free = all.saturating_sub(disk.used() / u64::from(BLOCK));
        reply.statfs(all, free, free, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}

impl Kernel {
    fn remove(&self, parent: INodeNo, child: &OsStr, of_folder: bool, reply: ReplyEmpty) {
        let mut disk = self.disk();
        let outcome = name(child).and_then(|name| {
            let removed = disk.remove(parent.0, name, of_folder);
            self.done(&disk, removed)
        });
        answer(outcome, reply);
    }

    fn sync(&self, ino: INodeNo, reply: ReplyEmpty) {
        let mut disk = self.disk();
        let synced = disk.sync(ino.0);
        answer(self.done(&disk, synced), reply);
    }
}

fn answer(outcome: Result<(), Errno>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;

    use super::*;

    /// None where the machine does not allow it, which is said.
    #[expect(clippy::print_stderr, reason = "a test that was not run should say so")]
    fn mounted(folder: &Path) -> Option<Mounted> {
        match Mounted::new(folder) {
            Ok(mounted) => Some(mounted),
            Err(trouble) => {
                eprintln!("left out: {trouble}");
                None
            }
        }
    }

    #[test]
    fn what_a_program_synced_is_there_after_a_cut_and_the_rest_may_not_be() {
        let folder = tempfile::tempdir().unwrap();
        let Some(mounted) = mounted(folder.path()) else { return };
        let path = folder.path().join("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"synced").unwrap();
        file.sync_all().unwrap();
        File::open(folder.path()).unwrap().sync_all().unwrap();
        file.write_all(&[b'x'; 10_000]).unwrap();
        drop(file);
        fs::write(folder.path().join("b"), "never synced").unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), 10_006);
        let mut left = std::collections::BTreeSet::new();
        let whole = mounted.disk().clone();
        for seed in 0..20 {
            *mounted.disk() = whole.clone();
            mounted.cut(&mut fastrand::Rng::with_seed(seed));
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.starts_with(b"synced"));
            left.insert((bytes.len(), folder.path().join("b").exists()));
        }
        assert!(left.len() > 3, "{left:?}");
    }

    #[test]
    fn a_program_sees_the_errors_of_a_full_of_a_read_only_and_of_a_dead_disk() {
        let folder = tempfile::tempdir().unwrap();
        let Some(mounted) = mounted(folder.path()) else { return };
        let path = folder.path().join("a");
        fs::write(&path, "0123456789").unwrap();
        let error = |data: &[u8]| {
            fs::File::options().append(true).open(&path).and_then(|mut file| file.write_all(data))
        };
        mounted.disk().refuses.capacity = Some(12);
        assert_eq!(error(b"abc").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        mounted.disk().refuses = super::super::Refuses { read_only: true, ..Default::default() };
        assert_eq!(error(b"abc").unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        mounted.disk().refuses = Default::default();
        let steps = mounted.disk().steps;
        mounted.disk().cut_at = Some(steps + 1);
        assert!(!mounted.wait_off(Duration::ZERO));
        assert!(error(b"abc").is_err());
        assert!(mounted.wait_off(Duration::ZERO));
    }

    #[test]
    fn files_are_renamed_removed_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let Some(_mounted) = mounted(folder.path()) else { return };
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("a"), "1").unwrap();
        fs::write(at("d/b"), "2").unwrap();
        fs::rename(at("a"), at("d/b")).unwrap();
        assert_eq!(fs::read(at("d/b")).unwrap(), b"1");
        assert!(fs::remove_dir(at("d")).is_err());
        fs::remove_file(at("d/b")).unwrap();
        for n in 0..300 {
            fs::write(at(&format!("d/{n}")), "x").unwrap();
        }
        assert_eq!(fs::read_dir(at("d")).unwrap().count(), 300);
        let file = File::open(at("d/7")).unwrap();
        file.try_lock().unwrap();
        assert!(File::open(at("d/7")).unwrap().try_lock().is_err(), "locks work as elsewhere");
    }
}
