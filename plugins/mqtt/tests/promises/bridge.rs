//! What a subscriber sees of a node.

use sedge_mqtt::Settings;
use sedge_mqtt::wire::{Health, Info, ReadingFrame, SensorFrame};
use sedge_plugin::directory::State;
use sedge_plugin::topic::Observer;
use sedge_plugin::topics::{self, SensorChange, ToolsChange};
use sedge_plugin::{Plugin, PluginError, Tool};
use std::sync::Arc;

use rumqttc::v5::mqttbytes::QoS;

use super::support::brokers::Broker;
use super::support::clients::{Message, V3, V5, within};
use super::support::node::{Node, directory, id, name, reading, sensor, status};
use super::support::proxy::Proxy;

super::with_both_brokers!(
    the_birth_comes_in_order_and_before_the_readings,
    a_node_that_loses_its_power_is_offline,
    a_clean_stop_delivers_what_waits_says_offline_and_leaves_the_descriptors,
    a_subscriber_of_an_older_mqtt_sees_the_readings,
    what_is_gone_is_taken_back,
    the_birth_document_follows_the_node,
    a_second_node_of_the_same_id_is_reported,
    a_message_that_is_too_large_holds_nothing_up,
    what_is_retained_of_a_former_config_is_taken_back,
);

/// The numbers of the readings in a message of the backlog.
fn seqs(message: &Message) -> Vec<u64> {
    let frames: Vec<ReadingFrame> = serde_json::from_slice(&message.payload).unwrap_or_default();
    frames.iter().map(|frame| frame.seq).collect()
}

async fn watch(broker: &Broker) -> V5 {
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/#", QoS::AtLeastOnce).await;
    watcher
}

/// The next message at a topic.
async fn at(watcher: &mut V5, topic: &str) -> Message {
    within(async {
        loop {
            let message = watcher.message().await;
            if message.topic == format!("sedge/v1/{topic}") {
                return message;
            }
        }
    })
    .await
}

async fn the_birth_comes_in_order_and_before_the_readings(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let proxy = Proxy::start().await;
    let node = Node::start(proxy.address).await;
    node.hurry();
    node.read(1);
    node.read(2);
    proxy.lead_to(broker.address);
    for topic in
        ["status", "info", "sensor/air", "tool/echo", "tool/slow", "health/air", "reading/air", "reading/air"]
    {
        assert_eq!(watcher.message().await.topic, format!("sedge/v1/pi/{topic}"));
    }

    let mut late = watch(&broker).await;
    let mut retained = std::collections::BTreeMap::new();
    for _ in 0..6 {
        let message = late.message().await;
        assert!(message.retain, "{}", message.topic);
        retained.insert(message.topic.clone(), message);
    }
    assert_eq!(retained["sedge/v1/pi/status"].text(), "online");
    let info: Info = serde_json::from_slice(&retained["sedge/v1/pi/info"].payload).unwrap();
    assert_eq!((info.node, info.proto, info.sensors), (id("pi"), 1, vec![id("air")]));
    let sensor: SensorFrame = serde_json::from_slice(&retained["sedge/v1/pi/sensor/air"].payload).unwrap();
    assert_eq!(sensor.place, "i2c-1/0x76");
    let tool: Tool = serde_json::from_slice(&retained["sedge/v1/pi/tool/echo"].payload).unwrap();
    assert_eq!(tool.name, name("echo"));
    let health: Health = serde_json::from_slice(&retained["sedge/v1/pi/health/air"].payload).unwrap();
    assert_eq!(health.state, State::Running);
}

async fn a_node_that_loses_its_power_is_offline(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let node = Node::start(broker.address).await;
    assert_eq!(at(&mut watcher, "pi/status").await.text(), "online");
    node.kill();
    assert_eq!(at(&mut watcher, "pi/status").await.text(), "offline");
    let mut late = V5::connect(broker.address, "late").await;
    late.subscribe("sedge/v1/pi/status", QoS::AtLeastOnce).await;
    let message = late.message().await;
    assert_eq!((message.text(), message.retain), ("offline", true));
}

async fn a_clean_stop_delivers_what_waits_says_offline_and_leaves_the_descriptors(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let mut directory = directory("pi");
    directory.plugins.insert(id("mqtt"), status("mqtt", State::Running).into());
    let mut node = Node::with(broker.address, directory, Settings::default()).await;
    at(&mut watcher, "pi/health/mqtt").await;
    for seq in 1..=500 {
        node.read(seq);
    }
    within(node.bridge.teardown()).await.unwrap();
    let (mut readings, mut stopped) = (0, false);
    while readings < 500 || !stopped {
        let message = watcher.message().await;
        assert_ne!(message.topic, "sedge/v1/pi/status", "the last of all");
        if message.topic == "sedge/v1/pi/reading/air" {
            readings += 1;
            assert_eq!(serde_json::from_slice::<ReadingFrame>(&message.payload).unwrap().seq, readings);
        } else if message.topic == "sedge/v1/pi/health/mqtt" {
            stopped = serde_json::from_slice::<Health>(&message.payload).unwrap().state == State::Stopped;
        }
    }
    let status = at(&mut watcher, "pi/status").await;
    assert_eq!(status.text(), "offline");

    let mut late = watch(&broker).await;
    let mut topics = Vec::new();
    for _ in 0..7 {
        topics.push(late.message().await.topic);
    }
    topics.sort();
    let left = ["health/air", "health/mqtt", "info", "sensor/air", "status", "tool/echo", "tool/slow"];
    assert_eq!(topics, left.map(|topic| format!("sedge/v1/pi/{topic}")));
}

async fn a_subscriber_of_an_older_mqtt_sees_the_readings(broker: Broker) {
    let mut watcher = V3::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/+/reading/+", QoS::AtLeastOnce).await;
    let node = Node::start(broker.address).await;
    node.read(7);
    let message = watcher.message().await;
    assert_eq!((message.topic.as_str(), message.retain), ("sedge/v1/pi/reading/air", false));
    let expected =
        r#"{"ts":"2026-11-20T17:28:24.123Z","seq":7,"boot":"9f3c21ab","fields":{"temperature":21.53}}"#;
    assert_eq!(message.text(), expected);
}

async fn what_is_gone_is_taken_back(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let mut node = Node::start(broker.address).await;
    at(&mut watcher, "pi/health/air").await;
    node.change(|directory| {
        directory.sensors.clear();
        directory.tools.remove(&name("slow"));
        directory.plugins.clear();
    });
    let gone = Arc::new(SensorChange::Gone(id("air")));
    Observer::<topics::SensorChanged>::observe(&mut node.bridge, gone).await.unwrap();
    let gone = Arc::new(ToolsChange { added: vec![], gone: vec![name("slow")] });
    Observer::<topics::ToolsChanged>::observe(&mut node.bridge, gone).await.unwrap();
    assert_eq!(at(&mut watcher, "pi/sensor/air").await.text(), "");
    assert_eq!(at(&mut watcher, "pi/tool/slow").await.text(), "");
    assert_eq!(at(&mut watcher, "pi/health/air").await.text(), "", "for which there was no message");

    let mut late = V5::connect(broker.address, "late").await;
    late.subscribe("sedge/v1/pi/tool/+", QoS::AtLeastOnce).await;
    late.subscribe("sedge/v1/pi/sensor/+", QoS::AtLeastOnce).await;
    late.subscribe("sedge/v1/pi/status", QoS::AtLeastOnce).await;
    assert_eq!(late.message().await.topic, "sedge/v1/pi/tool/echo");
    assert_eq!(late.message().await.topic, "sedge/v1/pi/status");
}

async fn the_birth_document_follows_the_node(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let mut node = Node::start(broker.address).await;
    at(&mut watcher, "pi/health/air").await;
    let door = status("door", State::Failed);
    node.change(|directory| {
        directory.sensors.insert(id("door"), sensor("door").into());
        directory.plugins.insert(door.id.clone(), door.clone().into());
    });
    let announced = Arc::new(SensorChange::Announced(sensor("door")));
    Observer::<topics::SensorChanged>::observe(&mut node.bridge, announced).await.unwrap();
    Observer::<topics::PluginStateChanged>::observe(&mut node.bridge, Arc::new(door)).await.unwrap();
    at(&mut watcher, "pi/sensor/door").await;
    let health = at(&mut watcher, "pi/health/door").await;
    assert_eq!(serde_json::from_slice::<Health>(&health.payload).unwrap().state, State::Failed);
    let info: Info = serde_json::from_slice(&at(&mut watcher, "pi/info").await.payload).unwrap();
    assert_eq!(info.sensors, [id("air"), id("door")]);
    assert_eq!(info.plugins[&id("door")].state, State::Failed);
}

async fn a_second_node_of_the_same_id_is_reported(broker: Broker) {
    let first = Node::start(broker.address).await;
    let mut watcher = watch(&broker).await;
    at(&mut watcher, "pi/status").await;
    let second = Node::start(broker.address).await;
    first.until_degraded("does another node have the same id?").await;
    second.until_well().await;
}

async fn a_message_that_is_too_large_holds_nothing_up(broker: Broker) {
    let mut other = V5::connect(broker.address, "other").await;
    other.publish("sedge/v1/pi/tool/echo/call", &"x".repeat(300 * 1024), QoS::AtLeastOnce, true).await;

    let mut watcher = watch(&broker).await;
    let node = Node::start(broker.address).await;
    let mut large = reading(1);
    large.frame.push("text", "x".repeat(300 * 1024).as_str());
    node.host.journal.put(large);
    node.read(2);
    let message = at(&mut watcher, "pi/reading/air").await;
    assert_eq!(serde_json::from_slice::<ReadingFrame>(&message.payload).unwrap().seq, 2);
    other.publish("sedge/v1/pi/tool/echo/call", "", QoS::AtLeastOnce, false).await;
    at(&mut watcher, "pi/tool/echo/result").await;
}

async fn what_is_retained_of_a_former_config_is_taken_back(broker: Broker) {
    let mut other = V5::connect(broker.address, "other").await;
    let ghosts = ["sensor/ghost", "tool/ghost", "health/ghost"];
    for topic in ghosts {
        other.publish(&format!("sedge/v1/pi/{topic}"), "{}", QoS::AtLeastOnce, true).await;
    }
    let others = ["sedge/v1/other/sensor/ghost", "sedge/v1/pi/alarm/ghost"];
    for topic in others {
        other.publish(topic, "{}", QoS::AtLeastOnce, true).await;
    }
    let mut node = Node::start(broker.address).await;
    let mut watcher = watch(&broker).await;
    node.started().await;
    let mut gone = Vec::new();
    while gone.len() < 3 {
        let message = watcher.message().await;
        if message.payload.is_empty() {
            gone.push(message.topic);
        }
    }
    gone.sort();
    let mut expected = ghosts.map(|topic| format!("sedge/v1/pi/{topic}"));
    expected.sort();
    assert_eq!(gone, expected);
    let mut late = watch(&broker).await;
    let mut left = Vec::new();
    for _ in 0..8 {
        left.push(late.message().await.topic);
    }
    assert!(others.iter().all(|topic| left.contains(&(*topic).to_owned())), "{left:?}");
    assert!(left.contains(&"sedge/v1/pi/sensor/air".to_owned()), "{left:?}");
}

#[tokio::test]
async fn a_broker_that_does_not_let_the_node_read_itself_is_no_fault() {
    let acl = std::env::temp_dir().join(format!("sedge-sweep-{}", std::process::id()));
    std::fs::write(&acl, "topic write sedge/v1/#\ntopic read sedge/v1/pi/tool/+/call\n").unwrap();
    let broker = Broker::mosquitto(&format!("allow_anonymous true\nacl_file {}", acl.display())).await;
    if let Some(broker) = broker {
        let mut node = Node::start(broker.address).await;
        node.started().await;
        node.read(1);
        within(node.bridge.teardown()).await.unwrap();
        assert_eq!(*node.host.degraded.borrow(), None);
    }
    std::fs::remove_file(&acl).unwrap();
}

#[tokio::test]
async fn readings_that_the_broker_refuses_are_kept_until_its_rules_let_them_through() {
    let acl = std::env::temp_dir().join(format!("sedge-refuse-{}", std::process::id()));
    let rules = "topic read sedge/v1/#\ntopic write sedge/v1/pi/status\ntopic write sedge/v1/pi/event/#\n\
                 topic write sedge/v1/pi/reading/door\n";
    std::fs::write(&acl, rules).unwrap();
    let broker = Broker::mosquitto(&format!("allow_anonymous true\nacl_file {}", acl.display())).await;
    if let Some(broker) = broker {
        let mut readings = V5::connect(broker.address, "readings").await;
        readings.subscribe("sedge/v1/pi/#", QoS::AtLeastOnce).await;
        let node = Node::start(broker.address).await;
        node.read(1);
        node.until_degraded("the broker refuses readings: not authorized").await;
        std::fs::write(&acl, "topic readwrite sedge/v1/#\n").unwrap();
        broker.reload();
        // One of the news finds out that they are let through.
        for seq in 2..500 {
            node.read(seq);
            let well = tokio::time::timeout(std::time::Duration::from_millis(20), node.until_well());
            if well.await.is_ok() {
                break;
            }
        }
        let first = "sedge/v1/pi/backlog/air";
        while !matches!(readings.message().await, message if message.topic == first && seqs(&message).contains(&1))
        {
        }
    }
    std::fs::remove_file(&acl).unwrap();
}

#[tokio::test]
async fn settings_that_are_wrong_are_said_to_be() {
    let host = Node::start(([127, 0, 0, 1], 9).into()).await.host.clone();
    let settings = Settings { base: "sedge/#".into(), ..Settings::default() };
    let ctx = sedge_plugin::Context::new(id("mqtt"), host);
    let error = sedge_mqtt::MqttBridge::setup(&settings, ctx).await.err().unwrap();
    assert!(matches!(error, PluginError::Settings(_)), "{error}");
}

#[tokio::test]
async fn a_refused_login_is_said_in_words_for_a_person() {
    let Some(broker) = Broker::mosquitto("allow_anonymous false").await else { return };
    let node = Node::with(broker.address, directory("pi"), Settings::default()).await;
    node.until_degraded("refused the login").await;
}

#[tokio::test]
async fn a_smaller_limit_of_the_broker_holds_nothing_up() {
    let Some(broker) = Broker::mosquitto("allow_anonymous true\nmax_packet_size 4000").await else { return };
    let mut watcher = watch(&broker).await;
    let node = Node::start(broker.address).await;
    let mut large = reading(1);
    large.frame.push("text", "x".repeat(8000).as_str());
    node.host.journal.put(large);
    node.read(2);
    let message = at(&mut watcher, "pi/reading/air").await;
    assert_eq!(serde_json::from_slice::<ReadingFrame>(&message.payload).unwrap().seq, 2);
}
