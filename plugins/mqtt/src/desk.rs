//! The desk: where what the broker brings is answered. Calls of tools, mostly.
//!
//! Of a call it believes nothing: it may be retained (dropped, or every reconnect would run it again), may not be JSON,
//! may want its answer anywhere (honoured under `_reply/` alone), may come twice, may bear another's name (the
//! [gate](crate::gate) decides that). What it refuses is counted, and told for the audit log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::topics::{CallRecord, CallRecorded};
use sedge_plugin::{Context, Cursor, Name, Progress, ToolCall, ToolError, ToolErrorCode, ToolOutcome, chain};
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use crate::calls::{Key, Ledger, MAX_RUNNING, Print, Reply, Verdict};
use crate::connection::{Listener, Sleep};
use crate::discovery::Discovery;
use crate::gate::{CallRules, Coming, Gate, Refusal, Who};
use crate::line::Line;
use crate::link::{Fault, Incoming, JSON, Message};
use crate::lost::{self, Report};
use crate::nonces::{Claim, Claims, Stale, claims};
use crate::tally::{Reason, Tally};
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
    gate: Gate,
    claims: Claims,
    tally: Tally,
}

/// The least time between two messages about the progress of one call.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);

/// A call on its way.
struct Case {
    call: ToolCall,
    key: Option<Key>,
    reply: Reply,
    deadline: Duration,
    who: Who,
}

/// What is known of a call that is refused.
struct Told<'a> {
    tool: &'a str,
    id: String,
    args: Option<&'a Json>,
}

impl Desk {
    /// A desk, and where it puts the nonces that are to be [kept](crate::nonces::keep).
    pub(crate) fn new(
        ctx: Context,
        topics: Topics,
        line: Line,
        rules: CallRules,
        discovery: Option<Discovery>,
    ) -> (Self, mpsc::Receiver<Claim>) {
        let ledger = Mutex::new(Ledger::default());
        let gate = Gate::new(ctx.directory().node.id.clone(), rules);
        let (tally, calls) = (Tally::new(&ctx), AtomicU64::new(0));
        let (claims, inbox) = claims();
        let inner = Inner { ctx, topics, line, discovery, ledger, calls, gate, claims, tally };
        (Self(Arc::new(inner)), inbox)
    }

    fn receive(&self, tool: &str, message: Incoming) {
        if message.retain {
            debug!(topic = %message.topic, "A retained call was dropped.");
            let told = Told { tool, id: String::new(), args: None };
            let text = "a call that the broker keeps is not run".to_owned();
            let refusal = self.stranger(Reason::Retained, ToolErrorCode::BadRequest, text, None);
            return self.record(&told, &refusal); // Nobody waits for the answer any more.
        }
        let otherwise = self.0.topics.result(tool);
        let reply = Reply::to(self.0.topics.base(), message.response_topic, message.correlation, otherwise);
        let says = message.from.filter(|from| (1..=MAX_ID_BYTES).contains(&from.len()));
        let request = match Request::parse(&message.payload) {
            Ok(request) => request,
            Err(error) => {
                let id = Request::id_of(&message.payload).unwrap_or_else(|| self.fresh_id());
                let told = Told { tool, id, args: None };
                let text = chain(&error);
                let refusal = self.stranger(Reason::Malformed, ToolErrorCode::BadRequest, text, says);
                return self.refuse(reply, told, refusal);
            }
        };
        let named = request.id.is_some();
        let id = request.id.unwrap_or_else(|| self.fresh_id());
        let told = Told { tool, id: id.clone(), args: Some(&request.args) };
        let from = request.from.or(says);
        if message.expiry.is_some_and(|left| left.is_zero()) {
            let text = "the call's deadline has passed".into();
            let refusal = self.stranger(Reason::Expired, ToolErrorCode::Expired, text, from);
            return self.refuse(reply, told, refusal);
        }
        let name = match Name::new(tool) {
            Ok(name) => name,
            Err(error) => {
                let text = format!("no such tool: {error}");
                let refusal = self.stranger(Reason::NoTool, ToolErrorCode::NotFound, text, from);
                return self.refuse(reply, told, refusal);
            }
        };
        let coming = Coming { tool: &name, from, sig: request.sig };
        let who = match self.0.gate.admit(coming, &self.0.ctx.directory(), self.now(), self.wall()) {
            Ok(who) => who,
            Err(refusal) => return self.refuse(reply, told, refusal),
        };
        // Of a signed call only what is signed counts: under another id it would be the same call.
        let own = match &who.signature {
            Some(signature) => Some(signature.nonce.as_str().to_owned()),
            None => named.then(|| id.clone()),
        };
        let deadline = message.expiry.unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE);
        let key = own.map(|id| Key { from: who.from.clone(), id });
        let (from, verified) = (who.from.clone(), who.signature.is_some());
        let call =
            ToolCall { id, from, verified, timeout: Some(deadline), ..ToolCall::new(name, request.args) };
        self.admit(Case { call, key, reply, deadline, who });
    }

    fn admit(&self, case: Case) {
        let print = Print::of(&case.call);
        let verdict = self.ledger().admit(self.now(), case.key.as_ref(), print, &case.reply);
        let (code, text) = match verdict {
            Verdict::Joined => return,
            Verdict::Again(payload) => return self.0.line.refusal(self.fitting(result(case.reply, payload))),
            Verdict::Another => {
                (ToolErrorCode::BadRequest, format!("id `{}` was used for another call", case.call.id))
            }
            Verdict::Crowded => {
                (ToolErrorCode::Busy, "too many wait for the answer to this call already; try again".into())
            }
            Verdict::Busy => (ToolErrorCode::Busy, format!("{MAX_RUNNING} calls run already; try again")),
            Verdict::Run => {
                let desk = self.clone();
                return self.0.ctx.spawn(async move { desk.begin(case).await });
            }
        };
        let Case { call, reply, who, .. } = case;
        let told = Told { tool: call.tool.as_str(), id: call.id, args: Some(&call.args) };
        self.refuse(reply, told, Refusal { reason: Reason::Busy, code, text, who, told: true });
    }

    /// Runs a call, once it is certain that it will not be run again.
    async fn begin(self, case: Case) {
        let stale = match &case.who.signature {
            Some(signature) => self.claim(Claim::of(signature), case.deadline).await.err(),
            None => None,
        };
        let Some(stale) = stale else { return self.run(case).await };
        let Case { call, key, reply, who, .. } = case;
        let (reason, code) = match stale {
            Stale::Replayed | Stale::TooOld => (Reason::Replayed, ToolErrorCode::Denied),
            Stale::Full => (Reason::Busy, ToolErrorCode::Busy),
            Stale::NotKept(_) => (Reason::Busy, ToolErrorCode::Unavailable),
        };
        let refusal = Refusal { reason, code, text: stale.to_string(), who, told: true };
        let told = Told { tool: call.tool.as_str(), id: call.id, args: Some(&call.args) };
        self.record(&told, &refusal);
        let replies = self.ledger().withdraw(key.as_ref(), &reply);
        for reply in replies {
            self.answer(reply, &told.id, &refusal);
        }
    }

    async fn claim(
        &self,
        (claim, kept): (Claim, oneshot::Receiver<Result<(), Stale>>),
        deadline: Duration,
    ) -> Result<(), Stale> {
        let gone = || Stale::NotKept("nobody keeps it".into());
        self.0.claims.try_send(claim).map_err(|_| gone())?;
        tokio::select! {
            kept = kept => kept.unwrap_or_else(|_| Err(gone())),
            () = self.0.ctx.sleep(deadline) => Err(Stale::NotKept("the disk is too slow".into())),
        }
    }

    async fn run(self, case: Case) {
        let Case { mut call, key, reply, deadline, .. } = case;
        let (id, tool) = (call.id.clone(), call.tool.clone());
        call.progress = self.progress(&id, &reply);
        let outcome = tokio::select! {
            outcome = self.0.ctx.call(call) => outcome,
            // The node keeps the deadline itself; should it not, the call must not hold its place for ever.
            () = self.0.ctx.sleep(deadline + GRACE) => {
                let error = ToolError::new(ToolErrorCode::Timeout, "the node did not answer in time");
                ToolOutcome { id: id.clone(), node: None, tool, result: Err(error), took: deadline, by: None }
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

    /// The refusal of somebody who may be anybody.
    fn stranger(&self, reason: Reason, code: ToolErrorCode, text: String, from: Option<String>) -> Refusal {
        let who = Who { from: self.0.gate.named(from), signature: None };
        self.0.gate.refusal(reason, code, text, who, self.now())
    }

    fn refuse(&self, reply: Reply, told: Told<'_>, refusal: Refusal) {
        self.record(&told, &refusal);
        self.answer(reply, &told.id, &refusal);
    }

    fn answer(&self, reply: Reply, id: &str, refusal: &Refusal) {
        let frame = ResultFrame::refused(id, ToolError::new(refusal.code, &*refusal.text), self.wall());
        self.0.line.refusal(result(reply, wire::json(&frame)));
    }

    /// Counts a refusal, and tells of it where it is to be told.
    fn record(&self, told: &Told<'_>, refusal: &Refusal) {
        self.0.tally.count(refusal.reason);
        if !refusal.told {
            return;
        }
        let record = CallRecord {
            tool: told.tool.into(),
            id: told.id.clone(),
            from: refusal.who.from.clone(),
            verified: refusal.who.signature.is_some(),
            args: told.args.cloned(),
            outcome: Err(ToolError::new(refusal.code, &*refusal.text)),
        };
        let ctx = self.0.ctx.clone();
        self.0.ctx.spawn(async move { ctx.publish::<CallRecorded>(record).await });
    }

    /// Tells of readings that are lost, for ever.
    pub(crate) async fn account(self, cursor: Cursor, sleep: Sleep) {
        lost::account(cursor, sleep, |report| self.report(report)).await;
    }

    fn report(&self, report: Report) {
        match report {
            Report::More(count, losses) => {
                // All that people were not told of yet, these among them.
                warn!(new = count, causes = lost::causes(&losses), "Readings are lost.");
                let count = lost::count(&losses);
                let text = format!("{count} readings were lost: {}", lost::causes(&losses));
                let data = json!({ "count": count, "ongoing": true, "losses": lost::data(&losses) });
                let all = self.lost(Severity::Warning, text.clone(), data);
                // The number arrives in any case.
                let note = match all.size() > self.0.line.limit() {
                    true => self.lost(
                        Severity::Warning,
                        String::new(),
                        json!({ "count": count, "ongoing": true }),
                    ),
                    false => all,
                };
                self.0.line.note(note, losses);
            }
            Report::Ended(count) => {
                info!(count, "No more readings are lost.");
                let text = format!("no more readings are lost; it were {count}");
                let data = json!({ "count": 0, "ongoing": false });
                self.0.line.message(self.lost(Severity::Info, text, data));
            }
        }
    }

    fn lost(&self, severity: Severity, text: String, data: Json) -> Message {
        let kind = "readings_lost";
        let event = Event { ts: self.wall(), kind: kind.into(), severity, text, data };
        let (topic, payload) = (self.0.topics.event(kind), wire::json(&event));
        Message { topic, payload, content_type: JSON, ..Message::default() }
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
            Fault::Login(_) | Fault::Tls(_) | Fault::TakenOver(_) | Fault::Unsteady { .. } => {
                fault.to_string()
            }
            fault => format!("broker unreachable: {fault}"),
        };
        self.0.ctx.degraded(Some(reason));
    }

    fn deaf(&self) {
        let reason = "the broker cuts the connection when the node subscribes to its calls: its tools cannot be called";
        self.0.ctx.degraded(Some(reason.into()));
    }

    fn message(&self, message: Incoming) {
        match self.0.topics.base().place(&message.topic) {
            Some(Place::Call(_, tool)) => self.receive(&tool, message),
            _ if self.0.discovery.as_ref().is_some_and(|discovery| discovery.hears(&message)) => {}
            _ => {
                self.0.tally.count(Reason::Foreign);
                debug!(topic = %message.topic, "A message that nobody asked for.");
            }
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
    Message { topic, payload, content_type: JSON, correlation, ..Message::default() }
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
