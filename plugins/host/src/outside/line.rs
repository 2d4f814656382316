//! The line between a node and one plugin outside: messages there, messages back, and how it ended.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sedge_plugin::context::BoxFuture;
use sedge_plugin::{Id, PluginError};
use sedge_protocol::{Limits, ToNode, ToPlugin};
use tokio::sync::{mpsc, oneshot};

/// Runs a plugin of one kind outside: a program, a component. One stands behind all starts of an instance.
pub trait Carrier: Send + Sync + 'static {
    /// Starts it anew. The first message on the line is the plugin's hello; the carrier has not answered it.
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Line, PluginError>>;

    /// How far what runs there is kept from the rest of the machine, in a few words: `process, uid 1000, 256 MiB`.
    fn isolation(&self) -> String;
}

/// What a carrier is told of a start.
#[derive(Debug, Clone)]
pub struct Start {
    /// The instance.
    pub id: Id,
    /// The plugin's folder: where a process runs.
    pub folder: PathBuf,
    /// A directory of its own, where it is granted one.
    pub data_dir: Option<PathBuf>,
    /// What it must stay within.
    pub limits: Limits,
    /// More of its environment.
    pub environment: BTreeMap<String, String>,
}

/// A plugin that runs outside. Dropped, it is killed.
pub struct Line {
    /// To the plugin. Full: it does not read.
    pub to: mpsc::Sender<ToPlugin>,
    /// From the plugin; ends when it has ended. What cannot be read ends it too, with the reason as its end.
    pub from: mpsc::Receiver<ToNode>,
    /// How it ended, once `from` has.
    pub end: oneshot::Receiver<End>,
    /// Ends what runs there when it is dropped.
    pub guard: Box<dyn Send + Sync>,
}

/// How a plugin outside ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It ended by itself as it was asked to.
    Stopped,
    /// It is gone, or was ended: `it exited with status 1; its last words: …`.
    Broken(String),
}
