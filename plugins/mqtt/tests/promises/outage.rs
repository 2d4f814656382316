//! What becomes of readings when the broker goes away.

use std::collections::BTreeSet;

use rumqttc::v5::mqttbytes::QoS;
use sedge_mqtt::Settings;
use sedge_mqtt::wire::{BacklogFrame, Event, ReadingFrame};
use sedge_plugin::Plugin;
use sedge_plugin::testing::MemoryJournal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::brokers::{Broker, Kind};
use super::support::clients::{Message, V3, V5, within};
use super::support::node::{Node, directory};
use super::support::proxy::Proxy;

super::with_both_brokers!(
    every_reading_arrives_though_the_connection_is_cut_again_and_again,
    every_reading_arrives_though_the_broker_has_forgotten_the_session,
    readings_beyond_the_journal_are_lost_from_the_oldest_counted_and_told,
    readings_of_an_outage_are_backlog_and_news_is_not,
    a_stop_before_the_broker_has_answered_ends_at_once,
    while_the_broker_is_away_the_node_says_so_and_runs_on,
    after_an_outage_all_that_is_retained_is_there_again,
    a_broker_that_went_deaf_does_not_hold_up_the_stop,
);

/// The numbers of the readings in a message, one or an array of them.
fn numbers(message: &Message) -> Vec<u64> {
    if !message.topic.contains("/backlog/") {
        return vec![serde_json::from_slice::<ReadingFrame>(&message.payload).unwrap().seq];
    }
    let frames = serde_json::from_slice::<BacklogFrame>(&message.payload).unwrap().0;
    assert!(!message.retain && (1..=100).contains(&frames.len()) && message.payload.len() <= 64 * 1024);
    assert!(frames.is_sorted_by_key(|frame| frame.seq), "in order");
    frames.iter().map(|frame| frame.seq).collect()
}

/// Gathers the numbers of readings until there are enough.
async fn gather(watcher: &mut V3, seen: &mut BTreeSet<u64>, enough: u64) {
    while seen.len() < usize::try_from(enough).unwrap() {
        seen.extend(numbers(&watcher.message().await));
    }
}

async fn watch(broker: &Broker) -> V3 {
    let mut watcher = V3::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/+/reading/+", QoS::AtLeastOnce).await;
    watcher.subscribe("sedge/v1/+/backlog/+", QoS::AtLeastOnce).await;
    watcher
}

async fn every_reading_arrives_though_the_connection_is_cut_again_and_again(broker: Broker) {
    let mut watcher = watch(&broker).await;
    let proxy = Proxy::to(broker.address).await;
    let node = Node::start(proxy.address).await;
    node.hurry();
    let mut seen = BTreeSet::new();
    for round in 1..=6 {
        for seq in (round - 1) * 500 + 1..=round * 500 {
            node.read(seq);
            if seq % 100 == 0 {
                // The connection is cut while readings are under way: after some have arrived, and before all have.
                gather(&mut watcher, &mut seen, (round - 1) * 500 + 1).await;
            }
        }
        proxy.cut();
    }
    gather(&mut watcher, &mut seen, 3000).await;
}

async fn every_reading_arrives_though_the_broker_has_forgotten_the_session(broker: Broker) {
    let second = Broker::start(Kind::Embedded).await.unwrap();
    let (mut before, mut after) = (watch(&broker).await, watch(&second).await);
    let proxy = Proxy::to(broker.address).await;
    let node = Node::start(proxy.address).await;
    node.hurry();
    for seq in 1..=2000 {
        node.read(seq);
    }
    let mut seen = BTreeSet::new();
    gather(&mut before, &mut seen, 100).await;
    // From here on another broker answers, that knows nothing.
    proxy.lead_to(second.address);
    proxy.cut();
    for seq in 2001..=3000 {
        node.read(seq);
    }
    // What the first broker has acknowledged, it delivers.
    within(async {
        while seen.len() < 3000 {
            let message = tokio::select! {
                message = before.message() => message,
                message = after.message() => message,
            };
            seen.extend(numbers(&message));
        }
    })
    .await;
}

async fn readings_beyond_the_journal_are_lost_from_the_oldest_counted_and_told(broker: Broker) {
    let mut watcher = V5::connect(broker.address, "events").await;
    watcher.subscribe("sedge/v1/pi/event/+", QoS::AtLeastOnce).await;
    let mut readings = watch(&broker).await;
    let proxy = Proxy::start().await;
    let journal = MemoryJournal::new(100);
    let node = Node::keeping(proxy.address, directory("pi"), Settings::default(), journal).await;
    node.hurry();
    for seq in 1..=250 {
        node.read(seq);
    }
    proxy.lead_to(broker.address);
    for seq in 151..=250 {
        let message = readings.message().await;
        let topic = message.topic.as_str();
        assert_eq!(topic, "sedge/v1/pi/reading/air", "the first ones of a node that has just started");
        assert_eq!(numbers(&message), [seq]);
    }
    let mut told = 0;
    while told < 150 {
        let message = watcher.message().await;
        let event: Event = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!((message.topic.as_str(), message.retain), ("sedge/v1/pi/event/readings_lost", false));
        told += event.data["count"].as_u64().unwrap();
        if told == 150 {
            let loss = &event.data["losses"][0];
            assert_eq!((&loss["sensor"], &loss["cause"]), (&"air".into(), &"full".into()));
            assert_eq!((&loss["count"], &loss["seqs"]), (&150.into(), &serde_json::json!([[1, 150]])));
        }
    }
    assert_eq!(told, 150);
}

async fn readings_of_an_outage_are_backlog_and_news_is_not(broker: Broker) {
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/#", QoS::AtLeastOnce).await;
    let proxy = Proxy::to(broker.address).await;
    let node = Node::start(proxy.address).await;
    node.hurry();
    node.read(1);
    while watcher.message().await.topic != "sedge/v1/pi/reading/air" {}
    proxy.lead_nowhere();
    proxy.cut();
    node.until_degraded("broker unreachable").await;
    for seq in 2..=250 {
        node.read(seq);
    }
    proxy.lead_to(broker.address);
    let mut topics = Vec::new();
    let mut seen = BTreeSet::new();
    while seen.len() < 249 {
        let message = watcher.message().await;
        assert_ne!(message.topic, "sedge/v1/pi/reading/air");
        topics.push(message.topic.strip_prefix("sedge/v1/pi/").unwrap().to_owned());
        if message.topic.contains("backlog") {
            seen.extend(numbers(&message).into_iter().filter(|seq| *seq > 1));
        }
    }
    let first = topics.iter().position(|topic| topic == "backlog/air").unwrap();
    assert_eq!(topics[first - 1], "health/air", "after all that is retained: {topics:?}");
    node.read(251);
    loop {
        let message = watcher.message().await;
        if message.topic == "sedge/v1/pi/reading/air" {
            break assert_eq!(numbers(&message), [251]);
        }
    }
}

async fn a_stop_before_the_broker_has_answered_ends_at_once(broker: Broker) {
    let proxy = Proxy::start().await;
    proxy.lead_to_the_void();
    let mut node = Node::start(proxy.address).await;
    // The deadline of the stop never comes.
    *node.host.longest_sleep.lock().unwrap() = std::time::Duration::ZERO;
    proxy.until_met().await;
    within(node.bridge.teardown()).await.unwrap();
    assert_eq!(*node.host.degraded.borrow(), None, "it did not wait for the attempt to fail");
    drop(broker);
}

async fn while_the_broker_is_away_the_node_says_so_and_runs_on(broker: Broker) {
    let proxy = Proxy::start().await;
    let mut node = Node::start(proxy.address).await;
    node.hurry();
    node.until_degraded("broker unreachable").await;
    node.read(1);
    node.bridge.tick().await.unwrap();
    proxy.lead_to(broker.address);
    node.until_well().await;
    proxy.lead_nowhere();
    proxy.cut();
    node.until_degraded("broker unreachable").await;
    within(node.bridge.teardown()).await.unwrap();
    assert!(
        node.bridge.tick().await.is_err(),
        "its task has ended, which is an error in a bridge that should run"
    );
}

async fn after_an_outage_all_that_is_retained_is_there_again(broker: Broker) {
    let second = Broker::start(Kind::Embedded).await.unwrap();
    let proxy = Proxy::to(broker.address).await;
    let node = Node::start(proxy.address).await;
    node.hurry();
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/health/air", QoS::AtLeastOnce).await;
    watcher.message().await;

    let mut watcher = V5::connect(second.address, "watcher").await;
    watcher.subscribe("sedge/v1/#", QoS::AtLeastOnce).await;
    proxy.lead_to(second.address);
    proxy.cut();
    for topic in ["status", "info", "sensor/air", "tool/echo", "tool/slow", "health/air"] {
        assert_eq!(watcher.message().await.topic, format!("sedge/v1/pi/{topic}"));
    }
}

async fn a_broker_that_went_deaf_does_not_hold_up_the_stop(broker: Broker) {
    let proxy = Proxy::to(broker.address).await;
    let mut node = Node::start(proxy.address).await;
    node.hurry();
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/health/air", QoS::AtLeastOnce).await;
    watcher.message().await;
    proxy.lead_to_the_void();
    proxy.cut();
    node.until_degraded("broker unreachable").await;
    node.read(1);
    // Where the next attempt has begun, the deadline ends it; where it has not, there is nothing to wait for.
    let _ = within(node.bridge.teardown()).await;
}

/// A broker that answers CONNECT, acknowledges five of what it gets, and closes in the same breath.
async fn treacherous(listener: TcpListener) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut bytes = [0; 4096];
    assert!(socket.read(&mut bytes).await.unwrap() > 0);
    // CONNACK: no session, success, no properties.
    socket.write_all(b"\x20\x03\x00\x00\x00").await.unwrap();
    // The two SUBSCRIBE took the first packet ids; a reading is longer than 100 bytes.
    let mut seen = 0;
    while seen < 4096 {
        seen += socket.read(&mut bytes).await.unwrap();
    }
    let acknowledged: Vec<u8> = (3..8).flat_map(|packet| [0x40, 2, 0, packet]).collect();
    socket.write_all(&acknowledged).await.unwrap();
}

#[tokio::test]
async fn acknowledgements_that_come_with_the_end_lose_nothing() {
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let mut watcher = watch(&broker).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).await;
    let node = Node::start(proxy.address).await;
    for seq in 1..=500 {
        node.read(seq);
    }
    within(treacherous(listener)).await;
    proxy.lead_to(broker.address);
    node.hurry();
    // It acknowledged `status`, `info` and other state, and no reading.
    let mut seen = BTreeSet::new();
    gather(&mut watcher, &mut seen, 500).await;
}
