//! Imports other nodes: a plugin that puts their readings on this node's bus, and lets their tools be called from here.
//!
//! ```toml
//! [remote.greenhouse]
//! sensors = ["air", "soil-*"]
//! ```
//!
//! `air` of `greenhouse` is the sensor `greenhouse-air` here; the tool `relay_set` is called as `greenhouse/relay_set`. One
//! instance per section, each with a connection of its own.
//!
//! ```text
//! broker ─▶ Driver ── News ─▶ Fleet ── announce, import, reach ─▶ the node's bus and tools
//!             ▲── Asked ◀── RemoteCaller, in the task of whoever calls
//! ```
//!
//! It must never import this node itself; and what it imports is marked with its origin, so that no bridge publishes it
//! again. It runs no call twice.

mod calls;
mod driver;
mod fleet;
mod look;
mod names;
mod seen;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::topic::{Hooks, Observer, Options};
use sedge_plugin::{Category, Context, Id, Manifest, Plugin, PluginError, topics};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::choice::Choice;
use crate::link::LinkOptions;
use crate::settings::Settings;
use calls::Who;
use driver::{Driver, News};
use fleet::Fleet;

/// Messages that may wait for the bus of this node.
const WAITING: usize = 1024;
/// Calls that may wait to be sent.
const ASKED: usize = 64;
/// How often it is looked for silent sensors.
const LOOK: Duration = Duration::from_secs(5);
/// How long the broker keeps what comes while this node is not connected.
const SESSION: Duration = Duration::from_secs(3600);

/// What is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The broker. Its client id is `sedge-{node}-{id of the instance}` unless it says another.
    pub broker: Settings,
    /// The node; none for all.
    pub node: Option<Id>,
    /// Of all nodes these not.
    pub except: BTreeSet<Id>,
    /// Patterns of the sensors whose readings are imported; `*` stands for anything.
    pub sensors: Vec<String>,
    /// Patterns of the tools that can be called.
    pub tools: Vec<String>,
    /// Whether readings of an outage are imported too: of the other node's, and of this one's.
    pub backlog: bool,
    /// After which time a sensor counts as silent.
    pub max_age: Duration,
}

/// The plugin that imports other nodes.
pub struct RemoteImport {
    ctx: Context,
    import: Import,
    begun: bool,
}

impl Plugin for RemoteImport {
    type Args = Import;

    const MANIFEST: Manifest = Manifest::new(
        "remote",
        env!("CARGO_PKG_VERSION"),
        "Imports the readings of other nodes, and lets their tools be called from here.",
    )
    .author("Sedge")
    .category(Category::Bridge);

    async fn setup(import: &Import, ctx: Context) -> Result<Self, PluginError> {
        import.broker.check().map_err(|error| PluginError::Settings(error.to_string().into()))?;
        if import.node.as_ref() == Some(&ctx.directory().node.id) {
            return Err(PluginError::Settings(
                "a node does not import itself; name another one in `node`".into(),
            ));
        }
        Ok(Self { ctx, import: import.clone(), begun: false })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<topics::NodeStarted>(Options::default());
    }
}

/// Begins once all components of this node are known, so that nothing from elsewhere takes the name of one.
impl Observer<topics::NodeStarted> for RemoteImport {
    async fn observe(&mut self, _: Arc<()>) -> Result<(), PluginError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let base = self.import.broker.check().map_err(|error| PluginError::failed(error.to_string()))?;
        let (ctx, import, node) = (&self.ctx, &self.import, self.ctx.directory().node.clone());
        let client_id = import.broker.client_id.clone();
        let client_id = client_id.unwrap_or_else(|| format!("sedge-{}-{}", node.id, ctx.id()));
        let client =
            import.broker.username.as_deref().unwrap_or(&client_id).replace(['/', '+', '#', '\0'], "-");
        let from = format!("node:{}", node.id);
        let who = Who { base, client, client_id: client_id.clone(), from, boot: node.boot };
        let session = import.backlog.then_some(SESSION);
        let options = LinkOptions { session, ..import.broker.link(client_id) };
        let choice = Choice::new(import.broker.brokers.clone());
        let filters = filters(import, &who);
        // What a former start of this plugin has left may be gone by now. Those of others do not go.
        let directory = ctx.directory();
        let left = directory.sensors.values().filter(|sensor| sensor.node.is_some());
        left.for_each(|sensor| ctx.withdraw(&sensor.id));
        let (line, calls) = mpsc::channel(ASKED);
        let (news, heard) = mpsc::channel(WAITING);
        let seed = sedge_plugin::fnv1a(options.client_id.as_bytes()) ^ u64::from(node.boot.0);
        let backoff = Backoff::new(seed);
        let driver =
            Driver { ctx: ctx.clone(), options, choice, filters, who: who.clone(), backoff, calls, news };
        ctx.spawn(driver.run());
        ctx.spawn(listen(Fleet::new(ctx.clone(), import.clone(), who, line), heard));
        Ok(())
    }
}

/// What is subscribed to; last what says that a node is there, so that all it has is known by then.
fn filters(import: &Import, who: &Who) -> Vec<String> {
    let node = import.node.as_ref().map_or("+", Id::as_str);
    let mut kinds = Vec::new();
    if !import.sensors.is_empty() {
        kinds.extend(["sensor/+", "reading/+"]);
        kinds.extend(import.backlog.then_some("backlog/+"));
    }
    kinds.extend((!import.tools.is_empty()).then_some("tool/+"));
    kinds.push("status");
    kinds.into_iter().map(|kind| who.base.filter(&format!("{node}/{kind}"))).collect()
}

/// Makes of the news what they are here.
async fn listen(mut fleet: Fleet, mut heard: mpsc::Receiver<News>) {
    let ctx = fleet.ctx.clone();
    let (mut told, mut refused) = (None, None);
    let mut down = Some(("connecting".to_owned(), ctx.clock().up()));
    let mut settled = false;
    let mut look = rest(&ctx);
    loop {
        tokio::select! {
            news = heard.recv() => match news {
                None => return,
                Some(News::Up) => {
                    (down, refused, settled) = (None, None, false);
                    fleet.up();
                    continue;
                }
                Some(News::Message(message)) => {
                    fleet.take(message).await;
                    // What is amiss is said when all is known.
                    if !heard.is_empty() || !settled { continue }
                }
                Some(News::Settled) => {
                    settled = true;
                    fleet.settled();
                }
                Some(News::Refused(why)) => refused = Some(why),
                Some(News::Down(why)) => {
                    let since = down.map_or_else(|| ctx.clock().up(), |(_, since)| since);
                    down = Some((why, since));
                    fleet.down();
                }
            },
            () = &mut look => {
                look = rest(&ctx);
                fleet.look(down.as_ref().map(|(_, since)| *since));
            }
        }
        let amiss = match (&down, &refused) {
            (Some((why, _)), _) => Some(format!("no connection to the broker: {why}")),
            (None, Some(refused)) => Some(refused.clone()),
            (None, None) if settled => fleet.amiss(),
            (None, None) => None,
        };
        if amiss != told {
            ctx.degraded(amiss.clone());
            told = amiss;
        }
    }
}

fn rest(ctx: &Context) -> sedge_plugin::BoxFuture<'static, ()> {
    let ctx = ctx.clone();
    Box::pin(async move { ctx.sleep(LOOK).await })
}
