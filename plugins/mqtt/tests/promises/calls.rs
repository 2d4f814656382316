//! What becomes of a call.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use sedge_mqtt::wire::{Answer, ResultFrame};
use sedge_plugin::ToolErrorCode;
use serde_json::{Value as Json, json};

use super::support::brokers::Broker;
use super::support::clients::{Message, V3, V5, within};
use super::support::node::Node;
use super::support::proxy::Proxy;

super::with_both_brokers!(
    a_call_in_plain_json_is_answered_at_the_tools_result,
    an_answer_goes_where_the_caller_asked_with_what_it_gave,
    an_answer_goes_nowhere_but_under_reply,
    a_retained_call_is_dropped,
    a_repeated_call_is_answered_again_and_not_run_again,
    a_call_repeated_while_it_runs_is_not_run_twice,
    a_call_without_an_id_is_run_each_time,
    more_calls_than_sixteen_at_a_time_are_told_so,
    a_call_that_cannot_be_read_is_a_bad_request,
    who_calls_is_known_to_the_node,
    an_id_used_for_another_call_is_a_bad_request,
    a_bad_request_keeps_its_id_and_says_where_arguments_stand,
    a_result_that_is_too_large_is_an_error_and_not_silence,
    a_fifth_who_repeats_a_running_call_is_told_that_it_is_busy,
    an_answer_to_a_topic_of_too_many_levels_goes_to_the_tools_result,
    an_answer_that_breaks_the_connection_is_put_aside_and_the_node_runs_on,
);

const ECHO: &str = "sedge/v1/pi/tool/echo/call";
const SLOW: &str = "sedge/v1/pi/tool/slow/call";

/// A node that listens, and one that watches all results.
async fn start(broker: &Broker) -> (Node, V5) {
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/health/air", QoS::AtLeastOnce).await;
    let node = Node::start(broker.address).await;
    // Published after the subscription to calls.
    watcher.message().await;
    watcher.subscribe("sedge/v1/pi/tool/+/result", QoS::AtLeastOnce).await;
    watcher.subscribe("sedge/v1/_reply/#", QoS::AtLeastOnce).await;
    (node, watcher)
}

fn frame(message: &Message) -> ResultFrame {
    serde_json::from_slice(&message.payload).unwrap()
}

fn result(message: &Message) -> Result<Json, ToolErrorCode> {
    match frame(message).answer {
        Answer::Done { result, .. } => result.map_err(|error| error.code),
        Answer::Progress { .. } => panic!("not done"),
    }
}

async fn a_call_in_plain_json_is_answered_at_the_tools_result(broker: Broker) {
    let (_node, mut watcher) = start(&broker).await;
    let mut caller = V3::connect(broker.address, "caller").await;
    caller.publish(ECHO, r#"{"args":{"on":true}}"#, QoS::AtMostOnce, false).await;
    let message = watcher.message().await;
    assert_eq!(message.topic, "sedge/v1/pi/tool/echo/result");
    assert!(!message.retain);
    assert_eq!(result(&message), Ok(json!({ "on": true })));
    assert!(!frame(&message).id.is_empty());

    caller.publish(ECHO, "", QoS::AtLeastOnce, false).await;
    assert_eq!(result(&watcher.message().await), Ok(json!({})), "as `mosquitto_pub -n` sends it");
    caller.publish("sedge/v1/pi/tool/nothing/call", "{}", QoS::AtLeastOnce, false).await;
    assert_eq!(result(&watcher.message().await), Err(ToolErrorCode::NotFound));
    caller.publish("sedge/v1/pi/tool/No Such/call", "{}", QoS::AtLeastOnce, false).await;
    assert_eq!(result(&watcher.message().await), Err(ToolErrorCode::NotFound));
}

async fn an_answer_goes_where_the_caller_asked_with_what_it_gave(broker: Broker) {
    let (_node, mut watcher) = start(&broker).await;
    let properties = PublishProperties {
        response_topic: Some("sedge/v1/_reply/me/pi/echo".into()),
        correlation_data: Some(vec![0, 159, 146, 150, 255].into()),
        message_expiry_interval: Some(60),
        ..PublishProperties::default()
    };
    let mut caller = V5::connect(broker.address, "caller").await;
    caller.publish_with(ECHO, r#"{"id":"1","args":{"n":1}}"#, properties).await;
    let message = watcher.message().await;
    assert_eq!(message.topic, "sedge/v1/_reply/me/pi/echo");
    assert_eq!(
        message.properties.as_ref().unwrap().correlation_data.as_deref(),
        Some(&[0, 159, 146, 150, 255][..])
    );
    assert_eq!((frame(&message).id.as_str(), result(&message)), ("1", Ok(json!({ "n": 1 }))));
}

async fn an_answer_goes_nowhere_but_under_reply(broker: Broker) {
    let (_node, mut watcher) = start(&broker).await;
    watcher.subscribe("evil/#", QoS::AtLeastOnce).await;
    watcher.subscribe("sedge/v1/pi/status", QoS::AtLeastOnce).await;
    assert_eq!(watcher.message().await.text(), "online");
    let mut caller = V5::connect(broker.address, "caller").await;
    for topic in ["evil/topic", "sedge/v1/pi/status", "sedge/v1/_reply"] {
        let properties =
            PublishProperties { response_topic: Some(topic.into()), ..PublishProperties::default() };
        caller.publish_with(ECHO, "{}", properties).await;
        assert_eq!(watcher.message().await.topic, "sedge/v1/pi/tool/echo/result");
    }
}

async fn a_retained_call_is_dropped(broker: Broker) {
    let mut caller = V5::connect(broker.address, "caller").await;
    caller.publish(ECHO, r#"{"args":{"kept":true}}"#, QoS::AtLeastOnce, true).await;
    let (node, mut watcher) = start(&broker).await;
    // Live, and marked retained: it would be run again at every reconnect.
    caller.publish(ECHO, r#"{"args":{"live":true}}"#, QoS::AtLeastOnce, true).await;
    caller.publish(ECHO, "", QoS::AtLeastOnce, true).await;
    caller.publish(ECHO, r#"{"args":{"good":true}}"#, QoS::AtLeastOnce, false).await;
    assert_eq!(result(&watcher.message().await), Ok(json!({ "good": true })));
    assert_eq!(node.host.calls.lock().unwrap().len(), 1);
}

async fn a_repeated_call_is_answered_again_and_not_run_again(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    for _ in 0..3 {
        caller.publish(ECHO, r#"{"id":"1","args":{"n":1}}"#, QoS::AtLeastOnce, false).await;
        let message = watcher.message().await;
        assert_eq!((frame(&message).id.as_str(), result(&message)), ("1", Ok(json!({ "n": 1 }))));
    }
    assert_eq!(node.host.calls.lock().unwrap().len(), 1);
    caller.publish(ECHO, r#"{"id":"2"}"#, QoS::AtLeastOnce, false).await;
    caller.publish(ECHO, r#"{"id":"1","from":"other"}"#, QoS::AtLeastOnce, false).await;
    watcher.message().await;
    watcher.message().await;
    assert_eq!(node.host.calls.lock().unwrap().len(), 3, "another id and another caller are other calls");
}

async fn a_call_repeated_while_it_runs_is_not_run_twice(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    let call = r#"{"id":"1"}"#;
    caller.publish(SLOW, call, QoS::AtLeastOnce, false).await;
    node.until_begun(1).await;
    let properties = PublishProperties {
        response_topic: Some("sedge/v1/_reply/me/pi/slow".into()),
        ..PublishProperties::default()
    };
    caller.publish_with(SLOW, call, properties).await;
    // Answered only after the repeat was received: calls are taken in order.
    caller.publish(ECHO, "{}", QoS::AtLeastOnce, false).await;
    assert_eq!(watcher.message().await.topic, "sedge/v1/pi/tool/echo/result");
    node.host.gate.add_permits(10);
    let mut topics = [watcher.message().await.topic, watcher.message().await.topic];
    topics.sort();
    assert_eq!(topics, ["sedge/v1/_reply/me/pi/slow", "sedge/v1/pi/tool/slow/result"], "both are answered");
    let slow = node.host.calls.lock().unwrap().iter().filter(|call| call.tool.as_str() == "slow").count();
    assert_eq!(slow, 1);
}

async fn a_call_without_an_id_is_run_each_time(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        caller.publish(ECHO, "{}", QoS::AtLeastOnce, false).await;
        ids.push(frame(&watcher.message().await).id);
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(node.host.calls.lock().unwrap().len(), 2);
}

async fn more_calls_than_sixteen_at_a_time_are_told_so(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    for _ in 0..17 {
        caller.publish(SLOW, "{}", QoS::AtLeastOnce, false).await;
    }
    assert_eq!(result(&watcher.message().await), Err(ToolErrorCode::Busy));
    node.host.gate.add_permits(16);
    for _ in 0..16 {
        assert_eq!(result(&watcher.message().await), Ok(json!("slow")));
    }
    caller.publish(ECHO, "{}", QoS::AtLeastOnce, false).await;
    assert!(result(&watcher.message().await).is_ok());
}

async fn a_call_that_cannot_be_read_is_a_bad_request(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    for payload in ["on", "[1]", "\u{1}", r#"{"id":{}}"#] {
        caller.publish(ECHO, payload, QoS::AtLeastOnce, false).await;
        assert_eq!(result(&watcher.message().await), Err(ToolErrorCode::BadRequest), "{payload}");
    }
    assert!(node.host.calls.lock().unwrap().is_empty());
}

async fn who_calls_is_known_to_the_node(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    caller.publish(ECHO, r#"{"from":"agent"}"#, QoS::AtLeastOnce, false).await;
    let properties = PublishProperties {
        user_properties: vec![("from".into(), "flow".into())],
        ..PublishProperties::default()
    };
    caller.publish_with(ECHO, "{}", properties).await;
    caller.publish(ECHO, "{}", QoS::AtLeastOnce, false).await;
    caller.publish(ECHO, r#"{"from":"cli"}"#, QoS::AtLeastOnce, false).await;
    for _ in 0..4 {
        watcher.message().await;
    }
    let from: Vec<String> = node.host.calls.lock().unwrap().iter().map(|call| call.from.clone()).collect();
    assert_eq!(
        from,
        ["agent", "flow", "mqtt", "mqtt:cli"],
        "nobody over MQTT is the command line on the node"
    );
}

fn message_of(message: &Message) -> String {
    match frame(message).answer {
        Answer::Done { result: Err(error), .. } => error.message,
        answer => panic!("{answer:?}"),
    }
}

async fn an_id_used_for_another_call_is_a_bad_request(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    caller.publish(ECHO, r#"{"id":"1","args":{"on":true}}"#, QoS::AtLeastOnce, false).await;
    assert_eq!(result(&watcher.message().await), Ok(json!({ "on": true })));
    for (topic, call) in
        [(ECHO, r#"{"id":"1","args":{"on":false}}"#), (SLOW, r#"{"id":"1","args":{"on":true}}"#)]
    {
        caller.publish(topic, call, QoS::AtLeastOnce, false).await;
        let message = watcher.message().await;
        assert_eq!(result(&message), Err(ToolErrorCode::BadRequest));
        assert_eq!(message_of(&message), "id `1` was used for another call");
    }
    assert_eq!(node.host.calls.lock().unwrap().len(), 1);
}

async fn a_bad_request_keeps_its_id_and_says_where_arguments_stand(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    caller.publish(ECHO, r#"{"id":"7","on":true}"#, QoS::AtLeastOnce, false).await;
    let message = watcher.message().await;
    assert_eq!((frame(&message).id.as_str(), result(&message)), ("7", Err(ToolErrorCode::BadRequest)));
    let expected = r#"unknown member `on`; arguments stand under `args`: {"args":{"on":true}}"#;
    assert_eq!(message_of(&message), expected);
    assert!(node.host.calls.lock().unwrap().is_empty());
    caller.publish(ECHO, r#"{"args":{"on":true},"later":1}"#, QoS::AtLeastOnce, false).await;
    assert_eq!(result(&watcher.message().await), Ok(json!({ "on": true })));
}

async fn a_result_that_is_too_large_is_an_error_and_not_silence(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    for _ in 0..2 {
        caller.publish("sedge/v1/pi/tool/large/call", r#"{"id":"1"}"#, QoS::AtLeastOnce, false).await;
        let message = watcher.message().await;
        assert_eq!((frame(&message).id.as_str(), result(&message)), ("1", Err(ToolErrorCode::Failed)));
        assert!(message_of(&message).starts_with("the result is 3072"), "{}", message_of(&message));
        assert!(message_of(&message).ends_with("bytes, more than can be sent"));
    }
    assert_eq!(node.host.calls.lock().unwrap().len(), 1);
}

async fn a_fifth_who_repeats_a_running_call_is_told_that_it_is_busy(broker: Broker) {
    let (node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    for n in 0..5 {
        let topic = format!("sedge/v1/_reply/{n}/pi/slow");
        let properties = PublishProperties { response_topic: Some(topic), ..PublishProperties::default() };
        caller.publish_with(SLOW, r#"{"id":"1"}"#, properties).await;
    }
    let message = watcher.message().await;
    assert_eq!(message.topic, "sedge/v1/_reply/4/pi/slow");
    assert_eq!(result(&message), Err(ToolErrorCode::Busy));
    node.host.gate.add_permits(1);
    for _ in 0..4 {
        assert_eq!(result(&watcher.message().await), Ok(json!("slow")));
    }
}

async fn an_answer_to_a_topic_of_too_many_levels_goes_to_the_tools_result(broker: Broker) {
    let (_node, mut watcher) = start(&broker).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    let topic = format!("sedge/v1/_reply/{}x", "x/".repeat(100));
    let properties = PublishProperties { response_topic: Some(topic), ..PublishProperties::default() };
    caller.publish_with(ECHO, "{}", properties).await;
    assert_eq!(watcher.message().await.topic, "sedge/v1/pi/tool/echo/result");
}

async fn an_answer_that_breaks_the_connection_is_put_aside_and_the_node_runs_on(broker: Broker) {
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/tool/+/result", QoS::AtLeastOnce).await;
    watcher.subscribe("sedge/v1/pi/+/air", QoS::AtLeastOnce).await;
    let proxy = Proxy::start().await;
    proxy.cut_at("poison");
    let node = Node::start(proxy.address).await;
    node.hurry_and_never_be_steady();
    proxy.lead_to(broker.address);
    while !watcher.message().await.topic.contains("health") {}
    let mut caller = V5::connect(broker.address, "caller").await;
    caller.publish(ECHO, r#"{"args":{"text":"poison"}}"#, QoS::AtLeastOnce, false).await;
    node.until_begun(1).await;
    node.read(1);
    caller.publish(ECHO, r#"{"args":{"text":"wine"}}"#, QoS::AtLeastOnce, false).await;
    let (mut answered, mut read) = (false, false);
    while !(answered && read) {
        let message = watcher.message().await;
        if message.topic.ends_with("result") {
            assert_eq!(result(&message), Ok(json!({ "text": "wine" })));
            answered = true;
        }
        read |= message.topic.ends_with("reading/air") || message.topic.ends_with("backlog/air");
    }
}

#[tokio::test]
async fn a_call_that_runs_longer_than_its_deadline_frees_its_place() {
    let broker = Broker::start(super::support::brokers::Kind::Embedded).await.unwrap();
    let (node, mut watcher) = start(&broker).await;
    node.hurry();
    let mut caller = V5::connect(broker.address, "caller").await;
    for _ in 0..20 {
        caller.publish(SLOW, "{}", QoS::AtLeastOnce, false).await;
        assert_eq!(result(&watcher.message().await), Err(ToolErrorCode::Timeout));
    }
}

#[tokio::test]
async fn an_answer_survives_a_lost_connection() {
    let broker = Broker::start(super::support::brokers::Kind::Embedded).await.unwrap();
    let mut births = V5::connect(broker.address, "births").await;
    births.subscribe("sedge/v1/pi/health/air", QoS::AtLeastOnce).await;
    let proxy = Proxy::to(broker.address).await;
    let node = Node::start(proxy.address).await;
    births.message().await;
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/tool/+/result", QoS::AtLeastOnce).await;
    let mut caller = V5::connect(broker.address, "caller").await;
    caller.publish(SLOW, "{}", QoS::AtLeastOnce, false).await;
    node.until_begun(1).await;
    proxy.lead_nowhere();
    proxy.cut();
    node.until_degraded("broker unreachable").await;
    node.host.gate.add_permits(1);
    proxy.lead_to(broker.address);
    node.hurry();
    assert_eq!(result(&within(watcher.message()).await), Ok(json!("slow")));
}
