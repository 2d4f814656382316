//! The desk: where what the broker brings is answered. Calls of tools, mostly.
//!
//! Of a call it believes nothing: it may be retained (dropped, or every reconnect would run it again), may not be JSON,
//! may want its answer anywhere (honoured under `_reply/` alone), may come twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::{Context, Name, ToolCall, ToolError, ToolErrorCode, ToolOutcome, chain};
use tracing::{debug, warn};

use crate::calls::{Key, Ledger, MAX_RUNNING, Reply, Verdict};
use crate::connection::{Line, Listener};
use crate::link::{Fault, Incoming, Message};
use crate::wire::{self, Event, MAX_ID_BYTES, Place, Request, ResultFrame, Severity, Topics};

/// The deadline of a call that names none.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// The longest deadline; also how long an answer is remembered at most.
const MAX_DEADLINE: Duration = Duration::from_secs(3600);

/// What the node may take beyond a deadline to say so itself.
const GRACE: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    ctx: Context,
    topics: Topics,
    line: Line,
    ledger: Mutex<Ledger>,
    calls: AtomicU64,
    retained: AtomicU64,
}

/// A call on its way.
struct Case {
    call: ToolCall,
    key: Option<Key>,
    reply: Reply,
    deadline: Duration,
}

impl Desk {
    pub(crate) fn new(ctx: Context, topics: Topics, line: Line) -> Self {
        let ledger = Mutex::new(Ledger::default());
        let (calls, retained) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { ctx, topics, line, ledger, calls, retained }))
    }

    fn receive(&self, tool: &str, message: Incoming) {
        if message.retain {
            let count = self.0.retained.fetch_add(1, Ordering::Relaxed) + 1;
            debug!(topic = %message.topic, count, "A retained call was dropped.");
            return;
        }
        let otherwise = self.0.topics.result(tool);
        let reply = Reply::to(self.0.topics.base(), message.response_topic, message.correlation, otherwise);
        let request = match Request::parse(&message.payload) {
            Ok(request) => request,
            Err(error) => {
                return self.refuse(reply, self.fresh_id(), ToolErrorCode::BadRequest, chain(&error));
            }
        };
        let named = request.id.is_some();
        let id = request.id.unwrap_or_else(|| self.fresh_id());
        if message.expiry.is_some_and(|left| left.is_zero()) {
            return self.refuse(reply, id, ToolErrorCode::Expired, "the call's deadline has passed".into());
        }
        let name = match Name::new(tool) {
            Ok(name) => name,
            Err(error) => {
                return self.refuse(reply, id, ToolErrorCode::NotFound, format!("no such tool: {error}"));
            }
        };
        let from = request.from.or(message.from.filter(|from| (1..=MAX_ID_BYTES).contains(&from.len())));
        let from = from.unwrap_or_else(|| "mqtt".into());
        let deadline = message.expiry.unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE);
        let key = named.then(|| Key { from: from.clone(), tool: name.clone(), id: id.clone() });
        let call = ToolCall { tool: name, id, args: request.args, from, timeout: Some(deadline) };
        self.admit(Case { call, key, reply, deadline });
    }

    fn admit(&self, case: Case) {
        let verdict = self.ledger().admit(self.now(), case.key.as_ref(), &case.reply);
        match verdict {
            Verdict::Joined => {}
            Verdict::Again(payload) => self.answer(case.reply, payload),
            Verdict::Busy => {
                let text = format!("{MAX_RUNNING} calls run already; try again");
                self.refuse(case.reply, case.call.id, ToolErrorCode::Busy, text);
            }
            Verdict::Run => {
                let desk = self.clone();
                self.0.ctx.spawn(async move { desk.run(case).await });
            }
        }
    }

    async fn run(self, case: Case) {
        let Case { call, key, reply, deadline } = case;
        let (id, tool) = (call.id.clone(), call.tool.clone());
        let outcome = tokio::select! {
            outcome = self.0.ctx.call(call) => outcome,
            // The node keeps the deadline itself; should it not, the call must not hold its place for ever.
            () = self.0.ctx.sleep(deadline + GRACE) => {
                let error = ToolError::new(ToolErrorCode::Timeout, "the node did not answer in time");
                ToolOutcome { id: id.clone(), tool, result: Err(error), took: deadline }
            }
        };
        let payload = wire::json(&ResultFrame::new(ToolOutcome { id, ..outcome }, self.wall()));
        let replies = self.ledger().finish(key.as_ref(), &reply, &payload, self.now() + deadline);
        for reply in replies {
            self.answer(reply, payload.clone());
        }
    }

    fn refuse(&self, reply: Reply, id: String, code: ToolErrorCode, text: String) {
        let frame = ResultFrame::refused(id, ToolError::new(code, text), self.wall());
        self.answer(reply, wire::json(&frame));
    }

    fn answer(&self, reply: Reply, payload: Vec<u8>) {
        let (topic, correlation) = (reply.topic, reply.correlation);
        self.0.line.message(Message { topic, payload, json: true, correlation, ..Message::default() });
    }

    fn fresh_id(&self) -> String {
        let number = self.0.calls.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}-{number}", self.0.ctx.directory().node.boot)
    }

    fn now(&self) -> Duration {
        self.0.ctx.clock().up()
    }

    fn wall(&self) -> Option<i64> {
        self.0.ctx.clock().wall_ms()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Desk {
    fn up(&self) {
        self.0.ctx.degraded(None);
    }

    fn down(&self, fault: &Fault) {
        let reason = match fault {
            Fault::Login(_) | Fault::TakenOver(_) | Fault::Unsteady { .. } => fault.to_string(),
            fault => format!("broker unreachable: {fault}"),
        };
        self.0.ctx.degraded(Some(reason));
    }

    fn message(&self, message: Incoming) {
        match self.0.topics.base().place(&message.topic) {
            Some(Place::Call(_, tool)) => self.receive(&tool, message),
            _ => debug!(topic = %message.topic, "A message that nobody asked for."),
        }
    }

    fn dropped(&self, count: u64) {
        warn!(count, "Readings were dropped while they waited for the broker.");
        let kind = "readings_dropped";
        let event = Event {
            ts: self.wall(),
            kind: kind.into(),
            severity: Severity::Warning,
            text: format!("{count} readings were dropped: more waited for the broker than there is room for"),
            data: serde_json::json!({ "count": count }),
        };
        let (topic, payload) = (self.0.topics.event(kind), wire::json(&event));
        self.0.line.message(Message { topic, payload, json: true, ..Message::default() });
    }
}
