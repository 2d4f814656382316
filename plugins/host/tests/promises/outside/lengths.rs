//! What is too long for a plugin outside is not sent, and whoever sends it is told.

use std::sync::Arc;

use sedge_host::outside::Role;
use sedge_plugin::journal::Cause;
use sedge_plugin::prelude::*;
use sedge_plugin::testing::MemoryJournal;
use sedge_plugin::topics::{Event, Severity};
use sedge_protocol::{Call, ToPlugin};
use serde_json::{Value as Json, json};

use super::destination::{lost, reading};
use super::{PUMP, Setting, ask, id};

/// What a call may have here, in bytes.
const LONGEST: usize = 4096;

fn short(args: &mut sedge_host::outside::OutsideArgs) {
    args.limits.message = LONGEST;
    args.grants = serde_json::from_value(json!({ "topics": ["event_raised"] })).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_not_called_with_more_than_a_message_may_have_and_the_caller_is_told_what_to_do() {
    let manifest = PUMP.replace("additionalProperties = false", "additionalProperties = true");
    let (stage, mut plugin) = Setting { change: short, ..Setting::new("pump", &manifest) }.start().await;
    let error = stage.call("attic_set", json!({ "note": "x".repeat(LONGEST) })).await.unwrap().unwrap_err();
    assert_eq!(error.code, ToolErrorCode::BadRequest);
    let words = "longer than a message to this plugin may be, 4096 bytes: write `limits = { message = \"…\" }` with more in [plugin.attic]";
    assert!(error.message.contains(words), "{error}");
    // It has heard nothing of it, and lives on.
    let called = stage.call("attic_set", json!({ "note": "x" }));
    let (number, _) = plugin.called().await;
    plugin.answer(number, json!("wet")).await;
    assert_eq!(called.await.unwrap(), Ok(json!("wet")));
    assert_eq!(stage.node.directory().plugin("attic").unwrap().state, State::Running);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_long_is_an_error() {
    let folder = crate::Folder::new();
    let mut setting = Setting { change: short, ..Setting::new("pump", PUMP) };
    setting.around.data = Some(folder.0.clone());
    let (stage, mut plugin) = setting.start().await;
    let half = "x".repeat(LONGEST - 200);
    let store = ask(json!({ "do": "store", "key": "note", "value": [half, half] }));
    assert_eq!(plugin.ask(1, store).await, Ok(Json::Null));
    let error = plugin.ask(2, ask(json!({ "do": "load", "key": "note" }))).await.unwrap_err();
    assert!(error.message.starts_with("the answer cannot be sent: it is longer than"), "{error}");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_long_is_counted_as_dropped_and_the_next_one_comes() {
    let manifest = format!("{PUMP}\n[[hook]]\ntopic = \"event_raised\"\n");
    let (stage, mut plugin) = Setting { change: short, ..Setting::new("pump", &manifest) }.start().await;
    for text in ["x".repeat(LONGEST), "short".to_owned()] {
        let kind = Name::new("leak").unwrap();
        stage.node.raise(Event { kind, severity: Severity::Info, text, data: Json::Null }).await;
    }
    let Some(ToPlugin::Event { message, .. }) = plugin.hear().await else { panic!("no event") };
    assert_eq!(message["text"], "short");
    let dropped = stage.node.metrics().into_iter().find(|one| one.name.as_str() == "events_dropped").unwrap();
    assert_eq!(format!("{:?}", dropped.metric), "Counter(1)");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_too_long_for_a_welcome_are_a_mistake_of_the_config() {
    let mut setting = Setting::new("pump", PUMP);
    setting.change = |args| {
        short(args);
        args.settings = json!({ "note": "x".repeat(LONGEST) });
    };
    let plays = async |plugin: &mut super::FakePlugin, declared: &super::Declaration| {
        plugin.say(sedge_protocol::ToNode::Hello(sedge_host::outside::testing::hello(declared))).await;
    };
    let (mut stage, _plugin, ()) = setting.play(plays).await;
    let status = stage.reaches("attic", State::Failed).await;
    assert!(
        status.reason.as_ref().unwrap().contains("its `welcome`, with its settings: it is longer"),
        "{status:?}"
    );
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn readings_come_in_parts_that_a_message_holds_and_one_that_none_holds_is_counted_as_lost() {
    let journal = MemoryJournal::new(1000);
    let manifest = "category = \"destination\"\n[entry]\ncommand = [\"card\"]";
    let role = Role::Destination { sensors: None };
    let mut setting = Setting { role, change: short, ..Setting::new("card", manifest) };
    setting.around.journal = Some(Arc::new(journal.clone()));
    let (stage, mut plugin) = setting.start().await;
    for seq in 1..=30 {
        let mut reading = reading("air", seq);
        let note = "x".repeat(if seq == 7 { LONGEST } else { 300 });
        reading.frame.push("note", note.as_str());
        journal.put(reading);
    }
    let (mut arrived, mut parts) = (Vec::new(), 0);
    while arrived.len() < 29 {
        let (number, call) = plugin.called().await;
        assert!(
            serde_json::to_string(&ToPlugin::Call { id: number, call: call.clone() }).unwrap().len()
                <= LONGEST
        );
        let Call::Deliver { readings } = call else { panic!("no delivery") };
        arrived.extend(readings.iter().map(|reading| reading["seq"].as_u64().unwrap()));
        parts += 1;
        plugin.answer(number, Json::Null).await;
    }
    assert!(arrived.into_iter().eq((1..=30).filter(|seq| *seq != 7)));
    assert!(parts > 5, "{parts}");
    stage.node.stop().await;
    assert_eq!(journal.pending(&id("attic")), 0);
    assert_eq!(lost(&journal), [(Cause::TooLarge, vec![(7, 7)])]);
}
