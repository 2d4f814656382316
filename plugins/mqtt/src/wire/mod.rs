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
mod encoding;
mod node;
mod sign;
mod topics;

pub use call::{Answer, MAX_ID_BYTES, Request, RequestError, ResultFrame};
pub use encoding::Encoding;
pub use node::{Event, Health, Info, PluginSummary, SensorFrame, Severity};
pub use sedge_plugin::wire::{AsFrame, ReadingFrame};
pub(crate) use sedge_plugin::wire::{boot, wall};
pub(crate) use sign::is_usable;
pub use sign::{MAX_VALIDITY_S, Nonce, Signature, Signed, Signer, SignerError};
pub use topics::{Base, BaseError, Place, Topics};

/// The version of this contract, as `info` carries it.
pub const PROTO: u32 = 1;

/// The payload of `{node}/status` while the node is connected.
pub const ONLINE: &str = "online";

/// The payload of `{node}/status` after a clean stop, and of the last will.
pub const OFFLINE: &str = "offline";

/// The readings of an outage, as `{node}/backlog/{sensor}` carries them: a JSON array, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BacklogFrame(pub Vec<ReadingFrame>);

/// JSON of a payload. None of our types can fail to serialize; should one, the payload is `null` and not a panic.
pub(crate) fn json(payload: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(payload).unwrap_or_else(|_| b"null".to_vec())
}
