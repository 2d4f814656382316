//! A plugin made of closures, for what a script cannot say; and a node to put it into.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sedge_actors::{Bus, Node, PluginSpec, RunningNode, Subscription, Surroundings, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Failure, OnError};
use sedge_plugin::{BoxFuture, Claims};
use serde_json::{Value as Json, json};

use super::support::{Numbers, id};

pub const S: Duration = Duration::from_secs(1);
pub const FIELDS: &[Field] = &[Field::new("level", Unit::Percent)];

pub type Done = Result<(), PluginError>;
/// Something that is being done.
pub type Act0 = BoxFuture<'static, Done>;
type Act<I, O> = Arc<dyn Fn(Context, I) -> BoxFuture<'static, O> + Send + Sync>;

fn act<I, O, F>(does: impl Fn(Context, I) -> F + Send + Sync + 'static) -> Act<I, O>
where
    F: Future<Output = O> + Send + 'static,
{
    Arc::new(move |ctx, input| Box::pin(does(ctx, input)))
}

/// What it does; nothing, unless told otherwise. Clones count together.
#[derive(Clone)]
pub struct Puppet {
    setup: Act<(), Done>,
    tick: Act<(), Done>,
    hear: Act<u64, Done>,
    teardown: Act<(), Done>,
    call: Act<ToolCall, Result<Json, ToolError>>,
    every: Option<Duration>,
    tools: Vec<Tool>,
    claims: Claims,
    pub ran: Arc<Ran>,
}

/// How often its parts were begun.
#[derive(Default)]
pub struct Ran {
    pub setups: AtomicU32,
    pub ticks: AtomicU32,
    pub heard: AtomicU32,
    pub calls: AtomicU32,
    pub teardowns: AtomicU32,
}

pub fn count(of: &AtomicU32) -> u32 {
    of.load(Ordering::SeqCst)
}

fn more(of: &AtomicU32) {
    of.fetch_add(1, Ordering::SeqCst);
}

impl Puppet {
    pub fn new() -> Self {
        let nothing = || act(|_, ()| async { Ok(()) });
        Self {
            setup: nothing(),
            tick: nothing(),
            hear: act(|_, _| async { Ok(()) }),
            teardown: nothing(),
            call: act(|_, call: ToolCall| async move { Ok(call.args) }),
            every: None,
            tools: Vec::new(),
            claims: Claims::default(),
            ran: Arc::default(),
        }
    }

    pub fn on_setup<F: Future<Output = Done> + Send + 'static>(
        self,
        does: impl Fn(Context) -> F + Send + Sync + 'static,
    ) -> Self {
        Self { setup: act(move |ctx, ()| does(ctx)), ..self }
    }

    pub fn on_tick<F: Future<Output = Done> + Send + 'static>(
        self,
        every: Duration,
        does: impl Fn(Context) -> F + Send + Sync + 'static,
    ) -> Self {
        Self { tick: act(move |ctx, ()| does(ctx)), every: Some(every), ..self }
    }

    pub fn on_hear<F: Future<Output = Done> + Send + 'static>(
        self,
        does: impl Fn(Context, u64) -> F + Send + Sync + 'static,
    ) -> Self {
        Self { hear: act(does), ..self }
    }

    pub fn on_teardown<F: Future<Output = Done> + Send + 'static>(
        self,
        does: impl Fn(Context) -> F + Send + Sync + 'static,
    ) -> Self {
        Self { teardown: act(move |ctx, ()| does(ctx)), ..self }
    }

    pub fn on_call<F: Future<Output = Result<Json, ToolError>> + Send + 'static>(
        self,
        does: impl Fn(Context, ToolCall) -> F + Send + Sync + 'static,
    ) -> Self {
        Self { call: act(does), ..self }
    }

    /// Does this besides, before what it does.
    pub fn before_setup(self, also: impl Fn() + Send + Sync + 'static) -> Self {
        let setup = self.setup.clone();
        self.on_setup(move |ctx| {
            also();
            setup(ctx, ())
        })
    }

    /// As [`before_setup`](Self::before_setup).
    pub fn before_teardown(self, also: impl Fn() + Send + Sync + 'static) -> Self {
        let teardown = self.teardown.clone();
        self.on_teardown(move |ctx| {
            also();
            teardown(ctx, ())
        })
    }

    /// Offers a tool that takes any arguments.
    pub fn tool(self, name: &str) -> Self {
        let any = json!({ "type": "object" });
        self.tools([Tool { input_schema: any, ..Tool::new(Name::new(name).unwrap(), "Does as it is told.") }])
    }

    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Announces a sensor of its own id.
    pub fn sensor(self) -> Self {
        self.on_setup(|ctx| async move {
            ctx.announce(SensorDescriptor::new(ctx.id().clone(), "puppet", "1.0.0", "nowhere", FIELDS));
            Ok(())
        })
    }

    /// Says before it runs which tools it will offer, and which sensors it will announce.
    pub fn claims(self, sensors: &[&str]) -> Self {
        let claims = Claims { sensors: sensors.iter().map(|s| id(s)).collect(), tools: self.tools.clone() };
        Self { claims, ..self }
    }

    pub fn spec(&self, name: &str) -> PluginSpec {
        PluginSpec::new::<Strung>(id(name), self.clone())
    }
}

pub struct Strung {
    ctx: Context,
    puppet: Puppet,
}

impl Plugin for Strung {
    type Args = Puppet;
    const MANIFEST: Manifest = Manifest::new("puppet", "1.0.0", "Does what closures say.");
    fn declares(_: &Id, puppet: &Puppet) -> Claims {
        puppet.claims.clone()
    }
    async fn setup(puppet: &Puppet, ctx: Context) -> Result<Self, PluginError> {
        more(&puppet.ran.setups);
        (puppet.setup)(ctx.clone(), ()).await?;
        Ok(Self { ctx, puppet: puppet.clone() })
    }
    fn hooks(hooks: &mut impl Hooks<Self>, puppet: &Puppet, _: &Context) {
        hooks.observe::<Numbers>(Options { deadline: S, ..Options::default() });
        if !puppet.tools.is_empty() {
            hooks.tools();
        }
    }
    fn every(&self) -> Option<Duration> {
        self.puppet.every
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        more(&self.puppet.ran.ticks);
        (self.puppet.tick)(self.ctx.clone(), ()).await
    }
    async fn teardown(&mut self) -> Result<(), PluginError> {
        more(&self.puppet.ran.teardowns);
        (self.puppet.teardown)(self.ctx.clone(), ()).await
    }
}

impl Observer<Numbers> for Strung {
    async fn observe(&mut self, n: Arc<u64>) -> Result<(), PluginError> {
        more(&self.puppet.ran.heard);
        (self.puppet.hear)(self.ctx.clone(), *n).await
    }
}

impl Tools for Strung {
    fn tools(&self) -> Vec<Tool> {
        self.puppet.tools.clone()
    }
    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        more(&self.puppet.ran.calls);
        (self.puppet.call)(self.ctx.clone(), call).await
    }
}

/// A plugin that only subscribes, and has no state.
macro_rules! subscriber {
    ($(#[$doc:meta])* $name:ident, $args:ty, |$hooks:ident, $given:ident| $body:block) => {
        $(#[$doc])*
        struct $name;
        impl sedge_plugin::Plugin for $name {
            type Args = $args;
            const MANIFEST: sedge_plugin::Manifest = sedge_plugin::Manifest::new("subscriber", "1.0.0", "Subscribes.");
            async fn setup(_: &$args, _: sedge_plugin::Context) -> Result<Self, sedge_plugin::PluginError> {
                Ok(Self)
            }
            fn hooks($hooks: &mut impl sedge_plugin::topic::Hooks<Self>, $given: &$args, _: &sedge_plugin::Context) $body
        }
    };
}
pub(crate) use subscriber;

/// A node before its start, and what it will tell of errors.
pub fn unstarted(around: Surroundings) -> (Node, Subscription<OnError>) {
    let node = Node::within(node_info("puppets"), Arc::new(TokioClock::default()), around);
    let options = Options { capacity: 4096, ..Options::default() };
    let errors = node.bus().subscribe::<OnError>(&id("errors"), options);
    (node, errors)
}

pub async fn node(plugins: Vec<PluginSpec>) -> RunningNode {
    Node::new(node_info("puppets"), Arc::new(TokioClock::default())).start(plugins).await
}

pub async fn watched(plugins: Vec<PluginSpec>) -> (RunningNode, Subscription<OnError>) {
    let (node, errors) = unstarted(Surroundings::default());
    (node.start(plugins).await, errors)
}

/// The failures that were told since this was asked last.
pub fn told(errors: &mut Subscription<OnError>) -> Vec<Failure> {
    std::iter::from_fn(|| errors.take()).map(|failure| Failure::clone(&failure)).collect()
}

pub fn call(tool: &str, args: Json) -> ToolCall {
    ToolCall::new(Name::new(tool).unwrap(), args)
}

/// Lets time pass, and so everything happen that is due by then.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub fn status(node: &RunningNode, plugin: &str) -> (State, String) {
    let directory = node.directory();
    let status = directory.plugin(plugin).unwrap_or_else(|| panic!("no `{plugin}` in the directory"));
    (status.state, status.reason.clone().unwrap_or_default())
}

/// Who subscribes to what.
pub fn subscriptions(bus: &Bus) -> Vec<(String, &'static str)> {
    let topics = bus.topics();
    let of = |topic: &sedge_actors::TopicView| {
        let name = topic.name;
        topic.subscribers.iter().map(move |s| (s.plugin.to_string(), name)).collect::<Vec<_>>()
    };
    topics.iter().flat_map(of).collect()
}
