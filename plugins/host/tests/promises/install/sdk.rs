//! What an author in Python may count on who brings no SDK.

use std::fs;
use std::path::Path;

use sedge_host::install::{brings_sdk, lay_sdk};

use super::Folder;

#[test]
fn the_sdk_is_laid_once_and_mended_where_it_was_changed() {
    let folder = Folder::new();
    let path = lay_sdk(&folder.0).unwrap();
    let file = path.join("sedge_sdk/wire.py");
    fs::write(&file, "raise SystemExit").unwrap();
    assert_eq!(lay_sdk(&folder.0).unwrap(), path);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python/src/sedge_sdk");
    let names = |folder: &Path| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "__pycache__").collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&path.join("sedge_sdk")), names(&source), "all of it, and nothing is left lying about");
    for name in names(&source) {
        let (laid, own) = (path.join("sedge_sdk").join(&name), source.join(&name));
        assert_eq!(fs::read(laid).unwrap(), fs::read(own).unwrap(), "{name:?}");
    }
    fs::write(folder.0.join("python/here"), "").unwrap();
    assert!(lay_sdk(&folder.0.join("python/here")).is_err());
}

#[test]
fn a_plugin_that_brings_its_own_is_known() {
    let folder = Folder::new();
    assert!(!brings_sdk(&folder.0));
    for own in ["sedge_sdk", "venv/lib/python3.11/site-packages/sedge_sdk-0.1.0.dist-info"] {
        let plugin = folder.0.join(own.replace('/', "-"));
        fs::create_dir_all(plugin.join("venv/lib/python3.11/site-packages/pytz")).unwrap();
        assert!(!brings_sdk(&plugin));
        fs::create_dir_all(plugin.join(own)).unwrap();
        assert!(brings_sdk(&plugin), "{own}");
    }
}
