//! The document, with Home Assistant's abbreviations: the longer words would make it half as large again.
//!
//! ```
//! use sedge_mqtt::discovery::{Component, Platform};
//! // What tells Home Assistant that a component is no more.
//! assert_eq!(serde_json::to_string(&Component::gone(Platform::Sensor)).unwrap(), r#"{"p":"sensor"}"#);
//! ```

use std::collections::{BTreeMap, BTreeSet};

use sedge_plugin::{Directory, Id, Name, NodeInfo};
use serde::{Deserialize, Serialize};

use super::{sensors, tools};
use crate::wire::Topics;

/// How many intervals without a reading make a value unknown.
const INTERVALS: u64 = 3;

/// A value is good for so many seconds at least.
const SHORTEST_EXPIRY_S: u64 = 60;

/// Reads the health of a plugin. What is taken back has no state.
const HEALTHY: &str =
    "{{ 'online' if value_json is defined and value_json.state in ('running','degraded') else 'offline' }}";

/// All that Home Assistant is told of a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// The node.
    #[serde(rename = "dev")]
    pub device: Device,
    /// Who says so.
    #[serde(rename = "o")]
    pub origin: Origin,
    /// What says whether the node is there.
    #[serde(rename = "avty")]
    pub availability: Vec<Availability>,
    /// All of them must say so.
    #[serde(rename = "avty_mode")]
    pub availability_mode: &'static str,
    /// For what Home Assistant subscribes to and publishes.
    pub qos: u8,
    /// Its entities.
    #[serde(rename = "cmps")]
    pub components: BTreeMap<String, Component>,
}

/// The node as a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    #[serde(rename = "ids")]
    identifiers: [String; 1],
    name: String,
    #[serde(rename = "mf", skip_serializing_if = "Option::is_none")]
    manufacturer: Option<&'static str>,
    #[serde(rename = "mdl", skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(rename = "sw")]
    version: String,
    #[serde(rename = "sa", skip_serializing_if = "Option::is_none")]
    area: Option<String>,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    name: &'static str,
    #[serde(rename = "sw")]
    version: String,
    url: &'static str,
}

/// A topic that says whether something is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Availability {
    #[serde(rename = "t")]
    topic: String,
    #[serde(rename = "val_tpl", skip_serializing_if = "Option::is_none")]
    template: Option<&'static str>,
}

/// What an entity is to Home Assistant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Home Assistant's words")]
pub enum Platform {
    Sensor,
    BinarySensor,
    Switch,
    Button,
    Number,
    Select,
    Text,
}

/// Where Home Assistant shows an entity that is not what the device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Home Assistant's words")]
pub enum EntityCategory {
    Diagnostic,
    Config,
}

/// An entity. What is none is not said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// What it is.
    #[serde(rename = "p")]
    pub platform: Platform,
    /// Tells it apart for ever.
    #[serde(rename = "uniq_id", skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<String>,
    /// Behind the device's name, which it does not repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is measured.
    #[serde(rename = "dev_cla", skip_serializing_if = "Option::is_none")]
    pub device_class: Option<&'static str>,
    /// How it behaves over time.
    #[serde(rename = "stat_cla", skip_serializing_if = "Option::is_none")]
    pub state_class: Option<&'static str>,
    /// Its unit.
    #[serde(rename = "unit_of_meas", skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// Decimals worth showing.
    #[serde(rename = "sug_dsp_prc", skip_serializing_if = "Option::is_none")]
    pub precision: Option<u8>,
    /// The value is unknown after so many seconds without one.
    #[serde(rename = "exp_aft", skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<u64>,
    /// Where it is shown.
    #[serde(rename = "ent_cat", skip_serializing_if = "Option::is_none")]
    pub category: Option<EntityCategory>,
    /// False: a person has to switch it on first.
    #[serde(rename = "en", skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Where its state is told.
    #[serde(rename = "stat_t", skip_serializing_if = "Option::is_none")]
    pub state_topic: Option<String>,
    /// What of the payload is its state.
    #[serde(rename = "val_tpl", skip_serializing_if = "Option::is_none")]
    pub value_template: Option<String>,
    /// The state that means on.
    #[serde(rename = "stat_on", skip_serializing_if = "Option::is_none")]
    pub state_on: Option<&'static str>,
    /// The state that means off.
    #[serde(rename = "stat_off", skip_serializing_if = "Option::is_none")]
    pub state_off: Option<&'static str>,
    /// The lowest value, or the shortest text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The highest value, or the longest text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// From one value to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// What may be chosen.
    #[serde(rename = "ops", skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<String>>,
    /// How it is told something.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// What says whether it is there, besides the node: its plugin's health.
    #[serde(rename = "avty", skip_serializing_if = "Option::is_none")]
    pub availability: Option<[Availability; 2]>,
    /// All of them must say so.
    #[serde(rename = "avty_mode", skip_serializing_if = "Option::is_none")]
    pub availability_mode: Option<&'static str>,
    /// The plugin behind it, as far as known.
    #[serde(skip)]
    pub owner: Option<Id>,
    /// The sensor that tells its state.
    #[serde(skip)]
    pub sensor: Option<Id>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Command {
    #[serde(rename = "cmd_t")]
    topic: String,
    #[serde(flatten)]
    payload: Payload,
    /// A command that the broker retains would be carried out again at every connect.
    #[serde(rename = "ret")]
    retain: bool,
    /// Seconds after which a command to a node that is away is better not carried out.
    #[serde(rename = "msg_exp_int")]
    expiry_s: u64,
}

/// What the command says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) enum Payload {
    #[serde(rename = "pl_prs")]
    Press(String),
    #[serde(rename = "cmd_tpl")]
    Template(String),
    #[serde(untagged)]
    Switch {
        #[serde(rename = "pl_on")]
        on: String,
        #[serde(rename = "pl_off")]
        off: String,
    },
}

impl Command {
    pub(super) fn new(topic: String, payload: Payload) -> Self {
        Self { topic, payload, retain: false, expiry_s: 10 }
    }
}

impl Component {
    /// Says that the component of that platform is no more.
    pub fn gone(platform: Platform) -> Self {
        Self {
            platform,
            unique_id: None,
            name: None,
            device_class: None,
            state_class: None,
            unit: None,
            precision: None,
            expire_after: None,
            category: None,
            enabled: None,
            state_topic: None,
            value_template: None,
            state_on: None,
            state_off: None,
            min: None,
            max: None,
            step: None,
            options: None,
            command: None,
            availability: None,
            availability_mode: None,
            owner: None,
            sensor: None,
        }
    }
}

impl Document {
    /// What a node has, as it is now.
    pub fn of(directory: &Directory, topics: &Topics) -> Self {
        let scene = Scene::new(directory, topics);
        let controls: Vec<tools::Control> =
            directory.tools.values().flat_map(|tool| tools::controls(&scene, tool)).collect();
        let told: BTreeSet<(&Id, &Name)> = controls.iter().filter_map(tools::Control::tells).collect();
        // What another node measured is told by that node.
        let mut components: BTreeMap<String, Component> =
            directory.own_sensors().flat_map(|sensor| sensors::components(&scene, sensor, &told)).collect();
        components.extend(sensors::start(&scene));
        components.extend(controls.into_iter().map(|control| (control.key, control.component)));
        Self {
            device: Device::from(&directory.node),
            origin: Origin {
                name: "sedge",
                version: directory.node.version.clone(),
                url: env!("CARGO_PKG_REPOSITORY"),
            },
            availability: vec![scene.node_is_there()],
            availability_mode: "all",
            qos: 1,
            components,
        }
    }

    /// The sensors whose readings it is about.
    pub fn sensors(&self) -> BTreeSet<Id> {
        self.components.values().filter_map(|component| component.sensor.clone()).collect()
    }
}

impl From<&NodeInfo> for Device {
    fn from(node: &NodeInfo) -> Self {
        let raspberry = node.hardware.as_deref().is_some_and(|name| name.starts_with("Raspberry Pi"));
        Self {
            identifiers: [format!("sedge-{}", node.id)],
            name: node.id.to_string(),
            manufacturer: raspberry.then_some("Raspberry Pi"),
            model: node.hardware.clone(),
            version: node.version.clone(),
            area: node.labels.get("area").or_else(|| node.labels.get("room")).cloned(),
        }
    }
}

/// For how many seconds a reading is good; none where its sensor tells by itself.
pub(super) fn expiry(directory: &Directory, sensor: &Id) -> Option<u64> {
    let interval = directory.sensor(sensor)?.interval?.as_secs_f64().ceil() as u64;
    Some(interval.saturating_mul(INTERVALS).max(SHORTEST_EXPIRY_S))
}

/// What a component is made from.
pub(super) struct Scene<'a> {
    pub(super) directory: &'a Directory,
    pub(super) topics: &'a Topics,
    /// What the names of tools begin with, by whose they are.
    stems: BTreeMap<Name, &'a Id>,
}

impl<'a> Scene<'a> {
    fn new(directory: &'a Directory, topics: &'a Topics) -> Self {
        let ids = directory.plugins.keys().chain(directory.sensors.keys());
        let stems = ids.filter_map(|id| Some((Name::from_id(id, None).ok()?, id))).collect();
        Self { directory, topics, stems }
    }

    /// Whose a tool is, by its name, and the rest of the name.
    pub(super) fn owner_of<'t>(&self, tool: &'t Name) -> Option<(&'a Id, &'t str)> {
        let parts = tool.as_str().rmatch_indices('_');
        let mut stems = parts.map(|(at, _)| (&tool.as_str()[..at], &tool.as_str()[at + 1..]));
        stems.find_map(|(stem, rest)| Some((*self.stems.get(&Name::new(stem).ok()?)?, rest)))
    }

    /// A component of some plugin's.
    pub(super) fn component(
        &self,
        platform: Platform,
        unique: &str,
        name: String,
        owner: Option<&Id>,
    ) -> Component {
        let node = &self.directory.node.id;
        let both = owner.map(|owner| {
            let healthy = Availability { topic: self.topics.health(owner), template: Some(HEALTHY) };
            [self.node_is_there(), healthy]
        });
        Component {
            unique_id: Some(format!("sedge_{node}_{unique}")),
            name: Some(name),
            availability_mode: both.is_some().then_some("all"),
            availability: both,
            owner: owner.cloned(),
            ..Component::gone(platform)
        }
    }

    fn node_is_there(&self) -> Availability {
        Availability { topic: self.topics.status(), template: None }
    }
}
