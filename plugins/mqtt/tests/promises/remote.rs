//! What the caller's side promises.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use sedge_mqtt::Settings;
use sedge_mqtt::remote::{Remote, RemoteError};
use sedge_mqtt::wire::Answer;
use sedge_plugin::{Progress, Secret, Tool, ToolErrorCode};
use serde_json::json;

use super::support::brokers::{Broker, Kind};
use super::support::clients::{V5, within};
use super::support::node::{Node, directory, id, name};
use super::support::proxy::Proxy;

super::with_both_brokers!(
    a_tool_is_called_and_its_result_comes_back,
    a_tool_says_how_far_it_is_before_its_result,
    all_tools_are_found_and_nothing_is_waited_for,
    a_node_that_is_not_there_is_told_at_once,
    a_call_that_takes_too_long_is_told_so,
    the_status_of_a_node_is_known,
    readings_are_seen_as_they_come,
    a_lost_broker_ends_everything_with_an_error,
    callers_of_one_user_do_not_read_each_others_fences,
);

const SOON: Duration = Duration::from_secs(20);

fn settings(address: SocketAddr) -> Settings {
    Settings::at(address.ip().to_string(), address.port())
}

async fn connect(broker: &Broker) -> Remote {
    Remote::connect(&settings(broker.address), "cli-1").await.unwrap()
}

/// A node that listens for calls.
async fn node(broker: &Broker, named: &str) -> Node {
    let mut watcher = V5::connect(broker.address, &format!("watcher-{named}")).await;
    watcher.subscribe(&format!("sedge/v1/{named}/health/air"), QoS::AtLeastOnce).await;
    let node = Node::with(broker.address, directory(named), Settings::default()).await;
    watcher.message().await;
    node
}

async fn a_tool_is_called_and_its_result_comes_back(broker: Broker) {
    let node = node(&broker, "pi").await;
    let remote = connect(&broker).await;
    let frame = remote
        .call(&id("pi"), &name("echo"), json!({ "on": true }), SOON, Progress::default())
        .await
        .unwrap();
    let Answer::Done { result, ms: 3, ts: Some(_) } = frame.answer else { panic!("{frame:?}") };
    assert_eq!(result, Ok(json!({ "on": true })));
    let frame = remote.call(&id("pi"), &name("other"), json!({}), SOON, Progress::default()).await.unwrap();
    let Answer::Done { result: Err(error), .. } = frame.answer else { panic!("{frame:?}") };
    assert_eq!(error.code, ToolErrorCode::NotFound);
    let calls = node.host.calls.lock().unwrap();
    assert_eq!((calls[0].from.as_str(), calls[0].timeout), ("cli-1", Some(SOON)));
}

async fn a_tool_says_how_far_it_is_before_its_result(broker: Broker) {
    let _node = node(&broker, "pi").await;
    let remote = connect(&broker).await;
    let (told, heard) = std::sync::mpsc::channel();
    let progress = Progress::to(move |update| drop(told.send(update)));
    let frame = remote.call(&id("pi"), &name("steps"), json!({}), SOON, progress).await.unwrap();
    assert!(frame.is_done());
    let update = heard.try_recv().expect("told before the result");
    assert_eq!((update.fraction, update.text.as_str()), (Some(0.4), "rinsing"));
}

async fn all_tools_are_found_and_nothing_is_waited_for(broker: Broker) {
    let mut many = directory("many");
    let tools = (0..300).map(|n| name(&format!("tool_{n}")));
    many.tools = tools.map(|tool| (tool.clone(), Tool::new(tool, "One of many.").into())).collect();
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/many/health/air", QoS::AtLeastOnce).await;
    let _many = Node::with(broker.address, many, Settings::default()).await;
    watcher.message().await;
    let _pi = node(&broker, "pi").await;

    let remote = connect(&broker).await;
    let mut found = BTreeMap::<_, usize>::new();
    for (node, _) in remote.tools(None).await.unwrap() {
        *found.entry(node).or_default() += 1;
    }
    assert_eq!(found, BTreeMap::from([(id("many"), 300), (id("pi"), 2)]));
    assert_eq!(remote.tools(Some(&id("pi"))).await.unwrap().len(), 2);
    assert_eq!(remote.tools(Some(&id("nobody"))).await.unwrap(), []);
    let tool = remote.tool(&id("many"), &name("tool_7")).await.unwrap().unwrap();
    assert_eq!(tool.name, name("tool_7"));
    assert_eq!(remote.tool(&id("pi"), &name("tool_7")).await.unwrap(), None);
    let (one, other) = tokio::join!(remote.tools(None), remote.tools(None));
    assert_eq!((one.unwrap().len(), other.unwrap().len()), (302, 302));
}

async fn a_node_that_is_not_there_is_told_at_once(broker: Broker) {
    let remote = connect(&broker).await;
    let error =
        remote.call(&id("nobody"), &name("echo"), json!({}), SOON, Progress::default()).await.unwrap_err();
    assert_eq!(error, RemoteError::NotConnected(id("nobody")));
    let node = node(&broker, "pi").await;
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/status", QoS::AtLeastOnce).await;
    assert_eq!(watcher.message().await.text(), "online");
    node.kill();
    assert_eq!(watcher.message().await.text(), "offline");
    let error =
        remote.call(&id("pi"), &name("echo"), json!({}), SOON, Progress::default()).await.unwrap_err();
    assert_eq!(error, RemoteError::NotConnected(id("pi")));
}

async fn a_call_that_takes_too_long_is_told_so(broker: Broker) {
    let _node = node(&broker, "pi").await;
    let remote = connect(&broker).await;
    let soon = Duration::from_millis(50);
    let error =
        remote.call(&id("pi"), &name("slow"), json!({}), soon, Progress::default()).await.unwrap_err();
    assert_eq!(error, RemoteError::Timeout(soon));
}

async fn the_status_of_a_node_is_known(broker: Broker) {
    let node = node(&broker, "pi").await;
    let remote = connect(&broker).await;
    assert_eq!(remote.status(&id("pi")).await, Ok(Some(true)));
    assert_eq!(remote.status(&id("nobody")).await, Ok(None));
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/status", QoS::AtLeastOnce).await;
    assert_eq!(watcher.message().await.text(), "online");
    node.kill();
    assert_eq!(watcher.message().await.text(), "offline");
    assert_eq!(remote.status(&id("pi")).await, Ok(Some(false)));
}

async fn readings_are_seen_as_they_come(broker: Broker) {
    let remote = connect(&broker).await;
    let mut all = remote.tail(None, None).await.unwrap();
    let mut other = remote.tail(Some(&id("other")), Some(&id("air"))).await.unwrap();
    let pi = node(&broker, "pi").await;
    let second = node(&broker, "other").await;
    pi.read(1);
    let sighting = within(all.recv()).await.unwrap().unwrap();
    assert_eq!((sighting.node, sighting.sensor, sighting.frame.seq), (id("pi"), id("air"), 1));
    second.read(2);
    assert_eq!(within(all.recv()).await.unwrap().unwrap().frame.seq, 2);
    assert_eq!(within(other.recv()).await.unwrap().unwrap().frame.seq, 2, "and not the first");
}

async fn callers_of_one_user_do_not_read_each_others_fences(broker: Broker) {
    let _node = node(&broker, "pi").await;
    let mut other = V5::connect(broker.address, "other").await;
    // Left there by somebody, and the number of the first fence of anybody.
    other.publish("sedge/v1/_reply/ada/fence", "1", QoS::AtLeastOnce, true).await;
    let shared = Settings { username: Some("ada".into()), ..settings(broker.address) };
    let connect = async |id: &str| Remote::connect(&shared, id).await.unwrap();
    let remotes = [connect("cli-1").await, connect("cli-2").await, connect("cli-3").await];
    for _ in 0..10 {
        let (a, b, c) = tokio::join!(remotes[0].tools(None), remotes[1].tools(None), remotes[2].tools(None));
        assert_eq!([a, b, c].map(|found| found.unwrap().len()), [2, 2, 2]);
    }
}

async fn a_lost_broker_ends_everything_with_an_error(broker: Broker) {
    let _node = node(&broker, "pi").await;
    let proxy = Proxy::to(broker.address).await;
    let remote = Remote::connect(&settings(proxy.address), "cli-1").await.unwrap();
    let mut tail = remote.tail(None, None).await.unwrap();
    let (pi, slow) = (id("pi"), name("slow"));
    let call = remote.call(&pi, &slow, json!({}), SOON, Progress::default());
    let cut = async {
        _node.until_begun(1).await;
        proxy.cut();
    };
    let (answer, ()) = tokio::join!(call, cut);
    assert!(matches!(answer, Err(RemoteError::Unreachable(_))), "{answer:?}");
    assert!(matches!(within(tail.recv()).await, Some(Err(RemoteError::Unreachable(_)))));
    assert!(within(tail.recv()).await.is_none());
    assert!(matches!(remote.tools(None).await, Err(RemoteError::Unreachable(_))));
}

#[tokio::test]
async fn each_way_not_to_be_connected_is_told_apart() {
    let nobody = Proxy::start().await;
    let error = Remote::connect(&settings(nobody.address), "cli-1").await.unwrap_err();
    assert!(matches!(error, RemoteError::Protocol(_)), "{error}");
    let closed = nobody.address;
    drop(nobody);
    // The listener is closed with its task.
    let error = within(async {
        loop {
            match Remote::connect(&settings(closed), "cli-1").await.unwrap_err() {
                RemoteError::Protocol(_) => tokio::task::yield_now().await,
                error => break error,
            }
        }
    })
    .await;
    assert!(matches!(error, RemoteError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_refused_login_is_told() {
    let Some(broker) = Broker::mosquitto("allow_anonymous false").await else { return };
    let (username, password) = (Some("ada".into()), Some(Secret::new("wrong")));
    let settings = Settings { username, password, ..settings(broker.address) };
    let error = Remote::connect(&settings, "cli-1").await.unwrap_err();
    assert!(matches!(error, RemoteError::Refused(_)), "{error}");
}

#[tokio::test]
async fn what_is_retained_is_found_also_where_no_fence_is_allowed() {
    let dir = std::env::temp_dir().join(format!("sedge-acl-{}", std::process::id()));
    std::fs::write(&dir, "topic read sedge/v1/#\ntopic write sedge/v1/pi/#\n").unwrap();
    let broker = Broker::mosquitto(&format!("allow_anonymous true\nacl_file {}", dir.display())).await;
    if let Some(broker) = broker {
        let _node = node(&broker, "pi").await;
        assert_eq!(connect(&broker).await.tools(None).await.unwrap().len(), 2);
    }
    std::fs::remove_file(&dir).unwrap();
}

#[tokio::test]
async fn the_embedded_broker_is_reached_by_its_address() {
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let _node = node(&broker, "pi").await;
    let (username, password) = (Some("anyone".into()), Some(Secret::new("anything")));
    let settings = Settings { username, password, ..settings(broker.address) };
    let remote = Remote::connect(&settings, "cli-2").await.unwrap();
    assert_eq!(remote.tools(None).await.unwrap().len(), 2);
}
