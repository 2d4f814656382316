//! `sedge plugin list | info | check | enable | disable`.
//!
//! What a plugin is stands in its manifest, how it fares is asked of the node on this machine, if one runs. No plugin's
//! code is run for it.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sedge_config::{Section, edit};
use sedge_host::Mistake;
use sedge_plugin::schema::nearest;
use serde_json::{Value as Json, json};

use super::{local, plugin_outside, reload};
use crate::cli::Global;
use crate::control::Ask;
use crate::exit::Failure;
use crate::load::{Loaded, find, load};
use crate::log::coloured;
use crate::roster::{self, Roster, Row};
use crate::shelf;
use crate::show::{self, complain, say};

/// Lists every instance, and every plugin that lies on disk.
pub async fn list(global: &Global) -> Result<(), Failure> {
    let roster = roster(global).await?;
    if !roster.runs {
        complain("no node runs here that this user may ask: this is what the config says, and no state");
    }
    for mistake in &roster.mistakes {
        complain(mistake);
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
        let outside = plugin_outside::json(&roster, kind, &instances);
        return say(json!({ "plugin": info, "instances": instances, "outside": outside }));
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
    plugin_outside::show(&roster, kind)?;
    for row in instances {
        let reason = row.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let since = row.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        let restarts = match row.restarts {
            0 => String::new(),
            1 => ", 1 restart".into(),
            n => format!(", {n} restarts"),
        };
        say(format_args!("  instance `{}` is {}{since}{restarts}{reason}", row.id, row.state))?;
        plugin_outside::instance(&roster, row)?;
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
pub fn check(global: &Global, path: Option<&Path>) -> Result<(), Failure> {
    let mistakes: Vec<Mistake> = match path {
        Some(path) => sedge_host::check(path),
        None => {
            let listing = {
                let config = find(global.config.as_deref());
                let extra = config.as_ref().and_then(|_| load(global).ok()?.config);
                let extra = extra.map(|config| config.plugin_paths).unwrap_or_default();
                sedge_host::discover(&shelf::places(config.as_deref(), &extra))
            };
            let wrong = listing.found.into_iter().filter_map(|found| found.outcome.err());
            wrong.flatten().chain(listing.mistakes).collect()
        }
    };
    if global.json {
        say(mistakes.iter().map(|mistake| Json::from(mistake.to_string())).collect::<Json>())?;
    } else {
        mistakes.iter().for_each(complain);
        let told =
            if mistakes.len() == 1 { "1 mistake".into() } else { format!("{} mistakes", mistakes.len()) };
        say(if mistakes.is_empty() { "ok" } else { &told })?;
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::ConfigShown) }
}

/// Switches an instance on or off in the config, and has the node read it again, if one runs.
pub async fn switch(global: &Global, name: &str, on: bool) -> Result<(), Failure> {
    let loaded = load(global)?;
    if loaded.effective.is_null() {
        loaded.show(global);
        return Err(Failure::ConfigShown);
    }
    let (section, file) = place(&loaded, name)?;
    // One at a time, held at the folder, which stays while the file is replaced: what another one has just written must
    // not be lost. Held to the end, because what the node refuses is put back. Where there are no locks it goes without.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _lock = std::fs::File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", file.display())))?;
    let new = edit::set_enabled(&text, section, name, on)
        .map_err(|error| Failure::Config(format!("{}: {}", file.display(), sedge_plugin::chain(&error))))?;
    let word = if on { "enabled" } else { "disabled" };
    let told = |changed: Json, text: String| match global.json {
        true => say(json!({ "id": name, "enabled": on, "file": file, "changed": changed })),
        false => say(text),
    };
    if new == text {
        return told(Json::Null, format!("{name} is {word} already in {}", file.display()));
    }
    let write = |text: &str| {
        let failed = |error| Failure::Failed(format!("cannot write {}: {error}", file.display()));
        replace(&file, text).map_err(failed)
    };
    write(&new)?;
    // Another layer may say otherwise, and wins.
    let after = load(global).inspect_err(|_| drop(write(&text)))?;
    let path = format!("{section}.{name}.enabled");
    let now = after.origins.iter().find(|origin| origin.path == path);
    if let Some(origin) = now.filter(|origin| origin.value != on) {
        write(&text)?;
        let told = format!("`{}` says otherwise for {name}, and wins over {}", origin.source, file.display());
        return Err(Failure::Failed(format!("{told}; change it there")));
    }
    let node = match local::node(global) {
        Ok(node) => node,
        Err(why) => {
            return told(Json::Null, format!("{name} is {word} in {}; {why}", file.display()));
        }
    };
    match reload::ask(&node).await {
        Ok(changed) => {
            let text = format!("{name} is {word} in {}; {}", file.display(), reload::summary(&changed));
            told(changed, text)
        }
        Err(Failure::Config(why)) => {
            write(&text)?;
            Err(Failure::Config(format!("{why}; {} is as it was", file.display())))
        }
        Err(why) => Err(Failure::Failed(format!("{name} is {word} in {}, but {why}", file.display()))),
    }
}

/// The section that an id is in, and the file that has it: the main one, or one in `conf.d`.
fn place(loaded: &Loaded, name: &str) -> Result<(Section, PathBuf), Failure> {
    let main = loaded.file.clone().ok_or_else(|| Failure::Config("there is no config to change".into()))?;
    let config = &loaded.effective;
    let sections = [
        Section::Sensor,
        Section::Gpio,
        Section::Processor,
        Section::Destination,
        Section::Remote,
        Section::Plugin,
    ];
    let section = sections.into_iter().find(|section| config[section.word()].get(name).is_some());
    let known = sedge_plugins::PLUGINS.iter().map(|kind| kind.name);
    let Some(section) = section else {
        if let Some(found) = loaded.shelf.named(name) {
            let declaration = shelf::usable(found).map_err(Failure::Failed)?;
            return match shelf::section_of(declaration) {
                Section::Plugin => Ok((Section::Plugin, main)),
                _ => {
                    Err(Failure::Failed(format!("`{name}` is a kind: {}", roster::how_to_name(declaration))))
                }
            };
        }
        if known.clone().any(|kind| kind == name) {
            return Ok((Section::Plugin, main));
        }
        let ids = sections.iter().flat_map(|section| config[section.word()].as_object());
        let ids = ids.flatten().map(|(id, _)| id.as_str());
        let on_disk = loaded.shelf.usable().map(|(_, declaration)| declaration.info.name.as_str());
        let hint = nearest(name, ids.chain(known).chain(on_disk));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Failure::Failed(format!("the config has no `{name}`{hint}")));
    };
    let within = format!("{section}.{name}.");
    let sources = loaded.origins.iter().filter(|origin| origin.path.starts_with(&within));
    let files: Vec<PathBuf> = sources.filter_map(|origin| file_of(&origin.source)).collect();
    let other = files.iter().find(|file| file.parent().is_some_and(|folder| folder.ends_with("conf.d")));
    match other {
        Some(other) if !files.contains(&main) => Ok((section, other.clone())),
        _ => Ok((section, main)),
    }
}

/// The file of a source such as `conf.d/20-site.toml:3:1`.
fn file_of(source: &str) -> Option<PathBuf> {
    let (rest, column) = source.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    (column.parse::<u32>().is_ok() && line.parse::<u32>().is_ok()).then(|| file.into())
}

/// A power cut leaves the old file or the new one; its owner, group and mode stay.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let file = std::fs::canonicalize(file)?; // A link stays one.
    let folder = file.parent().unwrap_or(Path::new("."));
    let before = std::fs::metadata(&file)?;
    let new = folder.join(format!(".sedge-{}.new", std::process::id()));
    let written = || {
        let mut options = std::fs::OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(&new)?;
        out.write_all(text.as_bytes())?;
        let here = out.metadata()?;
        if (here.uid(), here.gid()) != (before.uid(), before.gid()) {
            std::os::unix::fs::fchown(&out, Some(before.uid()), Some(before.gid()))?;
        }
        out.set_permissions(before.permissions())?;
        out.sync_all()?;
        std::fs::rename(&new, &file)?;
        std::fs::File::open(folder)?.sync_all()
    };
    written().inspect_err(|_| drop(std::fs::remove_file(&new)))
}

async fn roster(global: &Global) -> Result<Roster, Failure> {
    let running = match local::node(global) {
        Ok(node) => Some(node.ask(&Ask::Plugins).await?),
        Err(Failure::Unreachable(_)) => None,
        Err(other) => return Err(other),
    };
    Ok(roster::roster(global, running))
}
