//! Sessions: both versions of MQTT, over TCP, TLS, mutual TLS and websockets; several brokers; a hostile one.

use rumqttc::v5::mqttbytes::QoS;
use sedge_mqtt::remote::{Remote, RemoteError};
use sedge_mqtt::wire::{Answer, ResultFrame};
use sedge_mqtt::{Broker as At, Scheme, Settings, Version};
use sedge_plugin::{Plugin, Progress};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::authority::Authority;
use super::support::brokers::{Broker, Kind, reserved};
use super::support::clients::{V3, V5};
use super::support::node::{Node, directory, id, name, reading};
use super::support::proxy::Proxy;

super::with_both_brokers!(
    with_3_1_1_readings_arrive_and_calls_are_answered,
    with_3_1_1_a_tool_is_called_from_the_command_line,
    with_3_1_1_a_second_node_with_the_same_id_is_reported,
    a_broker_that_cuts_the_connection_at_the_subscription_gets_the_readings_without_it,
    the_next_broker_is_taken_when_the_first_one_is_gone_and_nothing_is_lost,
);

fn v3() -> Settings {
    Settings { version: Version::V3, ..Settings::default() }
}

async fn with_3_1_1_readings_arrive_and_calls_are_answered(broker: Broker) {
    let mut watcher = V3::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/reading/+", QoS::AtLeastOnce).await;
    watcher.subscribe("sedge/v1/pi/tool/+/result", QoS::AtLeastOnce).await;
    watcher.subscribe("sedge/v1/pi/status", QoS::AtLeastOnce).await;
    let mut node = Node::with(broker.address, directory("pi"), v3()).await;
    assert_eq!(watcher.message().await.text(), "online");
    node.read(1);
    assert_eq!(watcher.message().await.topic, "sedge/v1/pi/reading/air");
    let call = json!({ "id": "c1", "args": { "on": true } }).to_string();
    watcher.publish("sedge/v1/pi/tool/echo/call", &call, QoS::AtLeastOnce, false).await;
    let result = watcher.message().await;
    assert_eq!(result.topic, "sedge/v1/pi/tool/echo/result");
    let frame: ResultFrame = serde_json::from_slice(&result.payload).unwrap();
    assert_eq!(frame.id, "c1");
    node.bridge.teardown().await.unwrap();
    assert_eq!(watcher.message().await.text(), "offline");
}

async fn with_3_1_1_a_tool_is_called_from_the_command_line(broker: Broker) {
    let mut watcher = V3::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/tool/echo", QoS::AtLeastOnce).await;
    let _node = Node::with(broker.address, directory("pi"), v3()).await;
    watcher.message().await;
    let settings = Settings { version: Version::V3, ..Settings::at("127.0.0.1", broker.address.port()) };
    let remote = Remote::connect(&settings, "cli-1").await.unwrap();
    assert_eq!(remote.tools(None).await.unwrap().len(), 2);
    for on in [true, false] {
        let args = json!({ "on": on });
        let (pi, echo, patience) = (id("pi"), name("echo"), Duration::from_secs(20));
        let call = remote.call(&pi, &echo, args.clone(), patience, Progress::default());
        let Answer::Done { result, .. } = call.await.unwrap().answer else { panic!("done") };
        assert_eq!(result, Ok(args));
    }
}

async fn with_3_1_1_a_second_node_with_the_same_id_is_reported(broker: Broker) {
    let first = Node::with(broker.address, directory("pi"), v3()).await;
    first.hurry_and_never_be_steady();
    let second = Node::with(broker.address, directory("pi"), v3()).await;
    second.hurry_and_never_be_steady();
    first.until_degraded("does another node have the same id?").await;
}

async fn a_broker_that_cuts_the_connection_at_the_subscription_gets_the_readings_without_it(broker: Broker) {
    let mut watcher = V3::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/reading/+", QoS::AtLeastOnce).await;
    watcher.subscribe("sedge/v1/pi/backlog/+", QoS::AtLeastOnce).await;
    let proxy = Proxy::to(broker.address).await;
    proxy.cut_at("pi/tool/+/call");
    let node = Node::with(proxy.address, directory("pi"), Settings::default()).await;
    node.hurry_and_never_be_steady();
    node.read(1);
    watcher.message().await;
    node.until_degraded("when the node subscribes to its calls").await;

    // What else it listens to it hears: Home Assistant, which has begun.
    node.read(2);
    while !watcher.message().await.text().contains("\"seq\":2") {}
    node.host.latest.lock().unwrap().insert(id("air"), reading(95).into());
    let mut home_assistant = V5::connect(broker.address, "home-assistant").await;
    home_assistant.publish("homeassistant/status", "online", QoS::AtLeastOnce, false).await;
    while !watcher.message().await.text().contains("\"seq\":95") {}
}

/// A broker that grants nothing at first: a cluster that is choosing a leader.
async fn undecided(listener: TcpListener, refusals: usize) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = 0;
    loop {
        let first = stream.read_u8().await.unwrap();
        let mut length = 0;
        for shift in [0, 7, 14] {
            let digit = usize::from(stream.read_u8().await.unwrap());
            length |= (digit & 0x7f) << shift;
            if digit < 0x80 {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let answer = match first {
            0x10 => vec![0x20, 2, 0, 0],
            0x82 => {
                asked += 1;
                vec![0x90, 3, body[0], body[1], if asked > refusals { 0 } else { 0x80 }]
            }
            0x32 | 0x33 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                vec![0x40, 2, body[2 + topic], body[3 + topic]]
            }
            _ => continue,
        };
        stream.write_all(&answer).await.unwrap();
        if first == 0x82 && asked > refusals {
            let (topic, call) = ("sedge/v1/pi/tool/echo/call", r#"{"args":{}}"#);
            let length = u8::try_from(2 + topic.len() + call.len()).unwrap();
            let publish = [&[0x30, length, 0, topic.len() as u8], topic.as_bytes(), call.as_bytes()].concat();
            stream.write_all(&publish).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_subscription_to_calls_that_was_not_granted_is_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let broker = tokio::spawn(undecided(listener, 3));
    let node = Node::with(address, directory("pi"), v3()).await;
    node.hurry();
    node.until_begun(1).await;
    broker.abort();
}

async fn the_next_broker_is_taken_when_the_first_one_is_gone_and_nothing_is_lost(broker: Broker) {
    let second = Broker::start(Kind::Embedded).await.unwrap();
    let (mut before, mut after) =
        (V3::connect(broker.address, "watcher").await, V3::connect(second.address, "watcher").await);
    for watcher in [&mut before, &mut after] {
        watcher.subscribe("sedge/v1/pi/reading/+", QoS::AtLeastOnce).await;
        watcher.subscribe("sedge/v1/pi/backlog/+", QoS::AtLeastOnce).await;
    }
    let proxy = Proxy::to(broker.address).await;
    let brokers = [proxy.address, second.address].map(|at| At::at(at.ip().to_string(), at.port())).into();
    let node = Node::among(directory("pi"), Settings { brokers, ..Settings::default() }).await;
    node.hurry();
    node.read(1);
    assert_eq!(before.message().await.topic, "sedge/v1/pi/reading/air", "the first one");
    proxy.lead_nowhere();
    proxy.cut();
    node.read(2);
    assert!(after.message().await.text().contains("\"seq\":2"), "the second one");
}

/// Mosquitto with another listener, which those lines describe; where that is.
async fn mosquitto(lines: &str) -> Option<(Broker, u16, tokio::net::TcpSocket)> {
    let (socket, address) = reserved();
    let port = address.port();
    let config = format!("allow_anonymous true\nlistener {port} 127.0.0.1\n{lines}");
    Some((Broker::mosquitto(&config).await?, port, socket))
}

fn at(scheme: Scheme, port: u16) -> Vec<At> {
    vec![At { scheme, ..At::at("localhost", port) }]
}

/// A node with these settings gets a reading through, in both versions.
async fn works(broker: &Broker, settings: &Settings) {
    for version in [Version::V5, Version::V3] {
        let mut watcher = V5::connect(broker.address, "watcher").await;
        watcher.subscribe("sedge/v1/pi/reading/+", QoS::AtLeastOnce).await;
        let mut node = Node::among(directory("pi"), Settings { version, ..settings.clone() }).await;
        node.read(1);
        assert_eq!(watcher.message().await.topic, "sedge/v1/pi/reading/air", "{version}");
        node.bridge.teardown().await.unwrap();
    }
}

/// A node with these settings says why it does not connect.
async fn fails(settings: Settings, why: &str) {
    let node = Node::among(directory("pi"), settings.clone()).await;
    node.until_degraded(why).await;
    let refused = Remote::connect(&settings, "cli-1").await.unwrap_err();
    assert!(matches!(&refused, RemoteError::Tls(text) if text.contains(why)), "{refused:?}");
}

#[tokio::test]
async fn over_tls_the_broker_must_be_whom_we_trust_and_whom_we_named() {
    let (ours, other) = (Authority::new(), Authority::new());
    let Some((broker, port, _socket)) = mosquitto(&ours.listener("localhost", false)).await else { return };
    let settings =
        Settings { brokers: at(Scheme::Mqtts, port), ca_file: Some(ours.file()), ..Settings::default() };
    works(&broker, &settings).await;
    fails(
        Settings { ca_file: Some(other.file()), ..settings.clone() },
        "signed by nobody whom this node trusts",
    )
    .await;
    fails(Settings { ca_file: None, ..settings.clone() }, "").await;
    fails(Settings { ca_file: Some("/no/such/file".into()), ..settings.clone() }, "/no/such/file").await;
    let mut brokers = settings.brokers.clone();
    brokers[0].host = "127.0.0.1".into();
    fails(Settings { brokers, ..settings.clone() }, "for another name").await;
    // The plain listener.
    let brokers = at(Scheme::Mqtts, broker.address.port());
    let plain = Remote::connect(&Settings { brokers, ..settings }, "cli-1").await;
    assert!(plain.is_err());
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_laid_to_the_clock() {
    let ours = Authority::new();
    let Some((_broker, port, _socket)) = mosquitto(&ours.listener_of_tomorrow()).await else { return };
    let settings =
        Settings { brokers: at(Scheme::Mqtts, port), ca_file: Some(ours.file()), ..Settings::default() };
    fails(settings, "is this board's clock behind?").await;
}

#[tokio::test]
async fn a_broker_that_wants_a_certificate_gets_ours_and_a_renewed_one_without_a_restart() {
    let (ours, other) = (Authority::new(), Authority::new());
    let Some((broker, port, _socket)) = mosquitto(&ours.listener("localhost", true)).await else { return };
    let settings =
        Settings { brokers: at(Scheme::Mqtts, port), ca_file: Some(ours.file()), ..Settings::default() };
    fails(settings.clone(), "this node's certificate").await;
    let (cert, key) = other.client("renewed");
    let settings = Settings { cert_file: Some(cert.clone()), key_file: Some(key.clone()), ..settings };
    let mut watcher = V5::connect(broker.address, "watcher-1").await;
    watcher.subscribe("sedge/v1/pi/reading/+", QoS::AtLeastOnce).await;
    let node = Node::among(directory("pi"), settings.clone()).await;
    node.hurry();
    node.until_degraded("this node's certificate").await;
    let (good_cert, good_key) = ours.client("good");
    std::fs::rename(good_key, key).unwrap();
    std::fs::rename(good_cert, cert).unwrap();
    node.read(1);
    assert_eq!(watcher.message().await.topic, "sedge/v1/pi/reading/air");
    drop(node);
    works(&broker, &settings).await;
}

#[tokio::test]
async fn over_websockets_with_and_without_tls_all_is_the_same() {
    let ours = Authority::new();
    let Some((broker, port, _socket)) = mosquitto("protocol websockets").await else { return };
    works(&broker, &Settings { brokers: at(Scheme::Ws, port), ..Settings::default() }).await;
    let lines = format!("protocol websockets\n{}", ours.listener("localhost", false));
    let Some((broker, port, _socket)) = mosquitto(&lines).await else { return };
    let settings =
        Settings { brokers: at(Scheme::Wss, port), ca_file: Some(ours.file()), ..Settings::default() };
    works(&broker, &settings).await;
}
