//! A running node reads its config again: what has changed is restarted, and a config with a mistake is refused whole.

use std::net::SocketAddr;
use std::path::PathBuf;

use sedge_actors::{Change, RunningNode};
use sedge_config::{Config, Mqtt};
use sedge_plugin::topics::{Event, Severity};
use sedge_plugin::{Name, NodeInfo};
use serde_json::{Value as Json, json};
use tracing::error;

use super::{bridge, overridden, usable};
use crate::assemble::{House, guards};
use crate::cli::{Global, RunArgs};
use crate::commands::node;
use crate::exit::Failure;
use crate::load::{find, load, only_plugins};
use crate::outbox::Outbox;

/// A node that can be told to read its config again.
pub(super) struct Reloadable<'a> {
    pub(super) running: RunningNode,
    pub(super) house: House,
    /// Of the embedded broker.
    pub(super) address: Option<SocketAddr>,
    pub(super) mqtt: Mqtt,
    pub(super) data: Option<PathBuf>,
    pub(super) outbox: Option<Outbox>,
    pub(super) kept: sedge_config::Outbox,
    pub(super) global: &'a Global,
    pub(super) args: &'a RunArgs,
}

impl Reloadable<'_> {
    /// Reads the config again, and restarts what has changed. A config with a mistake is refused whole.
    pub(super) async fn reload(&mut self) -> Result<Json, String> {
        let outcome = self.read_and_apply().await;
        let (kind, severity, text, data) = match &outcome {
            Ok(changed) => (
                "config_applied",
                Severity::Info,
                "the config was read again and applied".into(),
                changed.clone(),
            ),
            Err(why) => {
                error!(why, "The new config is refused; all runs on as before.");
                ("config_refused", Severity::Error, format!("the new config is refused: {why}"), Json::Null)
            }
        };
        if let Ok(kind) = Name::new(kind) {
            self.running.raise(Event { kind, severity, text, data }).await;
        }
        outcome
    }

    async fn read_and_apply(&mut self) -> Result<Json, String> {
        let told = |failure: Failure| failure.to_string();
        let file = find(self.global.config.as_deref()).unwrap_or_default();
        // What somebody is about to write is empty for a moment, and a pipe has been read.
        if std::fs::metadata(&file).is_ok_and(|at| !at.is_file() || at.len() == 0) {
            return Err(format!("{} is empty, or not a file", file.display()));
        }
        let loaded = load(self.global).map_err(told)?;
        let along = loaded.along();
        if let Some(mistake) = loaded.mistake() {
            return Err(mistake);
        }
        let config =
            usable(loaded, self.args).and_then(|config| overridden(config, self.global)).map_err(told)?;
        self.check_what_stays(&config)?;
        let bridge = bridge(&config.mqtt, self.address).map_err(told)?;
        let (mqtt, kept) = (config.mqtt.clone(), config.outbox.clone());
        let before = self.running.directory().node.clone();
        let change = Change {
            guards: guards(&config),
            info: NodeInfo {
                id: before.id,
                started_at: before.started_at,
                ..node::info(&config, &sedge_hal::SystemClock, before.boot)
            },
            config: along.effective.clone(),
            plugins: {
                self.house.look_again(along);
                self.house.plugins(config, bridge, only_plugins().as_deref())
            },
        };
        let changed = self.running.apply(change).await?;
        self.mqtt = mqtt;
        if let Some(outbox) = &self.outbox {
            outbox.set_rules(&kept);
        }
        let sedge_actors::Changed { started, restarted, stopped, kept } = changed;
        Ok(json!({ "started": started, "restarted": restarted, "stopped": stopped, "kept": kept }))
    }

    /// What cannot change while the node runs.
    fn check_what_stays(&self, config: &Config) -> Result<(), String> {
        let running = &self.running.directory().node.id;
        let restart = |what: &str| Err(format!("{what} cannot change while the node runs; restart it"));
        // A host that has got another name is no reason to refuse a config that names no id.
        if config.node.id.as_ref().is_some_and(|id| id != running) {
            return restart("`id` of `[node]`");
        }
        if config.node.data != self.data {
            return restart("`data` of `[node]`");
        }
        if (config.outbox.storage, config.outbox.max_bytes) != (self.kept.storage, self.kept.max_bytes) {
            return restart("`storage` and `max_bytes` of `[outbox]`");
        }
        if (config.mqtt.embedded, config.mqtt.listen) != (self.mqtt.embedded, self.mqtt.listen) {
            return restart("the embedded broker of `[mqtt]`");
        }
        Ok(())
    }
}
