//! What the journal needs of a disk, as a trait, so that a test can be one that fails.
//!
//! A name is a file's name in the one directory that a [`Disk`] is; there are no folders in it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

/// Most attempts at one write or read: a disk that takes a byte at a time, or is always interrupted, is broken.
const ATTEMPTS: usize = 10_000;

/// One directory.
pub trait Disk: Send + Sync + 'static {
    /// Where this is, for a person.
    fn place(&self) -> String;
    /// The names of its files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file.
    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, over another where there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Makes this process the only one that writes here, until what is returned is dropped. `WouldBlock` where there is
    /// another.
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>>;
    /// A number that is another one in each process.
    fn chance(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// As `pread`: may read less, 0 at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// As `pwrite`: may write less.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// As `fdatasync`.
    fn sync_data(&self) -> io::Result<()>;
    /// Bytes in it.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or extends it.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// There is one; it is only read.
    Read,
    /// There is one.
    Write,
    /// Made empty, whether there was one or not.
    Create,
}

/// A small file, replaced as a whole: after a power cut it is the old one or the new one.
pub fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = format!("{name}.tmp");
    let file = disk.open(&new, Mode::Create)?;
    write_all_at(&*file, bytes, 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&new, name)?;
    disk.sync_dir()
}

pub(crate) fn write_all_at(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        if bytes.is_empty() {
            return Ok(());
        }
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::WriteZero.into())
}

/// Reads until `into` is full or the file ends; how much there was.
pub(crate) fn read_all_at(file: &dyn DiskFile, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    for _ in 0..ATTEMPTS {
        if done == into.len() {
            break;
        }
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
