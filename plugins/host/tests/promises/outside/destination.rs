//! A plugin outside that takes readings away: all of them, in order, until they have arrived.

use std::sync::Arc;

use sedge_host::outside::testing::FakePlugin;
use sedge_host::outside::{End, Role};
use sedge_plugin::journal::Cause;
use sedge_plugin::prelude::*;
use sedge_plugin::testing::MemoryJournal;
use sedge_protocol::{Call, ToNode};
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

/// What it will never get: why, and their numbers.
pub fn lost(journal: &MemoryJournal) -> Vec<(Cause, Vec<(u64, u64)>)> {
    journal.lost(&id("attic")).into_iter().map(|loss| (loss.cause, loss.seqs)).collect()
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
        plugin.say(ToNode::Error { id: number, error: ToolError::failed("the disk is full") }).await;
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

/// The node has heard what was answered.
async fn arrives() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

/// Answers deliveries until so many readings have arrived; says what arrived, in order, and how many deliveries were refused
/// and taken.
async fn takes(
    plugin: &mut FakePlugin,
    count: usize,
    refuses: impl Fn(&[u64]) -> bool,
) -> (Vec<u64>, [usize; 2]) {
    let (mut arrived, mut refused, mut taken) = (Vec::new(), 0, 0);
    while arrived.len() < count {
        let (number, call) = plugin.called().await;
        let seqs = seqs(call);
        if refuses(&seqs) {
            refused += 1;
            assert!(refused < 200, "no end of it");
            plugin.say(ToNode::Error { id: number, error: ToolError::failed("not that one") }).await;
        } else {
            arrived.extend(seqs);
            taken += 1;
            plugin.answer(number, Json::Null).await;
        }
    }
    (arrived, [refused, taken])
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_it_will_not_have_holds_up_no_other_and_is_counted_as_lost() {
    let journal = MemoryJournal::new(1000);
    let (mut stage, mut plugin) = card(&journal, None).start().await;
    (1..=250).for_each(|seq| journal.put(reading("air", seq)));
    let begun = Instant::now();
    let (mut arrived, [refused, _]) =
        takes(&mut plugin, 248, |seqs| seqs.contains(&37) || seqs.contains(&101)).await;
    arrived.sort_unstable();
    assert!(arrived.into_iter().eq((1..=250).filter(|seq| ![37, 101].contains(seq))));
    assert!(refused < 60 && begun.elapsed().as_secs() < 900, "{refused} {:?}", begun.elapsed());
    stage.reaches("attic", State::Running).await;
    arrives().await;
    assert_eq!(
        (journal.pending(&id("attic")), lost(&journal)),
        (0, vec![(Cause::Rejected, vec![(37, 37), (101, 101)])])
    );
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_it_takes_none_none_is_given_up() {
    let journal = MemoryJournal::new(1000);
    let (mut stage, mut plugin) = card(&journal, None).start().await;
    (1..=250).for_each(|seq| journal.put(reading("air", seq)));
    let begun = Instant::now();
    while begun.elapsed().as_secs() < 6 * 3600 {
        let (number, _) = plugin.called().await;
        plugin.say(ToNode::Error { id: number, error: ToolError::failed("the disk is full") }).await;
    }
    assert_eq!((journal.pending(&id("attic")), lost(&journal)), (250, vec![]));
    let (arrived, [_, taken]) = takes(&mut plugin, 250, |_| false).await;
    assert!(taken < 20, "{taken}: more at once as soon as it goes well");
    let first = arrived.iter().position(|seq| *seq == 1);
    assert!(first < Some(2), "{first:?}: at most one is tried before another");
    stage.reaches("attic", State::Running).await;
    arrives().await;
    assert_eq!((journal.pending(&id("attic")), lost(&journal)), (0, vec![]));
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_alone_waits_for_another_that_tells_whose_fault_it_is() {
    let journal = MemoryJournal::new(1000);
    let (stage, mut plugin) = card(&journal, Some("air")).start().await;
    journal.put(reading("air", 1));
    journal.put(reading("door", 2));
    for _ in 0..20 {
        let (number, call) = plugin.called().await;
        assert_eq!(seqs(call), [1]);
        plugin.say(ToNode::Error { id: number, error: ToolError::failed("not that one") }).await;
    }
    assert_eq!(lost(&journal), []);
    journal.put(reading("air", 3));
    let (arrived, _) = takes(&mut plugin, 1, |seqs| seqs.contains(&1)).await;
    assert_eq!(arrived, [3]);
    // It is given a last chance.
    let (number, call) = plugin.called().await;
    assert_eq!(seqs(call), [1]);
    plugin.say(ToNode::Error { id: number, error: ToolError::failed("not that one") }).await;
    journal.put(reading("air", 4));
    let (arrived, refused) = takes(&mut plugin, 1, |_| false).await;
    assert_eq!((arrived, refused), (vec![4], [0, 1]));
    assert_eq!(lost(&journal), [(Cause::Rejected, vec![(1, 1)])]);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_readings_come_one_by_one_and_a_failure_is_told() {
    let manifest = "category = \"destination\"\n[entry]\ncommand = [\"card\"]";
    let role = Role::Destination { sensors: Some([id("room")].into()) };
    let mut setting = Setting { role, ..Setting::new("card", manifest) };
    setting.others.push(super::roles::source());
    let (mut stage, mut plugin) = setting.start().await;
    stage.call("measure", json!({})).await.unwrap().unwrap();
    let (number, call) = plugin.called().await;
    let Call::Deliver { readings } = call else { panic!("no delivery") };
    assert_eq!((readings.len(), &readings[0]["sensor"]), (1, &json!("room")), "not of the cellar");
    plugin.say(ToNode::Error { id: number, error: ToolError::failed("the disk is full") }).await;
    let status = stage.reaches("attic", State::Degraded).await;
    assert!(status.reason.as_ref().unwrap().contains("the disk is full"), "{status:?}");
    stage.call("measure", json!({})).await.unwrap().unwrap();
    let (number, _) = plugin.called().await;
    plugin.answer(number, Json::Null).await;
    stage.reaches("attic", State::Running).await;
    stage.node.stop().await;
}
