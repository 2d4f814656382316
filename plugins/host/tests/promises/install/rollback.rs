//! Whatever fails, and wherever it is cut off: what was there is there, and nothing else.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sedge_host::install::{NotStarted, Offline};

use super::*;

#[test]
fn an_installation_that_ends_at_any_step_leaves_nothing() {
    for step in [Step::Fetch, Step::Check, Step::Requirements, Step::Start, Step::Place, Step::Record] {
        let mut bench = Bench::new();
        let python = if step == Step::Requirements { "[python]\n" } else { "" };
        let source = bench.source("pump", "1.0.0", python);
        bench.fail_at = Some(step);
        assert!(matches!(bench.install(&source), Err(InstallError::Cancelled)), "{step:?}");
        assert_eq!(bench.steps.borrow().last(), Some(&step));
        assert!(!bench.root().exists(), "{step:?}: {:?}", bench.everything().keys());
    }
}

#[test]
fn a_plugin_that_does_not_load_is_not_installed() {
    let mut bench = Bench::new();
    let source = bench.source("pump", "1.0.0", "");
    bench.start = |_| Err("it exited with status 1; its last words: no module named smbus".into());
    assert_eq!(
        bench.refused(&source),
        "it does not load: it exited with status 1; its last words: no module named smbus"
    );
    bench.start = |folder| {
        fs::write(folder.join("state.json"), "{}").map_err(|error| error.to_string())?;
        Ok(String::new())
    };
    let said = bench.refused(&source);
    assert!(said.contains("it changes its own files when it is started: state.json (new)"), "{said}");
    bench.start = |folder| {
        fs::create_dir(folder.join("__pycache__")).map_err(|error| error.to_string())?;
        Ok(String::new())
    };
    bench.install(&source).unwrap();
    assert!(!bench.root().join("pump/__pycache__").exists(), "what Python compiled does not stay");
}

#[test]
fn an_upgrade_that_ends_at_any_step_leaves_the_old_one() {
    for step in [Step::Fetch, Step::Check, Step::Start, Step::Place, Step::Record] {
        let mut bench = Bench::new();
        bench.install(bench.source("pump", "1.0.0", "")).unwrap();
        let before = bench.everything();
        bench.source("pump", "2.0.0", "");
        bench.fail_at = Some(step);
        assert!(matches!(bench.upgrade("pump"), Err(InstallError::Cancelled)), "{step:?}");
        assert_eq!(bench.everything(), before, "{step:?}");
        bench.fail_at = None;
        assert!(matches!(bench.upgrade("pump"), Ok(Upgraded::Done(_))), "{step:?}");
    }
}

#[test]
fn what_a_killed_installation_has_left_is_swept_by_the_next_one() {
    let bench = Bench::new();
    bench.at.write("plugins/.staging-1/pump/main.py", "x");
    bench.at.write("plugins/.held-pump/pump/main.py", "x");
    bench.at.write("plugins/.sums/0123", "x");
    bench.at.write("plugins/.mine/x", "x");
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    let left: Vec<_> = bench.everything().into_keys().filter(|name| name.starts_with('.')).collect();
    let hash = bench.with(|installer| sedge_host::install::Lock::read(&installer.root)).unwrap();
    let list = format!(".sums/{}", hash.plugins["pump"].sha256.clone().unwrap());
    assert_eq!(left, [".mine/", ".mine/x", ".sums/", &list], "what is somebody else's stays");
}

#[test]
fn an_upgrade_that_was_cut_off_is_finished_or_taken_back() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    let before = bench.everything();
    let (here, old) = (bench.root().join("pump"), bench.root().join(".old-pump"));
    let sweep = || drop(bench.with(|installer| installer.remove("nobody")));

    // Between the two renames.
    fs::rename(&here, &old).unwrap();
    sweep();
    assert_eq!(bench.everything(), before, "taken back");

    // After both, before the lock file.
    fs::rename(&here, &old).unwrap();
    bench.at.write("plugins/pump/main.py", "new");
    sweep();
    assert_eq!(bench.everything(), before, "taken back");

    // After the lock file.
    bench.at.write("plugins/.old-pump/main.py", "old");
    sweep();
    assert_eq!(bench.everything(), before, "finished");
}

/// Installs two plugins at once: the second one comes while the first one is at its last step, and waits. The first one then
/// ends as `first` says, the second one when it has waited as `second` says.
fn at_once(bench: &Bench, first: bool, second: bool) -> [Result<Installed, InstallError>; 2] {
    let sources = ["pump", "tank"].map(|name| bench.source(name, "1.0.0", ""));
    let sources = sources.map(|source| Source::parse(&source, &bench.at.0).unwrap());
    let (placing, is_placing) = mpsc::channel::<()>();
    let (waiting, is_waiting) = mpsc::channel::<()>();
    let soon = |channel: &mpsc::Receiver<()>| channel.recv_timeout(Duration::from_secs(20)).unwrap();
    let root = bench.root();
    // Without the bench, which is of one thread.
    let installs = |source: &Source, watch: &dyn Fn(Step) -> bool| {
        let (fetch, verifier, trust) = (&Offline, &NotStarted, Trust::default());
        let (root, environment) = (root.clone(), BTreeMap::new());
        Installer { root, trust, fetch, verifier, watch, environment, now_ms: 0 }.install(source, false)
    };
    thread::scope(|scope| {
        let [pump, tank] = &sources;
        let one = scope.spawn(move || {
            let watch = |step| match step {
                Step::Place => {
                    placing.send(()).unwrap();
                    soon(&is_waiting);
                    first
                }
                _ => true,
            };
            installs(pump, &watch)
        });
        soon(&is_placing);
        let watch = |step| {
            let _ = (step == Step::Locked).then(|| waiting.send(()));
            assert!(
                second || matches!(step, Step::Locked | Step::Waiting),
                "it goes on, though it was given up"
            );
            second
        };
        let two = installs(tank, &watch);
        [one.join().unwrap(), two]
    })
}

#[test]
fn of_two_installations_at_once_the_second_one_waits_and_both_are_there() {
    let bench = Bench::new();
    let done = at_once(&bench, true, true);
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let lock = sedge_host::install::Lock::read(&bench.root()).unwrap();
    assert_eq!(lock.plugins.into_keys().collect::<Vec<_>>(), ["pump", "tank"]);
    assert!(bench.root().join("pump/main.py").exists() && bench.root().join("tank/main.py").exists());
}

#[test]
fn one_that_waits_for_another_is_not_hurt_when_that_comes_to_nothing() {
    let bench = Bench::new();
    let [first, second] = at_once(&bench, false, true);
    assert!(matches!(first, Err(InstallError::Cancelled)), "{first:?}");
    second.unwrap();
    let there: Vec<_> = bench.everything().into_keys().filter(|name| !name.starts_with(".sums")).collect();
    assert_eq!(there, ["plugins.lock", "tank/", "tank/main.py", "tank/plugin.toml"]);
}

#[test]
fn one_that_waits_for_another_can_be_given_up() {
    let bench = Bench::new();
    let [first, second] = at_once(&bench, true, false);
    first.unwrap();
    assert!(matches!(second, Err(InstallError::Cancelled)), "{second:?}");
    assert!(!bench.everything().keys().any(|name| name.starts_with("tank") || name.contains("staging")));
}

#[test]
fn what_cannot_be_written_leaves_what_was_there() {
    use std::os::unix::fs::PermissionsExt as _;
    if nix::unistd::geteuid().is_root() {
        // Root may write everywhere: a folder stands where a file is to be.
        let bench = Bench::new();
        bench.at.write("plugins/plugins.lock/x", "x");
        assert!(bench.refused(bench.source("pump", "1.0.0", "")).contains("plugins.lock"));
        return;
    }
    let bench = Bench::new();
    bench.install(bench.source("tank", "1.0.0", "")).unwrap();
    fs::set_permissions(bench.root(), fs::Permissions::from_mode(0o555)).unwrap();
    let said = bench.refused(bench.source("pump", "1.0.0", ""));
    fs::set_permissions(bench.root(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(said.starts_with("cannot make"), "{said}");
}
