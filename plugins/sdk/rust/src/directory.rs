//! What a node has, read from what it says of it.
//!
//! It must not fail: what cannot be read is left out.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use sedge_plugin::{Boot, Directory, Id, NodeInfo, PluginStatus, Tool, topics};
use sedge_protocol::topics::by_id;
use serde_json::{Value as Json, json};

/// What a plugin outside learns of its node: its id, sensors, tools and plugins, as far as they can be read.
pub(crate) fn directory(answer: &Json, own: &Id) -> Directory {
    let text = |key: &str| answer["node"][key].as_str().unwrap_or_default().to_owned();
    // Where even that is not granted, its own name stands for the node's.
    let id = Id::new(&text("id")).unwrap_or_else(|_| own.clone());
    let node = NodeInfo {
        id,
        boot: serde_json::from_value(answer["node"]["boot"].clone()).unwrap_or(Boot(0)),
        started_at: answer["node"]["started_at"].as_str().map(Into::into),
        version: text("version"),
        target: text("target"),
        config: text("config"),
        labels: serde_json::from_value(answer["node"]["labels"].clone()).unwrap_or_default(),
        hardware: answer["node"]["hardware"].as_str().map(Into::into),
    };
    // Each as the messages of the topics that tell of it.
    let sensors = each(answer, "sensors").filter_map(|json| {
        let shape = by_id(TypeId::of::<topics::SensorChanged>())?;
        match *(shape.decode)(json!({ "announced": json })).ok()?.downcast().ok()? {
            topics::SensorChange::Announced(sensor) => Some((sensor.id.clone(), Arc::new(sensor))),
            topics::SensorChange::Gone(_) => None,
        }
    });
    let tools = each(answer, "tools").filter_map(|json| {
        let tool: Tool = serde_json::from_value(json).ok()?;
        Some((tool.name.clone(), Arc::new(tool)))
    });
    let plugins = each(answer, "plugins").filter_map(|json| {
        let shape = by_id(TypeId::of::<topics::PluginStateChanged>())?;
        let status: PluginStatus = *(shape.decode)(json).ok()?.downcast().ok()?;
        Some((status.id.clone(), Arc::new(status)))
    });
    Directory {
        node,
        sensors: sensors.collect(),
        tools: tools.collect(),
        plugins: plugins.collect(),
        nodes: BTreeMap::new(),
    }
}

/// The members of a list, or of an object by their names.
fn each<'a>(answer: &'a Json, key: &str) -> Box<dyn Iterator<Item = Json> + 'a> {
    match &answer[key] {
        Json::Array(list) => Box::new(list.iter().cloned()),
        Json::Object(map) => Box::new(map.values().cloned()),
        _ => Box::new(std::iter::empty()),
    }
}
