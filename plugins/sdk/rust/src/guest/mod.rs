//! What is run outside of a node: a plugin, a sensor's driver or a processor of `sedge-plugin`, as the protocol sees it.
//!
//! It must not know what carries the messages.

mod hooks;
mod plugin;
mod processor;
mod sensor;
mod welcome;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sedge_plugin::tool::Progress;
use sedge_plugin::{
    BoxFuture, Context, I2cDevice, Plugin, PluginError, Processor, Sensor, Tool, ToolError, ToolErrorCode,
};
use sedge_protocol::{Call, Encoding, HelloMessage, PROTOCOL, Why};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub(crate) use self::welcome::Welcome;
use crate::executor::Executor;
use crate::host::Outward;
use crate::link::Link;

/// What is run: made of one type, of any of the three sorts.
pub struct Guest {
    pub(crate) hello: HelloMessage,
    pub(crate) runs: Box<dyn Runs>,
}

impl Guest {
    /// A plugin. Its settings are its arguments.
    pub fn plugin<P: Plugin<Args: DeserializeOwned>>() -> Self {
        let hello = hello(P::MANIFEST.name, P::MANIFEST.version);
        Self { hello, runs: Box::new(plugin::Plugged::<P>::default()) }
    }

    /// A driver of a device on I2C. Its version is the manifest's: `env!("CARGO_PKG_VERSION")`.
    pub fn sensor<S: Sensor<Device = I2cDevice>>(version: &str) -> Self {
        Self { hello: hello(S::KIND, version), runs: Box::new(sensor::Sensing::<S>::default()) }
    }

    /// A processor. Its version is the manifest's: `env!("CARGO_PKG_VERSION")`.
    pub fn processor<P: Processor>(version: &str) -> Self {
        Self { hello: hello(P::KIND, version), runs: Box::new(processor::Processes::<P>::default()) }
    }
}

fn hello(name: &str, version: &str) -> HelloMessage {
    HelloMessage {
        protocol: PROTOCOL,
        plugin: name.into(),
        version: version.into(),
        sdk: concat!("rust/", env!("CARGO_PKG_VERSION")).into(),
        encodings: vec![Encoding::Json, Encoding::Msgpack],
        features: Vec::new(),
        credit: None,
    }
}

/// What a plugin of some sort does with what the protocol asks of it.
pub(crate) trait Runs: Send {
    /// Sets it up.
    fn start<'a>(&'a mut self, home: Home) -> BoxFuture<'a, Result<Ready, PluginError>>;
    /// Answers a call.
    fn call(&mut self, call: Call, id: u64, progress: Progress) -> BoxFuture<'_, Result<Json, ToolError>>;
    /// Hears a message of an observed topic.
    fn event(&mut self, topic: String, message: Json) -> BoxFuture<'_, Result<(), PluginError>>;
}

/// Tells the metrics of a plugin; for the last time, where that is said.
pub(crate) type TellMetrics = Box<dyn Fn(bool) + Send + Sync>;

/// What a plugin is set up with.
pub(crate) struct Home {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) welcome: Arc<Welcome>,
    pub(crate) metrics: Arc<OnceLock<TellMetrics>>,
}

impl Home {
    /// Its context. A driver needs none, and a component of one does not carry what stands behind it.
    fn context(&self) -> Context {
        let host = Outward::new(self.link.clone(), self.executor.clone(), self.welcome.clone());
        let metrics = host.clone();
        let _ = self.metrics.set(Box::new(move |last| metrics.tell_metrics(last)));
        Context::new(self.welcome.id.clone(), host)
    }
}

/// What it says once it is set up.
#[derive(Default)]
pub(crate) struct Ready {
    pub(crate) tools: Vec<Tool>,
    pub(crate) every: Option<Duration>,
}

impl Ready {
    pub(crate) fn every_ms(&self) -> Option<u64> {
        self.every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What it means for trying again that it could not be set up.
pub(crate) fn why(error: &PluginError) -> Why {
    match error {
        PluginError::Settings(_) => Why::Settings,
        PluginError::Unmet(_) => Why::Unmet,
        PluginError::Failed(_) => Why::Failed,
    }
}

/// The settings as the type that a plugin wants. One that has none may want `()`, or a struct.
fn settings<T: DeserializeOwned>(settings: &Json) -> Result<T, PluginError> {
    let none = settings.is_null() || settings.as_object().is_some_and(serde_json::Map::is_empty);
    let read = serde_json::from_value(settings.clone());
    let read = read.or_else(|error| match none {
        true => serde_json::from_value(Json::Null).map_err(|_| error),
        false => Err(error),
    });
    read.map_err(|error| PluginError::Settings(format!("the settings: {error}").into()))
}

/// The answer to a call that this sort of plugin does not know.
fn cannot(what: &str) -> ToolError {
    ToolError::new(ToolErrorCode::NotFound, format!("this plugin has nothing that answers {what}"))
}

/// What a call asks for, for people.
fn describe(call: &Call) -> String {
    match call {
        Call::Tool { tool, .. } => format!("the tool `{tool}`"),
        Call::Read => "`read`: it is no kind of sensor".into(),
        Call::Tick => "`tick`".into(),
        Call::Step { topic, .. } | Call::Answer { topic, .. } => format!("the topic `{topic}`"),
        Call::Deliver { .. } => "`deliver`: it observes no readings".into(),
        Call::Stop { .. } => "`stop`".into(),
        Call::Unknown => "a call of a later protocol".into(),
    }
}

fn tool_error(error: &PluginError) -> ToolError {
    ToolError::failed(error.to_string())
}
