//! What a cache changes: the time, and nothing else.

use std::fs;
use std::path::Path;

use sedge_host::{Cache, Place, discover};

use super::{Folder, manifest_of};

/// Lists with a cache, and finds that this makes no difference.
fn agrees(cache: &Cache, places: &[Place]) {
    assert_eq!(cache.discover(places), discover(places));
    assert_eq!(cache.discover(places), discover(places), "and again");
}

fn description(cache: &Cache, places: &[Place]) -> String {
    cache.discover(places).found[0].outcome.as_ref().expect("no mistakes").info.description.clone()
}

/// A plugin with a schema, and a cache that knows it.
fn known() -> (Folder, Cache, [Place; 1]) {
    let folder = Folder::new();
    folder.write("plugins/pump/s.json", "{}");
    folder.write("plugins/pump/plugin.toml", manifest_of("pump") + "[settings]\nschema = 's.json'");
    let (cache, places) = (Cache::new(folder.path("cache/plugins")), [Place::user(folder.path("plugins"))]);
    agrees(&cache, &places);
    (folder, cache, places)
}

#[test]
fn a_list_from_the_cache_is_the_same() {
    let (folder, cache, places) = known();
    let text = fs::read_to_string(folder.path("cache/plugins")).expect("a cache");
    assert_eq!(text.lines().count(), 2);
    let old = fs::metadata(folder.path("cache/plugins")).expect("a file").modified().expect("a time");
    agrees(&cache, &places);
    let new = fs::metadata(folder.path("cache/plugins")).expect("a file").modified().expect("a time");
    assert_eq!(old, new, "nothing changed, nothing is written");
}

#[test]
fn what_the_cache_knows_is_not_read_again() {
    let (folder, cache, places) = known();
    let path = folder.path("cache/plugins");
    let text = fs::read_to_string(&path).expect("a cache");
    let body = text.split_once('\n').map(|(_, body)| body.replace("Is pump.", "Is kept.")).expect("a line");
    let version = text.split_once(", ").and_then(|(_, rest)| rest.split_once(',')).expect("a head").0;
    let head = format!("sedge plugins 1, {version}, {:016x}", sedge_plugin::fnv1a(body.as_bytes()));
    fs::write(&path, format!("{head}\n{body}")).expect("a cache");
    assert_eq!(description(&cache, &places), "Is kept.");
}

#[test]
fn a_changed_manifest_or_schema_is_noticed() {
    let (folder, cache, places) = known();
    let text = manifest_of("pump").replace("Is pump", "Is new here");
    folder.write("plugins/pump/plugin.toml", text + "[settings]\nschema = 's.json'");
    assert_eq!(description(&cache, &places), "Is new here.");
    folder.write("plugins/pump/s.json", "{ \"if\": 1 }");
    assert!(cache.discover(&places).found[0].outcome.is_err());
    folder.write("plugins/pump/s.json", "{ }");
    agrees(&cache, &places);
    fs::remove_file(folder.path("plugins/pump/s.json")).expect("a file");
    assert!(cache.discover(&places).found[0].outcome.is_err());
}

/// As an archive does, whose files all have the same time.
#[cfg(unix)]
#[test]
fn a_manifest_of_the_same_size_and_time_is_noticed() {
    let (folder, cache, places) = known();
    let path = folder.path("plugins/pump/plugin.toml");
    let time = fs::metadata(&path).expect("a file").modified().expect("a time");
    let ticked = |since: std::time::SystemTime| {
        // The file system's clock ticks every few milliseconds.
        let probe = folder.write("probe", "");
        fs::metadata(probe).expect("a file").modified().expect("a time") > since
    };
    while !ticked(time) {}
    let text = fs::read_to_string(&path).expect("a manifest").replace("Is pump.", "Is tank.");
    fs::write(&path, text).expect("a manifest");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("a time");
    assert_eq!(description(&cache, &places), "Is tank.");
}

#[test]
fn entries_of_vanished_plugins_are_dropped() {
    let (folder, cache, places) = known();
    folder.plugin("plugins/tank");
    agrees(&cache, &places);
    fs::remove_dir_all(folder.path("plugins/pump")).expect("a folder");
    agrees(&cache, &places);
    let text = fs::read_to_string(folder.path("cache/plugins")).expect("a cache");
    assert!(text.contains("Is tank.") && !text.contains("Is pump."), "{text}");
}

#[test]
fn two_configs_may_share_a_cache() {
    let (folder, cache, places) = known();
    folder.plugin("others/tank");
    agrees(&cache, &[Place::project(folder.path("others"))]);
    let text = fs::read_to_string(folder.path("cache/plugins")).expect("a cache");
    assert!(text.contains("Is tank.") && text.contains("Is pump."), "{text}");
    agrees(&cache, &places);
}

#[test]
fn a_place_may_be_written_in_several_ways() {
    let (folder, cache, places) = known();
    let text = fs::read(folder.path("cache/plugins")).expect("a cache");
    agrees(&cache, &[Place::extra(folder.path("cache/../plugins/."))]);
    assert_eq!(fs::read(folder.path("cache/plugins")).expect("a cache"), text);
    agrees(&cache, &places);
}

#[test]
fn a_damaged_cache_or_that_of_another_version_is_written_anew() {
    let (folder, cache, places) = known();
    let path = folder.path("cache/plugins");
    let good = fs::read(&path).expect("a cache");
    let text = String::from_utf8(good.clone()).expect("a text");
    let damaged: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"garbage".to_vec(),
        vec![0xFF; 1000],
        good[..good.len() - 10].to_vec(),
        text.replacen("plugins 1", "plugins 0", 1).into_bytes(),
        text.replace("Is pump.", "Is evil.").into_bytes(),
        [good.as_slice(), b"more\n"].concat(),
    ];
    for damaged in damaged {
        fs::write(&path, &damaged).expect("a cache");
        agrees(&cache, &places);
        assert_eq!(fs::read(&path).expect("a cache"), good);
    }
}

#[test]
fn a_cache_that_cannot_be_written_costs_time_only() {
    let (folder, _, places) = known();
    let file = folder.write("file", "");
    std::fs::create_dir(folder.path("a-folder")).expect("a folder");
    for path in [file.join("cache"), folder.path("a-folder"), "/proc/none/cache".into(), "".into()] {
        agrees(&Cache::new(&path), &places);
    }
    let left: Vec<_> =
        fs::read_dir(&folder.0).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 4, "nothing is left behind: {left:?}");
}

#[test]
fn a_plugin_with_mistakes_is_read_every_time() {
    let folder = Folder::new();
    folder.write("plugins/pump/plugin.toml", manifest_of("pump") + "[settings]\nschema = 's.json'");
    let (cache, places) = (Cache::new(folder.path("cache")), [Place::user(folder.path("plugins"))]);
    agrees(&cache, &places);
    folder.write("plugins/pump/s.json", "{}");
    assert!(cache.discover(&places).found[0].outcome.is_ok());
    assert!(Path::new(&folder.path("cache")).exists());
}
