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
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::topics::{NodeStarted, NodeStopping};
use sedge_plugin::{Boot, Clock, Directory, Id, NodeInfo, ToolCall, ToolOutcome};
use tracing::debug;

use crate::bus::Bus;
use crate::plugins::keeper::{Kept, keep};
use crate::plugins::spec::PluginSpec;
use crate::state::{Counts, NodeState};
use crate::tools::ToolRegistry;

/// How long the start of a node waits for one plugin before it begins with the next.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node that has no plugins yet.
pub struct Node {
    state: Arc<NodeState>,
}

impl Node {
    /// A node.
    pub fn new(info: NodeInfo, clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::new(NodeState::new(info, clock)) }
    }

    /// Its bus: to be subscribed to before the first plugin starts.
    pub fn bus(&self) -> &Bus {
        &self.state.bus
    }

    /// Starts plugins one after the other, in this order, and fires [`NodeStarted`]. Each is kept from then on.
    pub async fn start(self, plugins: Vec<PluginSpec>) -> RunningNode {
        let tools = ToolRegistry::new(self.state.clone());
        let mut kept = Vec::with_capacity(plugins.len());
        for spec in plugins {
            let mut plugin = keep(spec, self.state.clone(), tools.clone());
            plugin.first_start(PATIENCE).await;
            kept.push(plugin);
        }
        self.state.bus.publish::<NodeStarted>(()).await;
        RunningNode { state: self.state, tools, kept }
    }
}

/// A node that runs.
pub struct RunningNode {
    state: Arc<NodeState>,
    tools: ToolRegistry,
    kept: Vec<Kept>,
}

impl RunningNode {
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

    /// Calls a tool.
    pub async fn call(&self, call: ToolCall) -> ToolOutcome {
        self.tools.call(call).await
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
