//! Why something is not installed: what happened, where, and what to do.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::mistake::Mistake;

/// Why an installation, an upgrade or a removal did not come about. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// What was named is not a source of plugins.
    #[error("{0}")]
    Source(String),
    /// It could not be had.
    #[error("{0}")]
    Fetch(String),
    /// What came is not what a plugin may consist of.
    #[error("{from}: {why}")]
    Refused {
        /// What it came from.
        from: String,
        /// What was found and what is expected.
        why: String,
    },
    /// Its manifest has mistakes.
    #[error("the manifest has mistakes:\n{}", lines(.0))]
    Manifest(Vec<Mistake>),
    /// Its signature is missing, wrong, or of somebody unknown.
    #[error("{0}")]
    Signature(String),
    /// What it needs of others could not be installed.
    #[error("{0}")]
    Requirements(String),
    /// It does not run, or not as its manifest says.
    #[error("it does not load: {0}")]
    Loads(String),
    /// There is a plugin of that name.
    #[error("{0}")]
    Exists(String),
    /// There is none of that name.
    #[error("{0}")]
    NotInstalled(String),
    /// The lock file cannot be understood.
    #[error("{}: {why}; it is written by `sedge plugin` alone, restore it or remove it", file.display())]
    Lock {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file could not be read or written.
    #[error("cannot {did} {}: {source}", path.display())]
    Io {
        /// What was tried: `write`.
        did: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was told to stop.
    #[error("stopped; nothing was installed")]
    Cancelled,
}

impl InstallError {
    /// One word, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Fetch(_) => "fetch",
            Self::Refused { .. } => "refused",
            Self::Manifest(_) => "manifest",
            Self::Signature(_) => "signature",
            Self::Requirements(_) => "requirements",
            Self::Loads(_) => "loads",
            Self::Exists(_) => "exists",
            Self::NotInstalled(_) => "not_installed",
            Self::Lock { .. } => "lock",
            Self::Io { .. } => "io",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn io(did: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { did, path, source }
    }

    pub(super) fn refused(from: impl Display, why: impl Display) -> Self {
        Self::Refused { from: from.to_string(), why: why.to_string() }
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
