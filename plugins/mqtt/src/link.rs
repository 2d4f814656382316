//! One connection to a broker, from its first packet to its end, in our own words.
//!
//! This is the only file that knows the client library (rumqttc, MQTT 5); another one is put in here. Why a layer:
//! rumqttc forgets what was handed to it when the broker comes back without a session. So a link never connects
//! again: it ends, whoever owns it keeps what was not acknowledged, and opens a new one.
//!
//! - A publish is handed over with a token, and the token comes back with the acknowledgement of that very packet:
//!   rumqttc tells the packet ids in the order in which it took the publishes.
//! - [`Link::next`] may be cancelled: rumqttc's `poll` may not, so its future is kept in the link.
//! - Topic aliases stay off: with them rumqttc reports an empty topic.
//! - Why a broker parts is mostly lost: rumqttc reads no DISCONNECT that has a reason and no properties, which is what
//!   brokers send. [`Driver`](crate::connection::Driver) draws its own conclusions.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, Packet, PubAckReason, Publish,
    PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event as Raw, EventLoop, MqttOptions, StateError};

/// The largest packet in either direction.
pub(crate) const MAX_PACKET_BYTES: usize = 256 * 1024;

/// Publishes that may wait for their acknowledgement.
pub(crate) const WINDOW: usize = 50;

/// Messages of the broker's that may wait for ours.
const RECEIVE_MAXIMUM: u16 = 32;

/// Requests besides publishes that may wait to be sent.
const SPARE: usize = 16;

const CONNECT_TIMEOUT_S: u64 = 5;

/// How to connect.
#[derive(Clone)]
pub(crate) struct LinkOptions {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) client_id: String,
    pub(crate) login: Option<(String, String)>,
    pub(crate) keep_alive: Duration,
    /// How long the broker keeps what it could not deliver; none begins and ends with nothing kept.
    pub(crate) session: Option<Duration>,
    /// Topic and payload of the will: retained.
    pub(crate) will: Option<(String, &'static str)>,
}

/// What is published, always with QoS 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
    pub(crate) json: bool,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Vec<u8>>,
    pub(crate) expiry: Option<Duration>,
}

impl Message {
    /// At most this many bytes as a packet.
    pub(crate) fn size(&self) -> usize {
        let optional = self.response_topic.as_ref().map_or(0, String::len)
            + self.correlation.as_ref().map_or(0, Vec::len);
        // Fixed header, packet id, lengths, content type, expiry, format.
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

/// What the broker made of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// It has it.
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
    /// Our DISCONNECT is on its way.
    Parted,
    /// The end. Nothing follows.
    Down(Fault),
}

/// What the broker allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
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

type Step = Pin<Box<dyn Future<Output = (Box<EventLoop>, Result<Raw, ConnectionError>)> + Send>>;

/// A connection. Dropping it cuts it.
pub(crate) struct Link {
    client: AsyncClient,
    client_id: String,
    /// The library's step under way; none after the end.
    step: Option<Step>,
    /// What happened and was not yet asked for.
    ready: VecDeque<LinkEvent>,
    up: bool,
    /// Handed over, and without a packet id yet.
    handed: VecDeque<u64>,
    /// On its way, by packet id.
    flying: HashMap<u16, u64>,
}

impl Link {
    /// Begins to connect.
    pub(crate) fn open(options: &LinkOptions) -> Self {
        let (client, eventloop) = AsyncClient::new(library_options(options), WINDOW + SPARE);
        Self {
            client,
            client_id: options.client_id.clone(),
            step: Some(Box::pin(poll(Box::new(eventloop)))),
            ready: VecDeque::new(),
            up: false,
            handed: VecDeque::new(),
            flying: HashMap::new(),
        }
    }

    /// What happens next. May be cancelled. For ever silent after [`LinkEvent::Down`].
    pub(crate) async fn next(&mut self) -> LinkEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            let Some(step) = self.step.as_mut() else { return std::future::pending().await };
            let (mut eventloop, outcome) = step.await;
            match outcome {
                Ok(raw) => {
                    self.step = Some(Box::pin(poll(eventloop)));
                    self.take(raw);
                }
                Err(error) => {
                    self.step = None;
                    // What was read before the end counts: acknowledgements, and messages that the library has
                    // acknowledged in our name.
                    std::mem::take(&mut eventloop.state.events).into_iter().for_each(|raw| self.take(raw));
                    self.ready.push_back(LinkEvent::Down(self.fault(error)));
                }
            }
        }
    }

    /// Hands a publish over. False when it was not taken.
    pub(crate) fn publish(&mut self, token: u64, message: Message) -> bool {
        let properties = PublishProperties {
            payload_format_indicator: message.json.then_some(1),
            message_expiry_interval: message
                .expiry
                .map(|e| u32::try_from(e.as_secs().max(1)).unwrap_or(u32::MAX)),
            response_topic: message.response_topic,
            correlation_data: message.correlation.map(Into::into),
            content_type: message.json.then(|| "application/json".into()),
            ..PublishProperties::default()
        };
        let (topic, payload) = (message.topic, message.payload);
        let qos = QoS::AtLeastOnce;
        let sent = self.client.try_publish_with_properties(topic, qos, message.retain, payload, properties);
        if sent.is_ok() {
            self.handed.push_back(token);
        }
        sent.is_ok()
    }

    /// Subscribes. A retained message keeps its mark however it arrives.
    pub(crate) fn subscribe(&mut self, filter: &str) -> bool {
        let filter = Filter { preserve_retain: true, ..Filter::new(filter, QoS::AtLeastOnce) };
        self.client.try_subscribe_many([filter]).is_ok()
    }

    /// Subscribes to what is retained: that has its mark, and what is published from now on has none.
    pub(crate) fn subscribe_retained(&mut self, filter: &str) -> bool {
        self.client.try_subscribe_many([Filter::new(filter, QoS::AtLeastOnce)]).is_ok()
    }

    /// Unsubscribes.
    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        // Without room the broker goes on sending what nobody asks for; the link is short-lived.
        let _ = self.client.try_unsubscribe(filter);
    }

    /// Parts in good order: no will.
    pub(crate) fn part(&mut self) -> bool {
        self.client.try_disconnect().is_ok()
    }

    fn take(&mut self, raw: Raw) {
        let event = match raw {
            Raw::Outgoing(Outgoing::Publish(packet)) => {
                if let Some(token) = self.handed.pop_front() {
                    self.flying.insert(packet, token);
                }
                return;
            }
            Raw::Outgoing(Outgoing::Disconnect) => LinkEvent::Parted,
            Raw::Incoming(Packet::ConnAck(ack)) => {
                self.up = true;
                let properties = ack.properties.as_ref();
                let window =
                    properties.and_then(|p| p.receive_max).map_or(WINDOW, usize::from).clamp(1, WINDOW);
                let theirs = properties.and_then(|p| p.max_packet_size).and_then(|n| usize::try_from(n).ok());
                LinkEvent::Up(Limits {
                    window,
                    max_packet_bytes: theirs.unwrap_or(usize::MAX).min(MAX_PACKET_BYTES),
                })
            }
            Raw::Incoming(Packet::PubAck(ack)) => match self.flying.remove(&ack.pkid) {
                Some(token) => LinkEvent::Answered(token, answer(ack.reason)),
                None => return,
            },
            Raw::Incoming(Packet::SubAck(ack)) => LinkEvent::Subscribed(
                ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))),
            ),
            Raw::Incoming(Packet::Publish(publish)) => match incoming(publish) {
                Some(message) => LinkEvent::Message(message),
                None => return,
            },
            _ => return,
        };
        self.ready.push_back(event);
    }

    fn fault(&self, error: ConnectionError) -> Fault {
        match error {
            ConnectionError::ConnectionRefused(code) => match code {
                ConnectReturnCode::BadUserNamePassword => Fault::Login("bad user name or password"),
                ConnectReturnCode::NotAuthorized => Fault::Login("not authorized"),
                ConnectReturnCode::Banned => Fault::Login("banned"),
                code => Fault::Protocol(format!("the broker refused the connection: {code:?}")),
            },
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
                match reason_code {
                    DisconnectReasonCode::SessionTakenOver => Fault::TakenOver(self.client_id.clone()),
                    DisconnectReasonCode::NotAuthorized => Fault::Login("not authorized"),
                    code => Fault::Lost(format!(
                        "the broker said {}",
                        reason_string.unwrap_or_else(|| format!("{code:?}"))
                    )),
                }
            }
            ConnectionError::Timeout(_) => {
                Fault::Unreachable(format!("no answer within {CONNECT_TIMEOUT_S} s"))
            }
            ConnectionError::Io(error) if !self.up => Fault::Unreachable(error.to_string()),
            ConnectionError::MqttState(StateError::AwaitPingResp) => Fault::Lost("no sign of life".into()),
            ConnectionError::MqttState(error) if self.up => Fault::Lost(error.to_string()),
            error if self.up => Fault::Lost(error.to_string()),
            error => Fault::Protocol(format!("no MQTT 5 broker answers there: {error}")),
        }
    }
}

async fn poll(mut eventloop: Box<EventLoop>) -> (Box<EventLoop>, Result<Raw, ConnectionError>) {
    let outcome = eventloop.poll().await;
    (eventloop, outcome)
}

fn library_options(options: &LinkOptions) -> MqttOptions {
    // The library joins host and port with a colon.
    let host = match &options.host {
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.clone(),
    };
    let mut library = MqttOptions::new(options.client_id.as_str(), host, options.port);
    library.set_keep_alive(options.keep_alive.max(Duration::from_secs(5)));
    library.set_connection_timeout(CONNECT_TIMEOUT_S);
    library.set_outgoing_inflight_upper_limit(u16::try_from(WINDOW).unwrap_or(u16::MAX));
    library.set_max_packet_size(u32::try_from(MAX_PACKET_BYTES).ok());
    library.set_receive_maximum(Some(RECEIVE_MAXIMUM));
    library.set_clean_start(options.session.is_none());
    if let Some(session) = options.session {
        library.set_session_expiry_interval(u32::try_from(session.as_secs()).ok());
    }
    if let Some((user, password)) = &options.login {
        library.set_credentials(user, password);
    }
    if let Some((topic, payload)) = &options.will {
        library.set_last_will(LastWill::new(topic, *payload, QoS::AtLeastOnce, true, None));
    }
    let mut network = library.network_options();
    network.set_tcp_nodelay(true);
    library.set_network_options(network);
    library
}

fn answer(reason: PubAckReason) -> Ack {
    match reason {
        PubAckReason::Success => Ack::Taken,
        PubAckReason::NoMatchingSubscribers => Ack::NobodyListens,
        PubAckReason::NotAuthorized => Ack::Refused("not authorized"),
        PubAckReason::QuotaExceeded => Ack::Refused("quota exceeded"),
        PubAckReason::TopicNameInvalid => Ack::Refused("topic name invalid"),
        PubAckReason::PayloadFormatInvalid => Ack::Refused("payload format invalid"),
        _ => Ack::Refused("the broker gave no reason"),
    }
}

fn incoming(publish: Publish) -> Option<Incoming> {
    let properties = publish.properties.unwrap_or_default();
    let from = properties.user_properties.into_iter().find(|(key, _)| key == "from").map(|(_, value)| value);
    Some(Incoming {
        topic: std::str::from_utf8(&publish.topic).ok()?.into(),
        payload: publish.payload.to_vec(),
        retain: publish.retain,
        response_topic: properties.response_topic,
        correlation: properties.correlation_data.map(|data| data.to_vec()),
        expiry: properties.message_expiry_interval.map(|s| Duration::from_secs(s.into())),
        from,
    })
}
