//! What a person who writes, installs or lists plugins may count on.

#[path = "promises/cache.rs"]
mod cache;
#[path = "promises/check.rs"]
mod check;
#[path = "promises/faults.rs"]
mod faults;
#[path = "promises/golden.rs"]
mod golden;
#[path = "promises/install/mod.rs"]
mod install;
#[path = "promises/listing.rs"]
mod listing;
#[path = "promises/manifest.rs"]
mod manifest;
#[path = "promises/never.rs"]
mod never;
#[path = "promises/outside/mod.rs"]
mod outside;
#[path = "promises/process.rs"]
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sedge-host-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path.canonicalize().expect("a folder"))
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    /// A plugin without anything special.
    fn plugin(&self, folder: &str) -> PathBuf {
        let name = Path::new(folder).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.write(&format!("{folder}/plugin.toml"), manifest_of(name));
        self.path(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn manifest_of(name: &str) -> String {
    format!("manifest = 1\n[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"Is {name}.\"\n")
}

/// What is wrong, one line each, with paths below `folder`.
fn lines(folder: &Path, mistakes: &[sedge_host::Mistake]) -> Vec<String> {
    let prefix = format!("{}/", folder.display());
    mistakes.iter().map(|mistake| mistake.to_string().replace(&prefix, "")).collect()
}
