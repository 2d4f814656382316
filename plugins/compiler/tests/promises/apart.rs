//! A component in a process of its own speaks as any process does.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use sedge_host::wasm::{ComponentOptions, serve};
use serde_json::{Value as Json, json};

use super::rig::{Folder, is_here, probe};

const MANIFEST: &str = "manifest = 1\n[plugin]\nname = \"probe\"\nversion = \"1.0.0\"\ndescription = \"Is told.\"\n\
                        [entry]\nwasm = \"probe.wasm\"\n";

/// The other end of the line, and the server behind it.
struct Apart {
    line: BufReader<UnixStream>,
    server: JoinHandle<Result<(), String>>,
}

impl Apart {
    fn start(options: ComponentOptions) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // It owns its end, as a process does.
        let server = std::thread::spawn(move || serve(options, theirs.as_raw_fd()));
        Self { line: BufReader::new(ours), server }
    }

    fn hear(&mut self) -> Option<Json> {
        let mut line = String::new();
        (self.line.read_line(&mut line).unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    fn say(&mut self, message: Json) {
        writeln!(self.line.get_mut(), "{message}").unwrap();
    }

    fn welcome(&mut self, memory: u64) {
        self.say(json!({
            "type": "welcome", "protocol": "1.0", "api": "1.0", "encoding": "json", "id": "attic", "plugin": "probe",
            "node": "pi", "settings": {}, "grants": {},
            "limits": { "message": 65536, "in_flight": 16, "memory": memory, "start_ms": 30000 }
        }));
    }

    fn ready(options: ComponentOptions, memory: u64) -> Self {
        let mut apart = Self::start(options);
        let hello = apart.hear().unwrap();
        assert_eq!((&hello["type"], &hello["plugin"]), (&json!("hello"), &json!("probe")));
        assert_eq!(hello["encodings"], json!(["json"]));
        apart.welcome(memory);
        assert_eq!(apart.hear().unwrap()["type"], "ready");
        apart
    }

    fn call(&mut self, tool: &str, args: Json, timeout_ms: u64) {
        self.say(json!({ "type": "call", "id": 1, "do": "tool", "tool": tool, "args": args, "from": "", "timeout_ms": timeout_ms }));
    }

    fn end(self) -> Result<(), String> {
        self.server.join().unwrap()
    }
}

fn folder() -> Folder {
    let folder = Folder::with_probe(false);
    fs::write(folder.0.join("plugin.toml"), MANIFEST).unwrap();
    folder
}

#[test]
fn it_answers_calls_asks_and_stops_when_asked_to() {
    if !is_here() {
        return;
    }
    let folder = folder();
    let mut apart = Apart::ready(folder.options(), 8 << 20);
    apart.call("i2c", json!({ "device": "pump" }), 30_000);
    let ask = apart.hear().unwrap();
    assert_eq!(
        ask,
        json!({ "type": "ask", "id": 1, "do": "i2c", "device": "pump", "operations": [{ "write": "d0" }, { "read": 1 }] })
    );
    apart.say(json!({ "type": "ok", "id": 1, "result": { "read": ["60"] } }));
    assert_eq!(apart.hear().unwrap(), json!({ "type": "ok", "id": 1, "result": { "identity": 0x60 } }));
    apart.say(json!({ "type": "call", "id": 2, "do": "stop", "grace_ms": 30000 }));
    assert_eq!(apart.hear().unwrap()["type"], "ok");
    assert_eq!(apart.end(), Ok(()));
}

#[test]
fn its_limits_are_those_of_the_welcome_and_its_last_words_say_what_broke() {
    if !is_here() {
        return;
    }
    let folder = folder();
    let mut apart = Apart::ready(folder.options(), 2 << 20);
    apart.call("grow", json!({ "bytes": 8_000_000 }), 30_000);
    // With its memory full it may still say something.
    while apart.hear().is_some() {}
    assert_eq!(apart.end(), Err("tool grow: it wanted more than its 2 MiB of memory".into()));
}

#[test]
fn it_ends_in_the_middle_of_a_call_when_its_node_is_gone() {
    if !is_here() {
        return;
    }
    let folder = folder();
    let mut apart = Apart::ready(folder.options(), 8 << 20);
    apart.call("loop", json!({}), 600_000);
    let Apart { line, server } = apart;
    drop(line);
    assert_eq!(server.join().unwrap(), Err("it was stopped".into()));
}

#[test]
fn garbage_ends_it_with_a_reason() {
    if !is_here() {
        return;
    }
    let folder = folder();
    let mut apart = Apart::ready(folder.options(), 8 << 20);
    writeln!(apart.line.get_mut(), "garbage").unwrap();
    let error = apart.end().unwrap_err();
    assert!(error.contains("garbage"), "{error}");
}

#[test]
fn why_there_is_no_component_is_told_in_answer_to_the_welcome() {
    if !is_here() {
        return;
    }
    let folder = Folder::with(probe(), None);
    fs::write(folder.0.join("plugin.toml"), MANIFEST).unwrap();
    // The manifest's name is that of its folder.
    let named: PathBuf = folder.0.join("probe");
    fs::create_dir(&named).unwrap();
    for file in ["plugin.toml", "probe.wasm"] {
        fs::rename(folder.0.join(file), named.join(file)).unwrap();
    }
    let mut apart = Apart::start(ComponentOptions { folder: named, ..folder.options() });
    assert_eq!(apart.hear().unwrap()["type"], "hello");
    apart.welcome(8 << 20);
    let failed = apart.hear().unwrap();
    assert_eq!((&failed["type"], &failed["why"]), (&json!("failed"), &json!("unmet")));
    assert!(failed["message"].as_str().unwrap().contains("no native code"), "{failed}");
    assert!(apart.end().is_err());
}
