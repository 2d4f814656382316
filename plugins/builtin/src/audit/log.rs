//! The file: lines are added, and a new file is begun when it is full. Blocking.
//!
//! It is opened for each batch, because somebody may move or delete it at any time, and calls that change something are few.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::FILES;

/// See the [module](self).
pub struct Log {
    folder: PathBuf,
    most: u64,
}

impl Log {
    pub(super) fn new(folder: &Path, most: u64) -> Self {
        Self { folder: folder.into(), most }
    }

    /// Adds lines; they are on the disk when this returns well.
    pub(super) fn append(&mut self, lines: &str) -> Result<(), String> {
        let [current, former] = FILES.map(|file| self.folder.join(file));
        let told = |error: io::Error| format!("{}: {error}", current.display());
        let mut file = open(&current).map_err(told)?;
        let length = file.metadata().map_err(told)?.len();
        if length > 0 && length + lines.len() as u64 > self.most {
            fs::rename(&current, former).map_err(told)?;
            file = open(&current).map_err(told)?;
        }
        let begun = file.metadata().map_err(told)?.len();
        let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data());
        // What was written of lines for which there was no room would be there twice when they are tried again.
        written.map_err(|error| {
            let _ = file.set_len(begun);
            told(error)
        })
    }
}

/// For its owner alone. A line that a power cut tore is ended, so that the next one can be read.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}
