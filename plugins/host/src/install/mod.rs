//! Installing plugins, and what is kept of where they came from.
//!
//! ```no_run
//! use sedge_host::install::{Installer, NotStarted, Offline, Source, Trust};
//! let here = std::path::Path::new(".");
//! let installer = Installer {
//!     root: "/usr/local/lib/sedge/plugins".into(),
//!     trust: Trust::default(),
//!     fetch: &Offline,
//!     verifier: &NotStarted,
//!     watch: &|_| true,
//!     environment: Default::default(),
//!     now_ms: 1_795_195_704_123,
//! };
//! let installed = installer.install(&Source::parse("./pump", here)?, false)?;
//! println!("{} {} from {}", installed.name, installed.version, installed.source);
//! # Ok::<(), sedge_host::install::InstallError>(())
//! ```
//!
//! What is installed is made ready in a folder of its own beside its place, checked there, and moved at the end: until then
//! nothing has changed, and whatever fails leaves nothing behind. `plugins.lock` says afterwards what it was, and
//! [`standing`] whether it still is.
//!
//! It must not run anything of a plugin but what the [`Verifier`] starts (and what `pip` builds), nor write outside of its folder.

mod error;
mod git;
mod lock;
mod probe;
mod program;
mod pypi;
mod ready;
mod root;
mod sdk;
mod sign;
mod source;
mod standing;
mod template;
mod tree;
mod unpack;
mod venv;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sedge_plugin::clock::rfc3339;
use sedge_plugin::grant::Requests;
use serde::Serialize;

use crate::manifest::Declaration;
pub use error::InstallError;
pub use lock::{Held, LOCK_FILE, Lock, Locked};
pub use probe::probe;
use ready::{Ready, Wanted};
use root::{Root, gone, list_of};
pub use sdk::{brings_sdk, lay_sdk};
pub use sign::{SIGNATURE_FILE, SUMS_FILE};
pub use source::Source;
pub use standing::{Require, Standing, StandingError, Trust, standing};
pub use template::{Kind, Language, NewError, create};
use tree::first_three;
pub use tree::{MAX_BYTES, MAX_FILES, Sums};
pub use venv::{VENV, interpreter};

/// Bytes of an archive.
pub const MAX_ARCHIVE: u64 = 64 * 1024 * 1024;

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// It waits for another installation into the same folder.
    Locked,
    /// It gets the files.
    Fetch,
    /// It reads the manifest, and checks the files and who signed them.
    Check,
    /// It installs what the plugin needs of others.
    Requirements,
    /// It starts the plugin, to see that it loads.
    Start,
    /// It moves it to its place.
    Place,
    /// It writes the lock file.
    Record,
    /// It waits, for a program or another installation: said often.
    Waiting,
}

/// Gets what lies behind a URL.
pub trait Fetch {
    /// Writes it, at most `most` bytes.
    ///
    /// # Errors
    /// What happened, without the URL.
    fn get(&self, url: &str, most: u64, into: &mut dyn Write) -> Result<(), String>;
}

/// Starts a plugin once, to see that it loads.
pub trait Verifier {
    /// What it found, in a sentence.
    ///
    /// # Errors
    /// Why it does not load.
    fn loads(&self, folder: &Path, declaration: &Declaration) -> Result<String, String>;
}

/// Gets nothing.
pub struct Offline;

impl Fetch for Offline {
    fn get(&self, _: &str, _: u64, _: &mut dyn Write) -> Result<(), String> {
        Err("nothing is fetched here".into())
    }
}

/// Starts nothing.
pub struct NotStarted;

impl Verifier for NotStarted {
    fn loads(&self, _: &Path, _: &Declaration) -> Result<String, String> {
        Ok("not started".into())
    }
}

/// Installs plugins into one folder.
pub struct Installer<'a> {
    /// The folder of plugins.
    pub root: PathBuf,
    /// What is asked of their files.
    pub trust: Trust,
    /// Gets archives.
    pub fetch: &'a dyn Fetch,
    /// Starts what is installed, once.
    pub verifier: &'a dyn Verifier,
    /// Told each step before it is taken. It ends all by `false`.
    pub watch: &'a dyn Fn(Step) -> bool,
    /// More of the environment of `git` and `pip`.
    pub environment: BTreeMap<String, String>,
    /// The time that is written down.
    pub now_ms: i64,
}

/// What was installed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its folder.
    pub folder: PathBuf,
    /// Where it is from.
    pub source: String,
    /// Which state of the source.
    pub commit: Option<String>,
    /// Of the list of its files; none for a link.
    pub sha256: Option<String>,
    /// Who signed it.
    pub key: Option<String>,
    /// What came of starting it.
    pub loads: String,
    /// What it asks for.
    pub requests: Requests,
    /// What is worth knowing besides.
    pub notes: Vec<String>,
}

/// What an upgrade has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Upgraded {
    /// The new version is there.
    Done(Box<Installed>),
    /// The source has what is installed.
    Same {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// The new version asks for more than was accepted: it waits, and the old one stays.
    Held {
        /// Its name.
        name: String,
        /// The version that stays.
        before: String,
        /// The version that waits.
        version: String,
        /// What it asks for beyond what was accepted.
        asks: Vec<String>,
    },
}

/// How an upgrade is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// What it asks for beyond what was accepted, is accepted.
    pub grant: bool,
    /// What was changed by hand is replaced.
    pub force: bool,
    /// Nothing is changed.
    pub dry: bool,
}

impl Installer<'_> {
    /// Installs from a source. `dry`: all but that.
    ///
    /// # Errors
    /// Why not. Nothing has changed then.
    pub fn install(&self, source: &Source, dry: bool) -> Result<Installed, InstallError> {
        let mut root = Root::open(&self.root, self.watch)?;
        let ready = Ready::make(self, &root, source, Wanted::New)?;
        let installed = ready.told(&root, source, None);
        if dry {
            return Ok(installed);
        }
        self.step(Step::Place)?;
        let target = root.folder(&ready.name);
        ready.place(&target)?;
        let mut record = || {
            self.step(Step::Record)?;
            root.keep(&ready.sums)?;
            root.lock.plugins.insert(ready.name.clone(), self.locked(&ready, source));
            root.lock.write(&root.path)
        };
        record().inspect_err(|_| drop(gone(&target)))?;
        Ok(installed)
    }

    /// Has a folder stand for itself, for whoever works on it: a link.
    ///
    /// # Errors
    /// Why not. Nothing has changed then.
    pub fn link(&self, folder: &Path) -> Result<Installed, InstallError> {
        let mut root = Root::open(&self.root, self.watch)?;
        let folder = folder.canonicalize().map_err(InstallError::io("read", folder))?;
        let declaration = crate::manifest::read(&folder).map_err(InstallError::Manifest)?;
        let name = declaration.info.name.clone();
        root.free(&name)?;
        if self.trust.require != Require::None {
            let why = "[plugins] require asks for installed files, and those behind a link may change";
            return Err(InstallError::Signature(why.into()));
        }
        let target = root.folder(&name);
        std::os::unix::fs::symlink(&folder, &target).map_err(InstallError::io("link", &target))?;
        let locked = Locked {
            version: declaration.info.version.clone(),
            source: Source::Directory(folder.clone()).kept(),
            commit: None,
            sha256: None,
            key: None,
            installed: rfc3339(self.now_ms),
            requests: declaration.requests.clone(),
            held: None,
        };
        root.lock.plugins.insert(name.clone(), locked.clone());
        root.lock.write(&root.path).inspect_err(|_| drop(gone(&target)))?;
        Ok(Installed {
            name,
            version: locked.version,
            before: None,
            folder: target,
            source: locked.source,
            commit: None,
            sha256: None,
            key: None,
            loads: "not started".into(),
            requests: locked.requests,
            notes: vec!["it is a link: what is changed there holds at the next start".into()],
        })
    }

    /// Brings a plugin to what its source has now.
    ///
    /// # Errors
    /// Why not. What was there is there then.
    pub fn upgrade(&self, name: &str, how: Upgrade) -> Result<Upgraded, InstallError> {
        let mut root = Root::open(&self.root, self.watch)?;
        let before = root.installed(name)?.clone();
        let Some(sha256) = before.sha256.clone() else {
            return Err(InstallError::Exists(format!(
                "`{name}` is a link: it is what lies there, at any time"
            )));
        };
        let source = Source::parse(&before.source, &root.path)?;
        let waiting = before.held.clone().filter(|_| how.grant);
        let ready = match waiting {
            Some(held) => Ready::held(self, &root, name, &held)?,
            None => Ready::make(self, &root, &source, Wanted::Newer(name))?,
        };
        if ready.sums.hash() == sha256 {
            return Ok(Upgraded::Same { name: name.into(), version: before.version });
        }
        let mut asks = ready.declaration.requests.beyond(&before.requests);
        if let Some(key) = before.key.as_ref().filter(|key| ready.key.as_ref() != Some(key)) {
            asks.push(format!("signature: it is no longer signed by {key}"));
        }
        if !asks.is_empty() && !how.grant {
            let version = ready.declaration.info.version.clone();
            if !how.dry {
                self.hold(&mut root, &ready, &asks)?;
            }
            return Ok(Upgraded::Held { name: name.into(), before: before.version, version, asks });
        }
        root.unchanged(name, &sha256, how.force)?;
        let installed = ready.told(&root, &source, Some(&before.version));
        if !how.dry {
            self.swap(&mut root, &ready, &source)?;
        }
        Ok(Upgraded::Done(Box::new(installed)))
    }

    /// Removes a plugin.
    ///
    /// # Errors
    /// Why not. It is there then.
    pub fn remove(&self, name: &str) -> Result<Locked, InstallError> {
        let mut root = Root::open(&self.root, self.watch)?;
        let locked = root.installed(name)?.clone();
        let staging = root.staging()?;
        let (here, there) = (root.folder(name), staging.path.join(name));
        if fs::symlink_metadata(&here).is_ok() {
            fs::rename(&here, &there).map_err(InstallError::io("remove", &here))?;
        }
        root.lock.plugins.remove(name);
        root.lock.write(&root.path).inspect_err(|_| drop(fs::rename(&there, &here)))?;
        gone(&root.held(name))?;
        Ok(locked)
    }

    /// Puts the new one where the old one is. Cut off in between, the next one finishes it or takes it back.
    fn swap(&self, root: &mut Root, ready: &Ready, source: &Source) -> Result<(), InstallError> {
        self.step(Step::Place)?;
        let (here, old) = (root.folder(&ready.name), root.old(&ready.name));
        let is_there = fs::symlink_metadata(&here).is_ok();
        if is_there {
            fs::rename(&here, &old).map_err(InstallError::io("move", &here))?;
        }
        let mut change = || {
            ready.place(&here)?;
            self.step(Step::Record)?;
            root.keep(&ready.sums)?;
            root.lock.plugins.insert(ready.name.clone(), self.locked(ready, source));
            root.lock.write(&root.path)
        };
        change().inspect_err(|_| {
            drop(gone(&here));
            drop(fs::rename(&old, &here));
        })?;
        // What is left is swept by the next one.
        drop(gone(&old));
        drop(gone(&root.held(&ready.name)));
        Ok(())
    }

    fn hold(&self, root: &mut Root, ready: &Ready, asks: &[String]) -> Result<(), InstallError> {
        let aside = root.held(&ready.name);
        gone(&aside)?;
        fs::create_dir(&aside).map_err(InstallError::io("make", &aside))?;
        let place = aside.join(&ready.name);
        let moved = fs::rename(&ready.folder, &place).map_err(InstallError::io("move", &place));
        let held = Held {
            version: ready.declaration.info.version.clone(),
            commit: ready.commit.clone(),
            sha256: ready.sums.hash(),
            asks: asks.to_vec(),
        };
        let write = || {
            if let Some(locked) = root.lock.plugins.get_mut(&ready.name) {
                locked.held = Some(held);
            }
            root.lock.write(&root.path)
        };
        moved.and_then(|()| write()).inspect_err(|_| drop(gone(&aside)))
    }

    fn locked(&self, ready: &Ready, source: &Source) -> Locked {
        Locked {
            version: ready.declaration.info.version.clone(),
            source: source.kept(),
            commit: ready.commit.clone(),
            sha256: Some(ready.sums.hash()),
            key: ready.key.clone(),
            installed: rfc3339(self.now_ms),
            requests: ready.declaration.requests.clone(),
            held: None,
        }
    }

    fn step(&self, step: Step) -> Result<(), InstallError> {
        if (self.watch)(step) { Ok(()) } else { Err(InstallError::Cancelled) }
    }
}

impl Root {
    fn installed(&self, name: &str) -> Result<&Locked, InstallError> {
        let nothing = || {
            let here = self.path.display();
            let why = match fs::symlink_metadata(self.folder(name)) {
                Ok(_) if sedge_plugin::Id::new(name).is_ok() => {
                    format!(
                        "`{name}` in {here} was not installed by `sedge plugin`: it is yours to change or remove"
                    )
                }
                _ => format!("there is no plugin `{name}` installed in {here}"),
            };
            InstallError::NotInstalled(why)
        };
        self.lock.plugins.get(name).ok_or_else(nothing)
    }

    /// Whether a name can be installed here.
    fn free(&self, name: &str) -> Result<(), InstallError> {
        let there = self.folder(name);
        let why = if self.lock.plugins.contains_key(name) && fs::symlink_metadata(&there).is_ok() {
            format!(
                "`{name}` is installed already in {}; see `sedge plugin upgrade {name}`",
                self.path.display()
            )
        } else if fs::symlink_metadata(&there).is_ok() {
            format!(
                "{} is there already, and was not installed by `sedge plugin`: move it away",
                there.display()
            )
        } else {
            return Ok(());
        };
        Err(InstallError::Exists(why))
    }

    /// Nobody's own changes are thrown away unasked.
    fn unchanged(&self, name: &str, sha256: &str, force: bool) -> Result<(), InstallError> {
        let Ok(now) = Sums::of(&self.folder(name)) else { return Ok(()) };
        if force || now.hash() == sha256 {
            return Ok(());
        }
        let changed = list_of(&self.path, sha256).map(|before| now.differences(&before)).unwrap_or_default();
        let files = if changed.is_empty() { "its files".into() } else { first_three(&changed) };
        Err(InstallError::Exists(format!(
            "`{name}` was changed since it was installed: {files}; keep what you need of that, and say --force"
        )))
    }
}

/// Writes the list of a plugin's files, to be signed: `minisign -Sm SHA256SUMS -x plugin.minisig`.
///
/// # Errors
/// The folder has what a plugin cannot have, or cannot be written.
pub fn write_sums(folder: &Path) -> Result<PathBuf, InstallError> {
    let sums = Sums::of(folder).map_err(|unfit| InstallError::refused(folder.display(), unfit))?;
    let file = folder.join(SUMS_FILE);
    lock::replace(&file, sign::signable(&sums).text().as_bytes())
        .map_err(InstallError::io("write", &file))?;
    Ok(file)
}
