//! `sedge plugin list | info | check | enable | disable`.
//!
//! What a plugin is stands in its manifest, how it fares is asked of the node on this machine, if one runs. No plugin's
//! code is run for it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use sedge_config::{Section, edit};
use sedge_host::Mistake;
use sedge_plugin::schema::nearest;
use serde_json::{Value as Json, json};

use super::{local, reload};
use crate::cli::Global;
use crate::control::Ask;
use crate::exit::Failure;
use crate::load::load;
use crate::log::coloured;
use crate::roster::{self, Roster, Row};
use crate::show::{self, say};

/// Lists every instance, and every plugin that lies on disk.
#[expect(clippy::print_stderr, reason = "a command tells what is amiss")]
pub async fn list(global: &Global) -> Result<(), Failure> {
    let roster = roster(global).await?;
    for mistake in &roster.mistakes {
        eprintln!("{mistake}");
    }
    if global.json {
        return say(roster.rows.iter().map(|row| json!(row)).collect::<Json>());
    }
    let colour = coloured(global, std::io::stdout().is_terminal());
    let mut lines =
        vec![["ID", "KIND", "STATE", "VERSION", "AUTHOR", "DESCRIPTION"].map(str::to_owned).to_vec()];
    lines.extend(roster.rows.iter().map(|row| cells(row, colour)));
    show::table(&lines)
}

fn cells(row: &Row, colour: bool) -> Vec<String> {
    let state = painted(&row.state, colour);
    let said = match (&row.reason, &row.shadowed_by) {
        (_, Some(other)) => format!("{} (shadowed by {other})", row.description),
        (Some(reason), None) => format!("{} ({reason})", row.description),
        (None, None) => row.description.clone(),
    };
    vec![row.id.clone(), row.kind.clone(), state, row.version.clone(), row.author.clone(), said]
}

/// Green runs, yellow is off or waits, red has failed.
fn painted(state: &str, colour: bool) -> String {
    let code = match state {
        "running" => 32,
        "failed" | "resting" => 31,
        "stopped" | "discovered" => 0,
        _ => 33,
    };
    // Filled up here: the codes have no width on the screen.
    if colour { format!("\x1b[{code}m{state:<11}\x1b[0m") } else { state.into() }
}

/// Describes a plugin: what it says of itself, and each instance of it.
pub async fn info(global: &Global, name: &str) -> Result<(), Failure> {
    let roster = roster(global).await?;
    let instances: Vec<&Row> = roster.rows.iter().filter(|row| row.id == name || row.kind == name).collect();
    let kind = instances.iter().find(|row| row.id == name).map_or(name, |row| row.kind.as_str());
    let info = roster.infos.iter().find(|info| info.name == kind);
    if info.is_none() && instances.is_empty() {
        let known = roster.infos.iter().map(|info| info.name.as_str());
        let known = known.chain(roster.rows.iter().map(|row| row.id.as_str()));
        let hint = nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Failure::Failed(format!("there is no plugin `{name}`{hint}")));
    }
    if global.json {
        return say(json!({ "plugin": info, "instances": instances }));
    }
    if let Some(info) = info {
        let list = |texts: &[String]| if texts.is_empty() { "-".to_owned() } else { texts.join(", ") };
        let requires: Vec<String> = info.requires.iter().map(ToString::to_string).collect();
        say(format_args!("{} {}  {}", info.name, info.version, info.description))?;
        show::table(&[
            vec!["  author".into(), if info.author.is_empty() { "-".into() } else { info.author.clone() }],
            vec!["  category".into(), info.category.word().into()],
            vec!["  tags".into(), list(&info.tags)],
            vec!["  needs".into(), list(&info.needs)],
            vec!["  requires".into(), list(&requires)],
        ])?;
        settings(info.settings.as_ref())?;
    }
    for row in instances {
        let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let since = row.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        let restarts = match row.restarts {
            0 => String::new(),
            1 => ", 1 restart".into(),
            n => format!(", {n} restarts"),
        };
        say(format_args!("  instance `{}` is {}{since}{restarts}{reason}", row.id, row.state))?;
    }
    Ok(())
}

fn settings(schema: Option<&Json>) -> Result<(), Failure> {
    let Some(properties) = schema.and_then(|schema| schema["properties"].as_object()) else { return Ok(()) };
    let row = |(key, property): (&String, &Json)| {
        let default = property.get("default").map(|value| format!("[{value}]")).unwrap_or_default();
        let text = property["description"].as_str().unwrap_or_default();
        vec![format!("  setting {key}"), default, text.lines().next().unwrap_or_default().to_owned()]
    };
    show::table(&properties.iter().map(row).collect::<Vec<_>>())
}

/// Checks plugins that lie on disk.
#[expect(clippy::print_stderr, reason = "a command tells what is amiss")]
pub fn check(global: &Global, path: Option<&Path>) -> Result<(), Failure> {
    let mistakes: Vec<Mistake> = match path {
        Some(path) => sedge_host::check(path),
        None => {
            let listing = sedge_host::discover(&roster::places(global));
            let wrong = listing.found.into_iter().filter_map(|found| found.outcome.err());
            wrong.flatten().chain(listing.mistakes).collect()
        }
    };
    if global.json {
        say(mistakes.iter().map(|mistake| Json::from(mistake.to_string())).collect::<Json>())?;
    } else {
        mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
        let told =
            if mistakes.len() == 1 { "1 mistake".into() } else { format!("{} mistakes", mistakes.len()) };
        say(if mistakes.is_empty() { "ok" } else { &told })?;
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::ConfigShown) }
}

/// Switches an instance on or off in the config, and has the node read it again, if one runs.
pub async fn switch(global: &Global, name: &str, on: bool) -> Result<(), Failure> {
    let loaded = load(global)?;
    let file = loaded.file.clone().ok_or_else(|| Failure::Config("there is no config to change".into()))?;
    let (section, file) = place(&loaded.effective, &file, name)?;
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", file.display())))?;
    let new = edit::set_enabled(&text, section, name, on)
        .map_err(|error| Failure::Config(format!("{}: {}", file.display(), sedge_plugin::chain(&error))))?;
    let word = if on { "enabled" } else { "disabled" };
    if new == text {
        return say(format_args!("{name} is {word} already"));
    }
    replace(&file, &new)
        .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", file.display())))?;
    match local::node(global) {
        Ok(node) => {
            let changed = reload::ask(&node).await?;
            say(format_args!("{name} is {word} in {}; {}", file.display(), reload::summary(&changed)))
        }
        Err(_) => say(format_args!("{name} is {word} in {}; no node runs here to be told", file.display())),
    }
}

/// The section that an id is in, and the file to change: the main one. What another layer says of it wins over that.
fn place(config: &Json, file: &Path, name: &str) -> Result<(Section, PathBuf), Failure> {
    let sections =
        [Section::Sensor, Section::Gpio, Section::Processor, Section::Destination, Section::Plugin];
    let there = |section: &Section| config[section.word()].get(name).is_some();
    let section = sections.into_iter().find(there);
    let known = sedge_plugins::PLUGINS.iter().map(|kind| kind.name);
    match section {
        Some(section) => Ok((section, file.into())),
        None if known.clone().any(|kind| kind == name) => Ok((Section::Plugin, file.into())),
        None => {
            let ids = sections.iter().flat_map(|section| config[section.word()].as_object());
            let ids = ids.flatten().map(|(id, _)| id.as_str());
            let hint = nearest(name, ids.chain(known));
            let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(Failure::Failed(format!("the config has no `{name}`{hint}")))
        }
    }
}

/// A power cut leaves the old file or the new one.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let file = std::fs::canonicalize(file)?; // A link stays one.
    let new = file.with_extension("toml.new");
    std::fs::write(&new, text)?;
    std::fs::set_permissions(&new, std::fs::metadata(&file)?.permissions())?;
    std::fs::File::open(&new)?.sync_all()?;
    std::fs::rename(&new, &file)
}

async fn roster(global: &Global) -> Result<Roster, Failure> {
    let running = match local::node(global) {
        Ok(node) => Some(node.ask(&Ask::Plugins).await?),
        Err(Failure::Unreachable(_)) => None,
        Err(other) => return Err(other),
    };
    Ok(roster::roster(global, running))
}
