//! What `sedge plugin info` says of a plugin on disk: what it asks for, what it is granted, what is missing.

use std::collections::BTreeSet;
use std::path::Path;

use sedge_config::Section;
use sedge_host::Declaration;
use sedge_host::install::{self, Standing};
use sedge_plugin::grant::{GpioGrant, Grants, I2cGrant, Requests};
use serde_json::{Value as Json, json};

use super::example;
use crate::exit::Failure;
use crate::roster::{Roster, Row};
use crate::shelf::section_of;
use crate::show::{say, table};

/// The plugin of that kind, where it lies on disk and can be used.
fn found<'r>(roster: &'r Roster, kind: &str) -> Option<(&'r Path, &'r Declaration)> {
    roster.shelf.usable().find(|(_, declaration)| declaration.info.name == kind)
}

/// What its manifest says beyond what all plugins say.
pub(super) fn show(roster: &Roster, kind: &str) -> Result<(), Failure> {
    let Some((folder, declaration)) = found(roster, kind) else { return Ok(()) };
    let mut rows = vec![vec!["  folder".to_owned(), folder.display().to_string()]];
    let tools: Vec<&str> = declaration.tools.iter().map(|tool| tool.name.as_str()).collect();
    let hooks: Vec<&str> = declaration.hooks.iter().map(|hook| hook.topic.as_str()).collect();
    let commands: Vec<&str> = declaration.commands.iter().map(|command| command.name.as_str()).collect();
    for (what, all) in [("  tools", tools), ("  hooks", hooks), ("  commands", commands)] {
        if !all.is_empty() {
            rows.push(vec![what.into(), all.join(", ")]);
        }
    }
    let asked = declaration.requests.missing(&Grants::default());
    if !asked.is_empty() {
        rows.push(vec!["  asks for".into(), asked.join(", ")]);
    }
    if !declaration.requests.why.is_empty() {
        rows.push(vec!["  because it".into(), declaration.requests.why.clone()]);
    }
    rows.push(vec!["  checksum".into(), standing(roster, folder)]);
    table(&rows)
}

/// What an instance is granted of that, and how to grant the rest.
pub(super) fn instance(roster: &Roster, row: &Row) -> Result<(), Failure> {
    let Some((_, declaration)) = found(roster, &row.kind) else { return Ok(()) };
    if let Some(isolation) = &row.isolation {
        say(format_args!("    isolation: {isolation}"))?;
    }
    let Some(told) = Told::of(roster, declaration, &row.id) else { return Ok(()) };
    if !told.held.is_empty() {
        say(format_args!("    granted: {}", told.held.join(", ")))?;
    }
    if !told.missing.is_empty() {
        say(format_args!("    not granted: {}", told.missing.join(", ")))?;
        say(format_args!("    to grant it, in [{}.{}]: {}", section_of(declaration), row.id, told.toml))?;
    }
    Ok(())
}

/// The same as one value; null for a plugin that is compiled in.
pub(super) fn json(roster: &Roster, kind: &str, rows: &[&Row]) -> Json {
    let Some((folder, declaration)) = found(roster, kind) else { return Json::Null };
    let instances: serde_json::Map<String, Json> = rows
        .iter()
        .filter_map(|row| {
            let Told { held, missing, toml } = Told::of(roster, declaration, &row.id)?;
            let told =
                json!({ "granted": held, "missing": missing, "toml": toml, "isolation": row.isolation });
            Some((row.id.clone(), told))
        })
        .collect();
    json!({
        "folder": folder,
        "entry": declaration.entry,
        "section": section_of(declaration).word(),
        "requests": declaration.requests,
        "tools": declaration.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(),
        "hooks": declaration.hooks,
        "commands": declaration.commands,
        "checksum": standing(roster, folder),
        "instances": instances,
    })
}

/// What is said of the grants of an instance.
struct Told {
    held: Vec<String>,
    missing: Vec<String>,
    toml: String,
}

impl Told {
    /// Nothing for an instance that the config does not have.
    fn of(roster: &Roster, declaration: &Declaration, id: &str) -> Option<Self> {
        let effective = &*roster.config.as_ref()?.effective;
        let section = effective.get(section_of(declaration).word())?.get(id)?;
        let grants: Grants = serde_json::from_value(section["grant"].clone()).unwrap_or_default();
        let requests = &declaration.requests;
        let missing = requests.missing(&grants);
        let held = words(&requests.held(&grants));
        let toml = grant_line(&wished(requests, &grants, effective));
        Some(Self { held, missing, toml })
    }
}

/// Each thing that is held: `tools: pump_set`.
fn words(held: &Grants) -> Vec<String> {
    let labels = held.i2c.keys().map(|label| format!("i2c: {label}"));
    let mut words: Vec<String> =
        labels.chain(held.gpio.keys().map(|label| format!("gpio: {label}"))).collect();
    for (what, texts) in [("tools", &held.tools), ("topics", &held.topics), ("hosts", &held.hosts)] {
        words.extend(texts.iter().map(|text| format!("{what}: {text}")));
    }
    words.extend(held.data.then(|| "data".to_owned()));
    words.extend(held.config.then(|| "config".to_owned()));
    words
}

/// What grants all that is asked for, and keeps what is granted. Where a thing is wired only the operator knows: the first
/// bus of the kind stands for it.
pub(super) fn wished(requests: &Requests, granted: &Grants, config: &Json) -> Grants {
    let bus = |kinds: &[&str], otherwise: &str| {
        let buses = config[Section::Bus.word()].as_object().into_iter().flatten();
        let mut fits =
            buses.filter(|(_, bus)| bus["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)));
        fits.next().map_or_else(|| otherwise.to_owned(), |(id, _)| id.clone())
    };
    let held = requests.held(granted);
    let i2c = requests.i2c.iter().map(|(label, addresses)| {
        let first = addresses.first().copied().unwrap_or_default();
        let wish = || I2cGrant { bus: bus(&["i2c", "tca9548a", "sim"], "i2c-1"), address: first };
        (label.clone(), held.i2c.get(label).cloned().unwrap_or_else(wish))
    });
    let gpio = requests.gpio.keys().map(|label| {
        let wish = || GpioGrant { bus: bus(&["gpio", "sim"], "gpio0"), line: 0 };
        (label.clone(), held.gpio.get(label).cloned().unwrap_or_else(wish))
    });
    let both = |asked: &BTreeSet<String>, granted: &BTreeSet<String>| {
        let covered = |one: &&String| !granted.iter().any(|pattern| sedge_plugin::glob(pattern, one));
        granted.iter().chain(asked.iter().filter(covered)).cloned().collect()
    };
    Grants {
        i2c: i2c.collect(),
        gpio: gpio.collect(),
        tools: both(&requests.tools, &granted.tools),
        topics: both(&requests.topics, &granted.topics),
        hosts: both(&requests.hosts, &granted.hosts),
        data: requests.data,
        config: requests.config,
    }
}

/// `grant = { hosts = ["api.example.org"], data = true }`.
pub(crate) fn grant_line(grants: &Grants) -> String {
    let value = serde_json::to_value(grants).unwrap_or_default();
    let mut line = format!("grant = {}", example::toml(&value));
    if grants.gpio.values().any(|grant| grant.line == 0) {
        line.push_str("  # with the line that it is wired to");
    }
    line
}

/// What is known of the plugin's files: installed, unchanged, signed.
fn standing(roster: &Roster, folder: &Path) -> String {
    let config = roster.config.as_ref().and_then(|loaded| loaded.config.as_ref());
    let trust = config.map(crate::outside::trust).unwrap_or_default();
    match install::standing(folder, &trust) {
        Ok(Standing::Unlocked) => "none: it was put there by hand".into(),
        Ok(Standing::Linked) => "none: it is a link, behind which files may change".into(),
        Ok(Standing::Locked { source, sha256, .. }) => {
            format!(
                "as it was installed from {source} (sha256 {})",
                sha256.chars().take(12).collect::<String>()
            )
        }
        Ok(Standing::Signed { key }) => format!("signed by {key}"),
        Err(error) => format!("WRONG: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_line_that_grants_all_is_toml_that_grants_all() {
        let requests: Requests = serde_json::from_value(json!({
            "i2c": { "pump": [32] }, "gpio": { "valve": "out" }, "hosts": ["a.example.org", "b.example.org"], "data": true,
        }))
        .unwrap();
        let granted: Grants = serde_json::from_value(json!({ "hosts": ["a.*"] })).unwrap();
        let config = json!({ "bus": { "left": { "kind": "i2c" }, "lines": { "kind": "gpio" } } });
        let line = grant_line(&wished(&requests, &granted, &config));
        assert_eq!(
            line,
            "grant = { data = true, gpio = { valve = { bus = \"lines\", line = 0 } }, hosts = [\"a.*\", \"b.example.org\"], \
             i2c = { pump = { address = 32, bus = \"left\" } } }  # with the line that it is wired to"
        );
        let outcome: BTreeMap<String, Grants> = toml(&line);
        assert_eq!(requests.missing(&outcome["grant"]), [""; 0]);
    }

    fn toml(line: &str) -> BTreeMap<String, Grants> {
        let outcome =
            sedge_config::parse("x", &format!("mqtt.embedded = true\nplugin.x.{line}"), &Default::default());
        let grant = outcome.effective["plugin"]["x"]["grant"].clone();
        [("grant".to_owned(), serde_json::from_value(grant).unwrap())].into()
    }
}
