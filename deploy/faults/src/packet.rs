//! MQTT packets, as much as is needed to look into a connection and to break it: 3.1.1 and 5.
//!
//! ```
//! use sedge_faults::packet::{Packet, PUBACK};
//! let packet = Packet::puback(7);
//! assert_eq!((packet.kind(), packet.id()), (PUBACK, Some(7)));
//! assert_eq!(packet.bytes(), [0x40, 2, 0, 7]);
//! ```
//!
//! Written anew and not taken from the node's client: what both misread would look right. A packet that cannot be understood is
//! handed on as it is.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The kinds of packets that are looked at.
pub const CONNECT: u8 = 1;
/// The broker's answer to [`CONNECT`].
pub const CONNACK: u8 = 2;
/// A message.
pub const PUBLISH: u8 = 3;
/// The answer to a message.
pub const PUBACK: u8 = 4;
/// A subscription.
pub const SUBSCRIBE: u8 = 8;
/// The answer to a subscription.
pub const SUBACK: u8 = 9;

/// The largest packet that is read.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Kind and flags.
    pub head: u8,
    /// What stands behind the length.
    pub body: Vec<u8>,
}

/// A message, as it stands in a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Empty where the alias stands for it.
    pub topic: &'a str,
    /// None for QoS 0.
    pub id: Option<u16>,
    /// A number that stands for the topic from now on (MQTT 5).
    pub alias: Option<u16>,
    /// What it says.
    pub payload: &'a [u8],
}

impl Packet {
    /// Reads the next one; none at the end of the stream.
    ///
    /// # Errors
    /// The stream fails, ends within a packet, or carries no MQTT.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let Ok(head) = from.read_u8().await else { return Ok(None) };
        let mut length = 0_usize;
        for place in 0.. {
            let byte = from.read_u8().await?;
            length |= usize::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                break;
            }
            if place == 3 {
                return Err(io::Error::other("no MQTT: its length has more than four bytes"));
            }
        }
        if length > MOST_BYTES {
            return Err(io::Error::other(format!("a packet of {length} bytes")));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        Ok(Some(Self { head, body }))
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.head];
        let mut length = self.body.len();
        loop {
            let low = u8::try_from(length & 0x7F).unwrap_or(0);
            length >>= 7;
            bytes.push(if length > 0 { low | 0x80 } else { low });
            if length == 0 {
                break;
            }
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Which kind it is.
    pub fn kind(&self) -> u8 {
        self.head >> 4
    }

    /// Of a CONNECT: whether it is of MQTT 5.
    pub fn is_v5(&self) -> bool {
        self.body.get(6) == Some(&5)
    }

    /// Of a PUBACK or SUBACK: of which packet.
    pub fn id(&self) -> Option<u16> {
        matches!(self.kind(), PUBACK | SUBACK).then(|| word(&self.body, 0)).flatten()
    }

    /// Of a PUBACK: whether the broker took the message.
    pub fn is_taken(&self) -> bool {
        self.body.get(2).is_none_or(|reason| *reason < 0x80)
    }

    /// Of a PUBLISH: the message.
    pub fn publish(&self, v5: bool) -> Option<Publish<'_>> {
        let (topic, mut at) = text(&self.body, 0)?;
        let mut id = None;
        if self.head & 0b110 != 0 {
            id = Some(word(&self.body, at)?);
            at += 2;
        }
        let mut alias = None;
        if v5 {
            let (length, start) = varint(&self.body, at)?;
            at = start + length;
            alias = topic_alias(self.body.get(start..at)?);
        }
        Some(Publish { topic, id, alias, payload: self.body.get(at..)? })
    }

    /// Of a SUBSCRIBE: what is asked for.
    pub fn filters(&self, v5: bool) -> Vec<String> {
        let start = if v5 { varint(&self.body, 2).map(|(length, start)| start + length) } else { Some(2) };
        let mut filters = Vec::new();
        let mut at = start.unwrap_or(self.body.len());
        while let Some((filter, end)) = text(&self.body, at) {
            filters.push(filter.to_owned());
            at = end + 1;
        }
        filters
    }

    /// Connects with MQTT 3.1.1, without signs of life.
    pub fn connect(id: &str, clean: bool) -> Self {
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.extend([u8::from(clean) << 1, 0, 0]);
        push_text(&mut body, id);
        Self { head: CONNECT << 4, body }
    }

    /// Subscribes with QoS 1.
    pub fn subscribe(id: u16, filters: &[&str]) -> Self {
        let mut body = id.to_be_bytes().to_vec();
        for filter in filters {
            push_text(&mut body, filter);
            body.push(1);
        }
        Self { head: SUBSCRIBE << 4 | 0b10, body }
    }

    /// A message with QoS 1, of MQTT 3.1.1.
    pub fn message(id: u16, topic: &str, payload: &[u8], retain: bool) -> Self {
        let mut body = Vec::new();
        push_text(&mut body, topic);
        body.extend(id.to_be_bytes());
        body.extend_from_slice(payload);
        Self { head: PUBLISH << 4 | 0b10 | u8::from(retain), body }
    }

    /// The answer to a message.
    pub fn puback(id: u16) -> Self {
        Self { head: PUBACK << 4, body: id.to_be_bytes().to_vec() }
    }

    /// The end of a connection in good order.
    pub fn disconnect() -> Self {
        Self { head: 14 << 4, body: Vec::new() }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// A text and where it ends.
fn text(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let end = at + 2 + usize::from(word(bytes, at)?);
    Some((std::str::from_utf8(bytes.get(at + 2..end)?).ok()?, end))
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// A number and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0;
    for place in 0..4 {
        let byte = *bytes.get(at + place)?;
        value |= usize::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            return Some((value, at + place + 1));
        }
    }
    None
}

/// Looks through the properties of a PUBLISH (section 3.3.2.3 of MQTT 5).
fn topic_alias(properties: &[u8]) -> Option<u16> {
    let mut at = 0;
    loop {
        let key = *properties.get(at)?;
        at += 1;
        let of_text = |at: usize| Some(2 + usize::from(word(properties, at)?));
        at += match key {
            0x23 => return word(properties, at),
            0x01 => 1,
            0x02 => 4,
            0x0B => varint(properties, at)?.1 - at,
            0x26 => of_text(at)? + of_text(at + of_text(at)?)?,
            _ => of_text(at)?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn again(packet: &Packet) -> Packet {
        Packet::read(&mut &packet.bytes()[..]).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_read_again_whatever_its_length() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let packet = Packet::message(9, "a/b", &vec![7; length], true);
            let read = again(&packet).await;
            assert_eq!(read, packet);
            let publish = read.publish(false).unwrap();
            assert_eq!((publish.topic, publish.id, publish.payload.len()), ("a/b", Some(9), length));
        }
        assert_eq!(Packet::read(&mut &b""[..]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn half_a_packet_and_no_mqtt_are_errors() {
        let whole = Packet::message(9, "a/b", b"xyz", false).bytes();
        for end in 1..whole.len() {
            assert!(Packet::read(&mut &whole[..end]).await.is_err(), "{end}");
        }
        assert!(Packet::read(&mut &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1][..]).await.is_err());
    }

    #[test]
    fn the_alias_is_found_among_other_properties() {
        let mut body = b"\0\x01t\0\x09".to_vec();
        // Format 1, content type, user property, alias 5.
        let properties = b"\x01\x01\x03\0\x02js\x26\0\x01k\0\x02vv\x23\0\x05";
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend_from_slice(properties);
        body.extend_from_slice(b"{}");
        let packet = Packet { head: 0x32, body };
        let publish = packet.publish(true).unwrap();
        assert_eq!(
            (publish.topic, publish.id, publish.alias, publish.payload),
            ("t", Some(9), Some(5), &b"{}"[..])
        );
    }

    #[test]
    fn filters_are_read_of_both_versions() {
        let mut packet = Packet::subscribe(3, &["a/+", "b"]);
        assert_eq!(packet.filters(false), ["a/+", "b"]);
        packet.body.insert(2, 0);
        assert_eq!(packet.filters(true), ["a/+", "b"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(head: u8, body: Vec<u8>) {
            let packet = Packet { head, body };
            for v5 in [false, true] {
                let _ = (packet.publish(v5), packet.filters(v5), packet.id(), packet.is_taken(), packet.is_v5());
            }
        }
    }
}
