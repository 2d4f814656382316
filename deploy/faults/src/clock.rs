//! A wall clock that can be set: libfaketime in front of the program, told by a file.
//!
//! Only the wall clock; what measures time goes on. It needs Debian's `faketime` and a program that is linked dynamically.

use std::path::{Path, PathBuf};

use crate::Trouble;

/// Where Debian puts the library.
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// See the module.
pub struct Wall {
    file: PathBuf,
    library: PathBuf,
}

impl Wall {
    /// A clock that is as far from the true one as it is told to be; not at all, for now.
    ///
    /// # Errors
    /// When the library is not there.
    pub fn new(folder: &Path) -> Result<Self, Trouble> {
        let triplets = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let library = triplets.map(|folder| folder.path().join(LIBRARY)).find(|path| path.exists());
        let missing =
            || Trouble::NotAllowed("libfaketime is not installed (Debian's package `faketime`)".into());
        let wall = Self { file: folder.join("wall-clock"), library: library.ok_or_else(missing)? };
        wall.set(0)?;
        Ok(wall)
    }

    /// Sets it, in seconds from the true time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, seconds: i64) -> Result<(), Trouble> {
        // In one go: half a number is another one.
        let new = self.file.with_extension("new");
        let written =
            std::fs::write(&new, format!("{seconds:+}")).and_then(|()| std::fs::rename(&new, &self.file));
        written.map_err(Trouble::about("the file of the clock"))
    }

    /// What a program needs to see it.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
        .map(|(name, value)| (name.into(), value))
        .to_vec()
    }
}
