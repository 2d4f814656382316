//! Calls of other nodes' tools: how one is asked for, and which are waited for.
//!
//! Each is asked for once. Where the connection breaks before the answer, nobody knows whether the tool ran: that is
//! said, and nothing is asked again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sedge_plugin::{Boot, Id, Progress, RemoteCaller, ToolCall, ToolError, ToolErrorCode};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};

use crate::link::{Incoming, JSON, Message};
use crate::wire::{Answer, Base, Request, ResultFrame, Topics};

/// Calls of one section that may wait for their results.
const MAX_CALLS: usize = 256;

/// Tells calls of this process apart, also those of a plugin that was started again: their ids are never used twice.
static NUMBER: AtomicU64 = AtomicU64::new(1);

type Done = oneshot::Sender<Result<Json, ToolError>>;

/// A call to be sent.
pub(super) struct Asked {
    pub(super) node: Id,
    pub(super) message: Message,
    pub(super) progress: Progress,
    pub(super) done: Done,
}

impl Asked {
    pub(super) fn refuse(self, code: ToolErrorCode, why: impl Into<String>) {
        // Whoever asked may have gone.
        let _ = self.done.send(Err(ToolError::new(code, why)));
    }
}

/// Who calls, as the other nodes see it.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) base: Base,
    /// The level under `_reply/`: the user name, because that is what a broker's rules can name.
    pub(super) client: String,
    pub(super) client_id: String,
    /// `node:attic`.
    pub(super) from: String,
    pub(super) boot: Boot,
}

impl Who {
    /// Where all answers come.
    pub(super) fn replies(&self) -> String {
        self.base.filter(&format!("_reply/{}/#", self.client))
    }

    fn message(&self, node: &Id, call: &ToolCall) -> Message {
        let tool = call.tool.as_str();
        let id = format!("{}-{}", self.boot, NUMBER.fetch_add(1, Ordering::Relaxed));
        let request = Request {
            id: Some(id.clone()),
            args: call.args.clone(),
            from: Some(self.from.clone()),
            ..Request::default()
        };
        Message {
            topic: Topics::new(self.base.clone(), node.clone()).call(tool),
            payload: request.to_json(),
            content_type: JSON,
            response_topic: Some(self.base.reply(&self.client, node, tool)),
            correlation: Some(format!("{}-{id}", self.client_id).into_bytes()),
            // Whole seconds on the wire; a call that has little time left must not get more than the one that it is given.
            expiry: Some(call.timeout.unwrap_or(Duration::from_secs(30))),
            ..Message::default()
        }
    }

    /// The way to the tools of a node.
    pub(super) fn caller(&self, node: &Id, line: &mpsc::Sender<Asked>) -> RemoteCaller {
        let (who, node, line) = (self.clone(), node.clone(), line.clone());
        std::sync::Arc::new(move |call| {
            let message = who.message(&node, &call);
            let (node, line) = (node.clone(), line.clone());
            Box::pin(async move {
                let (done, result) = oneshot::channel();
                let gone = || {
                    let text = format!("nobody reaches `{node}` any more");
                    ToolError::new(ToolErrorCode::Unavailable, text)
                };
                let asked = Asked { node: node.clone(), message, progress: call.progress, done };
                line.send(asked).await.map_err(|_| gone())?;
                result.await.unwrap_or_else(|_| Err(gone()))
            })
        })
    }
}

/// A call whose result is waited for.
struct Waiting {
    node: Id,
    progress: Progress,
    done: Done,
}

/// The calls whose results are waited for, by their correlation.
#[derive(Default)]
pub(super) struct Calls(HashMap<Vec<u8>, Waiting>);

impl Calls {
    /// Whether there is room for one more. Those whose caller has given up are forgotten.
    pub(super) fn has_room(&mut self) -> bool {
        self.0.retain(|_, call| !call.done.is_closed());
        self.0.len() < MAX_CALLS
    }

    /// A call was sent.
    pub(super) fn sent(&mut self, key: Vec<u8>, node: Id, progress: Progress, done: Done) {
        self.0.insert(key, Waiting { node, progress, done });
    }

    /// An answer came; one that nobody waits for is passed over.
    pub(super) fn answered(&mut self, message: Incoming) {
        let Some(key) = message.correlation.filter(|key| self.0.contains_key(key)) else { return };
        let result = match serde_json::from_slice::<ResultFrame>(&message.payload) {
            Ok(ResultFrame { answer: Answer::Progress { progress, text }, .. }) => {
                if let Some(call) = self.0.get(&key) {
                    call.progress.report(progress, text.unwrap_or_default());
                }
                return;
            }
            Ok(ResultFrame { answer: Answer::Done { result, .. }, .. }) => result,
            Err(error) => Err(ToolError::failed(format!("the answer cannot be read: {error}"))),
        };
        self.end(&key, result);
    }

    /// A call will not be answered.
    pub(super) fn refused(&mut self, key: &[u8], code: ToolErrorCode, why: impl FnOnce(&Id) -> String) {
        if let Some(call) = self.0.get(key) {
            let error = ToolError::new(code, why(&call.node));
            self.end(key, Err(error));
        }
    }

    /// A node went away, or (none) the connection did: whether what ran has ended is not known.
    pub(super) fn lost(&mut self, node: Option<&Id>, why: &str) {
        let lost = |call: &Waiting| node.is_none_or(|node| call.node == *node);
        let keys: Vec<Vec<u8>> = self.0.iter().filter(|(_, c)| lost(c)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let why =
                |node: &Id| format!("{why} while `{node}` had the call; whether the tool ran is not known");
            self.refused(&key, ToolErrorCode::Failed, why);
        }
    }

    fn end(&mut self, key: &[u8], result: Result<Json, ToolError>) {
        if let Some(call) = self.0.remove(key) {
            let _ = call.done.send(result);
        }
    }
}
