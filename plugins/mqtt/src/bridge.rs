//! The bridge: a plugin that publishes what the node has, and runs the calls of tools that come over MQTT.
//!
//! ```no_run
//! # async fn start(ctx: sedge_plugin::Context) -> Result<(), sedge_plugin::PluginError> {
//! use sedge_mqtt::{MqttBridge, Settings};
//! use sedge_plugin::Plugin;
//! let settings = Settings::at("broker.lan", 1883);
//! let bridge = MqttBridge::setup(&settings, ctx).await?;
//! # Ok(()) }
//! ```
//!
//! Readings come from the node's journal, the rest from the bus. A handler only puts something into the outbox; it never waits for the broker, and a node without one runs on. What
//! the bridge must not do: let a caller choose where on the broker the node publishes, or run a call twice.

use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::topic::{Hooks, Observer, Options};
use sedge_plugin::topics::{self, LoadedConfig, SensorChange, ToolsChange};
use sedge_plugin::{Category, Context, Manifest, Plugin, PluginError, PluginStatus};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::choice::Choice;
use crate::connection::{Driver, Sleep, Source};
use crate::desk::Desk;
use crate::discovery::{self, Discovery};
use crate::line::Line;
use crate::link::{JSON, LinkOptions, Message, Qos};
use crate::mirror::Mirror;
use crate::nonces;
use crate::outbox::Rank;
use crate::settings::Settings;
use crate::wire::{self, Encoding, OFFLINE, ONLINE, Topics};

/// A little less than a teardown may take.
const FAREWELL: Duration = Duration::from_millis(4500);

/// How often the bridge looks whether its connection's task is still there.
const LOOK: Duration = Duration::from_secs(10);

/// The plugin that publishes a node and runs the calls of its tools.
pub struct MqttBridge {
    ctx: Context,
    topics: Topics,
    line: Line,
    mirror: Mirror,
    discovery: Option<Discovery>,
    /// Closed when the connection's task has ended.
    alive: watch::Receiver<()>,
}

impl Plugin for MqttBridge {
    type Args = Settings;

    const MANIFEST: Manifest = Manifest::new(
        "mqtt",
        env!("CARGO_PKG_VERSION"),
        "Publishes the node over MQTT and runs calls of its tools.",
    )
    .author("Sedge")
    .category(Category::Bridge);

    /// Does not wait for the broker.
    async fn setup(settings: &Settings, ctx: Context) -> Result<Self, PluginError> {
        let base = settings.check().map_err(|error| PluginError::Settings(error.to_string().into()))?;
        let directory = ctx.directory();
        let node = directory.node.id.clone();
        let topics = Topics::new(base, node.clone());
        let cursor =
            ctx.cursor().ok_or_else(|| PluginError::failed("the node keeps no journal to publish from"))?;
        let line =
            Line::new(topics.clone(), if settings.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce });
        line.state(Rank::Status, topics.status(), ONLINE.into());
        let mirror = Mirror::new(topics.clone(), line.clone(), ctx.clone());
        mirror.everything();

        // Home Assistant reads JSON: under a base of another encoding there is nothing for it.
        let prefix = &settings.discovery_prefix;
        // Home Assistant reads JSON.
        let discovers = settings.discovery && settings.encoding == Encoding::Json;
        let discovery = discovers.then(|| Discovery::new(prefix, ctx.clone(), topics.clone(), line.clone()));
        let births = discovery.as_ref().map(Discovery::filter);
        let rules = settings.calls.clone();
        let (desk, claims) = Desk::new(ctx.clone(), topics.clone(), line.clone(), rules, discovery.clone());
        let (alive, watcher) = watch::channel(());
        let driver = Driver {
            options: LinkOptions {
                session: Some(settings.session_expiry.0),
                will: Some((topics.status(), OFFLINE)),
                ..settings.link(settings.client_id.clone().unwrap_or_else(|| format!("sedge-{node}")))
            },
            choice: Choice::new(settings.brokers.clone()),
            topics: topics.clone(),
            subscriptions: std::iter::once(topics.calls()).chain(births).collect(),
            clock: ctx.clock(),
            line: line.clone(),
            source: Source {
                began: (cursor.head(), ctx.clock().up()),
                backlog_rate: settings.backlog_rate,
                cursor: cursor.clone(),
            },
            listener: desk.clone(),
            backoff: Backoff::new(seed(&directory.node)),
            sleep: sleep(&ctx),
            was_connected: false,
            alive,
        };
        ctx.spawn(nonces::keep(ctx.clone(), claims));
        ctx.spawn(desk.account(cursor, sleep(&ctx)));
        ctx.spawn(driver.run());
        ctx.spawn(mirror.clone().refresh());
        match &discovery {
            Some(discovery) => {
                ctx.spawn(discovery.clone().run());
                ctx.spawn(discovery.clone().greet());
            }
            None => ctx.spawn(discovery::withdraw(prefix.clone(), ctx.clone(), line.clone())),
        }
        Ok(Self { ctx, topics, line, mirror, discovery, alive: watcher })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<topics::PluginStateChanged>(Options::default());
        hooks.observe::<topics::SensorChanged>(Options::default());
        hooks.observe::<topics::ToolsChanged>(Options::default());
        hooks.observe::<topics::NodeStarted>(Options::default());
        hooks.observe::<topics::ConfigApplied>(Options::default());
        hooks.observe::<topics::EventRaised>(Options::default());
    }

    fn every(&self) -> Option<Duration> {
        Some(LOOK)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        match self.alive.has_changed() {
            Ok(_) => Ok(()),
            Err(_) => Err(PluginError::failed("the task of the connection has ended")),
        }
    }

    /// Hands over what waits, says farewell, and parts; gives up in time where the broker does not answer.
    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.mirror.stopped();
        self.line.close();
        tokio::select! {
            // The sender sends nothing: this ends when it is dropped.
            _ = self.alive.changed() => Ok(()),
            () = self.ctx.sleep(FAREWELL) => {
                Err(PluginError::failed("the broker did not take all that waited; it will publish the last will"))
            }
        }
    }
}

impl MqttBridge {
    /// The node is not what it was.
    fn stir(&self) {
        self.mirror.stir();
        self.discovery.iter().for_each(Discovery::stir);
    }
}

impl Observer<topics::PluginStateChanged> for MqttBridge {
    async fn observe(&mut self, status: Arc<PluginStatus>) -> Result<(), PluginError> {
        self.mirror.health(&status);
        self.stir();
        Ok(())
    }
}

impl Observer<topics::SensorChanged> for MqttBridge {
    async fn observe(&mut self, change: Arc<SensorChange>) -> Result<(), PluginError> {
        match &*change {
            SensorChange::Announced(sensor) if sensor.node.is_some() => return Ok(()),
            SensorChange::Announced(sensor) => self.mirror.sensor(sensor),
            SensorChange::Gone(sensor) => {
                let topic = self.topics.sensor(sensor);
                // One of another node was never there.
                if self.line.topics(Rank::Sensor).contains(&topic) {
                    self.mirror.gone(Rank::Sensor, topic);
                }
            }
        }
        self.stir();
        Ok(())
    }
}

impl Observer<topics::ToolsChanged> for MqttBridge {
    async fn observe(&mut self, change: Arc<ToolsChange>) -> Result<(), PluginError> {
        for tool in &change.gone {
            self.mirror.gone(Rank::Tool, self.topics.tool(tool));
        }
        for tool in &change.added {
            self.mirror.tool(tool);
        }
        self.stir();
        Ok(())
    }
}

impl Observer<topics::NodeStarted> for MqttBridge {
    async fn observe(&mut self, _: Arc<()>) -> Result<(), PluginError> {
        self.mirror.everything();
        self.line.started();
        self.discovery.iter().for_each(Discovery::start);
        Ok(())
    }
}

impl Observer<topics::ConfigApplied> for MqttBridge {
    async fn observe(&mut self, _: Arc<LoadedConfig>) -> Result<(), PluginError> {
        self.mirror.everything();
        self.stir();
        Ok(())
    }
}

impl Observer<topics::EventRaised> for MqttBridge {
    async fn observe(&mut self, event: Arc<topics::Event>) -> Result<(), PluginError> {
        let topics::Event { kind, severity, text, data } = &*event;
        let (topic, ts) = (self.topics.event(kind.as_str()), self.ctx.clock().wall_ms());
        let (kind, text, data) = (kind.to_string(), text.clone(), data.clone());
        let payload = wire::json(&wire::Event { ts, kind, severity: *severity, text, data });
        self.line.message(Message { topic, payload, content_type: JSON, ..Message::default() });
        Ok(())
    }
}

/// Waits on the node's clock.
fn sleep(ctx: &Context) -> Sleep {
    let ctx = ctx.clone();
    Box::new(move |time| {
        let ctx = ctx.clone();
        Box::pin(async move { ctx.sleep(time).await })
    })
}

/// Differs from node to node and from start to start.
fn seed(node: &sedge_plugin::NodeInfo) -> u64 {
    // FNV-1a.
    let id = node.id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    id ^ u64::from(node.boot.0)
}
