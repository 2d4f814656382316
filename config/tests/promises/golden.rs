//! The whole output for whole files: each `golden/NAME.toml` has a `NAME.txt` beside it.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-config` writes them anew; read the difference before you keep it.

use std::fmt::Write as _;
use std::path::Path;

use sedge_config::Outcome;

pub(crate) fn shown(outcome: &Outcome) -> String {
    let mut shown = String::new();
    for diagnostic in &outcome.diagnostics {
        let _ = writeln!(shown, "{}\n{}\n", diagnostic.one_line(), diagnostic.render(false));
    }
    let Some(config) = &outcome.config else { return shown + "No config: there was a fatal mistake.\n" };
    let buses = config.buses.iter().map(|bus| ("bus", &bus.id, &bus.fault));
    let sensors = config.sensors.iter().map(|sensor| ("sensor", &sensor.id, &sensor.fault));
    let gpios = config.gpios.iter().map(|gpio| ("gpio", &gpio.id, &gpio.fault));
    let plugins = config.plugins.iter().map(|plugin| ("plugin", &plugin.id, &plugin.fault));
    let processors = config.processors.iter().map(|one| ("processor", &one.id, &one.fault));
    let destinations = config.destinations.iter().map(|one| ("destination", &one.id, &one.fault));
    let guards = config.guards.iter().map(|guard| ("guard", &guard.id, &guard.fault));
    let callers = config.callers.iter().map(|caller| ("caller", &caller.id, &caller.fault));
    let components = buses.chain(sensors).chain(gpios).chain(plugins);
    for (section, id, fault) in components.chain(processors).chain(destinations).chain(guards).chain(callers)
    {
        let _ = writeln!(shown, "[{section}.{id}] {}", fault.as_deref().unwrap_or("runs"));
    }
    shown
}

/// Compares an output with the file that has it, or writes that file.
pub(crate) fn compare(name: &str, found: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("SEDGE_GOLDEN").is_some() {
        std::fs::write(&golden, found).expect("writable");
    } else {
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found, expected, "{}", golden.display());
    }
}

#[test]
fn each_file_gives_the_output_that_stands_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&path).expect("the file");
        let stem = path.file_stem().expect("a name").to_string_lossy();
        compare(&format!("{stem}.txt"), &shown(&super::parse(&text)));
    }
    assert!(files > 0, "there are files");
}
