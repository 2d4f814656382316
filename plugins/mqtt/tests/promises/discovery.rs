//! What Home Assistant sees of a node: the document, when it comes, and what becomes of what is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rumqttc::v5::mqttbytes::QoS;
use sedge_mqtt::Settings;
use sedge_mqtt::discovery::Document;
use sedge_mqtt::wire::{Base, Topics};
use sedge_plugin::directory::{Directory, SensorDescriptor, State};
use sedge_plugin::field::FieldKind;
use sedge_plugin::tool::Annotations;
use sedge_plugin::topic::Observer;
use sedge_plugin::topics::{self, SensorChange};
use sedge_plugin::{Field, PluginStatus, Tool, Unit};
use serde_json::{Value as Json, json};

use super::support::brokers::Broker;
use super::support::clients::{V5, within};
use super::support::home_assistant;
use super::support::node::{Node, WALL_MS, directory, id, name, reading, status};

super::with_both_brokers!(
    a_node_appears_when_it_has_started,
    what_is_gone_goes_there_too,
    what_went_while_the_node_was_stopped_goes_when_it_is_back,
    what_is_only_being_restarted_stays,
    home_assistant_is_answered_when_it_begins,
    switched_off_it_is_taken_back,
    elsewhere_it_is_taken_back_from_where_it_was,
);

const CONFIG: &str = "homeassistant/device/sedge-pi/config";

pub fn topics() -> Topics {
    Topics::new(Base::new("sedge/v1").unwrap(), id("pi-kitchen"))
}

fn tool(text: &str, schema: Json) -> Tool {
    Tool { input_schema: schema, ..Tool::new(name(text), "For tests.") }
}

fn taking(properties: Json) -> Json {
    let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// A node with a bit of everything.
pub fn house() -> Directory {
    let state = |name| Field::new(name, Unit::None).kind(FieldKind::State);
    let text = |name| Field::new(name, Unit::None).kind(FieldKind::Text);
    let grows = |name, unit| Field::new(name, unit).kind(FieldKind::TotalIncreasing).precision(0);
    let climate = [
        Field::new("temperature", Unit::Celsius).class("temperature"),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1),
        Field::new("pressure", Unit::Hectopascal).class("atmospheric_pressure"),
    ];
    let board = [
        Field::new("cpu_usage", Unit::Percent).precision(1),
        Field::new("load_1", Unit::None),
        Field::new("memory_available", Unit::Mebibyte).class("data_size").precision(0),
        grows("uptime", Unit::Second).class("duration"),
    ];
    let dust = [Field::new("pm25", Unit::MicrogramPerCubicMetre).class("pm25").precision(0)];
    let duty = [Field::new("duty", Unit::Percent).precision(1)];
    let sensors: [(&str, &str, &[Field], u64); 12] = [
        ("air", "bme280", &climate, 10),
        ("system", "system", &board, 10),
        ("system-net-eth0", "system", &[grows("rx_total", Unit::Byte).class("data_size")], 10),
        ("dust", "pmsa003i", &dust, 300),
        (
            "meter",
            "counter",
            &[grows("total", Unit::KilowattHour).class("energy"), grows("pulses", Unit::None)],
            10,
        ),
        ("front-door", "input", &[state("on")], 60),
        ("clock", "ds1307", &[text("time"), state("stopped")], 60),
        ("pump", "relay", &[state("on")], 60),
        ("rail", "power", &[state("on")], 60),
        ("fan", "pwm", &duty, 60),
        ("pins", "mcp23017", &[state("p0"), state("p1"), state("p2")], 1),
        ("heater", "heater", &[text("mode")], 30),
    ];
    let descriptor = |(sensor, kind, fields, every): (&str, &str, &[Field], u64)| {
        let sensor = SensorDescriptor::new(id(sensor), kind, "0.1.0", "somewhere", fields);
        (sensor.id.clone(), Arc::new(sensor.every(Duration::from_secs(every))))
    };
    let plugin = |(sensor, kind, ..): &(&str, &str, &[Field], u64)| {
        let status = PluginStatus { kind: (*kind).into(), ..status(sensor, State::Running) };
        (!sensor.contains("-net-")).then(|| (status.id.clone(), Arc::new(status)))
    };
    let harmful = |tool: Tool| Tool {
        annotations: Annotations { destructive: true, ..Annotations::default() },
        ..tool
    };
    let on = || taking(json!({ "on": { "type": "boolean" } }));
    let pin = json!({ "type": "integer", "format": "uint8", "x-states": { "0": "p0", "2": "p2" } });
    let text = json!({
        "type": "object", "required": ["text"],
        "properties": { "text": { "type": "string" }, "row": { "type": "integer", "default": 0 } },
    });
    let mode = json!({
        "type": "object", "required": ["mode"], "properties": { "mode": { "$ref": "#/$defs/Mode" } },
        "$defs": { "Mode": { "oneOf": [{ "const": "eco" }, { "const": "full" }] } },
    });
    let tools = [
        tool("pump_set", on()),
        tool("pump_toggle", taking(json!({}))),
        harmful(tool("rail_set", on())),
        harmful(tool("rail_cycle", taking(json!({})))),
        tool("fan_set", taking(json!({ "duty": { "type": "number", "minimum": 0.0, "maximum": 1.0 } }))),
        tool("pins_set", taking(json!({ "pin": pin, "on": { "type": "boolean" } }))),
        tool("screen_text", text),
        tool("screen_clear", taking(json!({}))),
        tool("heater_set", mode),
        tool(
            "heater_target",
            taking(json!({ "target": { "type": "integer", "minimum": 5, "maximum": 30 } })),
        ),
        // None of these is a control.
        tool("heater_limit", taking(json!({ "limit": { "type": "number", "minimum": 0 } }))),
        tool("heater_plan", taking(json!({ "plan": { "type": "object" } }))),
        tool("heater_move", taking(json!({ "x": { "type": "boolean" }, "y": { "type": "boolean" } }))),
        Tool {
            annotations: Annotations { read_only: true, ..Annotations::default() },
            ..tool("heater_look", taking(json!({})))
        },
    ];
    Directory {
        plugins: sensors.iter().filter_map(plugin).collect(),
        sensors: sensors.map(descriptor).into(),
        tools: tools.map(|tool| (tool.name.clone(), Arc::new(tool))).into(),
        ..directory("pi-kitchen")
    }
}

fn document() -> Json {
    serde_json::to_value(Document::of(&house(), &topics())).unwrap()
}

#[test]
fn the_validator_sees_what_home_assistant_would_drop() {
    for (pointer, wrong) in [
        ("/cmps/air-temperature/unit_of_meas", json!("C")),
        ("/cmps/air-temperature/dev_cla", json!("warmth")),
        ("/cmps/meter-total/stat_cla", json!("measurement")),
        ("/cmps/air-temperature/uniq_id", json!("sedge_pi-kitchen_air_humidity")),
        ("/cmps/air-temperature/name", json!("Pi kitchen air temperature")),
        ("/cmps/air-temperature/val_tpl", json!("{{ value_json.fields.temperature }}")),
        ("/cmps/clock-stopped/dev_cla", json!("broken")),
        ("/cmps/fan_set/step", json!(0)),
        ("/cmps/fan_set/cmd_tpl", json!("{\"args\":{{{ value }}}}")),
        ("/cmps/pump_set/ret", json!(true)),
        ("/cmps/heater_set/ops", json!([])),
        ("/o/name", json!(null)),
    ] {
        let mut document = document();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = wrong;
        assert_ne!(home_assistant::mistakes(&document), [""; 0], "{pointer}");
    }
}

#[test]
fn a_state_that_a_control_shows_is_not_shown_again() {
    let document = document();
    let components = document["cmps"].as_object().unwrap();
    for (control, field) in [("pump_set", "pump-on"), ("fan_set", "fan-duty"), ("pins_set-2", "pins-p2")] {
        assert!(components[control]["stat_t"].is_string() && !components.contains_key(field), "{control}");
    }
    assert!(components.contains_key("pins-p1") && !components.contains_key("pins_set-1"), "it is only read");
}

#[test]
fn a_tool_that_no_control_fits_is_not_shown() {
    let document = document();
    let keys = document["cmps"].as_object().unwrap().keys().map(String::as_str);
    let heater: Vec<&str> = keys.filter(|key| key.starts_with("heater_")).collect();
    assert_eq!(heater, ["heater_set", "heater_target"]);
}

#[test]
fn what_does_harm_is_switched_on_by_a_person_first() {
    let document = document();
    for key in ["rail_set", "rail_cycle"] {
        let component = &document["cmps"][key];
        assert_eq!((&component["en"], &component["ent_cat"]), (&json!(false), &json!("config")), "{key}");
    }
    assert!(document["cmps"]["pump_toggle"].get("en").is_none());
    assert_eq!(document["cmps"]["rail-on"]["p"], "binary_sensor", "how it stands is seen all the same");
}

#[test]
fn a_value_expires_after_three_intervals_and_not_before_a_minute() {
    let document = document();
    let expiry = |key: &str| document["cmps"][key]["exp_aft"].as_u64();
    assert_eq!(
        [expiry("air-temperature"), expiry("dust-pm25"), expiry("pump_set")],
        [Some(60), Some(900), None]
    );
    let mut house = house();
    let mut air = SensorDescriptor::clone(&house.sensors[&id("air")]);
    air.interval = None;
    house.sensors.insert(id("air"), air.into());
    let quiet = serde_json::to_value(Document::of(&house, &topics())).unwrap();
    assert!(quiet["cmps"]["air-temperature"].get("exp_aft").is_none(), "it tells by itself");
}

/// A schema of one argument, right or not.
fn argument() -> impl Strategy<Value = Json> {
    let number = || {
        let bound =
            || prop_oneof![Just(json!(null)), (-1000.0..1000.0).prop_map(|n| json!(n)), Just(json!("x"))];
        (bound(), bound()).prop_map(|(min, max)| json!({ "type": "number", "minimum": min, "maximum": max }))
    };
    let states =
        json!({ "type": "integer", "x-states": { "0": "p0", "1": 5, "x": "p2", "2": "Not a name" } });
    prop_oneof![
        Just(json!({ "type": "boolean" })),
        Just(json!({ "type": "string", "maxLength": 0 })),
        Just(json!({ "type": "string", "maxLength": 100_000 })),
        Just(json!({ "enum": ["a", "b", "{{ c }}"] })),
        Just(json!({ "enum": ["a", 1] })),
        Just(json!({ "oneOf": [{ "const": "a" }, {}] })),
        Just(json!({ "$ref": "#/properties/a" })),
        Just(json!({ "$ref": "elsewhere" })),
        Just(json!(7)),
        Just(states),
        number(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_tool_makes_a_document_that_home_assistant_would_not_take(
        arguments in proptest::collection::btree_map("[a-c]|\\{\\{ x \\}\\}|\"", argument(), 0..4),
        required in proptest::collection::vec("[a-d]|\\{\\{ x \\}\\}|\"", 0..4),
        named in "(air|pins|x)(_[a-z]{1,3}){0,2}",
    ) {
        let mut house = house();
        let schema = json!({ "type": "object", "properties": arguments, "required": required });
        house.tools.insert(name(&named), tool(&named, schema).into());
        let document = serde_json::to_value(Document::of(&house, &topics())).unwrap();
        prop_assert_eq!(home_assistant::mistakes(&document), [""; 0]);
    }
}

/// What came at a topic next.
async fn next(watcher: &mut V5, topic: &str) -> String {
    within(async {
        loop {
            let message = watcher.message().await;
            if message.topic == topic {
                return message.text().to_owned();
            }
        }
    })
    .await
}

async fn components(watcher: &mut V5) -> BTreeMap<String, Json> {
    let document: Json = serde_json::from_str(&next(watcher, CONFIG).await).unwrap();
    serde_json::from_value(document["cmps"].clone()).unwrap()
}

async fn watch(broker: &Broker) -> V5 {
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("#", QoS::AtLeastOnce).await;
    watcher
}

async fn started(broker: &Broker) -> Node {
    let mut node = Node::start(broker.address).await;
    node.hurry();
    node.started().await;
    node
}

/// The node's sensor is not there any more.
async fn lose_the_sensor(node: &mut Node) {
    node.change(|directory| directory.sensors.clear());
    let gone = Arc::new(SensorChange::Gone(id("air")));
    Observer::<topics::SensorChanged>::observe(&mut node.bridge, gone).await.unwrap();
}

async fn a_node_appears_when_it_has_started(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let mut node = Node::start(broker.address).await;
    node.hurry();
    // What it has by now may be but a part.
    loop {
        let message = watcher.message().await;
        assert_ne!(message.topic, CONFIG);
        if message.topic == "sedge/v1/pi/health/air" {
            break;
        }
    }
    node.started().await;
    let keys: Vec<String> = components(&mut watcher).await.into_keys().collect();
    assert_eq!(keys, ["_started", "air-on", "air-temperature", "echo", "slow"]);

    let mut late = V5::connect(broker.address, "late").await;
    late.subscribe("homeassistant/#", QoS::AtLeastOnce).await;
    let message = late.message().await;
    assert!(message.retain);
    let document: Json = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(home_assistant::mistakes(&document), [""; 0]);
}

async fn what_is_gone_goes_there_too(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let mut node = started(&broker).await;
    assert!(components(&mut watcher).await.contains_key("air-on"));
    lose_the_sensor(&mut node).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last: &Option<Json>| last.is_some())
        || !seen.contains(&Some(json!({ "p": "sensor" })))
    {
        seen.push(components(&mut watcher).await.remove("air-on"));
    }
    // Left out at first, because it may come back; then said to be gone; then left out for good.
    assert_eq!(seen, [None, Some(json!({ "p": "sensor" })), None]);
}

async fn what_went_while_the_node_was_stopped_goes_when_it_is_back(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let node = started(&broker).await;
    components(&mut watcher).await;
    node.kill();
    let disk = node.host.disk.clone();
    let mut less = directory("pi");
    less.tools.remove(&name("slow"));
    let mut node = Node::on(disk, broker.address, less, Settings::default()).await;
    node.hurry();
    node.started().await;
    while components(&mut watcher).await.remove("slow") != Some(json!({ "p": "button" })) {}
    assert!(!components(&mut watcher).await.contains_key("slow"));
    within(async {
        while node.host.kept("discovery").unwrap()["components"].get("slow").is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn what_is_only_being_restarted_stays(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let mut node = started(&broker).await;
    components(&mut watcher).await;
    let resting = status("air", State::Resting);
    node.change(|directory| drop(directory.plugins.insert(id("air"), resting.clone().into())));
    lose_the_sensor(&mut node).await;
    let left = components(&mut watcher).await;
    assert!(!left.contains_key("air-on") && left.contains_key("echo"));

    // Something else that goes is told, and this is not.
    node.change(|directory| drop(directory.tools.remove(&name("slow"))));
    let change = topics::ToolsChange { added: vec![], gone: vec![name("slow")] };
    Observer::<topics::ToolsChanged>::observe(&mut node.bridge, Arc::new(change)).await.unwrap();
    let parting = loop {
        let components = components(&mut watcher).await;
        if components.contains_key("slow") && !components.contains_key("air-on") {
            break components;
        }
        assert!(!components.contains_key("air-on"), "{components:?}");
    };
    assert_eq!(parting["slow"], json!({ "p": "button" }));
    let kept = node.host.kept("discovery").unwrap();
    assert_eq!(kept["components"]["air-on"], json!({ "p": "sensor", "by": "air" }));
}

async fn home_assistant_is_answered_when_it_begins(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let node = started(&broker).await;
    components(&mut watcher).await;
    let latest = reading(95);
    assert_eq!(latest.taken.wall_ms, Some(WALL_MS));
    node.host.latest.lock().unwrap().insert(id("air"), latest.into());
    let mut home_assistant = V5::connect(broker.address, "home-assistant").await;
    home_assistant.publish("homeassistant/status", "online", QoS::AtLeastOnce, false).await;
    assert!(components(&mut watcher).await.contains_key("air-on"));
    next(&mut watcher, "sedge/v1/pi/health/air").await;
    let text = next(&mut watcher, "sedge/v1/pi/reading/air").await;
    assert!(text.contains("\"seq\":95"), "{text}");
}

async fn switched_off_it_is_taken_back(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let node = started(&broker).await;
    components(&mut watcher).await;
    node.kill();
    let settings = Settings { discovery: false, ..Settings::default() };
    let disk = node.host.disk.clone();
    let mut node = Node::on(disk, broker.address, directory("pi"), settings).await;
    node.started().await;
    assert_eq!(next(&mut watcher, CONFIG).await, "");
    within(async {
        while node.host.kept("discovery").is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn elsewhere_it_is_taken_back_from_where_it_was(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let node = started(&broker).await;
    components(&mut watcher).await;
    node.kill();
    let settings = Settings { discovery_prefix: "ha".into(), ..Settings::default() };
    let disk = node.host.disk.clone();
    let mut node = Node::on(disk, broker.address, directory("pi"), settings).await;
    node.hurry();
    node.started().await;
    assert_eq!(next(&mut watcher, CONFIG).await, "");
    assert!(next(&mut watcher, "ha/device/sedge-pi/config").await.contains("air-on"));
}
