//! Whether a plugin outside is alive, how it ends, and what it may flood its node with.

use std::sync::Arc;
use std::time::Duration;

use sedge_actors::{Node, PluginSpec, TokioClock, node_info};
use sedge_host::outside::testing::{args, carrier, declaration};
use sedge_host::outside::{End, Outside, Role};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Event, EventRaised, Severity};
use sedge_protocol::{Call, ToNode, ToPlugin};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::{PUMP, Setting, Slow, ask, id};

#[tokio::test(start_paused = true)]
async fn one_that_ends_fails_at_once_and_is_started_again() {
    let (mut stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let begun = Instant::now();
    plugin.end(End::Broken("it was killed by signal 11".into()));
    let status = stage.reaches("attic", State::BackingOff).await;
    assert_eq!(
        (status.reason.as_deref(), begun.elapsed()),
        (Some("it was killed by signal 11"), Duration::ZERO)
    );
    let mut again = stage.again().await;
    again.greet(&stage.declared).await;
    stage.reaches("attic", State::Running).await;
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_one_that_ends_is_told_at_once() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let (begun, called) = (Instant::now(), stage.call("attic_set", json!({})));
    plugin.called().await;
    plugin.end(End::Broken("it exited with status 3".into()));
    let error = called.await.unwrap().unwrap_err();
    assert_eq!((error.code, begun.elapsed()), (ToolErrorCode::Failed, Duration::ZERO));
    assert_eq!(error.message, "it exited with status 3");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_has_nothing_to_do_is_asked_whether_it_is_alive() {
    let (mut stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    for _ in 0..3 {
        let begun = Instant::now();
        let Some(ToPlugin::Ping { id }) = plugin.hear().await else { panic!("no ping") };
        assert_eq!(begun.elapsed().as_secs(), 15);
        plugin.say(ToNode::Pong { id }).await;
    }
    let Some(ToPlugin::Ping { .. }) = plugin.hear().await else { panic!("no ping") };
    let begun = Instant::now();
    let status = stage.reaches("attic", State::BackingOff).await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert!(status.reason.unwrap().contains("has not answered a ping within 10s"));
    plugin.killed().await;
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_at_work_is_left_in_peace() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let called = stage.call("attic_set", json!({}));
    let (number, _) = plugin.called().await;
    sleep(Duration::from_secs(28)).await;
    plugin.answer(number, json!(1)).await;
    called.await.unwrap().unwrap();
    let begun = Instant::now();
    assert!(matches!(plugin.hear().await, Some(ToPlugin::Ping { .. })), "nothing before the ping");
    assert_eq!(begun.elapsed().as_secs(), 15);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_may_hand_on_what_it_has_and_lets_its_hardware_go() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let (node, hardware, begun) = (stage.node, stage.hardware, Instant::now());
    let stops = async {
        let (number, call) = plugin.called().await;
        assert_eq!(call, Call::Stop { grace_ms: 3000 });
        sleep(Duration::from_secs(2)).await;
        assert!(!plugin.is_killed());
        plugin.answer(number, Json::Null).await;
        plugin.end(End::Stopped);
    };
    tokio::join!(node.stop(), stops);
    assert_eq!((begun.elapsed().as_secs(), hardware.done()), (2, vec!["release attic".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_stop_is_killed() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let (hardware, begun) = (stage.hardware, Instant::now());
    stage.node.stop().await;
    assert!(plugin.is_killed());
    assert!(begun.elapsed() <= Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(hardware.done(), ["release attic"]);
}

#[tokio::test(start_paused = true)]
async fn hardware_is_let_go_when_a_plugin_ends_by_itself() {
    let (mut stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    plugin.end(End::Broken("it crashed".into()));
    stage.reaches("attic", State::BackingOff).await;
    assert_eq!(stage.hardware.done(), ["release attic"]);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_asks_is_carried_out_sixteen_at_a_time() {
    let mut setting = Setting::new("pump", &format!("{PUMP}\n[requests]\ntools = [\"slow_*\"]\n"));
    setting.change = |args| args.grants = serde_json::from_value(json!({ "tools": ["slow_never"] })).unwrap();
    setting.others.push(Slow::spec());
    let (stage, mut plugin) = setting.start().await;
    for number in 0..40 {
        let call = ask(json!({ "do": "call", "tool": "slow_never" }));
        plugin.say(ToNode::Ask { id: number, ask: call }).await;
    }
    for number in 16..40 {
        let Some(ToPlugin::Error { id, error }) = plugin.hear().await else { panic!("no refusal") };
        assert_eq!((id, error.code), (number, ToolErrorCode::Busy));
    }
    for _ in 0..16 {
        let Some(ToPlugin::Error { id, error }) = plugin.hear().await else { panic!("no answer") };
        assert!(id < 16 && error.code == ToolErrorCode::Timeout, "{id} {error:?}");
    }
    assert_eq!(plugin.ask(99, ask(json!({ "do": "load", "key": "x" }))).await, Ok(Json::Null));
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_asks_without_end_and_reads_nothing_is_ended() {
    let (mut stage, plugin) = Setting::new("pump", PUMP).start().await;
    let floods = async {
        let mut number = 0;
        while plugin.say(ToNode::Ask { id: number, ask: ask(json!({ "do": "load", "key": "x" })) }).await {
            number += 1;
        }
    };
    let (status, ()) = tokio::join!(stage.reaches("attic", State::BackingOff), floods);
    assert!(status.reason.as_ref().unwrap().contains("has not read what it was told"), "{status:?}");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_lines_does_not_fill_the_log_nor_end_anybody() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    for n in 0..10_000 {
        plugin.say(ToNode::Log { level: "info".into(), text: format!("line {n}\u{1b}[2J") }).await;
    }
    assert_eq!(plugin.ask(1, ask(json!({ "do": "load", "key": "x" }))).await, Ok(Json::Null));
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_come_as_far_as_they_are_granted_and_the_oldest_goes_for_the_newest() {
    let mut setting = Setting::new("pump", &format!("{PUMP}\n[[hook]]\ntopic = \"event_raised\"\n"));
    setting.change =
        |args| args.grants = serde_json::from_value(json!({ "topics": ["event_raised"] })).unwrap();
    let (mut stage, mut plugin, ()) = setting
        .play(async |plugin, declared| {
            let hello = sedge_host::outside::testing::hello(declared);
            plugin.say(ToNode::Hello(sedge_protocol::HelloMessage { credit: Some(2), ..hello })).await;
            plugin.hear().await;
            plugin.say(sedge_host::outside::testing::ready(declared)).await;
        })
        .await;
    stage.reaches("attic", State::Running).await;
    for n in 0..300 {
        let kind = Name::new("leak").unwrap();
        stage
            .node
            .raise(Event { kind, severity: Severity::Info, text: n.to_string(), data: Json::Null })
            .await;
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(1)).await;
    let text = |heard: Option<ToPlugin>| match heard {
        Some(ToPlugin::Event { topic, message }) if topic == EventRaised::NAME => {
            message["text"].as_str().unwrap().to_owned()
        }
        other => panic!("expected an event, heard {other:?}"),
    };
    assert_eq!((text(plugin.hear().await), text(plugin.hear().await)), ("0".to_owned(), "1".to_owned()));
    plugin.say(ToNode::Credit { n: 300 }).await;
    let mut heard = Vec::new();
    for _ in 0..256 {
        heard.push(text(plugin.hear().await));
    }
    assert_eq!((heard[0].as_str(), heard[255].as_str()), ("44", "299"), "42 of 298 went");
    let dropped = stage.node.metrics().into_iter().find(|one| one.name.as_str() == "events_dropped").unwrap();
    assert_eq!(format!("{:?}", dropped.metric), "Counter(42)");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_started_on_demand_runs_while_it_is_called_and_for_a_while_after() {
    let declared = declaration("pump", PUMP);
    let (carrier, mut starts) = carrier();
    let idle = Duration::from_secs(300);
    let spec = PluginSpec::new::<Outside>(id("attic"), args(&declared, carrier, Role::Plain)).on_demand(idle);
    let node = Node::new(node_info("stage"), Arc::new(TokioClock::default())).start(vec![spec]).await;
    let is = |state: State| node.directory().plugin("attic").is_some_and(|status| status.state == state);
    for round in 0..2 {
        sleep(Duration::from_secs(600)).await;
        assert!(starts.try_recv().is_err() && is(State::Discovered), "{round}: nobody has called");
        assert!(node.directory().tools.contains_key("attic_set"));
        let (handle, call) = (node.handle(), ToolCall::new(Name::new("attic_set").unwrap(), json!({})));
        let called = tokio::spawn(async move { handle.call(call).await.result });
        let mut plugin = super::next(&mut starts).await;
        plugin.greet(&declared).await;
        let (number, _) = plugin.called().await;
        plugin.answer(number, json!("wet")).await;
        assert_eq!(called.await.unwrap(), Ok(json!("wet")), "the call has waited for the start");
        let begun = Instant::now();
        let (number, call) = plugin.called().await;
        assert_eq!(call, Call::Stop { grace_ms: 3000 });
        assert!((300..360).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        plugin.answer(number, Json::Null).await;
        plugin.end(End::Stopped);
        plugin.killed().await;
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_asks_under_way_have_two_numbers() {
    let mut setting = Setting::new("pump", &format!("{PUMP}\n[requests]\ntools = [\"slow_*\"]\n"));
    setting.change = |args| args.grants = serde_json::from_value(json!({ "tools": ["slow_never"] })).unwrap();
    setting.others.push(Slow::spec());
    let (stage, mut plugin) = setting.start().await;
    let call = ask(json!({ "do": "call", "tool": "slow_never" }));
    plugin.say(ToNode::Ask { id: 7, ask: call.clone() }).await;
    let error = plugin.ask(7, call).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::BadRequest);
    assert!(error.message.contains("an ask of the number 7 is under way"), "{error}");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_given_up_and_go_on_are_so_many_at_most() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    for _ in 0..16 {
        let called = stage.call("attic_set", json!({}));
        let (number, _) = plugin.called().await;
        called.abort();
        assert_eq!(plugin.hear().await, Some(ToPlugin::Cancel { id: number }));
    }
    let error = stage.call("attic_set", json!({})).await.unwrap().unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ToolErrorCode::Busy, "16 calls of it are under way"));
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pongs_without_a_ping_make_no_sense() {
    let (mut stage, plugin) = Setting::new("pump", PUMP).start().await;
    for _ in 0..100 {
        plugin.say(ToNode::Pong { id: 1 }).await;
    }
    let status = stage.reaches("attic", State::BackingOff).await;
    assert!(status.reason.as_ref().unwrap().ends_with("a pong without a ping"), "{status:?}");
    stage.node.stop().await;
}
