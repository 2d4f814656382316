//! All plugins that there are, wherever they lie.
//!
//! The higher place wins where two plugins have one name, also when its plugin has mistakes: to fall back silently on
//! another one would run what nobody asked for. The lower one stays in the list and says what stands before it.
//!
//! A plugin is a sub-folder of a place with a `plugin.toml`; it may be a symbolic link, which the list tells. Other
//! folders are none of its business, nor are those whose name begins with a dot (an installation that is under way).
//!
//! It must not run, open or read anything of a plugin but its manifest and the schemas that this names, and one
//! plugin's mistakes must not keep the others from the list.

mod cache;
mod place;

use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::manifest::{Declaration, MANIFEST_FILE, Stamp, read_named, unreadable};
use crate::mistake::Mistake;
pub use cache::Cache;
use cache::Memory;
use place::Source;
pub use place::{Origin, Place};

/// More folders than these are not looked at.
pub const MAX_FOLDERS: usize = 100_000;

/// What there is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Sorted by name; of those that share a name, the one that wins stands first.
    pub found: Vec<Found>,
    /// What is wrong with the places themselves.
    pub mistakes: Vec<Mistake>,
}

/// A plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is called: its folder's name, which need not be a legal one where there are mistakes.
    pub name: String,
    /// In what kind of place.
    pub origin: Origin,
    /// Its folder; none for a compiled-in plugin.
    pub path: Option<PathBuf>,
    /// Where its folder leads to, as it is written, where that is a symbolic link.
    pub link: Option<PathBuf>,
    /// What it declares, or why it cannot be used.
    pub outcome: Result<Declaration, Vec<Mistake>>,
    /// What has the same name in a higher place; none for a plugin that can be used.
    pub shadowed_by: Option<Shadow>,
}

/// What stands before a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// In what kind of place.
    pub origin: Origin,
    /// Its folder; none for a compiled-in plugin.
    pub path: Option<PathBuf>,
}

/// Lists all plugins of some places. The order of precedence is that of [`Origin`]; among places of one kind the first
/// comes first.
#[must_use]
pub fn discover(places: &[Place]) -> Listing {
    list(places, &mut Memory::default(), MAX_FOLDERS)
}

fn list(places: &[Place], memory: &mut Memory<'_>, most: usize) -> Listing {
    let mut walk = Walk { memory, left: most, most, seen: Vec::new(), listing: Listing::default() };
    let mut places: Vec<_> = places.iter().collect();
    places.sort_by_key(|place| place.origin);
    for place in places {
        match &place.source {
            Source::Folder(path) => walk.place(place.origin, path),
            Source::BuiltIn(infos) => walk.listing.found.extend(infos.iter().cloned().map(Found::built_in)),
        }
    }
    let mut listing = walk.listing;
    listing.found.sort_by(|a, b| a.name.cmp(&b.name));
    shadow(&mut listing.found);
    listing
}

fn shadow(found: &mut [Found]) {
    for same in found.chunk_by_mut(|a, b| a.name == b.name) {
        if let [winner, others @ ..] = same {
            for other in others {
                other.shadowed_by = Some(Shadow { origin: winner.origin, path: winner.path.clone() });
            }
        }
    }
}

struct Walk<'a, 'm> {
    memory: &'a mut Memory<'m>,
    /// How many more folders may be looked at, of how many.
    left: usize,
    most: usize,
    /// Places may be the same folder by different paths.
    seen: Vec<PathBuf>,
    listing: Listing,
}

impl Walk<'_, '_> {
    fn place(&mut self, origin: Origin, path: &Path) {
        let (entries, real) = match fs::canonicalize(path).and_then(|real| Ok((fs::read_dir(path)?, real))) {
            Ok((_, real)) if self.seen.contains(&real) => return,
            Ok((entries, real)) => {
                self.seen.push(real.clone());
                (entries, real)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.mistake(path, format!("these plugins cannot be listed: {error}")),
        };
        self.memory.enter(&real);
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.mistake(path, format!("not all plugins can be listed: {error}")),
            };
            let Some(is_link) = is_candidate(&entry) else { continue };
            if self.left == 0 {
                return self.mistake(
                    path,
                    format!("there are more than {} folders; the rest is not listed", self.most),
                );
            }
            self.left -= 1;
            let found = Found::examine(origin, &entry, is_link, &real, self.memory);
            self.listing.found.extend(found);
        }
    }

    fn mistake(&mut self, path: &Path, message: String) {
        self.listing.mistakes.push(Mistake::of_folder(path, message));
    }
}

/// Whether it is a symbolic link, for a folder that may be a plugin.
fn is_candidate(entry: &DirEntry) -> Option<bool> {
    let kind = entry.file_type().ok()?;
    let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
    (!is_hidden && (kind.is_dir() || kind.is_symlink())).then_some(kind.is_symlink())
}

impl Found {
    fn built_in(mut info: sedge_plugin::PluginInfo) -> Self {
        let settings = info.settings.take().and_then(|schema| crate::manifest::SchemaText::of(&schema));
        Self {
            name: info.name.clone(),
            origin: Origin::BuiltIn,
            path: None,
            link: None,
            outcome: Ok(Declaration { settings, ..Declaration::of(info) }),
            shadowed_by: None,
        }
    }

    /// Nothing where there is no plugin. It is remembered by the `real` path of its place, however that was written.
    fn examine(
        origin: Origin,
        entry: &DirEntry,
        is_link: bool,
        real: &Path,
        memory: &mut Memory<'_>,
    ) -> Option<Self> {
        let folder = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let outcome = match fs::metadata(folder.join(MANIFEST_FILE)) {
            Ok(metadata) => {
                let stamp = Stamp::of(&metadata);
                let real = real.join(entry.file_name());
                match memory.recall(&real, stamp) {
                    Some(declaration) => Ok(declaration),
                    None => read_named(&folder, &name).map(|reading| memory.learn(&real, stamp, reading)),
                }
            }
            Err(error) if is_absent(error.kind()) => {
                let error = fs::metadata(&folder).err().or_else(|| dangling(&folder))?;
                Err(vec![unreadable(&folder.join(MANIFEST_FILE), &error)])
            }
            Err(error) => Err(vec![unreadable(&folder.join(MANIFEST_FILE), &error)]),
        };
        let link = is_link.then(|| fs::read_link(&folder).ok()).flatten();
        Some(Self { name, origin, path: Some(folder), link, outcome, shadowed_by: None })
    }
}

fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Why a manifest that is there cannot be followed, where it is a symbolic link to nothing.
fn dangling(folder: &Path) -> Option<std::io::Error> {
    let manifest = folder.join(MANIFEST_FILE);
    fs::symlink_metadata(&manifest).ok()?;
    fs::metadata(&manifest).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_folders_are_looked_at_than_are_allowed() {
        let root = std::env::temp_dir().join(format!("sedge-host-bounded-{}", std::process::id()));
        (0..5).for_each(|at| fs::create_dir_all(root.join(at.to_string())).expect("a folder"));
        let said = |most| list(&[Place::user(&root)], &mut Memory::default(), most).mistakes;
        assert_eq!(said(5), []);
        let mistakes = said(4);
        fs::remove_dir_all(&root).expect("a folder");
        assert_eq!(mistakes.len(), 1);
        assert_eq!(mistakes[0].message, "there are more than 4 folders; the rest is not listed");
    }
}
