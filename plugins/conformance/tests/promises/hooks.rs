use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use crate::harness::compiled_in::Marker;
use crate::harness::home::{Home, Instance};
use crate::harness::node::{Stage, World, level};

/// What the probe has heard, once it is so much.
async fn heard(stage: &Stage, probe: &str, most: usize) -> Json {
    loop {
        let state = stage.state_of(probe).await;
        if state["heard"].as_array().map_or(0, Vec::len) >= most {
            return state["heard"].clone();
        }
        tokio::task::yield_now().await;
    }
}

pub async fn readings_are_heard_in_order(home: &'static dyn Home) {
    let world = World::new(home);
    let stage = world.start(&[Instance::probe("ear").hears(&["deliver"])]).await;
    for n in 1..=40 {
        stage.tank(f64::from(n)).await;
    }
    let expected: Vec<Json> = (1..=40).map(|n| json!(["tank", n])).collect();
    assert_eq!(heard(&stage, "ear", 40).await, json!(expected));
    stage.stop().await;
}

async fn guard(home: &'static dyn Home) -> Stage {
    let topics = ["pre_tool_execute", "post_tool_execute"];
    World::new(home).start(&[Instance::probe("guard").hears(&topics)]).await
}

pub async fn a_step_passes_changes_and_vetoes(home: &'static dyn Home) {
    let stage = guard(home).await;
    assert_eq!(stage.call("target", json!({ "n": 1 })).await.unwrap(), json!({ "n": 1 }));
    let marked = stage.call("target", json!({ "step": "mark" })).await.unwrap();
    assert_eq!(marked, json!({ "step": "mark", "trail": ["guard"] }));
    let error = stage.call("target", json!({ "step": "veto" })).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Denied);
    assert_eq!(error.message, "`guard` says no: it was told to");
    assert_eq!(stage.status("guard").state, State::Running);
    stage.stop().await;
}

pub async fn a_step_after_a_tool_changes_and_vetoes(home: &'static dyn Home) {
    let stage = guard(home).await;
    assert_eq!(stage.call("target", json!({ "n": 1 })).await.unwrap(), json!({ "n": 1 }));
    let marked = stage.call("target", json!({ "after": "mark" })).await.unwrap();
    assert_eq!(marked, json!({ "after": "mark", "trail": ["guard"] }));
    let error = stage.call("target", json!({ "after": "veto" })).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ToolErrorCode::Denied, "`guard` says no: it was told to")
    );
    stage.stop().await;
}

pub async fn steps_run_by_priority_among_those_compiled_in(home: &'static dyn Home) {
    let world = World::new(home);
    let markers = [Marker::spec("late", 150), Marker::spec("early", 50)];
    let stage = world.start_with(&[Instance::probe("guard").hears(&["pre_tool_execute"])], markers).await;
    let marked = stage.call("target", json!({ "step": "mark" })).await.unwrap();
    assert_eq!(marked["trail"], json!(["early", "guard", "late"]));
    stage.stop().await;
}

pub async fn a_step_that_fails_breaks_or_hangs_lets_pass(home: &'static dyn Home) {
    let mut stage = guard(home).await;
    for does in ["fails", "panics"] {
        assert_eq!(stage.call("target", json!({ "step": does })).await.unwrap(), json!({ "step": does }));
    }
    stage.reaches("guard", State::BackingOff).await;
    stage.reaches("guard", State::Running).await;
    assert_eq!(stage.call("target", json!({ "step": "hangs" })).await.unwrap(), json!({ "step": "hangs" }));
    // Whatever had to be done about it: it is a step again.
    let marked = loop {
        let marked = stage.call("target", json!({ "step": "mark" })).await.unwrap();
        if !marked["trail"].is_null() {
            break marked;
        }
        stage.states.next().await;
    };
    assert_eq!(marked["trail"], json!(["guard"]));
    stage.stop().await;
}

pub async fn bytes_of_a_format_that_it_knows_become_a_reading(home: &'static dyn Home) {
    let world = World::new(home);
    let mut stage = world.start(&[Instance::probe("ear").hears(&["extract"])]).await;
    stage.call("source_submit", json!({ "format": "probe", "level": 7 })).await.unwrap();
    assert_eq!(level(&*stage.reading("tank").await), Some(7.0));
    let error = stage.call("source_submit", json!({ "format": "other", "level": 7 })).await.unwrap_err();
    assert!(error.message.contains("`other`"), "{error}");
    stage.stop().await;
}

pub async fn a_failing_observer_is_told_of(home: &'static dyn Home) {
    let world = World::new(home);
    let mut stage = world.start(&[Instance::probe("ear").hears(&["event_raised"])]).await;
    stage.shout("fails").await;
    let failure = stage.failure("ear").await;
    assert_eq!((failure.what.as_str(), failure.error.as_str()), ("event_raised", "it broke as it was told"));
    stage.stop().await;
}

pub async fn a_topic_that_is_not_granted_fails_it_for_good(home: &'static dyn Home) {
    let world = World::new(home);
    let mut stage =
        world.start(&[Instance::probe("deaf").wants(&["deliver"]), Instance::probe("calm")]).await;
    let said = stage.reaches("deaf", State::Failed).await.reason.unwrap_or_default();
    assert!(said.contains("`deliver`") && said.contains("grant = { topics = [\"deliver\"] }"), "{said}");
    assert_eq!(stage.status("calm").state, State::Running);
    stage.stop().await;
}
