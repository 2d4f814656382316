//! How the command line asks the node on this machine: at a socket, without a broker.
//!
//! One question per connection, as a line of JSON; the answer is a line too, after lines about the progress of a tool.
//! Who may open the socket may ask: it belongs to the user and the group that run the node.
//!
//! ```
//! use sedge::control::Ask;
//! let ask: Ask = serde_json::from_str(r#"{"ask":"call","tool":"pump_set","args":{"on":true}}"#).unwrap();
//! assert!(matches!(ask, Ask::Call { .. }));
//! ```
//!
//! It is not for other machines. Whoever runs as the user of the node may ask, so a plugin that is a process may too.

mod client;
mod server;
mod view;

use sedge_plugin::{Id, ToolError, ToolPath};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(crate) use client::{BARRED, REMEDY};
pub use client::{Local, find};
pub use server::{Reload, Shown, serve};

/// The longest question, and what is kept of the longest line of an answer.
const MOST_BYTES: u64 = 256 * 1024;

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// What the node is, as it tells others.
    Node,
    /// The topics, with who subscribes to them.
    Hooks,
    /// The plugins, with their states.
    Plugins,
    /// The metrics.
    Metrics,
    /// The journal of readings.
    Outbox,
    /// The units of the fields of the sensors.
    Sensors,
    /// The tools; those of other nodes say on which.
    Tools,
    /// The latest readings, of one sensor or of all.
    Latest {
        /// Which one.
        #[serde(default)]
        sensor: Option<Id>,
    },
    /// Run a tool.
    Call {
        /// Which one.
        tool: ToolPath,
        /// With which arguments.
        #[serde(default)]
        args: Json,
        /// How long the caller waits, in milliseconds.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// The commands that plugins offer.
    Commands,
    /// Read the config again.
    Reload,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// How far a tool is; more follows.
    Progress {
        /// From 0 to 1, as far as known.
        fraction: Option<f64>,
        /// What is being done.
        text: String,
    },
    /// The answer.
    Done(Json),
    /// Why a tool has no result.
    ToolFailed(ToolError),
    /// Why a config is refused.
    Refused(String),
    /// Why there is no answer.
    Failed(String),
}
