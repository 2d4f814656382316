use sedge_plugin::prelude::*;
use serde_json::json;

use crate::harness::home::{Home, Instance};
use crate::harness::node::{Stage, World, level};

async fn attic(home: &'static dyn Home) -> Stage {
    let world = World::new(home);
    world.start(&[Instance::probe("attic").hears(&["event_raised"])]).await
}

pub async fn a_reading_of_its_own_is_numbered_and_delivered(home: &'static dyn Home) {
    let mut stage = attic(home).await;
    stage.obeys("attic", json!({ "do": "announce" })).await;
    stage.obeys("attic", json!({ "do": "submit", "level": 4.2 })).await;
    let reading = stage.reading("attic").await;
    assert_eq!((reading.seq, level(&reading)), (1, Some(4.2)));
    assert_eq!(reading.frame.get("on"), Some(&Value::Bool(true)));
    assert_eq!(reading.frame.get("note"), Some(&Value::Text("as told".into())));
    let gone = reading.frame.samples.iter().find(|sample| sample.field == "gone").unwrap();
    assert_eq!(gone.value, Err("unplugged".into()));
    // What is no number is missing; nothing makes up a zero.
    stage.obeys("attic", json!({ "do": "submit" })).await;
    let reading = stage.reading("attic").await;
    let sample = reading.frame.samples.iter().find(|sample| sample.field == "level").unwrap();
    assert_eq!((reading.seq, &sample.value), (2, &Err("not_finite".into())));
    stage.stop().await;
}

pub async fn numbers_have_no_holes_over_a_restart(home: &'static dyn Home) {
    let mut stage = attic(home).await;
    for _ in 0..2 {
        stage.obeys("attic", json!({ "do": "announce" })).await;
        stage.obeys("attic", json!({ "do": "submit", "level": 1 })).await;
        stage.obeys("attic", json!({ "do": "submit", "level": 2 })).await;
        stage.shout("panics").await;
        stage.reaches("attic", State::BackingOff).await;
        stage.reaches("attic", State::Running).await;
    }
    let mut seqs = Vec::new();
    for _ in 0..4 {
        seqs.push(stage.reading("attic").await.seq);
    }
    assert_eq!(seqs, [1, 2, 3, 4]);
    stage.stop().await;
}

pub async fn a_sensor_is_announced_and_withdrawn(home: &'static dyn Home) {
    let stage = attic(home).await;
    for sensor in ["attic", "attic-north"] {
        stage.obeys("attic", json!({ "do": "announce", "sensor": sensor })).await;
        let directory = stage.node.directory();
        let level = &directory.sensor(&Id::new(sensor).unwrap()).expect("announced").fields["level"];
        assert_eq!((level.unit, level.min, level.max), (Unit::Percent, Some(0.0), Some(100.0)));
        stage.obeys("attic", json!({ "do": "withdraw", "sensor": sensor })).await;
        assert_eq!(stage.node.directory().sensor(&Id::new(sensor).unwrap()), None);
    }
    stage.stop().await;
}

pub async fn a_sensor_that_was_not_announced_has_no_readings(home: &'static dyn Home) {
    let stage = attic(home).await;
    let error = stage.order("attic", json!({ "do": "submit", "level": 1 })).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Failed);
    assert!(error.message.contains("`attic`") && error.message.contains("announce"), "{error}");
    stage.stop().await;
}

pub async fn the_sensor_of_another_is_left_alone(home: &'static dyn Home) {
    let mut stage = attic(home).await;
    // Whether it is told so or not.
    let _ = stage.order("attic", json!({ "do": "announce", "sensor": "tank" })).await;
    let _ = stage.order("attic", json!({ "do": "withdraw", "sensor": "tank" })).await;
    stage.order("attic", json!({ "do": "submit", "sensor": "tank", "level": 99 })).await.unwrap_err();
    let directory = stage.node.directory();
    let tank = directory.sensor(&Id::new("tank").unwrap()).expect("it is there");
    assert_eq!(tank.kind, "helper");
    stage.tank(5.0).await;
    assert_eq!(level(&*stage.reading("tank").await), Some(5.0));
    stage.stop().await;
}

pub async fn only_names_of_its_own_are_announced(home: &'static dyn Home) {
    let stage = attic(home).await;
    let _ = stage.order("attic", json!({ "do": "announce", "sensor": "garden" })).await;
    assert_eq!(stage.node.directory().sensor(&Id::new("garden").unwrap()), None);
    let error = stage.order("attic", json!({ "do": "submit", "sensor": "garden", "level": 1 })).await;
    assert!(error.unwrap_err().message.contains("garden"));
    stage.stop().await;
}

pub async fn bytes_become_a_reading_by_whoever_knows_them(home: &'static dyn Home) {
    let mut stage = attic(home).await;
    stage.obeys("attic", json!({ "do": "announce" })).await;
    stage.obeys("attic", json!({ "do": "submit_raw", "bytes": [9] })).await;
    assert_eq!(level(&*stage.reading("attic").await), Some(9.0));
    let error = stage.order("attic", json!({ "do": "submit_raw", "bytes": [1, 2] })).await.unwrap_err();
    assert!(error.message.contains("`test`"), "{error}");
    stage.stop().await;
}
