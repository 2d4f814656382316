//! What the fleet's side promises: all nodes, from what they have retained.

use std::net::SocketAddr;

use rumqttc::v5::mqttbytes::QoS;
use sedge_mqtt::Settings;
use sedge_mqtt::remote::{NodeNews, Remote};

use super::support::brokers::Broker;
use super::support::clients::{V5, within};
use super::support::node::{Node, id};

super::with_both_brokers!(
    two_hundred_nodes_are_listed_each_with_its_birth,
    what_happens_to_nodes_is_told_as_it_does,
    what_a_node_has_left_is_found_and_taken_back,
);

async fn connect(broker: SocketAddr) -> Remote {
    let settings = Settings::at(broker.ip().to_string(), broker.port());
    Remote::connect(&settings, "cli-1").await.unwrap()
}

fn birth(node: &str) -> String {
    include_str!("../golden/info.json").replace("\"pi-kitchen\"", &format!("\"{node}\""))
}

async fn two_hundred_nodes_are_listed_each_with_its_birth(broker: Broker) {
    let mut far = V5::connect(broker.address, "far").await;
    for n in 0..200 {
        let node = format!("node-{n}");
        let status = if n % 10 == 0 { "offline" } else { "online" };
        far.publish(&format!("sedge/v1/{node}/status"), status, QoS::AtLeastOnce, true).await;
        far.publish(&format!("sedge/v1/{node}/info"), &birth(&node), QoS::AtLeastOnce, true).await;
    }
    far.publish("sedge/v1/strange/info", "no document", QoS::AtLeastOnce, true).await;
    let fleet = within(connect(broker.address).await.fleet(None)).await.unwrap();
    assert_eq!(fleet.len(), 200);
    assert_eq!(fleet.values().filter(|node| node.online == Some(false)).count(), 20);
    assert!(fleet.iter().all(|(id, node)| node.info.as_ref().is_some_and(|info| info.node == *id)));
    let one = connect(broker.address).await.fleet(Some(&id("node-7"))).await.unwrap();
    assert_eq!(one.keys().collect::<Vec<_>>(), [&id("node-7")]);
}

async fn what_happens_to_nodes_is_told_as_it_does(broker: Broker) {
    let remote = connect(broker.address).await;
    let mut news = remote.watch_fleet(None).await.unwrap();
    let node = Node::start(broker.address).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.push(within(news.next()).await.unwrap().unwrap());
    }
    assert!(told.contains(&(id("pi"), NodeNews::Online(true))), "{told:?}");
    assert!(told.iter().any(|(_, news)| matches!(news, NodeNews::Info(info) if info.node == id("pi"))));
    node.kill();
    while within(news.next()).await.unwrap() != Some((id("pi"), NodeNews::Online(false))) {}
}

async fn what_a_node_has_left_is_found_and_taken_back(broker: Broker) {
    let mut far = V5::connect(broker.address, "far").await;
    let left = ["health/air", "info", "sensor/air", "status", "tool/echo", "tool/echo/call"];
    for topic in left {
        far.publish(&format!("sedge/v1/pi/{topic}"), "offline", QoS::AtLeastOnce, true).await;
    }
    far.publish("homeassistant/device/sedge-pi/config", "{}", QoS::AtLeastOnce, true).await;
    far.publish("sedge/v1/pi-2/status", "online", QoS::AtLeastOnce, true).await;
    let remote = connect(broker.address).await;
    let topics = remote.retained_of(&id("pi")).await.unwrap();
    assert_eq!(topics.len(), left.len() + 1, "{topics:?}");
    assert_eq!(
        topics.last().map(String::as_str),
        Some("sedge/v1/pi/status"),
        "last, so that it can be tried again"
    );
    for topic in topics {
        remote.take_back(topic).await.unwrap();
    }
    assert_eq!(remote.retained_of(&id("pi")).await.unwrap(), [""; 0]);
    assert_eq!(remote.fleet(None).await.unwrap().keys().collect::<Vec<_>>(), [&id("pi-2")]);
}
