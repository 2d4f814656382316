//! What a node has and how it fares: its sensors, its tools, its plugins. The bridge publishes it, the command line prints it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::field::{Field, FieldKind};
use crate::reading::Boot;
use crate::{Id, Name, Tool, Unit};

/// The node itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInfo {
    /// Its id.
    pub id: Id,
    /// This start of the process.
    pub boot: Boot,
    /// When the process started, RFC 3339; none while the wall time was not known.
    pub started_at: Option<String>,
    /// The version of Sedge.
    pub version: String,
    /// The target it was built for.
    pub target: String,
    /// Eight hex digits that change with the config.
    pub config: String,
    /// What the operator wants to tell about it.
    pub labels: BTreeMap<String, String>,
    /// The board's name, where it has one.
    pub hardware: Option<String>,
}

/// A field, as others see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldDescriptor {
    /// As people and Home Assistant write it; empty where there is none.
    pub unit: Unit,
    /// UCUM code.
    pub ucum: String,
    /// How it behaves over time.
    pub kind: FieldKind,
    /// Home Assistant's device class.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// Decimals.
    pub precision: u8,
    /// Lowest value that the device can measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Highest value that the device can measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl From<&Field> for FieldDescriptor {
    fn from(field: &Field) -> Self {
        Self {
            unit: field.unit,
            ucum: field.unit.ucum().into(),
            kind: field.kind,
            class: field.class.into(),
            precision: field.precision,
            min: field.range.map(|range| range.0),
            max: field.range.map(|range| range.1),
        }
    }
}

/// A sensor, as others see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorDescriptor {
    /// Its id.
    pub id: Id,
    /// What it is: `bme280`.
    pub kind: String,
    /// The plugin behind it, with its version: `bme280@0.1.0`.
    pub plugin: String,
    /// Where it is: `i2c-1/0x76`.
    pub place: String,
    /// How often it is read; none where it tells by itself.
    pub interval: Option<Duration>,
    /// Its fields.
    pub fields: BTreeMap<Name, FieldDescriptor>,
    /// The node that it is on; none where that is this one.
    pub node: Option<Id>,
}

impl SensorDescriptor {
    /// A descriptor with these fields. A field whose name is not legal is left out; a test over all kinds keeps that
    /// from happening.
    pub fn new(id: Id, kind: &str, version: &str, place: &str, fields: &[Field]) -> Self {
        let fields =
            fields.iter().filter_map(|f| Some((Name::new(f.name).ok()?, FieldDescriptor::from(f)))).collect();
        Self {
            id,
            kind: kind.into(),
            plugin: format!("{kind}@{version}"),
            place: place.into(),
            interval: None,
            fields,
            node: None,
        }
    }

    /// With its cadence.
    pub fn every(self, interval: Duration) -> Self {
        Self { interval: Some(interval), ..self }
    }
}

/// Where a plugin stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Known, not looked at yet.
    Discovered,
    /// Switched off by the config.
    Disabled,
    /// Something that it needs is not there; tried again now and then.
    Skipped,
    /// Being set up.
    Starting,
    /// Well.
    Running,
    /// Runs, with something amiss.
    Degraded,
    /// Failed, and waits to be restarted.
    BackingOff,
    /// Failed too often; tried again now and then.
    Resting,
    /// Does not run until the config changes.
    Failed,
    /// Ended on purpose.
    Stopped,
}

impl State {
    /// Whether it runs, well or with something amiss.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Degraded)
    }

    /// The word of the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::Disabled => "disabled",
            Self::Skipped => "skipped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::BackingOff => "backing_off",
            Self::Resting => "resting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// How a plugin fares.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginStatus {
    /// The instance.
    pub id: Id,
    /// What it is: `bme280`, `relay`, `system`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// Where it stands.
    pub state: State,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970; none while the wall time was not known.
    pub since_ms: Option<i64>,
    /// How often it was restarted since the node started.
    pub restarts: u32,
    /// Messages that its full queues did not take.
    pub dropped: u64,
    /// The plugin that it is a service of.
    pub service_of: Option<Id>,
}

/// Another node whose tools can be called from this one.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteNode {
    /// Its id.
    pub id: Id,
    /// Whether it can be reached. One that cannot has no tools.
    pub online: bool,
    /// Its tools, called `node/tool` here.
    pub tools: BTreeMap<Name, Arc<Tool>>,
}

/// A snapshot of a node. What stands in it is shared with the snapshots before and after, so that a change of one thing on
/// a large node does not copy all the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    /// The node.
    pub node: NodeInfo,
    /// Its sensors.
    pub sensors: BTreeMap<Id, Arc<SensorDescriptor>>,
    /// Its tools.
    pub tools: BTreeMap<Name, Arc<Tool>>,
    /// Its plugins.
    pub plugins: BTreeMap<Id, Arc<PluginStatus>>,
    /// Other nodes whose tools can be called from here.
    pub nodes: BTreeMap<Id, Arc<RemoteNode>>,
}

impl Directory {
    /// A sensor, if there is one of that id.
    pub fn sensor(&self, id: &Id) -> Option<&SensorDescriptor> {
        self.sensors.get(id).map(Arc::as_ref)
    }

    /// The sensors that this node has itself: what it tells others of.
    pub fn own_sensors(&self) -> impl Iterator<Item = &SensorDescriptor> {
        self.sensors.values().map(Arc::as_ref).filter(|sensor| sensor.node.is_none())
    }

    /// How a plugin fares, if there is one of that id.
    pub fn plugin(&self, id: &str) -> Option<&PluginStatus> {
        self.plugins.get(id).map(Arc::as_ref)
    }

    /// Whether a plugin runs, well or with something amiss.
    pub fn is_active(&self, id: &str) -> bool {
        self.plugin(id).is_some_and(|plugin| plugin.state.is_active())
    }
}
