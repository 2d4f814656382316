//! A node: its plugins on its bus, started in order, stopped in reverse.
//!
//! ```
//! use sedge_actors::{Node, PluginSpec, TokioClock};
//! use sedge_plugin::prelude::*;
//!
//! struct Hello;
//! impl Plugin for Hello {
//!     type Args = ();
//!     const MANIFEST: Manifest = Manifest::new("hello", "1.0.0", "Says hello.");
//!     async fn setup(_: &(), _: Context) -> Result<Self, PluginError> { Ok(Self) }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let clock = std::sync::Arc::new(TokioClock::default());
//! let node = Node::new(sedge_actors::node_info("pi-kitchen"), clock);
//! let node = node.start(vec![PluginSpec::new::<Hello>(Id::new("hello").unwrap(), ())]).await;
//! assert_eq!(node.directory().plugins["hello"].state, State::Running);
//! node.stop().await;
//! # }
//! ```
//!
//! No plugin's failure ends a node, and a node runs without a single plugin that does.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::metrics::{Measured, Registry};
use sedge_plugin::topic::Chained;
use sedge_plugin::topics::{
    Command, CommandRegistryBuild, ConfigApplied, ConfigLoaded, Event, EventRaised, Failure, LoadedConfig,
    NodeStarted, NodeStopping, OnError,
};
use sedge_plugin::{Boot, Clock, Directory, Id, NodeInfo, Reading, ToolCall, ToolOutcome};
use serde_json::Value as Json;
use tracing::{debug, error, info};

use crate::bus::Bus;
use crate::plugins::keeper::{Kept, keep};
use crate::plugins::order::ordered;
use crate::plugins::spec::{PluginSpec, Standing};
use crate::state::{Counts, NodeState, Surroundings};
use crate::tools::{Guard, ToolRegistry};

/// How long the start of a node waits for one plugin before it begins with the next.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node that has no plugins yet.
pub struct Node {
    state: Arc<NodeState>,
    guards: Vec<Guard>,
}

impl Node {
    /// A node with nothing around it.
    pub fn new(info: NodeInfo, clock: Arc<dyn Clock>) -> Self {
        Self::within(info, clock, Surroundings::default())
    }

    /// A node.
    pub fn within(info: NodeInfo, clock: Arc<dyn Clock>, around: Surroundings) -> Self {
        Self { state: Arc::new(NodeState::new(info, clock, around)), guards: Vec::new() }
    }

    /// With guards over its tools.
    pub fn guards(self, guards: Vec<Guard>) -> Self {
        Self { guards, ..self }
    }

    /// Its bus: to be subscribed to before the first plugin starts.
    pub fn bus(&self) -> &Bus {
        &self.state.bus
    }

    /// Starts plugins one after the other, each after those that it needs, and fires [`ConfigLoaded`] and
    /// [`NodeStarted`]. Each is kept from then on.
    pub async fn start(self, plugins: Vec<PluginSpec>) -> RunningNode {
        let tools = ToolRegistry::new(self.state.clone());
        tools.guard(self.guards);
        let handle = NodeHandle { state: self.state, tools };
        let mut node = RunningNode { handle, kept: Vec::with_capacity(plugins.len()) };
        node.start_all(ordered(plugins)).await;
        if let Err(reason) = node.ask_about(node.state.config.load_full(), false).await {
            error!(reason, "A plugin refuses the config; there is no other to go back to.");
        }
        node.tools.look_for_idle_guards();
        node.state.bus.publish::<NodeStarted>(()).await;
        node
    }
}

/// What may be asked of a running node, from anywhere. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    state: Arc<NodeState>,
    tools: ToolRegistry,
}

impl NodeHandle {
    /// Its bus.
    pub fn bus(&self) -> &Bus {
        &self.state.bus
    }

    /// Its sensors, tools and plugins as they are now.
    pub fn directory(&self) -> Arc<Directory> {
        self.state.directory()
    }

    /// What became of readings so far.
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// The newest reading of a sensor.
    pub fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        self.state.latest(sensor)
    }

    /// The metrics of the node and its plugins.
    pub fn metrics(&self) -> Vec<Measured> {
        self.state.metrics.snapshot()
    }

    /// Where the metrics are: for whoever counts something of the node's own.
    pub fn registry(&self) -> Arc<Registry> {
        self.state.metrics.clone()
    }

    /// Calls a tool.
    pub async fn call(&self, call: ToolCall) -> ToolOutcome {
        self.tools.call(call).await
    }

    /// The commands that plugins offer to the command line.
    pub async fn commands(&self) -> Vec<Command> {
        let answers = self.state.bus.collect::<CommandRegistryBuild>(()).await;
        answers.into_iter().flat_map(|(_, commands)| commands).collect()
    }

    /// Tells people of something: whoever passes events on does.
    pub async fn raise(&self, event: Event) {
        self.state.bus.publish::<EventRaised>(event).await;
    }

    /// Whether the keepers of all plugins answer within a time. A plugin that hangs, fails or rests has a keeper that sees to
    /// it, so the node answers; a node that does not will not heal by itself.
    ///
    /// # Errors
    /// With who does not answer.
    pub async fn answers(&self, within: Duration) -> Result<(), String> {
        self.state.roll.call(within).await
    }

    /// The time on its clock since the machine booted.
    pub fn up(&self) -> Duration {
        self.state.clock.up()
    }

    /// Its config, secrets masked.
    pub fn config(&self) -> Arc<Json> {
        self.state.config.load_full()
    }
}

/// A node that runs. What may be asked of it stands in [`NodeHandle`].
pub struct RunningNode {
    handle: NodeHandle,
    kept: Vec<Kept>,
}

impl Deref for RunningNode {
    type Target = NodeHandle;
    fn deref(&self) -> &NodeHandle {
        &self.handle
    }
}

/// What a running node is to become.
pub struct Change {
    /// All plugins that it is to have. One whose [fingerprint](PluginSpec::fingerprint) is as before runs on.
    pub plugins: Vec<PluginSpec>,
    /// All guards.
    pub guards: Vec<Guard>,
    /// The whole config, secrets masked.
    pub config: Arc<Json>,
    /// What is said of the node.
    pub info: NodeInfo,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    /// Started, and were not there before.
    pub started: Vec<Id>,
    /// Stopped and started anew.
    pub restarted: Vec<Id>,
    /// Stopped, and are not there any more.
    pub stopped: Vec<Id>,
    /// Run on.
    pub kept: usize,
}

impl RunningNode {
    /// For whoever asks from another task.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Makes of the node what it is to become: only what has changed stops and starts. Fires [`ConfigLoaded`] before.
    ///
    /// # Errors
    /// When a plugin refuses it; then all is as before.
    pub async fn apply(&mut self, change: Change) -> Result<Changed, String> {
        self.ask_about(change.config.clone(), true).await?;
        let wanted = ordered(change.plugins);
        let order: Vec<Id> = wanted.iter().map(|spec| spec.id.clone()).collect();
        let mut told = Changed::default();
        let stays = |kept: &Kept| {
            wanted.iter().any(|spec| {
                spec.id == kept.id
                    && (spec.fingerprint, &spec.standing) == (kept.fingerprint.0, &kept.fingerprint.1)
            })
        };
        let (stay, go): (Vec<Kept>, Vec<Kept>) = std::mem::take(&mut self.kept).into_iter().partition(stays);
        self.kept = stay;
        told.kept = self.kept.len();
        for kept in go.into_iter().rev() {
            let (id, ran) = (kept.id.clone(), !matches!(kept.fingerprint.1, Standing::Barred { .. }));
            self.let_go(kept).await;
            let runs = wanted.iter().any(|spec| spec.id == id && !spec.is_barred());
            match (ran, runs) {
                (true, true) => told.restarted.push(id),
                (true, false) => told.stopped.push(id),
                (false, _) => {}
            }
        }
        self.tools.guard(change.guards);
        self.state.config.store(change.config);
        self.state.set_info(change.info);
        let new: Vec<PluginSpec> =
            wanted.into_iter().filter(|spec| self.kept.iter().all(|kept| kept.id != spec.id)).collect();
        let begins = |spec: &&PluginSpec| !spec.is_barred() && !told.restarted.contains(&spec.id);
        told.started = new.iter().filter(begins).map(|spec| spec.id.clone()).collect();
        self.start_all(new).await;
        // The next stop goes the reverse way, as if all had been started together.
        self.kept.sort_by_key(|kept| order.iter().position(|id| *id == kept.id));
        self.state.describe_again();
        self.tools.look_for_idle_guards();
        let loaded = LoadedConfig { config: self.config(), reload: true };
        self.state.bus.publish::<ConfigApplied>(loaded).await;
        info!(
            started = told.started.len(),
            restarted = told.restarted.len(),
            stopped = told.stopped.len(),
            kept = told.kept,
            "The config was applied."
        );
        Ok(told)
    }

    /// Stops a plugin and forgets what it had.
    async fn let_go(&self, kept: Kept) {
        let id = kept.id.clone();
        debug!(plugin = %id, "Stopping.");
        kept.stop().await;
        for gone in self.state.with_services(&id) {
            self.tools.remove(&gone);
            self.state.withdraw_all(&gone);
            self.state.remove_status(&gone);
            self.state.metrics.remove(&gone);
        }
    }

    async fn start_all(&mut self, plugins: Vec<PluginSpec>) {
        self.state.discover(plugins.iter().map(PluginSpec::discovered));
        for spec in plugins {
            if self.kept.iter().any(|kept| kept.id == spec.id) {
                // It has no place in the directory: that is the first one's.
                let error = format!("two plugins are called `{}`; the second is not started", spec.id);
                error!(plugin = %spec.id, error, "A plugin's id is taken.");
                self.state.bus.tell::<OnError>(Failure { plugin: spec.id, what: "setup".into(), error });
                continue;
            }
            let mut plugin = keep(spec, self.state.clone(), self.tools.clone());
            plugin.first_start(PATIENCE).await;
            self.kept.push(plugin);
        }
    }

    async fn ask_about(&self, config: Arc<Json>, reload: bool) -> Result<(), String> {
        match self.state.bus.chain::<ConfigLoaded>(LoadedConfig { config, reload }).await {
            Chained::Passed(_) => Ok(()),
            Chained::Vetoed { by, reason, .. } => Err(format!("`{by}` refuses it: {reason}")),
        }
    }

    /// Fires [`NodeStopping`], then stops the plugins in the reverse order of their start, each with its deadline.
    pub async fn stop(self) {
        self.state.bus.publish::<NodeStopping>(()).await;
        for plugin in self.kept.into_iter().rev() {
            debug!(plugin = %plugin.id, "Stopping.");
            plugin.stop().await;
        }
    }
}

/// A node's data for examples and tests: nothing but an id.
pub fn node_info(id: &str) -> NodeInfo {
    NodeInfo {
        id: Id::sanitized(id, "node"),
        boot: Boot(0),
        started_at: None,
        version: String::new(),
        target: String::new(),
        config: String::new(),
        labels: BTreeMap::new(),
        hardware: None,
    }
}
