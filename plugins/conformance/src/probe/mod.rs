//! A plugin that does what it is told: by its settings, by its tools, by what it hears.
//!
//! | told by | what it does |
//! |---|---|
//! | `setup` | the first [`setup_times`](Settings::setup_times) set-ups go so, the next ones well |
//! | `tick` | every tick goes so |
//! | an event `probe` with `data.do` | hearing it goes so |
//! | a call with `args.step` | as a step before a tool it lets the call pass, changes it, vetoes it, or goes so |
//! | a call with `args.after` | the same after the tool |
//! | `ID_do` | see `orders` |
//!
//! It must not do anything by itself.

mod hooks;
mod orders;

use std::collections::BTreeSet;
use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Event, EventRaised, Severity};
use serde_json::{Value as Json, json};

use crate::Does;

/// Settings of the probe.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What it answers when it is asked for its settings.
    pub greeting: String,
    /// How its set-up goes.
    pub setup: Does,
    /// So many set-ups; all of them where it is not said.
    pub setup_times: Option<u64>,
    /// How often it ticks, in milliseconds.
    pub every_ms: Option<u64>,
    /// How its ticks go.
    pub tick: Does,
    /// Topics that it hears, or is a step of.
    pub topics: BTreeSet<String>,
}

/// See the [module](self).
pub struct Probe {
    ctx: Context,
    settings: Settings,
    setups: u64,
    ticks: u64,
    heard: Vec<(Id, u64)>,
}

impl Plugin for Probe {
    type Args = Settings;
    const MANIFEST: Manifest =
        Manifest::new("probe", env!("CARGO_PKG_VERSION"), "Does what it is told.").category(Category::Tool);

    fn declares(id: &Id, _: &Settings) -> Claims {
        Claims { tools: offered(id), ..Claims::default() }
    }

    async fn setup(settings: &Settings, ctx: Context) -> Result<Self, PluginError> {
        let setups = ctx.load::<u64>("setups").await?.unwrap_or(0) + 1;
        ctx.store("setups", setups).await?;
        if settings.setup_times.is_none_or(|times| setups <= times) {
            settings.setup.act().await?;
        }
        Ok(Self { ctx, settings: settings.clone(), setups, ticks: 0, heard: Vec::new() })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, settings: &Settings, _: &Context) {
        hooks::register(hooks, &settings.topics);
    }

    fn every(&self) -> Option<Duration> {
        self.settings.every_ms.map(Duration::from_millis)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        self.ticks += 1;
        self.tell("tick", json!({ "n": self.ticks })).await;
        self.settings.tick.act().await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.tell("teardown", Json::Null).await;
        Ok(())
    }
}

impl Probe {
    /// Raises an event of its own: `probe_tick`, `probe_teardown`.
    async fn tell(&self, what: &str, data: Json) {
        let Ok(kind) = Name::new(&format!("probe_{what}")) else { return };
        let text = self.ctx.id().to_string();
        self.ctx.publish::<EventRaised>(Event { kind, severity: Severity::Info, text, data }).await;
    }

    /// What a tool of its own is called.
    fn tool(&self, what: &str) -> Result<Name, IdError> {
        Name::from_id(self.ctx.id(), Some(what))
    }
}

/// The schemas stand in the manifest's folder, for all homes.
fn schema(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_default()
}

/// Its tools, each under the id of the instance.
fn offered(id: &Id) -> Vec<Tool> {
    let tools = [
        (
            "echo",
            "Answers with what it is given.",
            include_str!("../../manifests/probe/schema/echo.json"),
            5000,
        ),
        ("do", "Does as it is told.", include_str!("../../manifests/probe/schema/do.json"), 5000),
        ("slow", "Takes longer than it may.", include_str!("../../manifests/probe/schema/slow.json"), 300),
    ];
    let tool = |(what, about, input, timeout_ms): (&str, &str, &str, u64)| {
        let name = Name::from_id(id, Some(what)).ok()?;
        Some(Tool { input_schema: schema(input), timeout_ms, ..Tool::new(name, about) })
    };
    tools.into_iter().filter_map(tool).collect()
}

impl Tools for Probe {
    fn tools(&self) -> Vec<Tool> {
        offered(self.ctx.id())
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let is = |what: &str| self.tool(what).is_ok_and(|name| name == call.tool);
        if is("echo") {
            Ok(json!({ "text": call.args["text"], "by": self.ctx.id(), "args": call.args }))
        } else if is("slow") {
            self.ctx.sleep(Duration::from_secs(20)).await;
            Ok(Json::Null)
        } else {
            self.obey(call).await
        }
    }
}
