//! The caller's side: watch nodes, read their descriptors, call their tools. The command line is made of this.
//!
//! ```no_run
//! # async fn example() -> Result<(), sedge_mqtt::remote::RemoteError> {
//! use sedge_mqtt::{Settings, remote::Remote};
//! let remote = Remote::connect(&Settings::default(), "sedge-cli-1").await?;
//! for (node, tool) in remote.tools(None).await? {
//!     println!("{node} {}: {}", tool.name, tool.description);
//! }
//! # Ok(()) }
//! ```
//!
//! One connection, and no second one: a command that lost its broker says so and ends. Whoever wants to watch for ever
//! connects again.

mod fleet;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sedge_plugin::{Id, Name, Progress, Tool};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};

use crate::link::{Fault, Incoming, JSON, Limits, Link, LinkEvent, LinkOptions, Message};
use crate::settings::{Settings, SettingsError};
use crate::wire::{Base, ONLINE, Place, ReadingFrame, Request, ResultFrame, Signer, Topics};
pub use fleet::{Fleet, Known, NodeNews};
use worker::{Command, Worker};

/// How long connecting, and how long reading what is retained, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Readings that may wait for whoever watches.
const WATCHED: usize = 1024;

/// Why something could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No broker there, or no more.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// The broker refused the login.
    #[error("{0}")]
    Refused(String),
    /// What answers there cannot be trusted, or does not trust us.
    #[error("{0}")]
    Tls(String),
    /// What answers there is not an MQTT broker, or what came is not of our contract.
    #[error("{0}")]
    Protocol(String),
    /// No answer.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The broker lets this user not do that.
    #[error("the broker does not allow it: {0}")]
    Denied(String),
    /// The node is not connected to this broker.
    #[error("`{0}` is not connected to the broker")]
    NotConnected(Id),
}

impl From<Fault> for RemoteError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable(text) | Fault::Lost(text) => Self::Unreachable(text),
            Fault::Tls(text) => Self::Tls(text),
            fault @ Fault::Login(_) => Self::Refused(fault.to_string()),
            fault => Self::Protocol(fault.to_string()),
        }
    }
}

/// A reading that came by.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The node.
    pub node: Id,
    /// Its sensor.
    pub sensor: Id,
    /// What it said.
    pub frame: ReadingFrame,
}

/// A connection to a broker, on behalf of somebody who calls. Dropping it ends it.
#[derive(Debug)]
pub struct Remote {
    base: Base,
    /// The level under `_reply/`: the user name, because that is what a broker's rules can name.
    caller: String,
    client: String,
    signer: Option<Box<Signer>>,
    client_id: String,
    commands: mpsc::Sender<Command>,
    calls: AtomicU64,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Remote {
    /// Calls under another name than the one that it connected with.
    pub fn calling_as(self, caller: &str) -> Self {
        let caller = caller.to_owned();
        // Not `Self { caller, ..self }`: it has a `Drop`.
        let mut remote = self;
        remote.caller = caller;
        remote
    }

    /// Signs its calls, as the caller that the signer names.
    pub fn signing_as(mut self, signer: Signer) -> Self {
        self.signer = Some(signer.into());
        self
    }

    /// Connects as `client_id`, or says why not. A second client with the same one throws the first out.
    pub async fn connect(settings: &Settings, client_id: &str) -> Result<Self, RemoteError> {
        within(PATIENCE, Self::connect_at_leisure(settings, client_id.into())).await?
    }

    async fn connect_at_leisure(settings: &Settings, client_id: String) -> Result<Self, RemoteError> {
        let base = settings.check()?;
        let client = level(settings.username.as_deref().unwrap_or(&client_id));
        let (mut link, limits) = Self::reach(settings, &client_id).await?;
        link.subscribe(&base.filter(&format!("_reply/{client}/#")));
        loop {
            match link.next().await {
                LinkEvent::Subscribed(_) => break,
                LinkEvent::Down(fault) => return Err(fault.into()),
                _ => {}
            }
        }
        let (commands, inbox) = mpsc::channel(16);
        let fence = base.filter(&format!("_reply/{client}/fence"));
        let task = tokio::spawn(Worker::new(link, limits, base.clone(), fence, client_id.clone()).run(inbox));
        let (caller, calls) = (client.clone(), AtomicU64::new(0));
        Ok(Self { base, caller, client, signer: None, client_id, commands, calls, task })
    }

    /// The first broker that answers; where none does, what the first one said.
    async fn reach(settings: &Settings, client_id: &str) -> Result<(Link, Limits), RemoteError> {
        let mut first = None;
        for broker in &settings.brokers {
            let options = LinkOptions { broker: broker.clone(), ..settings.link(client_id.into()) };
            let mut link = Link::open(&options);
            match link.next().await {
                LinkEvent::Up(limits) => return Ok((link, limits)),
                LinkEvent::Down(fault) => drop(first.get_or_insert(fault)),
                _ => {}
            }
        }
        Err(first.unwrap_or_else(|| Fault::Unreachable("no broker is named".into())).into())
    }

    /// The readings of a node or of all, of a sensor or of all, as they come. A watcher who is too slow misses some.
    /// The last item is why there are no more.
    pub async fn tail(
        &self,
        node: Option<&Id>,
        sensor: Option<&Id>,
    ) -> Result<mpsc::Receiver<Result<Sighting, RemoteError>>, RemoteError> {
        let (sink, stream) = mpsc::channel(WATCHED);
        let filter = self.base.filter(&format!("{}/reading/{}", or_any(node), or_any(sensor)));
        let (done, subscribed) = oneshot::channel();
        self.command(Command::Tail { filter, sink, done }).await?;
        answer(PATIENCE, subscribed).await?;
        Ok(stream)
    }

    /// The tools of a node or of all.
    pub async fn tools(&self, node: Option<&Id>) -> Result<Vec<(Id, Tool)>, RemoteError> {
        let found = self.retained(format!("{}/tool/+", or_any(node))).await?;
        Ok(found.into_iter().filter_map(|message| self.described(message)).collect())
    }

    /// A tool of a node; none where the node has none of that name.
    pub async fn tool(&self, node: &Id, tool: &Name) -> Result<Option<Tool>, RemoteError> {
        let found = self.retained(format!("{node}/tool/{tool}")).await?;
        Ok(found.into_iter().find_map(|message| self.described(message)).map(|(_, tool)| tool))
    }

    /// Whether a node is online; none where the broker has never heard of it.
    pub async fn status(&self, node: &Id) -> Result<Option<bool>, RemoteError> {
        let found = self.retained(format!("{node}/status")).await?;
        Ok(found.first().map(|message| message.payload == ONLINE.as_bytes()))
    }

    /// Tries whether this user may publish below a node's topic. What is published is empty, at a topic of the contract that nobody uses.
    ///
    /// # Errors
    /// [`RemoteError::Denied`] where the broker says no; one that takes what it then drops cannot be told.
    pub async fn try_to_publish(&self, node: &Id) -> Result<(), RemoteError> {
        let message = Message { topic: self.base.filter(&format!("{node}/log/try")), ..Message::default() };
        let (done, answered) = oneshot::channel();
        self.command(Command::Try { message, done }).await?;
        answer(PATIENCE, answered).await
    }

    /// Tries whether this user may hear the calls of a node's tools.
    ///
    /// # Errors
    /// [`RemoteError::Denied`] where the broker says no.
    pub async fn try_to_hear_calls(&self, node: &Id) -> Result<(), RemoteError> {
        let (sink, _) = mpsc::channel(1);
        let filter = self.base.filter(&format!("{node}/tool/+/call"));
        let (done, answered) = oneshot::channel();
        self.command(Command::Tail { filter, sink, done }).await?;
        answer(PATIENCE, answered).await
    }

    /// Calls a tool and waits for what becomes of it. What the tool itself says, also its error, stands in the result. How
    /// far it is goes to `progress`.
    pub async fn call(
        &self,
        node: &Id,
        tool: &Name,
        args: Json,
        timeout: Duration,
        progress: Progress,
    ) -> Result<ResultFrame, RemoteError> {
        // Not every broker says that nobody is subscribed; and one that keeps the call would hand it over when nobody
        // waits for it any more.
        if self.status(node).await? != Some(true) {
            return Err(RemoteError::NotConnected(node.clone()));
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let id = format!("{nanos:x}-{number}");
        let now = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
        let sign = |signer: &Signer| signer.sign(node, tool, &args, now);
        let sig = self.signer.as_deref().map(sign).transpose();
        let sig = sig.map_err(|error| RemoteError::Protocol(error.to_string()))?;
        let request = Request { id: Some(id.clone()), args, from: Some(self.caller.clone()), sig };
        let correlation = format!("{}-{id}", self.client_id).into_bytes();
        let message = Message {
            topic: Topics::new(self.base.clone(), node.clone()).call(tool.as_str()),
            payload: request.to_json(),
            content_type: JSON,
            response_topic: Some(self.base.reply(&self.client, node, tool.as_str())),
            correlation: Some(correlation),
            expiry: Some(timeout),
            ..Message::default()
        };
        let (done, result) = oneshot::channel();
        self.command(Command::Call { node: node.clone(), message, progress, done }).await?;
        answer(timeout, result).await
    }

    /// What is retained at a filter under the base, complete.
    async fn retained(&self, under: String) -> Result<Vec<Incoming>, RemoteError> {
        self.retained_at(self.base.filter(&under)).await
    }

    /// What is retained at a filter, complete.
    async fn retained_at(&self, filter: String) -> Result<Vec<Incoming>, RemoteError> {
        let (done, found) = oneshot::channel();
        self.command(Command::Retained { filter, done }).await?;
        answer(PATIENCE, found).await
    }

    fn described(&self, message: Incoming) -> Option<(Id, Tool)> {
        let Some(Place::Tool(node, _)) = self.base.place(&message.topic) else { return None };
        Some((node, serde_json::from_slice(&message.payload).ok()?))
    }

    async fn command(&self, command: Command) -> Result<(), RemoteError> {
        self.commands.send(command).await.map_err(|_| gone())
    }
}

fn or_any(id: Option<&Id>) -> &str {
    id.map_or("+", Id::as_str)
}

/// A user name or client id as a level of a topic.
fn level(text: &str) -> String {
    text.replace(['/', '+', '#', '\0'], "-")
}

fn gone() -> RemoteError {
    RemoteError::Unreachable("the connection has ended".into())
}

async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Result<T, RemoteError> {
    tokio::time::timeout(time, future).await.map_err(|_| RemoteError::Timeout(time))
}

async fn answer<T>(
    time: Duration,
    answer: oneshot::Receiver<Result<T, RemoteError>>,
) -> Result<T, RemoteError> {
    within(time, answer).await?.map_err(|_| gone())?
}
