//! What is run outside of a node: a plugin, a sensor's driver or a processor of `sedge-plugin`, as the protocol sees it.
//!
//! It must not know what carries the messages.

mod hooks;
mod plugin;
mod processor;
mod sensor;

use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::tool::Progress;
use sedge_plugin::{
    BoxFuture, Context, I2cDevice, Id, Plugin, PluginError, Processor, Sensor, Tool, ToolError, ToolErrorCode,
};
use sedge_protocol::{API, Call, Encoding, HelloMessage, PROTOCOL, SensorWelcome, ToNode, ToPlugin, Why};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

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

/// What a plugin is set up with.
pub(crate) struct Home {
    pub(crate) ctx: Context,
    pub(crate) link: Arc<dyn Link>,
    pub(crate) welcome: Arc<Welcome>,
}

/// What it says once it is set up.
#[derive(Default)]
pub(crate) struct Ready {
    pub(crate) tools: Vec<Tool>,
    pub(crate) every: Option<Duration>,
}

impl From<Ready> for ToNode {
    fn from(ready: Ready) -> Self {
        let ms = |every: Duration| u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self::Ready { tools: ready.tools, every_ms: ready.every.map(ms) }
    }
}

/// What a node says of the instance: [`ToPlugin::Welcome`].
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) id: Id,
    pub(crate) settings: Json,
    pub(crate) data_dir: Option<String>,
    pub(crate) sensor: Option<SensorWelcome>,
    pub(crate) config: Arc<Json>,
}

impl TryFrom<ToPlugin> for Welcome {
    type Error = String;

    fn try_from(message: ToPlugin) -> Result<Self, String> {
        let ToPlugin::Welcome { protocol, api, id, settings, data_dir, sensor, config, .. } = message else {
            return Err("the node's first message is no welcome".into());
        };
        for (what, theirs, ours) in [("protocol", protocol, PROTOCOL), ("topics", api, API)] {
            if theirs.major != ours.major {
                return Err(format!(
                    "the node speaks {what} {theirs}, this plugin {ours}: build it with an SDK that speaks {}",
                    theirs.major
                ));
            }
        }
        let config = Arc::new(config.unwrap_or_default());
        Ok(Self { id, settings, data_dir, sensor, config })
    }
}

/// Why it could not be set up, as the protocol says it.
pub(crate) fn failed(error: &PluginError) -> ToNode {
    let why = match error {
        PluginError::Settings(_) => Why::Settings,
        PluginError::Unmet(_) => Why::Unmet,
        PluginError::Failed(_) => Why::Failed,
    };
    ToNode::Failed { why, message: error.to_string() }
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
