//! A plugin that does what a test tells it, and a node to put it into.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sedge_actors::{Node, PluginSpec, RunningNode, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{PluginStateChanged, Process};
use tokio::sync::mpsc;

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// What a scripted plugin does when it is set up, ticks, hears something, is torn down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Well,
    Fails,
    Panics,
    Hangs,
    Lacks,
    IsMisconfigured,
    Dawdles,
}

impl Does {
    pub async fn act(self) -> Result<(), PluginError> {
        match self {
            Self::Well => Ok(()),
            Self::Fails => Err(PluginError::failed("it broke")),
            Self::Panics => panic!("it panicked"),
            Self::Hangs => std::future::pending().await,
            Self::Dawdles => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(())
            }
            Self::Lacks => Err(PluginError::unmet("no such device")),
            Self::IsMisconfigured => Err(PluginError::Settings("line 0 is not a line".into())),
        }
    }
}

/// What a scripted plugin was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    Setup,
    Tick,
    Heard(u64),
    Teardown,
}

/// The script, shared by a plugin's starts; a test may rewrite it while the node runs.
#[derive(Clone)]
pub struct Script {
    pub setup: Arc<Mutex<Does>>,
    pub tick: Arc<Mutex<Does>>,
    pub hear: Arc<Mutex<Does>>,
    pub teardown: Arc<Mutex<Does>>,
    pub every: Option<Duration>,
    log: mpsc::Sender<(Id, Did)>,
}

impl Script {
    pub fn new(log: &mpsc::Sender<(Id, Did)>) -> Self {
        let well = || Arc::new(Mutex::new(Does::Well));
        Self { setup: well(), tick: well(), hear: well(), teardown: well(), every: None, log: log.clone() }
    }

    pub fn setup(self, does: Does) -> Self {
        *self.setup.lock().unwrap() = does;
        self
    }

    pub fn tick(self, every: Duration, does: Does) -> Self {
        *self.tick.lock().unwrap() = does;
        Self { every: Some(every), ..self }
    }

    pub fn hear(self, does: Does) -> Self {
        *self.hear.lock().unwrap() = does;
        self
    }

    pub fn teardown(self, does: Does) -> Self {
        *self.teardown.lock().unwrap() = does;
        self
    }
}

pub struct Scripted {
    id: Id,
    script: Script,
}

impl Scripted {
    async fn act(&self, did: Did, does: &Mutex<Does>) -> Result<(), PluginError> {
        let does = *does.lock().unwrap();
        self.script.log.send((self.id.clone(), did)).await.unwrap();
        does.act().await
    }
}

/// A topic of the tests' own.
pub struct Numbers;
impl Topic for Numbers {
    type Message = u64;
    type Answer = ();
    type Kind = sedge_plugin::topic::Observe;
    const NAME: &'static str = "numbers";
    const DOC: &'static str = "Fired by a test.";
}

impl Plugin for Scripted {
    type Args = Script;
    const MANIFEST: Manifest = Manifest::new("scripted", "1.0.0", "Does what a test tells it.");

    async fn setup(script: &Script, ctx: Context) -> Result<Self, PluginError> {
        let scripted = Self { id: ctx.id().clone(), script: script.clone() };
        scripted.act(Did::Setup, &script.setup).await?;
        Ok(scripted)
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<Numbers>(Options { deadline: Duration::from_secs(1), ..Options::default() });
        hooks.inline::<Process>(Options::priority(500), |_| Ok(Step::Pass));
        hooks.tools();
    }

    fn every(&self) -> Option<Duration> {
        self.script.every
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        self.act(Did::Tick, &self.script.tick).await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.act(Did::Teardown, &self.script.teardown).await
    }
}

impl Observer<Numbers> for Scripted {
    async fn observe(&mut self, n: Arc<u64>) -> Result<(), PluginError> {
        self.act(Did::Heard(*n), &self.script.hear).await
    }
}

impl Tools for Scripted {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(Name::from_id(&self.id, None).unwrap(), "Answers with its own id.")]
    }

    async fn call(&mut self, _: ToolCall) -> Result<serde_json::Value, ToolError> {
        Ok(self.id.as_str().into())
    }
}

/// A node of scripted plugins, and what they did.
pub struct Stage {
    pub node: RunningNode,
    pub states: sedge_actors::Subscription<PluginStateChanged>,
    did: mpsc::Receiver<(Id, Did)>,
}

impl Stage {
    /// Starts a node; `plugins` gets the log that the scripts write to.
    pub async fn start(
        plugins: impl FnOnce(&mpsc::Sender<(Id, Did)>) -> Vec<(&'static str, Script)>,
    ) -> Self {
        let (log, did) = mpsc::channel(4096);
        let node = Node::new(node_info("stage"), Arc::new(TokioClock::default()));
        let options = Options { capacity: 4096, ..Options::default() };
        let states = node.bus().subscribe::<PluginStateChanged>(&id("stage"), options);
        let specs =
            plugins(&log).into_iter().map(|(name, script)| PluginSpec::new::<Scripted>(id(name), script));
        Self { node: node.start(specs.collect()).await, states, did }
    }

    /// Waits for a plugin to reach a state.
    pub async fn reaches(&mut self, plugin: &str, state: State) -> PluginStatus {
        loop {
            let status = self.states.next().await;
            if status.id.as_str() == plugin && status.state == state {
                return PluginStatus::clone(&status);
            }
        }
    }

    /// What plugins did so far, and did not tell yet.
    pub fn did(&mut self) -> Vec<(String, Did)> {
        std::iter::from_fn(|| self.did.try_recv().ok()).map(|(id, did)| (id.to_string(), did)).collect()
    }

    pub async fn next_did(&mut self) -> (String, Did) {
        let (id, did) = self.did.recv().await.unwrap();
        (id.to_string(), did)
    }

    /// Where everyone stands.
    pub fn states(&self) -> BTreeMap<String, State> {
        self.node.directory().plugins.values().map(|s| (s.id.to_string(), s.state)).collect()
    }

    pub async fn stop(self) -> mpsc::Receiver<(Id, Did)> {
        self.node.stop().await;
        self.did
    }
}
