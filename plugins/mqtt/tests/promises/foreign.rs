//! Malformed, oversized, retained and foreign messages at every topic that a node listens to: it stays connected, refuses
//! and counts all of them, runs none, and loses no reading.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use sedge_mqtt::wire::Signer;
use sedge_mqtt::{CallRules, Caller, MustSign, Settings};
use sedge_plugin::Rate;
use serde_json::json;

use super::support::brokers::Broker;
use super::support::clients::V5;
use super::support::node::{Node, WALL_MS, directory, id, name};

super::with_both_brokers!(
    whatever_comes_the_node_stays_connected_refuses_it_and_loses_no_reading,
    a_message_of_the_largest_size_is_refused_and_not_the_end_of_the_connection,
);

/// Messages that are made up.
const CASES: usize = 400;

/// What others were once hurt by, and what is nearly right.
fn corpus() -> Vec<Vec<u8>> {
    let signer = Signer::generate(id("attic")).unwrap();
    let sig = signer.sign(&id("pi"), &name("echo"), &json!({}), WALL_MS / 1000).unwrap();
    let sig = serde_json::to_string(&sig.signature).unwrap();
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let texts = [
        "null".into(),
        "0".into(),
        "{".into(),
        "{}}".into(),
        r#"{"id":1e400}"#.into(),
        r#"{"args":"#.into(),
        format!(r#"{{"args":{deep}}}"#),
        format!(r#"{{"id":"{}"}}"#, "x".repeat(100_000)),
        format!(r#"{{"args":{{}},"sig":{sig}"#),
        format!(r#"{{"sig":{sig}}}"#),
        format!(r#"{{"args":{{}},"sig":{sig},"args":{{"on":true}}}}"#),
        format!(r#"{{"args":{{}},"sig":{sig},"sig":{sig}}}"#),
        format!(r#"{{"args":{{"on":true}},"sig":{sig}}}"#),
        format!(r#"{{"args":{{}},"sig":{}}}"#, sig.replace("attic", "stranger")),
        format!(r#"{{"args":{{}},"sig":{}}}"#, sig.replace("\"iat\":", "\"iat\":-")),
        format!(r#"{{"args":{{}},"sig":{}}}"#, sig.replace("\"exp\":", "\"exp\":99999999999999999999")),
        r#"{"args":{},"sig":"yes"}"#.into(),
        r#"{"args":{},"sig":[]}"#.into(),
        r#"{"args":{},"sig":{"key":"attic","nonce":"00000000","iat":0,"exp":1,"sig":""}}"#.into(),
        r#"{"args":{},"from":"cli"}"#.into(),
        r#"{"args":{},"from":"attic"}"#.into(),
    ];
    let bytes = [vec![0], vec![0xff; 64], vec![0xef, 0xbb, 0xbf], b"{\"id\":\"\xc3\x28\"}".to_vec()];
    texts.map(String::into_bytes).into_iter().chain(bytes).collect()
}

/// Anything, and what looks like a call.
fn made_up() -> impl Strategy<Value = Vec<u8>> {
    let member = prop_oneof![
        Just(r#""id":"1""#),
        Just(r#""id":{}"#),
        Just(r#""from":"attic""#),
        Just(r#""from":7"#),
        Just(r#""args":{}"#),
        Just(r#""args":[1,{"a":null}]"#),
        Just(r#""args":null"#),
        Just(r#""sig":null"#),
        Just(r#""sig":{"key":"attic"}"#),
        Just(r#""sig":{"key":"attic","nonce":"12345678","iat":1,"exp":2,"sig":"AAAA"}"#),
        Just(r#""on":true"#),
        Just("\"\u{0}\":1"),
    ];
    let object = prop::collection::vec(member, 0..5)
        .prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..400), object]
}

/// The topics that a node hears, and some that it must not be hurt by.
fn topic() -> impl Strategy<Value = String> {
    let tool = prop_oneof![Just("echo".to_owned()), "[a-zA-Z0-9 _.:-]{1,40}", "\\PC{1,12}"];
    let tool = tool.prop_filter("no topic", |tool| !tool.contains(['/', '+', '#', '\0']));
    let kind = prop_oneof![Just("sensor"), Just("health"), Just("tool")];
    prop_oneof![
        8 => tool.prop_map(|tool| format!("sedge/v1/pi/tool/{tool}/call")),
        1 => (kind, "[a-zA-Z0-9 ]{1,40}").prop_map(|(kind, of)| format!("sedge/v1/pi/{kind}/{of}")),
        1 => Just("sedge/v1/pi/status".to_owned()),
    ]
}

struct Site {
    node: Node,
    watcher: V5,
    caller: V5,
}

async fn start(broker: &Broker) -> Site {
    let signer = Signer::generate(id("attic")).unwrap();
    let tools = vec!["*".into()];
    let caller = Caller { name: id("attic"), key: Some(signer.public()), tools, rate: None };
    // Caps are another test's; here each message is to come as far as it can.
    let unsigned = Rate::per_minute(1_000_000);
    let rules = CallRules {
        signed: MustSign::All,
        per_caller: unsigned,
        unsigned,
        callers: vec![caller],
        ..CallRules::default()
    };
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi/reading/air", QoS::AtLeastOnce).await;
    let settings = Settings { calls: rules, ..Settings::default() };
    let mut node = Node::with(broker.address, directory("pi"), settings).await;
    node.started().await;
    node.read(0);
    watcher.message().await;
    let caller = V5::connect(broker.address, "caller").await;
    Site { node, watcher, caller }
}

impl Site {
    /// Readings that are numbered on, while the messages come, and after.
    async fn until_read(&mut self, seq: u64) {
        self.node.read(seq);
        let text = self.watcher.message().await.text().to_owned();
        assert!(text.contains(&format!(r#""seq":{seq},"#)), "{text}");
    }

    fn refused(&self) -> u64 {
        let reasons = ["malformed", "retained", "expired", "no_tool", "unsigned", "signature", "clock"];
        reasons.iter().map(|reason| self.node.counted(&format!("calls_refused_{reason}"))).sum()
    }

    /// A call that is answered after all that came before.
    async fn settle(&mut self) {
        self.watcher.subscribe("sedge/v1/_reply/last", QoS::AtLeastOnce).await;
        let properties = PublishProperties {
            response_topic: Some("sedge/v1/_reply/last".into()),
            ..PublishProperties::default()
        };
        self.caller.publish_with("sedge/v1/pi/tool/echo/call", "last", properties).await;
        while self.watcher.message().await.topic != "sedge/v1/_reply/last" {}
    }
}

async fn whatever_comes_the_node_stays_connected_refuses_it_and_loses_no_reading(broker: Broker) {
    let mut site = start(&broker).await;
    let rng = TestRng::from_seed(Config::default().rng_algorithm, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut cases: Vec<(String, Vec<u8>, bool)> =
        corpus().into_iter().map(|payload| ("sedge/v1/pi/tool/echo/call".into(), payload, false)).collect();
    let generated = (topic(), made_up(), prop::bool::weighted(0.2));
    cases.extend((0..CASES).map(|_| generated.new_tree(&mut runner).unwrap().current()));
    let (mut calls, mut seq) = (0, 0);
    for (n, (topic, payload, retain)) in cases.iter().enumerate() {
        // An empty retained message is not one that the broker keeps; it is a call like any other, marked so.
        calls += u64::from(topic.ends_with("/call"));
        site.caller.publish_bytes(topic, payload.clone(), *retain).await;
        if n % 20 == 0 {
            seq += 1;
            site.until_read(seq).await;
        }
    }
    site.settle().await;
    site.until_read(seq + 1).await;
    assert_eq!(site.refused(), calls + 1, "each is counted, and the last one, once");
    assert!(site.node.host.calls.lock().unwrap().is_empty(), "none was run");
    assert_eq!(*site.node.host.degraded.borrow(), None, "it was connected throughout");
}

async fn a_message_of_the_largest_size_is_refused_and_not_the_end_of_the_connection(broker: Broker) {
    let mut site = start(&broker).await;
    // As large as the node says that it takes, and larger: the broker keeps the larger ones to itself.
    for kib in [64, 200, 255, 257, 900] {
        let payload = format!(r#"{{"args":{{"text":"{}"}}}}"#, "x".repeat(kib * 1024));
        site.caller.publish_bytes("sedge/v1/pi/tool/echo/call", payload.into_bytes(), false).await;
    }
    site.settle().await;
    site.until_read(1).await;
    assert!((4..=6).contains(&site.refused()), "{}", site.refused());
    assert_eq!(*site.node.host.degraded.borrow(), None, "it was connected throughout");
}
