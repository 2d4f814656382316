//! From one version to the next.

use sedge_host::install::Lock;

use super::*;

const ASKS: &str = "[requests]\nhosts = [\"example.org\"]\n";

fn version(bench: &Bench) -> String {
    let text = fs::read_to_string(bench.root().join("pump/main.py")).unwrap();
    text.trim_start_matches("print('").trim_end_matches("')\n").to_owned()
}

fn with(bench: &Bench, how: Upgrade) -> Result<Upgraded, InstallError> {
    bench.with(|installer| installer.upgrade("pump", how))
}

#[test]
fn an_upgrade_brings_what_the_source_has_now() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    assert_eq!(
        bench.upgrade("pump").unwrap(),
        Upgraded::Same { name: "pump".into(), version: "1.0.0".into() }
    );
    bench.source("pump", "1.10.0", "");
    let Upgraded::Done(installed) = bench.upgrade("pump").unwrap() else { panic!() };
    assert_eq!((installed.before.as_deref(), &*installed.version), (Some("1.0.0"), "1.10.0"));
    assert_eq!(installed.notes, [""; 0]);
    assert_eq!(version(&bench), "1.10.0");
    assert_eq!(Lock::read(&bench.root()).unwrap().plugins["pump"].version, "1.10.0");

    bench.source("pump", "1.9.0", "");
    let Upgraded::Done(installed) = bench.upgrade("pump").unwrap() else { panic!() };
    assert_eq!(installed.notes, ["1.9.0 is older than 1.10.0, which was installed"]);
    bench.at.write("work/pump/new.py", "x");
    let Upgraded::Done(installed) = bench.upgrade("pump").unwrap() else { panic!() };
    assert_eq!(installed.notes, ["it says that it is the same version, 1.9.0, with other files"]);
}

#[test]
fn one_that_asks_for_more_waits_until_that_is_granted() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.source("pump", "2.0.0", ASKS);
    let Upgraded::Held { before, version: new, asks, .. } = bench.upgrade("pump").unwrap() else { panic!() };
    assert_eq!((&*before, &*new, &asks[..]), ("1.0.0", "2.0.0", &["hosts: example.org".to_owned()][..]));
    assert_eq!(version(&bench), "1.0.0", "the old one stays");
    let held = Lock::read(&bench.root()).unwrap().plugins["pump"].held.clone().unwrap();
    assert_eq!((held.version, held.asks), ("2.0.0".into(), asks));
    let listing = sedge_host::discover(&[sedge_host::Place::user(bench.root())]);
    assert_eq!(listing.found.len(), 1, "what waits is in no list");

    // What was looked at is what is granted, whatever the source has by now.
    bench.source("pump", "3.0.0", "[requests]\nhosts = [\"example.org\", \"evil.org\"]\n");
    let Upgraded::Done(installed) = with(&bench, Upgrade { grant: true, ..Upgrade::default() }).unwrap()
    else {
        panic!()
    };
    assert_eq!(installed.version, "2.0.0");
    let locked = Lock::read(&bench.root()).unwrap().plugins["pump"].clone();
    assert_eq!((locked.held, locked.requests.hosts.len()), (None, 1));
    assert!(!bench.root().join(".held-pump").exists());
    let Upgraded::Held { asks, .. } = bench.upgrade("pump").unwrap() else { panic!() };
    assert_eq!(asks, ["hosts: evil.org"]);
}

#[test]
fn what_waits_is_not_installed_where_it_was_changed_meanwhile() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.source("pump", "2.0.0", ASKS);
    bench.upgrade("pump").unwrap();
    bench.at.write("plugins/.held-pump/pump/main.py", "import os");
    let said = with(&bench, Upgrade { grant: true, ..Upgrade::default() }).unwrap_err().to_string();
    assert!(said.contains("it was changed since it was looked at"), "{said}");
    assert_eq!(version(&bench), "1.0.0");
}

#[test]
fn one_that_waits_is_forgotten_when_the_source_no_longer_asks_for_more() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.source("pump", "2.0.0", ASKS);
    bench.upgrade("pump").unwrap();
    bench.source("pump", "2.0.1", "");
    assert!(matches!(bench.upgrade("pump").unwrap(), Upgraded::Done(_)));
    assert_eq!(Lock::read(&bench.root()).unwrap().plugins["pump"].held, None);
    assert!(!bench.root().join(".held-pump").exists());
}

#[test]
fn what_was_changed_by_hand_is_not_thrown_away_unasked() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.at.write("plugins/pump/main.py", "mine");
    bench.source("pump", "2.0.0", "");
    let said = bench.upgrade("pump").unwrap_err().to_string();
    assert_eq!(
        said,
        "`pump` was changed since it was installed: main.py; keep what you need of that, and say --force"
    );
    with(&bench, Upgrade { force: true, ..Upgrade::default() }).unwrap();
    assert_eq!(version(&bench), "2.0.0");
}

#[test]
fn a_dry_upgrade_changes_nothing() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    let before = bench.everything();
    for more in ["", ASKS] {
        bench.source("pump", "2.0.0", more);
        with(&bench, Upgrade { dry: true, ..Upgrade::default() }).unwrap();
        assert_eq!(bench.everything(), before);
    }
}

#[test]
fn a_source_that_has_another_plugin_now_is_refused() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.at.write("work/pump/plugin.toml", manifest("tank", "1.0.0", ""));
    let said = bench.upgrade("pump").unwrap_err().to_string();
    assert!(said.contains("it has another plugin now, `tank`, and no `pump`"), "{said}");
}

#[test]
fn what_was_changed_by_hand_is_put_back_when_that_is_asked_for() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.at.write("plugins/pump/main.py", "mine");
    let said = bench.refused("./work/pump");
    assert!(said.contains("was changed since: `sedge plugin upgrade pump --force` puts back"), "{said}");
    let said = bench.upgrade("pump").unwrap_err().to_string();
    assert!(
        said.starts_with("`pump` was changed since it was installed: main.py; keep what you need"),
        "{said}"
    );
    let force = Upgrade { force: true, ..Upgrade::default() };
    let Upgraded::Done(installed) = with(&bench, force).unwrap() else { panic!() };
    assert_eq!(installed.notes, ["it was changed since it was installed: it is what its source has again"]);
    assert_eq!(version(&bench), "1.0.0");
    assert!(matches!(with(&bench, force).unwrap(), Upgraded::Same { .. }));
    // A link among the files is a change as well; a folder that is gone is nobody's loss.
    fs::remove_file(bench.root().join("pump/main.py")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", bench.root().join("pump/main.py")).unwrap();
    assert!(bench.upgrade("pump").unwrap_err().to_string().contains("`main.py` is a link"));
    fs::remove_dir_all(bench.root().join("pump")).unwrap();
    assert!(matches!(bench.upgrade("pump").unwrap(), Upgraded::Done(_)));
    assert_eq!(version(&bench), "1.0.0");
}
