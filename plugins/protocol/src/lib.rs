//! What a node and a plugin outside of it say to each other.
//!
//! Why a protocol of its own: anybody can speak it, in any language, with what the language brings along. By default it is
//! one JSON object per line, so that a person can read along; `docs` is `plugins/protocol/README.md`.
//!
//! ```
//! use sedge_protocol::{Call, ToPlugin};
//! let line = r#"{"type":"call","id":7,"do":"tool","tool":"pump_set","args":{"on":true},"from":"cli","timeout_ms":5000}"#;
//! let message: ToPlugin = serde_json::from_str(line).unwrap();
//! assert!(matches!(message, ToPlugin::Call { id: 7, call: Call::Tool { .. } }));
//! assert_eq!(serde_json::to_string(&message).unwrap(), line);
//! ```
//!
//! The same messages go between a node and a WebAssembly component; only what carries them differs. It must not do any I/O,
//! or know what a node does with a message.

mod codec;
pub mod frame;
mod message;
pub mod topics;

pub use codec::{CodecError, Decoder, MAX_DEPTH, Message, encode, fits};
pub use message::{
    Ask, Bytes, Call, Encoding, GpioOperation, HelloMessage, I2cOperation, Limits, SensorWelcome, ToNode,
    ToPlugin, Version, VersionError, Why,
};

/// The version of the protocol that this crate speaks. A node and a plugin understand each other when the major numbers are
/// equal: what is added within one is ignored by whoever does not know it. It is not the product's version.
pub const PROTOCOL: Version = Version { major: 1, minor: 0 };

/// The version of the topics and their messages.
pub const API: Version = Version { major: 1, minor: 0 };

/// The largest message unless the config says otherwise, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// How many asks of a plugin, and how many calls of a node, may be under way at once.
pub const IN_FLIGHT: usize = 16;

/// How many events a plugin is sent before it has granted more.
pub const CREDIT: u32 = 64;

/// The file descriptor that a process finds the node at, as the environment variable [`FD_VARIABLE`] tells it too.
pub const FD: i32 = 3;

/// Tells a process that a node started it, and at which file descriptor it finds it: `3`, or `stdio`.
pub const FD_VARIABLE: &str = "SEDGE_PLUGIN_FD";
