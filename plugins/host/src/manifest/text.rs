//! Files of a plugin's folder: bounded, text, and truly in that folder.
//!
//! It must not follow a path out of the folder, wait for a pipe, or read more than it was told to.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::mistake::{Mistake, Position};

/// Tells two states of a file apart without reading it: modified (ns), size (bytes), changed (ns).
///
/// The time of the last change of the inode is there because an unpacked archive may give every release of a file the
/// same time of modification; nobody can set the former. Outside of Unix it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp(i64, u64, i64);

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default();
        Self(modified, metadata.len(), changed(metadata))
    }
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> i64 {
    0
}

/// Reads a text of at most `most` bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<String, Mistake> {
    text(path, bytes(path, most).map_err(|error| unreadable(path, &error))?, most)
}

/// Takes bytes for a text of at most `most` bytes.
pub(super) fn text(path: &Path, bytes: Vec<u8>, most: usize) -> Result<String, Mistake> {
    if bytes.len() > most {
        return Err(Mistake::of_file(path, format!("this file is larger than {} KiB", most / 1024)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let at = Position::of(&String::from_utf8_lossy(valid), valid.len());
        let found = rest.first().copied().unwrap_or_default();
        Mistake {
            at: Some(at),
            ..Mistake::of_file(path, format!("expected a text in UTF-8, found the byte 0x{found:02x}"))
        }
    })
}

fn bytes(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "something else" };
        return Err(io::Error::other(format!("expected a file, found {found}")));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Mistake {
    Mistake::of_file(path, format!("this cannot be read: {error}"))
}

/// A file that a manifest names, with its state; or why it cannot be one of this plugin.
pub(super) fn inside(folder: &Path, relative: &str) -> Result<(PathBuf, Stamp), String> {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if relative.is_empty() || !Path::new(relative).components().all(is_plain) {
        return Err(format!("expected a file in the plugin's folder, without `..`, found `{relative}`"));
    }
    let path = folder.join(relative);
    is_inside(folder, &path)?;
    let metadata = fs::metadata(&path).map_err(|error| format!("`{relative}` cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("`{relative}` is not a file"));
    }
    Ok((path, Stamp::of(&metadata)))
}

/// Whether a file is where its path says, once symbolic links are followed.
pub(super) fn is_inside(folder: &Path, path: &Path) -> Result<(), String> {
    let shown = path.strip_prefix(folder).unwrap_or(path).display();
    let real =
        |path: &Path| fs::canonicalize(path).map_err(|error| format!("`{shown}` cannot be read: {error}"));
    if !real(path)?.starts_with(real(folder)?) {
        return Err(format!("`{shown}` is a symbolic link that leads out of the plugin's folder"));
    }
    Ok(())
}
