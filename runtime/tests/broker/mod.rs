//! What the embedded broker promises to any client: MQTT 5 and 3.1.1 on one port.
//!
//! The clients are an independent implementation (rumqttc), so that a misreading of the standard is not shared.

pub mod clients;

use std::time::Duration;

use clients::{V3, V5, within};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use sedge::broker::{BrokerError, EmbeddedBroker};
use tokio::io::AsyncWriteExt;

async fn broker() -> EmbeddedBroker {
    EmbeddedBroker::start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

const AT_LEAST_ONCE: QoS = QoS::AtLeastOnce;

#[tokio::test]
async fn a_port_that_is_taken_is_told_apart_from_other_errors() {
    let broker = broker().await;
    let error = EmbeddedBroker::start(broker.local_addr()).await.unwrap_err();
    assert!(matches!(error, BrokerError::PortTaken(address) if address == broker.local_addr()), "{error}");
    let error = EmbeddedBroker::start(([192, 0, 2, 1], 0).into()).await.unwrap_err();
    assert!(matches!(error, BrokerError::Listen { .. }), "{error}");
}

#[tokio::test]
async fn after_a_shutdown_the_port_is_free_again_and_clients_know() {
    let broker = broker().await;
    let address = broker.local_addr();
    let mut client = V5::connect(address, "a").await;
    within(broker.shutdown()).await;
    within(client.ended()).await;
    EmbeddedBroker::start(address).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn nothing_is_written_to_disk() {
    let broker = broker().await;
    let mut client = V5::persistent(broker.local_addr(), "a", Duration::from_secs(60), true).await;
    client.subscribe("t/#", AT_LEAST_ONCE).await;
    client.publish("t/a", "x", AT_LEAST_ONCE, true).await;
    client.cut();
    V5::connect(broker.local_addr(), "b").await.publish("t/a", "y", AT_LEAST_ONCE, true).await;
    broker.shutdown().await;
    assert!(!std::path::Path::new("mqtt_storage").exists(), "the library's default folder");
}

#[tokio::test]
async fn a_retained_message_comes_on_every_subscription() {
    let broker = broker().await;
    let mut publisher = V5::connect(broker.local_addr(), "p").await;
    publisher.publish("t/a", "kept", AT_LEAST_ONCE, true).await;

    let mut v5 = V5::connect(broker.local_addr(), "five").await;
    let mut v3 = V3::connect(broker.local_addr(), "three").await;
    for _ in 0..2 {
        v5.subscribe("t/+", AT_LEAST_ONCE).await;
        let message = v5.message().await;
        assert_eq!((message.text(), message.retain), ("kept", true));
        v3.subscribe("t/+", AT_LEAST_ONCE).await;
        let message = v3.message().await;
        assert_eq!((message.text(), message.retain), ("kept", true));
    }

    publisher.publish("t/a", "", AT_LEAST_ONCE, true).await;
    assert_eq!(v5.message().await.text(), "");
    publisher.publish("t/b", "end", AT_LEAST_ONCE, true).await;
    let mut late = V5::connect(broker.local_addr(), "late").await;
    late.subscribe("t/+", AT_LEAST_ONCE).await;
    assert_eq!(late.message().await.topic, "t/b", "an empty message has taken the other one back");
}

#[tokio::test]
async fn the_will_is_published_when_a_client_is_cut_off_and_not_when_it_parts() {
    let broker = broker().await;
    let mut watcher = V3::connect(broker.local_addr(), "watcher").await;
    watcher.subscribe("will/#", AT_LEAST_ONCE).await;

    V5::with_will(broker.local_addr(), "five", "will/five", "gone").await.cut();
    let message = watcher.message().await;
    assert_eq!((message.topic.as_str(), message.text()), ("will/five", "gone"));
    V3::with_will(broker.local_addr(), "three", "will/three", "gone").await.cut();
    assert_eq!(watcher.message().await.topic, "will/three");

    V5::with_will(broker.local_addr(), "five", "will/five", "gone").await.part().await;
    V3::with_will(broker.local_addr(), "three", "will/three", "gone").await.part().await;
    V3::with_will(broker.local_addr(), "last", "will/last", "gone").await.cut();
    assert_eq!(watcher.message().await.topic, "will/last", "those who part have no will");

    let mut late = V5::connect(broker.local_addr(), "late").await;
    late.subscribe("will/five", AT_LEAST_ONCE).await;
    assert!(late.message().await.retain, "the will was to be retained");
}

#[tokio::test]
async fn every_quality_of_service_arrives_in_both_directions() {
    let broker = broker().await;
    let mut v5 = V5::connect(broker.local_addr(), "five").await;
    let mut v3 = V3::connect(broker.local_addr(), "three").await;
    v5.subscribe("t/#", QoS::ExactlyOnce).await;
    v3.subscribe("t/#", QoS::ExactlyOnce).await;
    for qos in [QoS::AtMostOnce, AT_LEAST_ONCE, QoS::ExactlyOnce] {
        v5.publish("t/five", "x", qos, false).await;
        v3.publish("t/three", "x", qos, false).await;
        for topics in [[v5.message().await, v5.message().await], [v3.message().await, v3.message().await]] {
            let mut topics = topics.map(|message| (message.topic, message.qos));
            topics.sort();
            assert_eq!(topics, [("t/five".into(), qos as u8), ("t/three".into(), qos as u8)]);
        }
    }
}

#[tokio::test]
async fn a_persistent_session_gets_what_came_while_it_was_away() {
    let broker = broker().await;
    let address = broker.local_addr();
    let hour = Duration::from_secs(3600);

    let mut v5 = V5::persistent(address, "five", hour, true).await;
    v5.subscribe("t/#", AT_LEAST_ONCE).await;
    v5.part().await;
    let mut v3 = V3::persistent(address, "three").await;
    v3.subscribe("t/#", AT_LEAST_ONCE).await;
    v3.part().await;

    let mut publisher = V5::connect(address, "p").await;
    for n in 0..5 {
        publisher.publish("t/n", &n.to_string(), AT_LEAST_ONCE, false).await;
    }
    let mut v5 = V5::persistent(address, "five", hour, false).await;
    assert!(v5.session_present);
    let mut v3 = V3::persistent(address, "three").await;
    assert!(v3.session_present);
    for n in 0..5 {
        assert_eq!(v5.message().await.text(), n.to_string());
        assert_eq!(v3.message().await.text(), n.to_string());
    }
}

#[tokio::test]
async fn a_session_without_an_expiry_ends_with_its_connection() {
    let broker = broker().await;
    let address = broker.local_addr();
    let mut v5 = V5::persistent(address, "five", Duration::ZERO, true).await;
    v5.subscribe("t/#", AT_LEAST_ONCE).await;
    v5.part().await;
    V5::connect(address, "p").await.publish("t/n", "lost", AT_LEAST_ONCE, false).await;
    let v5 = V5::persistent(address, "five", Duration::ZERO, false).await;
    assert!(!v5.session_present);
}

#[tokio::test]
async fn response_topic_and_correlation_data_pass_through() {
    let broker = broker().await;
    let mut node = V5::connect(broker.local_addr(), "node").await;
    node.subscribe("call", AT_LEAST_ONCE).await;
    let mut old = V3::connect(broker.local_addr(), "old").await;
    old.subscribe("call", AT_LEAST_ONCE).await;
    let properties = PublishProperties {
        response_topic: Some("reply/me".into()),
        correlation_data: Some(vec![0, 255, 7].into()),
        message_expiry_interval: Some(30),
        user_properties: vec![("from".into(), "me".into())],
        ..PublishProperties::default()
    };
    let mut caller = V5::connect(broker.local_addr(), "caller").await;
    caller.publish_with("call", "x", properties).await;
    let got = node.message().await.properties.unwrap();
    assert_eq!(got.response_topic.as_deref(), Some("reply/me"));
    assert_eq!(got.correlation_data.as_deref(), Some(&[0, 255, 7][..]));
    assert!(got.message_expiry_interval.is_some_and(|left| left <= 30));
    assert!(got.user_properties.contains(&("from".into(), "me".into())));
    assert_eq!(old.message().await.text(), "x", "one who knows no properties gets the payload");
}

#[tokio::test]
async fn clients_that_are_reset_at_once_do_not_stop_the_listener() {
    let broker = broker().await;
    // CONNECT of MQTT 5: keep alive 60, clean start, client id `again`.
    let connect = b"\x10\x12\0\x04MQTT\x05\x02\0\x3c\0\0\x05again";
    for _ in 0..200 {
        let mut socket = tokio::net::TcpStream::connect(broker.local_addr()).await.unwrap();
        socket.write_all(connect).await.unwrap();
        // Closing now sends a reset, wherever the broker stands.
        socket.set_zero_linger().unwrap();
    }
    let mut client = V5::connect(broker.local_addr(), "again").await;
    client.subscribe("t", AT_LEAST_ONCE).await;
    client.publish("t", "alive", AT_LEAST_ONCE, false).await;
    assert_eq!(client.message().await.text(), "alive");
}
