//! The actor around a plugin: hands it one thing at a time, and watches how it takes it.
//!
//! Control messages (hooks that are asked, tool calls, stop) come through the mailbox; observed messages come through
//! the plugin's own queues and are handed over in batches, which costs a channel's send and not a mailbox message.
//!
//! An actor ends by itself: when it is told to, when a handler hangs, after [`FAILURES`] failures in a row. A panic is
//! caught by kameo, which then runs [`on_stop`](Actor::on_stop) all the same. Whoever started it waits for its end and
//! decides what then.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kameo::Actor;
use kameo::actor::{ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, PanicError};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::message::{Context as KameoContext, Message};
use sedge_plugin::{BoxFuture, Clock, Context, Id, PluginError, ToolCall, ToolError, ToolErrorCode};
use serde_json::Value as Json;
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tracing::{info, warn};

use super::lifecycle::End;
use super::wiring::{Hitch, Instance, Setup, within};
use crate::bus::table::{Ask, Edge, Payload, Reply};

/// Control messages that may wait for a plugin.
pub(crate) const MAILBOX: usize = 64;
/// Failures in a row that end an actor.
const FAILURES: u32 = 3;
/// The least time that a tick gets.
const TICK_DEADLINE: Duration = Duration::from_secs(5);

/// What the keeper and the actor share: what the one sees of the other without asking.
#[derive(Default)]
pub(crate) struct Pulse {
    /// When the handler that runs now must be done, in milliseconds of the clock; 0 while none runs.
    busy_until: AtomicU64,
}

impl Pulse {
    /// By how much the handler that runs now is over its time.
    pub(crate) fn overdue(&self, now: Duration) -> Option<Duration> {
        let until = self.busy_until.load(Ordering::Relaxed);
        if until == 0 { None } else { now.checked_sub(Duration::from_millis(until)) }
    }
}

/// What an actor is started with.
pub(crate) struct ActorArgs {
    pub(crate) id: Id,
    pub(crate) setup: Setup,
    pub(crate) context: Context,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) setup_deadline: Duration,
    pub(crate) teardown_deadline: Duration,
    /// Told that the plugin runs.
    pub(crate) ready: oneshot::Sender<()>,
}

/// A plugin that runs.
pub(crate) struct PluginActor {
    id: Id,
    instance: Box<dyn Instance>,
    context: Context,
    clock: Arc<dyn Clock>,
    pulse: Arc<Pulse>,
    ticks: Option<Interval>,
    tick_deadline: Duration,
    teardown_deadline: Duration,
    failures: u32,
    edge: Edge,
    /// Why it ended, where it ended by itself.
    pub(crate) end: Option<End>,
}

impl Actor for PluginActor {
    type Args = ActorArgs;
    type Error = SetupError;

    async fn on_start(args: ActorArgs, _: ActorRef<Self>) -> Result<Self, SetupError> {
        let instance = match within(args.setup_deadline, args.setup).await {
            Ok(instance) => instance,
            Err(Hitch::Failed(error)) => return Err(SetupError(error.into())),
            Err(Hitch::Hung(after)) => {
                return Err(SetupError(End::Failed(format!("its setup did not end within {after:?}"))));
            }
        };
        let every = instance.every().filter(|every| !every.is_zero());
        let ticks = every.map(|every| {
            let mut ticks = tokio::time::interval_at(Instant::now(), every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            ticks
        });
        // Nobody waits any more where the node is stopping; the stop comes through the mailbox.
        let _ = args.ready.send(());
        Ok(Self {
            id: args.id,
            instance,
            context: args.context,
            clock: args.clock,
            pulse: args.pulse,
            ticks,
            tick_deadline: every.unwrap_or_default().max(TICK_DEADLINE),
            teardown_deadline: args.teardown_deadline,
            failures: 0,
            edge: Edge::default(),
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
                biased;
                signal = mailbox.recv() => return Ok(signal),
                () = poll_fn(|cx| self.instance.poll_observed(cx)) => self.hand_over().await,
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
        // What was accepted before the stop is handed over first; a plugin that broke is not handed any more.
        if matches!(reason, ActorStopReason::Normal) && self.end.is_none() {
            self.finish_observed().await;
        }
        let deadline = self.teardown_deadline;
        self.busy(deadline);
        match within(deadline, self.instance.teardown()).await {
            Ok(()) => {}
            Err(Hitch::Failed(error)) => warn!(plugin = %self.id, %error, "Teardown failed."),
            Err(Hitch::Hung(after)) => {
                warn!(plugin = %self.id, ?after, "Teardown did not end in time and was dropped.")
            }
        }
        self.idle();
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
    async fn hand_over(&mut self) {
        let mut handled = Vec::new();
        // The batch stands under each message's own deadline; for the watch from outside that of all together counts.
        self.busy(TICK_DEADLINE);
        self.instance.hand_over(&mut handled).await;
        self.idle();
        for message in handled {
            self.judge(message.topic, message.result);
        }
    }

    /// Bounded: the subscriptions are out of the table by now, so the queues only get shorter.
    async fn finish_observed(&mut self) {
        let mut handled = Vec::new();
        let rest = async {
            while self.instance.has_observed() && !handled.iter().any(hung) {
                self.instance.hand_over(&mut handled).await;
            }
            Ok(())
        };
        if let Err(Hitch::Hung(after)) = within(self.teardown_deadline, rest).await {
            warn!(plugin = %self.id, ?after, "What was queued could not all be handed over in time.");
        }
    }

    async fn tick(&mut self) {
        let deadline = self.tick_deadline;
        self.busy(deadline);
        let result = within(deadline, self.instance.tick()).await;
        self.idle();
        self.judge("tick", result);
    }

    /// Counts what failed; ends the actor where it hung or failed too often in a row.
    fn judge(&mut self, what: &str, result: Result<(), Hitch>) {
        match result {
            Ok(()) => {
                self.failures = 0;
                if let Some(failures) = self.edge.recovered() {
                    info!(plugin = %self.id, failures, "Works again.");
                    self.context.degraded(None);
                }
            }
            Err(Hitch::Failed(error)) => {
                self.failures += 1;
                let first = self.edge.failed();
                if first {
                    warn!(plugin = %self.id, %error, what, "A plugin reports a failure.");
                }
                match error {
                    PluginError::Unmet(why) => self.end = Some(End::Unmet(why.into())),
                    PluginError::Settings(why) => self.end = Some(End::Settings(why.into())),
                    PluginError::Failed(why) if self.failures >= FAILURES => {
                        self.end = Some(End::Failed(format!("{why} ({FAILURES} times in a row)")));
                    }
                    PluginError::Failed(why) => self.context.degraded(Some(why.into())),
                }
            }
            Err(Hitch::Hung(after)) => {
                self.end = Some(End::Failed(format!(
                    "its handler of `{what}` hung: it did not end within {after:?}"
                )));
            }
        }
    }

    fn busy(&self, deadline: Duration) {
        let until = self.clock.up() + deadline;
        self.pulse
            .busy_until
            .store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    fn idle(&self) {
        self.pulse.busy_until.store(0, Ordering::Relaxed);
    }
}

fn hung(handled: &super::wiring::Handled) -> bool {
    matches!(handled.result, Err(Hitch::Hung(_)))
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

impl From<Infallible> for SetupError {
    fn from(never: Infallible) -> Self {
        match never {}
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
        self.busy(TICK_DEADLINE);
        let result = self.instance.answer(ask.hook, ask.message).await;
        self.idle();
        let (reply, verdict) = match result {
            Ok(reply) => (Ok(reply), Ok(())),
            Err(Hitch::Failed(error)) => (Err(error.clone()), Err(Hitch::Failed(error))),
            Err(Hitch::Hung(after)) => {
                (Err(PluginError::failed(format!("no answer within {after:?}"))), Err(Hitch::Hung(after)))
            }
        };
        let _ = ask.reply.send(reply);
        self.judge("hook", verdict);
        if self.end.is_some() {
            ctx.stop();
        }
    }
}

/// Calls a tool.
pub(crate) struct CallTool {
    pub(crate) call: ToolCall,
    pub(crate) limit: Duration,
    pub(crate) reply: oneshot::Sender<Result<Json, ToolError>>,
}

impl Message<CallTool> for PluginActor {
    type Reply = ();

    async fn handle(&mut self, mut message: CallTool, _: &mut KameoContext<Self, ()>) {
        if message.reply.is_closed() {
            return;
        }
        self.busy(message.limit);
        // A caller that gives up, or a limit that passes, drops the handler where it waits.
        let result = tokio::select! {
            result = tokio::time::timeout(message.limit, self.instance.call(message.call)) => Some(result),
            () = message.reply.closed() => None,
        };
        self.idle();
        let Some(result) = result else { return };
        let _ = message.reply.send(result.unwrap_or_else(|_| {
            Err(ToolError::new(
                ToolErrorCode::Timeout,
                format!("the tool did not end within {:?}", message.limit),
            ))
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
        let (reply, answer) = oneshot::channel();
        let sent = self.0.tell(AskHook { hook, message, reply }).try_send();
        Box::pin(async move {
            if sent.is_err() {
                return Err(PluginError::failed("its mailbox is full or closed"));
            }
            match tokio::time::timeout(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(PluginError::failed("it stopped before it answered")),
                Err(_) => Err(PluginError::failed(format!("no answer within {deadline:?}"))),
            }
        })
    }
}
