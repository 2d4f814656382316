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
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::Id;
use crate::clock::Clock;
use crate::directory::{Directory, SensorDescriptor};
use crate::plugin::PluginError;
use crate::reading::{Draft, Frame};
use crate::tool::{ToolCall, ToolOutcome};
use crate::topic::{Observe, Topic};
use crate::topics::RawPayload;

/// A future in a box.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What stands behind a [`Context`]. The engine implements it; a plugin never sees it.
#[doc(hidden)]
pub trait Host: Send + Sync + 'static {
    fn clock(&self) -> Arc<dyn Clock>;
    fn submit<'a>(&'a self, plugin: &'a Id, draft: Draft) -> BoxFuture<'a, Result<(), PluginError>>;
    fn extract(&self, raw: RawPayload) -> BoxFuture<'_, Option<Frame>>;
    fn announce(&self, plugin: &Id, sensor: SensorDescriptor);
    fn withdraw(&self, plugin: &Id, sensor: &Id);
    fn publish(&self, topic: TypeId, message: Arc<dyn Any + Send + Sync>) -> BoxFuture<'_, ()>;
    fn call(&self, call: ToolCall) -> BoxFuture<'_, ToolOutcome>;
    fn directory(&self) -> Arc<Directory>;
    fn spawn(&self, plugin: &Id, future: BoxFuture<'static, ()>);
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
    fn degraded(&self, plugin: &Id, reason: Option<String>);
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
        let draft = Draft { sensor: sensor.clone(), taken: self.host.clock().taken(), frame };
        self.host.submit(&self.id, draft).await
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
        self.host.submit(&self.id, Draft { sensor: sensor.clone(), taken, frame }).await
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
        self.host.publish(TypeId::of::<T>(), Arc::new(message)).await;
    }

    /// Calls a tool of another plugin; one of this plugin only from [`spawn`](Self::spawn), because a handler cannot wait
    /// for another one of its own plugin.
    pub async fn call(&self, call: ToolCall) -> ToolOutcome {
        self.host.call(call).await
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
}
