//! The calls that a node has made of a plugin outside, and what became of them.
//!
//! Why apart from the line: who calls may give up at any moment, and an answer may come at any moment, or twice, or never.
//! Here are only numbers, times and those who wait; nothing waits here itself.

use std::collections::BTreeMap;
use std::time::Duration;

use sedge_plugin::{Progress, ToolError, ToolErrorCode};
use sedge_protocol::IN_FLIGHT;
use serde_json::Value as Json;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a plugin may go on with a call that nobody waits for any more, beyond the call's own time.
pub(super) const HUNG: Duration = Duration::from_secs(5);

/// What a call comes to.
pub(super) type Answer = Result<Json, ToolError>;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Calls {
    made: u64,
    open: BTreeMap<u64, Open>,
    /// Given up, and the plugin has not been told.
    untold: Vec<u64>,
    /// Why there are no more calls.
    over: Option<String>,
}

struct Open {
    /// None once nobody waits.
    reply: Option<oneshot::Sender<Answer>>,
    progress: Progress,
    /// How long the plugin has for it.
    until: Instant,
    /// Whether the plugin has been told of it.
    sent: bool,
}

impl Calls {
    /// A new call; its answer comes through the channel, which is closed when the plugin has ended.
    pub(super) fn begin(
        &mut self,
        progress: Progress,
        until: Instant,
    ) -> Result<(u64, oneshot::Receiver<Answer>), ToolError> {
        if let Some(why) = &self.over {
            return Err(ToolError::new(ToolErrorCode::Unavailable, why.clone()));
        }
        if self.open.len() >= IN_FLIGHT {
            let text = format!("{IN_FLIGHT} calls of it are under way");
            return Err(ToolError::new(ToolErrorCode::Busy, text));
        }
        self.made += 1;
        let (reply, answer) = oneshot::channel();
        self.open.insert(self.made, Open { reply: Some(reply), progress, until, sent: false });
        Ok((self.made, answer))
    }

    /// The plugin is being told of it.
    pub(super) fn sent(&mut self, id: u64) {
        if let Some(call) = self.open.get_mut(&id) {
            call.sent = true;
        }
    }

    /// The plugin has answered. False where there is no such call: there never was, or it is answered already.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) -> bool {
        let Some(call) = self.open.remove(&id) else { return false };
        self.untold.retain(|untold| *untold != id);
        if let Some(reply) = call.reply {
            let _ = reply.send(answer);
        }
        true
    }

    /// The plugin says how far it is. False where there is no such call.
    pub(super) fn progress(&self, id: u64, fraction: Option<f64>, text: String) -> bool {
        let Some(call) = self.open.get(&id) else { return false };
        match fraction {
            Some(fraction) => call.progress.report(fraction, text),
            None => call.progress.say(text),
        }
        true
    }

    /// Nobody waits for it any more. True where the plugin is to be told.
    pub(super) fn give_up(&mut self, id: u64, now: Instant) -> bool {
        let Some(call) = self.open.get_mut(&id) else { return false };
        if !call.sent {
            self.open.remove(&id);
            return false;
        }
        call.reply = None;
        call.progress = Progress::default();
        call.until = call.until.max(now) + HUNG;
        self.untold.push(id);
        true
    }

    /// Those that the plugin is to be told nobody waits for.
    pub(super) fn take_untold(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.untold)
    }

    /// When the plugin must have answered the first of those that nobody waits for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.values().filter(|call| call.reply.is_none()).map(|call| call.until).min()
    }

    /// Why there are no more calls.
    pub(super) fn why_over(&self) -> Option<String> {
        self.over.clone()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The plugin has ended: whoever waits learns of it.
    pub(super) fn end(&mut self, why: &str) {
        self.over.get_or_insert_with(|| why.to_owned());
        self.untold.clear();
        for (_, call) in std::mem::take(&mut self.open) {
            if let Some(reply) = call.reply {
                // What it has done of it nobody knows; `unavailable` would say that it was not begun.
                let code = if call.sent { ToolErrorCode::Failed } else { ToolErrorCode::Unavailable };
                let _ = reply.send(Err(ToolError::new(code, why)));
            }
        }
    }
}
