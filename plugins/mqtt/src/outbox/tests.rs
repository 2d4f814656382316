//! What the outbox promises, without a broker.

use std::sync::Arc;

use sedge_plugin::journal::Cause;
use sedge_plugin::{Boot, Frame, Reading, Taken};

use super::*;
use crate::wire::Base;

fn message(text: &str) -> Message {
    Message { topic: format!("r/{text}"), payload: text.into(), ..Message::default() }
}

fn empty() -> Outbox {
    let mut outbox = Outbox::new(Topics::new(Base::new("b").unwrap(), id("pi")), Qos::AtLeastOnce);
    outbox.connected(MAX_PACKET_BYTES, 0, Vec::new());
    outbox
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// The reading at a position; it says which one it is.
fn entry(sensor: &str, position: u64, bytes: usize) -> Entry {
    let mut frame = Frame::default();
    frame.push("t", "x".repeat(bytes).as_str());
    let taken = Taken { up_ms: 0, wall_ms: Some(0) };
    let reading = Reading { sensor: id(sensor), boot: Boot(1), seq: position, taken, frame, origin: None };
    Entry { position, reading: Arc::new(reading) }
}

/// A journal with readings of one sensor, for those who wish for them.
fn feed(outbox: &mut Outbox, head: u64) {
    feed_with(outbox, head, |position| entry("air", position, 1));
}

fn feed_with(outbox: &mut Outbox, head: u64, entry: impl Fn(u64) -> Entry) {
    while let Some(wish) = outbox.wish(head) {
        let next = wish.range.end.min(wish.range.start + wish.most as u64);
        let entries = (wish.range.start..next).map(&entry).collect();
        outbox.feed(&wish, Batch { entries, next });
        if wish.news || !outbox.lots.is_empty() {
            break;
        }
    }
}

/// With readings that are news.
fn outbox(readings: u64) -> Outbox {
    let mut outbox = empty();
    feed(&mut outbox, readings);
    outbox
}

/// All that is in the journal until there.
fn until(position: u64) -> Vec<Range<u64>> {
    std::iter::once(0..position).collect()
}

/// With readings that are none.
fn late(readings: u64) -> Outbox {
    let mut outbox = empty();
    outbox.connected(MAX_PACKET_BYTES, readings, until(readings));
    feed(&mut outbox, readings);
    outbox
}

/// The numbers of the readings in a message; the text of another.
fn text(message: &Message) -> String {
    let seq = |frame: &serde_json::Value| frame["seq"].to_string();
    match serde_json::from_slice(&message.payload) {
        Ok(serde_json::Value::Array(frames)) => {
            format!("[{}]", frames.iter().map(seq).collect::<Vec<_>>().join(","))
        }
        Ok(frame) if frame["seq"].is_u64() => seq(&frame),
        _ => String::from_utf8(message.payload.clone()).unwrap(),
    }
}

fn sent(outbox: &mut Outbox) -> Option<(u64, String)> {
    match outbox.next() {
        Next::Publish(token, message) => Some((token, text(&message))),
        _ => None,
    }
}

fn drain(outbox: &mut Outbox) -> Vec<String> {
    std::iter::from_fn(|| sent(outbox)).map(|(_, text)| text).collect()
}

/// The connection ends, and there is another one, to which these readings are backlog.
fn again(outbox: &mut Outbox, soon: bool, open: std::ops::Range<u64>) -> (BTreeSet<String>, Vec<u64>) {
    let (aside, entries) = outbox.returned(soon);
    outbox.connected(MAX_PACKET_BYTES, open.end, vec![open.clone()]);
    feed(outbox, open.end);
    (aside, entries.iter().map(|entry| entry.position).collect())
}

#[test]
fn what_was_not_acknowledged_comes_again_as_backlog_in_order() {
    let mut outbox = outbox(5);
    let tokens: Vec<u64> = (0..4).map(|_| sent(&mut outbox).unwrap().0).collect();
    let answered = outbox.answered(tokens[1]).unwrap();
    assert_eq!((answered.topic.as_str(), answered.sensor), ("b/pi/reading/air", Some(id("air"))));
    assert_eq!(answered.entries[0].position, 1);
    // The journal knows that 1 is done.
    let (aside, lost) = outbox.returned(false);
    assert!(aside.is_empty() && lost.is_empty());
    outbox.connected(MAX_PACKET_BYTES, 6, vec![0..1, 2..6]);
    feed(&mut outbox, 6);
    let Next::Publish(_, message) = outbox.next() else { panic!("nothing") };
    assert_eq!((message.topic.as_str(), message.retain), ("b/pi/backlog/air", false));
    assert_eq!(text(&message), "[0]");
    feed(&mut outbox, 6);
    assert_eq!(drain(&mut outbox), ["[2,3,4,5]"]);
}

#[test]
fn news_does_not_wait_for_the_backlog() {
    let mut outbox = late(4);
    feed(&mut outbox, 6);
    assert_eq!(drain(&mut outbox), ["4", "5", "[0,1,2,3]"]);
}

#[test]
fn the_backlog_has_messages_of_each_sensor_of_a_hundred_readings_and_64_kib_at_most() {
    let mut outbox = empty();
    outbox.connected(MAX_PACKET_BYTES, 304, until(304));
    feed_with(&mut outbox, 304, |position| match position {
        0..300 => entry(if position % 2 == 0 { "air" } else { "door" }, position, 1),
        300..303 => entry("text", position, 30 * 1024),
        _ => entry("text", position, 100 * 1024),
    });
    let mut batches = Vec::new();
    while let Next::Publish(_, message) = outbox.next() {
        let array: Vec<serde_json::Value> = serde_json::from_slice(&message.payload).unwrap();
        assert!(message.payload.len() <= MAX_BATCH_BYTES || array.len() == 1);
        batches.push((message.topic.strip_prefix("b/pi/backlog/").unwrap().to_owned(), array.len()));
    }
    let expected =
        [("air", 100), ("air", 50), ("door", 100), ("door", 50), ("text", 2), ("text", 1), ("text", 1)];
    assert_eq!(batches, expected.map(|(sensor, count)| (sensor.to_owned(), count)));
}

#[test]
fn the_backlog_goes_at_its_rate_and_the_news_at_theirs() {
    let mut outbox = late(250);
    outbox.allow(Some(100));
    assert_eq!(drain(&mut outbox).len(), 1);
    assert!(outbox.is_held_back());
    feed(&mut outbox, 251);
    assert_eq!(drain(&mut outbox), ["250"]);
    outbox.allow(None);
    assert_eq!(drain(&mut outbox).len(), 2);
    assert!(!outbox.is_held_back());
}

#[test]
fn no_more_is_read_from_the_journal_than_goes_soon() {
    let mut outbox = late(0);
    outbox.connected(MAX_PACKET_BYTES, 5000, until(5000));
    feed(&mut outbox, 1_000_000);
    assert!(outbox.live.len() <= MOST_NEWS);
    assert_eq!(outbox.wish(1_000_000).map(|wish| wish.news), Some(false));
    feed(&mut outbox, 1_000_000);
    assert_eq!(outbox.wish(1_000_000), None);
    let waiting: usize = outbox.lots.iter().map(|lot| lot.entries.len()).sum();
    assert_eq!(waiting, MOST_BACKLOG);
}

#[test]
fn state_is_published_by_rank_and_only_its_latest_value() {
    let mut outbox = outbox(1);
    for (rank, topic, payload) in [
        (Rank::Health, "h", "well"),
        (Rank::Sensor, "s", "old"),
        (Rank::Info, "i", "info"),
        (Rank::Status, "st", "online"),
        (Rank::Tool, "t", "tool"),
        (Rank::Sensor, "s", "new"),
    ] {
        outbox.state(rank, topic.into(), payload.into()).unwrap();
    }
    outbox.message(message("event")).unwrap();
    let order = ["online", "info", "new", "tool", "well", "event"];
    assert_eq!(drain(&mut outbox), [&order[..], &["0"]].concat());
    again(&mut outbox, false, 0..1);
    assert_eq!(drain(&mut outbox), [&order[..], &["[0]"]].concat(), "all of it after the next connect");
}

#[test]
fn state_that_did_not_change_is_not_published_again() {
    let mut outbox = empty();
    outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
    let (token, _) = sent(&mut outbox).unwrap();
    assert!(!outbox.is_settled());
    outbox.answered(token);
    outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
    assert!(outbox.is_empty(false) && outbox.is_settled());
}

#[test]
fn state_that_was_taken_back_is_forgotten_once_the_broker_knows() {
    let mut outbox = empty();
    outbox.state(Rank::Sensor, "s".into(), "a".into()).unwrap();
    sent(&mut outbox).unwrap();
    outbox.state(Rank::Sensor, "s".into(), Vec::new()).unwrap();
    assert_eq!(outbox.topics(Rank::Sensor), Vec::<String>::new());
    again(&mut outbox, false, 0..0);
    let (token, text) = sent(&mut outbox).unwrap();
    assert_eq!(text, "");
    outbox.answered(token);
    assert!(outbox.states.is_empty());
}

#[test]
fn only_what_is_not_of_the_node_is_exorcised() {
    let mut outbox = empty();
    outbox.state(Rank::Sensor, "s".into(), "a".into()).unwrap();
    assert!(!outbox.exorcise(Rank::Sensor, "s".into()));
    assert!(outbox.exorcise(Rank::Sensor, "ghost".into()));
    assert!(!outbox.exorcise(Rank::Sensor, "ghost".into()), "once");
    assert_eq!(drain(&mut outbox), ["", "a"]);
}

#[test]
fn what_is_too_large_is_refused_and_holds_nothing_up() {
    let large = Message { payload: vec![0; MAX_PACKET_BYTES], ..message("x") };
    let mut outbox = empty();
    assert!(outbox.message(large.clone()).is_err());
    assert!(outbox.state(Rank::Info, "i".into(), large.payload).is_err());

    for backlog in [false, true] {
        let mut outbox = empty();
        let (live, open) = if backlog { (2, until(2)) } else { (0, Vec::new()) };
        outbox.connected(1000, live, open);
        feed_with(&mut outbox, 2, |position| entry("air", position, if position == 0 { 2000 } else { 1 }));
        let Next::TooLarge(_, _, entries) = outbox.next() else { panic!("for a broker that takes less") };
        assert_eq!(entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), [0]);
        assert!(matches!(outbox.next(), Next::Publish(..)));
    }
}

#[test]
fn the_message_that_breaks_each_connection_is_put_aside_and_no_other() {
    let mut outbox = empty();
    for text in ["a", "poison", "b"] {
        outbox.message(message(text)).unwrap();
    }
    // The broker acknowledges nothing of what it got before the poison, and goes.
    let mut aside = Vec::new();
    let mut arrived = BTreeSet::new();
    for _ in 0..10 {
        while let Some((token, text)) = sent(&mut outbox) {
            if text == "poison" {
                break;
            }
            if outbox.flying() == 1 {
                outbox.answered(token);
                arrived.insert(text);
            }
        }
        aside.extend(again(&mut outbox, true, 0..0).0);
    }
    assert_eq!(aside, ["r/poison"]);
    assert!(outbox.is_empty(false), "{arrived:?}");
    assert!(arrived.contains("a") && arrived.contains("b"));
}

#[test]
fn the_reading_that_breaks_each_connection_is_put_aside_and_no_other() {
    let mut outbox = outbox(3);
    let mut done = BTreeSet::new();
    let mut aside = Vec::new();
    for _ in 0..10 {
        while let Next::Publish(token, message) = outbox.next() {
            if text(&message).contains('1') {
                break;
            }
            if outbox.flying() == 1 {
                let answered = outbox.answered(token).unwrap();
                done.extend(answered.entries.iter().map(|entry| entry.position));
            }
        }
        let (_, lost) = outbox.returned(true);
        aside.extend(lost.iter().map(|entry| entry.position));
        let open = (0..3).filter(|position| !done.contains(position) && !aside.contains(position));
        outbox.connected(MAX_PACKET_BYTES, 3, open.map(|position| position..position + 1).collect());
        while outbox.wish(3).is_some() {
            feed(&mut outbox, 3);
        }
    }
    assert_eq!(aside, [1]);
    assert_eq!(done, BTreeSet::from([0, 2]));
}

#[test]
fn a_message_that_was_under_way_when_steady_connections_broke_is_never_put_aside() {
    let mut outbox = outbox(3);
    outbox.message(message("a")).unwrap();
    for _ in 0..10 {
        assert!(!drain(&mut outbox).is_empty());
        let (aside, lost) = again(&mut outbox, false, 0..3);
        assert!(aside.is_empty() && lost.is_empty());
    }
    assert_eq!(drain(&mut outbox), ["a", "[0,1,2]"]);
}

#[test]
fn refusals_push_out_no_results() {
    let mut outbox = empty();
    outbox.message(message("result")).unwrap();
    (0..2 * MAX_MESSAGES).for_each(|n| outbox.refusal(message(&n.to_string())).unwrap());
    assert_eq!(outbox.refusals.len(), MAX_MESSAGES);
    assert_eq!(drain(&mut outbox)[0], "result");
}

#[test]
fn the_account_of_what_is_lost_has_a_place_of_its_own_and_waits_until_it_is_taken() {
    let mut outbox = outbox(1);
    let loss = Loss::new(id("mqtt"), None, None, Cause::Full);
    (0..MAX_MESSAGES).for_each(|_| _ = outbox.message(message("m")).unwrap());
    outbox.note(message("first"), Vec::new());
    outbox.note(message("second"), vec![loss.clone()]);
    assert_eq!(outbox.messages.len(), 256);
    assert_eq!(drain(&mut outbox)[MAX_MESSAGES..MAX_MESSAGES + 2], ["second", "0"]);
    again(&mut outbox, false, 0..0);
    let tokens: Vec<(u64, String)> = std::iter::from_fn(|| sent(&mut outbox)).collect();
    let (token, _) = tokens.iter().find(|(_, text)| text == "second").expect("it comes again");
    assert_eq!(outbox.answered(*token).unwrap().told, [loss]);
}

#[test]
fn there_is_a_bound_on_everything() {
    let mut outbox = empty();
    for n in 0..2 * MAX_STATES {
        let _ = outbox.state(Rank::Sensor, n.to_string(), vec![1]);
        outbox.message(message("m")).unwrap();
        outbox.refusal(message("m")).unwrap();
    }
    assert_eq!((outbox.states.len(), outbox.messages.len()), (MAX_STATES, MAX_MESSAGES));
    assert_eq!(outbox.refusals.len(), MAX_MESSAGES);
}

#[test]
fn state_is_published_once_more_where_it_is_wanted_and_known_to_be_there_once_acknowledged() {
    let mut outbox = empty();
    for (rank, topic) in [(Rank::Tool, "t"), (Rank::Discovery, "d"), (Rank::Health, "h")] {
        outbox.state(rank, topic.into(), topic.into()).unwrap();
    }
    assert!(!outbox.has(Rank::Discovery, "d"));
    let tokens: Vec<u64> = std::iter::from_fn(|| sent(&mut outbox)).map(|(token, _)| token).collect();
    assert!(!outbox.has(Rank::Discovery, "d"), "it is under way");
    tokens.into_iter().for_each(|token| assert!(outbox.answered(token).is_some()));
    assert!(outbox.has(Rank::Discovery, "d"));
    outbox.again(&[Rank::Discovery, Rank::Health]);
    assert!(!outbox.has(Rank::Discovery, "d"));
    assert_eq!(drain(&mut outbox), ["d", "h"]);
}
