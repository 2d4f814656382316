//! The packets of MQTT 5 and 3.1.1 as bytes: as much of them as a client needs that publishes with QoS 0 or 1.
//!
//! Why our own: one code path for both versions, and a packet that is too large is read past instead of ending the
//! connection, which no library here does. Pure: no clock, no connection; fuzzed, and held against another codec.
//!
//! ```
//! use sedge_mqtt::packet::{Frame, Frames, Packet, Version};
//! let mut frames = Frames::new(1024);
//! frames.buffer().extend_from_slice(&[0x40, 0x02, 0x00, 0x07]);
//! let Ok(Some(Frame::Whole { first, body })) = frames.next() else { panic!() };
//! let packet = Packet::read(Version::V3, first, body);
//! assert_eq!(packet, Ok(Packet::PubAck { id: 7, code: 0 }));
//! ```
//!
//! Nothing here panics or takes memory beyond the largest packet, whatever the bytes.

mod frames;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use frames::{Frame, Frames};
pub use read::{ConnAck, Packet, Received};
pub use write::{Connect, Publish, connect, disconnect, ping, puback, publish, subscribe, unsubscribe};

/// Which MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize, schemars::JsonSchema)]
pub enum Version {
    /// 3.1.1.
    #[serde(rename = "3.1.1")]
    V3,
    /// 5.
    #[default]
    #[serde(rename = "5")]
    V5,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V3 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The length of a packet has more than four bytes.
    #[error("a packet's length cannot be read")]
    Length,
    /// It ends before it should.
    #[error("a packet ends too early")]
    Short,
    /// More follows than belongs to it.
    #[error("a packet is longer than what it says")]
    Long,
    /// Not one that a broker sends, or with flags that it may not have.
    #[error("a packet of the unknown kind {0:#04x}")]
    Kind(u8),
    /// A property that is not of MQTT 5.
    #[error("a packet has the unknown property {0:#04x}")]
    Property(u8),
    /// A message without a topic.
    #[error("a message has no topic")]
    Topic,
}

/// The kinds of packets, in the upper half of the first byte.
mod kind {
    pub(super) const CONNECT: u8 = 0x10;
    pub(super) const CONNACK: u8 = 0x20;
    pub(super) const PUBLISH: u8 = 0x30;
    pub(super) const PUBACK: u8 = 0x40;
    pub(super) const SUBSCRIBE: u8 = 0x82;
    pub(super) const SUBACK: u8 = 0x90;
    pub(super) const UNSUBSCRIBE: u8 = 0xa2;
    pub(super) const UNSUBACK: u8 = 0xb0;
    pub(super) const PINGREQ: u8 = 0xc0;
    pub(super) const PINGRESP: u8 = 0xd0;
    pub(super) const DISCONNECT: u8 = 0xe0;
}

/// The properties of MQTT 5 that are looked at or sent (section 2.2.2.2).
mod property {
    pub(super) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(super) const EXPIRY: u8 = 0x02;
    pub(super) const CONTENT_TYPE: u8 = 0x03;
    pub(super) const RESPONSE_TOPIC: u8 = 0x08;
    pub(super) const CORRELATION: u8 = 0x09;
    pub(super) const SESSION_EXPIRY: u8 = 0x11;
    pub(super) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(super) const REASON: u8 = 0x1f;
    pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(super) const ALIAS_MAXIMUM: u8 = 0x22;
    pub(super) const ALIAS: u8 = 0x23;
    pub(super) const USER: u8 = 0x26;
    pub(super) const MAXIMUM_PACKET: u8 = 0x27;
}
