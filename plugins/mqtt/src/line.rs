//! The way to the outbox, for all that has something to publish: a handle, cheap to clone.
//!
//! Whoever puts something in never waits for the broker; what is not taken is complained of once per topic.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sedge_plugin::journal::Loss;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::link::{Message, Qos};
use crate::outbox::{Outbox, Rank, Refused};
use crate::wire::Topics;

/// Topics about which a complaint is remembered, so that it is made once.
const MAX_COMPLAINTS: usize = 64;

/// The way to the outbox.
#[derive(Clone)]
pub(crate) struct Line(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    outbox: Mutex<Outbox>,
    pub(crate) changed: Notify,
    closing: AtomicBool,
    /// Whether the node has started: all of its components are known then.
    pub(crate) started: AtomicBool,
    /// Topics whose last message was refused.
    refused: Mutex<BTreeSet<String>>,
}

impl Line {
    /// Empty.
    pub(crate) fn new(topics: Topics, qos: Qos) -> Self {
        let outbox = Mutex::new(Outbox::new(topics, qos));
        let (changed, refused) = (Notify::new(), Mutex::default());
        let (closing, started) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Shared { outbox, changed, closing, started, refused }))
    }

    /// Sets what is retained at a topic; nothing (empty) takes it back. Not any more once the line is closed.
    pub(crate) fn state(&self, rank: Rank, topic: String, payload: Vec<u8>) {
        if self.closing() {
            return;
        }
        let refused = self.outbox().state(rank, topic.clone(), payload);
        self.put(&topic, refused);
    }

    /// Publishes a result or an event.
    pub(crate) fn message(&self, message: Message) {
        let topic = message.topic.clone();
        let outcome = self.outbox().message(message);
        if outcome == Ok(true) {
            warn!("More results and events wait than there is room for; the oldest are dropped.");
        }
        self.put(&topic, outcome.map(drop));
    }

    /// Publishes how far a call is, where nothing stands in the way.
    pub(crate) fn progress(&self, message: Message) {
        self.outbox().progress(message);
        self.0.changed.notify_one();
    }

    /// Publishes an answer that costs nothing to give again.
    pub(crate) fn refusal(&self, message: Message) {
        let topic = message.topic.clone();
        let outcome = self.outbox().refusal(message);
        self.put(&topic, outcome);
    }

    /// Publishes the account of what is lost; one that still waits is replaced.
    pub(crate) fn note(&self, message: Message, losses: Vec<Loss>) {
        self.outbox().note(message, losses);
        self.0.changed.notify_one();
    }

    /// The largest packet that the broker takes, as far as is known.
    pub(crate) fn limit(&self) -> usize {
        self.outbox().limit()
    }

    /// The node has started: what the broker has beyond its components is not of this node any more.
    pub(crate) fn started(&self) {
        self.0.started.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }

    /// The topics of a rank at which something is retained.
    pub(crate) fn topics(&self, rank: Rank) -> Vec<String> {
        self.outbox().topics(rank)
    }

    /// Whether the broker has what is retained at a topic as it is now.
    pub(crate) fn has(&self, rank: Rank, topic: &str) -> bool {
        self.outbox().has(rank, topic)
    }

    /// Publishes the state of some ranks once more.
    pub(crate) fn again(&self, ranks: &[Rank]) {
        self.outbox().again(ranks);
        self.0.changed.notify_one();
    }

    /// Empties the outbox, says farewell and ends the driver; where there is no connection it ends at once.
    pub(crate) fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }

    fn put(&self, topic: &str, outcome: Result<(), Refused>) {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                self.0.changed.notify_one();
                if refused.remove(topic) {
                    info!(topic, "Messages are taken again.");
                }
            }
            Err(error) if refused.len() < MAX_COMPLAINTS && refused.insert(topic.into()) => {
                warn!(topic, %error, "A message was not taken; more of its kind are not told.");
            }
            Err(_) => {}
        }
    }

    pub(crate) fn closing(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }

    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
