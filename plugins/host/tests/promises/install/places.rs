//! What stands in the place afterwards: the folder, the lock file, and nothing else.

use proptest::prelude::*;
use sedge_host::install::{Held, Lock, Locked};
use sedge_host::{Place, discover};
use sedge_plugin::grant::Requests;

use super::*;

#[test]
fn what_is_installed_is_listed_and_stands_in_the_lock_file() {
    let bench = Bench::new();
    let installed = bench
        .install(bench.source(
            "pump",
            "1.0.0",
            "[requests]\nhosts = [\"example.org\"]\ngpio.valve = \"out\"\n",
        ))
        .unwrap();
    let listing = discover(&[Place::user(bench.root())]);
    assert_eq!(listing.found.len(), 1);
    assert!(listing.found[0].outcome.is_ok());
    let lock = Lock::read(&bench.root()).unwrap();
    let locked = &lock.plugins["pump"];
    assert_eq!(locked.version, "1.0.0");
    assert_eq!(locked.source, format!("dir:{}", bench.at.path("work/pump").display()));
    assert_eq!(locked.sha256, installed.sha256);
    assert_eq!(locked.installed, "2026-11-20T17:28:24.123Z");
    assert_eq!(locked.requests.hosts.iter().collect::<Vec<_>>(), ["example.org"]);
    assert_eq!(bench.steps.borrow()[..], [Step::Fetch, Step::Check, Step::Start, Step::Place, Step::Record]);
}

#[test]
fn the_hash_is_that_of_sha256sum_over_its_list() {
    let bench = Bench::new();
    let installed = bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    let list = "find . -type f | sort | sed 's|^./||' | LC_ALL=C sort | xargs sha256sum | sha256sum";
    let Some(said) = run(&installed.folder, &["sh", "-c", list]) else { return };
    assert_eq!(said.split(' ').next(), installed.sha256.as_deref());
}

#[test]
fn a_dry_run_changes_nothing_and_says_the_same() {
    let bench = Bench::new();
    let source = Source::parse(&bench.source("pump", "1.0.0", ""), &bench.at.0).unwrap();
    let dry = bench.with(|installer| installer.install(&source, true)).unwrap();
    assert!(!bench.root().exists());
    assert_eq!(bench.with(|installer| installer.install(&source, false)).unwrap(), dry);
}

#[test]
fn what_is_there_already_is_not_installed_over() {
    let bench = Bench::new();
    let source = bench.source("pump", "1.0.0", "");
    bench.install(&source).unwrap();
    let said = bench.refused(&source);
    assert!(
        said.contains("`pump` is installed already") && said.contains("sedge plugin upgrade pump"),
        "{said}"
    );
    bench.source("tank", "1.0.0", "");
    bench.at.write("plugins/tank/plugin.toml", "by hand");
    let said = bench.refused("./work/tank");
    assert!(said.contains("was not installed by `sedge plugin`: move it away"), "{said}");
}

#[test]
fn what_is_removed_is_gone_and_the_others_stay() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    let before = bench.everything();
    bench.install(bench.source("tank", "1.0.0", "")).unwrap();
    assert_eq!(bench.with(|installer| installer.remove("tank")).unwrap().version, "1.0.0");
    assert_eq!(bench.everything(), before);
    let said = bench.with(|installer| installer.remove("tank")).unwrap_err().to_string();
    assert!(said.contains("there is no plugin `tank` installed in"), "{said}");
    bench.at.write("plugins/tank/plugin.toml", "by hand");
    let said = bench.with(|installer| installer.remove("tank")).unwrap_err().to_string();
    assert!(said.contains("was not installed by `sedge plugin`: it is yours"), "{said}");
    assert!(bench.root().join("tank").exists());
}

#[test]
fn a_link_stands_for_a_folder_that_is_worked_on_and_its_removal_leaves_that() {
    let bench = Bench::new();
    bench.source("pump", "1.0.0", "");
    let work = bench.at.path("work/pump");
    bench.with(|installer| installer.link(&work)).unwrap();
    assert_eq!(fs::read_link(bench.root().join("pump")).unwrap(), work);
    let said = bench.upgrade("pump").unwrap_err().to_string();
    assert!(said.contains("`pump` is a link: it is what lies there"), "{said}");
    bench.with(|installer| installer.remove("pump")).unwrap();
    assert!(!bench.root().join("pump").exists() && work.join("main.py").exists());
}

#[test]
fn a_second_installation_waits_for_the_first() {
    let bench = Bench::new();
    let source = bench.source("pump", "1.0.0", "");
    fs::create_dir_all(bench.root()).unwrap();
    let other = fs::File::open(bench.root()).unwrap();
    other.lock().unwrap();
    let mut busy = Bench::new();
    busy.fail_at = Some(Step::Locked);
    let source = Source::parse(&source, &bench.at.0).unwrap();
    let said = busy.with(|installer| {
        let there = Installer {
            root: bench.root(),
            environment: BTreeMap::new(),
            trust: Trust::default(),
            ..*installer
        };
        there.install(&source, false)
    });
    assert!(matches!(said, Err(InstallError::Cancelled)), "{said:?}");
    assert_eq!(busy.steps.borrow()[..], [Step::Locked]);
    drop(other);
    bench.with(|installer| installer.install(&source, false)).unwrap();
}

#[test]
fn a_broken_lock_file_is_told_and_nothing_is_changed() {
    let bench = Bench::new();
    bench.at.write("plugins/plugins.lock", "version = 2\n");
    assert!(
        bench
            .refused(bench.source("pump", "1.0.0", ""))
            .contains("version 2 is newer than this sedge, which reads 1")
    );
    bench.at.write("plugins/plugins.lock", "version = ");
    assert!(bench.refused("./work/pump").contains("it is written by `sedge plugin` alone"));
}

fn locked() -> impl Strategy<Value = Locked> {
    let text = || "\\PC{0,20}";
    let requests = (
        proptest::collection::btree_set(text(), 0..3),
        any::<bool>(),
        proptest::collection::btree_map(text(), proptest::collection::vec(any::<u8>(), 0..3), 0..3),
    )
        .prop_map(|(hosts, data, i2c)| Requests { hosts, data, i2c, ..Requests::default() });
    let held = (text(), text(), proptest::collection::vec(text(), 0..3))
        .prop_map(|(version, sha256, asks)| Held { version, sha256, asks, commit: None });
    (
        text(),
        text(),
        proptest::option::of(text()),
        proptest::option::of(text()),
        requests,
        proptest::option::of(held),
    )
        .prop_map(|(version, source, commit, sha256, requests, held)| Locked {
            version,
            source,
            commit,
            venv: sha256.clone(),
            sha256,
            key: None,
            installed: "2026-11-20T17:28:24.123Z".into(),
            requests,
            held,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_lock_file_says_what_was_written(plugins in proptest::collection::btree_map("[a-z][a-z0-9-]{0,8}", locked(), 0..4)) {
        let mut lock = Lock::default();
        lock.plugins = plugins;
        prop_assert_eq!(Lock::parse(&lock.text().unwrap()), Ok(lock));
    }

    #[test]
    fn a_lock_file_of_anything_at_all_harms_nobody(text in "\\PC{0,200}") {
        let _ = Lock::parse(&text);
    }
}
