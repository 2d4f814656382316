//! A node that says what a test tells it to say, at the other end of a line.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sedge_protocol::{Ask, Call, Decoder, Encoding, MAX_MESSAGE, ToNode, ToPlugin, encode};
use sedge_sdk::Guest;
use sedge_sdk::process::{Ended, run};
use serde_json::{Value as Json, json};

/// Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Node {
    line: UnixStream,
    decoder: Decoder<ToNode>,
    encoding: Encoding,
    process: Receiver<Ended>,
    calls: u64,
}

pub fn welcome(id: &str, more: Json) -> ToPlugin {
    let mut welcome = json!({
        "type": "welcome", "protocol": "1.0", "api": "1.0", "encoding": "json", "id": id, "plugin": "probe",
        "node": "greenhouse", "settings": {}, "grants": {},
        "limits": { "message": 65536, "in_flight": 4, "memory": 1 << 26, "start_ms": 10000 },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        welcome[key] = value.clone();
    }
    serde_json::from_value(welcome).unwrap()
}

impl Node {
    /// Starts it, and hears its hello.
    pub fn start(guest: Guest) -> Self {
        let (line, other) = UnixStream::pair().unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        let writer = other.try_clone().unwrap();
        let (tell, process) = channel();
        std::thread::spawn(move || tell.send(run(guest, other, writer, || ())));
        let decoder = Decoder::new(MAX_MESSAGE);
        Self { line, decoder, encoding: Encoding::Json, process, calls: 0 }
    }

    /// Starts it and welcomes it; it says that it is ready.
    pub fn ready(guest: Guest, more: Json) -> (Self, Json) {
        Self::ready_as("attic", guest, more)
    }

    /// The same, of another id.
    pub fn ready_as(id: &str, guest: Guest, more: Json) -> (Self, Json) {
        let mut node = Self::start(guest);
        assert!(matches!(node.hear(), ToNode::Hello(_)));
        node.say(&welcome(id, more));
        let ready = node.hear();
        assert!(matches!(ready, ToNode::Ready { .. }), "{ready:?}");
        (node, serde_json::to_value(ready).unwrap())
    }

    pub fn say(&mut self, message: &ToPlugin) {
        self.raw(&encode(message, self.encoding).unwrap());
        if let ToPlugin::Welcome { encoding, .. } = message {
            self.encoding = *encoding;
            self.decoder.switch(*encoding);
        }
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).unwrap();
    }

    pub fn hear(&mut self) -> ToNode {
        loop {
            if let Some(message) = self.decoder.next().unwrap() {
                return message;
            }
            let mut buffer = [0; 4096];
            let count = self.line.read(&mut buffer).unwrap();
            assert!(count > 0, "the plugin has ended");
            self.decoder.push(&buffer[..count]);
        }
    }

    /// The next ask, which is answered so.
    pub fn answers(&mut self, result: Json) -> Ask {
        let (id, ask) = self.asked();
        self.say(&ToPlugin::Ok { id, result });
        ask
    }

    pub fn asked(&mut self) -> (u64, Ask) {
        match self.hear() {
            ToNode::Ask { id, ask } => (id, ask),
            other => panic!("no ask: {other:?}"),
        }
    }

    pub fn calls(&mut self, call: Json) -> u64 {
        self.calls += 1;
        let call: Call = serde_json::from_value(call).unwrap();
        self.say(&ToPlugin::Call { id: self.calls, call });
        self.calls
    }

    /// Calls, and hears the answer next.
    pub fn call(&mut self, call: Json) -> Result<Json, Json> {
        let id = self.calls(call);
        self.answer(id)
    }

    pub fn answer(&mut self, wanted: u64) -> Result<Json, Json> {
        match self.hear() {
            ToNode::Ok { id, result } if id == wanted => Ok(result),
            ToNode::Error { id, error } if id == wanted => Err(serde_json::to_value(error).unwrap()),
            other => panic!("no answer to {wanted}: {other:?}"),
        }
    }

    pub fn tool(&mut self, tool: &str, args: Json) -> u64 {
        self.calls(json!({ "do": "tool", "tool": tool, "args": args, "timeout_ms": 5000 }))
    }

    pub fn event(&mut self, topic: &str, message: Json) {
        self.say(&ToPlugin::Event { topic: topic.into(), message });
    }

    /// Asks it to stop.
    pub fn stop(mut self) -> Ended {
        self.call(json!({ "do": "stop", "grace_ms": 5000 })).unwrap();
        self.ended()
    }

    /// Hangs up.
    pub fn ended(self) -> Ended {
        drop(self.line);
        self.process.recv_timeout(PATIENCE).unwrap()
    }

    /// Lets it end by itself, and hears what it had said.
    pub fn last_words(mut self) -> (Vec<ToNode>, Ended) {
        let ended = self.process.recv_timeout(PATIENCE).unwrap();
        self.line.set_nonblocking(true).unwrap();
        let mut said = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.line.read(&mut buffer) {
            self.decoder.push(&buffer[..count]);
            while let Some(message) = self.decoder.next().unwrap() {
                said.push(message);
            }
        }
        (said, ended)
    }
}

pub fn reading(sensor: &str, seq: u64, level: f64) -> Json {
    json!({
        "sensor": sensor, "seq": seq, "boot": "9f3c21ab", "ts": "2026-11-21T10:00:00.000Z", "up_ms": 5000,
        "fields": { "level": level },
    })
}
