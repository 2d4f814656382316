//! `plugins.lock`: what is installed beside it, from where, and what it was when it came.
//!
//! ```toml
//! version = 1
//!
//! [plugin.pump]
//! version = "1.2.0"
//! source = "git+https://example.org/pump.git#main"
//! commit = "5f2c…"
//! sha256 = "9a0b…"                  # of the list of all its files
//! venv = "77d1…"                    # of the list of all that its virtual environment has
//! key = "RWQ…"                      # who signed it
//! installed = "2026-11-21T17:20:00.000Z"
//!
//! [plugin.pump.requests]            # what it asked for when it was accepted
//! gpio.pump = "out"
//! ```
//!
//! It is replaced whole: a power cut leaves the old one or the new one. It must not be written by anybody but whoever holds the
//! lock of the folder.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sedge_plugin::grant::Requests;
use serde::{Deserialize, Serialize};

use super::InstallError;

/// The name of the file.
pub const LOCK_FILE: &str = "plugins.lock";

/// The newest form of the file that is understood.
const VERSION: u32 = 1;

/// Bytes of the file.
const MOST: u64 = 4 * 1024 * 1024;

/// What is installed in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// By name.
    #[serde(default, rename = "plugin")]
    pub plugins: BTreeMap<String, Locked>,
}

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// As its manifest says.
    pub version: String,
    /// Where it is from, as `sedge plugin install` takes it.
    pub source: String,
    /// Which state of the source it was: a commit of git, a version of a package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Of the list of all its files; none for a link, behind which files may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Of the list of all that its virtual environment has, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub venv: Option<String>,
    /// The key by which it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When, in UTC.
    pub installed: String,
    /// What it asked for when it was accepted.
    #[serde(default)]
    pub requests: Requests,
    /// A newer version that asks for more, kept aside until that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// A version that waits to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// As its manifest says.
    pub version: String,
    /// Which state of the source it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Of the list of all its files.
    pub sha256: String,
    /// What it asks for beyond what was accepted.
    pub asks: Vec<String>,
}

impl Default for Lock {
    fn default() -> Self {
        Self { version: VERSION, plugins: BTreeMap::new() }
    }
}

impl Lock {
    /// Reads the lock file of a folder of plugins; empty where there is none.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn read(root: &Path) -> Result<Self, InstallError> {
        let file = root.join(LOCK_FILE);
        let mut text = String::new();
        match File::open(&file).and_then(|opened| opened.take(MOST).read_to_string(&mut text)) {
            Ok(_) => Self::parse(&text).map_err(|why| InstallError::Lock { file, why }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(InstallError::io("read", &file)(error)),
        }
    }

    /// Understands the text of a lock file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if lock.version > VERSION {
            return Err(format!("version {} is newer than this sedge, which reads {VERSION}", lock.version));
        }
        Ok(lock)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Something in it has no form in TOML.
    pub fn text(&self) -> Result<String, String> {
        let text = toml::to_string(self).map_err(|error| error.to_string())?;
        Ok(format!("# What is installed here. Written by `sedge plugin`: do not edit.\n{text}"))
    }

    /// Replaces the lock file of a folder.
    pub(super) fn write(&self, root: &Path) -> Result<(), InstallError> {
        let file = root.join(LOCK_FILE);
        let text = self.text().map_err(|why| InstallError::Lock { file: file.clone(), why })?;
        replace(&file, text.as_bytes()).map_err(InstallError::io("write", &file))
    }
}

/// A power cut leaves the old file or the new one.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".new");
    let new: PathBuf = folder.join(name);
    let written = || {
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&new, file)?;
        File::open(folder)?.sync_all()
    };
    written().inspect_err(|_| drop(fs::remove_file(&new)))
}
