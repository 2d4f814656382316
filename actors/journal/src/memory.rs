//! A [`Disk`] in memory, of a size: a journal that does not outlive the process.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, Mode};

/// Files in memory. Clones are the same disk.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

struct Inner {
    files: Mutex<HashMap<String, Arc<Content>>>,
    locked: AtomicBool,
    space: Arc<Space>,
}

struct Space {
    used: AtomicU64,
    most: u64,
}

struct Content {
    bytes: Mutex<Vec<u8>>,
    space: Arc<Space>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// A disk for so many bytes.
    pub fn new(max_bytes: u64) -> Self {
        let space = Arc::new(Space { used: AtomicU64::new(0), most: max_bytes });
        Self { inner: Arc::new(Inner { files: Mutex::default(), locked: AtomicBool::new(false), space }) }
    }
}

impl Content {
    /// There is one writer to a disk, so that asking and taking need not be one step.
    fn resize(&self, bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
        if len > bytes.len() {
            let more = (len - bytes.len()) as u64;
            if self.space.used.load(Ordering::Relaxed) + more > self.space.most {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.space.used.fetch_add(more, Ordering::Relaxed);
            bytes.reserve_exact(len - bytes.len());
        } else {
            self.space.used.fetch_sub((bytes.len() - len) as u64, Ordering::Relaxed);
        }
        bytes.resize(len, 0);
        Ok(())
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.space.used.fetch_sub(locked(&self.bytes).len() as u64, Ordering::Relaxed);
    }
}

impl Disk for Memory {
    fn place(&self) -> String {
        "memory".into()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(locked(&self.inner.files).keys().cloned().collect())
    }

    fn open(&self, name: &str, mode: Mode) -> io::Result<Box<dyn DiskFile>> {
        let mut files = locked(&self.inner.files);
        if mode == Mode::Create {
            let content = Content { bytes: Mutex::default(), space: self.inner.space.clone() };
            files.insert(name.into(), Arc::new(content));
        }
        Ok(Box::new(files.get(name).cloned().ok_or(io::ErrorKind::NotFound)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = locked(&self.inner.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        locked(&self.inner.files).remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        match self.inner.locked.swap(true, Ordering::AcqRel) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(Box::new(Unlock(self.inner.clone()))),
        }
    }
}

struct Unlock(Arc<Inner>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}

impl DiskFile for Arc<Content> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = locked(&self.bytes);
        let from = bytes.get(offset as usize..).unwrap_or_default();
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = locked(&self.bytes);
        let (from, to) = (offset as usize, offset as usize + new.len());
        if to > bytes.len() {
            self.resize(&mut bytes, to)?;
        }
        bytes[from..to].copy_from_slice(new);
        Ok(new.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(locked(&self.bytes).len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.resize(&mut locked(&self.bytes), len as usize)
    }
}
