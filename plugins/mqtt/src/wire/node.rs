//! What a node says of itself: its birth document, its sensors, its health, what happened.

use std::collections::BTreeMap;

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::{Boot, Directory, Id, Name, PluginStatus, SensorDescriptor, State};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::PROTO;

/// The birth document at `{node}/info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The version of the contract.
    pub proto: u32,
    /// The node.
    pub node: Id,
    /// This start of the process.
    #[serde(with = "super::boot")]
    pub boot: Boot,
    /// When the process started, RFC 3339; none while the wall time was not known.
    pub started_at: Option<String>,
    /// The version of Sedge.
    pub version: String,
    /// The target it was built for.
    pub target: String,
    /// Changes with the config.
    pub config: String,
    /// What the operator tells about the node.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The board's name, where it has one.
    #[serde(default)]
    pub hardware: Option<String>,
    /// The sensors; what they are stands at `{node}/sensor/…`.
    pub sensors: Vec<Id>,
    /// The tools; what they are stands at `{node}/tool/…`.
    pub tools: Vec<Name>,
    /// The plugins.
    pub plugins: BTreeMap<Id, PluginSummary>,
}

/// A plugin in the birth document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSummary {
    /// What it is: `bme280`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// Where it stands.
    pub state: State,
    /// Why, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<&Directory> for Info {
    fn from(directory: &Directory) -> Self {
        let node = &directory.node;
        let summary = |status: &PluginStatus| PluginSummary {
            kind: status.kind.clone(),
            version: status.version.clone(),
            state: status.state,
            reason: status.reason.clone(),
        };
        Self {
            proto: PROTO,
            node: node.id.clone(),
            boot: node.boot,
            started_at: node.started_at.clone(),
            version: node.version.clone(),
            target: node.target.clone(),
            config: node.config.clone(),
            labels: node.labels.clone(),
            hardware: node.hardware.clone(),
            sensors: directory.own_sensors().map(|sensor| sensor.id.clone()).collect(),
            tools: directory.tools.keys().cloned().collect(),
            plugins: directory.plugins.iter().map(|(id, status)| (id.clone(), summary(status))).collect(),
        }
    }
}

/// The descriptor at `{node}/sensor/{sensor}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorFrame {
    /// What it is: `bme280`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The plugin behind it, with its version.
    pub plugin: String,
    /// Where it is: `i2c-1/0x76`.
    #[serde(rename = "where")]
    pub place: String,
    /// How often it is read; none where it tells by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// Its fields.
    pub fields: BTreeMap<Name, FieldDescriptor>,
}

impl From<&SensorDescriptor> for SensorFrame {
    fn from(sensor: &SensorDescriptor) -> Self {
        let millis = |every: std::time::Duration| u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self {
            kind: sensor.kind.clone(),
            plugin: sensor.plugin.clone(),
            place: sensor.place.clone(),
            interval_ms: sensor.interval.map(millis),
            fields: sensor.fields.clone(),
        }
    }
}

/// How a component fares, at `{node}/health/{component}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Where it stands.
    pub state: State,
    /// Since when, in milliseconds since 1970; none while the wall time was not known.
    #[serde(with = "super::wall")]
    pub since: Option<i64>,
    /// Why, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was restarted since the node started.
    pub restarts: u32,
    /// Messages that its full queues did not take.
    pub dropped: u64,
}

impl From<&PluginStatus> for Health {
    fn from(status: &PluginStatus) -> Self {
        Self {
            state: status.state,
            since: status.since_ms,
            reason: status.reason.clone(),
            restarts: status.restarts,
            dropped: status.dropped,
        }
    }
}

pub use sedge_plugin::topics::Severity;

/// Something happened: at `{node}/event/{type}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970; none while the wall time was not known.
    #[serde(with = "super::wall")]
    pub ts: Option<i64>,
    /// What, for machines: `readings_dropped`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// What, for people.
    pub text: String,
    /// More, where there is more.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub data: Json,
}
