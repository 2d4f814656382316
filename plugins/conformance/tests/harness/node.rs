//! A world, a node in it, and what a test sees of both.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sedge_actors::{
    Node, NodeHandle, PluginSpec, RunningNode, Subscription, Surroundings, TokioClock, node_info,
};
use sedge_hal::{SimBus, SystemClock};
use sedge_plugin::http::{HttpClient, HttpError, Request, Response};
use sedge_plugin::prelude::*;
use sedge_plugin::testing::MemoryJournal;
use sedge_plugin::topics::{
    CallRecorded, Deliver, Event, EventRaised, Failure, OnError, PluginStateChanged, Severity,
};
use serde_json::{Value as Json, json};

use super::compiled_in::{Helper, Shelf};
use super::home::{Home, Instance};

/// What outlives a node: its disk, its hardware, its journal.
pub struct World {
    pub home: &'static dyn Home,
    data: Arc<tempfile::TempDir>,
    pub bus: SimBus,
    pub shelf: Shelf,
    pub journal: MemoryJournal,
    pub web: Web,
}

/// Answers every request, and keeps them.
#[derive(Clone, Default)]
pub struct Web(Arc<Mutex<Vec<String>>>);

impl Web {
    pub fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl HttpClient for Web {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        self.0.lock().unwrap().push(request.url);
        let response =
            Response { status: 200, body: b"high tide".to_vec(), headers: Vec::new(), retry_after: None };
        Box::pin(std::future::ready(Ok(response)))
    }
}

impl World {
    pub fn new(home: &'static dyn Home) -> Self {
        Self {
            home,
            data: Arc::new(tempfile::tempdir().expect("a folder")),
            bus: SimBus::new("i2c-1", Arc::new(SystemClock)),
            shelf: Shelf::default(),
            journal: MemoryJournal::default(),
            web: Web::default(),
        }
    }

    /// Where its node keeps data.
    pub fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// Where its plugins lie.
    pub fn plugins(&self) -> PathBuf {
        self.data.path().join("plugins")
    }

    /// A node with these instances, and with what is compiled in for tests.
    pub async fn start(&self, instances: &[Instance]) -> Stage {
        self.start_with(instances, []).await
    }

    /// The same with more that is compiled in.
    pub async fn start_with(
        &self,
        instances: &[Instance],
        more: impl IntoIterator<Item = PluginSpec>,
    ) -> Stage {
        let around = Surroundings {
            data: Some(self.data()),
            http: Some(Arc::new(self.web.clone())),
            journal: Some(Arc::new(self.journal.clone())),
            config: Arc::new(json!({ "node": { "id": "stage" }, "secret": "***" })),
            ..Surroundings::default()
        };
        let node = Node::within(node_info("stage"), Arc::new(TokioClock::default()), around);
        let (states, readings) = (subscribe(&node), subscribe(&node));
        let (events, failures, calls) = (subscribe(&node), subscribe(&node), subscribe(&node));
        let helpers = std::iter::once(Helper::spec(&self.shelf)).chain(more);
        let specs = helpers.chain(instances.iter().map(|instance| self.home.spec(instance, self)));
        let node = node.start(specs.collect()).await;
        Stage { node, states, readings, events, failures, calls, _data: self.data.clone() }
    }
}

fn subscribe<T: Topic<Kind = sedge_plugin::topic::Observe>>(node: &Node) -> Subscription<T> {
    let options = Options { capacity: 4096, ..Options::default() };
    node.bus().subscribe::<T>(&Id::new("stage").unwrap(), options)
}

/// A node that runs, and what it tells.
pub struct Stage {
    pub node: RunningNode,
    pub states: Subscription<PluginStateChanged>,
    pub readings: Subscription<Deliver>,
    pub events: Subscription<EventRaised>,
    pub failures: Subscription<OnError>,
    pub calls: Subscription<CallRecorded>,
    _data: Arc<tempfile::TempDir>,
}

pub type Answered = Result<Json, ToolError>;

impl Stage {
    pub fn handle(&self) -> NodeHandle {
        self.node.handle()
    }

    pub async fn call(&self, tool: &str, args: Json) -> Answered {
        self.node.call(ToolCall::new(Name::new(tool).expect("a name"), args)).await.result
    }

    /// Tells a probe to do something.
    pub async fn order(&self, probe: &str, order: Json) -> Answered {
        self.call(&format!("{}_do", probe.replace('-', "_")), order).await
    }

    /// Tells a probe to do something that it can.
    pub async fn obeys(&self, probe: &str, order: Json) -> Json {
        self.order(probe, order.clone()).await.unwrap_or_else(|error| panic!("{order}: {error}"))
    }

    /// Has all probes that hear events do something.
    pub async fn shout(&self, does: &str) {
        let kind = Name::new("probe").unwrap();
        let data = json!({ "do": does });
        self.node.raise(Event { kind, severity: Severity::Info, text: String::new(), data }).await;
    }

    /// Waits until a plugin is in a state.
    pub async fn reaches(&mut self, plugin: &str, state: State) -> PluginStatus {
        loop {
            let status = self.states.next().await;
            if status.id.as_str() == plugin && status.state == state {
                return PluginStatus::clone(&status);
            }
        }
    }

    /// How a plugin fares now.
    pub fn status(&self, plugin: &str) -> PluginStatus {
        let directory = self.node.directory();
        PluginStatus::clone(directory.plugins.get(plugin).unwrap_or_else(|| panic!("no plugin `{plugin}`")))
    }

    /// The next reading of a sensor.
    pub async fn reading(&mut self, sensor: &str) -> Arc<Reading> {
        loop {
            let reading = self.readings.next().await;
            if reading.sensor.as_str() == sensor {
                return reading;
            }
        }
    }

    /// The next event of a kind.
    pub async fn event(&mut self, kind: &str) -> Arc<Event> {
        loop {
            let event = self.events.next().await;
            if event.kind.as_str() == kind {
                return event;
            }
        }
    }

    /// The next failure of a plugin.
    pub async fn failure(&mut self, plugin: &str) -> Arc<Failure> {
        loop {
            let failure = self.failures.next().await;
            if failure.plugin.as_str() == plugin {
                return failure;
            }
        }
    }

    /// What the probe says of itself.
    pub async fn state_of(&self, probe: &str) -> Json {
        self.obeys(probe, json!({ "do": "state" })).await
    }

    /// Submits a reading of the sensor `tank`, which a plugin that is compiled in has.
    pub async fn tank(&self, level: f64) {
        self.call("source_submit", json!({ "level": level })).await.unwrap();
    }

    pub async fn stop(self) {
        self.node.stop().await;
    }
}

/// The level of a reading.
pub fn level(reading: &Reading) -> Option<f64> {
    match reading.frame.get("level") {
        Some(Value::Number(level)) => Some(*level),
        _ => None,
    }
}
