//! What a node says of itself, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use sedge_actors::{NodeHandle, TopicView};
use sedge_mqtt::wire::{Info, ReadingFrame};
use sedge_plugin::clock::rfc3339;
use sedge_plugin::metrics::{Measured, Metric};
use sedge_plugin::topics::{self, TopicInfo};
use sedge_plugin::{Id, PluginStatus};
use serde_json::{Value as Json, json};

use crate::outside::SharedIsolation;
use crate::show;

/// The same as at the broker.
pub(super) fn node(node: &NodeHandle) -> Json {
    json!(Info::from(&*node.directory()))
}

/// Every topic that the node has or that somebody subscribes to; the node's own first.
pub(super) fn hooks(node: &NodeHandle) -> Json {
    let mut there: BTreeMap<&str, TopicView> =
        node.bus().topics().into_iter().map(|topic| (topic.name, topic)).collect();
    let known = topics::ALL.iter().map(|TopicInfo { name, kind, message, doc }| {
        let subscribers = there.remove(name).map(|topic| topic.subscribers).unwrap_or_default();
        json!({ "name": name, "kind": kind, "message": message, "doc": doc, "subscribers": subscribers })
    });
    let mut all: Vec<Json> = known.collect();
    all.extend(there.into_values().map(|topic| json!(topic)));
    all.into()
}

/// The tools of the node, and those of others that can be called from it.
pub(super) fn tools(node: &NodeHandle) -> Json {
    let directory = node.directory();
    let own = directory.tools.values().map(|tool| json!(**tool));
    let far = directory.nodes.values().flat_map(|node| {
        node.tools.values().map(|tool| {
            let mut told = json!(**tool);
            told["node"] = json!(node.id);
            told
        })
    });
    own.chain(far).collect()
}

pub(super) fn plugins(node: &NodeHandle, isolation: &SharedIsolation) -> Json {
    let told = |plugin: &Arc<PluginStatus>| {
        let mut told = status(plugin);
        if let Some(isolation) = isolation.load().get(&plugin.id) {
            told["isolation"] = isolation.as_str().into();
        }
        told
    };
    node.directory().plugins.values().map(told).collect()
}

fn status(status: &PluginStatus) -> Json {
    let PluginStatus { id, kind, version, state, reason, since_ms, restarts, dropped, service_of } = status;
    json!({
        "id": id, "kind": kind, "version": version, "state": state, "reason": reason,
        "since": since_ms.map(rfc3339), "restarts": restarts, "dropped": dropped, "service_of": service_of,
    })
}

/// By sensor and field.
pub(super) fn units(node: &NodeHandle) -> Json {
    let directory = node.directory();
    let sensors = directory.sensors.values().map(|sensor| {
        let units = sensor.fields.iter().map(|(name, field)| (name.to_string(), json!(field.unit.symbol())));
        (sensor.id.to_string(), Json::Object(units.collect()))
    });
    Json::Object(sensors.collect())
}

pub(super) fn metrics(node: &NodeHandle) -> Json {
    let mut all: Vec<Json> = node.metrics().iter().map(measured).collect();
    let restarts = |status: &Arc<PluginStatus>| json!({ "plugin": status.id, "name": "restarts", "type": "counter", "value": status.restarts, "help": "How often it was started again." });
    all.extend(node.directory().plugins.values().filter(|status| status.restarts > 0).map(restarts));
    all.into()
}

fn measured(Measured { plugin, name, help, metric }: &Measured) -> Json {
    match metric {
        Metric::Counter(n) => {
            json!({ "plugin": plugin, "name": name, "type": "counter", "value": n, "help": help })
        }
        Metric::Gauge(n) => {
            json!({ "plugin": plugin, "name": name, "type": "gauge", "value": n, "help": help })
        }
        Metric::Histogram { buckets, count, sum } => json!({
            "plugin": plugin, "name": name, "type": "histogram", "count": count, "sum": sum,
            "buckets": buckets.iter().map(|(le, n)| json!({ "le": le, "count": n })).collect::<Json>(), "help": help,
        }),
    }
}

pub(super) fn latest(node: &NodeHandle, wanted: Option<&Id>) -> Json {
    let directory = node.directory();
    let sensors = directory.sensors.values().filter(|sensor| wanted.is_none_or(|id| sensor.id == *id));
    let reading = |sensor: &Arc<sedge_plugin::SensorDescriptor>| {
        let reading = node.latest(&sensor.id)?;
        let mut object =
            show::json(directory.node.id.as_str(), sensor.id.as_str(), &ReadingFrame::from(reading.as_ref()));
        let units = sensor.fields.iter().map(|(name, field)| (name.to_string(), json!(field.unit.symbol())));
        object["units"] = Json::Object(units.collect());
        let age = node.up().saturating_sub(std::time::Duration::from_millis(reading.taken.up_ms));
        object["age_ms"] = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).into();
        object["stale"] = sensor.interval.is_some_and(|interval| age > interval * 3).into();
        Some(object)
    };
    sensors.filter_map(reading).collect()
}
