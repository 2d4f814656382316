//! All nodes at once: who is there, from what each has retained; and taking back what one has left behind.

use std::collections::BTreeMap;

use sedge_plugin::Id;
use tokio::sync::{mpsc, oneshot};

use super::worker::Command;
use super::{PATIENCE, Remote, RemoteError, WATCHED, answer, or_any};
use crate::link::{Incoming, Message};
use crate::wire::{Info, ONLINE, Place};

/// A node, as the broker knows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// Whether it is online; none where it has never said.
    pub online: Option<bool>,
    /// Its birth document, where there is one that can be read.
    pub info: Option<Info>,
}

/// News of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeNews {
    /// It came or went.
    Online(bool),
    /// It said anew what it is.
    Info(Box<Info>),
    /// Nobody knows it any more.
    Forgotten,
}

/// Followed topics, each with who hears of it.
pub(super) type Sink = mpsc::Sender<Result<Incoming, RemoteError>>;

/// News of nodes, as they come.
#[derive(Debug)]
pub struct Fleet<'a> {
    remote: &'a Remote,
    stream: mpsc::Receiver<Result<Incoming, RemoteError>>,
}

impl Fleet<'_> {
    /// What happened next, and to which node; none after the end.
    ///
    /// # Errors
    /// Why there is no more.
    pub async fn next(&mut self) -> Result<Option<(Id, NodeNews)>, RemoteError> {
        while let Some(message) = self.stream.recv().await.transpose()? {
            if let Some(news) = self.remote.news(&message) {
                return Ok(Some(news));
            }
        }
        Ok(None)
    }
}

impl Remote {
    /// The nodes that the broker knows, or the one.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn fleet(&self, node: Option<&Id>) -> Result<BTreeMap<Id, Known>, RemoteError> {
        let under = |what: &str| format!("{}/{what}", or_any(node));
        let (status, info) = tokio::join!(self.retained(under("status")), self.retained(under("info")));
        let mut fleet = BTreeMap::<Id, Known>::new();
        for message in status?.into_iter().chain(info?) {
            match self.news(&message) {
                Some((node, NodeNews::Online(online))) => {
                    fleet.entry(node).or_default().online = Some(online)
                }
                Some((node, NodeNews::Info(info))) => fleet.entry(node).or_default().info = Some(*info),
                Some((_, NodeNews::Forgotten)) | None => {}
            }
        }
        Ok(fleet)
    }

    /// What is known of nodes, and then what happens to them.
    ///
    /// # Errors
    /// When the broker does not allow it.
    pub async fn watch_fleet(&self, node: Option<&Id>) -> Result<Fleet<'_>, RemoteError> {
        let (sink, stream) = mpsc::channel(WATCHED);
        for what in ["info", "status"] {
            let filter = self.base.filter(&format!("{}/{what}", or_any(node)));
            let (done, subscribed) = oneshot::channel();
            self.command(Command::Follow { filter, sink: sink.clone(), done }).await?;
            answer(PATIENCE, subscribed).await?;
        }
        Ok(Fleet { remote: self, stream })
    }

    fn news(&self, message: &Incoming) -> Option<(Id, NodeNews)> {
        match self.base.place(&message.topic)? {
            Place::Status(node) if message.payload.is_empty() => Some((node, NodeNews::Forgotten)),
            Place::Status(node) => Some((node, NodeNews::Online(message.payload == ONLINE.as_bytes()))),
            Place::Info(node) => {
                let info = serde_json::from_slice(&message.payload).ok()?;
                Some((node, NodeNews::Info(Box::new(info))))
            }
            _ => None,
        }
    }

    /// All topics at which something of a node is retained, the discovery document of Home Assistant with them. The status
    /// is the last: as long as it is there the node is known.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn retained_of(&self, node: &Id) -> Result<Vec<String>, RemoteError> {
        let discovery = format!("homeassistant/device/sedge-{node}/config");
        let under = self.base.filter(&format!("{node}/#"));
        let (own, discovery) = tokio::join!(self.retained_at(under), self.retained_at(discovery));
        let mut topics: Vec<String> =
            own?.into_iter().chain(discovery?).map(|message| message.topic).collect();
        topics.sort_by_key(|topic| matches!(self.base.place(topic), Some(Place::Status(_))));
        Ok(topics)
    }

    /// Takes back what is retained at a topic.
    ///
    /// # Errors
    /// When the broker does not allow it.
    pub async fn take_back(&self, topic: String) -> Result<(), RemoteError> {
        let message = Message { topic, retain: true, ..Message::default() };
        let (done, answered) = oneshot::channel();
        self.command(Command::Try { message, done }).await?;
        answer(PATIENCE, answered).await
    }
}
