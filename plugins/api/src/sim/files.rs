//! Devices that the kernel drives.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::device::{BusError, Files};

/// The folder of a device that the kernel drives, seen from the driver.
pub trait FileModel: Send {
    /// What a file holds.
    fn read(&mut self, file: &str, now: Duration) -> Result<String, BusError>;
    /// The names of its files.
    fn names(&self) -> Vec<String>;
}

type Live = Box<dyn FnMut(&mut BTreeMap<String, String>, Duration) + Send>;

/// A folder of small files.
pub struct Folder {
    files: BTreeMap<String, String>,
    live: Option<Live>,
}

impl Folder {
    /// A folder whose files do not change.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        Self { files, live: None }
    }

    /// A folder that brings its files up to date before each read.
    pub fn live(update: impl FnMut(&mut BTreeMap<String, String>, Duration) + Send + 'static) -> Self {
        let mut folder = Self { live: Some(Box::new(update)), ..Self::new(&[]) };
        folder.update(Duration::ZERO);
        folder
    }

    fn update(&mut self, now: Duration) {
        if let Some(live) = &mut self.live {
            live(&mut self.files, now);
        }
    }
}

impl FileModel for Folder {
    fn read(&mut self, file: &str, now: Duration) -> Result<String, BusError> {
        self.update(now);
        let missing = || BusError::Other(format!("there is no file `{file}`").into());
        self.files.get(file).cloned().ok_or_else(missing)
    }

    fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }
}

/// For a driver's tests: time stands still.
impl Files for Folder {
    fn read(&mut self, file: &str) -> Result<String, BusError> {
        FileModel::read(self, file, Duration::ZERO)
    }

    fn names(&mut self) -> Result<Vec<String>, BusError> {
        Ok(FileModel::names(self))
    }
}
