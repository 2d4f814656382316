//! What a broker sends, understood.

use std::time::Duration;

use super::{Malformed, Version, kind, property};

/// What a broker sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Its answer to our CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Received),
    /// It has answered for a message of ours.
    PubAck {
        /// Which one.
        id: u16,
        /// Why not, from 0x80 on.
        code: u8,
    },
    /// What became of a subscription.
    SubAck {
        /// Which one.
        id: u16,
        /// Of each filter; not granted from 0x80 on.
        codes: Vec<u8>,
    },
    /// A subscription has ended.
    UnsubAck,
    /// It is there.
    Pong,
    /// It parts (MQTT 5).
    Disconnect {
        /// Why.
        code: u8,
        /// In its own words.
        reason: Option<String>,
    },
}

/// An answer to a CONNECT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether it has a session of ours.
    pub session: bool,
    /// 0, or why not: what that means depends on the version.
    pub code: u8,
    /// Messages that may wait for its acknowledgement.
    pub receive_maximum: Option<u16>,
    /// The largest packet that it takes.
    pub maximum_packet: Option<u32>,
    /// Topic aliases that it keeps for us.
    pub alias_maximum: u16,
    /// How often it wants a sign of life, in seconds.
    pub keep_alive: Option<u16>,
    /// In its own words.
    pub reason: Option<String>,
}

/// A message that came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// The topic; what is no UTF-8 in it is replaced.
    pub topic: String,
    /// What to acknowledge; none with QoS 0.
    pub id: Option<u16>,
    /// Whether the broker had kept it.
    pub retain: bool,
    /// What it says.
    pub payload: Vec<u8>,
    /// Where to answer.
    pub response_topic: Option<String>,
    /// What to send back with the answer.
    pub correlation: Option<Vec<u8>>,
    /// How much longer it counts.
    pub expiry: Option<Duration>,
    /// The user property `from`.
    pub from: Option<String>,
}

impl Packet {
    /// Understands the body of a packet.
    ///
    /// # Errors
    /// What is wrong with it; nothing that comes after it can be trusted then.
    pub fn read(version: Version, first: u8, body: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Bytes(body);
        let v5 = version == Version::V5;
        let packet = match first {
            kind::CONNACK => Self::ConnAck(connack(&mut bytes, v5)?),
            first if first & 0xf0 == kind::PUBLISH && first & 0x06 <= 0x02 => {
                Self::Publish(publish(&mut bytes, first, v5)?)
            }
            kind::PUBACK => {
                let id = bytes.number()?;
                // Without a code it stands for success.
                let code = if bytes.is_empty() { 0 } else { bytes.byte()? };
                if v5 && !bytes.is_empty() {
                    properties(&mut bytes, |_, _| {})?;
                }
                Self::PubAck { id, code }
            }
            kind::SUBACK => {
                let id = bytes.number()?;
                if v5 {
                    properties(&mut bytes, |_, _| {})?;
                }
                Self::SubAck { id, codes: bytes.rest().to_vec() }
            }
            kind::UNSUBACK => {
                bytes.number()?;
                bytes.rest();
                Self::UnsubAck
            }
            kind::PINGRESP => Self::Pong,
            // 3.1.1 knows none from a broker; one that knows both versions sends it all the same.
            kind::DISCONNECT => {
                let code = if bytes.is_empty() { 0 } else { bytes.byte()? };
                let mut reason = None;
                if !bytes.is_empty() {
                    properties(&mut bytes, |id, value| {
                        if id == property::REASON {
                            reason = Some(value.text());
                        }
                    })?;
                }
                Self::Disconnect { code, reason }
            }
            first => return Err(Malformed::Kind(first)),
        };
        if bytes.is_empty() { Ok(packet) } else { Err(Malformed::Long) }
    }
}

fn connack(bytes: &mut Bytes<'_>, v5: bool) -> Result<ConnAck, Malformed> {
    let mut ack = ConnAck { session: bytes.byte()? & 1 == 1, code: bytes.byte()?, ..ConnAck::default() };
    // A broker that does not know version 5 answers as an older one does.
    if v5 && !bytes.is_empty() {
        properties(bytes, |id, value| match id {
            property::RECEIVE_MAXIMUM => ack.receive_maximum = Some(value.short()),
            property::MAXIMUM_PACKET => ack.maximum_packet = Some(value.number()),
            property::ALIAS_MAXIMUM => ack.alias_maximum = value.short(),
            property::SERVER_KEEP_ALIVE => ack.keep_alive = Some(value.short()),
            property::REASON => ack.reason = Some(value.text()),
            _ => {}
        })?;
    }
    Ok(ack)
}

fn publish(bytes: &mut Bytes<'_>, first: u8, v5: bool) -> Result<Received, Malformed> {
    let topic = String::from_utf8_lossy(bytes.sized()?).into_owned();
    // Aliases are not allowed to the broker, so each message has its topic.
    if topic.is_empty() {
        return Err(Malformed::Topic);
    }
    let id = if first & 0x06 == 0 { None } else { Some(bytes.number()?) };
    let mut message = Received { topic, id, retain: first & 1 == 1, ..Received::default() };
    if v5 {
        properties(bytes, |id, value| match id {
            property::RESPONSE_TOPIC => message.response_topic = Some(value.text()),
            property::CORRELATION => message.correlation = Some(value.bytes().to_vec()),
            property::EXPIRY => message.expiry = Some(Duration::from_secs(value.number().into())),
            property::USER if value.bytes() == b"from" && message.from.is_none() => {
                message.from = Some(value.second());
            }
            _ => {}
        })?;
    }
    message.payload = bytes.rest().to_vec();
    Ok(message)
}

/// The value of a property.
enum Value<'a> {
    Number(u32),
    Bytes(&'a [u8]),
    Pair(&'a [u8], &'a [u8]),
}

impl Value<'_> {
    fn number(&self) -> u32 {
        if let Self::Number(number) = self { *number } else { 0 }
    }

    fn short(&self) -> u16 {
        u16::try_from(self.number()).unwrap_or(u16::MAX)
    }

    /// Of a pair the key.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Number(_) => &[],
            Self::Bytes(bytes) | Self::Pair(bytes, _) => bytes,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    fn second(&self) -> String {
        if let Self::Pair(_, value) = self {
            String::from_utf8_lossy(value).into_owned()
        } else {
            String::new()
        }
    }
}

/// Tells of each property of a packet.
fn properties<'a>(bytes: &mut Bytes<'a>, mut tell: impl FnMut(u8, Value<'a>)) -> Result<(), Malformed> {
    let length = bytes.variable()?;
    let mut bytes = Bytes(bytes.take(length as usize)?);
    while !bytes.is_empty() {
        let id = bytes.byte()?;
        let value = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Value::Number(bytes.byte()?.into()),
            0x13 | 0x21 | 0x22 | 0x23 => Value::Number(bytes.number()?.into()),
            0x02 | 0x11 | 0x18 | 0x27 => {
                let (high, low) = (bytes.number()?, bytes.number()?);
                Value::Number(u32::from(high) << 16 | u32::from(low))
            }
            0x0b => Value::Number(bytes.variable()?),
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => Value::Bytes(bytes.sized()?),
            0x26 => Value::Pair(bytes.sized()?, bytes.sized()?),
            unknown => return Err(Malformed::Property(unknown)),
        };
        tell(id, value);
    }
    Ok(())
}

/// What is left of a packet.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// What has its length in front.
    fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// A number of one to four bytes.
    fn variable(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Length)
    }
}
