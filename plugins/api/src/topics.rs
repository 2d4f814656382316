//! The topics that every node has.
//!
//! A plugin may define topics of its own in the same way; another that depends on its crate subscribes by type.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::directory::{PluginStatus, SensorDescriptor};
use crate::reading::{Draft, Frame, Reading};
use crate::tool::{Tool, ToolCall, ToolError, ToolOutcome};
use crate::topic::{Around, Chain, Collect, First, Kind, Observe, Topic};
use crate::{Id, Name};

macro_rules! topic {
    ($type:ident, $kind:ident, $name:literal, $message:ty => $answer:ty, $doc:literal $(, $($more:item)+)?) => {
        #[doc = $doc]
        pub struct $type;
        impl Topic for $type {
            type Message = $message;
            type Answer = $answer;
            type Kind = $kind;
            const NAME: &'static str = $name;
            const DOC: &'static str = $doc;
            $($($more)+)?
        }
    };
}

topic!(ConfigLoaded, Chain, "config_loaded", LoadedConfig => (),
    "Fired by the node when a config was read and found right, before a reload is carried out. A step may look; a veto refuses a reload, and is logged at a start.");
topic!(ConfigApplied, Observe, "config_applied", LoadedConfig => (),
    "Fired by the node once a reload was carried out. A subscriber may look anew at what the node has.");
topic!(NodeStarted, Observe, "node_started", () => (),
    "Fired by the node once all plugins had their first start; a plugin that starts later gets it too. A subscriber may begin what needs the others.",
    const HISTORIC: bool = true;);
topic!(NodeStopping, Observe, "node_stopping", () => (),
    "Fired by the node before the first plugin is stopped. A subscriber may clean up; it has the time of its own teardown.");
topic!(PluginStateChanged, Observe, "plugin_state_changed", PluginStatus => (),
    "Fired by the supervisor when a plugin changes its state or its reason. A subscriber may tell others.",
    fn key(status: &PluginStatus) -> Option<&Id> { Some(&status.id) });
topic!(OnError, Observe, "on_error", Failure => (),
    "Fired once for every failed tick, handler, chain step, sensor read, tool call and plugin, with its causes. A subscriber may count or tell.",
    fn key(failure: &Failure) -> Option<&Id> { Some(&failure.plugin) });
topic!(EventRaised, Observe, "event_raised", Event => (),
    "Fired by whoever has something to tell people, a plugin too. A subscriber may pass it on: the bridge does.");
topic!(SensorChanged, Observe, "sensor_changed", SensorChange => (),
    "Fired by the node when a sensor is announced, described anew, or gone. A subscriber may tell others.",
    fn key(change: &SensorChange) -> Option<&Id> { Some(change.sensor()) });
topic!(Describe, Chain, "describe", SensorDescriptor => (),
    "Fired by the node when a sensor is announced, and again when a subscriber comes or goes. An inline step says what it makes of the fields: another unit, one more field. A veto is ignored.",
    fn key(sensor: &SensorDescriptor) -> Option<&Id> { Some(&sensor.id) });
topic!(ToolsChanged, Observe, "tools_changed", ToolsChange => (),
    "Fired by the tool registry when tools appear or go, with their plugin. A subscriber may tell others.");

topic!(Extract, First, "extract", RawPayload => Frame,
    "Fired for bytes in a format that somebody is to know, as from a serial line. A subscriber that knows it answers with what they say.",
    fn key(raw: &RawPayload) -> Option<&Id> { Some(&raw.sensor) });
topic!(Process, Chain, "process", Draft => (),
    "Fired for every reading before it is validated. A step may change the fields, or veto: the reading is suppressed and counted.",
    fn key(draft: &Draft) -> Option<&Id> { Some(&draft.sensor) });
topic!(Validate, Chain, "validate", Draft => (),
    "Fired for every reading after processing. A step may mark fields; a veto marks all fields `rejected`, the reading is kept.",
    fn key(draft: &Draft) -> Option<&Id> { Some(&draft.sensor) });
topic!(Admit, Chain, "admit", Draft => (),
    "Fired for every reading after it was validated and before it gets its number. A veto holds it back: the reading is suppressed and counted.",
    fn key(draft: &Draft) -> Option<&Id> { Some(&draft.sensor) });
topic!(Deliver, Observe, "deliver", Reading => (),
    "Fired for every accepted reading, in order per sensor. A subscriber may pass it on.",
    fn key(reading: &Reading) -> Option<&Id> { Some(&reading.sensor) });

topic!(ToolRegistryBuild, Collect, "tool_registry_build", () => Vec<Tool>,
    "Fired by the tool registry when a plugin has started. A subscriber answers with the tools it offers.");
topic!(PreToolExecute, Chain, "pre_tool_execute", ToolCall => (),
    "Fired before a tool runs, after its arguments were checked. A step may rewrite them (they are checked again) or veto: `denied`.");
topic!(ToolExecute, Around, "tool_execute", ToolCall => Result<Json, ToolError>,
    "Fired between `pre_tool_execute` and `post_tool_execute`, around the running of the tool. A wrapper may change the call and the result, answer by itself, or keep the time.");
topic!(PostToolExecute, Chain, "post_tool_execute", ToolOutcome => (),
    "Fired after a tool ran. A step may rewrite the result; a veto makes it an error, `denied`.");
topic!(ToolFailed, Observe, "tool_failed", ToolFailure => (),
    "Fired by the tool registry for every call that has no result. A subscriber may count or tell.");
topic!(CallRecorded, Observe, "call_recorded", CallRecord => (),
    "Fired by the tool registry for every call of a tool that is not read-only and for every one that has no result, and by a bridge for what it refuses itself. A subscriber may keep them: the audit log does.");
topic!(CommandRegistryBuild, Collect, "command_registry_build", () => Vec<Command>,
    "Fired when the command line meets a command that it does not know. A subscriber answers with the commands it offers.");

/// The topics that every node has, in the order of a node's life.
pub const ALL: &[TopicInfo] = &[
    TopicInfo::of::<ConfigLoaded>("LoadedConfig"),
    TopicInfo::of::<ConfigApplied>("LoadedConfig"),
    TopicInfo::of::<NodeStarted>("()"),
    TopicInfo::of::<NodeStopping>("()"),
    TopicInfo::of::<PluginStateChanged>("PluginStatus"),
    TopicInfo::of::<OnError>("Failure"),
    TopicInfo::of::<EventRaised>("Event"),
    TopicInfo::of::<SensorChanged>("SensorChange"),
    TopicInfo::of::<Describe>("SensorDescriptor"),
    TopicInfo::of::<Extract>("RawPayload → Frame"),
    TopicInfo::of::<Process>("Draft"),
    TopicInfo::of::<Validate>("Draft"),
    TopicInfo::of::<Admit>("Draft"),
    TopicInfo::of::<Deliver>("Reading"),
    TopicInfo::of::<ToolRegistryBuild>("() → Vec<Tool>"),
    TopicInfo::of::<ToolsChanged>("ToolsChange"),
    TopicInfo::of::<PreToolExecute>("ToolCall"),
    TopicInfo::of::<ToolExecute>("ToolCall → Result<Json, ToolError>"),
    TopicInfo::of::<PostToolExecute>("ToolOutcome"),
    TopicInfo::of::<ToolFailed>("ToolFailure"),
    TopicInfo::of::<CallRecorded>("CallRecord"),
    TopicInfo::of::<CommandRegistryBuild>("() → Vec<Command>"),
];

/// What is known of a topic without its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TopicInfo {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// What is sent over it, and what is answered.
    pub message: &'static str,
    /// Who fires it, when, and what a subscriber may do.
    pub doc: &'static str,
}

impl TopicInfo {
    /// What is known of `T`.
    pub const fn of<T: Topic>(message: &'static str) -> Self {
        Self { name: T::NAME, kind: T::Kind::NAME, message, doc: T::DOC }
    }
}

/// A config that was read and found right.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedConfig {
    /// All of it, as the file has it, secrets masked.
    pub config: Arc<Json>,
    /// Whether it is to replace another one.
    pub reload: bool,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Something does not work.
    Error,
}

/// Something that people may want to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What, for machines: `config_refused`.
    pub kind: Name,
    /// How much it matters.
    pub severity: Severity,
    /// What, for people.
    pub text: String,
    /// More, where there is more.
    pub data: Json,
}

/// Something that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose it is.
    pub plugin: Id,
    /// What failed: `tick`, the name of a topic, `tool pump_set`, `setup`.
    pub what: String,
    /// What happened, and what caused it, joined by `: `.
    pub error: String,
}

/// A command of the command line that is a tool in other words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What is typed: `sedge NAME`.
    pub name: String,
    /// What it does, in a sentence.
    pub about: String,
    /// The tool that does it. What follows the command are its arguments.
    pub tool: Name,
}

/// Bytes that somebody is to make sense of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPayload {
    /// The sensor that they are of.
    pub sensor: Id,
    /// What they are, such as `json` or `nmea`.
    pub format: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A sensor came, changed or went.
#[derive(Debug, Clone, PartialEq)]
pub enum SensorChange {
    /// It is there, with these fields.
    Announced(SensorDescriptor),
    /// It is gone.
    Gone(Id),
}

impl SensorChange {
    /// Which one.
    pub fn sensor(&self) -> &Id {
        match self {
            Self::Announced(sensor) => &sensor.id,
            Self::Gone(sensor) => sensor,
        }
    }
}

/// Tools came or went.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolsChange {
    /// Offered now.
    pub added: Vec<Tool>,
    /// Not offered any more.
    pub gone: Vec<Name>,
}

/// A call without a result.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolFailure {
    /// What was called.
    pub call: ToolCall,
    /// Why there is no result.
    pub error: ToolError,
}

/// A call as it is remembered: who called what, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// The tool, as the caller wrote it: maybe no name, and no tool that there is.
    pub tool: String,
    /// The caller's id for the call.
    pub id: String,
    /// Who called, as far as known.
    pub from: String,
    /// Whether a signature has proved that.
    pub verified: bool,
    /// The arguments, where they could be read. Not to be kept as they are: they may be secret.
    pub args: Option<Json>,
    /// How long it took, or why there is no result.
    pub outcome: Result<Duration, ToolError>,
}
