//! What stands behind a plugin's [`Context`](sedge_plugin::Context) while it runs.

use std::any::{Any, TypeId};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sedge_plugin::context::{Erased, Host};
use sedge_plugin::http::{HttpError, Request, Response};
use sedge_plugin::journal::{CursorSource, HistorySource};
use sedge_plugin::metrics::Registry;
use sedge_plugin::topics::{Extract, RawPayload};
use sedge_plugin::{
    BoxFuture, Clock, Directory, Draft, Frame, Id, PluginError, Reading, RemoteCaller, RemoteNode,
    SensorDescriptor, ToolCall, ToolOutcome,
};
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use crate::path;
use crate::state::NodeState;
use crate::tools::ToolRegistry;

/// One start of one plugin, as the plugin sees the node.
pub(crate) struct PluginHost {
    state: Arc<NodeState>,
    tools: ToolRegistry,
    /// To the keeper: what the plugin says is amiss.
    degraded: watch::Sender<Option<String>>,
    /// To the keeper: why this start is over, as by a panic of a task of the plugin's own.
    broken: watch::Sender<Option<String>>,
    tasks: Mutex<JoinSet<()>>,
    ended: AtomicBool,
}

impl PluginHost {
    pub(crate) fn new(
        state: Arc<NodeState>,
        tools: ToolRegistry,
        degraded: watch::Sender<Option<String>>,
        broken: watch::Sender<Option<String>>,
    ) -> Self {
        Self { state, tools, degraded, broken, tasks: Mutex::default(), ended: AtomicBool::new(false) }
    }

    /// Ends what the plugin had running beside its handlers, and lets it start nothing more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl PluginHost {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

/// The first reason counts.
fn breaks(broken: &watch::Sender<Option<String>>, reason: String) {
    broken.send_if_modified(|before| {
        let first = before.is_none();
        before.get_or_insert(reason);
        first
    });
}

/// Tells when it is dropped by a panic.
struct Canary(watch::Sender<Option<String>>);

impl Drop for Canary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            breaks(&self.0, "a task of its own panicked".into());
        }
    }
}

impl Host for PluginHost {
    fn clock(&self) -> Arc<dyn Clock> {
        self.state.clock.clone()
    }

    fn submit<'a>(&'a self, plugin: &'a Id, draft: Draft) -> BoxFuture<'a, Result<(), PluginError>> {
        if self.has_ended() {
            // The plugin was started anew; a task of its former start has no say any more.
            return Box::pin(std::future::ready(Err(PluginError::failed(
                "this start of the plugin has ended",
            ))));
        }
        Box::pin(path::submit(&self.state, plugin, draft))
    }

    fn extract(&self, raw: RawPayload) -> BoxFuture<'_, Option<Frame>> {
        Box::pin(async { self.state.bus.first::<Extract>(raw).await.map(|(_, frame)| frame) })
    }

    fn announce(&self, plugin: &Id, sensor: SensorDescriptor) {
        let id = sensor.id.clone();
        if !self.has_ended() && !self.state.announce(plugin, sensor) {
            warn!(%plugin, sensor = %id, "This sensor belongs to another plugin; the announcement was ignored.");
        }
    }

    fn withdraw(&self, plugin: &Id, sensor: &Id) {
        if !self.has_ended() {
            self.state.withdraw(plugin, sensor);
        }
    }

    fn publish(
        &self,
        topic: TypeId,
        message: Arc<dyn Any + Send + Sync>,
        keep: Option<Option<Id>>,
    ) -> BoxFuture<'_, ()> {
        Box::pin(self.state.bus.publish_any(topic, message, keep))
    }

    fn fire(&self, topic: TypeId, message: Erased) -> BoxFuture<'_, Result<Erased, Erased>> {
        self.state.bus.fire_any(topic, message)
    }

    fn config(&self) -> Arc<Json> {
        self.state.config.load_full()
    }

    fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        self.state.latest(sensor)
    }

    fn cursor(&self, plugin: &Id) -> Option<Arc<dyn CursorSource>> {
        self.state.journal.as_ref().map(|journal| journal.cursor(plugin))
    }

    fn history(&self) -> Option<Arc<dyn HistorySource>> {
        self.state.journal.as_ref().map(|journal| journal.history())
    }

    fn data_dir(&self, plugin: &Id) -> Result<PathBuf, PluginError> {
        self.state.stores.directory(plugin)
    }

    fn load<'a>(&'a self, plugin: &'a Id, key: &'a str) -> BoxFuture<'a, Result<Option<Json>, PluginError>> {
        Box::pin(self.state.stores.load(plugin, key))
    }

    fn store<'a>(
        &'a self,
        plugin: &'a Id,
        key: &'a str,
        value: Option<Json>,
    ) -> BoxFuture<'a, Result<(), PluginError>> {
        Box::pin(self.state.stores.store(plugin, key, value))
    }

    fn metrics(&self) -> Arc<Registry> {
        self.state.metrics.clone()
    }

    fn http(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        match &self.state.http {
            Some(http) => http.send(request),
            None => Box::pin(std::future::ready(Err(HttpError("this node sends no requests".into())))),
        }
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, ToolOutcome> {
        Box::pin(self.tools.call(call))
    }

    fn reach(&self, plugin: &Id, node: RemoteNode, call: RemoteCaller) -> bool {
        !self.has_ended() && self.tools.reach(plugin, node, call)
    }

    fn forget(&self, plugin: &Id, node: &Id) {
        if !self.has_ended() {
            self.tools.forget(plugin, node);
        }
    }

    fn directory(&self) -> Arc<Directory> {
        self.state.directory()
    }

    fn spawn(&self, plugin: &Id, future: BoxFuture<'static, ()>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_ended() {
            return;
        }
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended.map_err(|error| error.to_string()) {
                warn!(%plugin, error, "A task of the plugin broke.");
            }
        }
        let canary = Canary(self.broken.clone());
        tasks.spawn(async move {
            let _canary = canary;
            future.await;
        });
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn degraded(&self, _: &Id, reason: Option<String>) {
        self.degraded.send_replace(reason);
    }

    fn fail(&self, _: &Id, reason: String) {
        if !self.has_ended() {
            breaks(&self.broken, reason);
        }
    }
}
