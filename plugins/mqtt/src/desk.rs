//! The desk: where what the broker brings is answered. Calls of tools, mostly.
//!
//! Of a call it believes nothing: it may be retained (dropped, or every reconnect would run it again), may not be JSON,
//! may want its answer anywhere (honoured under `_reply/` alone), may come twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::{Context, Name, Progress, ToolCall, ToolError, ToolErrorCode, ToolOutcome, chain};
use tracing::{debug, info, warn};

use crate::calls::{Key, Ledger, MAX_RUNNING, Print, Reply, Verdict};
use crate::connection::{Line, Listener, Sleep};
use crate::discovery::Discovery;
use crate::link::{Fault, Incoming, Message};
use crate::lost::{self, Lost, Report};
use crate::wire::{self, Answer, Event, MAX_ID_BYTES, Place, Request, ResultFrame, Severity, Topics};

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
    discovery: Option<Discovery>,
    ledger: Mutex<Ledger>,
    calls: AtomicU64,
    retained: AtomicU64,
}

/// The caller at the node's own socket.
const RESERVED: &str = "cli";
/// The least time between two messages about the progress of one call.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);

/// A call on its way.
struct Case {
    call: ToolCall,
    key: Option<Key>,
    reply: Reply,
    deadline: Duration,
}

impl Desk {
    pub(crate) fn new(ctx: Context, topics: Topics, line: Line, discovery: Option<Discovery>) -> Self {
        let ledger = Mutex::new(Ledger::default());
        let (calls, retained) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { ctx, topics, line, discovery, ledger, calls, retained }))
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
                let id = Request::id_of(&message.payload).unwrap_or_else(|| self.fresh_id());
                return self.refuse(reply, id, ToolErrorCode::BadRequest, chain(&error));
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
        let from = match from.as_deref() {
            None => "mqtt".into(),
            // The name of who asks at the node's own socket: nobody else bears it.
            Some(RESERVED) => format!("mqtt:{RESERVED}"),
            Some(from) => from.to_owned(),
        };
        let deadline = message.expiry.unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE);
        let key = named.then(|| Key { from: from.clone(), id: id.clone() });
        let call = ToolCall { id, from, timeout: Some(deadline), ..ToolCall::new(name, request.args) };
        self.admit(Case { call, key, reply, deadline });
    }

    fn admit(&self, case: Case) {
        let print = Print::of(&case.call);
        let verdict = self.ledger().admit(self.now(), case.key.as_ref(), print, &case.reply);
        match verdict {
            Verdict::Joined => {}
            Verdict::Again(payload) => self.0.line.refusal(self.fitting(result(case.reply, payload))),
            Verdict::Another => {
                let text = format!("id `{}` was used for another call", case.call.id);
                self.refuse(case.reply, case.call.id, ToolErrorCode::BadRequest, text);
            }
            Verdict::Crowded => {
                let text = "too many wait for the answer to this call already; try again".into();
                self.refuse(case.reply, case.call.id, ToolErrorCode::Busy, text);
            }
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
        let Case { mut call, key, reply, deadline } = case;
        let (id, tool) = (call.id.clone(), call.tool.clone());
        call.progress = self.progress(&id, &reply);
        let outcome = tokio::select! {
            outcome = self.0.ctx.call(call) => outcome,
            // The node keeps the deadline itself; should it not, the call must not hold its place for ever.
            () = self.0.ctx.sleep(deadline + GRACE) => {
                let error = ToolError::new(ToolErrorCode::Timeout, "the node did not answer in time");
                ToolOutcome { id: id.clone(), tool, result: Err(error), took: deadline, by: None }
            }
        };
        let payload = wire::json(&ResultFrame::new(ToolOutcome { id, ..outcome }, self.wall()));
        let Message { payload, .. } = self.fitting(result(reply.clone(), payload));
        let replies = self.ledger().finish(key.as_ref(), &reply, &payload, self.now() + deadline);
        for reply in replies {
            self.0.line.message(self.fitting(result(reply, payload.clone())));
        }
    }

    /// Tells the caller how far the call is; some times a second, however often the tool says it.
    fn progress(&self, id: &str, reply: &Reply) -> Progress {
        let (desk, id, reply) = (self.clone(), id.to_owned(), reply.clone());
        let last = Mutex::new(None);
        Progress::to(move |update| {
            let Some(progress) = update.fraction else { return };
            let now = desk.now();
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| now.saturating_sub(last) < PROGRESS_PAUSE) {
                return;
            }
            *last = Some(now);
            let text = Some(update.text).filter(|text| !text.is_empty());
            let frame = ResultFrame { id: id.clone(), answer: Answer::Progress { progress, text } };
            desk.0.line.progress(result(reply.clone(), wire::json(&frame)));
        })
    }

    /// The message; where it is a result that is larger than the broker takes, one that says so.
    fn fitting(&self, message: Message) -> Message {
        if message.size() <= self.0.line.limit() {
            return message;
        }
        let payload = smaller(&message.payload);
        Message { payload: payload.unwrap_or_else(|| message.payload.clone()), ..message }
    }

    fn refuse(&self, reply: Reply, id: String, code: ToolErrorCode, text: String) {
        let frame = ResultFrame::refused(id, ToolError::new(code, text), self.wall());
        self.0.line.refusal(result(reply, wire::json(&frame)));
    }

    /// Tells of readings that are lost, for ever.
    pub(crate) async fn account(self, sleep: Sleep) {
        let waiting = Mutex::new(Lost::default());
        lost::account(self.0.line.clone(), sleep, |report| self.report(&waiting, report)).await;
    }

    /// `waiting` is what the event tells that may still wait to be sent.
    fn report(&self, waiting: &Mutex<Lost>, report: Report) {
        let (more, all) = match report {
            Report::More(lost) => {
                warn!(count = lost.total(), causes = lost.causes(), "Readings are lost.");
                (lost, None)
            }
            Report::Ended(all) => {
                info!(count = all.total(), "No more readings are lost.");
                (Lost::default(), Some(all))
            }
        };
        self.0.line.note(|still_waits| {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if !still_waits {
                *waiting = Lost::default();
            }
            *waiting += more;
            self.lost(&waiting, all)
        });
    }

    fn lost(&self, new: &Lost, all: Option<Lost>) -> Message {
        let kind = "readings_lost";
        let text = match all {
            None => format!("{} readings were lost: {}", new.total(), new.causes()),
            Some(all) => format!("no more readings are lost; it were {}: {}", all.total(), all.causes()),
        };
        let data = serde_json::json!({
            "count": new.total(),
            "dropped": new.dropped,
            "refused": new.refused,
            "too_large": new.too_large,
            "put_aside": new.put_aside,
            "ongoing": all.is_none(),
        });
        let severity = if all.is_none() { Severity::Warning } else { Severity::Info };
        let event = Event { ts: self.wall(), kind: kind.into(), severity, text, data };
        let (topic, payload) = (self.0.topics.event(kind), wire::json(&event));
        Message { topic, payload, json: true, ..Message::default() }
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
            _ if self.0.discovery.as_ref().is_some_and(|discovery| discovery.hears(&message)) => {}
            _ => debug!(topic = %message.topic, "A message that nobody asked for."),
        }
    }

    fn refusing(&self, reason: Option<&str>) {
        self.0.ctx.degraded(reason.map(|reason| format!("the broker refuses readings: {reason}")));
    }

    fn too_large(&self, message: Message) {
        if let Some(payload) = smaller(&message.payload) {
            self.0.line.message(Message { payload, ..message });
        }
    }
}

fn result(reply: Reply, payload: Vec<u8>) -> Message {
    let (topic, correlation) = (reply.topic, reply.correlation);
    Message { topic, payload, json: true, correlation, ..Message::default() }
}

/// What is said instead of a result that is too large; none where it is no result.
fn smaller(payload: &[u8]) -> Option<Vec<u8>> {
    let frame: ResultFrame = serde_json::from_slice(payload).ok()?;
    let Answer::Done { ms, ts, .. } = frame.answer else { return None };
    let text = format!("the result is {} bytes, more than can be sent", payload.len());
    let result = Err(ToolError::new(ToolErrorCode::Failed, text));
    let smaller = wire::json(&ResultFrame { id: frame.id, answer: Answer::Done { result, ms, ts } });
    (smaller.len() < payload.len()).then_some(smaller)
}
