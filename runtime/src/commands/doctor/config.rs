//! Whether there is a config, and whether it is right.

use std::path::Path;

use super::Finding;
use crate::cli::Global;
use crate::load::{Loaded, find, load};

pub(super) fn check(global: &Global) -> (Vec<Finding>, Option<Loaded>) {
    let Some(file) = find(global.config.as_deref()) else {
        let remedy = "copy config/examples/node.toml to /etc/sedge/sedge.toml, or name one with -c FILE; `sedge sensor scan` writes the sensors";
        return (vec![Finding::warn("config", "there is none", remedy)], None);
    };
    match load(global) {
        Ok(loaded) => (vec![judged(&loaded, &file)], Some(loaded)),
        Err(error) => (
            vec![Finding::fail("config", error.to_string(), "correct it, or name another with -c FILE")],
            None,
        ),
    }
}

fn judged(loaded: &Loaded, file: &Path) -> Finding {
    let shown = file.display();
    let tells = format!("`sedge check -c {shown}` shows where");
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (loaded.counts(), &loaded.config) {
        ((0, 0), Some(config)) => {
            let buses = count(config.buses.len(), "bus").replace("buss", "buses");
            Finding::ok("config", format!("{shown}: {} on {buses}", count(config.sensors.len(), "sensor")))
        }
        ((0, warnings), Some(_)) => {
            let first =
                loaded.diagnostics.first().map(sedge_config::Diagnostic::one_line).unwrap_or_default();
            Finding::warn("config", format!("{shown}: {}: {first}", count(warnings, "warning")), tells)
        }
        ((errors, _), _) => {
            let first = loaded.diagnostics.iter().find(|d| d.severity == sedge_config::Severity::Error);
            let first = first.map(sedge_config::Diagnostic::one_line);
            let first = first.or_else(|| loaded.refused.first().cloned()).unwrap_or_default();
            Finding::fail("config", format!("{shown}: {}: {first}", count(errors, "mistake")), tells)
        }
    }
}
