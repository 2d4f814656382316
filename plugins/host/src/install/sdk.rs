//! The SDK for Python, which is a part of this program: pure Python that needs nothing else.
//!
//! A plugin may bring its own, beside its code or among the packages of its environment. One that brings none gets that of its
//! node: it fits the node, and the plugin is a file of code and a manifest.
//!
//! ```no_run
//! # use std::path::Path;
//! let (plugin, data) = (Path::new("plugins/dice"), Path::new("/var/lib/sedge/pi"));
//! if !sedge_host::install::brings_sdk(plugin) {
//!     let folder = sedge_host::install::lay_sdk(data)?; // for PYTHONPATH
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It must not write into a plugin's folder, which has a checksum.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::venv::VENV;

/// What it is imported as.
const PACKAGE: &str = "sedge_sdk";

/// As it lies in `plugins/sdk/python/src/sedge_sdk`.
pub(super) const FILES: &[(&str, &str)] = &[
    ("__init__.py", include_str!("../../../sdk/python/src/sedge_sdk/__init__.py")),
    ("__main__.py", include_str!("../../../sdk/python/src/sedge_sdk/__main__.py")),
    ("bus.py", include_str!("../../../sdk/python/src/sedge_sdk/bus.py")),
    ("errors.py", include_str!("../../../sdk/python/src/sedge_sdk/errors.py")),
    ("manifest.py", include_str!("../../../sdk/python/src/sedge_sdk/manifest.py")),
    ("node.py", include_str!("../../../sdk/python/src/sedge_sdk/node.py")),
    ("plugin.py", include_str!("../../../sdk/python/src/sedge_sdk/plugin.py")),
    ("py.typed", include_str!("../../../sdk/python/src/sedge_sdk/py.typed")),
    ("runner.py", include_str!("../../../sdk/python/src/sedge_sdk/runner.py")),
    ("schema.py", include_str!("../../../sdk/python/src/sedge_sdk/schema.py")),
    ("session.py", include_str!("../../../sdk/python/src/sedge_sdk/session.py")),
    ("testing.py", include_str!("../../../sdk/python/src/sedge_sdk/testing.py")),
    ("values.py", include_str!("../../../sdk/python/src/sedge_sdk/values.py")),
    ("wire.py", include_str!("../../../sdk/python/src/sedge_sdk/wire.py")),
];

/// Whether a plugin has an SDK of its own, which then is the one that it uses.
#[must_use]
pub fn brings_sdk(folder: &Path) -> bool {
    if folder.join(PACKAGE).is_dir() || folder.join(PACKAGE).with_extension("py").is_file() {
        return true;
    }
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let is_it = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(PACKAGE);
    entries(folder.join(VENV).join("lib"))
        .flat_map(|python| entries(python.path().join("site-packages")))
        .any(|package| is_it(&package.file_name()))
}

/// Lays this program's SDK below a folder, in one that is named by what it contains, where it is not there yet; gives what belongs
/// into `PYTHONPATH`. A file that was changed is written anew.
///
/// # Errors
/// It cannot be written.
pub fn lay_sdk(below: &Path) -> io::Result<PathBuf> {
    let all: Vec<u8> =
        FILES.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()].concat()).collect();
    let path = below.join("python").join(format!("{:016x}", sedge_plugin::fnv1a(&all)));
    let package = path.join(PACKAGE);
    fs::create_dir_all(&package)?;
    for (name, text) in FILES {
        let file = package.join(name);
        if fs::read(&file).is_ok_and(|there| there == text.as_bytes()) {
            continue;
        }
        // Others may be reading it, or writing the same.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = package.join(format!(".{name}.{}-{number}", std::process::id()));
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &file))
            .inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_is_all_of_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python/src/sedge_sdk");
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name != "__pycache__").collect();
        names.sort();
        assert_eq!(names, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
