//! What stands behind the context of a plugin that runs outside of a node: each wish is an [`Ask`].
//!
//! It must not pretend: what cannot be had from outside is nothing, or an error that says so; the crate's page lists it.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sedge_plugin::context::{Erased, Host};
use sedge_plugin::directory::SensorDescriptor;
use sedge_plugin::http::{HttpError, Request, Response};
use sedge_plugin::journal::{CursorSource, HistorySource};
use sedge_plugin::metrics::{Metric, Registry};
use sedge_plugin::topics::{self, Event, RawPayload};
use sedge_plugin::{
    BoxFuture, Clock, Directory, Draft, Frame, Id, Name, PluginError, Reading, ToolCall, ToolError,
    ToolErrorCode, ToolOutcome,
};
use sedge_protocol::topics::by_id;
use sedge_protocol::{Ask, Bytes, frame};
use serde_json::{Value as Json, json};

use crate::directory::directory;
use crate::executor::{Executor, lock};
use crate::guest::Welcome;
use crate::link::{Level, Link};

/// How often its metrics are told, at most.
const METRICS_EVERY: Duration = Duration::from_secs(1);

/// The field of a frame that the node has already: the bytes that it was made of were sent there.
const SENT: &str = "\0sent";

/// A node, as one of its plugins outside sees it.
pub(crate) struct Outward {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) executor: Arc<Executor>,
    welcome: Arc<Welcome>,
    metrics: Arc<Registry>,
    told: Mutex<Told>,
}

/// What was told of the metrics so far.
#[derive(Default)]
struct Told {
    at: Option<Duration>,
    values: BTreeMap<Name, f64>,
    counts: BTreeMap<Name, u64>,
}

impl Outward {
    pub(crate) fn new(link: Arc<dyn Link>, executor: Arc<Executor>, welcome: Arc<Welcome>) -> Arc<Self> {
        crate::hardware::granted(&welcome.id, &link, welcome.i2c.clone());
        Arc::new(Self { link, executor, welcome, metrics: Arc::default(), told: Mutex::default() })
    }

    /// Tells its metrics, where they have changed. Unless it is the last time: once a second at most.
    pub(crate) fn tell_metrics(&self, last: bool) {
        let now = self.link.clock().up();
        let mut told = lock(&self.told);
        if !last && told.at.is_some_and(|at| now.saturating_sub(at) < METRICS_EVERY) {
            return;
        }
        told.at = Some(now);
        for measured in self.metrics.snapshot() {
            let name = measured.name;
            let (add, set) = match measured.metric {
                Metric::Counter(count) => {
                    let before = told.counts.insert(name.clone(), count).unwrap_or_default();
                    (count.checked_sub(before).filter(|more| *more > 0), None)
                }
                Metric::Gauge(value) => {
                    let before = told.values.insert(name.clone(), value);
                    let same = before.is_some_and(|before| before.to_bits() == value.to_bits());
                    (None, Some(value).filter(|value| !same && value.is_finite()))
                }
                Metric::Histogram { .. } => continue,
            };
            if add.is_some() || set.is_some() {
                self.do_now(Ask::Metric { name, help: measured.help.into(), add, set });
            }
        }
    }

    /// Asks for what has no answer; that it failed stands in the log.
    fn do_now(&self, ask: Ask) {
        if let Err(error) = self.link.ask_now(ask) {
            self.link.log(Level::Error, &error.message);
        }
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'static, Result<Json, PluginError>> {
        let answer = self.link.ask(ask);
        Box::pin(async move { answer.await.map_err(plugin_error) })
    }
}

fn plugin_error(error: ToolError) -> PluginError {
    match error.code {
        ToolErrorCode::Unavailable => PluginError::unmet(error.message),
        _ => PluginError::failed(error.message),
    }
}

impl Host for Outward {
    fn clock(&self) -> Arc<dyn Clock> {
        self.link.clock()
    }

    fn submit<'a>(&'a self, _: &'a Id, draft: Draft) -> BoxFuture<'a, Result<(), PluginError>> {
        Box::pin(async move {
            if draft.frame.samples.first().is_some_and(|sample| sample.field == SENT) {
                return Ok(());
            }
            if draft.origin.is_some() {
                return Err(PluginError::failed(
                    "readings of other nodes cannot be imported from outside of a node",
                ));
            }
            let frame = frame::encode(&draft.frame);
            self.ask(Ask::Submit { sensor: draft.sensor, frame }).await.map(drop)
        })
    }

    /// Sends the bytes there: the node makes a frame of them and submits it in one.
    fn extract(&self, raw: RawPayload) -> BoxFuture<'_, Option<Frame>> {
        let RawPayload { sensor, format, bytes } = raw;
        let sent = self.link.ask(Ask::SubmitRaw { sensor, format, bytes: Bytes(bytes) });
        Box::pin(async move {
            if let Err(error) = sent.await {
                self.link.log(Level::Warn, &error.message);
                return None;
            }
            let mut frame = Frame::default();
            frame.push(SENT, true);
            Some(frame)
        })
    }

    fn announce(&self, _: &Id, sensor: SensorDescriptor) {
        let fields = sensor.fields.into_iter().map(|(name, field)| (name, json!(field))).collect();
        let interval_ms = sensor.interval.and_then(|every| u64::try_from(every.as_millis()).ok());
        self.do_now(Ask::Announce { sensor: sensor.id, kind: sensor.kind, fields, interval_ms });
    }

    fn withdraw(&self, _: &Id, sensor: &Id) {
        self.do_now(Ask::Withdraw { sensor: sensor.clone() });
    }

    fn publish(
        &self,
        topic: TypeId,
        message: Arc<dyn Any + Send + Sync>,
        _: Option<Option<Id>>,
    ) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let event =
                message.downcast_ref::<Event>().filter(|_| topic == TypeId::of::<topics::EventRaised>());
            let Some(Event { kind, severity, text, data }) = event.cloned() else {
                let text = "from outside of a node no topic can be published but `event_raised`";
                return self.link.log(Level::Error, text);
            };
            if let Err(error) = self.ask(Ask::Event { kind, severity, text, data }).await {
                self.link.log(Level::Error, &error.to_string());
            }
        })
    }

    /// As on a node where nobody subscribes.
    fn fire(&self, _: TypeId, message: Erased) -> BoxFuture<'_, Result<Erased, Erased>> {
        self.link.log(Level::Error, "from outside of a node no topic that is answered can be fired");
        Box::pin(async { Err(message) })
    }

    fn call(&self, call: ToolCall) -> BoxFuture<'_, ToolOutcome> {
        let begun = self.link.clock().up();
        let timeout_ms = call.timeout.and_then(|time| u64::try_from(time.as_millis()).ok());
        let (tool, args) = (call.path().to_string(), call.args);
        let answer = self.link.ask(Ask::Call { tool, args, timeout_ms });
        Box::pin(async move {
            let result = answer.await;
            let took = self.link.clock().up().saturating_sub(begun);
            ToolOutcome { id: call.id, node: call.node, tool: call.tool, result, took, by: None }
        })
    }

    fn config(&self) -> Arc<Json> {
        self.welcome.config.clone()
    }

    fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        let answer = self.link.ask_now(Ask::Latest { sensor: sensor.clone() });
        let told = answer.map_err(|error| error.message).and_then(|json| match json {
            Json::Null => Ok(None),
            json => {
                let shape = by_id(TypeId::of::<topics::Deliver>()).ok_or("no such topic")?;
                let reading = (shape.decode)(json)?;
                Ok(reading.downcast::<Reading>().ok().map(Arc::from))
            }
        });
        told.unwrap_or_else(|why| {
            self.link.log(Level::Warn, &format!("the latest reading of `{sensor}`: {why}"));
            None
        })
    }

    fn cursor(&self, _: &Id) -> Option<Arc<dyn CursorSource>> {
        None
    }

    fn history(&self) -> Option<Arc<dyn HistorySource>> {
        None
    }

    fn data_dir(&self, _: &Id) -> Result<PathBuf, PluginError> {
        let none = || {
            PluginError::unmet(
                "no directory was granted: `data = true` under `[requests]` of its manifest asks for one, and `grant = { data = true }` in its section grants it",
            )
        };
        let directory = self.welcome.data_dir.as_ref().ok_or_else(none)?;
        if cfg!(target_family = "wasm") {
            let why = "a WebAssembly component has no files: keep what is to be kept by `store`";
            return Err(PluginError::unmet(why));
        }
        Ok(directory.into())
    }

    fn load<'a>(&'a self, _: &'a Id, key: &'a str) -> BoxFuture<'a, Result<Option<Json>, PluginError>> {
        let answer = self.ask(Ask::Load { key: key.into() });
        Box::pin(async move { Ok(Some(answer.await?).filter(|value| !value.is_null())) })
    }

    fn store<'a>(
        &'a self,
        _: &'a Id,
        key: &'a str,
        value: Option<Json>,
    ) -> BoxFuture<'a, Result<(), PluginError>> {
        let key = key.to_owned();
        let answer = self.ask(match value {
            Some(value) => Ask::Store { key, value },
            None => Ask::Forget { key },
        });
        Box::pin(async move { answer.await.map(drop) })
    }

    fn metrics(&self) -> Arc<Registry> {
        self.metrics.clone()
    }

    fn http(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        let Request { method, url, headers, body, timeout, .. } = request;
        let Ok(body) = String::from_utf8(body) else {
            let text = "from outside of a node the body of a request is to be a text";
            return Box::pin(async { Err(HttpError(text.into())) });
        };
        let timeout_ms = u64::try_from(timeout.as_millis()).ok();
        let headers = headers.into_iter().collect();
        let answer = self.link.ask(Ask::Http { method: method.into(), url, headers, body, timeout_ms });
        Box::pin(async move { response(&answer.await.map_err(|error| HttpError(error.message))?) })
    }

    fn directory(&self) -> Arc<Directory> {
        let answer = self.link.ask_now(Ask::Directory).unwrap_or_else(|error| {
            self.link.log(Level::Warn, &format!("what the node has: {}", error.message));
            Json::Null
        });
        Arc::new(directory(&answer, &self.welcome.id))
    }

    fn spawn(&self, _: &Id, future: BoxFuture<'static, ()>) {
        if !self.executor.spawn(future) {
            let most = crate::executor::MOST_TASKS;
            self.link.log(Level::Error, &format!("a future was not started: {most} run already"));
        }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.executor.sleep(time)
    }

    fn degraded(&self, _: &Id, reason: Option<String>) {
        self.do_now(Ask::Degraded { reason });
    }

    fn fail(&self, _: &Id, reason: String) {
        self.link.fail(reason);
    }
}

fn response(answer: &Json) -> Result<Response, HttpError> {
    let status = answer["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.ok_or_else(|| HttpError("the node's answer has no status".into()))?;
    let body = answer["body"].as_str().unwrap_or_default().as_bytes().to_vec();
    let headers = answer["headers"].as_object().into_iter().flatten();
    let headers = headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let seconds = answer["headers"]["retry-after"].as_str().and_then(|text| text.trim().parse().ok());
    Ok(Response { status, headers: headers.collect(), body, retry_after: seconds.map(Duration::from_secs) })
}
