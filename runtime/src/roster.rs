//! Every plugin that there is, without running one: compiled in, lying on disk, named by the config; and how each fares,
//! where a node that runs has said so.

use std::collections::BTreeSet;
use std::sync::Arc;

use sedge_config::Section;
use sedge_host::{Declaration, Found, Mistake, Origin};
use sedge_plugin::{Category, Manifest, Plugin, PluginInfo, Stage};
use sedge_plugins::destinations::DESTINATIONS;
use sedge_plugins::{GPIOS, PLUGINS, processors, sensors};
use serde::Serialize;
use serde_json::Value as Json;

use crate::cli::Global;
use crate::commands::version::VERSION;
use crate::extend;
use crate::load::{Loaded, find, load};
use crate::shelf::{Shelf, section_of, usable};

/// Plugins that run although no section names them.
pub(crate) const BY_DEFAULT: [&str; 4] = ["audit", "history", "plausible", "system"];
/// The sections of the config that have instances, in the order in which they are listed.
const SECTIONS: [&str; 6] = ["plugin", "processor", "destination", "remote", "gpio", "sensor"];

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The instance; for a plugin without one, its name.
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) restarts: u64,
    pub(crate) version: String,
    pub(crate) author: String,
    pub(crate) category: &'static str,
    pub(crate) description: String,
    /// `built in`, `project`, `user`, `system`, `extra`.
    pub(crate) origin: &'static str,
    pub(crate) service_of: Option<String>,
    pub(crate) shadowed_by: Option<String>,
    /// How far it is kept from the rest of the machine, where it runs outside of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<String>,
}

/// Everything that there is.
pub(crate) struct Roster {
    pub(crate) rows: Vec<Row>,
    pub(crate) infos: Vec<PluginInfo>,
    /// What is wrong with the places that were looked at.
    pub(crate) mistakes: Vec<Mistake>,
    /// Whether a node that runs has said how they fare.
    pub(crate) runs: bool,
    /// What lies on disk.
    pub(crate) shelf: Arc<Shelf>,
    /// The config, where there is one that can be read.
    pub(crate) config: Option<Loaded>,
}

/// What is compiled in.
pub(crate) fn built_in() -> Vec<PluginInfo> {
    let plain = |name: &str, title: &str, category, schema| PluginInfo {
        category,
        author: sedge_mqtt::MqttBridge::MANIFEST.author.into(),
        description: title.into(),
        version: VERSION.into(),
        settings: Some(schema),
        name: name.into(),
        ..PluginInfo::from(Manifest::new("", "", ""))
    };
    let mut infos = vec![
        PluginInfo::from(sedge_mqtt::MqttBridge::MANIFEST),
        PluginInfo::from(sedge_mqtt::RemoteImport::MANIFEST),
    ];
    infos.extend(PLUGINS.iter().chain(GPIOS).chain(DESTINATIONS).map(sedge_plugins::Kind::info));
    infos.extend(processors::KINDS.iter().map(|kind| {
        let category = match kind.stage {
            Stage::Process | Stage::Admit => Category::Processor,
            Stage::Validate => Category::Validator,
        };
        plain(kind.kind, kind.title, category, (kind.schema)())
    }));
    let added = extend::added();
    infos.extend(added.plugins.iter().map(|plugin| plugin.info.clone()));
    // Whose they are and of which version nobody has said.
    let unsigned = |info: PluginInfo| PluginInfo { author: String::new(), version: String::new(), ..info };
    let processors =
        added.processors.iter().map(|k| plain(k.kind, k.title, Category::Processor, (k.schema)()));
    infos.extend(processors.map(unsigned));
    let sensors = added.sensors.iter().map(|k| plain(k.kind, k.title, Category::Sensor, (k.schema)()));
    infos.extend(sensors.map(unsigned));
    infos.extend(
        sensors::KINDS.iter().map(|kind| plain(kind.kind, kind.title, Category::Sensor, (kind.schema)())),
    );
    infos
}

/// All there is. `running` is what a node says of its plugins.
pub(crate) fn roster(global: &Global, running: Option<Json>) -> Roster {
    let config = find(global.config.as_deref()).and_then(|_| load(global).ok());
    let shelf = match &config {
        Some(loaded) => loaded.shelf.clone(),
        None => Arc::new(Shelf::look(global.config.as_deref(), &[])),
    };
    let mut infos: Vec<PluginInfo> =
        shelf.usable().map(|(_, declaration)| declaration.clone().into_info()).collect();
    infos.extend(built_in().into_iter().filter(|info| shelf.named(&info.name).is_none()));
    let runs = running.is_some();
    let mut rows = match running {
        Some(Json::Array(running)) => running.iter().map(|status| told(status, &infos)).collect(),
        _ => {
            let effective = config.as_ref().map(|loaded| &*loaded.effective);
            let faults = config.as_ref().map(|loaded| &loaded.diagnostics[..]).unwrap_or_default();
            configured(effective.unwrap_or(&Json::Null), faults, &infos)
        }
    };
    for row in &mut rows {
        let found = shelf.named(&row.kind);
        row.origin = found.map_or(row.origin, |found| found.origin.word());
    }
    rows.sort_by(|a: &Row, b: &Row| a.id.cmp(&b.id));
    for found in shelf.found() {
        // One that runs has its lines already.
        if found.shadowed_by.is_some() || !rows.iter().any(|row| row.kind == found.name) {
            rows.push(without_instance(found));
        }
    }
    Roster { rows, infos, mistakes: shelf.mistakes().to_vec(), runs, shelf, config }
}

fn row(id: &str, kind: &str, state: &str, compiled: &[PluginInfo]) -> Row {
    let info = compiled.iter().find(|info| info.name == kind);
    let of = |text: fn(&PluginInfo) -> &str| info.map(text).unwrap_or_default().to_owned();
    Row {
        id: id.into(),
        kind: kind.into(),
        state: state.into(),
        reason: None,
        since: None,
        restarts: 0,
        version: of(|info| &info.version),
        author: of(|info| &info.author),
        category: info.map_or("other", |info| info.category.word()),
        description: of(|info| &info.description),
        origin: Origin::BuiltIn.word(),
        service_of: None,
        shadowed_by: None,
        isolation: None,
    }
}

/// A character as it is shown: those that are no letters on the screen as their number.
fn shown(c: char) -> Vec<char> {
    let is_bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || is_bidi { c.escape_unicode().collect() } else { vec![c] }
}

/// As a node that runs tells it.
fn told(status: &Json, compiled: &[PluginInfo]) -> Row {
    let text = |key: &str| status[key].as_str();
    let kind = text("kind").unwrap_or_default();
    let base = row(text("id").unwrap_or_default(), kind, text("state").unwrap_or_default(), compiled);
    Row {
        reason: text("reason").map(str::to_owned),
        since: text("since").map(str::to_owned),
        restarts: status["restarts"].as_u64().unwrap_or_default(),
        service_of: text("service_of").map(str::to_owned),
        isolation: text("isolation").map(str::to_owned),
        version: text("version")
            .filter(|version| !version.is_empty())
            .map_or(base.version.clone(), str::to_owned),
        ..base
    }
}

/// As the config has it: nothing runs.
fn configured(config: &Json, faults: &[sedge_config::Diagnostic], compiled: &[PluginInfo]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut kinds = BTreeSet::new();
    for section in SECTIONS {
        for (id, instance) in config[section].as_object().into_iter().flatten() {
            let kind = if section == "remote" { section } else { instance["kind"].as_str().unwrap_or(id) };
            kinds.insert(kind.to_owned());
            let fault = faults.iter().find(|fault| {
                fault.severity == sedge_config::Severity::Error && fault.component.as_deref() == Some(id)
            });
            let state = match (&fault, instance["enabled"].as_bool()) {
                (Some(_), _) => "failed",
                (None, Some(false)) => "disabled",
                (None, _) => "discovered",
            };
            let reason = fault.map(|fault| fault.one_line());
            rows.push(Row { reason, ..row(id, kind, state, compiled) });
        }
    }
    let has_broker = config["mqtt"]["url"].is_string() || config["mqtt"]["embedded"] == true;
    let default = BY_DEFAULT.iter().copied().filter(|kind| !kinds.contains(*kind));
    let default = default.chain(has_broker.then_some("mqtt"));
    rows.extend(default.map(|kind| row(kind, kind, "discovered", compiled)));
    rows
}

/// A plugin that no section names, or that nothing can name.
fn without_instance(found: &Found) -> Row {
    // A folder may be called anything; what it is called must not steer a terminal.
    let name: String = found.name.chars().flat_map(shown).collect();
    let shadowed_by = found.shadowed_by.as_ref().map(|shadow| match &shadow.path {
        Some(path) => path.display().to_string(),
        None => shadow.origin.word().to_owned(),
    });
    let info = found.outcome.as_ref().ok().map(|declaration| declaration.info.clone());
    let (state, reason) = match usable(found) {
        Err(why) if found.origin != Origin::BuiltIn => ("failed", Some(why)),
        Ok(declaration) if shadowed_by.is_none() => ("discovered", Some(how_to_name(declaration))),
        _ => ("discovered", None),
    };
    Row { origin: found.origin.word(), shadowed_by, reason, ..row(&name, &name, state, info.as_slice()) }
}

/// What a config says to have one.
pub(crate) fn how_to_name(declaration: &Declaration) -> String {
    let name = &declaration.info.name;
    match section_of(declaration) {
        Section::Plugin => {
            format!("no section names it; `sedge plugin enable {name}` adds `[plugin.{name}]`")
        }
        section => format!("no section names it; add `[{section}.ID]` with `kind = \"{name}\"`"),
    }
}
