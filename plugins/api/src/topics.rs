//! The topics that every node has.
//!
//! A plugin may define topics of its own in the same way; another that depends on its crate subscribes by type.

use crate::directory::{PluginStatus, SensorDescriptor};
use crate::reading::{Draft, Frame, Reading};
use crate::tool::{Tool, ToolCall, ToolError, ToolOutcome};
use crate::topic::{Chain, Collect, First, Observe, Topic};
use crate::{Id, Name};

macro_rules! topic {
    ($type:ident, $kind:ident, $name:literal, $message:ty => $answer:ty, $doc:literal) => {
        #[doc = $doc]
        pub struct $type;
        impl Topic for $type {
            type Message = $message;
            type Answer = $answer;
            type Kind = $kind;
            const NAME: &'static str = $name;
            const DOC: &'static str = $doc;
        }
    };
}

topic!(NodeStarted, Observe, "node_started", () => (),
    "Fired by the node once all plugins had their first start. A subscriber may begin what needs the others.");
topic!(NodeStopping, Observe, "node_stopping", () => (),
    "Fired by the node before the first plugin is stopped. A subscriber may clean up; it has the time of its own teardown.");
topic!(PluginStateChanged, Observe, "plugin_state_changed", PluginStatus => (),
    "Fired by the supervisor when a plugin changes its state or its reason. A subscriber may tell others.");
topic!(SensorChanged, Observe, "sensor_changed", SensorChange => (),
    "Fired by the node when a sensor is announced, described anew, or gone. A subscriber may tell others.");
topic!(ToolsChanged, Observe, "tools_changed", ToolsChange => (),
    "Fired by the tool registry when tools appear or go, with their plugin. A subscriber may tell others.");

topic!(Extract, First, "extract", RawPayload => Frame,
    "Fired for bytes in a format that somebody is to know, as from a serial line. A subscriber that knows it answers with what they say.");
topic!(Process, Chain, "process", Draft => (),
    "Fired for every reading before it is validated. A step may change the fields, or veto: the reading is suppressed and counted.");
topic!(Validate, Chain, "validate", Draft => (),
    "Fired for every reading after processing. A step may mark fields; a veto marks all fields `rejected`, the reading is kept.");
topic!(Deliver, Observe, "deliver", Reading => (),
    "Fired for every accepted reading, in order per sensor. A subscriber may pass it on.");

topic!(ToolRegistryBuild, Collect, "tool_registry_build", () => Vec<Tool>,
    "Fired by the tool registry when a plugin has started. A subscriber answers with the tools it offers.");
topic!(PreToolExecute, Chain, "pre_tool_execute", ToolCall => (),
    "Fired before a tool runs, after its arguments were checked. A step may rewrite them (they are checked again) or veto: `denied`.");
topic!(PostToolExecute, Chain, "post_tool_execute", ToolOutcome => (),
    "Fired after a tool ran. A step may rewrite the result; a veto makes it an error, `denied`.");
topic!(ToolFailed, Observe, "tool_failed", ToolFailure => (),
    "Fired by the tool registry for every call that has no result. A subscriber may count or tell.");

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
