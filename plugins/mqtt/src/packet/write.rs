//! What a client sends.
//!
//! What MQTT 3.1.1 does not know is left out there. A text beyond the 65,535 bytes that MQTT allows is cut: whoever
//! hands it over has checked it.

use std::time::Duration;

use super::{Version, kind, property};

/// A CONNECT.
#[derive(Debug, Clone, Default)]
pub struct Connect<'a> {
    /// Who we are.
    pub client_id: &'a str,
    /// User and password.
    pub login: Option<(&'a str, &'a [u8])>,
    /// How often we give a sign of life.
    pub keep_alive: Duration,
    /// Whether to begin with nothing kept.
    pub clean: bool,
    /// How long the broker keeps what it could not deliver (MQTT 5).
    pub session: Duration,
    /// Messages that may wait for our acknowledgement (MQTT 5).
    pub receive_maximum: u16,
    /// The largest packet that we take (MQTT 5).
    pub maximum_packet: u32,
    /// Topic and payload of the last will: retained, with QoS 1.
    pub will: Option<(&'a str, &'a [u8])>,
}

/// A PUBLISH.
#[derive(Debug, Clone, Default)]
pub struct Publish<'a> {
    /// Its topic; empty where the alias is known.
    pub topic: &'a str,
    /// What says the same as the topic from now on.
    pub alias: Option<u16>,
    /// What it is acknowledged by; none: QoS 0.
    pub id: Option<u16>,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// What it says.
    pub payload: &'a [u8],
    /// What kind of text the payload is.
    pub content_type: Option<&'a str>,
    /// Where to answer.
    pub response_topic: Option<&'a str>,
    /// What to send back with the answer.
    pub correlation: Option<&'a [u8]>,
    /// How long it counts.
    pub expiry: Option<Duration>,
}

/// Appends a CONNECT.
pub fn connect(out: &mut Vec<u8>, version: Version, connect: &Connect<'_>) {
    let mut body = Vec::with_capacity(128);
    sized(&mut body, b"MQTT");
    body.push(if version == Version::V5 { 5 } else { 4 });
    let will = if connect.will.is_some() { 0x04 | 0x08 | 0x20 } else { 0 };
    let login = if connect.login.is_some() { 0x80 | 0x40 } else { 0 };
    body.push(will | login | u8::from(connect.clean) << 1);
    short(&mut body, u16::try_from(connect.keep_alive.as_secs()).unwrap_or(u16::MAX));
    if version == Version::V5 {
        let mut properties = Vec::with_capacity(16);
        long(&mut properties, property::SESSION_EXPIRY, seconds(connect.session));
        properties.push(property::RECEIVE_MAXIMUM);
        short(&mut properties, connect.receive_maximum.max(1));
        long(&mut properties, property::MAXIMUM_PACKET, connect.maximum_packet.max(1));
        variable(&mut body, properties.len());
        body.extend_from_slice(&properties);
    }
    sized(&mut body, connect.client_id.as_bytes());
    if let Some((topic, payload)) = connect.will {
        if version == Version::V5 {
            body.push(0);
        }
        sized(&mut body, topic.as_bytes());
        sized(&mut body, payload);
    }
    if let Some((user, password)) = connect.login {
        sized(&mut body, user.as_bytes());
        sized(&mut body, password);
    }
    head(out, kind::CONNECT, body.len());
    out.extend_from_slice(&body);
}

/// Appends a PUBLISH.
pub fn publish(out: &mut Vec<u8>, version: Version, publish: &Publish<'_>) {
    let mut properties = Vec::new();
    if version == Version::V5 {
        write_properties(&mut properties, publish);
    }
    let topic = &publish.topic.as_bytes()[..publish.topic.len().min(usize::from(u16::MAX))];
    let mut length = 2 + topic.len() + publish.payload.len();
    length += if publish.id.is_some() { 2 } else { 0 };
    length += if version == Version::V5 { width(properties.len()) + properties.len() } else { 0 };
    let qos = if publish.id.is_some() { 0x02 } else { 0 };
    out.reserve(length + 5);
    head(out, kind::PUBLISH | qos | u8::from(publish.retain), length);
    sized(out, topic);
    if let Some(id) = publish.id {
        short(out, id);
    }
    if version == Version::V5 {
        variable(out, properties.len());
        out.extend_from_slice(&properties);
    }
    out.extend_from_slice(publish.payload);
}

fn write_properties(out: &mut Vec<u8>, publish: &Publish<'_>) {
    let mut text = |id, value: Option<&[u8]>| {
        if let Some(value) = value {
            out.push(id);
            sized(out, value);
        }
    };
    text(property::CONTENT_TYPE, publish.content_type.map(str::as_bytes));
    text(property::RESPONSE_TOPIC, publish.response_topic.map(str::as_bytes));
    text(property::CORRELATION, publish.correlation);
    if publish.content_type == Some("application/json") {
        out.extend_from_slice(&[property::PAYLOAD_FORMAT, 1]);
    }
    if let Some(expiry) = publish.expiry {
        long(out, property::EXPIRY, seconds(expiry).max(1));
    }
    if let Some(alias) = publish.alias {
        out.push(property::ALIAS);
        short(out, alias);
    }
}

/// Appends a PUBACK.
pub fn puback(out: &mut Vec<u8>, id: u16) {
    head(out, kind::PUBACK, 2);
    short(out, id);
}

/// Appends a SUBSCRIBE. With `as_published` a message keeps its mark of being retained (MQTT 5).
///
/// With QoS 1 on MQTT 5. On 3.1.1 every session of ours ends with its connection, so that an acknowledgement would
/// save nothing; to clusters that speak only that version it is a queue on their disks, made anew with every connection.
/// RabbitMQ 3.10 cuts the connection where the member that has that queue is down, and NATS refuses while it chooses a leader.
pub fn subscribe(out: &mut Vec<u8>, version: Version, id: u16, filter: &str, as_published: bool) {
    let retained = if version == Version::V5 && as_published { 0x08 } else { 0 };
    let qos = u8::from(version == Version::V5);
    request(out, version, kind::SUBSCRIBE, id, filter, Some(qos | retained));
}

/// Appends an UNSUBSCRIBE.
pub fn unsubscribe(out: &mut Vec<u8>, version: Version, id: u16, filter: &str) {
    request(out, version, kind::UNSUBSCRIBE, id, filter, None);
}

fn request(out: &mut Vec<u8>, version: Version, kind: u8, id: u16, filter: &str, options: Option<u8>) {
    let v5 = usize::from(version == Version::V5);
    let filter = &filter.as_bytes()[..filter.len().min(usize::from(u16::MAX))];
    head(out, kind, 2 + v5 + 2 + filter.len() + usize::from(options.is_some()));
    short(out, id);
    if v5 == 1 {
        out.push(0);
    }
    sized(out, filter);
    out.extend(options);
}

/// Appends a PINGREQ.
pub fn ping(out: &mut Vec<u8>) {
    head(out, kind::PINGREQ, 0);
}

/// Appends a DISCONNECT: no will.
pub fn disconnect(out: &mut Vec<u8>) {
    head(out, kind::DISCONNECT, 0);
}

fn head(out: &mut Vec<u8>, first: u8, length: usize) {
    out.push(first);
    variable(out, length);
}

fn variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn width(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn short(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn long(out: &mut Vec<u8>, property: u8, value: u32) {
    out.push(property);
    out.extend_from_slice(&value.to_be_bytes());
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    short(out, length);
    out.extend_from_slice(&bytes[..length.into()]);
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
