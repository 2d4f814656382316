//! Calls of a plugin outside: answered, late, twice, never.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_protocol::{Call, ToNode, ToPlugin};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::{PUMP, Setting, id};

#[tokio::test(start_paused = true)]
async fn a_tool_is_called_by_its_own_name_and_two_instances_do_not_collide() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let called = stage.call("attic_set", json!({ "on": true }));
    let (number, call) = plugin.called().await;
    let (tool, from) = (Name::new("pump_set").unwrap(), "cli".to_owned());
    assert_eq!(call, Call::Tool { tool, args: json!({ "on": true }), from, timeout_ms: 30_000 });
    plugin.answer(number, json!("wet")).await;
    assert_eq!(called.await.unwrap(), Ok(json!("wet")));
    assert!(!stage.node.directory().tools.contains_key("pump_set"));
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn progress_is_heard_while_a_call_is_under_way_and_not_after_it() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let (node, hear) = (stage.node.handle(), heard.clone());
    let call = ToolCall::new(Name::new("attic_set").unwrap(), json!({}));
    let progress = Progress::to(move |update| hear.lock().unwrap().push(update.text));
    let called = tokio::spawn(async move { node.call(ToolCall { progress, ..call }).await.result });
    let (number, _) = plugin.called().await;
    let progress = |text: &str| ToNode::Progress { id: number, fraction: Some(0.5), text: text.into() };
    plugin.say(progress("rinsing")).await;
    plugin.answer(number, Json::Null).await;
    plugin.say(progress("too late")).await;
    called.await.unwrap().unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(*heard.lock().unwrap(), ["rinsing"]);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_times_out_and_a_plugin_that_goes_on_with_it_is_ended() {
    let (mut stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let begun = Instant::now();
    let called = stage.call("attic_set", json!({}));
    let (number, _) = plugin.called().await;
    let error = called.await.unwrap().unwrap_err();
    assert_eq!((error.code, begun.elapsed().as_secs()), (ToolErrorCode::Timeout, 30));
    assert_eq!(plugin.hear().await, Some(ToPlugin::Cancel { id: number }));
    let status = stage.reaches("attic", State::BackingOff).await;
    assert!(status.reason.as_ref().unwrap().contains("it hangs"), "{status:?}");
    assert_eq!(begun.elapsed().as_secs(), 35);
    plugin.killed().await;
    stage.again().await;
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_no_mistake_and_the_plugin_lives_on() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let called = stage.call("attic_set", json!({}));
    let (number, _) = plugin.called().await;
    called.await.unwrap().unwrap_err();
    sleep(Duration::from_secs(4)).await;
    plugin.answer(number, json!("late")).await;
    sleep(Duration::from_secs(2)).await;
    let called = stage.call("attic_set", json!({}));
    assert_eq!(plugin.hear().await, Some(ToPlugin::Cancel { id: number }));
    let (number, _) = plugin.called().await;
    plugin.answer(number, json!("in time")).await;
    assert_eq!(called.await.unwrap(), Ok(json!("in time")), "not the answer to the call before");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_is_told_of_and_takes_no_time_from_the_plugin() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let called = stage.call("attic_set", json!({}));
    let (number, _) = plugin.called().await;
    called.abort();
    assert_eq!(plugin.hear().await, Some(ToPlugin::Cancel { id: number }));
    // It may finish what it began: it had thirty seconds for it.
    sleep(Duration::from_secs(29)).await;
    plugin.answer(number, Json::Null).await;
    assert_eq!(stage.node.directory().plugin("attic").unwrap().state, State::Running);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn answers_to_nothing_are_borne_for_a_while_and_never_reach_anybody() {
    let (mut stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let called = stage.call("attic_set", json!({}));
    let (number, _) = plugin.called().await;
    for other in [number + 1, u64::MAX, 0] {
        plugin.answer(other, json!("forged")).await;
    }
    plugin.answer(number, json!("once")).await;
    plugin.answer(number, json!("twice")).await;
    assert_eq!(called.await.unwrap(), Ok(json!("once")));
    for _ in 0..100 {
        plugin.answer(7, json!("flood")).await;
    }
    let status = stage.reaches("attic", State::BackingOff).await;
    assert!(status.reason.as_ref().unwrap().contains("made no sense"), "{status:?}");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn answers_out_of_order_reach_those_who_asked() {
    let mut setting = Setting::new("pump", PUMP);
    setting.role = sedge_host::outside::Role::Destination { sensors: None };
    let journal = sedge_plugin::testing::MemoryJournal::new(100);
    setting.around.journal = Some(Arc::new(journal.clone()));
    let (stage, mut plugin) = setting.start().await;
    journal.put(super::destination::reading("air", 1));
    let (deliver, call) = plugin.called().await;
    assert!(matches!(call, Call::Deliver { .. }));
    let called = stage.call("attic_set", json!({}));
    let (tool, _) = plugin.called().await;
    plugin.answer(tool, json!("second call, first answer")).await;
    assert_eq!(called.await.unwrap(), Ok(json!("second call, first answer")));
    assert_eq!(journal.pending(&id("attic")), 1);
    plugin.answer(deliver, Json::Null).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(journal.pending(&id("attic")), 0);
    stage.node.stop().await;
}
