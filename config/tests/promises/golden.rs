//! The whole output for whole files: each `golden/NAME.toml` has a `NAME.txt` beside it.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-config` writes them anew; read the difference before you keep it.

use std::fmt::Write as _;
use std::path::Path;

use sedge_config::Outcome;

fn shown(outcome: &Outcome, text: &str) -> String {
    let mut shown = String::new();
    for diagnostic in &outcome.diagnostics {
        let _ = writeln!(shown, "{}\n{}\n", diagnostic.one_line(), diagnostic.render(text, false));
    }
    let Some(config) = &outcome.config else { return shown + "No config: there was a fatal mistake.\n" };
    let buses = config.buses.iter().map(|bus| ("bus", &bus.id, &bus.fault));
    let sensors = config.sensors.iter().map(|sensor| ("sensor", &sensor.id, &sensor.fault));
    let gpios = config.gpios.iter().map(|gpio| ("gpio", &gpio.id, &gpio.fault));
    let plugins = config.plugins.iter().map(|plugin| ("plugin", &plugin.id, &plugin.fault));
    for (section, id, fault) in buses.chain(sensors).chain(gpios).chain(plugins) {
        let _ = writeln!(shown, "[{section}.{id}] {}", fault.as_deref().unwrap_or("runs"));
    }
    shown
}

#[test]
fn each_file_gives_the_output_that_stands_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let write = std::env::var_os("SEDGE_GOLDEN").is_some();
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&path).expect("the file");
        let found = shown(&super::parse(&text), &text);
        let golden = path.with_extension("txt");
        if write {
            std::fs::write(&golden, found).expect("writable");
        } else {
            let expected = std::fs::read_to_string(&golden).unwrap_or_default();
            assert_eq!(found, expected, "{}", golden.display());
        }
    }
    assert!(files > 0, "there are files");
}
