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

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::context::BoxFuture;
use crate::plugin::Plugin;
use crate::{Id, IdError, Name};

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

/// Which tool, and on which node: `relay_set`, or `greenhouse/relay_set`.
///
/// ```
/// use sedge_plugin::ToolPath;
/// let path: ToolPath = "greenhouse/relay_set".parse().unwrap();
/// assert_eq!(path.node.as_ref().unwrap().as_str(), "greenhouse");
/// assert_eq!(path.to_string(), "greenhouse/relay_set");
/// assert!("Green House/relay_set".parse::<ToolPath>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolPath {
    /// The node; none for this one.
    pub node: Option<Id>,
    /// What the tool is called there.
    pub tool: Name,
}

impl fmt::Display for ToolPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{node}/{}", self.tool),
            None => f.write_str(self.tool.as_str()),
        }
    }
}

impl FromStr for ToolPath {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('/') {
            Some((node, tool)) => Ok(Self { node: Some(Id::new(node)?), tool: Name::new(tool)? }),
            None => Ok(Self { node: None, tool: Name::new(text)? }),
        }
    }
}

impl TryFrom<String> for ToolPath {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ToolPath> for String {
    fn from(path: ToolPath) -> String {
        path.to_string()
    }
}

impl From<Name> for ToolPath {
    fn from(tool: Name) -> Self {
        Self { node: None, tool }
    }
}

/// Runs a tool of another node: whoever reaches that node provides it. Calls run beside each other; one that is dropped is
/// given up.
pub type RemoteCaller = Arc<dyn Fn(ToolCall) -> BoxFuture<'static, Result<Json, ToolError>> + Send + Sync>;

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The node that it is on; none for this one.
    pub node: Option<Id>,
    /// Which one.
    pub tool: Name,
    /// Names the call to its caller.
    pub id: String,
    /// The arguments.
    pub args: Json,
    /// Who calls, as far as known: a node, a client, `cli`.
    pub from: String,
    /// Whether a signature has proved that it is this caller. A name alone proves nothing.
    pub verified: bool,
    /// How long the caller waits; none takes the tool's own limit.
    pub timeout: Option<Duration>,
    /// Where a tool that takes long says how far it is.
    pub progress: Progress,
}

impl ToolCall {
    /// A call of nobody in particular, with the tool's own limit: of a tool of this node, or of another's.
    pub fn new(tool: impl Into<ToolPath>, args: Json) -> Self {
        let ToolPath { node, tool } = tool.into();
        Self {
            node,
            tool,
            id: String::new(),
            args,
            from: String::new(),
            verified: false,
            timeout: None,
            progress: Progress::default(),
        }
    }

    /// The tool and its node.
    pub fn path(&self) -> ToolPath {
        ToolPath { node: self.node.clone(), tool: self.tool.clone() }
    }
}

/// How far a call is.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// From 0 to 1, as far as known.
    pub fraction: Option<f64>,
    /// For people: what is being done.
    pub text: String,
}

type Hear = Arc<dyn Fn(Update) + Send + Sync>;

/// Where a tool says how far it is. Saying it to a caller who does not listen costs nothing.
///
/// ```
/// use sedge_plugin::tool::Progress;
/// let (told, hear) = std::sync::mpsc::channel();
/// let progress = Progress::to(move |update| drop(told.send(update)));
/// progress.report(0.4, "rinsing");
/// assert_eq!(hear.recv().unwrap().text, "rinsing");
/// ```
#[derive(Clone, Default)]
pub struct Progress(Option<Hear>);

impl Progress {
    /// To somebody who listens; must not block.
    pub fn to(hear: impl Fn(Update) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    /// The same, until it is closed: what is said later is heard by nobody.
    pub fn while_open(&self, open: &Arc<AtomicBool>) -> Self {
        let heard = self.0.clone().map(|hear| {
            let open = open.clone();
            Arc::new(move |update| {
                if open.load(Ordering::Relaxed) {
                    hear(update);
                }
            }) as Hear
        });
        Self(heard)
    }

    /// So much is done, from 0 to 1.
    pub fn report(&self, fraction: f64, text: impl Into<String>) {
        self.tell(Some(fraction.clamp(0.0, 1.0)).filter(|fraction| fraction.is_finite()), text.into());
    }

    /// This is being done; how much is left is not known.
    pub fn say(&self, text: impl Into<String>) {
        self.tell(None, text.into());
    }

    fn tell(&self, fraction: Option<f64>, text: String) {
        if let Some(hear) = &self.0 {
            hear(Update { fraction, text });
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress(heard)" } else { "Progress(unheard)" })
    }
}

/// Who listens is no part of what is called.
impl PartialEq for Progress {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutcome {
    /// The call's id.
    pub id: String,
    /// The node that the tool is on; none for this one.
    pub node: Option<Id>,
    /// The tool.
    pub tool: Name,
    /// The result, or why there is none.
    pub result: Result<Json, ToolError>,
    /// How long it took.
    pub took: Duration,
    /// The plugin behind the tool, where there is one.
    pub by: Option<Id>,
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
