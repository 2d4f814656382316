//! What is sent out comes back the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sedge_plugin::reading::{Origin, Taken};
use sedge_plugin::topics::{
    CallRecord, CallRecorded, Deliver, LoadedConfig, PostToolExecute, PreToolExecute, Process, ToolFailed,
    ToolFailure,
};
use sedge_plugin::{
    Boot, Draft, Frame, Id, Name, Quality, Reading, Sample, ToolCall, ToolError, ToolErrorCode, ToolOutcome,
    Value,
};

use super::*;

fn id() -> impl Strategy<Value = Id> {
    proptest::sample::select(vec!["air", "attic", "pi-kitchen", "7"]).prop_map(|text| Id::new(text).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        // With so many digits as a reading may have: beyond fifteen the last bit of a JSON number is not sure.
        prop_oneof![any::<i32>().prop_map(|n| f64::from(n) / 1000.0), (-9e15..9e15).prop_map(f64::trunc)]
            .prop_map(Value::Number),
        ".{0,12}".prop_map(Value::Text),
    ]
}

fn quality() -> impl Strategy<Value = Quality> {
    use Quality::{Estimated, Ok, OutOfRange, Rejected, Stale, Stuck};
    proptest::sample::select(vec![Ok, Ok, Stale, Stuck, OutOfRange, Estimated, Rejected])
}

/// In the order of their names: an object of JSON has no other.
fn frame() -> impl Strategy<Value = Frame> {
    let sample = (prop_oneof![3 => value().prop_map(Ok), 1 => "[a-z_]{1,9}".prop_map(Err)], quality());
    prop::collection::btree_map("[a-z][a-z0-9_]{0,9}", sample, 0..6).prop_map(|samples: BTreeMap<_, _>| {
        Frame {
            samples: samples
                .into_iter()
                .map(|(field, (value, quality))| Sample {
                    field: field.into(),
                    value: value.map_err(Into::into),
                    quality,
                })
                .collect(),
        }
    })
}

fn taken() -> impl Strategy<Value = Taken> {
    let wall = prop::option::of(0_i64..4_000_000_000_000);
    (any::<u64>(), wall).prop_map(|(up_ms, wall_ms)| Taken { up_ms, wall_ms })
}

fn origin() -> impl Strategy<Value = Option<Arc<Origin>>> {
    let origin = (id(), id(), any::<u32>(), any::<u64>())
        .prop_map(|(node, sensor, boot, seq)| Arc::new(Origin { node, sensor, boot: Boot(boot), seq }));
    prop::option::of(origin)
}

prop_compose! {
    fn draft()(sensor in id(), taken in taken(), frame in frame(), origin in origin()) -> Draft {
        Draft { sensor, taken, frame, origin }
    }
}

prop_compose! {
    fn reading()(draft in draft(), boot in any::<u32>(), seq in any::<u64>()) -> Reading {
        let Draft { sensor, taken, frame, origin } = draft;
        Reading { sensor, boot: Boot(boot), seq, taken, frame, origin }
    }
}

fn json() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<i64>().prop_map(Json::from),
        ".{0,9}".prop_map(Json::from),
        prop::collection::btree_map("[a-z]{1,5}", any::<bool>(), 0..4).prop_map(|map| json!(map)),
    ]
}

prop_compose! {
    fn call()(
        node in prop::option::of(id()), args in json(), id in ".{0,9}", from in ".{0,9}", verified in any::<bool>(),
        timeout in prop::option::of(0_u64..1_000_000),
    ) -> ToolCall {
        let call = ToolCall::new(Name::new("pump_set").unwrap(), args);
        ToolCall { node, id, from, verified, timeout: timeout.map(Duration::from_millis), ..call }
    }
}

fn result() -> impl Strategy<Value = Result<Json, ToolError>> {
    let error = (".{0,20}", prop::option::of(Just(json!({ "left": 2 }))))
        .prop_map(|(message, data)| ToolError { code: ToolErrorCode::Denied, message, data });
    prop_oneof![json().prop_map(Ok), error.prop_map(Err)]
}

prop_compose! {
    fn outcome()(result in result(), call in call(), took in 0_u64..1_000_000, by in prop::option::of(id())) -> ToolOutcome {
        let ToolCall { id, node, tool, .. } = call;
        ToolOutcome { id, node, tool, result, took: Duration::from_millis(took), by }
    }
}

/// Through a text, as a line carries it.
fn travelled<T: Shape>(message: &T::Message) -> T::Message {
    let text = serde_json::to_string(&T::encode(message)).unwrap();
    T::decode(serde_json::from_str(&text).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn what_is_sent_out_comes_back_the_same(
        reading in reading(), draft in draft(), call in call(), outcome in outcome(), args in prop::option::of(json()),
    ) {
        prop_assert_eq!(&travelled::<Deliver>(&reading), &reading);
        prop_assert_eq!(&travelled::<Process>(&draft), &draft);
        prop_assert_eq!(&travelled::<PreToolExecute>(&call), &call);
        prop_assert_eq!(&travelled::<PostToolExecute>(&outcome), &outcome);
        let error = ToolError::failed("dry");
        let failure = ToolFailure { call, error };
        prop_assert_eq!(&travelled::<ToolFailed>(&failure), &failure);
        let ToolOutcome { id, took, result, .. } = outcome;
        let (tool, from) = ("a/b".to_owned(), "cli".to_owned());
        let record = CallRecord { tool, id, from, verified: true, args, outcome: result.map(|_| took) };
        prop_assert_eq!(&travelled::<CallRecorded>(&record), &record);
        prop_assert_eq!(&frame::decode(&frame::encode(&reading.frame)).unwrap(), &reading.frame);
    }

    #[test]
    fn nothing_makes_the_decoders_panic(text in "[\\[\\]{}:,\"a-z0-9 .-]{0,60}", json in json()) {
        for json in serde_json::from_str(&text).into_iter().chain([json]) {
            for shape in ALL {
                let _ = (shape.decode)(json.clone());
                let _ = (shape.decode_answer)(json.clone());
            }
        }
    }

    #[test]
    fn a_step_changes_what_was_measured_and_not_whose_it_is(before in draft(), other in draft()) {
        let step = decode_step::<Process>(&before, json!({ "replace": Process::encode(&other) })).unwrap();
        let mut expected = other.frame;
        let place = |sample: &Sample| before.frame.samples.iter().position(|s| s.field == sample.field);
        expected.samples.sort_by_key(|sample| place(sample).unwrap_or(usize::MAX));
        prop_assert_eq!(step, Step::Replace(Draft { frame: expected, ..before }));
    }
}

#[test]
fn a_step_cannot_make_somebody_else_the_caller() {
    let before = ToolCall {
        from: "cli".into(),
        ..ToolCall::new(Name::new("pump_set").unwrap(), json!({ "on": true }))
    };
    let forged = json!({ "replace": { "tool": "pump_boil", "args": { "on": false }, "from": "boss", "id": "x", "verified": true } });
    let step = decode_step::<PreToolExecute>(&before, forged).unwrap();
    assert_eq!(step, Step::Replace(ToolCall { args: json!({ "on": false }), ..before }));
}

#[test]
fn what_a_step_may_not_answer_is_refused_with_what_it_may() {
    let before = LoadedConfig { config: Arc::new(Json::Null), reload: false };
    let error = decode_step::<t::ConfigLoaded>(&before, json!({ "replace": {} })).unwrap_err();
    assert!(error.contains("cannot be replaced"), "{error}");
    for wrong in [json!("go"), json!({ "veto": 3 }), json!({ "veto": "a", "replace": {} }), json!([])] {
        let error = decode_step::<t::ConfigLoaded>(&before, wrong).unwrap_err();
        assert!(error.contains("\"pass\""), "{error}");
    }
}

#[test]
fn a_frame_that_is_none_says_what_is_wrong_with_which_field() {
    for (frame, words) in [
        (json!([1]), "found a list"),
        (json!({ "Level": 1 }), "`L`"),
        (json!({ "level": [1] }), "`level` is a list"),
        (json!({ "level": { "value": 1, "missing": "x" } }), "either `value`, or `missing`"),
        (json!({ "level": { "value": 1, "quality": "good" } }), "quality"),
        (json!({ "level": { "valeu": 1 } }), "`valeu`"),
    ] {
        let error = frame::decode(&frame).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn every_topic_is_one_of_the_nodes_and_found_by_its_type() {
    for shape in ALL {
        assert!(
            t::ALL.iter().any(|info| (info.name, info.kind) == (shape.name, shape.kind)),
            "{}",
            shape.name
        );
        assert_eq!(by_id((shape.type_id)()).unwrap().name, shape.name);
    }
    let inside = ["describe", "tool_registry_build", "tool_execute", "command_registry_build"];
    for info in t::ALL {
        assert_eq!(by_name(info.name).is_none(), inside.contains(&info.name), "{}", info.name);
    }
}
