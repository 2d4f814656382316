//! Tools: functions that others may call, by the bus, the command line, MQTT.
//!
//! The descriptor has the shape of an MCP tool, so that one text serves every caller. Arguments are checked against
//! `input_schema` before the plugin sees them.
//!
//! ```
//! use sedge_plugin::{Name, Tool, ToolError, ToolErrorCode};
//! let tool = Tool::new(Name::new("relay_set").unwrap(), "Switches the relay.");
//! assert_eq!(tool.timeout_ms, 5000);
//! assert_eq!(ToolError::new(ToolErrorCode::Busy, "come back").to_string(), "come back");
//! ```

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Name;
use crate::plugin::Plugin;

/// Hints for callers; promises of the tool's author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy something.
    pub destructive: bool,
    /// Twice is the same as once.
    pub idempotent: bool,
    /// Reaches beyond this node.
    pub open_world: bool,
}

/// What a tool is, for whoever may call it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Unique on the node.
    pub name: Name,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What it does, in a sentence or two.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub input_schema: Json,
    /// JSON Schema of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Json>,
    /// Hints.
    #[serde(default)]
    pub annotations: Annotations,
    /// Text that an agent adds to its prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guideline: Option<String>,
    /// How long a call may take at most.
    pub timeout_ms: u64,
}

impl Tool {
    /// A tool without arguments, with five seconds' time.
    pub fn new(name: Name, description: &str) -> Self {
        Self {
            name,
            title: String::new(),
            description: description.into(),
            input_schema: serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false }),
            output_schema: None,
            annotations: Annotations::default(),
            guideline: None,
            timeout_ms: 5000,
        }
    }

    /// With the arguments that `T` describes.
    pub fn input<T: schemars::JsonSchema>(mut self) -> Self {
        self.input_schema = schemars::schema_for!(T).to_value();
        self
    }

    /// With the result that `T` describes.
    pub fn output<T: schemars::JsonSchema>(mut self) -> Self {
        self.output_schema = Some(schemars::schema_for!(T).to_value());
        self
    }
}

/// Offers tools.
pub trait Tools: Plugin {
    /// The tools, asked for once after every activation.
    fn tools(&self) -> Vec<Tool>;

    /// Runs one. The arguments fit the tool's schema.
    fn call(&mut self, call: ToolCall) -> impl Future<Output = Result<Json, ToolError>> + Send;
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Which one.
    pub tool: Name,
    /// Names the call to its caller.
    pub id: String,
    /// The arguments.
    pub args: Json,
    /// Who calls, as far as known: a node, a client, `cli`.
    pub from: String,
    /// How long the caller waits; none takes the tool's own limit.
    pub timeout: Option<Duration>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutcome {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub tool: Name,
    /// The result, or why there is none.
    pub result: Result<Json, ToolError>,
    /// How long it took.
    pub took: Duration,
}

/// A coarse reason, for machines. The words of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolErrorCode {
    /// The request could not be read.
    BadRequest,
    /// The arguments do not fit the schema.
    BadArgs,
    /// There is no such tool.
    NotFound,
    /// Not allowed: a guard or a plugin said no.
    Denied,
    /// Too many calls at once.
    Busy,
    /// The deadline had passed before it began.
    Expired,
    /// It took longer than its limit.
    Timeout,
    /// The tool tried and failed.
    Failed,
    /// The plugin behind it does not run.
    Unavailable,
    /// A bug.
    Internal,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ToolError {
    /// For machines.
    pub code: ToolErrorCode,
    /// For people: what happened and what to do.
    pub message: String,
    /// More, where there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
}

impl ToolError {
    /// An error without data.
    pub fn new(code: ToolErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The tool tried and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ToolErrorCode::Failed, message)
    }
}
