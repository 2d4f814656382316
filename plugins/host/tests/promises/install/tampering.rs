//! What a node is told of a plugin's files before it starts it.

use sedge_host::install::{Require, Standing, StandingError, standing};

use super::*;

fn of(bench: &Bench, require: Require) -> Result<Standing, StandingError> {
    standing(&bench.root().join("pump"), &Trust { require, ..Trust::default() })
}

#[test]
fn what_was_changed_since_it_was_installed_is_named() {
    let bench = Bench::new();
    bench.source("pump", "1.0.0", "");
    for file in ["a", "b", "c", "d"] {
        bench.at.write(&format!("work/pump/{file}"), "1");
    }
    bench.install("./work/pump").unwrap();
    assert!(matches!(of(&bench, Require::Locked), Ok(Standing::Locked { .. })));
    let said = |bench: &Bench| of(bench, Require::None).unwrap_err().to_string();

    bench.at.write("plugins/pump/main.py", "import os");
    assert_eq!(
        said(&bench),
        "it was changed since it was installed: main.py; install it again: `sedge plugin upgrade NAME --force` puts back what its source has"
    );
    bench.at.write("plugins/pump/new.py", "x");
    fs::remove_file(bench.root().join("pump/a")).unwrap();
    bench.at.write("plugins/pump/b", "2");
    assert!(said(&bench).starts_with(
        "it was changed since it was installed: b, main.py, new.py (new) and 1 more; install it again"
    ));
    fs::remove_dir_all(bench.root().join(".sums")).unwrap();
    assert!(said(&bench).starts_with("it was changed since it was installed: its files; install it again"));
}

#[test]
fn a_link_among_the_files_is_a_change() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    fs::remove_file(bench.root().join("pump/main.py")).unwrap();
    std::os::unix::fs::symlink(bench.at.path("work/pump/main.py"), bench.root().join("pump/main.py"))
        .unwrap();
    let said = of(&bench, Require::None).unwrap_err().to_string();
    assert!(said.contains("main.py is a link"), "{said}");
}

#[test]
fn a_list_that_was_changed_too_helps_nobody() {
    let bench = Bench::new();
    let hash = bench.install(bench.source("pump", "1.0.0", "")).unwrap().sha256.unwrap();
    bench.at.write("plugins/pump/main.py", "import os");
    let list = bench.root().join(".sums").join(hash);
    fs::write(&list, fs::read_to_string(&list).unwrap().replace("main.py", "main.pi")).unwrap();
    assert!(matches!(of(&bench, Require::None), Err(StandingError::Changed(_))));
}

#[test]
fn what_python_makes_by_itself_is_no_change() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.at.write("plugins/pump/__pycache__/main.pyc", "x");
    assert!(of(&bench, Require::Locked).is_ok());
    bench.at.write("plugins/pump/lib/venv/x", "x");
    assert!(of(&bench, Require::Locked).is_err(), "an environment is where environments are");
}

#[test]
fn what_was_put_there_by_hand_runs_unless_the_config_asks_for_more() {
    let bench = Bench::new();
    bench.at.write("plugins/pump/plugin.toml", manifest("pump", "1.0.0", ""));
    assert_eq!(of(&bench, Require::None).unwrap(), Standing::Unlocked);
    let said = of(&bench, Require::Locked).unwrap_err().to_string();
    assert!(
        said.contains("asks that a plugin was installed") && said.ends_with("this one was put there by hand"),
        "{said}"
    );
    assert!(of(&bench, Require::Signed).is_err());

    bench.source("tank", "1.0.0", "");
    bench.with(|installer| installer.link(&bench.at.path("work/tank"))).unwrap();
    let tank = |require| standing(&bench.root().join("tank"), &Trust { require, ..Trust::default() });
    assert_eq!(tank(Require::None).unwrap(), Standing::Linked);
    assert!(tank(Require::Locked).unwrap_err().to_string().contains("is a link"));
}

#[test]
fn an_environment_that_was_not_made_by_the_installation_is_a_change() {
    let bench = Bench::new();
    bench.install(bench.source("pump", "1.0.0", "")).unwrap();
    bench.at.write("plugins/pump/venv/bin/python", "x");
    for require in [Require::None, Require::Locked] {
        let said = of(&bench, require).unwrap_err().to_string();
        assert!(said.starts_with("it was changed since it was installed: venv (new);"), "{said}");
    }
}
