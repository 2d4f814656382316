//! A plugin that is staged and checked, and needs only to be moved.
//!
//! It must not change anything outside of its staging folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::program::Failed;
use super::root::{Root, Staging};
use super::sign::{Signed, signed};
use super::tree::{COMPILED, Sums, first_three, made, sum};
use super::{
    Held, InstallError, Installed, Installer, MAX_ARCHIVE, Require, Source, Step, git, pypi, unpack, venv,
};
use crate::manifest::{Declaration, MANIFEST_FILE};

/// What is to come of it.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// A plugin that is not there yet.
    New,
    /// The next version of this one.
    Newer(&'a str),
}

/// A plugin that needs only to be moved.
pub(super) struct Ready {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) declaration: Declaration,
    pub(super) commit: Option<String>,
    pub(super) sums: Sums,
    /// What its environment hashes to.
    pub(super) venv: Option<String>,
    pub(super) key: Option<String>,
    loads: String,
    notes: Vec<String>,
    _staging: Staging,
}

impl Ready {
    /// Gets it and checks it.
    pub(super) fn make(
        installer: &Installer<'_>,
        root: &Root,
        source: &Source,
        wanted: Wanted<'_>,
    ) -> Result<Self, InstallError> {
        let shown = source.kept();
        installer.step(Step::Fetch)?;
        let staging = root.staging()?;
        let came = staging.path.join("came");
        fs::create_dir(&came).map_err(InstallError::io("make", &came))?;
        let commit = fetch(installer, source, &shown, &staging.path, &came)?;
        installer.step(Step::Check)?;
        let top = top(&came, &shown)?;
        let name = name(&top, &shown)?;
        match wanted {
            Wanted::New => root.free(&name)?,
            Wanted::Newer(before) if before != name => {
                return Err(InstallError::refused(
                    shown,
                    format!("it has another plugin now, `{name}`, and no `{before}`"),
                ));
            }
            Wanted::Newer(_) => {}
        }
        // What is not hashed must be made here.
        without_compiled(&top, true);
        let is_pypi = matches!(source, Source::Pypi { .. });
        if !is_pypi && fs::symlink_metadata(top.join(venv::VENV)).is_ok() {
            let why =
                format!("it brings a `{}`: virtual environments are made where they are used", venv::VENV);
            return Err(InstallError::refused(shown, why));
        }
        let folder = staging.path.join(&name);
        fs::rename(&top, &folder).map_err(InstallError::io("move", &top))?;
        Self::check(installer, root, staging, folder, &shown, commit)
    }

    /// What was kept aside, as it was then.
    pub(super) fn held(
        installer: &Installer<'_>,
        root: &Root,
        name: &str,
        held: &Held,
    ) -> Result<Self, InstallError> {
        let staging = root.staging()?;
        let (aside, folder) = (root.held(name).join(name), staging.path.join(name));
        let sums = Sums::of(&aside).map_err(|unfit| InstallError::refused(aside.display(), unfit))?;
        if sums.hash() != held.sha256 {
            return Err(InstallError::refused(
                aside.display(),
                "it was changed since it was looked at; run `sedge plugin upgrade` without --grant to get it anew",
            ));
        }
        // Copied, so that it waits on where this fails.
        let goes_on = || (installer.watch)(Step::Waiting);
        unpack::staged(&aside, &folder, &goes_on)?;
        Self::check(installer, root, staging, folder, name, held.commit.clone())
    }

    fn check(
        installer: &Installer<'_>,
        root: &Root,
        staging: Staging,
        folder: PathBuf,
        shown: &str,
        commit: Option<String>,
    ) -> Result<Self, InstallError> {
        let unfit = |unfit| InstallError::refused(shown, unfit);
        let sums = Sums::of(&folder).map_err(unfit)?;
        let declaration = crate::manifest::read(&folder).map_err(|mistakes| {
            let below = |file: &Path| file.strip_prefix(&staging.path).unwrap_or(file).to_path_buf();
            let mistakes = mistakes.into_iter();
            InstallError::Manifest(mistakes.map(|m| crate::Mistake { file: below(&m.file), ..m }).collect())
        })?;
        let name = declaration.info.name.clone();
        let mut notes = Vec::new();
        let key = match signed(&folder, &sums, &installer.trust.keys).map_err(InstallError::Signature)? {
            Signed::By(key) => Some(key),
            Signed::Unknown => {
                notes.push("it is signed, but by none of the keys of the config ([plugins] keys)".into());
                None
            }
            Signed::No => None,
        };
        if installer.trust.require == Require::Signed && key.is_none() {
            let why = "[plugins] require asks that a plugin is signed by one of its keys; this one is not";
            return Err(InstallError::Signature(why.into()));
        }
        if folder.join(".gitmodules").exists() {
            notes.push("its git submodules were not fetched".into());
        }
        let has_venv = folder.join(venv::VENV).exists();
        if let Some(needs) = declaration.python.as_ref().filter(|_| !has_venv) {
            installer.step(Step::Requirements)?;
            venv::make(installer, &folder, needs)?;
        }
        installer.step(Step::Start)?;
        let loads = installer.verifier.loads(&folder, &declaration).map_err(InstallError::Loads)?;
        without_compiled(&folder, true);
        let after = Sums::of(&folder).map_err(unfit)?;
        if after != sums {
            let files = first_three(&after.differences(&sums));
            let why = format!(
                "it changes its own files when it is started: {files}; it is to write to its data directory"
            );
            return Err(InstallError::Loads(why));
        }
        venv::settle(&folder, &root.folder(&name))?;
        let venv = made(&folder.join(venv::VENV)).map_err(unfit)?;
        Ok(Self { name, folder, declaration, commit, sums, venv, key, loads, notes, _staging: staging })
    }

    /// Moves it to its place.
    pub(super) fn place(&self, target: &Path) -> Result<(), InstallError> {
        fs::rename(&self.folder, target).map_err(InstallError::io("move", target))
    }

    pub(super) fn told(&self, root: &Root, source: &Source, before: Option<&str>) -> Installed {
        let version = self.declaration.info.version.clone();
        let mut notes = self.notes.clone();
        match before {
            Some(before) if before == version => {
                notes.push(format!("it says that it is the same version, {version}, with other files"));
            }
            Some(before) if is_older(&version, before) => {
                notes.push(format!("{version} is older than {before}, which was installed"));
            }
            _ => {}
        }
        Installed {
            name: self.name.clone(),
            version,
            before: before.map(str::to_owned),
            folder: root.folder(&self.name),
            source: source.kept(),
            commit: self.commit.clone(),
            sha256: Some(self.sums.hash()),
            key: self.key.clone(),
            loads: self.loads.clone(),
            requests: self.declaration.requests.clone(),
            notes,
        }
    }
}

/// Puts the files of a source into `came`; gives which state of it that is.
fn fetch(
    installer: &Installer<'_>,
    source: &Source,
    shown: &str,
    staging: &Path,
    came: &Path,
) -> Result<Option<String>, InstallError> {
    let goes_on = || (installer.watch)(Step::Waiting);
    match source {
        Source::Directory(path) => {
            let is_within = came.canonicalize().is_ok_and(|came| came.starts_with(path));
            if is_within {
                return Err(InstallError::refused(
                    shown,
                    "plugins are installed within it: name the plugin's own folder",
                ));
            }
            unpack::directory(path, came, &goes_on).map(|()| None)
        }
        Source::Git { url, rev } => git::fetch(installer, url, rev.as_deref(), came).map(Some),
        Source::Pypi { name, version } => pypi::fetch(installer, name, version.as_deref(), came).map(Some),
        Source::Archive { at, sha256 } => {
            let is_web = at.starts_with("https://") || at.starts_with("http://");
            let file = if is_web { download(installer, at, shown, staging)? } else { PathBuf::from(at) };
            let size = fs::metadata(&file).map_err(InstallError::io("read", &file))?.len();
            if size > MAX_ARCHIVE {
                return Err(InstallError::refused(
                    shown,
                    format!("it has more than {} MiB", MAX_ARCHIVE >> 20),
                ));
            }
            if let Some(expected) = sha256 {
                let found = sum(&file).map_err(InstallError::io("read", &file))?;
                if found != *expected {
                    return Err(InstallError::refused(
                        shown,
                        format!("expected the SHA-256 {expected}, found {found}"),
                    ));
                }
            }
            unpack::archive(&file, shown, came, &goes_on).map(|()| None)
        }
    }
}

fn download(
    installer: &Installer<'_>,
    url: &str,
    shown: &str,
    staging: &Path,
) -> Result<PathBuf, InstallError> {
    let path = staging.join("archive");
    let mut file = File::create_new(&path).map_err(InstallError::io("write", &path))?;
    let got = installer.fetch.get(url, MAX_ARCHIVE, &mut file);
    got.map_err(|why| InstallError::Fetch(format!("{shown} could not be fetched: {why}")))?;
    Ok(path)
}

/// The folder with the manifest: what came, or the only folder in it.
fn top(came: &Path, shown: &str) -> Result<PathBuf, InstallError> {
    if came.join(MANIFEST_FILE).is_file() {
        return Ok(came.to_path_buf());
    }
    let entries = fs::read_dir(came).map_err(InstallError::io("read", came))?;
    let with = entries.flatten().map(|entry| entry.path()).filter(|path| path.join(MANIFEST_FILE).is_file());
    match &with.take(2).collect::<Vec<_>>()[..] {
        [only] if !only.is_symlink() => Ok(only.clone()),
        [] => {
            Err(InstallError::refused(shown, format!("there is no plugin in it: expected a {MANIFEST_FILE}")))
        }
        _ => Err(InstallError::refused(shown, "there are several plugins in it; install the folder of one")),
    }
}

/// What the manifest calls it, legal as the name of a folder.
fn name(folder: &Path, shown: &str) -> Result<String, InstallError> {
    let file = folder.join(MANIFEST_FILE);
    let metadata = fs::symlink_metadata(&file).map_err(InstallError::io("read", &file))?;
    if !metadata.is_file() {
        return Err(InstallError::refused(
            shown,
            format!("`{MANIFEST_FILE}` is a link: put the file itself there"),
        ));
    }
    let mut text = String::new();
    let read = File::open(&file).and_then(|file| {
        use std::io::Read;
        file.take(crate::manifest::MAX_MANIFEST as u64).read_to_string(&mut text)
    });
    read.map_err(InstallError::io("read", &file))?;
    let table = toml::de::DeTable::parse(&text).ok();
    let plugin = table.as_ref().and_then(|table| table.get_ref().get("plugin")?.get_ref().as_table());
    let name = plugin.and_then(|plugin| plugin.get("name")?.get_ref().as_str());
    match name.map(sedge_plugin::Id::new) {
        Some(Ok(name)) => Ok(name.to_string()),
        Some(Err(error)) => Err(InstallError::refused(shown, format!("{MANIFEST_FILE}: the name {error}"))),
        // The reader says where and what.
        None => Err(match crate::manifest::parse(folder, text.as_bytes()) {
            Err(mistakes) => InstallError::Manifest(
                mistakes.into_iter().map(|m| crate::Mistake { file: MANIFEST_FILE.into(), ..m }).collect(),
            ),
            Ok(_) => InstallError::refused(shown, format!("{MANIFEST_FILE} has no name")),
        }),
    }
}

/// Takes away what Python has compiled when it was started. What stays is no harm.
fn without_compiled(folder: &Path, is_top: bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if entry.file_name() == COMPILED {
            let _ = fs::remove_dir_all(entry.path());
        } else if is_folder && !(is_top && entry.file_name() == venv::VENV) {
            without_compiled(&entry.path(), false);
        }
    }
}

/// Whether a version is older than another one, where both are numbers with points.
fn is_older(version: &str, than: &str) -> bool {
    let numbers =
        |text: &str| text.split('.').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    numbers(version).zip(numbers(than)).is_some_and(|(version, than)| version < than)
}

impl From<Failed> for InstallError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Cancelled => Self::Cancelled,
            Failed::Missing => Self::Fetch("a program is missing".into()),
            Failed::Said(said) => Self::Fetch(said),
        }
    }
}
