//! The config that boards are given when they join: `config/all.toml`, `config/GROUP.toml`, `config/nodes/ID.toml`.
//!
//! What is handed out is read first: a comma that is missing here would stop forty boards. Whether a board has such a sensor only
//! the board knows; it checks all of its config before any of it counts.
//!
//! Whoever has a token that counts can read what other boards are given: no passwords belong here.

use std::io;
use std::path::{Path, PathBuf};

use sedge_plugin::Id;
use sedge_token::Fragment;
use toml::de::DeTable;

use crate::files;

/// Bytes of all that one board is given: the answer goes through a broker and a plugin, which have limits.
const MOST_BYTES: usize = 24 * 1024;
/// What joining itself writes.
const OURS: [(&str, &[&str]); 2] = [
    ("node", &["id"]),
    (
        "mqtt",
        &[
            "url",
            "urls",
            "embedded",
            "ca_file",
            "cert_file",
            "key_file",
            "username",
            "username_file",
            "password",
            "password_file",
        ],
    ),
];

/// What a board of that group is given, the most general first.
pub fn of(folder: &Path, id: &Id, group: Option<&Id>) -> Result<Vec<Fragment>, String> {
    let all = Id::new("all").map_err(|error| error.to_string())?;
    let group = group.filter(|group| **group != all);
    let files = [
        Some((all, folder.join("all.toml"))),
        group.map(|group| (group.clone(), folder.join(format!("{group}.toml")))),
        Some((id.clone(), folder.join("nodes").join(format!("{id}.toml")))),
    ];
    let mut fragments = Vec::new();
    for (name, file) in files.into_iter().flatten() {
        if let Some(text) = read(&file)? {
            check(&file, &text)?;
            fragments.push(Fragment { name, text });
        }
    }
    let bytes: usize = fragments.iter().map(|fragment| fragment.text.len()).sum();
    if bytes > MOST_BYTES {
        return Err(format!("the config for `{id}` has {bytes} bytes; {MOST_BYTES} are handed out at most"));
    }
    Ok(fragments)
}

fn read(file: &Path) -> Result<Option<String>, String> {
    match files::read(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// Whether a text may be handed out.
pub fn check(file: &Path, text: &str) -> Result<(), String> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let at = error.span().unwrap_or_default().start;
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        return Err(format!("{}:{line}: this is not TOML: {}", file.display(), error.message()));
    }
    for (section, keys) in OURS {
        let table = table.get_ref().get(section).and_then(|value| value.get_ref().as_table());
        let ours = keys.iter().find(|key| table.is_some_and(|table| table.contains_key(**key)));
        if let Some(key) = ours {
            let file = file.display();
            return Err(format!("{file}: `[{section}] {key}` is what joining writes; leave it out"));
        }
    }
    Ok(())
}

/// All files there are, with the name of the board or the group.
pub fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in [folder.to_owned(), folder.join("nodes")] {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        let files_of = entries.filter_map(Result::ok).map(|entry| entry.path());
        files.extend(files_of.filter(|file| file.extension().is_some_and(|e| e == "toml")));
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_given_what_is_for_all_for_its_group_and_for_itself_in_that_order() {
        let dir = std::env::temp_dir().join(format!("sedge-site-fragments-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("nodes")).unwrap();
        for (file, text) in [
            ("all", "# a"),
            ("greenhouse", "[sensor.air]\nkind = \"sim\""),
            ("nodes/pi-07", "# c"),
            ("x", "="),
        ] {
            std::fs::write(dir.join(format!("{file}.toml")), text).unwrap();
        }
        let id = |text: &str| Id::new(text).unwrap();
        let names = |node, group: Option<&str>| -> Result<Vec<String>, String> {
            let fragments = of(&dir, &id(node), group.map(id).as_ref())?;
            Ok(fragments.iter().map(|fragment| fragment.name.to_string()).collect())
        };
        assert_eq!(names("pi-07", Some("greenhouse")).unwrap(), ["all", "greenhouse", "pi-07"]);
        assert_eq!(names("pi-08", Some("cellar")).unwrap(), ["all"]);
        let error = names("pi-08", Some("x")).unwrap_err();
        assert!(error.contains("x.toml:1: this is not TOML"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_joining_writes_may_not_be_handed_out() {
        let check = |text| check(Path::new("all.toml"), text);
        assert!(check("[mqtt]\nkeep_alive = \"30s\"\n[node]\nlabels = { site = \"a\" }").is_ok());
        for wrong in ["[node]\nid = \"x\"", "mqtt.url = \"mqtt://x\"", "[mqtt]\npassword = \"x\""] {
            assert!(check(wrong).unwrap_err().contains("is what joining writes"), "{wrong}");
        }
    }
}
