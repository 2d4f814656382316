//! The words of the wire: topics and JSON payloads, written by a node and read by everyone else.
//!
//! The bridge writes them, the command line reads them, and the golden files under `tests/golden` show each one.
//!
//! ```
//! use sedge_mqtt::wire::{Base, Place};
//! let base = Base::new("sedge/v1").unwrap();
//! let Some(Place::Reading(node, sensor)) = base.place("sedge/v1/pi-kitchen/reading/air") else { panic!() };
//! assert_eq!((node.as_str(), sensor.as_str()), ("pi-kitchen", "air"));
//! ```
//!
//! Nothing here opens a connection or knows a client library. What is read may come from anybody: a parser refuses,
//! it never panics.

mod call;
mod node;
mod reading;
mod topics;

pub use call::{Answer, MAX_ID_BYTES, Request, RequestError, ResultFrame};
pub use node::{Event, Health, Info, PluginSummary, SensorFrame, Severity};
pub use reading::{BacklogFrame, ReadingFrame};
pub use topics::{Base, BaseError, Place, Topics};

/// The version of this contract, as `info` carries it.
pub const PROTO: u32 = 1;

/// The payload of `{node}/status` while the node is connected.
pub const ONLINE: &str = "online";

/// The payload of `{node}/status` after a clean stop, and of the last will.
pub const OFFLINE: &str = "offline";

/// JSON of a payload. None of our types can fail to serialize; should one, the payload is `null` and not a panic.
pub(crate) fn json(payload: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(payload).unwrap_or_else(|_| b"null".to_vec())
}

/// A wall time in milliseconds as RFC 3339, or null: for `#[serde(with = "wall")]`.
pub(crate) mod wall {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(ms: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match ms {
            Some(ms) => serializer.serialize_str(&sedge_plugin::clock::rfc3339(*ms)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let ms = sedge_plugin::clock::parse_rfc3339(&text);
        ms.map(Some).ok_or_else(|| D::Error::custom(format!("`{text}` is not a time")))
    }
}

/// A [`Boot`](sedge_plugin::Boot) as eight hex digits: for `#[serde(with = "boot")]`.
pub(crate) mod boot {
    use sedge_plugin::Boot;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(boot: &Boot, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(boot)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Boot, D::Error> {
        let text = String::deserialize(deserializer)?;
        let legal = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = legal.then(|| u32::from_str_radix(&text, 16).ok()).flatten();
        number.map(Boot).ok_or_else(|| D::Error::custom(format!("`{text}` is not eight hex digits")))
    }
}
