use sedge_plugin::prelude::*;
use serde_json::json;

use crate::harness::compiled_in::Marker;
use crate::harness::home::{Home, Instance, Part};
use crate::harness::node::{Stage, World, level};

async fn tank(stage: &mut Stage, value: f64) -> (Option<f64>, Quality) {
    stage.tank(value).await;
    let reading = stage.reading("tank").await;
    let quality = reading.frame.samples.iter().find(|sample| sample.field == "level").unwrap().quality;
    (level(&reading), quality)
}

pub async fn a_processor_changes_and_holds_back(home: &'static dyn Home) {
    let world = World::new(home);
    let step = Instance::new(Part::Step, "lift").settings(json!({ "add": 1.5, "most": 50.0, "stuck": 7.0 }));
    let mut stage = world.start(&[step]).await;
    assert_eq!(tank(&mut stage, 10.0).await, (Some(11.5), Quality::Ok));
    stage.tank(60.0).await;
    assert_eq!(tank(&mut stage, 7.0).await, (Some(8.5), Quality::Stuck), "and 60 was held back");
    assert_eq!(stage.node.counts().suppressed, 1);
    assert_eq!(stage.status("lift").state, State::Running);
    stage.stop().await;
}

pub async fn a_validator_marks_and_rejects(home: &'static dyn Home) {
    let world = World::new(home);
    let judge = Instance::new(Part::Judge, "judge").settings(json!({ "most": 50.0, "stuck": 7.0 }));
    let mut stage = world.start(&[judge]).await;
    assert_eq!(tank(&mut stage, 10.0).await, (Some(10.0), Quality::Ok));
    assert_eq!(tank(&mut stage, 7.0).await, (Some(7.0), Quality::Stuck));
    assert_eq!(tank(&mut stage, 60.0).await, (Some(60.0), Quality::Rejected));
    assert_eq!(stage.node.counts().rejected, 1);
    stage.stop().await;
}

pub async fn it_stands_among_those_compiled_in_by_its_priority(home: &'static dyn Home) {
    let world = World::new(home);
    let step = Instance::new(Part::Step, "lift").settings(json!({ "add": 1.0 }));
    let markers = [Marker::spec("late", 150), Marker::spec("early", 50)];
    let mut stage = world.start_with(&[step], markers).await;
    assert_eq!(tank(&mut stage, 10.0).await.0, Some((10.0 * 2.0 + 1.0) * 2.0));
    stage.stop().await;
}

pub async fn a_processor_that_fails_or_breaks_lets_pass(home: &'static dyn Home) {
    let world = World::new(home);
    let settings = json!({ "add": 1.0, "fails": 3.0, "panics": 4.0 });
    let mut stage = world.start(&[Instance::new(Part::Step, "lift").settings(settings)]).await;
    assert_eq!(tank(&mut stage, 3.0).await.0, Some(3.0));
    assert_eq!(tank(&mut stage, 4.0).await.0, Some(4.0));
    // One that broke may be away for a moment; meanwhile readings go on as they were.
    while tank(&mut stage, 5.0).await.0 != Some(6.0) {}
    stage.stop().await;
}
