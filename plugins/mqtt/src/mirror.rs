//! Keeps the retained part of the node's tree equal to the node's directory.
//!
//! A change is published at once from its message; a moment later the whole directory is compared, which gives the
//! birth document its news and mends whatever a full queue has swallowed. Publishing what did not change costs nothing:
//! the outbox compares.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::directory::State;
use sedge_plugin::{Context, PluginStatus, SensorDescriptor, Tool};
use tokio::sync::Notify;

use crate::line::Line;
use crate::outbox::Rank;
use crate::wire::{self, Health, Info, SensorFrame, Topics};

/// Changes come in swarms: one birth document for all that happen within this.
const SETTLE: Duration = Duration::from_millis(250);

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Mirror {
    topics: Topics,
    line: Line,
    ctx: Context,
    stirred: Arc<Notify>,
}

impl Mirror {
    pub(crate) fn new(topics: Topics, line: Line, ctx: Context) -> Self {
        Self { topics, line, ctx, stirred: Arc::new(Notify::new()) }
    }

    pub(crate) fn health(&self, status: &PluginStatus) {
        self.line.state(Rank::Health, self.topics.health(&status.id), wire::json(&Health::from(status)));
    }

    pub(crate) fn sensor(&self, sensor: &SensorDescriptor) {
        self.line.state(Rank::Sensor, self.topics.sensor(&sensor.id), wire::json(&SensorFrame::from(sensor)));
    }

    pub(crate) fn tool(&self, tool: &Tool) {
        self.line.state(Rank::Tool, self.topics.tool(&tool.name), wire::json(tool));
    }

    pub(crate) fn gone(&self, rank: Rank, topic: String) {
        self.line.state(rank, topic, Vec::new());
    }

    /// The bridge itself stops: nobody can say that for it later.
    pub(crate) fn stopped(&self) {
        if let Some(status) = self.ctx.directory().plugins.get(self.ctx.id()) {
            self.health(&PluginStatus {
                state: State::Stopped,
                reason: None,
                since_ms: self.ctx.clock().wall_ms(),
                ..PluginStatus::clone(status)
            });
        }
    }

    /// Something changed: [`refresh`](Self::refresh) will look.
    pub(crate) fn stir(&self) {
        self.stirred.notify_one();
    }

    /// Publishes what the directory has, and takes back what it has not.
    pub(crate) fn everything(&self) {
        let directory = self.ctx.directory();
        self.line.state(Rank::Info, self.topics.info(), wire::json(&Info::from(&*directory)));
        directory.own_sensors().for_each(|sensor| self.sensor(sensor));
        directory.tools.values().for_each(|tool| self.tool(tool));
        directory.plugins.values().for_each(|status| self.health(status));
        let present: [(Rank, BTreeSet<String>); 3] = [
            (Rank::Sensor, directory.own_sensors().map(|sensor| self.topics.sensor(&sensor.id)).collect()),
            (Rank::Tool, directory.tools.keys().map(|name| self.topics.tool(name)).collect()),
            (Rank::Health, directory.plugins.keys().map(|id| self.topics.health(id)).collect()),
        ];
        for (rank, present) in present {
            let left = self.line.topics(rank).into_iter().filter(|topic| !present.contains(topic));
            left.for_each(|topic| self.gone(rank, topic));
        }
    }

    /// Looks whenever something was stirred, after it has settled.
    pub(crate) async fn refresh(self) {
        loop {
            self.stirred.notified().await;
            self.ctx.sleep(SETTLE).await;
            self.everything();
        }
    }
}
