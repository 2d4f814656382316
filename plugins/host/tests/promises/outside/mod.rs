//! A plugin outside, whose words the tests say, on a real node under a clock of their own.

mod asks;
mod calls;
mod destination;
mod lengths;
mod life;
mod roles;
mod start;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use sedge_actors::{Node, PluginSpec, RunningNode, Subscription, Surroundings, TokioClock, node_info};
use sedge_host::Declaration;
use sedge_host::outside::testing::{FakeHardware, FakePlugin, args, carrier, declaration};
use sedge_host::outside::{Outside, OutsideArgs, Role};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::PluginStateChanged;
use sedge_protocol::Ask;
use serde_json::Value as Json;
use tokio::sync::mpsc;

pub const PUMP: &str = r#"
[entry]
command = ["pump"]
[[tool]]
name = "pump_set"
description = "Switches the pump."
input = { type = "object", properties = { on = { type = "boolean" } }, additionalProperties = false }
timeout = "30s"
"#;

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub fn ask(json: Json) -> Ask {
    serde_json::from_value(json).unwrap()
}

/// Ends the tests when one of them takes so long, by the clock on the wall: what spins on the test's own clock, or waits for what
/// no clock brings, would never fail.
const LONGEST: Duration = Duration::from_secs(20);

pub struct Watchdog(#[expect(dead_code, reason = "its end is what counts")] std::sync::mpsc::Sender<()>);

impl Watchdog {
    fn start() -> Self {
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            if ended.recv_timeout(LONGEST) == Err(RecvTimeoutError::Timeout) {
                // Past what the test harness keeps to itself.
                let _ = writeln!(std::io::stderr(), "`{test}` has hung for {LONGEST:?}");
                std::process::abort();
            }
        });
        Self(alive)
    }
}

/// A node with one plugin outside, `attic`.
pub struct Stage {
    pub node: RunningNode,
    pub _watchdog: Watchdog,
    pub declared: Arc<Declaration>,
    pub hardware: Arc<FakeHardware>,
    pub starts: mpsc::Receiver<FakePlugin>,
    pub states: Subscription<PluginStateChanged>,
}

/// What a stage is built of.
pub struct Setting {
    pub declared: Arc<Declaration>,
    pub role: Role,
    pub around: Surroundings,
    pub others: Vec<PluginSpec>,
    pub change: fn(&mut OutsideArgs),
}

impl Setting {
    pub fn new(name: &str, manifest: &str) -> Self {
        let declared = declaration(name, manifest);
        Self {
            declared,
            role: Role::Plain,
            around: Surroundings::default(),
            others: Vec::new(),
            change: |_| {},
        }
    }

    /// Starts the node; the plugin does in its first start what `plays` says.
    pub async fn play<T>(
        self,
        plays: impl AsyncFnOnce(&mut FakePlugin, &Declaration) -> T,
    ) -> (Stage, FakePlugin, T) {
        let watchdog = Watchdog::start();
        let (carrier, mut starts) = carrier();
        let hardware = Arc::new(FakeHardware::default());
        let mut given = args(&self.declared, carrier, self.role);
        given.hardware = hardware.clone();
        (self.change)(&mut given);
        let info = &self.declared.info;
        let spec = PluginSpec::new::<Outside>(id("attic"), given)
            .kind(&info.name)
            .version(&info.version)
            .category(info.category);
        let node = Node::within(node_info("stage"), Arc::new(TokioClock::default()), self.around);
        let options = Options { capacity: 4096, ..Options::default() };
        let states = node.bus().subscribe::<PluginStateChanged>(&id("stage"), options);
        let mut specs = self.others;
        specs.push(spec);
        let play = async {
            let mut plugin = next(&mut starts).await;
            let played = plays(&mut plugin, &self.declared).await;
            (plugin, played)
        };
        let (node, (plugin, played)) = tokio::join!(node.start(specs), play);
        let mut stage =
            Stage { node, _watchdog: watchdog, declared: self.declared, hardware, starts, states };
        for other in ["slow"] {
            if stage.node.directory().plugin(other).is_some() {
                stage.reaches(other, State::Running).await;
            }
        }
        (stage, plugin, played)
    }

    /// Starts the node, and the plugin is well.
    pub async fn start(self) -> (Stage, FakePlugin) {
        let (mut stage, plugin, ()) =
            self.play(async |plugin, declared| drop(plugin.greet(declared).await)).await;
        stage.reaches("attic", State::Running).await;
        (stage, plugin)
    }
}

impl Stage {
    pub async fn reaches(&mut self, plugin: &str, state: State) -> PluginStatus {
        if let Some(status) = self.node.directory().plugin(plugin).filter(|status| status.state == state) {
            return status.clone();
        }
        let told = async {
            loop {
                let status = self.states.next().await;
                if status.id.as_str() == plugin && status.state == state {
                    return PluginStatus::clone(&status);
                }
            }
        };
        // On the clock of the tests, which costs nothing.
        let told = tokio::time::timeout(Duration::from_secs(300), told).await;
        told.unwrap_or_else(|_| panic!("`{plugin}` did not become {state:?}"))
    }

    /// Its next start.
    pub async fn again(&mut self) -> FakePlugin {
        next(&mut self.starts).await
    }

    pub fn call(&self, tool: &str, args: Json) -> tokio::task::JoinHandle<Result<Json, ToolError>> {
        let (node, call) = (self.node.handle(), ToolCall::new(Name::new(tool).unwrap(), args));
        tokio::spawn(async move { node.call(ToolCall { from: "cli".into(), ..call }).await.result })
    }
}

async fn next(starts: &mut mpsc::Receiver<FakePlugin>) -> FakePlugin {
    let started = tokio::time::timeout(Duration::from_secs(300), starts.recv()).await;
    started.ok().flatten().expect("it is started")
}

/// Has a tool that never ends, and one that answers with who calls.
pub struct Slow;

impl Slow {
    pub fn spec() -> PluginSpec {
        PluginSpec::new::<Self>(id("slow"), ())
    }
}

impl Plugin for Slow {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("slow", "1.0.0", "Takes its time.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
        hooks.tools();
    }
}

impl Tools for Slow {
    fn tools(&self) -> Vec<Tool> {
        ["slow_never", "slow_who"].map(|name| Tool::new(Name::new(name).unwrap(), "Slow.")).into()
    }
    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        match call.tool.as_str() {
            "slow_who" => Ok(call.from.into()),
            _ => std::future::pending().await,
        }
    }
}
