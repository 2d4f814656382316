//! What runs behind a [`Remote`](super::Remote): one task that owns the link and gives everybody what is theirs.
//!
//! How it knows that all retained messages have come: after the subscription it publishes a fence to itself; a broker
//! delivers in order, so what is retained has come when the fence has. All clients of one user share that topic, so a
//! fence carries the client's id. Where the broker does not let it publish there,
//! half a second without another retained message must do.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use sedge_plugin::{Id, Progress};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::debug;

use super::fleet::Sink;
use super::{RemoteError, Sighting};
use crate::link::{Ack, Incoming, Limits, Link, LinkEvent, Message};
use crate::packet::Version;
use crate::wire::{Answer, Base, Place, ResultFrame};

/// Without a fence: this long without a retained message means that there are no more.
const QUIET: Duration = Duration::from_millis(500);

/// Retained messages that are gathered at a time; a fleet has fewer.
const MAX_GATHERED: usize = 100_000;

/// Calls that may wait for their results.
const MAX_CALLS: usize = 256;

type Done<T> = oneshot::Sender<Result<T, RemoteError>>;

/// What a [`Remote`](super::Remote) wants.
pub(super) enum Command {
    Retained {
        filter: String,
        done: Done<Vec<Incoming>>,
    },
    Tail {
        filter: String,
        sink: mpsc::Sender<Result<Sighting, RemoteError>>,
        done: Done<()>,
    },
    /// All that comes at a filter, retained or not.
    Follow {
        filter: String,
        sink: Sink,
        done: Done<()>,
    },
    Call {
        node: Id,
        message: Message,
        progress: Progress,
        done: Done<ResultFrame>,
    },
    /// Publish, and hear whether the broker takes it.
    Try {
        message: Message,
        done: Done<()>,
    },
}

/// A call whose result is waited for.
struct Waiting {
    node: Id,
    /// Where the result comes without MQTT 5; empty with it.
    results: String,
    progress: Progress,
    done: Done<ResultFrame>,
}

/// Retained messages being gathered.
struct Gathering {
    filter: String,
    /// By topic: a broker may send one twice.
    found: BTreeMap<String, Incoming>,
    /// Set where the fence was refused.
    quiet: Option<Instant>,
    done: Done<Vec<Incoming>>,
}

struct Watch {
    filter: String,
    sink: mpsc::Sender<Result<Sighting, RemoteError>>,
}

/// Whom the answer to a publish concerns.
enum Sent {
    Fence(u64),
    Call(Vec<u8>),
    Try(Done<()>),
}

pub(super) struct Worker {
    link: Link,
    limits: Limits,
    base: Base,
    fence: String,
    client_id: String,
    last: u64,
    sent: HashMap<u64, Sent>,
    gatherings: BTreeMap<u64, Gathering>,
    watches: Vec<Watch>,
    followers: Vec<(String, Sink)>,
    calls: HashMap<Vec<u8>, Waiting>,
    /// In the order in which the broker will answer; none where nobody waits for it.
    subscribing: VecDeque<Option<Done<()>>>,
}

impl Worker {
    pub(super) fn new(link: Link, limits: Limits, base: Base, fence: String, client_id: String) -> Self {
        Self {
            link,
            limits,
            base,
            fence,
            client_id,
            last: 0,
            sent: HashMap::new(),
            gatherings: BTreeMap::new(),
            watches: Vec::new(),
            followers: Vec::new(),
            calls: HashMap::new(),
            subscribing: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let quiet = self.gatherings.values().filter_map(|g| g.quiet).min();
            let silence = async {
                match quiet {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = self.link.next() => event,
                command = inbox.recv() => match command {
                    Some(command) => { self.obey(command); continue }
                    None => return,
                },
                () = silence => { self.settle(); continue }
            };
            match event {
                LinkEvent::Message(message) => self.deliver(message),
                LinkEvent::Answered(token, ack) => self.answered(token, ack),
                LinkEvent::Subscribed(granted) => {
                    if let Some(Some(done)) = self.subscribing.pop_front() {
                        let denied = || RemoteError::Denied("the subscription was not granted".into());
                        // Whoever asked may have gone.
                        let _ = done.send(if granted { Ok(()) } else { Err(denied()) });
                    }
                }
                LinkEvent::Down(fault) => return self.end(fault.into()),
                LinkEvent::Up(_) | LinkEvent::Parted => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Retained { filter, done } => {
                let full = !self.subscribe(&filter, None);
                let fence = self.last + 1;
                let message = Message {
                    topic: self.fence.clone(),
                    payload: format!("{}-{fence}", self.client_id).into(),
                    ..Message::default()
                };
                if full || !self.publish(message, Sent::Fence(fence)) {
                    let _ = done.send(Err(busy()));
                    return;
                }
                let gathering = Gathering { filter, found: BTreeMap::new(), quiet: None, done };
                self.gatherings.insert(fence, gathering);
            }
            Command::Tail { filter, sink, done } => {
                self.watches.retain(|watch| !watch.sink.is_closed());
                if self.subscribe(&filter, Some(done)) {
                    self.watches.push(Watch { filter, sink });
                }
            }
            Command::Follow { filter, sink, done } => {
                if self.subscribe(&filter, Some(done)) {
                    self.followers.push((filter, sink));
                }
            }
            Command::Call { node, message, progress, done } => self.call(node, message, progress, done),
            // Where it cannot be handed over, `done` is dropped, and whoever asked knows.
            Command::Try { message, done } => drop(self.publish(message, Sent::Try(done))),
        }
    }

    fn call(&mut self, node: Id, message: Message, progress: Progress, done: Done<ResultFrame>) {
        self.calls.retain(|_, call| !call.done.is_closed());
        let limit = self.limits.max_packet_bytes;
        let key = message.correlation.clone().unwrap_or_default();
        let mut results = String::new();
        if self.limits.version == Version::V3 {
            // Before the call on the same connection, so that the broker knows it before there is a result.
            results =
                message.topic.strip_suffix("call").map(|stem| format!("{stem}result")).unwrap_or_default();
            if !self.subscribe(&results, None) {
                drop(done.send(Err(busy())));
                return;
            }
        }
        let refused = if message.size() > limit {
            Some(RemoteError::Protocol(format!(
                "the call is larger than the {limit} bytes that the broker takes"
            )))
        } else if self.calls.len() >= MAX_CALLS || !self.publish(message, Sent::Call(key.clone())) {
            Some(busy())
        } else {
            None
        };
        match refused {
            Some(error) => drop(done.send(Err(error))),
            None => drop(self.calls.insert(key, Waiting { node, results, progress, done })),
        }
    }

    fn subscribe(&mut self, filter: &str, done: Option<Done<()>>) -> bool {
        if self.link.subscribe(filter) {
            self.subscribing.push_back(done);
            return true;
        }
        if let Some(done) = done {
            let _ = done.send(Err(busy()));
        }
        false
    }

    fn publish(&mut self, message: Message, sent: Sent) -> bool {
        // Within the broker's own window, so that nothing waits where it cannot be seen.
        if self.sent.len() >= self.limits.window || !self.link.publish(self.last + 1, message) {
            return false;
        }
        self.last += 1;
        self.sent.insert(self.last, sent);
        true
    }

    fn answered(&mut self, token: u64, ack: Ack) {
        match (self.sent.remove(&token), ack) {
            (Some(Sent::Fence(fence)), Ack::Refused(error)) => {
                debug!(error, "No fence; waiting for silence.");
                if let Some(gathering) = self.gatherings.get_mut(&fence) {
                    gathering.quiet = Some(Instant::now() + QUIET);
                }
            }
            (Some(Sent::Call(key)), Ack::Refused(error)) => {
                if let Some(Waiting { node, done, .. }) = self.calls.remove(&key) {
                    let _ =
                        done.send(Err(RemoteError::Denied(format!("calling a tool of `{node}`: {error}"))));
                }
            }
            (Some(Sent::Try(done)), ack) => {
                // Whoever asked may have gone.
                let _ = done.send(match ack {
                    Ack::Refused(error) => Err(RemoteError::Denied(error.into())),
                    Ack::Taken | Ack::NobodyListens => Ok(()),
                });
            }
            (Some(Sent::Call(key)), Ack::NobodyListens) => {
                if let Some(Waiting { node, done, .. }) = self.calls.remove(&key) {
                    let _ = done.send(Err(RemoteError::NotConnected(node)));
                }
            }
            _ => {}
        }
    }

    fn deliver(&mut self, message: Incoming) {
        if message.topic == self.fence {
            let fence = own_fence(&self.client_id, &message);
            return fence.into_iter().for_each(|fence| self.gathered(fence));
        }
        // One who is too slow misses some.
        self.followers.retain(|(filter, sink)| {
            !matches(filter, &message.topic)
                || !matches!(sink.try_send(Ok(message.clone())), Err(TrySendError::Closed(_)))
        });
        match self.base.place(&message.topic) {
            Some(Place::Reply(..)) => self.result(message.correlation.clone(), &message),
            Some(Place::Result(..)) => self.result(self.called(&message), &message),
            Some(Place::Reading(node, sensor)) if !message.retain => self.show(node, sensor, message),
            _ if message.retain => {
                for gathering in self.gatherings.values_mut() {
                    if matches(&gathering.filter, &message.topic) && gathering.found.len() < MAX_GATHERED {
                        gathering.found.insert(message.topic.clone(), message.clone());
                        gathering.quiet = gathering.quiet.map(|_| Instant::now() + QUIET);
                    }
                }
            }
            _ => {}
        }
    }

    /// Which call a result without correlation is for: the one of its id, at its topic.
    fn called(&self, message: &Incoming) -> Option<Vec<u8>> {
        let frame: ResultFrame = serde_json::from_slice(&message.payload).ok()?;
        let key = format!("{}-{}", self.client_id, frame.id).into_bytes();
        self.calls.get(&key).is_some_and(|call| call.results == message.topic).then_some(key)
    }

    fn result(&mut self, key: Option<Vec<u8>>, message: &Incoming) {
        let Some(key) = key.filter(|key| self.calls.contains_key(key)) else { return };
        let result = serde_json::from_slice::<ResultFrame>(&message.payload)
            .map_err(|error| RemoteError::Protocol(format!("the answer cannot be read: {error}")));
        if let Ok(ResultFrame { answer: Answer::Progress { progress, text }, .. }) = &result {
            if let Some(call) = self.calls.get(&key) {
                call.progress.report(*progress, text.clone().unwrap_or_default());
            }
            return;
        }
        if let Some(call) = self.calls.remove(&key) {
            if !call.results.is_empty() && !self.calls.values().any(|other| other.results == call.results) {
                self.link.unsubscribe(&call.results);
            }
            let _ = call.done.send(result);
        }
    }

    fn show(&mut self, node: Id, sensor: Id, message: Incoming) {
        let frame = match serde_json::from_slice(&message.payload) {
            Ok(frame) => frame,
            Err(error) => return debug!(topic = %message.topic, %error, "Not a reading."),
        };
        let sighting = Sighting { node, sensor, frame };
        self.watches.retain(|watch| {
            if !matches(&watch.filter, &message.topic) {
                return !watch.sink.is_closed();
            }
            !matches!(watch.sink.try_send(Ok(sighting.clone())), Err(TrySendError::Closed(_)))
        });
    }

    fn gathered(&mut self, fence: u64) {
        let Some(gathering) = self.gatherings.remove(&fence) else { return };
        self.link.unsubscribe(&gathering.filter);
        let _ = gathering.done.send(Ok(gathering.found.into_values().collect()));
    }

    fn settle(&mut self) {
        let now = Instant::now();
        let settled = |(fence, g): (&u64, &Gathering)| g.quiet.is_some_and(|at| at <= now).then_some(*fence);
        let settled: Vec<u64> = self.gatherings.iter().filter_map(settled).collect();
        settled.into_iter().for_each(|fence| self.gathered(fence));
    }

    fn end(self, error: RemoteError) {
        // Whoever waits may have gone; a watch that is full ends without a word.
        for (_, gathering) in self.gatherings {
            let _ = gathering.done.send(Err(error.clone()));
        }
        for (_, Waiting { done, .. }) in self.calls {
            let _ = done.send(Err(error.clone()));
        }
        for watch in self.watches {
            let _ = watch.sink.try_send(Err(error.clone()));
        }
        for (_, sink) in self.followers {
            let _ = sink.try_send(Err(error.clone()));
        }
        for done in self.subscribing.into_iter().flatten() {
            let _ = done.send(Err(error.clone()));
        }
    }
}

fn busy() -> RemoteError {
    RemoteError::Protocol("too many requests at once".into())
}

/// The number of a fence of this client's; none where it is another's, or left there.
fn own_fence(client_id: &str, message: &Incoming) -> Option<u64> {
    let text = std::str::from_utf8(&message.payload).ok().filter(|_| !message.retain)?;
    text.strip_prefix(client_id)?.strip_prefix('-')?.parse().ok()
}

/// Whether a topic fits a filter of literal levels and `+`, with or without a `#` at its end.
fn matches(filter: &str, topic: &str) -> bool {
    if let Some(stem) = filter.strip_suffix("/#") {
        return topic.strip_prefix(stem).is_some_and(|rest| rest.starts_with('/'));
    }
    filter.split('/').count() == topic.split('/').count()
        && filter.split('/').zip(topic.split('/')).all(|(filter, level)| filter == "+" || filter == level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_of_another_client_or_a_retained_one_is_none() {
        let message = |payload: &str, retain| Incoming {
            topic: "fence".into(),
            payload: payload.into(),
            retain,
            response_topic: None,
            correlation: None,
            expiry: None,
            from: None,
        };
        assert_eq!(own_fence("cli-1", &message("cli-1-7", false)), Some(7));
        assert_eq!(own_fence("cli-1", &message("cli-1-7", true)), None);
        for payload in ["7", "cli-7", "cli-12-7", "cli-1", "cli-1-", "cli-1-x"] {
            assert_eq!(own_fence("cli-1", &message(payload, false)), None, "{payload}");
        }
    }

    #[test]
    fn a_filter_fits_level_by_level() {
        assert!(matches("a/+/tool/+", "a/b/tool/c"));
        assert!(matches("a/b/#", "a/b/tool/c") && !matches("a/b/#", "a/bc/tool"));
        for topic in ["a/b/tool", "a/b/tool/c/call", "b/b/tool/c", ""] {
            assert!(!matches("a/+/tool/+", topic), "{topic}");
        }
    }
}
