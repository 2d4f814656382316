//! What manifests said when they were last read.
//!
//! Why: ten thousand manifests are read in a second or more, and looked at in a tenth of that. An entry holds as long
//! as the manifest and the files that it names are as they were: same size, same times of modification and of change.
//! So it misses only a file that changed twice within one tick of its file system's clock, at the same size; and,
//! where there is no time of change (outside of Unix), one that was given its old time of modification.
//!
//! The file is a line that says what it is, with a hash of the rest, and a line of JSON per plugin. It is written
//! beside its place and moved there. Plugins with mistakes are not in it.
//!
//! It must not be trusted further than a list goes: a plugin is started by what [its folder](crate::read) says. It must
//! not be needed: one that is missing, damaged, of another version or not writable costs time and nothing else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use sedge_plugin::fnv1a;
use serde::{Deserialize, Serialize};

use super::{Listing, MAX_FOLDERS, Place, list};
use crate::manifest::{Declaration, MANIFEST_FILE, Reading, Stamp};

/// The form of the file. The version of the crate stands beside it: another one may judge otherwise.
const FORM: &str = concat!("sedge plugins 1, ", env!("CARGO_PKG_VERSION"));

/// A larger file is neither read nor written, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// A file that makes lists quick.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
}

impl Cache {
    /// A cache in a file, which need not exist, nor its folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What [`discover`](super::discover) says. Only what has changed is read.
    #[must_use]
    pub fn discover(&self, places: &[Place]) -> Listing {
        let text = self.read().unwrap_or_default();
        let mut memory = Memory::load(&text);
        let listing = list(places, &mut memory, MAX_FOLDERS);
        if let Some(text) = memory.into_text() {
            // A list is right without a cache.
            let _ = self.replace(&text);
        }
        listing
    }

    fn read(&self) -> Option<String> {
        let metadata = fs::metadata(&self.path).ok()?;
        if !metadata.is_file() {
            return None;
        }
        let mut text = String::with_capacity(usize::try_from(metadata.len()).ok()?.min(LARGEST) + 1);
        File::open(&self.path).ok()?.take(LARGEST as u64).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let beside = PathBuf::from(beside);
        let write = || {
            OpenOptions::new().write(true).create_new(true).open(&beside)?.write_all(text.as_bytes())?;
            fs::rename(&beside, &self.path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&beside)))
    }
}

/// A plugin without mistakes.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    folder: Cow<'a, str>,
    manifest: Stamp,
    /// Below the folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<(String, Stamp)>,
    declaration: Declaration,
}

/// The cache while a list is made. Empty, it knows nothing and learns nothing of use.
#[derive(Default)]
pub(super) struct Memory<'m> {
    /// Not asked for yet, by folder, each with its line.
    old: HashMap<Cow<'m, str>, (Entry<'m>, &'m str)>,
    lines: Vec<Cow<'m, str>>,
    places: Vec<PathBuf>,
    changed: bool,
    keeps: bool,
}

impl<'m> Memory<'m> {
    fn load(text: &'m str) -> Self {
        let body = text.split_once('\n').filter(|(head, body)| *head == header(body)).map(|(_, body)| body);
        let entries = body.unwrap_or_default().lines().filter_map(|line| {
            let entry: Entry<'_> = serde_json::from_str(line).ok()?;
            Some((entry.folder.clone(), (entry, line)))
        });
        Self { old: entries.collect(), changed: body.is_none(), keeps: true, ..Self::default() }
    }

    /// A place is listed: what is not found there is gone.
    pub(super) fn enter(&mut self, place: &Path) {
        self.places.push(place.into());
    }

    /// What a plugin said, where nothing has changed since.
    pub(super) fn recall(&mut self, folder: &Path, stamp: Stamp) -> Option<Declaration> {
        let (entry, line) = self.old.remove(folder.to_str()?)?;
        let is_same = |(file, stamp): &(String, Stamp)| {
            fs::metadata(folder.join(file)).is_ok_and(|metadata| Stamp::of(&metadata) == *stamp)
        };
        if entry.manifest != stamp || !entry.files.iter().all(is_same) {
            self.changed = true;
            return None;
        }
        self.lines.push(line.into());
        Some(entry.declaration)
    }

    /// Keeps what was read for the next time.
    pub(super) fn learn(
        &mut self,
        folder: &Path,
        manifest: Stamp,
        Reading { declaration, files }: Reading,
    ) -> Declaration {
        let Some(name) = folder.to_str().filter(|_| self.keeps) else { return declaration };
        let entry = Entry { folder: name.into(), manifest, files, declaration };
        if let Ok(line) = serde_json::to_string(&entry) {
            self.lines.push(line.into());
            self.changed = true;
        }
        entry.declaration
    }

    /// The text to be written, where it differs from the one that was read.
    fn into_text(mut self) -> Option<String> {
        // What was not asked for is gone, or in the places of another config, which keep what is still there.
        let of_others = |folder: &Path| !self.places.iter().any(|place| folder.parent() == Some(place));
        self.changed |= self.old.keys().any(|folder| !of_others(Path::new(folder.as_ref())));
        if !self.changed {
            return None;
        }
        for (folder, (_, line)) in &self.old {
            let folder = Path::new(folder.as_ref());
            if of_others(folder) && folder.join(MANIFEST_FILE).exists() {
                self.lines.push((*line).into());
            }
        }
        let mut body = String::new();
        for line in &self.lines {
            if body.len() + line.len() + FORM.len() + 32 > LARGEST {
                break;
            }
            body.push_str(line);
            body.push('\n');
        }
        Some(format!("{}\n{body}", header(&body)))
    }
}

fn header(body: &str) -> String {
    format!("{FORM}, {:016x}", fnv1a(body.as_bytes()))
}
