//! What `sedge plugin check` says.

use sedge_host::check;

use super::{Folder, lines, manifest_of};

#[test]
fn a_plugin_and_a_folder_of_plugins_are_checked_alike() {
    let folder = Folder::new();
    folder.plugin("plugins/good");
    folder.write("plugins/pump/plugin.toml", manifest_of("pump") + "nmae = 1");
    let expected = [
        "plugins/pump/plugin.toml:6:1: unknown key `nmae`; did you mean `name`? allowed: activation, author, category, description, name, needs, requires, tags, version",
    ];
    for path in ["plugins", "plugins/pump", "plugins/pump/plugin.toml"] {
        assert_eq!(lines(&folder.0, &check(&folder.path(path))), expected, "{path}");
    }
    assert_eq!(check(&folder.path("plugins/good/.")), []);
}

#[test]
fn a_path_without_a_plugin_is_a_mistake() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("empty")).expect("a folder");
    let said = |path: &str| lines(&folder.0, &check(&folder.path(path))).join("\n");
    assert_eq!(
        said("empty"),
        "empty: there is no plugin here; expected a plugin.toml, or folders with one each"
    );
    assert!(said("nowhere").starts_with("nowhere: this cannot be read: "), "{}", said("nowhere"));
    folder.write("file", "");
    assert!(said("file").starts_with("file: these plugins cannot be listed: "), "{}", said("file"));
}
