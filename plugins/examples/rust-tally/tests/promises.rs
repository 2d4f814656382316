//! The program itself, at a node that says what a test tells it to say.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use sedge_protocol::FD_VARIABLE;
use serde_json::{Value as Json, json};

struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
}

/// It speaks over its standard input and output: what a test can hand over without a line of unsafe code.
fn start() -> Program {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rust-tally"))
        .env_clear()
        .env(FD_VARIABLE, "stdio")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    Program { child, lines }
}

impl Program {
    fn say(&mut self, message: &Json) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{message}").unwrap();
    }

    fn hear(&mut self) -> Json {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[test]
fn it_counts_what_it_hears_and_keeps_it_at_the_node() {
    let mut program = start();
    let hello = program.hear();
    assert_eq!((&hello["type"], &hello["plugin"]), (&json!("hello"), &json!("rust-tally")));
    program.say(&json!({
        "type": "welcome", "protocol": "1.0", "api": "1.0", "encoding": "json", "id": "tally", "plugin": "rust-tally",
        "node": "greenhouse", "settings": { "sensors": ["air"] }, "grants": {},
        "limits": { "message": 65536, "in_flight": 16, "memory": 67_108_864, "start_ms": 10000 },
    }));
    let load = program.hear();
    assert_eq!((&load["do"], &load["key"]), (&json!("load"), &json!("counts")));
    program.say(&json!({ "type": "ok", "id": load["id"], "result": { "air": 40 } }));
    let ready = program.hear();
    assert_eq!((&ready["type"], &ready["every_ms"]), (&json!("ready"), &json!(60_000)));
    for sensor in ["air", "tank", "air"] {
        let reading =
            json!({ "sensor": sensor, "seq": 1, "boot": "9f3c21ab", "ts": null, "up_ms": 1, "fields": {} });
        program.say(&json!({ "type": "event", "topic": "deliver", "message": reading }));
    }
    let args = json!({ "sensor": "air" });
    program.say(
        &json!({ "type": "call", "id": 1, "do": "tool", "tool": "rust_tally_of", "args": args, "timeout_ms": 5000 }),
    );
    assert_eq!(program.hear(), json!({ "type": "ok", "id": 1, "result": 42 }));
    program.say(&json!({ "type": "call", "id": 2, "do": "stop", "grace_ms": 5000 }));
    let store = program.hear();
    assert_eq!((&store["do"], &store["value"]), (&json!("store"), &json!({ "air": 42 })));
    program.say(&json!({ "type": "ok", "id": store["id"] }));
    assert_eq!(program.hear(), json!({ "type": "ok", "id": 2, "result": null }));
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn it_ends_when_its_node_is_gone() {
    let mut program = start();
    program.hear();
    drop(program.child.stdin.take());
    assert_eq!(program.child.wait().unwrap().code(), Some(1));
}

#[test]
fn started_by_hand_it_says_what_it_is() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rust-tally"))
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    program.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(2));
    assert!(said.contains("`rust-tally`") && said.contains("sedge plugin install"), "{said}");
}
