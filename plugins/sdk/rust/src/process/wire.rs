//! A plugin's way to its node over a line: messages are written by whoever has one, answers come from the reading thread.
//!
//! It must not write a message that is longer than the node takes.

use std::future::poll_fn;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sedge_plugin::{BoxFuture, Clock, ToolError, ToolErrorCode};
use sedge_protocol::{Ask, CREDIT, Encoding, MAX_MESSAGE, ToNode, ToPlugin, encode};
use serde_json::Value as Json;

use super::asks::{Answer, Asks};
use super::clock::MachineClock;
use super::inbox::{Inbox, Turn};
use crate::executor::lock;
use crate::link::{Level, Link};

/// Events that were heard before the node is told that more can come.
const CREDIT_EVERY: u32 = CREDIT / 2;

/// A line to a node. Clones are the same line.
#[derive(Clone)]
pub(super) struct Wire(Arc<Inner>);

struct Inner {
    out: Mutex<Out>,
    asks: Asks,
    inbox: Arc<Inbox>,
    heard: AtomicU32,
    woken: Mutex<bool>,
    wake: Condvar,
}

struct Out {
    writer: Box<dyn Write + Send>,
    encoding: Encoding,
    most: usize,
}

impl Wire {
    pub(super) fn new(writer: Box<dyn Write + Send>, inbox: Arc<Inbox>) -> Self {
        let out = Out { writer, encoding: Encoding::Json, most: MAX_MESSAGE };
        Self(Arc::new(Inner {
            out: Mutex::new(out),
            asks: Asks::default(),
            inbox,
            heard: AtomicU32::new(0),
            woken: Mutex::new(false),
            wake: Condvar::new(),
        }))
    }

    /// The node has said how it wants to be spoken to. All that is written from now on is so.
    pub(super) fn welcome(&self, welcome: &ToPlugin) {
        let ToPlugin::Welcome { encoding, limits, .. } = welcome else { return };
        self.0.asks.limit(limits.in_flight);
        let mut out = lock(&self.0.out);
        (out.encoding, out.most) = (*encoding, limits.message);
    }

    /// Writes a message.
    pub(super) fn send(&self, message: &ToNode) -> Result<(), ToolError> {
        let mut out = lock(&self.0.out);
        let bytes = encode(message, out.encoding)
            .map_err(|error| ToolError::new(ToolErrorCode::Internal, error.to_string()))?;
        if bytes.len() > out.most {
            let text = format!("a message of {} bytes, where the node takes {}", bytes.len(), out.most);
            return Err(ToolError::new(ToolErrorCode::BadRequest, text));
        }
        let written = out.writer.write_all(&bytes).and_then(|()| out.writer.flush());
        drop(out);
        written.map_err(|error| {
            let why = format!("the node is gone: {error}");
            self.close(&why);
            ToolError::new(ToolErrorCode::Unavailable, why)
        })
    }

    /// Answers a call.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        let sent = self.send(&match answer {
            Ok(result) => ToNode::Ok { id, result },
            Err(error) => ToNode::Error { id, error },
        });
        // Too long: the one who waits learns at least that.
        if let Err(error) = sent {
            let _ = self.send(&ToNode::Error { id, error });
        }
    }

    /// One more event was heard.
    pub(super) fn heard(&self) {
        if self.0.heard.fetch_add(1, Ordering::Relaxed) + 1 >= CREDIT_EVERY {
            let n = self.0.heard.swap(0, Ordering::Relaxed);
            let _ = self.send(&ToNode::Credit { n });
        }
    }

    /// An answer to an ask came.
    pub(super) fn answered(&self, id: u64, answer: Answer) {
        self.0.asks.answer(id, answer);
    }

    /// No answers will come any more.
    pub(super) fn close(&self, why: &str) {
        self.0.asks.close(why);
    }

    /// Sends what was begun. What cannot be sent is answered here.
    fn put(&self, id: u64, ask: Ask) {
        if let Err(error) = self.send(&ToNode::Ask { id, ask }) {
            self.0.asks.answer(id, Err(error));
        }
    }
}

impl Link for Wire {
    fn ask(&self, ask: Ask) -> BoxFuture<'static, Answer> {
        let wire = self.clone();
        Box::pin(async move {
            let (id, begun) = poll_fn(|context| wire.0.asks.poll_begin(context)).await?;
            wire.put(id, ask);
            poll_fn(|context| begun.poll(context)).await
        })
    }

    fn ask_now(&self, ask: Ask) -> Result<Json, ToolError> {
        let (id, begun) = self.0.asks.begin()?;
        self.put(id, ask);
        begun.wait()
    }

    fn log(&self, level: Level, text: &str) {
        let _ = self.send(&ToNode::Log { level: level.word().into(), text: text.into() });
    }

    fn progress(&self, id: u64, fraction: Option<f64>, text: String) {
        let _ = self.send(&ToNode::Progress { id, fraction, text });
    }

    fn fail(&self, reason: String) {
        self.0.inbox.push(Turn::End(reason));
    }

    #[expect(clippy::disallowed_methods, reason = "what stands behind a device's delay")]
    fn delay(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(MachineClock)
    }

    fn park(&self, at_most: Option<Duration>) -> bool {
        let mut woken = lock(&self.0.woken);
        if !*woken {
            woken = match at_most {
                Some(time) => self.0.wake.wait_timeout(woken, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.0.wake.wait(woken).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *woken = false;
        true
    }

    fn unpark(&self) {
        *lock(&self.0.woken) = true;
        self.0.wake.notify_all();
    }
}
