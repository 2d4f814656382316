//! What is known of a plugin's files before it is started: are they what was installed, and does somebody answer for them?
//!
//! ```
//! use sedge_host::install::{Standing, Trust, standing};
//! # let folder = std::env::temp_dir().join(format!("sedge-standing-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! assert_eq!(standing(&folder, &Trust::default()).unwrap(), Standing::Unlocked);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! ```
//!
//! All files of the plugin are read for it, and all of its virtual environment, which takes about a second for each 200 MB on a small
//! board. Not read is what Python compiles: a folder that has any is started so that Python does not read it either. It must not
//! repair anything.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::root::list_of;
use super::sign::{Signed, signed};
use super::tree::{Sums, compiled, first_three, made};
use super::venv::VENV;
use super::{InstallError, Lock};

/// What a node asks of a plugin's files: `[plugins] require` and `keys`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// What is asked for.
    pub require: Require,
    /// Public keys of minisign, whose signatures count.
    pub keys: Vec<String>,
}

/// What is asked of a plugin's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// Nothing; but what was installed must be what it was.
    #[default]
    None,
    /// It was installed, and is what it was.
    Locked,
    /// It is signed by one of the keys.
    Signed,
}

/// What is known of a plugin's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// They were put there by hand.
    Unlocked,
    /// They lie elsewhere, and may change.
    Linked,
    /// They are what was installed.
    Locked {
        /// From where.
        source: String,
        /// Which state of the source.
        commit: Option<String>,
        /// Of the list of them.
        sha256: String,
    },
    /// They are what somebody has signed whom the config knows.
    Signed {
        /// His key.
        key: String,
    },
}

/// Why a plugin may not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandingError {
    /// Files are not what they were.
    #[error(
        "it was changed since it was installed: {}; install it again: `sedge plugin upgrade NAME --force` puts back what its source has",
        first_three(.0)
    )]
    Changed(Vec<String>),
    /// Its signature is wrong.
    #[error("{0}; install it again, from whom you trust")]
    Signature(String),
    /// Nothing is known of it, and that is asked for.
    #[error("{0}")]
    Untrusted(String),
    /// Its files cannot be read.
    #[error("its files cannot be read: {0}")]
    Unreadable(String),
    /// The lock file of its folder cannot be read.
    #[error(transparent)]
    Lock(#[from] InstallError),
}

/// What is known of the plugin in a folder, and whether that is enough.
///
/// # Errors
/// Its files are not what they were, or it is not trusted as the config asks for.
pub fn standing(folder: &Path, trust: &Trust) -> Result<Standing, StandingError> {
    let found = found(folder, &trust.keys)?;
    let wanted = match (trust.require, &found) {
        (Require::None, _) | (Require::Locked, Standing::Locked { .. }) | (_, Standing::Signed { .. }) => {
            return Ok(found);
        }
        (Require::Locked, _) => "that a plugin was installed: install it with `sedge plugin install`",
        (Require::Signed, _) => "that a plugin is signed by one of its keys",
    };
    let is = match found {
        Standing::Unlocked => "was put there by hand",
        Standing::Linked => "is a link, behind which files may change",
        Standing::Locked { .. } | Standing::Signed { .. } => "is not",
    };
    Err(StandingError::Untrusted(format!("[plugins] require asks {wanted}; this one {is}")))
}

fn found(folder: &Path, keys: &[String]) -> Result<Standing, StandingError> {
    let unreadable = |error: &dyn std::fmt::Display| StandingError::Unreadable(error.to_string());
    if fs::symlink_metadata(folder).map_err(|error| unreadable(&error))?.is_symlink() {
        return Ok(Standing::Linked);
    }
    let (root, name) = place(folder).ok_or_else(|| unreadable(&"it has no folder"))?;
    let locked = Lock::read(&root)?.plugins.remove(&name);
    let hash = locked.as_ref().and_then(|locked| locked.sha256.clone());
    if hash.is_none() && !folder.join(super::SIGNATURE_FILE).exists() {
        return Ok(Standing::Unlocked);
    }
    let sums = match Sums::of(folder) {
        Ok(sums) => sums,
        Err(super::tree::Unfit::File(file, why)) if hash.is_some() => {
            return Err(StandingError::Changed(vec![format!("{file} {why}")]));
        }
        Err(unfit) => return Err(unreadable(&unfit)),
    };
    if let Some(hash) = hash.as_ref().filter(|hash| **hash != sums.hash()) {
        let differences = list_of(&root, hash).map(|before| sums.differences(&before));
        return Err(StandingError::Changed(differences.unwrap_or_else(|| vec!["its files".into()])));
    }
    let venv = made(&folder.join(VENV)).map_err(|unfit| unreadable(&unfit))?;
    match &locked {
        Some(locked) if hash.is_some() => {
            let change = match (&locked.venv, &venv) {
                (None, Some(_)) => Some(format!("{VENV} (new)")),
                (Some(_), None) => Some(format!("{VENV} (gone)")),
                (before, now) => (before != now).then(|| VENV.to_owned()),
            };
            if let Some(change) = change {
                return Err(StandingError::Changed(vec![change]));
            }
        }
        // Only `sedge plugin install` makes what no signature covers.
        _ => {
            let beside = compiled(folder).map_err(|error| unreadable(&error))?;
            let beside = venv.as_ref().map(|_| VENV.to_owned()).or(beside);
            if let Some(beside) = beside {
                let why = format!("it has `{}`, which its signature does not cover", beside.escape_debug());
                return Err(StandingError::Signature(why));
            }
        }
    }
    match (signed(folder, &sums, keys).map_err(StandingError::Signature)?, locked, hash) {
        (Signed::By(key), ..) => Ok(Standing::Signed { key }),
        (_, Some(locked), Some(sha256)) => {
            Ok(Standing::Locked { source: locked.source, commit: locked.commit, sha256 })
        }
        _ => Ok(Standing::Unlocked),
    }
}

/// Where a plugin's folder lies, and its name.
fn place(folder: &Path) -> Option<(PathBuf, String)> {
    let folder = fs::canonicalize(folder).ok()?;
    Some((folder.parent()?.to_path_buf(), folder.file_name()?.to_string_lossy().into_owned()))
}
