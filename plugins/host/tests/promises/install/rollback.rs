//! Whatever fails, and wherever it is cut off: what was there is there, and nothing else.

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
