//! Where the readings of a node on this machine are kept, whether it runs or not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sedge_journal::JournalError;
use sedge_plugin::{History, Id};
use serde_json::Value as Json;
use std::sync::Arc;

use super::local;
use super::node::host_id;
use crate::cli::Global;
use crate::control::{Ask, Local};
use crate::exit::Failure;
use crate::load::{find, load};
use crate::outbox::Past;
use crate::place;

/// The journal of a node.
pub(crate) struct Stored {
    /// Whose it is.
    pub(crate) node: Id,
    /// Where it is; none where a node that runs keeps its readings in memory.
    pub(crate) folder: Option<PathBuf>,
    /// The node, where it runs.
    pub(crate) running: Option<Local>,
    /// What it said of its outbox.
    pub(crate) status: Option<Json>,
    /// What its config says, where there is one.
    pub(crate) settings: Option<sedge_config::Outbox>,
}

impl Stored {
    /// The journal of the node that is meant.
    pub(crate) async fn find(global: &Global) -> Result<Self, Failure> {
        let config = match find(global.config.as_deref()) {
            Some(_) => load(global)?.config,
            None => None,
        };
        let settings = config.as_ref().map(|config| config.outbox.clone());
        if let Ok(local) = local::node(global)
            && let Ok(status) = local.ask(&Ask::Outbox).await
        {
            let folder =
                (status["storage"] == "disk").then(|| status["place"].as_str().unwrap_or_default().into());
            return Ok(Self {
                node: local.node(),
                folder,
                running: Some(local),
                status: Some(status),
                settings,
            });
        }
        let configured = config.as_ref().map(|config| config.node.id.clone().unwrap_or_else(host_id));
        let named = global.node.as_deref().map(Id::new).transpose();
        let named = named.map_err(|error| Failure::Usage(format!("node {error}")))?;
        let node = named.or(configured.clone()).unwrap_or_else(host_id);
        // A folder that the config names is that of its own node.
        let data = config.filter(|_| configured.as_ref() == Some(&node)).and_then(|config| config.node.data);
        let folders: Vec<PathBuf> =
            place::all_data(data.as_deref(), &node).into_iter().map(|folder| folder.join("outbox")).collect();
        let Some(folder) = folders.iter().find(|folder| folder.is_dir()) else {
            let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(Failure::Failed(format!(
                "node `{node}` has kept no readings on this machine (looked at {}); name its config with -c FILE, or the node with --node",
                looked.join(", ")
            )));
        };
        Ok(Self { node, folder: Some(folder.clone()), running: None, status: None, settings })
    }

    /// Its readings.
    pub(crate) fn past(&self) -> Result<Past, Failure> {
        let Some(folder) = &self.folder else {
            return Err(Failure::Failed(format!(
                "node `{}` keeps its readings in memory; ask it: `sedge tool call readings_query --local`",
                self.node
            )));
        };
        Past::open(folder).map_err(unreadable)
    }

    /// The same, to be gone through.
    pub(crate) fn history(&self) -> Result<History, Failure> {
        Ok(History::new(Arc::new(self.past()?)))
    }

    /// The units of its fields, as far as a node that runs tells them.
    pub(crate) async fn units(&self) -> Units {
        let Some(local) = &self.running else { return Units::default() };
        let sensors = local.ask(&Ask::Sensors).await.unwrap_or_default();
        Units(serde_json::from_value(sensors).unwrap_or_default())
    }
}

/// What stands in the way of a person who may not look.
pub(crate) fn unreadable(error: JournalError) -> Failure {
    match error {
        JournalError::Directory { place, source } => Failure::Failed(format!(
            "cannot read the journal in {place}: {source}; run this as the user that runs the node, or with sudo"
        )),
        error => Failure::Failed(error.to_string()),
    }
}

/// The symbols of units, by sensor and field.
#[derive(Default)]
pub(crate) struct Units(BTreeMap<String, BTreeMap<String, String>>);

impl Units {
    /// Empty where it is not known.
    pub(crate) fn of(&self, sensor: &Id, field: &str) -> &str {
        self.0.get(sensor.as_str()).and_then(|fields| fields.get(field)).map_or("", String::as_str)
    }
}
