//! Whether there is a config, and whether it is right.

use std::io::ErrorKind;
use std::path::Path;

use super::Finding;
use crate::cli::Global;
use crate::load::{Loaded, find, load};

/// What to do about a config that was written for a later version.
const NEWER: &str = "upgrade the package (`sedge version` tells what this one is), or put back the config of this version; the journal stays";

pub(super) fn check(global: &Global) -> (Vec<Finding>, Option<Loaded>) {
    let Some(file) = find(global.config.as_deref()) else {
        let remedy = "`sedge init` writes one, with the sensors that are connected; or name one with -c FILE";
        return (vec![Finding::warn("config", "there is none", remedy)], None);
    };
    match load(global) {
        Ok(loaded) => (vec![judged(&loaded, &file)], Some(loaded)),
        Err(error) => {
            let denied =
                std::fs::File::open(&file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
            let remedy =
                if denied { "run this with `sudo`" } else { "correct it, or name another with -c FILE" };
            (vec![Finding::fail("config", error.to_string(), remedy)], None)
        }
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
            let newer = first.contains("is newer than this node");
            let tells = if newer { NEWER.to_owned() } else { tells };
            Finding::fail("config", format!("{shown}: {}: {first}", count(errors, "mistake")), tells)
        }
    }
}
