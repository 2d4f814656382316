//! One message of each kind, and any message.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sedge_plugin::grant::{Grants, I2cGrant};
use sedge_plugin::topics::Severity;
use sedge_plugin::{Id, Name, Tool, ToolError, ToolErrorCode};
use sedge_protocol::{
    API, Ask, Bytes, Call, Encoding, GpioOperation, HelloMessage, I2cOperation, Limits, PROTOCOL,
    SensorWelcome, ToNode, ToPlugin, Why,
};
use serde_json::{Value as Json, json};

pub fn id(text: &str) -> Id {
    Id::new(text).expect("an id")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// All that a plugin says.
pub fn to_node() -> Vec<ToNode> {
    let mut all = vec![
        ToNode::Hello(HelloMessage {
            protocol: PROTOCOL,
            plugin: "pump".into(),
            version: "1.2.0".into(),
            sdk: "python/0.1.0".into(),
            encodings: vec![Encoding::Msgpack, Encoding::Json],
            features: vec!["progress".into()],
            credit: Some(64),
        }),
        ToNode::Ready { tools: vec![Tool::new(name("pump_set"), "Switches it.")], every_ms: Some(1000) },
        ToNode::Failed { why: Why::Unmet, message: "no pump is there".into() },
        ToNode::Ok { id: 7, result: json!({ "on": true, "was": null }) },
        ToNode::Error { id: 7, error: ToolError::new(ToolErrorCode::Busy, "come back") },
        ToNode::Progress { id: 7, fraction: Some(0.5), text: "half".into() },
        ToNode::Log { level: "info".into(), text: "it runs".into() },
        ToNode::Credit { n: 32 },
        ToNode::Pong { id: 3 },
    ];
    all.extend(asks().into_iter().zip(1..).map(|(ask, id)| ToNode::Ask { id, ask }));
    all
}

/// All that a node says.
pub fn to_plugin() -> Vec<ToPlugin> {
    let mut all = vec![
        ToPlugin::Welcome {
            protocol: PROTOCOL,
            api: API,
            encoding: Encoding::Json,
            features: vec![],
            id: id("attic"),
            plugin: "pump".into(),
            node: id("pi"),
            settings: json!({ "litres": 1.5 }),
            grants: Grants {
                i2c: BTreeMap::from([("pump".into(), I2cGrant { bus: "i2c-1".into(), address: 0x20 })]),
                data: true,
                ..Grants::default()
            },
            limits: Limits { message: 1_048_576, in_flight: 16, memory: 67_108_864, start_ms: 10_000 },
            data_dir: Some("/var/lib/sedge/attic".into()),
            sensor: Some(SensorWelcome { every_ms: 1000, address: Some(0x20) }),
            config: Some(json!({})),
        },
        ToPlugin::Event { topic: "deliver".into(), message: json!({ "sensor": "attic" }) },
        ToPlugin::Cancel { id: 7 },
        ToPlugin::Ping { id: 3 },
        ToPlugin::Ok { id: 1, result: Json::Null },
        ToPlugin::Error { id: 1, error: ToolError::failed("no") },
    ];
    all.extend(calls().into_iter().zip(1..).map(|(call, id)| ToPlugin::Call { id, call }));
    all
}

fn calls() -> Vec<Call> {
    vec![
        Call::Tool {
            tool: name("pump_set"),
            args: json!({ "on": true }),
            from: "cli".into(),
            timeout_ms: 5000,
        },
        Call::Read,
        Call::Tick,
        Call::Step { topic: "process".into(), message: json!({ "sensor": "attic" }) },
        Call::Answer { topic: "extract".into(), message: json!({}) },
        Call::Deliver { readings: vec![json!({ "sensor": "attic" })] },
        Call::Stop { grace_ms: 2000 },
    ]
}

fn asks() -> Vec<Ask> {
    vec![
        Ask::Submit { sensor: id("attic"), frame: json!({ "temperature": 21.5 }) },
        Ask::SubmitRaw { sensor: id("attic"), format: "senml".into(), bytes: Bytes(vec![0, 255]) },
        Ask::Announce {
            sensor: id("attic-2"),
            kind: "probe".into(),
            fields: BTreeMap::from([(name("temperature"), json!({ "unit": "°C" }))]),
            interval_ms: Some(1000),
        },
        Ask::Withdraw { sensor: id("attic-2") },
        Ask::Call { tool: "greenhouse/pump_set".into(), args: json!({}), timeout_ms: Some(500) },
        Ask::Event {
            kind: name("dry"),
            severity: Severity::Warning,
            text: "no water".into(),
            data: Json::Null,
        },
        Ask::Latest { sensor: id("cellar") },
        Ask::Directory,
        Ask::Load { key: "litres".into() },
        Ask::Store { key: "litres".into(), value: json!(17) },
        Ask::Forget { key: "litres".into() },
        Ask::EventFailed { topic: "deliver".into(), error: "the disk is full".into() },
        Ask::Degraded { reason: Some("one nozzle is shut".into()) },
        Ask::Metric { name: name("litres"), help: "Pumped.".into(), add: Some(1), set: None },
        Ask::I2c {
            device: "pump".into(),
            operations: vec![I2cOperation::Write(Bytes(vec![0xd0])), I2cOperation::Read(1)],
        },
        Ask::Gpio { line: "valve".into(), operation: GpioOperation::Set(true) },
        Ask::Http {
            method: "GET".into(),
            url: "http://192.168.1.7/".into(),
            headers: BTreeMap::from([("accept".into(), "text/plain".into())]),
            body: String::new(),
            timeout_ms: Some(2000),
        },
    ]
}

/// Any JSON whose numbers are the same after they were written and read.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<i32>().prop_map(|number| Json::from(f64::from(number) / 8.0)),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Any message of a plugin that carries something.
pub fn any_to_node() -> impl Strategy<Value = ToNode> {
    let parts = (any::<u64>(), any_json(), any::<String>(), prop::option::of(any::<String>()));
    (0..9usize, parts).prop_map(|(which, (id, json, text, other))| match which {
        0 => ToNode::Ok { id, result: json },
        1 => ToNode::Error { id, error: ToolError::failed(text) },
        2 => ToNode::Log { level: other.unwrap_or_default(), text },
        3 => ToNode::Failed { why: Why::Failed, message: text },
        4 => ToNode::Ask { id, ask: Ask::Submit { sensor: self::id("attic"), frame: json } },
        5 => ToNode::Ask { id, ask: Ask::Store { key: text, value: json } },
        6 => ToNode::Ask { id, ask: Ask::Degraded { reason: other } },
        7 => ToNode::Ask { id, ask: Ask::I2c { device: text, operations: any_operations(id) } },
        _ => ToNode::Progress { id, fraction: None, text },
    })
}

fn any_operations(seed: u64) -> Vec<I2cOperation> {
    let bytes = seed.to_be_bytes();
    let length = usize::from(bytes[0] % 8);
    vec![I2cOperation::Write(Bytes(bytes[..length].to_vec())), I2cOperation::Read(u16::from(bytes[7]))]
}

/// Any message of a node that carries something.
pub fn any_to_plugin() -> impl Strategy<Value = ToPlugin> {
    let parts = (any::<u64>(), any_json(), any::<String>());
    (0..5usize, parts).prop_map(|(which, (id, json, text))| match which {
        0 => ToPlugin::Ok { id, result: json },
        1 => ToPlugin::Event { topic: text, message: json },
        2 => ToPlugin::Call { id, call: Call::Step { topic: text, message: json } },
        3 => ToPlugin::Call { id, call: Call::Deliver { readings: vec![json] } },
        _ => ToPlugin::Call {
            id,
            call: Call::Tool { tool: name("pump_set"), args: json, from: text, timeout_ms: id },
        },
    })
}
