//! What plugins need: of the host, of each other, and for themselves alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use sedge_actors::Surroundings;
use sedge_plugin::prelude::*;
use serde_json::json;

use super::puppet::{Puppet, S, call, count, node, pass, status, told, unstarted, watched};
use super::support::{Numbers, id};

/// A host that has these things.
fn host() -> (Surroundings, Arc<Mutex<BTreeSet<String>>>) {
    let there = Arc::new(Mutex::new(BTreeSet::new()));
    let looks = there.clone();
    let requirements = Arc::new(move |requirement: &Requirement<String>| {
        let has = looks.lock().unwrap().contains(&requirement.to_string());
        if has { Ok(()) } else { Err(format!("there is no {requirement}")) }
    });
    (Surroundings { requirements: Some(requirements), ..Surroundings::default() }, there)
}

#[tokio::test(start_paused = true)]
async fn what_the_host_lacks_is_found_before_the_set_up_and_the_plugin_starts_when_it_appears() {
    let (around, there) = host();
    let puppet = Puppet::new();
    let (device, program) = (Requirement::Device("/dev/i2c-1".into()), Requirement::Program("ffmpeg".into()));
    let spec = puppet.spec("camera").requires([device.clone(), program.clone()]);
    let (node, mut errors) = unstarted(around);
    let began = tokio::time::Instant::now();
    let node = node.start(vec![spec, Puppet::new().spec("other")]).await;
    assert!(began.elapsed() < S, "nobody waits for it");
    assert_eq!(status(&node, "camera"), (State::Skipped, "there is no device /dev/i2c-1".into()));
    assert_eq!(status(&node, "other").0, State::Running);
    there.lock().unwrap().insert(device.to_string());
    pass(60 * S).await;
    assert_eq!(status(&node, "camera"), (State::Skipped, "there is no program ffmpeg".into()));
    assert_eq!(count(&puppet.ran.setups), 0, "its code never ran");
    there.lock().unwrap().insert(program.to_string());
    pass(10 * S).await;
    assert_eq!((status(&node, "camera").0, count(&puppet.ran.setups)), (State::Running, 1));
    assert_eq!(told(&mut errors), [], "that something is missing is no error");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_what_the_host_lacks_stops_at_once() {
    let (around, _) = host();
    let spec = Puppet::new().spec("camera").requires([Requirement::Device("/dev/video0".into())]);
    let node = unstarted(around).0.start(vec![spec]).await;
    let began = tokio::time::Instant::now();
    node.stop().await;
    assert!(began.elapsed() < S);
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_needs_starts_before_it_and_stops_after_it() {
    let log = Arc::new(Mutex::new(String::new()));
    let puppet = |name: &'static str, needs: &[&str]| {
        let (up, down) = (log.clone(), log.clone());
        let puppet = Puppet::new()
            .before_setup(move || up.lock().unwrap().push_str(name))
            .before_teardown(move || down.lock().unwrap().push_str(name));
        puppet.spec(name).needs(needs.iter().map(|need| id(need)))
    };
    let node = node(vec![puppet("a", &["b"]), puppet("b", &["d"]), puppet("c", &[]), puppet("d", &[])]).await;
    assert_eq!(std::mem::take(&mut *log.lock().unwrap()), "cdba");
    node.stop().await;
    assert_eq!(*log.lock().unwrap(), "abdc");
}

#[tokio::test(start_paused = true)]
async fn a_missing_need_and_a_cycle_fail_exactly_those_concerned_and_the_rest_runs() {
    let puppet = Puppet::new();
    let spec = |name: &str, needs: &[&str]| puppet.spec(name).needs(needs.iter().map(|need| id(need)));
    let node = node(vec![
        spec("a", &["b"]),
        spec("b", &["a"]),
        spec("pump", &["tnak"]),
        spec("tank", &[]),
        spec("garden", &["pump"]),
        spec("lawn", &["a"]),
        spec("shed", &["tank"]),
    ])
    .await;
    assert_eq!(status(&node, "a"), (State::Failed, "needs itself: a → b → a".into()));
    assert_eq!(status(&node, "b"), (State::Failed, "needs itself: b → a → b".into()));
    let missing = "needs `tnak`, which is not there (pump → tnak); did you mean `tank`?";
    assert_eq!(status(&node, "pump"), (State::Failed, missing.into()));
    let dependents = status(&node, "garden");
    assert_eq!(dependents, (State::Skipped, format!("needs `pump`, which is failed: {missing}")));
    assert_eq!(status(&node, "lawn").1, "needs `a`, which is failed: needs itself: a → b → a");
    assert_eq!((status(&node, "tank").0, status(&node, "shed").0), (State::Running, State::Running));
    assert_eq!(count(&puppet.ran.setups), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dependent_of_one_that_failed_is_skipped_and_starts_when_that_recovers() {
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let well = fails.clone();
    let tank = Puppet::new().on_setup(move |_| {
        let fails = fails.load(std::sync::atomic::Ordering::SeqCst);
        async move { if fails { Err(PluginError::failed("it leaks")) } else { Ok(()) } }
    });
    let pump = Puppet::new();
    let node = node(vec![tank.spec("tank"), pump.spec("pump").needs([id("tank")])]).await;
    pass(20 * S).await;
    assert_eq!(
        status(&node, "pump"),
        (State::Skipped, "needs `tank`, which is backing_off: it leaks".into())
    );
    assert_eq!(count(&pump.ran.setups), 0);
    well.store(false, std::sync::atomic::Ordering::SeqCst);
    pass(60 * S).await;
    assert_eq!((status(&node, "tank").0, status(&node, "pump").0), (State::Running, State::Running));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_that_claim_one_tool_or_one_sensor_the_second_is_not_started_and_both_are_named() {
    let tool = || Puppet::new().tool("pump_set").claims(&[]);
    let sensor = |puppet: Puppet| puppet.claims(&["tank"]);
    let (second, fourth) = (tool(), sensor(Puppet::new()));
    let node =
        node(vec![tool().spec("a"), second.spec("b"), sensor(Puppet::new()).spec("c"), fourth.spec("d")])
            .await;
    assert_eq!((status(&node, "a").0, status(&node, "c").0), (State::Running, State::Running));
    assert_eq!(status(&node, "b"), (State::Failed, "`a` has the tool `pump_set` already".into()));
    assert_eq!(status(&node, "d"), (State::Failed, "`c` has the sensor `tank` already".into()));
    assert_eq!((count(&second.ran.setups), count(&fourth.ran.setups)), (0, 0));
    assert_eq!(node.call(call("pump_set", json!({}))).await.by, Some(id("a")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_with_one_id_the_first_runs_and_is_shown_and_the_second_is_told_of() {
    let (first, second) = (Puppet::new().tool("one"), Puppet::new().tool("two"));
    let needs = Puppet::new();
    let (node, mut errors) =
        watched(vec![first.spec("twin"), second.spec("twin"), needs.spec("z").needs([id("twin")])]).await;
    pass(S).await;
    assert_eq!(status(&node, "twin").0, State::Running, "the one that runs is the one that is shown");
    assert_eq!(status(&node, "z").0, State::Running);
    assert_eq!((count(&first.ran.setups), count(&second.ran.setups)), (1, 0));
    let failures = told(&mut errors);
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert!(failures[0].error.contains("two plugins are called `twin`"), "{failures:#?}");
    node.bus().publish::<Numbers>(1).await;
    pass(S).await;
    assert_eq!(count(&first.ran.heard), 1);
    node.stop().await;
    assert_eq!(count(&first.ran.teardowns), 1);
}
