//! What a list shows.

use sedge_host::listing::Shadow;
use sedge_host::{Found, Listing, Origin, Place, discover};
use sedge_plugin::{Manifest, PluginInfo};

use super::{Folder, lines, manifest_of};

fn find<'a>(listing: &'a Listing, name: &str) -> &'a Found {
    listing.found.iter().find(|found| found.name == name).unwrap_or_else(|| panic!("{name} in {listing:?}"))
}

#[test]
fn a_plugin_is_listed_without_running_its_code() {
    let folder = Folder::new();
    let trace = folder.path("trace");
    let entry = format!("[entry]\ncommand = ['touch', '{}']", trace.display());
    folder.write("plugins/pump/plugin.toml", manifest_of("pump") + &entry);
    let script = format!("#!/bin/sh\ntouch {}\n", trace.display());
    for file in ["main.py", "plugin.sh", "__init__.py"] {
        folder.write(&format!("plugins/pump/{file}"), &script);
    }
    let places = [Place::user(folder.path("plugins"))];
    let listing = discover(&places);
    assert!(find(&listing, "pump").outcome.is_ok());
    assert_eq!(sedge_host::check(&folder.path("plugins")), []);
    assert_eq!(sedge_host::Cache::new(folder.path("cache")).discover(&places), listing);
    assert!(!trace.exists());
}

#[test]
fn the_higher_place_wins_and_the_other_one_says_so() {
    let folder = Folder::new();
    let built_in = PluginInfo::from(Manifest::new("pump", "0.1.0", "Drives a pump."));
    let places = ["extra", "system-b", "system-a", "user", "project"];
    places.iter().for_each(|place| drop(folder.plugin(&format!("{place}/pump"))));
    // The order of the kinds is the promise's, that within a kind the caller's.
    let listing = discover(&[
        Place::built_in([built_in, Manifest::new("clock", "0.1.0", "Ticks.").into()]),
        Place::extra(folder.path("extra")),
        Place::system(folder.path("system-b")),
        Place::system(folder.path("system-a")),
        Place::user(folder.path("user")),
        Place::project(folder.path("project")),
    ]);
    let origins: Vec<_> = listing.found.iter().map(|found| (found.name.as_str(), found.origin)).collect();
    let pumps =
        [Origin::Project, Origin::User, Origin::System, Origin::System, Origin::Extra, Origin::BuiltIn];
    assert_eq!(origins[0], ("clock", Origin::BuiltIn));
    assert_eq!(origins[1..], pumps.map(|origin| ("pump", origin)));
    assert_eq!(listing.found[3].path, Some(folder.path("system-b/pump")));
    assert_eq!(listing.found[1].shadowed_by, None);
    let shadow = Shadow { origin: Origin::Project, path: Some(folder.path("project/pump")) };
    assert!(listing.found[2..].iter().all(|found| found.shadowed_by.as_ref() == Some(&shadow)));
    assert!(listing.found[2..].iter().all(|found| found.outcome.is_ok()), "they stay in the list");
}

#[test]
fn a_plugin_with_mistakes_in_a_higher_place_is_not_replaced_silently() {
    let folder = Folder::new();
    folder.write("project/pump/plugin.toml", "manifest = 1");
    folder.plugin("user/pump");
    let listing = discover(&[Place::project(folder.path("project")), Place::user(folder.path("user"))]);
    assert!(listing.found[0].outcome.is_err() && listing.found[0].shadowed_by.is_none());
    assert!(listing.found[1].outcome.is_ok() && listing.found[1].shadowed_by.is_some());
}

#[test]
fn one_plugins_mistakes_do_not_end_the_list() {
    let folder = Folder::new();
    folder.plugin("plugins/good");
    std::fs::create_dir_all(folder.path("plugins/a-folder/plugin.toml")).expect("a folder");
    folder.write("plugins/binary/plugin.toml", [b'a', b'\n', 0xFF, 0]);
    folder.write("plugins/empty/plugin.toml", "");
    folder.write("plugins/Bad_Name/plugin.toml", manifest_of("Bad_Name"));
    folder.write("plugins/other/plugin.toml", manifest_of("good"));
    #[cfg(unix)]
    {
        std::fs::create_dir(folder.path("plugins/socket")).expect("a folder");
        drop(
            std::os::unix::net::UnixListener::bind(folder.path("plugins/socket/plugin.toml"))
                .expect("a socket"),
        );
    }
    let listing = discover(&[Place::user(folder.path("plugins"))]);
    let said = |name: &str| {
        let mistakes = find(&listing, name).outcome.as_ref().expect_err("mistakes");
        lines(&folder.path("plugins"), mistakes)
    };
    assert!(find(&listing, "good").outcome.is_ok());
    assert_eq!(
        said("a-folder"),
        ["a-folder/plugin.toml:1:1: this cannot be read: expected a file, found a folder"]
    );
    #[cfg(unix)]
    assert_eq!(
        said("socket"),
        ["socket/plugin.toml:1:1: this cannot be read: expected a file, found something else"]
    );
    assert_eq!(said("binary"), ["binary/plugin.toml:2:1: expected a text in UTF-8, found the byte 0xff"]);
    assert_eq!(
        said("empty"),
        [
            "empty/plugin.toml:1:1: missing key `manifest` — The form of this file.",
            "empty/plugin.toml:1:1: missing key `plugin` — Who it is and what it needs."
        ]
    );
    assert!(
        said("Bad_Name")[0].contains("the name `Bad_Name` has `B` at character 1"),
        "{:?}",
        said("Bad_Name")
    );
    assert!(said("other")[0].ends_with("expected the name of the folder, `other`, found `good`"));
    assert_eq!(listing.mistakes, []);
}

#[test]
fn what_is_no_plugin_is_not_listed() {
    let folder = Folder::new();
    folder.plugin("plugins/.staged");
    folder.write("plugins/system.toml", "every = '1s'");
    folder.write("plugins/plugin.toml", "");
    folder.write("plugins/data/readings.csv", "");
    folder.plugin("plugins/data/deeper");
    assert_eq!(discover(&[Place::user(folder.path("plugins"))]), Listing::default());
}

#[test]
fn a_place_that_does_not_exist_is_fine_and_one_that_cannot_be_read_is_a_mistake() {
    let folder = Folder::new();
    let file = folder.write("file", "");
    let listing = discover(&[Place::user(folder.path("nowhere")), Place::extra(&file)]);
    assert_eq!(listing.found, []);
    let said = lines(&folder.0, &listing.mistakes);
    assert!(said.len() == 1 && said[0].starts_with("file: these plugins cannot be listed: "), "{said:?}");
}

#[cfg(unix)]
#[test]
fn a_linked_plugin_is_listed_with_where_it_leads() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let target = folder.plugin("elsewhere/pump");
    folder.write("elsewhere/pump/s.json", "{}");
    folder.write("elsewhere/pump/plugin.toml", manifest_of("pump") + "[settings]\nschema = 's.json'");
    std::fs::create_dir(folder.path("plugins")).expect("a folder");
    symlink(&target, folder.path("plugins/pump")).expect("a link");
    symlink("nowhere", folder.path("plugins/lost")).expect("a link");
    symlink("../elsewhere/pump/s.json", folder.path("plugins/file")).expect("a link");
    std::fs::create_dir(folder.path("plugins/torn")).expect("a folder");
    symlink("nowhere", folder.path("plugins/torn/plugin.toml")).expect("a link");
    symlink("torn", folder.path("plugins/torn-too")).expect("a link");
    symlink("round", folder.path("plugins/round")).expect("a link");
    let listing = discover(&[Place::user(folder.path("plugins"))]);
    let names: Vec<_> = listing.found.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["lost", "pump", "round", "torn", "torn-too"]);
    let pump = find(&listing, "pump");
    assert_eq!((pump.link.as_deref(), pump.outcome.is_ok()), (Some(target.as_path()), true));
    assert!(["lost", "round", "torn", "torn-too"].iter().all(|name| find(&listing, name).outcome.is_err()));
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_reached_by_two_paths_is_one_place() {
    let folder = Folder::new();
    folder.plugin("plugins/pump");
    std::os::unix::fs::symlink("plugins", folder.path("same")).expect("a link");
    let listing = discover(&[Place::user(folder.path("plugins")), Place::extra(folder.path("same/"))]);
    assert_eq!(listing.found.len(), 1);
}
