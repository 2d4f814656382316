//! What a plugin's own tests need: a node that remembers what it was told, a clock with hands, and a way to
//! await.
//!
//! ```
//! use std::time::Duration;
//! use sedge_plugin::prelude::*;
//! use sedge_plugin::testing::{TestNode, block_on};
//!
//! struct Blinker { ctx: Context }
//! impl Plugin for Blinker {
//!     type Args = ();
//!     const MANIFEST: Manifest = Manifest::new("blinker", "0.1.0", "Says when it is on.");
//!     async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
//!         const FIELDS: &[Field] = &[Field::new("on", Unit::None).kind(FieldKind::State)];
//!         ctx.announce(SensorDescriptor::new(ctx.id().clone(), "blinker", "0.1.0", "here", FIELDS));
//!         Ok(Self { ctx })
//!     }
//!     async fn tick(&mut self) -> Result<(), PluginError> {
//!         self.ctx.sleep(Duration::from_secs(1)).await;
//!         let mut frame = Frame::default();
//!         frame.push("on", true);
//!         self.ctx.submit(self.ctx.id(), frame).await
//!     }
//! }
//!
//! let node = TestNode::new();
//! let mut blinker = block_on(Blinker::setup(&(), node.context("lamp"))).unwrap();
//! block_on(blinker.tick()).unwrap();
//! assert_eq!(node.submitted()[0].taken.up_ms, 1000, "a test's node does not sleep, it turns the clock");
//! ```
//!
//! It has no chains, no supervisor and no queues: what those do is tested with the node itself. It is no node, and not for
//! use as one.

mod journal;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use serde_json::Value as Json;

pub use self::journal::MemoryJournal;
use crate::clock::Clock;
use crate::context::{BoxFuture, Context, Erased, Host};
use crate::directory::{Directory, NodeInfo, SensorDescriptor};
use crate::http::{HttpError, Request, Response};
use crate::journal::{CursorSource, HistorySource, Journal};
use crate::metrics::Registry;
use crate::plugin::PluginError;
use crate::reading::{Boot, Draft, Reading};
use crate::tool::{ToolCall, ToolError, ToolErrorCode, ToolOutcome};
use crate::topic::{Observe, Topic};
use crate::{Id, Tool};

/// A clock that stands still until it is turned. Begins at zero, without a wall time.
#[derive(Debug, Default)]
pub struct HandClock(Mutex<(Duration, Option<i64>)>);

impl HandClock {
    /// Turns it on. A wall time that is known moves with it.
    pub fn advance(&self, time: Duration) {
        let mut hands = lock(&self.0);
        hands.0 += time;
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        hands.1 = hands.1.map(|wall| wall.saturating_add(millis));
    }

    /// Sets the wall time, in milliseconds since 1970; none makes it unknown.
    pub fn set_wall(&self, wall_ms: Option<i64>) {
        lock(&self.0).1 = wall_ms;
    }
}

impl Clock for HandClock {
    fn up(&self) -> Duration {
        lock(&self.0).0
    }
    fn wall_ms(&self) -> Option<i64> {
        lock(&self.0).1
    }
}

/// Runs a future to its end on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

type Answer = Box<dyn Fn(&ToolCall) -> Result<Json, ToolError> + Send + Sync>;
type Web = Box<dyn Fn(&Request) -> Result<Response, HttpError> + Send + Sync>;

#[derive(Default)]
struct Memory {
    sensors: BTreeMap<Id, SensorDescriptor>,
    submitted: Vec<Draft>,
    published: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
    degraded: BTreeMap<Id, String>,
    spawned: Vec<BoxFuture<'static, ()>>,
    tools: Vec<Tool>,
    latest: BTreeMap<Id, Arc<Reading>>,
    stored: BTreeMap<(Id, String), Json>,
    requests: Vec<Request>,
    data_dir: Option<PathBuf>,
    config: Arc<Json>,
}

/// A node for a plugin's tests. Clones are the same node.
#[derive(Clone, Default)]
pub struct TestNode {
    clock: Arc<HandClock>,
    memory: Arc<Mutex<Memory>>,
    answer: Arc<Mutex<Option<Answer>>>,
    web: Arc<Mutex<Option<Web>>>,
    metrics: Arc<Registry>,
    journal: MemoryJournal,
    keeps: Arc<AtomicBool>,
}

impl TestNode {
    /// A node on which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// The context of a plugin with this id.
    ///
    /// # Panics
    /// When `id` is not a legal [`Id`].
    pub fn context(&self, id: &str) -> Context {
        let id = Id::new(id).unwrap_or_else(|error| panic!("{error}"));
        Context::new(id, Arc::new(self.clone()))
    }

    /// Its clock.
    pub fn clock(&self) -> Arc<HandClock> {
        self.clock.clone()
    }

    /// The drafts that were submitted since this was asked last.
    pub fn submitted(&self) -> Vec<Draft> {
        std::mem::take(&mut self.memory().submitted)
    }

    /// The sensors that are announced and not withdrawn.
    pub fn sensors(&self) -> BTreeMap<Id, SensorDescriptor> {
        self.memory().sensors.clone()
    }

    /// The messages that were published to a topic so far.
    pub fn published<T: Topic<Kind = Observe>>(&self) -> Vec<Arc<T::Message>> {
        let memory = self.memory();
        let ours = memory.published.iter().filter(|(topic, _)| *topic == TypeId::of::<T>());
        ours.filter_map(|(_, message)| message.clone().downcast().ok()).collect()
    }

    /// What a plugin said is amiss with it; none while it is well.
    pub fn degraded(&self, plugin: &str) -> Option<String> {
        self.memory().degraded.get(plugin).cloned()
    }

    /// Answers the calls of tools. Without it every tool is unknown.
    pub fn answer(&self, answer: impl Fn(&ToolCall) -> Result<Json, ToolError> + Send + Sync + 'static) {
        *lock(&self.answer) = Some(Box::new(answer));
    }

    /// Answers requests over HTTP. Without it nobody can be reached.
    pub fn web(&self, web: impl Fn(&Request) -> Result<Response, HttpError> + Send + Sync + 'static) {
        *lock(&self.web) = Some(Box::new(web));
    }

    /// The requests that were sent since this was asked last.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.memory().requests)
    }

    /// Its journal: plugins have a cursor from now on.
    pub fn journal(&self) -> MemoryJournal {
        self.keeps.store(true, Ordering::Relaxed);
        self.journal.clone()
    }

    /// A reading of another sensor that the node has seen.
    pub fn saw(&self, reading: Reading) {
        self.memory().latest.insert(reading.sensor.clone(), Arc::new(reading));
    }

    /// Where plugins may keep files. Without it there is no place.
    pub fn keep_data_in(&self, directory: impl Into<PathBuf>) {
        self.memory().data_dir = Some(directory.into());
    }

    /// What the node is told.
    pub fn configure(&self, config: Json) {
        self.memory().config = Arc::new(config);
    }

    /// Puts tools of others into the directory.
    pub fn offer(&self, tools: impl IntoIterator<Item = Tool>) {
        self.memory().tools.extend(tools);
    }

    /// The futures that were spawned since this was asked last. Nobody else runs them.
    pub fn spawned(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut self.memory().spawned)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }
}

impl Host for TestNode {
    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn submit<'a>(&'a self, _: &'a Id, draft: Draft) -> BoxFuture<'a, Result<(), PluginError>> {
        let mut memory = self.memory();
        let result = if memory.sensors.contains_key(&draft.sensor) {
            memory.submitted.push(draft);
            Ok(())
        } else {
            Err(PluginError::Failed(format!("sensor `{}` was not announced", draft.sensor).into()))
        };
        Box::pin(std::future::ready(result))
    }

    /// No plugin is there to know a format.
    fn extract(&self, _: crate::topics::RawPayload) -> BoxFuture<'_, Option<crate::Frame>> {
        Box::pin(std::future::ready(None))
    }

    fn announce(&self, _: &Id, sensor: SensorDescriptor) {
        self.memory().sensors.insert(sensor.id.clone(), sensor);
    }

    fn withdraw(&self, _: &Id, sensor: &Id) {
        self.memory().sensors.remove(sensor);
    }

    fn publish(
        &self,
        topic: TypeId,
        message: Arc<dyn Any + Send + Sync>,
        _: Option<Option<Id>>,
    ) -> BoxFuture<'_, ()> {
        self.memory().published.push((topic, message));
        Box::pin(std::future::ready(()))
    }

    /// Nobody subscribes.
    fn fire(&self, _: TypeId, message: Erased) -> BoxFuture<'_, Result<Erased, Erased>> {
        Box::pin(std::future::ready(Err(message)))
    }

    fn config(&self) -> Arc<Json> {
        self.memory().config.clone()
    }

    fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        self.memory().latest.get(sensor).cloned()
    }

    fn cursor(&self, plugin: &Id) -> Option<Arc<dyn CursorSource>> {
        self.keeps.load(Ordering::Relaxed).then(|| self.journal.cursor(plugin))
    }

    fn history(&self) -> Option<Arc<dyn HistorySource>> {
        Some(self.journal.history())
    }

    fn data_dir(&self, plugin: &Id) -> Result<PathBuf, PluginError> {
        match &self.memory().data_dir {
            Some(directory) => Ok(directory.join(plugin.as_str())),
            None => Err(PluginError::unmet("the node has no place for data")),
        }
    }

    fn load<'a>(&'a self, plugin: &'a Id, key: &'a str) -> BoxFuture<'a, Result<Option<Json>, PluginError>> {
        let value = self.memory().stored.get(&(plugin.clone(), key.to_owned())).cloned();
        Box::pin(std::future::ready(Ok(value)))
    }

    fn store<'a>(
        &'a self,
        plugin: &'a Id,
        key: &'a str,
        value: Option<Json>,
    ) -> BoxFuture<'a, Result<(), PluginError>> {
        let (mut memory, at) = (self.memory(), (plugin.clone(), key.to_owned()));
        match value {
            Some(value) => memory.stored.insert(at, value),
            None => memory.stored.remove(&at),
        };
        Box::pin(std::future::ready(Ok(())))
    }

    fn metrics(&self) -> Arc<Registry> {
        self.metrics.clone()
    }

    fn http(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        let answer = match &*lock(&self.web) {
            Some(web) => web(&request),
            None => Err(HttpError("nobody can be reached from a test".into())),
        };
        self.memory().requests.push(request);
        Box::pin(std::future::ready(answer))
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, ToolOutcome> {
        let result = match &*lock(&self.answer) {
            Some(answer) => answer(&call),
            None => Err(ToolError::new(ToolErrorCode::NotFound, format!("no tool `{}`", call.tool))),
        };
        let outcome = ToolOutcome {
            id: call.id,
            node: call.node,
            tool: call.tool,
            result,
            took: Duration::ZERO,
            by: None,
        };
        Box::pin(std::future::ready(outcome))
    }

    fn directory(&self) -> Arc<Directory> {
        let memory = self.memory();
        Arc::new(Directory {
            node: NodeInfo {
                id: Id::from_host("test-node"),
                boot: Boot(0),
                started_at: None,
                version: String::new(),
                target: String::new(),
                config: String::new(),
                labels: BTreeMap::new(),
                hardware: None,
            },
            sensors: memory
                .sensors
                .iter()
                .map(|(id, sensor)| (id.clone(), Arc::new(sensor.clone())))
                .collect(),
            tools: memory.tools.iter().map(|tool| (tool.name.clone(), Arc::new(tool.clone()))).collect(),
            plugins: BTreeMap::new(),
            nodes: BTreeMap::new(),
        })
    }

    fn spawn(&self, _: &Id, future: BoxFuture<'static, ()>) {
        self.memory().spawned.push(future);
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn degraded(&self, plugin: &Id, reason: Option<String>) {
        let mut memory = self.memory();
        match reason {
            Some(reason) => memory.degraded.insert(plugin.clone(), reason),
            None => memory.degraded.remove(plugin),
        };
    }
}

/// A test that failed while it held the lock has said so already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::NodeStarted;
    use crate::{Frame, Name};

    #[test]
    fn a_sensor_that_was_not_announced_cannot_submit() {
        let node = TestNode::new();
        let ctx = node.context("x");
        assert!(block_on(ctx.submit(ctx.id(), Frame::default())).is_err());
        ctx.announce(SensorDescriptor::new(ctx.id().clone(), "x", "1", "here", &[]));
        block_on(ctx.submit(ctx.id(), Frame::default())).unwrap();
        assert_eq!(node.submitted().len(), 1);
        ctx.withdraw(ctx.id());
        assert!(block_on(ctx.submit(ctx.id(), Frame::default())).is_err());
    }

    #[test]
    fn it_remembers_what_it_was_told() {
        let node = TestNode::new();
        let ctx = node.context("x");
        ctx.degraded(Some("half a wire".into()));
        assert_eq!(node.degraded("x").as_deref(), Some("half a wire"));
        ctx.degraded(None);
        assert_eq!(node.degraded("x"), None);

        block_on(ctx.publish::<NodeStarted>(()));
        assert_eq!(node.published::<NodeStarted>().len(), 1);

        node.clock().set_wall(Some(5000));
        block_on(ctx.sleep(Duration::from_secs(2)));
        assert_eq!(ctx.clock().taken().up_ms, 2000);
        assert_eq!(ctx.clock().wall_ms(), Some(7000));
    }

    #[test]
    fn it_answers_calls_and_keeps_what_was_spawned() {
        let node = TestNode::new();
        let ctx = node.context("x");
        let call = |tool: &str| ToolCall::new(Name::new(tool).unwrap(), Json::Null);
        assert!(block_on(ctx.call(call("pump_set"))).result.is_err());
        node.answer(|call| Ok(call.tool.as_str().into()));
        assert_eq!(block_on(ctx.call(call("pump_set"))).result.unwrap(), "pump_set");

        let inner = ctx.clone();
        ctx.spawn(async move { inner.degraded(Some("ran".into())) });
        assert_eq!(node.degraded("x"), None, "nothing runs by itself");
        for future in node.spawned() {
            block_on(future);
        }
        assert_eq!(node.degraded("x").as_deref(), Some("ran"));
    }

    #[test]
    fn a_future_that_waits_for_another_thread_is_awaited() {
        let value = Arc::new(Mutex::new((0, None::<Waker>)));
        let other = value.clone();
        let thread = std::thread::spawn(move || {
            let mut value = lock(&other);
            value.0 = 7;
            if let Some(waker) = value.1.take() {
                waker.wake();
            }
        });
        let got = block_on(std::future::poll_fn(|cx| {
            let mut value = lock(&value);
            if value.0 == 7 {
                return Poll::Ready(value.0);
            }
            value.1 = Some(cx.waker().clone());
            Poll::Pending
        }));
        assert_eq!(got, 7);
        thread.join().unwrap();
    }
}
