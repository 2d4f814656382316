//! MQTT for Sedge: the wire contract, the bridge of a node, and the caller's side.
//!
//! - [`wire`]: topics and payloads; depends on no client library.
//! - [`MqttBridge`]: the plugin that publishes a node and runs the calls of its tools.
//! - [`discovery`]: what Home Assistant is told of a node.
//! - [`remote`]: what the command line uses to watch nodes and to call their tools.
//!
//! ```
//! use sedge_mqtt::wire::Request;
//! assert!(Request::parse(br#"{"args":{"on":true}}"#).is_ok());
//! ```
//!
//! No sensor knows this crate; a node without a broker runs on. The client library is known to one file, `link.rs`.

mod backoff;
mod bridge;
mod calls;
mod connection;
mod desk;
pub mod discovery;
mod link;
mod lost;
mod mirror;
mod outbox;
pub mod remote;
mod settings;
pub mod wire;

pub use bridge::MqttBridge;
pub use settings::{Settings, SettingsError};
