//! What is wrong with the plugins at a path: for their authors, and before they are installed.
//!
//! It must not say more or less than a list does.

use std::fs;
use std::path::Path;

use crate::listing::{Place, discover};
use crate::manifest::{MANIFEST_FILE, name_of, read_named};
use crate::mistake::Mistake;

/// All mistakes of the plugin in a folder, or of those in a folder of such folders. A path to a manifest is as good as
/// one to its folder.
#[must_use]
pub fn check(path: &Path) -> Vec<Mistake> {
    let is_manifest =
        path.file_name().is_some_and(|name| name == MANIFEST_FILE) && !path.join(MANIFEST_FILE).exists();
    let folder = match path.parent() {
        Some(parent) if is_manifest && parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if is_manifest => parent,
        _ => path,
    };
    if fs::symlink_metadata(folder.join(MANIFEST_FILE)).is_ok() {
        return read_named(folder, &name_of(folder)).err().unwrap_or_default();
    }
    if let Err(error) = fs::metadata(folder) {
        return vec![Mistake::of_folder(folder, format!("this cannot be read: {error}"))];
    }
    let listing = discover(&[Place::extra(folder)]);
    if listing.found.is_empty() && listing.mistakes.is_empty() {
        let message =
            format!("there is no plugin here; expected a {MANIFEST_FILE}, or folders with one each");
        return vec![Mistake::of_folder(folder, message)];
    }
    let plugins = listing.found.into_iter().filter_map(|found| found.outcome.err());
    listing.mistakes.into_iter().chain(plugins.flatten()).collect()
}
