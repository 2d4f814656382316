//! `sedge check`: checks a config without starting anything.

use sedge_mqtt::Broker;
use serde_json::json;

use super::node;
use crate::cli::{CheckArgs, Global};
use crate::credentials;
use crate::exit::Failure;
use crate::load::load;
use crate::show::say;

/// Says what is wrong with a config.
pub fn check(global: &Global, args: &CheckArgs) -> Result<(), Failure> {
    let config = args.file.clone().or_else(|| global.config.clone());
    let loaded = load(&Global { config, ..global.clone() })?;
    // What no schema can say, such as a password file that is not there.
    let mqtt = loaded.config.as_ref().map(|config| &config.mqtt);
    if let Some(mqtt) = mqtt.filter(|mqtt| !credentials::are_elsewhere(mqtt)) {
        node::bridge(mqtt, vec![Broker::default()])?;
    }
    let file = loaded.file.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
    let (errors, warnings) = loaded.counts();
    let good = errors == 0 && !(args.deny_warnings && warnings > 0);
    if global.json {
        say(
            json!({ "file": file, "ok": good, "diagnostics": loaded.diagnostics, "refused": loaded.refused }),
        )?;
    } else {
        loaded.show(global);
        say(summary(&file, errors, warnings))?;
    }
    if good { Ok(()) } else { Err(Failure::ConfigShown) }
}

fn summary(file: &str, errors: usize, warnings: usize) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => format!("{file}: ok"),
        (0, _) => format!("{file}: ok, {}", count(warnings, "warning")),
        (_, 0) => format!("{file}: {}", count(errors, "mistake")),
        _ => format!("{file}: {}, {}", count(errors, "mistake"), count(warnings, "warning")),
    }
}
