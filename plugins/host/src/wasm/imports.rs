//! What a component may call: the imports of `plugin.wit`, each an ask of the protocol.
//!
//! Whether it is granted is decided where asks are answered, for components as for processes. Here stands only what an ask would be
//! too dear for: logging, waiting, the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::{ToolError, ToolErrorCode};
use sedge_protocol::{Ask, Bytes, I2cOperation, ToNode, ToPlugin};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use wasmtime::Result;

use super::Clock;
use super::bindings::sedge::plugin::{clock, delay, i2c, log, node, store};
use super::inbox::{Halt, Inbox};
use super::limiter::Limiter;

/// The longest line of a log, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// The longest single wait.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// How often a full line is looked at again.
const FULL: Duration = Duration::from_millis(2);

/// What stands behind a component's imports.
pub(super) struct Guest {
    pub(super) inbox: Arc<Inbox>,
    pub(super) out: mpsc::Sender<ToNode>,
    pub(super) limiter: Limiter,
    /// The largest message.
    pub(super) message: usize,
    pub(super) clock: Clock,
    /// Its devices, by its labels.
    addresses: BTreeMap<String, u8>,
    asks: u64,
    /// The last error that it wrote since it was let run: what a panic says, before the trap that says nothing.
    pub(super) last_words: Option<String>,
}

impl Guest {
    pub(super) fn new(inbox: Arc<Inbox>, out: mpsc::Sender<ToNode>, message: usize, clock: Clock) -> Self {
        let limiter = Limiter::default();
        Self { inbox, out, limiter, message, clock, addresses: BTreeMap::new(), asks: 0, last_words: None }
    }

    /// What it was granted.
    pub(super) fn welcomed(&mut self, welcome: &ToPlugin) {
        let ToPlugin::Welcome { grants, sensor, .. } = welcome else { return };
        let granted = grants.i2c.iter().map(|(label, grant)| (label.clone(), grant.address));
        let own =
            sensor.as_ref().and_then(|sensor| sensor.address).map(|address| ("device".to_owned(), address));
        self.addresses = granted.chain(own).collect();
    }

    /// Says something, waiting while the node does not listen, as long as it may run.
    pub(super) fn say(&self, message: ToNode) -> Result<(), Halt> {
        let mut message = message;
        loop {
            message = match self.out.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Halt::Killed),
                Err(TrySendError::Full(message)) => message,
            };
            if let Some(halt) = self.inbox.halt() {
                return Err(halt);
            }
            std::thread::park_timeout(FULL);
        }
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, ask: Ask) -> Result<Result<Json, ToolError>> {
        self.asks += 1;
        self.inbox.ask(self.asks);
        self.say(ToNode::Ask { id: self.asks, ask })?;
        Ok(self.inbox.answer()?)
    }

    /// What is wrong with a text as long as this one.
    fn too_long(&self, text: &str) -> Option<ToolError> {
        (text.len() > self.message).then(|| {
            let message = format!("{} bytes are more than a message may have: {}", text.len(), self.message);
            ToolError::new(ToolErrorCode::BadRequest, message)
        })
    }
}

/// A `ToolError` as a component is told it.
fn text(error: &ToolError) -> String {
    serde_json::to_string(error).unwrap_or_else(|_| error.message.clone())
}

/// Cuts a line where it is too long.
pub(super) fn line(mut text: String) -> String {
    if text.len() > MAX_LINE {
        text.truncate(text.floor_char_boundary(MAX_LINE));
        text.push('…');
    }
    text
}

impl i2c::Host for Guest {
    fn transaction(
        &mut self,
        device: String,
        operations: Vec<i2c::Operation>,
    ) -> Result<Result<Vec<Vec<u8>>, i2c::Error>> {
        let sizes = operations.iter().map(|operation| match operation {
            i2c::Operation::Write(bytes) => bytes.len(),
            i2c::Operation::Read(length) => usize::from(*length),
        });
        if sizes.sum::<usize>().saturating_mul(2) > self.message || operations.len() > 1000 {
            return Ok(Err(i2c::Error::Other));
        }
        let operation = |operation| match operation {
            i2c::Operation::Write(bytes) => I2cOperation::Write(Bytes(bytes)),
            i2c::Operation::Read(length) => I2cOperation::Read(length),
        };
        let reads: Vec<usize> = operations
            .iter()
            .filter_map(|operation| match operation {
                i2c::Operation::Read(length) => Some(usize::from(*length)),
                i2c::Operation::Write(_) => None,
            })
            .collect();
        let operations = operations.into_iter().map(operation).collect();
        Ok(match self.ask(Ask::I2c { device, operations })? {
            // What a driver has asked for has exactly that length; anything else would be read past its end.
            Ok(answer) => match bytes(&answer) {
                Some(read) if read.iter().map(Vec::len).eq(reads) => Ok(read),
                _ => Err(i2c::Error::Other),
            },
            Err(error) => Err(i2c_error(&error)),
        })
    }

    fn address(&mut self, device: String) -> Result<Option<u8>> {
        Ok(self.addresses.get(&device).copied())
    }
}

/// `{"read": ["0a1b"]}`
fn bytes(answer: &Json) -> Option<Vec<Vec<u8>>> {
    let read = answer.get("read")?.as_array()?;
    read.iter().map(|one| one.as_str()?.parse::<Bytes>().ok().map(|bytes| bytes.0)).collect()
}

/// What a driver is told of an error: the reason in its data (see `asks` of the outside), or else its code.
fn i2c_error(error: &ToolError) -> i2c::Error {
    let reason = error.data.as_ref().and_then(|data| data.get("reason")).and_then(Json::as_str);
    match (reason, error.code) {
        (Some("no_answer" | "no-answer" | "refused" | "no_acknowledge"), _) => i2c::Error::NoAcknowledge,
        (Some("arbitration"), _) => i2c::Error::ArbitrationLoss,
        (Some("timeout"), _) | (_, ToolErrorCode::Timeout | ToolErrorCode::Expired) => i2c::Error::Timeout,
        (_, ToolErrorCode::Denied | ToolErrorCode::NotFound) => i2c::Error::NotGranted,
        _ => i2c::Error::Other,
    }
}

impl delay::Host for Guest {
    fn delay_ns(&mut self, ns: u64) -> Result<()> {
        Ok(self.inbox.pause(Duration::from_nanos(ns).min(MAX_DELAY))?)
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, text: String) -> Result<()> {
        let level = match level {
            log::Level::Error => "error",
            log::Level::Warn => "warn",
            log::Level::Info => "info",
            log::Level::Debug => "debug",
            log::Level::Trace => "trace",
        };
        let text = line(text);
        if level == "error" {
            self.last_words = Some(text.clone());
        }
        Ok(self.say(ToNode::Log { level: level.to_owned(), text })?)
    }
}

impl store::Host for Guest {
    fn load(&mut self, key: String) -> Result<Result<Option<String>, String>> {
        Ok(match self.ask(Ask::Load { key })? {
            Ok(Json::Null) => Ok(None),
            Ok(Json::String(text)) => Ok(Some(text)),
            Ok(other) => Ok(Some(other.to_string())),
            Err(error) => Err(error.message),
        })
    }

    fn save(&mut self, key: String, value: String) -> Result<Result<(), String>> {
        if let Some(error) = self.too_long(&value) {
            return Ok(Err(error.message));
        }
        let answer = self.ask(Ask::Store { key, value: Json::String(value) })?;
        Ok(answer.map(drop).map_err(|error| error.message))
    }

    fn forget(&mut self, key: String) -> Result<Result<(), String>> {
        Ok(self.ask(Ask::Forget { key })?.map(drop).map_err(|error| error.message))
    }
}

impl clock::Host for Guest {
    fn up_ms(&mut self) -> Result<u64> {
        Ok((self.clock)().up_ms)
    }

    fn wall_ms(&mut self) -> Result<Option<i64>> {
        Ok((self.clock)().wall_ms)
    }
}

impl node::Host for Guest {
    fn ask(&mut self, ask: String) -> Result<Result<String, String>> {
        if let Some(error) = self.too_long(&ask) {
            return Ok(Err(text(&error)));
        }
        let ask = match serde_json::from_str(&ask) {
            Ok(ask) => ask,
            Err(error) => {
                let message = format!("this is no ask of the protocol: {error}");
                return Ok(Err(text(&ToolError::new(ToolErrorCode::BadRequest, message))));
            }
        };
        let answer = Guest::ask(self, ask)?;
        Ok(answer.map(|answer| answer.to_string()).map_err(|error| text(&error)))
    }

    fn progress(&mut self, fraction: Option<f64>, text: String) -> Result<()> {
        let Some(id) = self.inbox.current() else { return Ok(()) };
        // A number that is none has no place in JSON.
        let fraction = fraction.filter(|fraction| fraction.is_finite());
        // What is not heard now is out of date later.
        let _ = self.out.try_send(ToNode::Progress { id, fraction, text: line(text) });
        Ok(())
    }
}
