use std::time::Duration;

use sedge_plugin::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::home::{Home, Instance};
use crate::harness::node::{Stage, World, level};

pub async fn its_settings_arrive(home: &'static dyn Home) {
    let world = World::new(home);
    let probe = Instance::probe("attic").settings(json!({ "greeting": "grüß Gott", "every_ms": 60_000 }));
    let stage = world.start(&[probe]).await;
    let state = stage.state_of("attic").await;
    assert_eq!((&state["greeting"], &state["id"]), (&json!("grüß Gott"), &json!("attic")));
    stage.stop().await;
}

/// Lets so much time pass that whoever waited for a pause of a second would have had its turn.
async fn a_while(stage: &mut Stage) {
    for _ in 0..20 {
        stage.event("probe_tick").await;
    }
}

fn pulse() -> Instance {
    Instance::probe("pulse").settings(json!({ "every_ms": 50 }))
}

pub async fn wrong_settings_fail_it_for_good(home: &'static dyn Home) {
    let world = World::new(home);
    let wrong = Instance::probe("wrong").settings(json!({ "setup": "settings" }));
    let mut stage = world.start(&[wrong, pulse()]).await;
    let status = stage.reaches("wrong", State::Failed).await;
    assert_eq!(status.reason.as_deref(), Some("setup: these settings are wrong"));
    a_while(&mut stage).await;
    let status = stage.status("wrong");
    assert_eq!((status.state, status.restarts), (State::Failed, 0));
    stage.stop().await;
}

/// How often the set-up went so, what was said of it, and that it is well in the end.
async fn tried_again(home: &'static dyn Home, does: &str, state: State, reason: &str, start: Duration) {
    let world = World::new(home);
    let probe = Instance::probe("attic").settings(json!({ "setup": does, "setup_times": 2 }));
    let mut stage = world.start(&[Instance { start, ..probe }, Instance::probe("calm")]).await;
    let status = stage.reaches("attic", state).await;
    let said = status.reason.unwrap_or_default();
    assert!(said.contains(reason), "{said}");
    let status = stage.reaches("attic", State::Running).await;
    assert_eq!((status.restarts, status.reason), (2, None));
    assert_eq!(stage.state_of("attic").await["setups"], 3);
    assert_eq!((stage.status("calm").state, stage.status("calm").restarts), (State::Running, 0));
    stage.stop().await;
}

const LONG: Duration = Duration::from_secs(10);

pub async fn what_it_lacks_skips_it_until_it_is_there(home: &'static dyn Home) {
    tried_again(home, "unmet", State::Skipped, "there is no such device", LONG).await;
}

pub async fn a_set_up_that_fails_is_tried_again(home: &'static dyn Home) {
    tried_again(home, "fails", State::BackingOff, "it broke as it was told", LONG).await;
}

pub async fn a_set_up_that_breaks_is_tried_again(home: &'static dyn Home) {
    tried_again(home, "panics", State::BackingOff, "it panicked as it was told", LONG).await;
}

pub async fn a_set_up_that_hangs_is_ended_and_tried_again(home: &'static dyn Home) {
    // One that nothing can ever wake need not be waited for.
    let says = if home.is_component() { "waits for what cannot come" } else { "within" };
    tried_again(home, "hangs", State::BackingOff, says, Duration::from_secs(1)).await;
}

pub async fn it_ticks_as_it_wants_and_never_faster(home: &'static dyn Home) {
    let world = World::new(home);
    let began = Instant::now();
    let mut stage = world.start(&[pulse()]).await;
    for n in 1..=5 {
        assert_eq!(stage.event("probe_tick").await.data, json!({ "n": n }));
    }
    assert!(
        began.elapsed() >= Duration::from_millis(4 * 50),
        "four times what it asked for: {:?}",
        began.elapsed()
    );
    stage.stop().await;
}

pub async fn three_failures_in_a_row_restart_it(home: &'static dyn Home) {
    let world = World::new(home);
    let probe = Instance::probe("attic").settings(json!({ "every_ms": 50, "tick": "fails" }));
    let mut stage = world.start(&[probe]).await;
    let status = stage.reaches("attic", State::Degraded).await;
    assert_eq!(status.reason.as_deref(), Some("it broke as it was told"));
    let status = stage.reaches("attic", State::BackingOff).await;
    assert_eq!(status.reason.as_deref(), Some("it broke as it was told (3 times in a row)"));
    let failure = stage.failure("attic").await;
    assert_eq!((failure.what.as_str(), failure.error.as_str()), ("tick", "it broke as it was told"));
    assert_eq!(stage.event("probe_teardown").await.text, "attic");
    while stage.states.next().await.restarts < 1 {}
    stage.stop().await;
}

pub async fn one_that_breaks_is_restarted_and_the_others_never_notice(home: &'static dyn Home) {
    let world = World::new(home);
    let wild = Instance::probe("wild").hears(&["event_raised"]);
    let mut stage = world.start(&[wild, Instance::probe("calm")]).await;
    stage.shout("panics").await;
    let status = stage.reaches("wild", State::BackingOff).await;
    let said = status.reason.unwrap_or_default();
    assert!(said.contains("it panicked as it was told"), "{said}");
    let status = stage.reaches("wild", State::Running).await;
    assert_eq!((status.restarts, status.reason), (1, None));
    assert_eq!(stage.state_of("wild").await["setups"], 2);
    assert_eq!(stage.state_of("calm").await["setups"], 1);
    assert_eq!((stage.status("calm").state, stage.status("calm").restarts), (State::Running, 0));
    stage.stop().await;
}

pub async fn one_that_hangs_is_ended_and_serves_again(home: &'static dyn Home) {
    let world = World::new(home);
    let stuck = Instance::probe("stuck").hears(&["pre_tool_execute"]);
    let mut stage = world.start(&[stuck, Instance::probe("calm")]).await;
    // Whoever waits for it waits no longer than it may take.
    assert_eq!(stage.call("target", json!({ "step": "hangs" })).await.unwrap(), json!({ "step": "hangs" }));
    // Some can be ended where they wait, others have to be started anew; meanwhile they are skipped.
    while stage.call("target", json!({ "step": "mark" })).await.unwrap()["trail"].is_null() {
        stage.states.next().await;
    }
    assert_eq!(stage.state_of("calm").await["setups"], 1);
    stage.stop().await;
}

pub async fn the_stop_runs_its_teardown(home: &'static dyn Home) {
    let world = World::new(home);
    let Stage { node, mut events, .. } = world.start(&[Instance::probe("attic")]).await;
    node.stop().await;
    let told = std::iter::from_fn(|| events.take());
    let kinds: Vec<String> = told.map(|event| event.kind.to_string()).collect();
    assert_eq!(kinds, ["probe_teardown"]);
}

pub async fn its_states_have_the_words_that_all_plugins_have(home: &'static dyn Home) {
    let world = World::new(home);
    let mut stage = world.start(&[Instance::probe("attic").hears(&["event_raised"])]).await;
    stage.obeys("attic", json!({ "do": "degraded", "reason": "half a wire" })).await;
    stage.reaches("attic", State::Degraded).await;
    stage.shout("panics").await;
    stage.reaches("attic", State::Running).await;
    let Stage { node, mut states, .. } = stage;
    node.stop().await;
    let mut last = None;
    while let Some(status) = states.take() {
        if status.id.as_str() == "attic" {
            last = Some(status.state.word());
        }
    }
    assert_eq!(last, Some("stopped"));
}

/// Calls a tool of the probe, with little time, until it answers.
async fn serves(stage: &mut Stage, probe: &str) {
    let tool = Name::from_id(&Id::new(probe).unwrap(), Some("echo")).unwrap();
    loop {
        let call = ToolCall::new(tool.clone(), json!({ "text": "there?" }));
        let call = ToolCall { timeout: Some(Duration::from_millis(200)), ..call };
        match stage.node.call(call).await.result {
            Ok(_) => return,
            Err(error) if error.code == ToolErrorCode::Timeout => {}
            // It is away for a moment.
            Err(_) => drop(stage.states.next().await),
        }
    }
}

pub async fn one_that_loops_is_ended_and_the_others_never_notice(home: &'static dyn Home) {
    let world = World::new(home);
    let mut stage = world.start(&[Instance::probe("wild"), Instance::probe("calm")]).await;
    let call = ToolCall::new(Name::new("wild_do").unwrap(), json!({ "do": "loops" }));
    let call = ToolCall { timeout: Some(Duration::from_millis(200)), ..call };
    let error = stage.node.call(call).await.result.unwrap_err();
    assert!(matches!(error.code, ToolErrorCode::Timeout | ToolErrorCode::Failed), "{error}");
    serves(&mut stage, "calm").await;
    stage.reaches("wild", State::BackingOff).await;
    serves(&mut stage, "wild").await;
    assert_eq!(stage.state_of("wild").await["setups"], 2);
    assert_eq!(stage.state_of("calm").await["setups"], 1);
    stage.stop().await;
}

pub async fn one_that_hangs_over_what_it_hears_serves_again(home: &'static dyn Home) {
    let world = World::new(home);
    let ear = Instance::probe("ear").hears(&["event_raised"]);
    let mut stage = world.start(&[ear, Instance::probe("calm")]).await;
    stage.shout("hangs").await;
    serves(&mut stage, "calm").await;
    serves(&mut stage, "ear").await;
    assert_eq!(stage.state_of("calm").await["setups"], 1);
    stage.stop().await;
}

pub async fn readings_of_others_have_no_hole_while_one_breaks(home: &'static dyn Home) {
    let world = World::new(home);
    let mut stage = world.start(&[Instance::probe("wild").hears(&["event_raised", "deliver"])]).await;
    for n in 1..=60 {
        if n % 20 == 10 {
            stage.shout("panics").await;
        }
        stage.tank(f64::from(n)).await;
        if n % 20 == 15 {
            stage.reaches("wild", State::BackingOff).await;
            stage.reaches("wild", State::Running).await;
        }
    }
    for n in 1..=60 {
        let reading = stage.reading("tank").await;
        assert_eq!((reading.seq, level(&reading)), (u64::from(n as u32), Some(f64::from(n))));
    }
    assert_eq!(stage.status("wild").restarts, 3);
    stage.stop().await;
}

pub async fn one_on_demand_is_there_when_it_is_called(home: &'static dyn Home) {
    let world = World::new(home);
    let idle = Some(Duration::from_millis(300));
    let mut stage = world.start(&[Instance { idle, ..Instance::probe("attic") }]).await;
    for setups in 1..=2 {
        assert!(stage.node.directory().tools.contains_key("attic_echo"), "it is listed all the time");
        assert!(!matches!(stage.status("attic").state, State::Starting | State::Running));
        assert_eq!(stage.state_of("attic").await["setups"], setups);
        // Until nobody has called it for a while.
        assert_eq!(stage.event("probe_teardown").await.text, "attic");
        while matches!(stage.status("attic").state, State::Starting | State::Running) {
            stage.states.next().await;
        }
    }
    assert_eq!(stage.status("attic").restarts, 0);
    stage.stop().await;
}
