use sedge_plugin::metrics::Metric;
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use crate::harness::home::{Home, Instance};
use crate::harness::node::{Answered, Stage, World};

fn attic() -> Instance {
    Instance::probe("attic").hears(&["event_raised"])
}

/// What it is told says what stands in the config, and what would have to.
fn is_not_granted(answered: Answered, what: &str) {
    let error = answered.expect_err("it was not granted");
    assert!(error.message.contains("grant") && error.message.contains(what), "{error}");
}

pub async fn what_it_keeps_survives_its_restart_and_the_nodes(home: &'static dyn Home) {
    let world = World::new(home);
    let mut stage = world.start(&[attic(), Instance::probe("other")]).await;
    let value = json!({ "count": 7, "text": "ü" });
    let load = json!({ "do": "load", "key": "x" });
    assert_eq!(stage.obeys("attic", load.clone()).await, Json::Null);
    stage.obeys("attic", json!({ "do": "store", "key": "x", "value": value })).await;
    assert_eq!(stage.obeys("attic", load.clone()).await, value);
    assert_eq!(stage.obeys("other", load.clone()).await, Json::Null, "each has its own");
    stage.reaches("attic", State::Running).await;
    stage.shout("panics").await;
    stage.reaches("attic", State::Running).await;
    assert_eq!(stage.obeys("attic", load.clone()).await, value);
    stage.stop().await;
    let stage = world.start(&[attic()]).await;
    assert_eq!(stage.obeys("attic", load.clone()).await, value);
    assert_eq!(stage.state_of("attic").await["setups"], 3);
    stage.obeys("attic", json!({ "do": "forget", "key": "x" })).await;
    assert_eq!(stage.obeys("attic", load).await, Json::Null);
    stage.stop().await;
}

pub async fn a_directory_of_its_own_is_kept(home: &'static dyn Home) {
    let world = World::new(home);
    let attic = attic().grant(json!({ "data": true }));
    let stage = world.start(std::slice::from_ref(&attic)).await;
    assert_eq!(stage.obeys("attic", json!({ "do": "kept" })).await, Json::Null);
    stage.obeys("attic", json!({ "do": "keep", "text": "a letter" })).await;
    stage.stop().await;
    let stage = world.start(&[attic]).await;
    assert_eq!(stage.obeys("attic", json!({ "do": "kept" })).await, "a letter");
    stage.stop().await;
}

pub async fn it_has_no_directory_that_was_not_granted(home: &'static dyn Home) {
    let stage = World::new(home).start(&[attic()]).await;
    is_not_granted(stage.order("attic", json!({ "do": "keep", "text": "a letter" })).await, "data");
    stage.stop().await;
}

fn target(args: Json) -> Json {
    json!({ "do": "call", "tool": "target", "args": args })
}

pub async fn it_calls_a_tool_of_another(home: &'static dyn Home) {
    let world = World::new(home);
    let granted = |id| Instance::probe(id).grant(json!({ "tools": ["target", "attic_echo"] }));
    let stage = world.start(&[Instance::probe("attic"), granted("cellar")]).await;
    assert_eq!(stage.obeys("cellar", target(json!({ "n": 1 }))).await, json!({ "n": 1 }));
    let echo = json!({ "do": "call", "tool": "attic_echo", "args": { "text": "up there" } });
    assert_eq!(stage.obeys("cellar", echo).await["by"], "attic");
    let wrong = json!({ "do": "call", "tool": "attic_echo", "args": {} });
    assert_eq!(stage.order("cellar", wrong).await.unwrap_err().code, ToolErrorCode::BadArgs);
    stage.stop().await;
}

pub async fn it_calls_no_tool_that_was_not_granted(home: &'static dyn Home) {
    let stage = World::new(home).start(&[attic().grant(json!({ "tools": ["attic_echo"] }))]).await;
    is_not_granted(stage.order("attic", target(json!({}))).await, "target");
    stage.stop().await;
}

pub async fn it_knows_the_newest_reading_of_another(home: &'static dyn Home) {
    let world = World::new(home);
    let stage = world.start(&[Instance::probe("attic").hears(&["deliver"])]).await;
    let latest = json!({ "do": "latest", "sensor": "tank" });
    assert_eq!(stage.obeys("attic", latest.clone()).await, Json::Null);
    stage.tank(1.0).await;
    stage.tank(2.5).await;
    assert_eq!(stage.obeys("attic", latest).await, json!({ "sensor": "tank", "seq": 2, "level": 2.5 }));
    stage.stop().await;
}

fn tide() -> Json {
    json!({ "do": "http", "url": "http://example.org/tide" })
}

pub async fn it_asks_over_http(home: &'static dyn Home) {
    let world = World::new(home);
    let stage = world.start(&[attic().grant(json!({ "hosts": ["example.org"] }))]).await;
    assert_eq!(stage.obeys("attic", tide()).await, json!({ "status": 200, "body": "high tide" }));
    assert_eq!(world.web.asked(), ["http://example.org/tide"]);
    stage.stop().await;
}

pub async fn it_asks_no_host_that_was_not_granted(home: &'static dyn Home) {
    let world = World::new(home);
    let stage =
        world.start(&[attic(), Instance::probe("other").grant(json!({ "hosts": ["example.org"] }))]).await;
    is_not_granted(stage.order("attic", tide()).await, "example.org");
    let elsewhere = json!({ "do": "http", "url": "http://example.org.evil.example/tide" });
    is_not_granted(stage.order("other", elsewhere).await, "example.org.evil.example");
    assert!(world.web.asked().is_empty());
    stage.stop().await;
}

pub async fn it_sees_the_config_of_the_node(home: &'static dyn Home) {
    let stage = World::new(home).start(&[attic().grant(json!({ "config": true }))]).await;
    let config = stage.obeys("attic", json!({ "do": "config" })).await;
    assert_eq!((&config["node"]["id"], &config["secret"]), (&json!("stage"), &json!("***")));
    stage.stop().await;
}

pub async fn it_sees_no_config_that_was_not_granted(home: &'static dyn Home) {
    let stage = World::new(home).start(&[attic()]).await;
    let answered = stage.order("attic", json!({ "do": "config" })).await;
    assert!(answered.as_ref().map_or(true, Json::is_null), "{answered:?}");
    stage.stop().await;
}

pub async fn it_sees_the_tools_that_there_are(home: &'static dyn Home) {
    let stage = World::new(home).start(&[attic().grant(json!({ "config": true }))]).await;
    let tools = stage.obeys("attic", json!({ "do": "directory" })).await;
    let tools: Vec<&str> = tools.as_array().unwrap().iter().filter_map(Json::as_str).collect();
    assert!(tools.contains(&"attic_echo") && tools.contains(&"target"), "{tools:?}");
    stage.stop().await;
}

pub async fn an_event_that_it_raises_is_heard(home: &'static dyn Home) {
    let mut stage = World::new(home).start(&[attic()]).await;
    stage.obeys("attic", json!({ "do": "event", "text": { "level": 3 } })).await;
    let event = stage.event("probe_told").await;
    assert_eq!((event.severity, event.text.as_str()), (topics::Severity::Info, "attic"));
    assert_eq!(event.data, json!({ "level": 3 }));
    stage.stop().await;
}

pub async fn what_is_amiss_shows_and_ends(home: &'static dyn Home) {
    let mut stage = World::new(home).start(&[attic()]).await;
    stage.obeys("attic", json!({ "do": "degraded", "reason": "half a wire" })).await;
    let status = stage.reaches("attic", State::Degraded).await;
    assert_eq!(status.reason.as_deref(), Some("half a wire"));
    stage.obeys("attic", json!({ "do": "degraded" })).await;
    let status = stage.reaches("attic", State::Running).await;
    assert_eq!((status.reason, status.restarts), (None, 0));
    stage.stop().await;
}

fn measured(stage: &Stage, name: &str) -> Option<Metric> {
    let metrics = stage.node.metrics();
    let is = |plugin: &str, metric: &str| plugin == "attic" && metric == name;
    metrics.into_iter().find(|m| is(m.plugin.as_str(), m.name.as_str())).map(|m| m.metric)
}

pub async fn its_metrics_stand_under_its_name(home: &'static dyn Home) {
    let mut stage = World::new(home).start(&[attic()]).await;
    stage.obeys("attic", json!({ "do": "measure", "add": 2, "set": 0.5 })).await;
    assert_eq!(measured(&stage, "orders"), Some(Metric::Counter(2)));
    assert_eq!(measured(&stage, "mood"), Some(Metric::Gauge(0.5)));
    stage.reaches("attic", State::Running).await;
    stage.shout("panics").await;
    stage.reaches("attic", State::Running).await;
    stage.obeys("attic", json!({ "do": "measure", "add": 3 })).await;
    assert_eq!(measured(&stage, "orders"), Some(Metric::Counter(5)));
    stage.stop().await;
}
