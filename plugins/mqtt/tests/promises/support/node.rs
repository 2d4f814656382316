//! A node that is none: what stands behind a plugin's context, with a bridge on top.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sedge_mqtt::{Broker, MqttBridge, Settings};
use sedge_plugin::context::{Erased, Host};
use sedge_plugin::directory::{Directory, NodeInfo, PluginStatus, SensorDescriptor, State};
use sedge_plugin::http::{HttpError, Request, Response};
use sedge_plugin::journal::{CursorSource, HistorySource, Journal};
use sedge_plugin::metrics::{Metric, Registry};
use sedge_plugin::reading::{Boot, Draft, Frame, Reading, Taken};
use sedge_plugin::testing::MemoryJournal;
use sedge_plugin::topic::Observer;
use sedge_plugin::topics::CallRecord;
use sedge_plugin::{
    BoxFuture, Clock, Context, Field, Id, Name, Plugin, PluginError, Tool, ToolCall, ToolError,
    ToolErrorCode, ToolOutcome, Unit, topics,
};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use super::clients::within;

pub const WALL_MS: i64 = 1_795_195_704_123;

struct Standing(Duration, Option<i64>);

impl Clock for Standing {
    fn up(&self) -> Duration {
        self.0
    }
    fn wall_ms(&self) -> Option<i64> {
        self.1
    }
}

pub struct FakeHost {
    directory: Mutex<Arc<Directory>>,
    pub calls: Mutex<Vec<ToolCall>>,
    /// Calls of `slow` that may end.
    pub gate: Semaphore,
    /// How many calls have begun.
    pub begun: watch::Sender<usize>,
    pub degraded: watch::Sender<Option<String>>,
    /// A sleep of just this time never ends.
    pub endless_sleep: Mutex<Option<Duration>>,
    /// A longer sleep never ends.
    pub longest_sleep: Mutex<Duration>,
    pub journal: MemoryJournal,
    tasks: Mutex<Vec<AbortHandle>>,
    metrics: Arc<Registry>,
    /// Calls that were told of.
    pub records: Mutex<Vec<CallRecord>>,
    /// What the bridge keeps; outlives it.
    pub disk: Disk,
    /// The wall time; none while it is not known.
    pub wall: Mutex<Option<i64>>,
    /// The newest readings.
    pub latest: Mutex<BTreeMap<Id, Arc<Reading>>>,
}

/// A store that outlives the node. None is a disk that cannot be written.
pub type Disk = Arc<Mutex<Option<BTreeMap<String, serde_json::Value>>>>;

/// A disk with nothing on it.
pub fn disk() -> Disk {
    Arc::new(Mutex::new(Some(BTreeMap::new())))
}

impl FakeHost {
    fn new(directory: Directory, journal: MemoryJournal, disk: Disk) -> Arc<Self> {
        Arc::new(Self {
            directory: Mutex::new(Arc::new(directory)),
            calls: Mutex::default(),
            gate: Semaphore::new(0),
            begun: watch::Sender::new(0),
            degraded: watch::Sender::new(None),
            endless_sleep: Mutex::default(),
            longest_sleep: Mutex::new(Duration::from_millis(4400)),
            journal,
            tasks: Mutex::default(),
            metrics: Arc::default(),
            records: Mutex::default(),
            disk,
            wall: Mutex::new(Some(WALL_MS)),
            latest: Mutex::default(),
        })
    }

    /// What the bridge has kept under a key.
    pub fn kept(&self, key: &str) -> Option<serde_json::Value> {
        self.disk.lock().unwrap().as_ref().and_then(|disk| disk.get(key).cloned())
    }
}

impl Host for FakeHost {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(Standing(Duration::from_secs(100), *self.wall.lock().unwrap()))
    }
    fn submit<'a>(&'a self, _: &'a Id, _: Draft) -> BoxFuture<'a, Result<(), PluginError>> {
        Box::pin(async { Ok(()) })
    }
    fn extract(&self, _: sedge_plugin::topics::RawPayload) -> BoxFuture<'_, Option<sedge_plugin::Frame>> {
        Box::pin(async { None })
    }
    fn announce(&self, _: &Id, _: SensorDescriptor) {}
    fn withdraw(&self, _: &Id, _: &Id) {}
    fn publish(
        &self,
        _: TypeId,
        message: Arc<dyn Any + Send + Sync>,
        _: Option<Option<Id>>,
    ) -> BoxFuture<'_, ()> {
        if let Ok(record) = message.downcast::<CallRecord>() {
            self.records.lock().unwrap().push(CallRecord::clone(&record));
        }
        Box::pin(async {})
    }
    fn fire(&self, _: TypeId, message: Erased) -> BoxFuture<'_, Result<Erased, Erased>> {
        Box::pin(async { Err(message) })
    }
    fn config(&self) -> Arc<serde_json::Value> {
        Arc::default()
    }
    fn cursor(&self, plugin: &Id) -> Option<Arc<dyn CursorSource>> {
        Some(self.journal.cursor(plugin))
    }
    fn history(&self) -> Option<Arc<dyn HistorySource>> {
        Some(self.journal.history())
    }
    fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        self.latest.lock().unwrap().get(sensor).cloned()
    }
    fn data_dir(&self, _: &Id) -> Result<std::path::PathBuf, PluginError> {
        Err(PluginError::unmet("no place for data"))
    }
    fn load<'a>(
        &'a self,
        _: &'a Id,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<serde_json::Value>, PluginError>> {
        let found = self.kept(key);
        Box::pin(async { Ok(found) })
    }
    fn store<'a>(
        &'a self,
        _: &'a Id,
        key: &'a str,
        value: Option<serde_json::Value>,
    ) -> BoxFuture<'a, Result<(), PluginError>> {
        let mut disk = self.disk.lock().unwrap();
        let kept = disk.as_mut().ok_or_else(|| PluginError::failed("no room on the disk")).map(|disk| {
            match value {
                Some(value) => disk.insert(key.into(), value),
                None => disk.remove(key),
            };
        });
        Box::pin(async { kept })
    }
    fn metrics(&self) -> Arc<Registry> {
        self.metrics.clone()
    }
    fn http(&self, _: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        Box::pin(async { Err(HttpError("nobody".into())) })
    }
    fn call(&self, call: ToolCall) -> BoxFuture<'_, ToolOutcome> {
        Box::pin(async move {
            self.calls.lock().unwrap().push(call.clone());
            self.begun.send_modify(|begun| *begun += 1);
            let result = match call.tool.as_str() {
                "echo" => Ok(call.args),
                "steps" => {
                    call.progress.report(0.4, "rinsing");
                    Ok(json!("clean"))
                }
                "large" => Ok(json!("x".repeat(300 * 1024))),
                "slow" => {
                    self.gate.acquire().await.unwrap().forget();
                    Ok(json!("slow"))
                }
                _ => Err(ToolError::new(ToolErrorCode::NotFound, "no such tool")),
            };
            ToolOutcome {
                id: call.id,
                node: call.node,
                tool: call.tool,
                result,
                took: Duration::from_millis(3),
                by: None,
            }
        })
    }
    fn directory(&self) -> Arc<Directory> {
        self.directory.lock().unwrap().clone()
    }
    fn spawn(&self, _: &Id, future: BoxFuture<'static, ()>) {
        self.tasks.lock().unwrap().push(tokio::spawn(future).abort_handle());
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let endless = *self.endless_sleep.lock().unwrap() == Some(time);
        let ends = !endless && time <= *self.longest_sleep.lock().unwrap();
        Box::pin(async move {
            match ends {
                true => tokio::time::sleep(Duration::from_millis(2)).await,
                false => std::future::pending().await,
            }
        })
    }
    fn degraded(&self, _: &Id, reason: Option<String>) {
        self.degraded.send_replace(reason);
    }
}

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

const FIELDS: &[Field] = &[
    Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
    Field::new("on", Unit::None),
];

pub fn sensor(sensor: &str) -> SensorDescriptor {
    SensorDescriptor::new(id(sensor), "bme280", "0.1.0", "i2c-1/0x76", FIELDS).every(Duration::from_secs(10))
}

pub fn status(plugin: &str, state: State) -> PluginStatus {
    PluginStatus {
        id: id(plugin),
        kind: "bme280".into(),
        version: "0.1.0".into(),
        state,
        reason: (state != State::Running).then(|| "address 0x76: no answer".into()),
        since_ms: Some(WALL_MS),
        restarts: 2,
        dropped: 0,
        service_of: None,
    }
}

pub fn directory(node: &str) -> Directory {
    let tools = ["echo", "slow"].map(|tool| (name(tool), Arc::new(Tool::new(name(tool), "For tests."))));
    Directory {
        node: NodeInfo {
            id: id(node),
            boot: Boot(0x9f3c_21ab),
            started_at: Some("2026-11-20T17:28:24.123Z".into()),
            version: "0.1.0".into(),
            target: "aarch64-unknown-linux-gnu".into(),
            config: "1a2b3c4d".into(),
            labels: BTreeMap::from([("room".into(), "kitchen".into())]),
            hardware: Some("Raspberry Pi 4 Model B".into()),
        },
        sensors: BTreeMap::from([(id("air"), sensor("air").into())]),
        tools: tools.into(),
        plugins: BTreeMap::from([(id("air"), status("air", State::Running).into())]),
        nodes: BTreeMap::new(),
    }
}

pub fn reading(seq: u64) -> Reading {
    let mut frame = Frame::default();
    frame.push("temperature", 21.53);
    let taken = Taken { up_ms: 1000 * seq, wall_ms: Some(WALL_MS) };
    Reading { sensor: id("air"), boot: Boot(0x9f3c_21ab), seq, taken, frame, origin: None }
}

/// A bridge at work.
pub struct Node {
    pub host: Arc<FakeHost>,
    pub bridge: MqttBridge,
}

impl Node {
    /// The node `pi`, with that broker.
    pub async fn start(broker: SocketAddr) -> Self {
        Self::with(broker, directory("pi"), Settings::default()).await
    }

    pub async fn with(broker: SocketAddr, directory: Directory, settings: Settings) -> Self {
        let brokers = vec![Broker::at(broker.ip().to_string(), broker.port())];
        Self::among(directory, Settings { brokers, ..settings }).await
    }

    /// With that journal.
    pub async fn keeping(
        broker: SocketAddr,
        directory: Directory,
        settings: Settings,
        journal: MemoryJournal,
    ) -> Self {
        let brokers = vec![Broker::at(broker.ip().to_string(), broker.port())];
        Self::at(FakeHost::new(directory, journal, disk()), Settings { brokers, ..settings }).await
    }

    /// With the brokers of the settings.
    pub async fn among(directory: Directory, settings: Settings) -> Self {
        Self::at(FakeHost::new(directory, MemoryJournal::default(), disk()), settings).await
    }

    /// With what an earlier start has kept.
    pub async fn on(disk: Disk, broker: SocketAddr, directory: Directory, settings: Settings) -> Self {
        let brokers = vec![Broker::at(broker.ip().to_string(), broker.port())];
        let host = FakeHost::new(directory, MemoryJournal::default(), disk);
        Self::at(host, Settings { brokers, ..settings }).await
    }

    async fn at(host: Arc<FakeHost>, settings: Settings) -> Self {
        let ctx = Context::new(id("mqtt"), host.clone());
        let bridge = MqttBridge::setup(&settings, ctx).await.unwrap();
        Self { host, bridge }
    }

    pub fn read(&self, seq: u64) {
        self.host.journal.put(reading(seq));
    }

    /// All components are there.
    pub async fn started(&mut self) {
        Observer::<topics::NodeStarted>::observe(&mut self.bridge, Arc::new(())).await.unwrap();
    }

    pub fn change(&self, change: impl FnOnce(&mut Directory)) {
        change(Arc::make_mut(&mut self.host.directory.lock().unwrap()));
    }

    /// Every sleep ends soon, however long.
    pub fn hurry(&self) {
        *self.host.longest_sleep.lock().unwrap() = Duration::MAX;
    }

    /// Every sleep ends soon, and no connection is ever a steady one.
    pub fn hurry_and_never_be_steady(&self) {
        *self.host.endless_sleep.lock().unwrap() = Some(Duration::from_secs(30));
        self.hurry();
    }

    /// How many the bridge has counted under that name.
    pub fn counted(&self, name: &str) -> u64 {
        let measured = self.host.metrics.snapshot().into_iter().find(|it| it.name.as_str() == name);
        match measured.map(|measured| measured.metric) {
            Some(Metric::Counter(count)) => count,
            _ => 0,
        }
    }

    pub async fn until_degraded(&self, by: &str) {
        let mut degraded = self.host.degraded.subscribe();
        let reason = |reason: &Option<String>| reason.as_ref().is_some_and(|reason| reason.contains(by));
        within(degraded.wait_for(reason)).await.unwrap();
    }

    pub async fn until_well(&self) {
        within(self.host.degraded.subscribe().wait_for(Option::is_none)).await.unwrap();
    }

    pub async fn until_begun(&self, calls: usize) {
        within(self.host.begun.subscribe().wait_for(|begun| *begun >= calls)).await.unwrap();
    }

    /// As when the power fails.
    pub fn kill(&self) {
        self.host.tasks.lock().unwrap().iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
