//! What the outbox promises, without a broker.

use super::*;
use crate::wire::Base;

fn message(text: &str) -> Message {
    Message { topic: format!("r/{text}"), payload: text.into(), ..Message::default() }
}

fn empty(capacity: usize) -> Outbox {
    Outbox::new(capacity, Topics::new(Base::new("b").unwrap(), id("pi")))
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn read(outbox: &mut Outbox, sensor: &str, n: usize) {
    outbox.reading(&id(sensor), n.to_string().into(), Duration::ZERO);
}

fn outbox(readings: std::ops::Range<usize>) -> Outbox {
    let mut outbox = empty(10);
    readings.for_each(|n| read(&mut outbox, "air", n));
    outbox
}

fn sent(outbox: &mut Outbox) -> Option<(u64, String)> {
    match outbox.next() {
        Next::Publish(token, message) => Some((token, String::from_utf8(message.payload).unwrap())),
        _ => None,
    }
}

fn drain(outbox: &mut Outbox) -> Vec<String> {
    std::iter::from_fn(|| sent(outbox)).map(|(_, text)| text).collect()
}

/// The connection ends, and there is another one.
fn again(outbox: &mut Outbox, soon: bool) -> BTreeSet<String> {
    let aside = outbox.returned(soon);
    outbox.connected(MAX_PACKET_BYTES, Duration::ZERO);
    aside
}

#[test]
fn the_oldest_readings_go_first_when_there_are_too_many_and_are_counted() {
    let mut outbox = outbox(0..13);
    assert_eq!(outbox.take_lost(), Lost { dropped: 3, ..Lost::default() });
    assert!(!outbox.has_lost());
    assert_eq!(drain(&mut outbox), (3..13).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn of_an_old_backlog_and_news_the_backlog_is_dropped_first() {
    let mut outbox = outbox(0..10);
    outbox.connected(MAX_PACKET_BYTES, NEWS);
    (10..15).for_each(|n| read(&mut outbox, "air", n));
    assert_eq!(outbox.take_lost().dropped, 5);
    assert_eq!(drain(&mut outbox), ["10", "11", "12", "13", "14", "[5,6,7,8,9]"]);
}

#[test]
fn what_was_not_acknowledged_comes_again_as_backlog_in_order() {
    let mut outbox = outbox(0..5);
    outbox.connected(MAX_PACKET_BYTES, Duration::ZERO);
    let tokens: Vec<u64> = (0..4).map(|_| sent(&mut outbox).unwrap().0).collect();
    let answered = outbox.answered(tokens[1], None).unwrap();
    assert_eq!((answered.topic.as_str(), answered.sensor), ("b/pi/reading/air", Some(id("air"))));
    read(&mut outbox, "air", 5);
    again(&mut outbox, false);
    let Next::Publish(_, message) = outbox.next() else { panic!("nothing") };
    assert_eq!((message.topic.as_str(), message.retain), ("b/pi/backlog/air", false));
    assert_eq!(message.payload, b"[0,2,3,4,5]");
    again(&mut outbox, false);
    read(&mut outbox, "air", 6);
    assert_eq!(drain(&mut outbox), ["6", "[0,2,3,4,5]"], "news does not wait for it");
}

#[test]
fn the_backlog_has_messages_of_each_sensor_of_a_hundred_readings_and_64_kib_at_most() {
    let mut outbox = empty(1000);
    for n in 0..150 {
        read(&mut outbox, "air", n);
        read(&mut outbox, "door", n);
    }
    (0..3).for_each(|_| outbox.reading(&id("text"), vec![b'1'; 30 * 1024], Duration::ZERO));
    outbox.reading(&id("text"), vec![b'1'; 100 * 1024], Duration::ZERO);
    outbox.connected(MAX_PACKET_BYTES, NEWS);
    let mut batches = Vec::new();
    while let Next::Publish(_, message) = outbox.next() {
        let array: Vec<serde_json::Value> = match message.topic.contains("text") {
            true => message.payload.split(|b| *b == b',').map(|_| serde_json::Value::Null).collect(),
            false => serde_json::from_slice(&message.payload).unwrap(),
        };
        assert!(message.payload.len() <= MAX_BATCH_BYTES || array.len() == 1);
        batches.push((message.topic.strip_prefix("b/pi/backlog/").unwrap().to_owned(), array.len()));
    }
    let expected =
        [("air", 100), ("door", 100), ("air", 50), ("door", 50), ("text", 2), ("text", 1), ("text", 1)];
    assert_eq!(batches, expected.map(|(sensor, count)| (sensor.to_owned(), count)));
}

#[test]
fn readings_from_before_the_first_connection_are_news_where_the_node_has_just_started() {
    let mut young = outbox(0..2);
    young.connected(MAX_PACKET_BYTES, NEWS - Duration::from_millis(1));
    assert_eq!(drain(&mut young), ["0", "1"]);
    let mut old = outbox(0..2);
    old.connected(MAX_PACKET_BYTES, NEWS);
    assert_eq!(drain(&mut old), ["[0,1]"]);
}

#[test]
fn a_full_outbox_keeps_what_comes_back_until_something_newer_comes() {
    let mut outbox = outbox(0..10);
    (0..5).for_each(|_| drop(sent(&mut outbox)));
    (10..15).for_each(|n| read(&mut outbox, "air", n));
    again(&mut outbox, false);
    assert_eq!((outbox.readings, outbox.take_lost().dropped), (15, 0));
    read(&mut outbox, "air", 15);
    assert_eq!((outbox.readings, outbox.take_lost().dropped), (10, 6));
}

#[test]
fn many_large_readings_are_bounded_by_their_bytes() {
    let mut outbox = empty(usize::MAX);
    (0..100).for_each(|_| outbox.reading(&id("air"), vec![0; 200 * 1024], Duration::ZERO));
    assert!(outbox.reading_bytes <= MAX_READING_BYTES);
    assert!(outbox.take_lost().dropped > 0);
}

#[test]
fn state_is_published_by_rank_and_only_its_latest_value() {
    let mut outbox = outbox(0..1);
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
    outbox.connected(MAX_PACKET_BYTES, Duration::ZERO);
    assert_eq!(drain(&mut outbox), [&order[..], &["0"]].concat());
    again(&mut outbox, false);
    assert_eq!(drain(&mut outbox), [&order[..], &["[0]"]].concat(), "all of it after the next connect");
}

#[test]
fn state_that_did_not_change_is_not_published_again() {
    let mut outbox = empty(10);
    outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
    let (token, _) = sent(&mut outbox).unwrap();
    assert!(!outbox.is_settled());
    outbox.answered(token, None);
    outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
    assert!(outbox.is_empty() && outbox.is_settled());
}

#[test]
fn state_that_was_taken_back_is_forgotten_once_the_broker_knows() {
    let mut outbox = empty(10);
    outbox.state(Rank::Sensor, "s".into(), "a".into()).unwrap();
    sent(&mut outbox).unwrap();
    outbox.state(Rank::Sensor, "s".into(), Vec::new()).unwrap();
    assert_eq!(outbox.topics(Rank::Sensor), Vec::<String>::new());
    again(&mut outbox, false);
    let (token, text) = sent(&mut outbox).unwrap();
    assert_eq!(text, "");
    outbox.answered(token, None);
    assert!(outbox.states.is_empty());
}

#[test]
fn only_what_is_not_of_the_node_is_exorcised() {
    let mut outbox = empty(10);
    outbox.state(Rank::Sensor, "s".into(), "a".into()).unwrap();
    assert!(!outbox.exorcise(Rank::Sensor, "s".into()));
    assert!(outbox.exorcise(Rank::Sensor, "ghost".into()));
    assert!(!outbox.exorcise(Rank::Sensor, "ghost".into()), "once");
    assert_eq!(drain(&mut outbox), ["", "a"]);
}

#[test]
fn what_is_too_large_is_refused_and_holds_nothing_up() {
    let mut outbox = outbox(0..1);
    let large = Message { payload: vec![0; MAX_PACKET_BYTES], ..message("x") };
    outbox.reading(&id("air"), large.payload.clone(), Duration::ZERO);
    assert_eq!(outbox.take_lost(), Lost { too_large: 1, ..Lost::default() });
    assert!(outbox.message(large.clone()).is_err());
    assert!(outbox.state(Rank::Info, "i".into(), large.payload).is_err());

    for backlog in [false, true] {
        let mut outbox = empty(10);
        outbox.reading(&id("air"), vec![b'0'; 2000], Duration::ZERO);
        read(&mut outbox, "air", 1);
        outbox.connected(1000, if backlog { NEWS } else { Duration::ZERO });
        assert!(matches!(outbox.next(), Next::TooLarge(..)), "for a broker that takes less");
        assert_eq!(outbox.take_lost(), Lost { too_large: 1, ..Lost::default() });
        assert!(matches!(outbox.next(), Next::Publish(..)));
    }
}

#[test]
fn readings_that_the_broker_refuses_are_counted_with_what_it_said() {
    let mut outbox = outbox(0..4);
    let (token, _) = sent(&mut outbox).unwrap();
    outbox.answered(token, Some("not authorized"));
    outbox.connected(MAX_PACKET_BYTES, NEWS);
    let Some((token, _)) = sent(&mut outbox) else { panic!("nothing") };
    outbox.answered(token, Some("not authorized"));
    let lost = outbox.take_lost();
    assert_eq!((lost.refused, lost.reason), (4, Some("not authorized")));
}

#[test]
fn the_message_that_breaks_each_connection_is_put_aside_and_no_other() {
    let mut outbox = outbox(0..3);
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
            if outbox.flying() == 1 && !text.contains("poison") {
                outbox.answered(token, None);
                arrived.insert(text);
            }
        }
        aside.extend(again(&mut outbox, true));
    }
    assert_eq!(aside, ["r/poison"]);
    assert!(outbox.is_empty(), "{arrived:?}");
    assert!(arrived.contains("a") && arrived.contains("b"));
    assert!(!outbox.has_lost());
}

#[test]
fn a_message_that_was_under_way_when_steady_connections_broke_is_never_put_aside() {
    let mut outbox = outbox(0..3);
    outbox.message(message("a")).unwrap();
    for _ in 0..10 {
        assert!(!drain(&mut outbox).is_empty());
        assert!(again(&mut outbox, false).is_empty());
    }
    assert_eq!(drain(&mut outbox), ["a", "[0,1,2]"]);
}

#[test]
fn refusals_push_out_no_results() {
    let mut outbox = empty(1);
    outbox.message(message("result")).unwrap();
    (0..2 * MAX_MESSAGES).for_each(|n| outbox.refusal(message(&n.to_string())).unwrap());
    assert_eq!(outbox.refusals.len(), MAX_MESSAGES);
    assert_eq!(drain(&mut outbox)[0], "result");
}

#[test]
fn the_account_of_what_is_lost_has_a_place_of_its_own() {
    let mut outbox = outbox(0..10);
    (0..MAX_MESSAGES).for_each(|_| _ = outbox.message(message("m")).unwrap());
    outbox.note(|waits| message(if waits { "wrong" } else { "first" }));
    outbox.note(|waits| message(if waits { "second" } else { "wrong" }));
    assert_eq!((outbox.messages.len(), outbox.readings, outbox.take_lost()), (256, 10, Lost::default()));
    assert_eq!(drain(&mut outbox)[MAX_MESSAGES..MAX_MESSAGES + 2], ["second", "0"]);
}

#[test]
fn there_is_a_bound_on_everything() {
    let mut outbox = empty(1);
    for n in 0..2 * MAX_STATES {
        let _ = outbox.state(Rank::Sensor, n.to_string(), vec![1]);
        outbox.message(message("m")).unwrap();
        outbox.refusal(message("m")).unwrap();
        read(&mut outbox, "air", n);
    }
    assert_eq!((outbox.states.len(), outbox.messages.len()), (MAX_STATES, MAX_MESSAGES));
    assert_eq!((outbox.refusals.len(), outbox.readings), (MAX_MESSAGES, 1));
}

#[test]
fn state_is_published_once_more_where_it_is_wanted_and_known_to_be_there_once_acknowledged() {
    let mut outbox = empty(1);
    for (rank, topic) in [(Rank::Tool, "t"), (Rank::Discovery, "d"), (Rank::Health, "h")] {
        outbox.state(rank, topic.into(), topic.into()).unwrap();
    }
    assert!(!outbox.has(Rank::Discovery, "d"));
    let tokens: Vec<u64> = std::iter::from_fn(|| sent(&mut outbox)).map(|(token, _)| token).collect();
    assert!(!outbox.has(Rank::Discovery, "d"), "it is under way");
    tokens.into_iter().for_each(|token| assert!(outbox.answered(token, None).is_some()));
    assert!(outbox.has(Rank::Discovery, "d"));
    outbox.again(&[Rank::Discovery, Rank::Health]);
    assert!(!outbox.has(Rank::Discovery, "d"));
    assert_eq!(drain(&mut outbox), ["d", "h"]);
}
