//! Home Assistant: one retained message that says what the node has, so that its sensors and tools appear by themselves.
//!
//! ```text
//! homeassistant/device/sedge-pi-kitchen/config   {"dev":…,"o":…,"avty":…,"cmps":{"air-temperature":{…},"pump_set":{…}}}
//! ```
//!
//! - [`document`]: the message, with Home Assistant's abbreviations; `classes` its words for what is measured, `names`
//!   what people read;
//! - `sensors`: a field as an entity; `tools`: a tool as a control, where its arguments are of a shape that there is a
//!   control for;
//! - `known`: what was published before, so that what is gone goes there too.
//!
//! It is published once the node has started, again whenever the node's sensors or tools change, and when Home Assistant
//! says that it has begun; the latest readings follow, since they are not retained.
//!
//! What it must not do: send it with every reading, take away what is only being restarted, or show a tool whose arguments
//! nobody could give by a switch, a slider or a line of text.

mod classes;
pub mod document;
mod known;
mod names;
mod sensors;
mod tools;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use document::{Component, Document, Platform};
use sedge_plugin::{BoxFuture, Context, Id};
use tokio::sync::Notify;
use tracing::{debug, warn};

use self::known::{Known, Missed};
use crate::line::Line;
use crate::link::{Incoming, JSON, Message};
use crate::outbox::Rank;
use crate::wire::{self, ONLINE, ReadingFrame, Topics};

/// Where what was published is kept.
const KEY: &str = "discovery";

/// Changes come in swarms. Home Assistant may lose one that comes while it still works on the one before.
const SETTLE: Duration = Duration::from_secs(2);

/// What is not there is gone after this: a disk may come back, a plugin announces its sensors when it has looked.
const GRACE: Duration = Duration::from_secs(60);

/// How long Home Assistant may take to listen to what it was told of.
const LISTENS: Duration = Duration::from_secs(5);

/// Home Assistant says to all nodes at once that it has begun; they answer within this.
const JITTER: Duration = Duration::from_secs(15);

/// Between two looks whether the broker has a message.
const LOOK: Duration = Duration::from_secs(1);

/// So many readings are sent at once, and then none for a moment: others want to be heard too.
const SWARM: usize = 32;

/// The moment.
const PAUSE: Duration = Duration::from_millis(250);

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Discovery(Arc<Inner>);

struct Inner {
    ctx: Context,
    topics: Topics,
    line: Line,
    /// Where the message is.
    topic: String,
    /// Where Home Assistant says that it has begun.
    birth: String,
    started: AtomicBool,
    stirred: Notify,
    born: Notify,
}

impl Discovery {
    /// Under a prefix such as `homeassistant`.
    pub(crate) fn new(prefix: &str, ctx: Context, topics: Topics, line: Line) -> Self {
        let topic = topic(prefix, &ctx.directory().node.id);
        let birth = format!("{prefix}/status");
        let (started, stirred, born) = (AtomicBool::new(false), Notify::new(), Notify::new());
        Self(Arc::new(Inner { ctx, topics, line, topic, birth, started, stirred, born }))
    }

    /// What to subscribe to.
    pub(crate) fn filter(&self) -> String {
        self.0.birth.clone()
    }

    /// The node has started: what is not there now is missed.
    pub(crate) fn start(&self) {
        self.0.started.store(true, Ordering::Release);
        self.stir();
    }

    /// Something changed: [`run`](Self::run) will look.
    pub(crate) fn stir(&self) {
        if self.0.started.load(Ordering::Acquire) {
            self.0.stirred.notify_one();
        }
    }

    /// Whether a message is of Home Assistant's. One that is retained is old news.
    pub(crate) fn hears(&self, message: &Incoming) -> bool {
        let hears = message.topic == self.0.birth;
        if hears && !message.retain && message.payload == ONLINE.as_bytes() {
            self.0.born.notify_one();
        }
        hears
    }

    /// Publishes what the node has, once it has started and whenever something was stirred.
    pub(crate) async fn run(self) {
        let Inner { ctx, topics, .. } = &*self.0;
        let mut known = self.recall().await;
        let mut told = BTreeSet::new();
        let mut missed = Missed::new();
        let mut grace: BoxFuture<'static, ()> = Box::pin(std::future::pending());
        loop {
            let long_missed = tokio::select! {
                () = self.0.stirred.notified() => {
                    ctx.sleep(SETTLE).await;
                    Missed::new()
                }
                () = &mut grace => {
                    grace = Box::pin(std::future::pending());
                    std::mem::take(&mut missed)
                }
            };
            let directory = ctx.directory();
            let document = Document::of(&directory, topics);
            let mut absent = known.absent(&document, &directory);
            let gone: Missed =
                long_missed.into_iter().filter(|(key, _)| absent.remove(key).is_some()).collect();
            self.publish(&mut known, &document, gone).await;

            missed.retain(|key, _| absent.contains_key(key));
            if missed.is_empty() && !absent.is_empty() {
                missed = absent;
                let ctx = ctx.clone();
                grace = Box::pin(async move { ctx.sleep(GRACE).await });
            }
            let sensors = document.sensors();
            let new: Vec<Id> = sensors.difference(&told).cloned().collect();
            told = sensors;
            if !new.is_empty() {
                ctx.spawn(self.clone().tell_what_waits(new));
            }
        }
    }

    /// Publishes the document; before that, for once, one that says what of the former one is gone.
    async fn publish(&self, known: &mut Known, document: &Document, mut gone: Missed) {
        let Inner { line, topic, .. } = &*self.0;
        // Should the node end in the middle, it knows all that it may have published.
        if known.add(document) {
            self.keep(known).await;
        }
        gone.extend(known.changed(document));
        if !gone.is_empty() {
            debug!(?gone, "Components are gone; Home Assistant is told.");
            let mut parting = document.clone();
            parting
                .components
                .extend(gone.iter().map(|(key, platform)| (key.clone(), Component::gone(*platform))));
            line.state(Rank::Discovery, topic.clone(), wire::json(&parting));
            while !line.has(Rank::Discovery, topic) {
                self.0.ctx.sleep(LOOK).await;
            }
            known.remove(&gone, document);
            self.keep(known).await;
        }
        line.state(Rank::Discovery, topic.clone(), wire::json(document));
    }

    /// Answers Home Assistant when it has begun: with all that it must know, and then with the readings.
    pub(crate) async fn greet(self) {
        let Inner { ctx, topics, line, .. } = &*self.0;
        loop {
            self.0.born.notified().await;
            ctx.sleep(JITTER.mul_f64(fastrand::f64())).await;
            line.again(&[Rank::Discovery, Rank::Health]);
            ctx.sleep(LISTENS).await;
            let sensors = Document::of(&ctx.directory(), topics).sensors();
            self.tell(sensors.into_iter().collect()).await;
        }
    }

    /// Of sensors that Home Assistant has just heard of, the readings of those that do not tell soon anyhow.
    async fn tell_what_waits(self, mut sensors: Vec<Id>) {
        self.0.ctx.sleep(LISTENS).await;
        let directory = self.0.ctx.directory();
        let interval = |sensor: &Id| directory.sensor(sensor).and_then(|sensor| sensor.interval);
        sensors.retain(|sensor| interval(sensor).is_none_or(|interval| interval > LISTENS));
        self.tell(sensors).await;
    }

    /// Publishes the latest readings again; none that is so old that Home Assistant would not believe it any more.
    async fn tell(&self, sensors: Vec<Id>) {
        let Inner { ctx, topics, line, .. } = &*self.0;
        let directory = ctx.directory();
        for swarm in sensors.chunks(SWARM) {
            let now = ctx.clock().up();
            for reading in swarm.iter().filter_map(|sensor| ctx.latest(sensor)) {
                let age = now.saturating_sub(Duration::from_millis(reading.taken.up_ms));
                if document::expiry(&directory, &reading.sensor).is_some_and(|expiry| age.as_secs() > expiry)
                {
                    continue;
                }
                let payload = wire::json(&ReadingFrame::from(&*reading));
                let topic = topics.reading(&reading.sensor);
                line.message(Message { topic, payload, content_type: JSON, ..Message::default() });
            }
            ctx.sleep(PAUSE).await;
        }
    }

    /// What was published before; at another place it is taken back.
    async fn recall(&self) -> Known {
        let Inner { ctx, line, topic, .. } = &*self.0;
        let known = recall(ctx).await;
        if known.topic == *topic {
            return known;
        }
        if !known.topic.is_empty() {
            line.state(Rank::Discovery, known.topic, Vec::new());
        }
        Known::at(topic)
    }

    async fn keep(&self, known: &Known) {
        if let Err(error) = self.0.ctx.store(KEY, known).await {
            warn!(%error, "What Home Assistant was told cannot be kept: what goes while the node is stopped stays there.");
        }
    }
}

/// Takes back what was published when discovery was not switched off yet.
pub(crate) async fn withdraw(prefix: String, ctx: Context, line: Line) {
    let known = recall(&ctx).await;
    let topic = topic(&prefix, &ctx.directory().node.id);
    for topic in BTreeSet::from([topic, known.topic]).into_iter().filter(|topic| !topic.is_empty()) {
        line.state(Rank::Discovery, topic, Vec::new());
    }
    if let Err(error) = ctx.forget(KEY).await {
        debug!(%error, "What Home Assistant was told is not forgotten.");
    }
}

async fn recall(ctx: &Context) -> Known {
    ctx.load(KEY).await.map(Option::unwrap_or_default).unwrap_or_else(|error| {
        debug!(%error, "What Home Assistant was told before is not known.");
        Known::default()
    })
}

/// Where the message of a node is.
fn topic(prefix: &str, node: &Id) -> String {
    format!("{prefix}/device/sedge-{node}/config")
}
