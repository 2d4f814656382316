//! A plugin outside that takes readings away: all of them, in order, until they have arrived.

use std::sync::Arc;

use sedge_host::outside::{End, Role};
use sedge_plugin::prelude::*;
use sedge_plugin::testing::MemoryJournal;
use sedge_protocol::Call;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::{Setting, id};

pub fn reading(sensor: &str, seq: u64) -> Reading {
    let mut frame = Frame::default();
    frame.push("level", 1.0);
    Reading {
        sensor: id(sensor),
        boot: Boot(1),
        seq,
        taken: Taken { up_ms: seq, wall_ms: None },
        frame,
        origin: None,
    }
}

fn card(journal: &MemoryJournal, sensors: Option<&str>) -> Setting {
    let manifest = "category = \"destination\"\n[entry]\ncommand = [\"card\"]";
    let role = Role::Destination { sensors: sensors.map(|sensor| [id(sensor)].into()) };
    let mut setting = Setting { role, ..Setting::new("card", manifest) };
    setting.around.journal = Some(Arc::new(journal.clone()));
    setting
}

fn seqs(call: Call) -> Vec<u64> {
    let Call::Deliver { readings } = call else { panic!("no delivery: {call:?}") };
    readings.iter().map(|reading| reading["seq"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn all_readings_come_in_order_and_are_done_when_they_have_arrived() {
    let journal = MemoryJournal::new(1000);
    let (stage, mut plugin) = card(&journal, None).start().await;
    (1..=250).for_each(|seq| journal.put(reading("air", seq)));
    let (mut arrived, mut pending) = (Vec::new(), 250);
    while arrived.len() < 250 {
        let (number, call) = plugin.called().await;
        let seqs = seqs(call);
        assert!(seqs.len() <= 100);
        assert_eq!(journal.pending(&id("attic")), pending, "done before it has arrived");
        pending -= seqs.len();
        arrived.extend(seqs);
        plugin.answer(number, Json::Null).await;
        tokio::task::yield_now().await;
    }
    assert!(arrived.into_iter().eq(1..=250));
    stage.node.stop().await;
    assert_eq!(journal.pending(&id("attic")), 0);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_arrive_is_handed_over_again_after_a_pause_that_grows() {
    let journal = MemoryJournal::new(1000);
    let (mut stage, mut plugin) = card(&journal, None).start().await;
    (1..=3).for_each(|seq| journal.put(reading("air", seq)));
    for pause in [0, 1, 2, 4] {
        let begun = Instant::now();
        let (number, call) = plugin.called().await;
        assert_eq!((seqs(call), begun.elapsed().as_secs()), (vec![1, 2, 3], pause));
        plugin
            .say(sedge_protocol::ToNode::Error { id: number, error: ToolError::failed("the disk is full") })
            .await;
        let status = stage.reaches("attic", State::Degraded).await;
        assert!(status.reason.unwrap().contains("the disk is full"));
        assert_eq!(journal.pending(&id("attic")), 3);
    }
    let (number, call) = plugin.called().await;
    assert_eq!(seqs(call), [1, 2, 3]);
    plugin.answer(number, Json::Null).await;
    stage.reaches("attic", State::Running).await;
    assert_eq!(journal.pending(&id("attic")), 0);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn readings_that_it_does_not_want_are_nothing_to_wait_for() {
    let journal = MemoryJournal::new(1000);
    let (stage, mut plugin) = card(&journal, Some("air")).start().await;
    (1..=4).for_each(|seq| journal.put(reading(if seq == 3 { "air" } else { "door" }, seq)));
    let (number, call) = plugin.called().await;
    assert_eq!((seqs(call), journal.pending(&id("attic"))), (vec![3], 1));
    plugin.answer(number, Json::Null).await;
    stage.node.stop().await;
    assert_eq!(journal.pending(&id("attic")), 0);
}

#[tokio::test(start_paused = true)]
async fn what_it_had_not_taken_when_it_ended_it_gets_at_its_next_start() {
    let journal = MemoryJournal::new(1000);
    let (mut stage, mut plugin) = card(&journal, None).start().await;
    journal.put(reading("air", 1));
    assert_eq!(seqs(plugin.called().await.1), [1]);
    plugin.end(End::Broken("it crashed halfway".into()));
    let mut again = stage.again().await;
    again.greet(&stage.declared).await;
    let (number, call) = again.called().await;
    assert_eq!(seqs(call), [1]);
    again.answer(number, json!(null)).await;
    stage.node.stop().await;
    assert_eq!(journal.pending(&id("attic")), 0);
}
