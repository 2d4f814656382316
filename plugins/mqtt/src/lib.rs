//! MQTT for Sedge: the wire contract, the bridge of a node, and the caller's side.
//!
//! - [`wire`]: topics and payloads; depends on no client library.
//! - [`MqttBridge`]: the plugin that publishes a node and runs the calls of its tools.
//! - [`RemoteImport`]: the plugin that imports other nodes' readings and tools.
//! - [`discovery`]: what Home Assistant is told of a node.
//! - [`remote`]: what the command line uses to watch nodes and to call their tools.
//!
//! ```
//! use sedge_mqtt::wire::Request;
//! assert!(Request::parse(br#"{"args":{"on":true}}"#).is_ok());
//! ```
//!
//! No sensor knows this crate; a node without a broker runs on. The client is in `link/`, on the
//! bytes of `packet/`; nothing else knows either.

mod asking;
mod backoff;
mod bridge;
mod bucket;
mod calls;
mod choice;
mod connection;
mod course;
mod desk;
pub mod discovery;
mod gate;
mod import;
mod line;
mod link;
mod lost;
mod mirror;
mod nonces;
mod outbox;
pub mod packet;
pub mod remote;
mod settings;
mod tally;
pub mod wire;

pub use bridge::MqttBridge;
pub use gate::{CallRules, Caller, MustSign};
pub use import::{Import, RemoteImport};
pub use settings::{Broker, Scheme, Settings, SettingsError, Version};
