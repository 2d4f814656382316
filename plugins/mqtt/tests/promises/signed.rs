//! What becomes of a signed call, and of one that should have been signed.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use sedge_mqtt::wire::{Answer, Request, ResultFrame, Signed, Signer};
use sedge_mqtt::{CallRules, Caller, MustSign, Settings};
use sedge_plugin::{Rate, ToolErrorCode};
use serde_json::{Value as Json, json};

use super::support::brokers::Broker;
use super::support::clients::{Message, V5};
use super::support::node::{Disk, Node, WALL_MS, directory, disk, id, name};

super::with_both_brokers!(
    a_signed_call_is_run_under_the_callers_name_and_its_repeat_is_answered_again,
    a_replay_is_refused_in_the_same_life_and_after_a_restart,
    a_call_that_was_signed_for_another_node_is_refused,
    what_is_refused_is_told_with_who_it_was_and_why,
    without_a_disk_no_signed_call_is_run,
    before_the_time_is_known_no_signed_call_is_run,
    who_calls_too_often_is_told_that_it_is_busy,
);

const ECHO: &str = "sedge/v1/pi/tool/echo/call";
const NOW: i64 = WALL_MS / 1000;

struct Site {
    broker: Broker,
    disk: Disk,
    rules: CallRules,
    signer: Signer,
}

impl Site {
    fn new(broker: Broker) -> Self {
        let signer = Signer::generate(id("attic")).unwrap();
        let tools = vec!["echo".into()];
        let caller = Caller { name: id("attic"), key: Some(signer.public()), tools, rate: None };
        let rules = CallRules { signed: MustSign::Changing, callers: vec![caller], ..CallRules::default() };
        Self { broker, disk: disk(), rules, signer }
    }

    async fn start(&self) -> (Node, V5) {
        let mut watcher = V5::connect(self.broker.address, "watcher").await;
        watcher.subscribe("sedge/v1/pi/info", QoS::AtLeastOnce).await;
        let settings = Settings { calls: self.rules.clone(), ..Settings::default() };
        let mut node = Node::on(self.disk.clone(), self.broker.address, directory("pi"), settings).await;
        node.started().await;
        // Until this start has subscribed, which its readings show: they come after.
        watcher.subscribe("sedge/v1/pi/reading/air", QoS::AtLeastOnce).await;
        node.read(1);
        while !watcher.message().await.topic.ends_with("/reading/air") {}
        watcher.subscribe("sedge/v1/pi/tool/+/result", QoS::AtLeastOnce).await;
        watcher.subscribe("sedge/v1/_reply/#", QoS::AtLeastOnce).await;
        (node, watcher)
    }

    fn call(&self, call: &str, args: &Json) -> String {
        self.call_of("pi", call, args)
    }

    fn call_of(&self, node: &str, call: &str, args: &Json) -> String {
        let sig = self.signer.sign(&id(node), &name("echo"), args, NOW).unwrap();
        text(call, args, sig)
    }

    async fn caller(&self) -> V5 {
        V5::connect(self.broker.address, "caller").await
    }
}

fn text(call: &str, args: &Json, sig: Signed) -> String {
    let request = Request { id: Some(call.into()), args: args.clone(), from: None, sig: Some(sig) };
    String::from_utf8(request.to_json()).unwrap()
}

fn result(message: &Message) -> Result<Json, (ToolErrorCode, String)> {
    match serde_json::from_slice::<ResultFrame>(&message.payload).unwrap().answer {
        Answer::Done { result, .. } => result.map_err(|error| (error.code, error.message)),
        Answer::Progress { .. } => panic!("not done"),
    }
}

fn code(message: &Message) -> ToolErrorCode {
    result(message).unwrap_err().0
}

async fn a_signed_call_is_run_under_the_callers_name_and_its_repeat_is_answered_again(broker: Broker) {
    let site = Site::new(broker);
    let (node, mut watcher) = site.start().await;
    let (mut caller, call) = (site.caller().await, site.call("1", &json!({ "n": 1 })));
    // Also where somebody between gives it another id: it is the same call.
    for call in [&call, &call, &call.replace(r#""id":"1""#, r#""id":"2""#)] {
        caller.publish(ECHO, call, QoS::AtLeastOnce, false).await;
        assert_eq!(result(&watcher.message().await), Ok(json!({ "n": 1 })));
    }
    let calls: Vec<_> =
        node.host.calls.lock().unwrap().iter().map(|call| (call.from.clone(), call.verified)).collect();
    assert_eq!(calls, [("attic".to_owned(), true)]);
}

async fn a_replay_is_refused_in_the_same_life_and_after_a_restart(broker: Broker) {
    let site = Site::new(broker);
    let (node, mut watcher) = site.start().await;
    let (mut caller, call) = (site.caller().await, site.call("1", &json!({})));
    let expired = PublishProperties { message_expiry_interval: Some(60), ..PublishProperties::default() };
    caller.publish_with(ECHO, &call, expired).await;
    assert!(result(&watcher.message().await).is_ok());
    assert_eq!(node.host.calls.lock().unwrap().len(), 1);
    drop(node);
    // The answers of the former life are gone; what must not be run again is not.
    let (node, mut watcher) = site.start().await;
    for _ in 0..2 {
        caller.publish(ECHO, &call, QoS::AtLeastOnce, false).await;
        assert_eq!(code(&watcher.message().await), ToolErrorCode::Denied);
    }
    assert!(node.host.calls.lock().unwrap().is_empty());
    assert_eq!(node.counted("calls_refused_replayed"), 2);
    caller.publish(ECHO, &site.call("1", &json!({})), QoS::AtLeastOnce, false).await;
    assert!(result(&watcher.message().await).is_ok(), "a new signature is a new call");
}

async fn a_call_that_was_signed_for_another_node_is_refused(broker: Broker) {
    let site = Site::new(broker);
    let (node, mut watcher) = site.start().await;
    let mut caller = site.caller().await;
    caller.publish(ECHO, &site.call_of("attic", "1", &json!({})), QoS::AtLeastOnce, false).await;
    assert_eq!(code(&watcher.message().await), ToolErrorCode::Denied);
    assert!(node.host.calls.lock().unwrap().is_empty());
}

async fn what_is_refused_is_told_with_who_it_was_and_why(broker: Broker) {
    let site = Site::new(broker);
    let (node, mut watcher) = site.start().await;
    let mut caller = site.caller().await;
    let changed = site.call("3", &json!({ "n": 1 })).replace(r#""n":1"#, r#""n":2"#);
    for call in [r#"{"id":"1","args":{"n":1},"from":"attic"}"#, r#"{"id":"2""#, &changed] {
        caller.publish(ECHO, call, QoS::AtLeastOnce, false).await;
        assert!(result(&watcher.message().await).is_err());
    }
    let records = node.host.records.lock().unwrap().clone();
    let told: Vec<_> = records
        .iter()
        .map(|it| (it.id.as_str(), it.from.as_str(), it.verified, it.outcome.as_ref().unwrap_err().code))
        .collect();
    assert_eq!(told[0], ("1", "mqtt:attic", false, ToolErrorCode::Denied));
    assert_eq!((told[1].1, told[1].3), ("mqtt", ToolErrorCode::BadRequest));
    assert_eq!(told[2], ("3", "mqtt:attic", false, ToolErrorCode::Denied));
    assert_eq!(records[0].args, Some(json!({ "n": 1 })));
    let counted =
        ["unsigned", "malformed", "signature"].map(|it| node.counted(&format!("calls_refused_{it}")));
    assert_eq!(counted, [1, 1, 1]);
    assert!(node.host.calls.lock().unwrap().is_empty());
}

async fn without_a_disk_no_signed_call_is_run(broker: Broker) {
    let site = Site::new(broker);
    let (node, mut watcher) = site.start().await;
    let kept = site.disk.lock().unwrap().take();
    let mut caller = site.caller().await;
    let call = site.call("1", &json!({}));
    caller.publish(ECHO, &call, QoS::AtLeastOnce, false).await;
    assert_eq!(code(&watcher.message().await), ToolErrorCode::Unavailable);
    assert!(node.host.calls.lock().unwrap().is_empty());
    *site.disk.lock().unwrap() = kept;
    caller.publish(ECHO, &call, QoS::AtLeastOnce, false).await;
    assert!(result(&watcher.message().await).is_ok(), "it was not run, so the same may be tried again");
}

async fn before_the_time_is_known_no_signed_call_is_run(broker: Broker) {
    let site = Site::new(broker);
    let (node, mut watcher) = site.start().await;
    *node.host.wall.lock().unwrap() = None;
    let mut caller = site.caller().await;
    let call = site.call("1", &json!({}));
    caller.publish(ECHO, &call, QoS::AtLeastOnce, false).await;
    let (code, text) = result(&watcher.message().await).unwrap_err();
    assert_eq!(code, ToolErrorCode::Unavailable);
    assert!(text.contains("does not know the time"), "{text}");
    *node.host.wall.lock().unwrap() = Some(WALL_MS);
    caller.publish(ECHO, &call, QoS::AtLeastOnce, false).await;
    assert!(result(&watcher.message().await).is_ok());
}

async fn who_calls_too_often_is_told_that_it_is_busy(broker: Broker) {
    let mut site = Site::new(broker);
    site.rules.signed = MustSign::None;
    site.rules.per_caller = Rate::per_minute(3);
    let (node, mut watcher) = site.start().await;
    let mut caller = site.caller().await;
    for n in 0..6 {
        caller.publish(ECHO, "{}", QoS::AtLeastOnce, false).await;
        let result = result(&watcher.message().await);
        assert_eq!(result.map_err(|(code, _)| code).err(), (n >= 3).then_some(ToolErrorCode::Busy));
    }
    caller.publish(ECHO, &site.call("1", &json!({})), QoS::AtLeastOnce, false).await;
    assert!(result(&watcher.message().await).is_ok(), "another caller");
    assert_eq!(node.counted("calls_refused_rate"), 3);
    assert_eq!(node.host.records.lock().unwrap().len(), 1, "told once");
}
