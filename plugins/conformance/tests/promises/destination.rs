use std::collections::BTreeSet;

use sedge_plugin::prelude::*;
use serde_json::json;

use crate::harness::home::{Home, Instance, Part};
use crate::harness::node::{Stage, World};

fn out() -> [Instance; 1] {
    [Instance::new(Part::Out, "out").grant(json!({ "tools": ["shelf_put"] }))]
}

/// Waits until so many different readings were put on the shelf, and tells all that were, in their order.
async fn arrives(world: &World, stage: &mut Stage, most: usize) -> Vec<u64> {
    while world.shelf.put().iter().collect::<BTreeSet<_>>().len() < most {
        stage.calls.next().await;
    }
    world
        .shelf
        .put()
        .into_iter()
        .inspect(|(sensor, _)| assert_eq!(sensor, "tank"))
        .map(|(_, seq)| seq)
        .collect()
}

fn first_times(seqs: &[u64]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    seqs.iter().copied().filter(|seq| seen.insert(*seq)).collect()
}

pub async fn every_reading_arrives_in_order(home: &'static dyn Home) {
    let world = World::new(home);
    let stage = world.start(&[]).await;
    for n in 0..15 {
        stage.tank(f64::from(n)).await;
    }
    stage.stop().await;
    let mut stage = world.start(&out()).await;
    assert_eq!(arrives(&world, &mut stage, 15).await, (1..=15).collect::<Vec<_>>(), "from before its start");
    for n in 0..25 {
        stage.tank(f64::from(n)).await;
    }
    // Each node counts from 1.
    let seqs = arrives(&world, &mut stage, 25).await;
    assert_eq!(seqs, (1..=15).chain(1..=25).collect::<Vec<_>>());
    stage.stop().await;
}

pub async fn what_did_not_arrive_comes_again(home: &'static dyn Home) {
    let world = World::new(home);
    world.shelf.answers(&["fails", "well", "fails"]);
    let mut stage = world.start(&out()).await;
    for n in 0..25 {
        stage.tank(f64::from(n)).await;
    }
    let seqs = arrives(&world, &mut stage, 25).await;
    assert_eq!(first_times(&seqs), (1..=25).collect::<Vec<_>>(), "{seqs:?}");
    assert!(seqs.len() > 25, "what failed came again: {seqs:?}");
    stage.stop().await;
}

pub async fn after_it_broke_nothing_is_lost(home: &'static dyn Home) {
    let world = World::new(home);
    world.shelf.answers(&["well", "panics"]);
    let mut stage = world.start(&out()).await;
    for n in 0..25 {
        stage.tank(f64::from(n)).await;
    }
    let seqs = arrives(&world, &mut stage, 25).await;
    assert_eq!(first_times(&seqs), (1..=25).collect::<Vec<_>>(), "{seqs:?}");
    assert!(stage.status("out").restarts > 0 || seqs.len() == 25);
    stage.reaches("out", State::Running).await;
    stage.stop().await;
}
