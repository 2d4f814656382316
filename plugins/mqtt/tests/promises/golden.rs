//! Every payload of the contract, as it stands in `tests/golden`. A difference is a change of the contract: other
//! people's programs read these. To write them anew: `SEDGE_BLESS=1 cargo test -p sedge-mqtt golden`.

use std::path::Path;
use std::time::Duration;

use sedge_mqtt::discovery::Document;
use sedge_mqtt::wire::{
    Answer, BacklogFrame, Event, Health, Info, ReadingFrame, Request, ResultFrame, SensorFrame, Severity,
    Signature, Signer,
};
use sedge_plugin::directory::State;
use sedge_plugin::{Frame, Quality, Taken, Tool, ToolError, ToolErrorCode, ToolOutcome, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::discovery::{house, topics};
use super::support::home_assistant;
use super::support::node::{WALL_MS, directory, id, name, reading, sensor, status};

fn same(file: &str, written: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("SEDGE_BLESS").is_some() {
        std::fs::write(&path, format!("{written}\n")).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(golden.trim_end(), written, "{file}");
}

/// Written as in the file, and read again as the same.
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(file: &str, payload: &T) {
    let written = serde_json::to_string(payload).unwrap();
    same(file, &written);
    assert_eq!(&serde_json::from_str::<T>(&written).unwrap(), payload, "{file}");
}

#[test]
fn a_reading() {
    let mut frame = Frame::default();
    frame.push("temperature", 21.0);
    frame.push("humidity", 44.1);
    frame.push("door_open", true);
    frame.push("mode", "auto");
    let mut reading = reading(4711);
    reading.frame = frame;
    golden("reading.json", &ReadingFrame::from(&reading));
}

#[test]
fn the_readings_of_an_outage() {
    let frames = [1, 2].map(|seq| ReadingFrame::from(&reading(seq)));
    golden("backlog.json", &BacklogFrame(frames.into()));
}

#[test]
fn a_reading_with_something_amiss() {
    let mut frame = Frame::default();
    frame.push("temperature", 120.5);
    frame.missing("humidity", "crc");
    frame.push("pressure", f64::NAN);
    frame.samples[0].quality = Quality::OutOfRange;
    let mut reading = reading(1);
    reading.frame = frame;
    reading.taken = Taken { up_ms: 73_512, wall_ms: None };
    golden("reading_amiss.json", &ReadingFrame::from(&reading));
}

#[test]
fn the_birth_document() {
    let mut directory = directory("pi-kitchen");
    let failed = status("door", State::BackingOff);
    directory.plugins.insert(failed.id.clone(), failed.into());
    golden("info.json", &Info::from(&directory));
}

#[test]
fn a_birth_document_before_the_time_is_known() {
    let mut directory = directory("pi-kitchen");
    (directory.node.started_at, directory.node.hardware) = (None, None);
    golden("info_early.json", &Info::from(&directory));
}

#[test]
fn a_sensor() {
    golden("sensor.json", &SensorFrame::from(&sensor("air")));
}

#[test]
fn the_health_of_a_component() {
    golden("health.json", &Health::from(&status("air", State::Running)));
    golden("health_amiss.json", &Health::from(&status("air", State::BackingOff)));
}

#[test]
fn an_event() {
    let event = Event {
        ts: Some(WALL_MS),
        kind: "readings_lost".into(),
        severity: Severity::Warning,
        text: "150 readings were lost: 150 more waited than there is room for".into(),
        data: json!({ "count": 150, "dropped": 150, "refused": 0, "too_large": 0, "put_aside": 0, "ongoing": true }),
    };
    golden("event.json", &event);
}

#[test]
fn a_tool() {
    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "for its schema")]
    struct Args {
        /// On or off.
        on: bool,
    }
    let mut tool = Tool::new(name("pump_set"), "Switches the pump.").input::<Args>();
    tool.annotations.idempotent = true;
    golden("tool.json", &tool);
}

#[test]
fn a_call() {
    let request = Request {
        id: Some("7f3a".into()),
        args: json!({ "on": true, "seconds": 5 }),
        from: Some("cli".into()),
        sig: None,
    };
    let written = String::from_utf8(request.to_json()).unwrap();
    same("call.json", &written);
    assert_eq!(Request::parse(written.as_bytes()), Ok(request));
}

/// What it is signed with is the key that another program's test may use: 32 times the byte 7.
#[test]
fn a_signed_call() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n-----END PRIVATE KEY-----\n";
    let signer = Signer::from_pem(id("attic"), key).unwrap();
    assert_eq!(signer.public().to_string(), "ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=");
    let (node, tool) = (id("pi-kitchen"), name("pump_set"));
    let signature = Signature {
        key: id("attic"),
        nonce: "5f0c8a7e41d24c3b9a6e".to_owned().try_into().unwrap(),
        iat: WALL_MS / 1000,
        exp: WALL_MS / 1000 + 30,
        sig: [0; 64],
    };
    let args = json!({ "on": true, "seconds": 5 });
    let sig = signer.seal(signature, args.to_string().as_bytes(), &node, &tool);
    let request = Request { id: Some("7f3a".into()), args, from: None, sig: Some(sig) };
    let written = String::from_utf8(request.to_json()).unwrap();
    same("call_signed.json", &written);
    let read = Request::parse(written.as_bytes()).unwrap();
    assert_eq!(read, request);
    assert!(read.sig.unwrap().is_by(&signer.public(), &node, &tool));
}

#[test]
fn the_answers_to_a_call() {
    let outcome = |result| ToolOutcome {
        id: "7f3a".into(),
        node: None,
        tool: name("pump_set"),
        result,
        took: Duration::from_millis(12),
        by: None,
    };
    let ts = Some(WALL_MS);
    golden("result.json", &ResultFrame::new(outcome(Ok(json!({ "on": true }))), ts));
    golden("result_null.json", &ResultFrame::new(outcome(Ok(json!(null))), None));
    let error = ToolError {
        code: ToolErrorCode::BadArgs,
        message: "`on` must be true or false".into(),
        data: Some(json!({ "pointer": "/on" })),
    };
    golden("result_error.json", &ResultFrame::new(outcome(Err(error)), ts));
    let progress = Answer::Progress { progress: 0.4, text: Some("opening".into()) };
    golden("result_progress.json", &ResultFrame { id: "7f3a".into(), answer: progress });
}

#[test]
fn what_home_assistant_is_told_of_a_node() {
    let document = Document::of(&house(), &topics());
    let document = serde_json::to_value(&document).unwrap();
    assert_eq!(home_assistant::mistakes(&document), [""; 0]);
    same("discovery.json", &serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn every_file_belongs_to_a_test_that_reads_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let source = include_str!("golden.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!("\"{file}\"")), "{file}");
    }
}

#[test]
fn a_frame_of_a_later_version_is_still_read() {
    let text = r#"{"ts":"2026-11-20T17:28:24.123Z","seq":4711,"boot":"9f3c21ab","units":{"t":"°C"},"agg":"mean",
        "fields":{"z":1,"a":null,"on":false,"text":"x"},"clock":"unsynced","up_ms":5}"#;
    let frame: ReadingFrame = serde_json::from_str(text).unwrap();
    assert_eq!(frame.ts, Some(WALL_MS));
    let names: Vec<&str> = frame.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z", "a", "on", "text"], "in their order");
    assert_eq!(frame.get("on"), Some(&Value::Bool(false)));
}
