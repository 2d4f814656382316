//! The actor around a plugin: hands it one thing at a time, and watches how it takes it.
//!
//! Control messages (hooks that are asked, tool calls) come through the mailbox; observed messages come through the
//! plugin's own queues, which costs a channel's send and not a mailbox message. Neither can starve the other, or ticks.
//!
//! An actor ends by itself: when it is told to, when a handler hangs, after [`FAILURES`] failures in a row of one kind. A
//! panic is caught by kameo, which then runs [`on_stop`](Actor::on_stop) all the same. Whoever started it waits for its
//! end and decides what then.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kameo::Actor;
use kameo::actor::{ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, PanicError};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::{Context as KameoContext, Message};
use sedge_plugin::topic::Topic;
use sedge_plugin::topics::{Failure, OnError};
use sedge_plugin::{BoxFuture, Clock, Id, PluginError, ToolCall, ToolError, ToolErrorCode};
use serde_json::Value as Json;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tracing::{info, warn};

use super::lifecycle::End;
use super::wiring::{Hitch, Instance, Setup, Stop, stopped, within};
use crate::bus::Bus;
use crate::bus::table::{Ask, Payload, Reply};

/// Control messages that may wait for a plugin.
pub(crate) const MAILBOX: usize = 64;
/// Failures in a row, of ticks or of one topic, that end an actor.
const FAILURES: u32 = 3;
/// The least time that a tick gets: longer than the processors on the path of a reading may take.
const TICK_DEADLINE: Duration = Duration::from_secs(30);
/// Messages that are handed over before other things get their turn.
const BATCH: usize = 64;

/// What the keeper and the actor share: what the one sees of the other without asking.
#[derive(Default)]
pub(crate) struct Pulse {
    /// When the handler that runs now must be done, in milliseconds of the clock; 0 while none runs.
    busy_until: AtomicU64,
    /// Whether what runs now, or broke, was asked for by somebody who tells of its failure.
    asked: AtomicBool,
}

impl Pulse {
    /// By how much the handler that runs now is over its time.
    pub(crate) fn overdue(&self, now: Duration) -> Option<Duration> {
        let until = self.busy_until.load(Ordering::Relaxed);
        if until == 0 { None } else { now.checked_sub(Duration::from_millis(until)) }
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn busy_for_another(&self, now: Duration, deadline: Duration) {
        self.asked.store(true, Ordering::Relaxed);
        self.busy(now, deadline);
    }

    fn busy(&self, now: Duration, deadline: Duration) {
        let until = now.saturating_add(deadline).as_millis();
        self.busy_until.store(u64::try_from(until).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    fn idle(&self) {
        self.asked.store(false, Ordering::Relaxed);
        self.rest();
    }

    /// As [`idle`](Self::idle), and who asked for what broke is not forgotten.
    fn rest(&self) {
        self.busy_until.store(0, Ordering::Relaxed);
    }
}

/// What an actor is started with.
pub(crate) struct ActorArgs {
    pub(crate) id: Id,
    pub(crate) setup: Setup,
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) stop: Stop,
    pub(crate) setup_deadline: Duration,
    pub(crate) teardown_deadline: Duration,
    /// Told that the plugin runs.
    pub(crate) ready: oneshot::Sender<()>,
    /// Told what is amiss with its handlers.
    pub(crate) amiss: watch::Sender<Option<String>>,
}

/// A plugin that runs.
pub(crate) struct PluginActor {
    id: Id,
    instance: Box<dyn Instance>,
    bus: Bus,
    clock: Arc<dyn Clock>,
    pulse: Arc<Pulse>,
    stop: Stop,
    ticks: Option<Interval>,
    tick_deadline: Duration,
    teardown_deadline: Duration,
    /// Failures in a row, by what failed.
    failing: BTreeMap<&'static str, u32>,
    amiss: watch::Sender<Option<String>>,
    /// Why it ended, where it ended by itself.
    pub(crate) end: Option<End>,
}

impl Actor for PluginActor {
    type Args = ActorArgs;
    type Error = SetupError;

    async fn on_start(args: ActorArgs, _: ActorRef<Self>) -> Result<Self, SetupError> {
        args.pulse.busy(args.clock.up(), args.setup_deadline);
        let setup = tokio::select! {
            setup = tokio::time::timeout(args.setup_deadline, args.setup) => setup,
            // Still being set up: there is nothing to tear down.
            () = stopped(&args.stop) => return Err(SetupError(End::Stopped)),
        };
        args.pulse.idle();
        let instance = match setup {
            Ok(Ok(instance)) => instance,
            Ok(Err(error)) => return Err(SetupError(error.into())),
            Err(_) => {
                let why = format!("its setup did not end within {:?}", args.setup_deadline);
                return Err(SetupError(End::Failed(why)));
            }
        };
        let every = instance.every().filter(|every| !every.is_zero());
        let ticks = every.map(|every| {
            let mut ticks = tokio::time::interval_at(Instant::now(), every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks
        });
        // Nobody waits any more where the node is stopping; the stop is seen in `next`.
        let _ = args.ready.send(());
        Ok(Self {
            id: args.id,
            instance,
            bus: args.bus,
            clock: args.clock,
            pulse: args.pulse,
            stop: args.stop,
            ticks,
            tick_deadline: every.unwrap_or_default().max(TICK_DEADLINE),
            teardown_deadline: args.teardown_deadline,
            failing: BTreeMap::new(),
            amiss: args.amiss,
            end: None,
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> Result<Option<Signal<Self>>, SetupError> {
        while self.end.is_none() {
            tokio::select! {
                () = stopped(&self.stop) => return Ok(None),
                signal = mailbox.recv() => return Ok(signal),
                () = poll_fn(|cx| self.instance.poll_observed(cx)) => self.hand_over(BATCH).await,
                () = tick(&mut self.ticks) => self.tick().await,
            }
        }
        Ok(None)
    }

    async fn on_panic(
        &mut self,
        _: WeakActorRef<Self>,
        error: PanicError,
    ) -> Result<ControlFlow<ActorStopReason>, SetupError> {
        Ok(ControlFlow::Break(ActorStopReason::Panicked(error)))
    }

    async fn on_stop(&mut self, _: WeakActorRef<Self>, reason: ActorStopReason) -> Result<(), SetupError> {
        let deadline = self.teardown_deadline;
        // What was accepted before the stop is handed over first; a plugin that broke is not handed any more. Bounded:
        // the subscriptions are out of the table by now, so the queues only get shorter.
        if matches!(reason, ActorStopReason::Normal) && self.end.is_none() {
            let rest = async {
                while self.end.is_none() && self.instance.has_observed() {
                    self.hand_over(BATCH).await;
                }
            };
            if tokio::time::timeout(deadline, rest).await.is_err() {
                warn!(plugin = %self.id, after = ?deadline, "What was queued could not all be handed over in time.");
            }
        }
        self.pulse.busy(self.clock.up(), deadline);
        match tokio::time::timeout(deadline, self.instance.teardown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(plugin = %self.id, %error, "Teardown failed."),
            Err(_) => {
                warn!(plugin = %self.id, after = ?deadline, "Teardown did not end in time and was dropped.")
            }
        }
        self.pulse.rest();
        Ok(())
    }
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => pending().await,
    }
}

impl PluginActor {
    /// Hands observed messages to the plugin, at most so many; stops at the first that hung.
    async fn hand_over(&mut self, most: usize) {
        for _ in 0..most {
            let now = self.clock.up();
            let Some((deadline, message)) = self.instance.take_observed(&self.stop) else { return };
            self.pulse.busy(now, deadline);
            let handled = message.await;
            self.pulse.idle();
            self.tell_of(handled.topic, &handled.result);
            self.judge(handled.topic, handled.result);
            if self.end.is_some() {
                return;
            }
        }
        // There is more. A plugin that feeds itself must not keep the thread to itself.
        tokio::task::yield_now().await;
    }

    async fn tick(&mut self) {
        self.pulse.busy(self.clock.up(), self.tick_deadline);
        let result = within(self.tick_deadline, &self.stop, self.instance.tick()).await;
        self.pulse.idle();
        self.tell_of("tick", &result);
        self.judge("tick", result);
    }

    /// Tells of a failure that nobody else tells of.
    fn tell_of(&self, what: &'static str, result: &Result<(), Hitch>) {
        let error = match result {
            Err(Hitch::Failed(PluginError::Unmet(_)) | Hitch::Stopped) | Ok(()) => return,
            // One who fails to hear of failures would hear of that for ever.
            Err(_) if what == OnError::NAME => return,
            Err(Hitch::Failed(error)) => error.to_string(),
            Err(Hitch::Hung(after)) => format!("hung: it did not end within {after:?}"),
        };
        self.bus.tell::<OnError>(Failure { plugin: self.id.clone(), what: what.into(), error });
    }

    /// Counts what failed; ends the actor where it hung or failed too often in a row.
    fn judge(&mut self, what: &'static str, result: Result<(), Hitch>) {
        match result {
            Ok(()) if self.failing.is_empty() => {}
            Ok(()) => {
                let Some(failures) = self.failing.remove(what) else { return };
                info!(plugin = %self.id, what, failures, "Works again.");
                if self.failing.is_empty() {
                    self.amiss.send_replace(None);
                }
            }
            Err(Hitch::Failed(error)) => {
                let failures = self.failing.entry(what).or_default();
                *failures += 1;
                if *failures == 1 {
                    warn!(plugin = %self.id, %error, what, "A plugin reports a failure.");
                }
                match error {
                    PluginError::Unmet(why) => self.end = Some(End::Unmet(why.into())),
                    PluginError::Settings(why) => self.end = Some(End::Settings(why.into())),
                    PluginError::Failed(why) if *failures >= FAILURES => {
                        self.end = Some(End::Failed(format!("{why} ({FAILURES} times in a row)")));
                    }
                    PluginError::Failed(why) => {
                        self.amiss.send_replace(Some(why.into()));
                    }
                }
            }
            Err(Hitch::Hung(after)) => {
                let why = format!("its handler of `{what}` hung: it did not end within {after:?}");
                self.end = Some(End::Failed(why));
            }
            Err(Hitch::Stopped) => {
                warn!(plugin = %self.id, what, "A handler was dropped halfway at the stop.")
            }
        }
    }
}

/// Why an actor did not start; says so as an [`End`].
#[derive(Debug, Clone)]
pub(crate) struct SetupError(pub(crate) End);

impl From<PluginError> for End {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::Unmet(why) => Self::Unmet(why.into()),
            PluginError::Settings(why) => Self::Settings(why.into()),
            PluginError::Failed(why) => Self::Failed(why.into()),
        }
    }
}

/// Asks a hook.
pub(crate) struct AskHook {
    hook: usize,
    message: Payload,
    reply: oneshot::Sender<Result<Reply, PluginError>>,
}

impl Message<AskHook> for PluginActor {
    type Reply = ();

    async fn handle(&mut self, ask: AskHook, ctx: &mut KameoContext<Self, ()>) {
        if ask.reply.is_closed() {
            return; // Whoever asked has given up.
        }
        let Some(hook) = self.instance.hook(ask.hook) else { return };
        self.pulse.busy_for_another(self.clock.up(), hook.deadline);
        let result = self.instance.answer(ask.hook, ask.message, &self.stop).await;
        self.pulse.idle();
        let (reply, verdict) = match result {
            Ok(reply) => (Ok(reply), Ok(())),
            Err(Hitch::Failed(error)) => (Err(error.clone()), Err(Hitch::Failed(error))),
            Err(hitch) => (Err(PluginError::failed("it did not answer in time")), Err(hitch)),
        };
        let _ = ask.reply.send(reply);
        self.judge(hook.topic, verdict);
        if self.end.is_some() {
            ctx.stop();
        }
    }
}

/// Calls a tool.
pub(crate) struct CallTool {
    pub(crate) call: ToolCall,
    /// How long the whole call may take, and until when that is.
    pub(crate) limit: Duration,
    pub(crate) until: Instant,
    pub(crate) reply: oneshot::Sender<Result<Json, ToolError>>,
}

impl Message<CallTool> for PluginActor {
    type Reply = ();

    async fn handle(&mut self, mut message: CallTool, _: &mut KameoContext<Self, ()>) {
        if message.reply.is_closed() {
            return;
        }
        let left = message.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text = format!("the tool was not begun within {:?}", message.limit);
            let _ = message.reply.send(Err(ToolError::new(ToolErrorCode::Timeout, text)));
            return;
        }
        self.pulse.busy_for_another(self.clock.up(), left);
        // A caller that gives up, a limit that passes, or a stop drops the handler where it waits.
        let result = tokio::select! {
            result = tokio::time::timeout(left, self.instance.call(message.call)) => Some(result),
            () = message.reply.closed() => None,
            () = super::wiring::stopped_for_long(&self.stop) => None,
        };
        self.pulse.idle();
        let Some(result) = result else { return };
        let _ = message.reply.send(result.unwrap_or_else(|_| {
            let text = format!("the tool did not end within {:?}", message.limit);
            Err(ToolError::new(ToolErrorCode::Timeout, text))
        }));
    }
}

/// The way to an actor's mailbox.
#[derive(Clone)]
pub(crate) struct Mailbox(pub(crate) ActorRef<PluginActor>);

impl Ask for Mailbox {
    fn ask(
        &self,
        hook: usize,
        message: Payload,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Reply, PluginError>> {
        if self.0.is_current() {
            let why = "it would wait for itself: a handler fired a topic that its own plugin answers";
            return Box::pin(std::future::ready(Err(PluginError::failed(why))));
        }
        let (reply, answer) = oneshot::channel();
        let sent = self.0.tell(AskHook { hook, message, reply }).try_send();
        let until = Instant::now().checked_add(deadline);
        Box::pin(async move {
            if sent.is_err() {
                return Err(PluginError::failed("its mailbox is full or closed"));
            }
            let answer = match until {
                Some(until) => tokio::time::timeout_at(until, answer).await,
                None => Ok(answer.await),
            };
            match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(PluginError::failed("it stopped before it answered")),
                Err(_) => Err(PluginError::failed(format!("no answer within {deadline:?}"))),
            }
        })
    }
}
