//! What a plugin gets from its node: its id, the clock, the path for its readings, the bus, other plugins' tools.
//!
//! A plugin reaches nothing else: not the node's insides, and never another plugin but over the bus and the tools.
//!
//! ```
//! use sedge_plugin::prelude::*;
//! async fn measure(ctx: &Context) -> Result<(), PluginError> {
//!     let mut frame = Frame::default();
//!     frame.push("level", 4.2);
//!     ctx.submit(ctx.id(), frame).await
//! }
//! ```

use std::any::Any;
use std::any::TypeId;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use crate::clock::Clock;
use crate::directory::{Directory, RemoteNode, SensorDescriptor};
use crate::http::{HttpError, Request, Response};
use crate::journal::{Cursor, CursorSource, History, HistorySource};
use crate::metrics::{Counter, Gauge, Histogram, MetricError, Registry, SECONDS};
use crate::plugin::PluginError;
use crate::reading::{Draft, Frame, Origin, Reading, Taken};
use crate::tool::{RemoteCaller, ToolCall, ToolOutcome};
use crate::topic::{Around, Chain, Chained, Collect, First, Next, Observe, Topic};
use crate::topics::RawPayload;
use crate::{Id, Name};

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message, or what became of it, whose type only its topic knows.
#[doc(hidden)]
pub type Erased = Box<dyn Any + Send>;

/// What stands behind a [`Context`]. The engine implements it; a plugin never sees it.
#[doc(hidden)]
pub trait Host: Send + Sync + 'static {
    fn clock(&self) -> Arc<dyn Clock>;
    fn submit<'a>(&'a self, plugin: &'a Id, draft: Draft) -> BoxFuture<'a, Result<(), PluginError>>;
    fn extract(&self, raw: RawPayload) -> BoxFuture<'_, Option<Frame>>;
    fn announce(&self, plugin: &Id, sensor: SensorDescriptor);
    fn withdraw(&self, plugin: &Id, sensor: &Id);
    /// Fires an observe topic. `keep` has the key of a message that is to be replayed to those who come late.
    fn publish(
        &self,
        topic: TypeId,
        message: Arc<dyn Any + Send + Sync>,
        keep: Option<Option<Id>>,
    ) -> BoxFuture<'_, ()>;
    /// Fires a topic that is answered. The message comes back where nobody subscribes.
    fn fire(&self, topic: TypeId, message: Erased) -> BoxFuture<'_, Result<Erased, Erased>>;
    fn call(&self, call: ToolCall) -> BoxFuture<'_, ToolOutcome>;
    /// A host that knows of no other nodes takes none.
    fn reach(&self, _plugin: &Id, _node: RemoteNode, _call: RemoteCaller) -> bool {
        false
    }
    fn forget(&self, _plugin: &Id, _node: &Id) {}
    fn config(&self) -> Arc<Json>;
    fn latest(&self, sensor: &Id) -> Option<Arc<Reading>>;
    fn cursor(&self, plugin: &Id) -> Option<Arc<dyn CursorSource>>;
    fn history(&self) -> Option<Arc<dyn HistorySource>>;
    fn data_dir(&self, plugin: &Id) -> Result<PathBuf, PluginError>;
    fn load<'a>(&'a self, plugin: &'a Id, key: &'a str) -> BoxFuture<'a, Result<Option<Json>, PluginError>>;
    fn store<'a>(
        &'a self,
        plugin: &'a Id,
        key: &'a str,
        value: Option<Json>,
    ) -> BoxFuture<'a, Result<(), PluginError>>;
    fn metrics(&self) -> Arc<Registry>;
    fn http(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>>;
    fn directory(&self) -> Arc<Directory>;
    fn spawn(&self, plugin: &Id, future: BoxFuture<'static, ()>);
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
    fn degraded(&self, plugin: &Id, reason: Option<String>);
    /// A host that supervises nobody only takes note.
    fn fail(&self, plugin: &Id, reason: String) {
        self.degraded(plugin, Some(reason));
    }
}

/// A plugin's way to its node. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    id: Id,
    host: Arc<dyn Host>,
}

impl Context {
    #[doc(hidden)]
    pub fn new(id: Id, host: Arc<dyn Host>) -> Self {
        Self { id, host }
    }

    /// The id of this instance: the sensor's, the tool's, the plugin's name in the config.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.host.clock()
    }

    /// Sends a frame on the path of a reading: processed, validated, numbered, delivered. Waits only as long as the
    /// processors take.
    ///
    /// # Errors
    /// When `sensor` was not [announced](Self::announce) by this plugin.
    pub async fn submit(&self, sensor: &Id, frame: Frame) -> Result<(), PluginError> {
        let draft = Draft::new(sensor.clone(), self.host.clock().taken(), frame);
        self.host.submit(&self.id, draft).await
    }

    /// As [`submit`](Self::submit), of what another node measured: `taken` is when that was. It gets a number of this node's
    /// and keeps its own as its origin; one that is older than the latest does not take its place.
    ///
    /// # Errors
    /// As `submit`.
    pub async fn import(
        &self,
        sensor: &Id,
        origin: Origin,
        taken: Taken,
        frame: Frame,
    ) -> Result<(), PluginError> {
        let origin = Some(Arc::new(origin));
        self.host.submit(&self.id, Draft { origin, ..Draft::new(sensor.clone(), taken, frame) }).await
    }

    /// Sends bytes on the path of a reading: made a frame by whoever knows their format, then as
    /// [`submit`](Self::submit).
    ///
    /// # Errors
    /// When nobody knows the format, and as `submit`.
    pub async fn submit_raw(&self, sensor: &Id, format: &str, bytes: Vec<u8>) -> Result<(), PluginError> {
        let taken = self.host.clock().taken();
        let raw = RawPayload { sensor: sensor.clone(), format: format.into(), bytes };
        let frame = self.host.extract(raw).await.ok_or_else(|| {
            PluginError::failed(format!("no plugin makes sense of these bytes of format `{format}`"))
        })?;
        self.host.submit(&self.id, Draft::new(sensor.clone(), taken, frame)).await
    }

    /// Makes a sensor known: its fields and their units. To be done before its first reading; again replaces it.
    pub fn announce(&self, sensor: SensorDescriptor) {
        self.host.announce(&self.id, sensor);
    }

    /// Takes a sensor back, as when a disk was unmounted.
    pub fn withdraw(&self, sensor: &Id) {
        self.host.withdraw(&self.id, sensor);
    }

    /// Fires an observe topic.
    pub async fn publish<T: Topic<Kind = Observe>>(&self, message: T::Message) {
        let keep = T::HISTORIC.then(|| T::key(&message).cloned());
        self.host.publish(TypeId::of::<T>(), Arc::new(message), keep).await;
    }

    /// Fires a chain topic.
    pub async fn chain<T: Topic<Kind = Chain>>(&self, message: T::Message) -> Chained<T::Message> {
        let done = match self.host.fire(TypeId::of::<T>(), Box::new(message)).await {
            Ok(chained) => chained.downcast().map(|chained| *chained),
            Err(message) => message.downcast().map(|message| Chained::Passed(*message)),
        };
        done.unwrap_or_else(|_| unreachable!("a topic's messages are of its type"))
    }

    /// Fires a collect topic: all answers, each with whose it is.
    pub async fn collect<T: Topic<Kind = Collect>>(&self, message: T::Message) -> Vec<(Id, T::Answer)> {
        let answers = self.host.fire(TypeId::of::<T>(), Box::new(message)).await.ok();
        answers.and_then(|answers| answers.downcast().ok()).map(|answers| *answers).unwrap_or_default()
    }

    /// Fires a first topic: the first answer, and whose it is.
    pub async fn first<T: Topic<Kind = First>>(&self, message: T::Message) -> Option<(Id, T::Answer)> {
        let answer = self.host.fire(TypeId::of::<T>(), Box::new(message)).await.ok()?;
        answer.downcast().ok().and_then(|answer| *answer)
    }

    /// Fires an around topic: runs `core` within what its subscribers wrap around it.
    ///
    /// # Errors
    /// When a wrapper failed that had begun what it wraps and not waited for its end.
    pub async fn around<T: Topic<Kind = Around>>(
        &self,
        message: T::Message,
        core: impl FnOnce(T::Message) -> BoxFuture<'static, T::Answer> + Send + 'static,
    ) -> Result<T::Answer, PluginError> {
        let core = |message| -> BoxFuture<'static, Result<T::Answer, PluginError>> {
            let core = core(message);
            Box::pin(async move { Ok(core.await) })
        };
        let fired: (T::Message, Next<T>) = (message, Next::new(core));
        match self.host.fire(TypeId::of::<T>(), Box::new(fired)).await {
            Ok(answer) => match answer.downcast::<Result<T::Answer, PluginError>>() {
                Ok(answer) => *answer,
                Err(_) => unreachable!("a topic's answers are of its type"),
            },
            Err(fired) => match fired.downcast::<(T::Message, Next<T>)>() {
                Ok(fired) => fired.1.run(fired.0).await,
                Err(_) => unreachable!("a topic's messages are of its type"),
            },
        }
    }

    /// Calls a tool of another plugin; one of this plugin only from [`spawn`](Self::spawn), because a handler cannot wait
    /// for another one of its own plugin.
    pub async fn call(&self, call: ToolCall) -> ToolOutcome {
        self.host.call(call).await
    }

    /// Makes another node known, with its tools and the way to call them; again replaces it. False where another plugin
    /// has made it known already.
    pub fn reach(&self, node: RemoteNode, call: RemoteCaller) -> bool {
        self.host.reach(&self.id, node, call)
    }

    /// Another node is none of ours any more.
    pub fn forget_node(&self, node: &Id) {
        self.host.forget(&self.id, node);
    }

    /// The node's config, all of it, secrets masked. A snapshot.
    pub fn config(&self) -> Arc<Json> {
        self.host.config()
    }

    /// The newest reading of a sensor, as it was delivered; none before its first.
    pub fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        self.host.latest(sensor)
    }

    /// The plugin's place in the [journal](crate::journal) of the node: for whoever must not miss a reading. The first time it
    /// stands before the oldest reading that is there. None where the node keeps no journal.
    pub fn cursor(&self) -> Option<Cursor> {
        self.host.cursor(&self.id).map(Cursor::new)
    }

    /// The readings that the [journal](crate::journal) of the node still has, for looking at. None where the node keeps no
    /// journal.
    pub fn history(&self) -> Option<History> {
        self.host.history().map(History::new)
    }

    /// A directory of the plugin's own, made when it is first asked for. It survives restarts of plugin and node.
    ///
    /// # Errors
    /// When it cannot be made, or the node has no place for data.
    pub fn data_dir(&self) -> Result<PathBuf, PluginError> {
        self.host.data_dir(&self.id)
    }

    /// What the plugin kept under a key. Read from disk once, then from memory.
    ///
    /// # Errors
    /// When the store cannot be read, or holds something else than a `T`.
    pub async fn load<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<Option<T>, PluginError> {
        let value = self.host.load(&self.id, key).await?;
        value.map(serde_json::from_value).transpose().map_err(|error| {
            PluginError::failed(format!("what is kept under `{key}` is of another type: {error}"))
        })
    }

    /// Keeps a value under a key, for the plugin alone. On disk when this returns well; a power cut leaves the old value
    /// or the new one. At most 64 KiB per value and a mebibyte in all; not for readings.
    ///
    /// # Errors
    /// When it is too big or cannot be written.
    pub async fn store(&self, key: &str, value: impl serde::Serialize) -> Result<(), PluginError> {
        let value = serde_json::to_value(value).map_err(|e| PluginError::failed(format!("`{key}`: {e}")))?;
        self.host.store(&self.id, key, Some(value)).await
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub async fn forget(&self, key: &str) -> Result<(), PluginError> {
        self.host.store(&self.id, key, None).await
    }

    /// A number that only grows, shown by `sedge metrics` under the plugin's name.
    ///
    /// # Errors
    /// When the name is one of another type, or the plugin has too many.
    pub fn counter(&self, name: Name, help: &'static str) -> Result<Counter, MetricError> {
        self.host.metrics().counter(&self.id, name, help)
    }

    /// A number that goes up and down.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn gauge(&self, name: Name, help: &'static str) -> Result<Gauge, MetricError> {
        self.host.metrics().gauge(&self.id, name, help)
    }

    /// How durations are spread, in seconds.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn histogram(&self, name: Name, help: &'static str) -> Result<Histogram, MetricError> {
        self.host.metrics().histogram(&self.id, name, help, SECONDS)
    }

    /// The metrics of all plugins and of the node.
    pub fn metrics(&self) -> Arc<Registry> {
        self.host.metrics()
    }

    /// Sends a request over HTTP, through the client that all plugins share.
    ///
    /// # Errors
    /// When nothing came back. Any status is an answer.
    pub async fn http(&self, request: Request) -> Result<Response, HttpError> {
        self.host.http(request).await
    }

    /// What the node has: sensors, tools, plugins with their states. A snapshot.
    pub fn directory(&self) -> Arc<Directory> {
        self.host.directory()
    }

    /// Runs a future beside the plugin's handlers. It ends with the plugin, at the latest.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.host.spawn(&self.id, Box::pin(future));
    }

    /// Waits, on the node's clock.
    pub async fn sleep(&self, time: Duration) {
        self.host.sleep(time).await;
    }

    /// Says that the plugin runs with something amiss, or (none) that it is well again.
    pub fn degraded(&self, reason: Option<String>) {
        self.host.degraded(&self.id, reason);
    }

    /// Says that this start of the plugin is over: what it stands for has ended. It is torn down and started again as after
    /// any failure, without waiting for its next handler. To be said by what it has [spawned](Self::spawn); a handler
    /// returns an error instead.
    pub fn fail(&self, reason: impl Into<String>) {
        self.host.fail(&self.id, reason.into());
    }
}
