//! QEMU's machine protocol: sets what a device of the emulated board measures.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value as Json, json};

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that may come before an answer.
const MAX_EVENTS: usize = 100;

/// A connection to QEMU.
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket that QEMU was given.
    ///
    /// # Errors
    /// When QEMU is not there, or does not greet.
    pub fn connect(path: &str) -> Result<Self, String> {
        let stream = UnixStream::connect(path).map_err(|error| format!("{path}: {error}"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.line()?;
        qmp.execute(&json!({ "execute": "qmp_capabilities" }))?;
        Ok(qmp)
    }

    /// Sets a property of the device that the command line gave this id.
    ///
    /// # Errors
    /// What QEMU says, or that it says nothing.
    pub fn set(&mut self, device: &str, property: &str, value: i64) -> Result<(), String> {
        let path = format!("/machine/peripheral/{device}");
        let arguments = json!({ "path": path, "property": property, "value": value });
        self.execute(&json!({ "execute": "qom-set", "arguments": arguments }))
    }

    fn execute(&mut self, command: &Json) -> Result<(), String> {
        let sent = self.stream.get_mut().write_all(format!("{command}\n").as_bytes());
        sent.map_err(|error| format!("QEMU: {error}"))?;
        for _ in 0..MAX_EVENTS {
            let answer = self.line()?;
            if answer.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.get("error") {
                return Err(format!("QEMU: {error}"));
            }
        }
        Err("QEMU: events and no answer".into())
    }

    fn line(&mut self) -> Result<Json, String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(|error| format!("QEMU: {error}"))?;
        serde_json::from_str(&line).map_err(|error| format!("QEMU: {error}"))
    }
}
