//! What a plugin outside wants of its node, as far as it was granted.
//!
//! | it wants | it holds |
//! |---|---|
//! | readings, descriptors: of its own id, and of ids that begin with it and `-`; events, a few values, metrics | always |
//! | another one's tool, a device, a line, a host, the readings of others, the config | what its manifest asks for *and* its section grants |
//!
//! What was not granted is refused with what to write where. It must not reach anything but by its [`Context`] and the node's
//! [`Hardware`]: what no plugin inside may, none outside can.

mod hardware;
mod sensors;
mod web;

pub(super) use sensors::descriptor;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sedge_plugin::grant::{Grants, Requests};
use sedge_plugin::topic::Topic;
use sedge_plugin::topics::{Deliver, Event, EventRaised, Failure, OnError};
use sedge_plugin::{Context, Id, Name, PluginError, ToolCall, ToolError, ToolErrorCode, ToolPath, glob};
use sedge_protocol::topics::Shape;
use sedge_protocol::{Ask, frame};
use serde_json::{Value as Json, json};

use super::log::Bucket;
use super::{Hardware, OutsideArgs, Role};

/// Events that are raised at once; after that one a second.
const EVENTS: u32 = 20;
/// Characters of a text that others are shown.
const LONGEST: usize = 1000;
/// The label of the device that a sensor's own section names.
const DEVICE: &str = "device";

/// Carries out what one start of a plugin asks for. Dropped, it lets go of the node's hardware.
pub(super) struct Asker {
    ctx: Context,
    /// As the section is named: `plugin.attic`.
    section: String,
    /// `pump@1.2.0`
    plugin: String,
    kind: String,
    place: String,
    requests: Requests,
    held: Grants,
    /// Its own tools, which it cannot call.
    tools: BTreeSet<Name>,
    hardware: Arc<dyn Hardware>,
    sensors: Mutex<BTreeSet<Id>>,
    events: Mutex<Bucket>,
    failures: Mutex<Bucket>,
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.hardware.release(self.ctx.id());
    }
}

/// What an instance holds: of what its manifest asks for what its section grants, and the device that the section names.
pub(super) fn held(args: &OutsideArgs) -> Grants {
    let mut held = args.declaration.requests.held(&args.grants);
    if let Role::Sensor { device: Some(device), .. } = &args.role {
        held.i2c.insert(DEVICE.into(), device.clone());
    }
    held
}

/// The table of the config that names an instance.
pub(super) fn section(role: &Role, id: &Id) -> String {
    let table = match role {
        Role::Plain => "plugin",
        Role::Sensor { .. } => "sensor",
        Role::Processor { .. } => "processor",
        Role::Destination { .. } => "destination",
    };
    format!("{table}.{id}")
}

impl Asker {
    pub(super) fn new(args: &OutsideArgs, ctx: &Context, tools: impl IntoIterator<Item = Name>) -> Self {
        let info = &args.declaration.info;
        let place = match &args.role {
            Role::Sensor { place, .. } => place.clone(),
            _ => String::new(),
        };
        Self {
            ctx: ctx.clone(),
            section: section(&args.role, ctx.id()),
            plugin: format!("{}@{}", info.name, info.version),
            kind: info.name.clone(),
            place,
            requests: args.declaration.requests.clone(),
            held: held(args),
            tools: tools.into_iter().collect(),
            hardware: args.hardware.clone(),
            sensors: Mutex::default(),
            events: Mutex::new(Bucket::new(EVENTS, 1.0)),
            failures: Mutex::new(Bucket::new(EVENTS, 1.0)),
        }
    }

    /// What it may reach.
    pub(super) fn held(&self) -> &Grants {
        &self.held
    }

    /// Carries out one.
    pub(super) async fn answer(&self, ask: Ask) -> Result<Json, ToolError> {
        match ask {
            Ask::Submit { sensor, frame } => {
                self.own(&sensor)?;
                let frame = frame::decode(&frame).map_err(bad)?;
                self.ctx.submit(&sensor, frame).await.map(nothing).map_err(failed)
            }
            Ask::SubmitRaw { sensor, format, bytes } => {
                self.own(&sensor)?;
                self.ctx.submit_raw(&sensor, &format, bytes.0).await.map(nothing).map_err(failed)
            }
            Ask::Announce { sensor, kind, fields, interval_ms } => {
                self.announce(sensor, kind, fields, interval_ms)
            }
            Ask::Withdraw { sensor } => self.withdraw(&sensor),
            Ask::Call { tool, args, timeout_ms } => self.call(&tool, args, timeout_ms).await,
            Ask::Event { kind, severity, text, data } => {
                if !self.events.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let text = "it raises more events than people can read: one a second, and a few at once";
                    return Err(ToolError::new(ToolErrorCode::Busy, text));
                }
                let event = Event { kind, severity, text: short(&text), data };
                self.ctx.publish::<EventRaised>(event).await;
                Ok(Json::Null)
            }
            Ask::Latest { sensor } => {
                if self.own(&sensor).is_err() && !self.held.topics.contains(Deliver::NAME) {
                    return Err(self.refused("topics", Deliver::NAME));
                }
                Ok(self.ctx.latest(&sensor).map_or(Json::Null, |reading| Deliver::encode(&reading)))
            }
            Ask::Directory => match self.held.config {
                true => Ok(self.directory()),
                false => Err(self.refused_flag("config", self.requests.config)),
            },
            Ask::Load { key } => Ok(self.ctx.load::<Json>(&key).await.map_err(failed)?.unwrap_or_default()),
            Ask::Store { key, value } => self.ctx.store(&key, value).await.map(nothing).map_err(failed),
            Ask::Forget { key } => self.ctx.forget(&key).await.map(nothing).map_err(failed),
            Ask::EventFailed { topic, error } => self.event_failed(&topic, &error).await,
            Ask::Degraded { reason } => {
                self.ctx.degraded(reason.map(|reason| short(&reason)));
                Ok(Json::Null)
            }
            Ask::Metric { name, help: _, add, set } => self.metric(name, add, set),
            Ask::I2c { device, operations } => self.i2c(&device, operations).await,
            Ask::Gpio { line, operation } => self.gpio(&line, operation).await,
            Ask::Http { method, url, headers, body, timeout_ms } => {
                self.http(&method, url, headers, body, timeout_ms).await
            }
            Ask::Unknown => {
                let text = "this node does not know what is asked for: it is older than the plugin";
                Err(ToolError::new(ToolErrorCode::BadRequest, text))
            }
        }
    }

    /// As the engine tells of a failure of what is compiled in.
    async fn event_failed(&self, topic: &str, error: &str) -> Result<Json, ToolError> {
        if !self.held.topics.contains(topic) {
            return Err(bad(format!("it does not hear `{}`", short(topic))));
        }
        // One who fails to hear of failures would hear of that for ever.
        let is_told =
            topic != OnError::NAME && self.failures.lock().unwrap_or_else(PoisonError::into_inner).take();
        if is_told {
            let failure =
                Failure { plugin: self.ctx.id().clone(), what: topic.to_owned(), error: short(error) };
            self.ctx.publish::<OnError>(failure).await;
        }
        Ok(Json::Null)
    }

    async fn call(&self, tool: &str, args: Json, timeout_ms: Option<u64>) -> Result<Json, ToolError> {
        let path: ToolPath = tool.parse().map_err(|error| bad(format!("`{}`: {error}", short(tool))))?;
        if path.node.is_none() && self.tools.contains(&path.tool) {
            return Err(bad(format!("`{tool}` is its own tool: a plugin calls those of others")));
        }
        // A star stands for names on this node; another node is granted by its name, or a star of its own: `greenhouse/*`.
        let (node, name) = tool.split_once('/').map_or((None, tool), |(node, name)| (Some(node), name));
        let covers = |held: &String| match (held.split_once('/'), node) {
            (Some((nodes, names)), Some(node)) => glob(nodes, node) && glob(names, name),
            (None, None) => glob(held, name),
            _ => false,
        };
        if !self.held.tools.iter().any(covers) {
            return Err(self.refused("tools", tool));
        }
        let args = if args.is_null() { json!({}) } else { args };
        let call = ToolCall {
            from: self.ctx.id().to_string(),
            timeout: timeout_ms.map(Duration::from_millis),
            ..ToolCall::new(path, args)
        };
        self.ctx.call(call).await.result
    }

    fn directory(&self) -> Json {
        let directory = self.ctx.directory();
        let sensors: serde_json::Map<String, Json> = directory
            .sensors
            .iter()
            .map(|(id, sensor)| (id.to_string(), sedge_protocol::topics::sensor(sensor)))
            .collect();
        let plugins: serde_json::Map<String, Json> = directory
            .plugins
            .iter()
            .map(|(id, status)| {
                let (kind, version, state) = (&status.kind, &status.version, status.state);
                (
                    id.to_string(),
                    json!({ "kind": kind, "version": version, "state": state, "reason": status.reason }),
                )
            })
            .collect();
        let tools: serde_json::Map<String, Json> =
            directory.tools.iter().map(|(name, tool)| (name.to_string(), json!(**tool))).collect();
        json!({ "node": directory.node.id, "sensors": sensors, "tools": tools, "plugins": plugins })
    }

    fn metric(&self, name: Name, add: Option<u64>, set: Option<f64>) -> Result<Json, ToolError> {
        const HELP: &str = "Told by the plugin itself.";
        let wrong = |error: sedge_plugin::metrics::MetricError| bad(error.to_string());
        match (add, set) {
            (Some(n), None) => self.ctx.counter(name, HELP).map_err(wrong)?.add(n),
            (None, Some(value)) => self.ctx.gauge(name, HELP).map_err(wrong)?.set(value),
            _ => return Err(bad("a metric has either `add` or `set`")),
        }
        Ok(Json::Null)
    }

    /// What is said of something that is not granted: what to write, and where.
    fn refused(&self, what: &str, which: &str) -> ToolError {
        let which = short(which);
        let asked: Vec<String> = match what {
            "tools" => self
                .requests
                .tools
                .iter()
                .filter(|asked| **asked == which || glob(asked, &which))
                .cloned()
                .collect(),
            "topics" => self.requests.topics.iter().filter(|asked| **asked == which).cloned().collect(),
            _ => {
                self.requests.hosts.iter().filter(|asked| web::covers_host(asked, &which)).cloned().collect()
            }
        };
        match asked.is_empty() {
            false => self.not_granted(&format!("{what} = [\"{which}\"]"), &which),
            true => self.not_asked(what, &which),
        }
    }

    fn refused_flag(&self, what: &str, is_asked: bool) -> ToolError {
        match is_asked {
            true => self.not_granted(&format!("{what} = true"), what),
            false => self.not_asked(what, what),
        }
    }

    fn not_granted(&self, grant: &str, what: &str) -> ToolError {
        let text =
            format!("not granted: {what}; to grant it, write `grant = {{ {grant} }}` in [{}]", self.section);
        ToolError::new(ToolErrorCode::Denied, text)
    }

    fn not_asked(&self, key: &str, what: &str) -> ToolError {
        let text =
            format!("not granted: {what}; the plugin's manifest does not ask for it ([requests] {key})");
        ToolError::new(ToolErrorCode::Denied, text)
    }
}

fn nothing((): ()) -> Json {
    Json::Null
}

fn failed(error: PluginError) -> ToolError {
    ToolError::failed(error.to_string())
}

fn bad(text: impl Into<String>) -> ToolError {
    ToolError::new(ToolErrorCode::BadRequest, text)
}

fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}
