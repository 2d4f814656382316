//! A plugin as a process: over a pair of sockets, with a node that says what the test tells it to say.

use std::sync::atomic::Ordering;

use sedge_protocol::{Ask, Bytes, I2cOperation, ToNode, ToPlugin};
use sedge_sdk::Guest;
use sedge_sdk::process::Ended;
use serde_json::{Value as Json, json};

use crate::node::{Node, reading, welcome};
use crate::plugins::{Bare, Double, Gauge, Insider, Probe, TORN_DOWN};

fn probe() -> Node {
    Node::ready(Guest::plugin::<Probe>(), json!({})).0
}

#[test]
fn it_says_who_it_is_and_what_it_offers() {
    let mut node = Node::start(Guest::plugin::<Probe>());
    let ToNode::Hello(hello) = node.hear() else { panic!("no hello") };
    assert_eq!((&*hello.plugin, &*hello.version, hello.protocol.major), ("probe", "1.2.3", 1));
    node.say(&welcome("attic", json!({})));
    let ToNode::Ready { tools, every_ms } = node.hear() else { panic!("not ready") };
    assert_eq!((tools[0].name.as_str(), tools.len(), every_ms), ("probe_do", 1, Some(60_000)));
    assert_eq!(node.stop(), Ended::Stopped);
}

#[test]
fn what_its_set_up_says_keeps_its_meaning() {
    for (settings, why, words) in [
        (json!({ "refuse": "unmet" }), "unmet", "no pump is there"),
        (json!({ "refuse": "dry" }), "failed", "the pump is dry"),
        (json!({ "refused": 1 }), "settings", "refused"),
    ] {
        let mut node = Node::start(Guest::plugin::<Probe>());
        node.hear();
        node.say(&welcome("attic", json!({ "settings": settings })));
        let said = serde_json::to_value(node.hear()).unwrap();
        assert_eq!((&said["type"], &said["why"]), (&json!("failed"), &json!(why)));
        assert!(said["message"].as_str().unwrap().contains(words), "{said}");
        assert!(matches!(node.last_words().1, Ended::Gone(_)));
    }
}

#[test]
fn what_cannot_be_had_from_outside_is_refused_with_all_reasons() {
    let mut node = Node::start(Guest::plugin::<Insider>());
    node.hear();
    node.say(&welcome("attic", json!({})));
    let said = serde_json::to_value(node.hear()).unwrap();
    let message = said["message"].as_str().unwrap();
    assert_eq!(said["why"], "settings");
    assert!(message.contains("`tool_execute`") && message.contains("`helper`"), "{message}");
}

#[test]
fn a_node_of_another_protocol_is_told_which_one_is_spoken() {
    let mut node = Node::start(Guest::plugin::<Bare>());
    node.hear();
    node.say(&welcome("attic", json!({ "protocol": "2.0" })));
    let said = serde_json::to_value(node.hear()).unwrap();
    assert!(
        said["message"].as_str().unwrap().contains("the node speaks protocol 2.0, this plugin 1.0"),
        "{said}"
    );
}

#[test]
fn what_is_kept_is_asked_of_the_node() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "kept" }));
    assert_eq!(node.answers(json!(7)), Ask::Load { key: "n".into() });
    assert_eq!(node.answers(Json::Null), Ask::Store { key: "n".into(), value: json!(8) });
    assert_eq!(node.answer(call), Ok(json!(7)));
    assert_eq!(node.stop(), Ended::Stopped);
}

#[test]
fn what_is_asked_for_at_once_blocks_the_handler_and_not_the_line() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "latest" }));
    let (ask, latest) = node.asked();
    assert_eq!(latest, Ask::Latest { sensor: "tank".to_owned().try_into().unwrap() });
    // The handler waits; events are taken all the same.
    node.event("deliver", reading("tank", 1, 4.0));
    node.say(&ToPlugin::Ok { id: ask, result: reading("tank", 41, 4.0) });
    assert_eq!(node.answer(call), Ok(json!(41)));
    let heard = node.tool("probe_do", json!({ "what": "heard" }));
    assert_eq!(node.answer(heard), Ok(json!([["tank", 1]])));
}

#[test]
fn what_the_node_refuses_is_an_error_with_its_words() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "kept" }));
    let (id, _) = node.asked();
    let error = serde_json::from_value(json!({ "code": "denied", "message": "not granted" })).unwrap();
    node.say(&ToPlugin::Error { id, error });
    assert_eq!(node.answer(call).unwrap_err()["message"], "not granted");
}

#[test]
fn how_far_a_call_is_and_who_calls_goes_through() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "progress" }));
    let progress = ToNode::Progress { id: call, fraction: Some(0.5), text: "half".into() };
    assert_eq!(node.hear(), progress);
    assert_eq!(node.answer(call), Ok(Json::Null));
    let called = node.call(
        json!({ "do": "tool", "tool": "probe_do", "args": { "what": "caller" }, "from": "cli", "timeout_ms": 250 }),
    );
    assert_eq!(called, Ok(json!(["cli", 250])));
}

#[test]
fn futures_run_on_while_nothing_is_called() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "beside" }));
    let said = [node.hear(), node.hear()];
    assert!(said.contains(&ToNode::Ok { id: call, result: Json::Null }), "{said:?}");
    let submitted = said.iter().find_map(|said| match said {
        ToNode::Ask { ask: Ask::Submit { sensor, frame }, .. } => Some((sensor.as_str(), frame)),
        _ => None,
    });
    assert_eq!(submitted, Some(("attic", &json!({ "flow": { "missing": "crc" }, "level": 4.5 }))));
}

#[test]
fn no_more_asks_are_under_way_than_the_node_takes() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "many" }));
    // Four at once, says the welcome: the fifth comes once one was answered.
    let mut open: Vec<u64> = Vec::new();
    let mut stored = 0;
    let mut answered = false;
    while stored < 10 || !answered {
        match node.hear() {
            ToNode::Ask { id, .. } => {
                stored += 1;
                open.push(id);
                assert!(open.len() <= 4);
            }
            other => {
                assert_eq!(other, ToNode::Ok { id: call, result: Json::Null });
                answered = true;
            }
        }
        if answered && (open.len() == 4 || stored == 10) {
            // A fifth would have been said before this.
            node.say(&ToPlugin::Ping { id: 1 });
            assert_eq!(node.hear(), ToNode::Pong { id: 1 });
            for id in open.drain(..).rev() {
                node.say(&ToPlugin::Ok { id, result: Json::Null });
            }
        }
    }
    assert_eq!(node.stop(), Ended::Stopped);
}

#[test]
fn readings_are_heard_in_order_and_credit_is_given_for_them() {
    let (mut node, _) = Node::ready(Guest::plugin::<Probe>(), json!({ "settings": { "only": "tank" } }));
    for seq in 1..=16 {
        node.event("deliver", reading("tank", seq, 4.0));
        node.event("deliver", reading("barrel", seq, 4.0));
    }
    assert_eq!(node.hear(), ToNode::Credit { n: 32 });
    let heard = node.tool("probe_do", json!({ "what": "heard" }));
    let wanted: Vec<_> = (1..=16).map(|seq| ("tank", seq)).collect();
    assert_eq!(node.answer(heard), Ok(json!(wanted)));
}

#[test]
fn a_destination_gets_again_what_it_could_not_take() {
    let mut node = probe();
    let readings = json!([reading("tank", 1, 4.0), reading("tank", 2, -1.0), reading("tank", 3, 4.0)]);
    let refused = node.call(json!({ "do": "deliver", "readings": readings })).unwrap_err();
    assert_eq!((&refused["code"], &refused["message"]), (&json!("failed"), &json!("below the ground")));
    let taken = node.call(json!({ "do": "deliver", "readings": [reading("tank", 3, 4.0)] }));
    assert_eq!(taken, Ok(Json::Null));
}

#[test]
fn three_events_in_a_row_that_fail_are_its_end() {
    let mut node = probe();
    for (seq, level) in [(1, -1.0), (2, -1.0), (3, 4.0), (4, -1.0), (5, -1.0), (6, -1.0)] {
        node.event("deliver", reading("tank", seq, level));
        if level < 0.0 {
            assert!(matches!(node.hear(), ToNode::Log { .. }));
            let failed = Ask::EventFailed { topic: "deliver".into(), error: "below the ground".into() };
            assert_eq!(node.answers(Json::Null), failed);
        }
    }
    let (_, ended) = node.last_words();
    assert!(matches!(&ended, Ended::Gone(why) if why.contains("below the ground")), "{ended:?}");
}

#[test]
fn a_step_passes_replaces_and_says_no() {
    let mut node = probe();
    let mut step = |tool: &str| {
        let message =
            json!({ "tool": tool, "args": { "on": true }, "from": "cli", "id": "7", "verified": false });
        node.call(json!({ "do": "step", "topic": "pre_tool_execute", "message": message })).unwrap()
    };
    assert_eq!(step("fan_set"), json!("pass"));
    assert_eq!(step("pump_boil"), json!({ "veto": "never" }));
    assert_eq!(step("pump_set")["replace"]["args"], json!({ "on": false }));
    let mut admit = |level: f64| {
        let message = json!({ "sensor": "tank", "ts": null, "up_ms": 1, "fields": { "level": level } });
        node.call(json!({ "do": "step", "topic": "admit", "message": message })).unwrap()
    };
    assert_eq!(admit(4.0), json!("pass"));
    assert_eq!(admit(400.0), json!({ "veto": "too much" }));
}

#[test]
fn bytes_are_made_a_frame_by_whoever_knows_their_format() {
    let mut node = probe();
    let mut extract = |format: &str| {
        let message = json!({ "sensor": "tank", "format": format, "bytes": "07" });
        node.call(json!({ "do": "answer", "topic": "extract", "message": message }))
    };
    assert_eq!(extract("bytes"), Ok(json!({ "level": 7 })));
    assert_eq!(extract("nmea"), Ok(Json::Null));
}

#[test]
fn a_ping_is_answered_and_what_is_counted_is_told() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "litres" }));
    let litres = node.answers(Json::Null);
    assert!(
        matches!(&litres, Ask::Metric { name, add: Some(12), .. } if name.as_str() == "litres"),
        "{litres:?}"
    );
    assert_eq!(node.answer(call), Ok(Json::Null));
    node.say(&ToPlugin::Ping { id: 3 });
    assert_eq!(node.hear(), ToNode::Pong { id: 3 });
}

#[test]
fn a_call_that_nobody_waits_for_any_more_does_not_begin() {
    let mut node = probe();
    let first = node.tool("probe_do", json!({ "what": "kept" }));
    let (ask, _) = node.asked();
    let second = node.tool("probe_do", json!({ "what": "panic" }));
    node.say(&ToPlugin::Cancel { id: second });
    node.say(&ToPlugin::Ok { id: ask, result: Json::Null });
    node.answers(Json::Null);
    assert_eq!(node.answer(first), Ok(Json::Null));
    // In its turn: one that never gets there hangs.
    assert_eq!(node.answer(second).unwrap_err()["code"], "expired");
    assert_eq!(node.stop(), Ended::Stopped);
}

#[test]
fn an_answer_that_is_too_long_is_an_error_that_says_so() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "big" }));
    let error = node.answer(call).unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("where the node takes 65536"), "{error}");
}

#[test]
fn what_there_is_not_outside_is_none_and_not_a_panic() {
    let mut node = probe();
    let call = node.tool("probe_do", json!({ "what": "cannot" }));
    let answer = node.answer(call).unwrap();
    assert_eq!((&answer[0], &answer[1]), (&json!(true), &json!(true)));
    assert!(answer[2].as_str().unwrap().contains("grant = { data = true }"), "{answer}");
}

#[test]
fn it_is_torn_down_when_it_stops_panics_or_its_node_is_gone() {
    let start = || {
        let mut node = Node::start(Guest::plugin::<Probe>());
        node.hear();
        node.say(&welcome("counted", json!({})));
        node.hear();
        node
    };
    assert_eq!(start().stop(), Ended::Stopped);
    assert_eq!(TORN_DOWN.load(Ordering::SeqCst), 1);
    let mut node = start();
    node.tool("probe_do", json!({ "what": "panic" }));
    assert_eq!(node.last_words().1, Ended::Panicked);
    assert_eq!(TORN_DOWN.load(Ordering::SeqCst), 2);
    assert_eq!(start().ended(), Ended::Gone("the node is gone".into()));
    assert_eq!(TORN_DOWN.load(Ordering::SeqCst), 3);
}

#[test]
fn one_that_waits_for_an_answer_ends_when_its_node_is_gone() {
    let mut node = probe();
    node.tool("probe_do", json!({ "what": "latest" }));
    node.asked();
    assert_eq!(node.ended(), Ended::Gone("the node is gone".into()));
}

#[test]
fn what_makes_no_sense_ends_it_and_what_is_new_does_not() {
    let mut node = probe();
    node.raw(b"{\"type\":\"song\",\"verse\":1}\n");
    let call = node.tool("probe_do", json!({ "what": "heard" }));
    assert_eq!(node.answer(call), Ok(json!([])));
    let unknown = node.call(json!({ "do": "dance" })).unwrap_err();
    assert_eq!(unknown["code"], "not_found");
    node.raw(b"no json at all\n");
    let (_, ended) = node.last_words();
    assert!(matches!(&ended, Ended::Gone(why) if why.contains("makes no sense")), "{ended:?}");
}

#[test]
fn it_speaks_messagepack_to_a_node_that_wants_it() {
    let (mut node, _) = Node::ready(Guest::plugin::<Probe>(), json!({ "encoding": "msgpack" }));
    node.event("deliver", reading("tank", 1, 4.5));
    let call = node.tool("probe_do", json!({ "what": "heard" }));
    assert_eq!(node.answer(call), Ok(json!([["tank", 1]])));
    assert_eq!(node.stop(), Ended::Stopped);
}

#[test]
fn a_plugin_without_settings_starts_with_none() {
    assert_eq!(Node::ready(Guest::plugin::<Bare>(), json!({})).0.stop(), Ended::Stopped);
}

fn gauge() -> (Node, Json) {
    let section = json!({ "sensor": { "every_ms": 1000, "address": 0x21 } });
    Node::ready(Guest::sensor::<Gauge>("0.3.0"), section)
}

fn transfer(ask: &Ask) -> &[I2cOperation] {
    match ask {
        Ask::I2c { device, operations } if device == "device" => operations,
        other => panic!("{other:?}"),
    }
}

fn write(bytes: &[u8]) -> I2cOperation {
    I2cOperation::Write(Bytes(bytes.to_vec()))
}

#[test]
fn a_driver_reaches_its_device_through_the_node() {
    let (mut node, ready) = gauge();
    assert_eq!(ready["tools"][0]["name"], "water_gauge_lamp");
    for again in [false, true] {
        let call = node.calls(json!({ "do": "read" }));
        if !again {
            let open = node.answers(json!({ "read": ["42"] }));
            assert_eq!(transfer(&open), [write(&[0]), I2cOperation::Read(1)]);
        }
        assert_eq!(transfer(&node.answers(json!({ "read": [] }))), [write(&[1, 1])]);
        let read = node.answers(json!({ "read": ["00fa"] }));
        assert_eq!(transfer(&read), [write(&[2]), I2cOperation::Read(2)]);
        assert_eq!(node.answer(call), Ok(json!({ "level": 2.5 })));
    }
    let call = node.tool("water_gauge_lamp", json!({}));
    assert_eq!(transfer(&node.answers(json!({ "read": [] }))), [write(&[4, 1])]);
    assert_eq!(node.answer(call), Ok(json!({ "lit": true })));
    assert_eq!(node.stop(), Ended::Stopped);
}

#[test]
fn a_driver_says_why_it_has_no_reading_and_opens_its_device_again() {
    let (mut node, _) = gauge();
    let call = node.calls(json!({ "do": "read" }));
    let (id, _) = node.asked();
    let error = json!({ "code": "failed", "message": "nobody is there", "data": { "reason": "no_answer" } });
    node.say(&ToPlugin::Error { id, error: serde_json::from_value(error).unwrap() });
    let error = node.answer(call).unwrap_err();
    assert_eq!((&error["code"], &error["data"]), (&json!("failed"), &json!({ "reason": "no_answer" })));
    let call = node.calls(json!({ "do": "read" }));
    node.answers(json!({ "read": ["43"] }));
    let error = node.answer(call).unwrap_err();
    assert_eq!(error["data"]["reason"], "wrong_device");
    for answer in [json!({ "read": ["00"] }), json!({ "read": ["0001"] })] {
        let call = node.calls(json!({ "do": "read" }));
        assert_eq!(transfer(&node.answers(json!({ "read": ["42"] })))[0], write(&[0]), "it is opened");
        node.answers(json!({}));
        node.answers(answer);
        match node.answer(call) {
            Ok(frame) => assert_eq!(frame, json!({ "level": 0.01 })),
            Err(error) => assert_eq!(error["data"]["reason"], "bus_error"),
        }
    }
}

#[test]
fn a_driver_without_a_device_says_what_its_section_lacks() {
    let mut node = Node::start(Guest::sensor::<Gauge>("0.3.0"));
    node.hear();
    node.say(&welcome("attic", json!({ "sensor": { "every_ms": 1000 } })));
    let said = serde_json::to_value(node.hear()).unwrap();
    assert_eq!(said["why"], "settings");
    assert!(said["message"].as_str().unwrap().contains("`bus` and `address`"), "{said}");
}

#[test]
fn a_processor_is_a_step_of_the_path_of_a_reading() {
    let (mut node, _) = Node::ready(Guest::processor::<Double>("0.3.0"), json!({}));
    let draft = json!({ "sensor": "tank", "ts": null, "up_ms": 1, "fields": { "level": 4 } });
    let step = |node: &mut Node, topic: &str| {
        node.call(json!({ "do": "step", "topic": topic, "message": draft })).unwrap()
    };
    assert_eq!(step(&mut node, "process")["replace"]["fields"], json!({ "level": 8, "seen": 1 }));
    assert_eq!(step(&mut node, "process")["replace"]["fields"]["seen"], 2);
    assert_eq!(step(&mut node, "admit"), json!({ "veto": "judged" }));
    node.event("sensor_changed", json!({ "gone": "tank" }));
    assert_eq!(step(&mut node, "process")["replace"]["fields"]["seen"], 1);
    assert_eq!(node.call(json!({ "do": "read" })).unwrap_err()["code"], "not_found");
}
