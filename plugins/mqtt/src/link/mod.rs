//! One connection to a broker, from its first packet to its end: MQTT 5 and 3.1.1 through the same lines, over TCP,
//! TLS and websockets.
//!
//! ```text
//! Link ── first ──> connecting (a future)  ── then ──> Open ── owns ──> Stream (TCP, TLS, websocket)
//!                                                       └── owns ──> Session (what is under way; no I/O)
//! ```
//!
//! A link never connects again: it ends, whoever owns it keeps what was not acknowledged, and opens a new one.
//!
//! - A publish is handed over with a token, and the token comes back with the acknowledgement of that very packet;
//!   with QoS 0, when it was written.
//! - [`Link::next`] may be cancelled at any moment. It is also what sends: all that was handed over since it ran last
//!   goes out in one write.
//! - A message of the broker's is acknowledged once it was given to the caller. One that is too large is read past: who
//!   can retain a message must not be able to keep a node off its broker.
//! - What 3.1.1 does not know (expiry, response topics, reasons) is left out there.

mod alias;
mod connect;
#[cfg(test)]
mod measure;
mod open;
mod reasons;
mod session;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod websocket;

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use crate::packet::{Received, Version};
use crate::settings::Broker;
use crate::wire::Encoding;
use open::Open;
pub(crate) use tls::TlsFiles;

/// The largest packet in either direction.
pub(crate) const MAX_PACKET_BYTES: usize = 256 * 1024;

/// Publishes that may wait for their acknowledgement.
pub(crate) const WINDOW: usize = 100;

/// How to connect.
#[derive(Debug, Clone)]
pub(crate) struct LinkOptions {
    pub(crate) broker: Broker,
    pub(crate) tls: TlsFiles,
    /// The version to begin with; a broker that knows only 3.1.1 is spoken to in that.
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) login: Option<(String, sedge_plugin::Secret)>,
    pub(crate) keep_alive: Duration,
    /// Messages of the broker's that may wait for us.
    pub(crate) receive_maximum: u16,
    /// How long the broker keeps what it could not deliver; none begins and ends with nothing kept, as 3.1.1 always
    /// does: what is kept there never expires, and a call must not run hours later.
    pub(crate) session: Option<Duration>,
    /// Topic and payload of the will: retained.
    pub(crate) will: Option<(String, &'static str)>,
    /// How payloads are written under a base; those elsewhere (Home Assistant's) are JSON.
    pub(crate) encoding: (Encoding, String),
}

/// How surely a message is to arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Qos {
    /// Sent, and forgotten.
    AtMostOnce,
    /// Sent until it is acknowledged.
    #[default]
    AtLeastOnce,
}

/// JSON, as a content type.
pub(crate) const JSON: Option<&str> = Some("application/json");

/// What is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
    pub(crate) qos: Qos,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Vec<u8>>,
    pub(crate) expiry: Option<Duration>,
}

impl Message {
    /// At most this many bytes as a packet.
    pub(crate) fn size(&self) -> usize {
        let optional = self.response_topic.as_ref().map_or(0, String::len)
            + self.correlation.as_ref().map_or(0, Vec::len)
            + self.content_type.map_or(0, str::len).saturating_sub(16);
        // Fixed header, packet id, lengths, content type, expiry, format, alias.
        64 + self.topic.len() + self.payload.len() + optional
    }
}

/// What came from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Vec<u8>>,
    pub(crate) expiry: Option<Duration>,
    /// The user property `from`.
    pub(crate) from: Option<String>,
}

impl From<Received> for Incoming {
    fn from(message: Received) -> Self {
        let Received { topic, payload, retain, response_topic, correlation, expiry, from, id: _ } = message;
        Self { topic, payload, retain, response_topic, correlation, expiry, from }
    }
}

/// What the broker made of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// It has it; with QoS 0: it was sent.
    Taken,
    /// It has it, and nobody is subscribed.
    NobodyListens,
    /// It will not have it.
    Refused(&'static str),
}

/// What happens on a link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Connected.
    Up(Limits),
    /// A subscription was answered: whether all of it was granted.
    Subscribed(bool),
    /// The publish with this token was answered.
    Answered(u64, Ack),
    /// A message.
    Message(Incoming),
    /// Our DISCONNECT has gone.
    Parted,
    /// The end. Nothing follows.
    Down(Fault),
}

/// What the broker allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) version: Version,
    pub(crate) window: usize,
    pub(crate) max_packet_bytes: usize,
}

/// Why a link ended or never began.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Nobody answers there.
    #[error("{0}")]
    Unreachable(String),
    /// There was a connection; it is gone.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Somebody answers, and cannot be trusted, or does not trust us.
    #[error("{0}")]
    Tls(String),
    /// The login was refused.
    #[error(
        "the broker refused the login ({0}); check the user name, the password and what the broker allows them"
    )]
    Login(&'static str),
    /// Another client with our id came.
    #[error("another client connected as `{0}`; does another node have the same id?")]
    TakenOver(String),
    /// Each connection ends soon after it began.
    #[error("connected as `{id}` and cut off again {times} times; does another node have the same id?")]
    Unsteady { id: String, times: u32 },
    /// The broker does not speak as it should, or refuses to speak with us.
    #[error("{0}")]
    Protocol(String),
}

enum Phase {
    Connecting(Pin<Box<dyn Future<Output = Result<Open, Fault>> + Send>>),
    Open(Box<Open>),
    Over,
}

/// A connection. Dropping it cuts it.
pub(crate) struct Link {
    phase: Phase,
    encoding: (Encoding, String),
    /// What happened and was not yet asked for.
    ready: VecDeque<LinkEvent>,
}

impl Link {
    /// Begins to connect.
    pub(crate) fn open(options: &LinkOptions) -> Self {
        let connecting = Box::pin(connect::connect(options.clone()));
        let encoding = options.encoding.clone();
        Self { phase: Phase::Connecting(connecting), encoding, ready: VecDeque::new() }
    }

    /// What happens next. May be cancelled. For ever silent after [`LinkEvent::Down`].
    pub(crate) async fn next(&mut self) -> LinkEvent {
        loop {
            if let Some(event) = self.ready() {
                return event;
            }
            match &mut self.phase {
                Phase::Connecting(connecting) => match connecting.await {
                    Ok(open) => {
                        self.ready.push_back(LinkEvent::Up(open.limits()));
                        self.phase = Phase::Open(Box::new(open));
                    }
                    Err(fault) => self.end(fault),
                },
                Phase::Open(open) => match open.step(&mut self.ready).await {
                    Ok(()) => {}
                    Err(fault) => self.end(fault),
                },
                Phase::Over => return std::future::pending().await,
            }
        }
    }

    /// What has happened already.
    pub(crate) fn ready(&mut self) -> Option<LinkEvent> {
        Some(match self.ready.pop_front()? {
            LinkEvent::Message(message) => {
                let payload = self.of(&message.topic).read(message.payload);
                LinkEvent::Message(Incoming { payload, ..message })
            }
            event => event,
        })
    }

    fn end(&mut self, fault: Fault) {
        self.phase = Phase::Over;
        self.ready.push_back(LinkEvent::Down(fault));
    }

    /// Hands a publish over. False when it was not taken: there is no connection, or too much waits to be written.
    pub(crate) fn publish(&mut self, token: u64, message: Message) -> bool {
        let encoding = self.of(&message.topic);
        let Phase::Open(open) = &mut self.phase else { return false };
        if !open.session.has_room() {
            return false;
        }
        let message = match message.content_type {
            JSON => Message {
                payload: encoding.written(message.payload),
                content_type: encoding.content_type(),
                ..message
            },
            _ => message,
        };
        open.session.publish(token, &message)
    }

    /// How what stands at a topic is written.
    fn of(&self, topic: &str) -> Encoding {
        let (encoding, base) = &self.encoding;
        let is_ours = || topic.strip_prefix(base.as_str()).is_some_and(|under| under.starts_with('/'));
        if *encoding != Encoding::Json && is_ours() { *encoding } else { Encoding::Json }
    }

    /// Whether a publish would be taken.
    pub(crate) fn has_room(&self) -> bool {
        matches!(&self.phase, Phase::Open(open) if open.session.has_room())
    }

    /// Subscribes. A retained message keeps its mark however it arrives (with 3.1.1: only where it was retained before).
    pub(crate) fn subscribe(&mut self, filter: &str) -> bool {
        self.subscribe_as(filter, true)
    }

    /// Subscribes to what is retained: that has its mark, and what is published from now on has none.
    pub(crate) fn subscribe_retained(&mut self, filter: &str) -> bool {
        self.subscribe_as(filter, false)
    }

    fn subscribe_as(&mut self, filter: &str, as_published: bool) -> bool {
        let Phase::Open(open) = &mut self.phase else { return false };
        open.session.subscribe(filter, as_published)
    }

    /// Unsubscribes.
    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        // Without room the broker goes on sending what nobody asks for; the link is short-lived.
        if let Phase::Open(open) = &mut self.phase {
            open.session.unsubscribe(filter);
        }
    }

    /// Parts in good order: no will.
    pub(crate) fn part(&mut self) -> bool {
        let Phase::Open(open) = &mut self.phase else { return false };
        open.part();
        true
    }
}
