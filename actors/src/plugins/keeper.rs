//! Keeps one plugin alive: starts it, waits for its end, starts it again as the [lifecycle](super::lifecycle) says.
//!
//! One task per plugin. A start is a fresh actor, begun when the former one's teardown is over: what kameo's own
//! supervision would do at the same time happens one after the other here, so exclusive hardware is free again. The
//! keeper does nothing else, so nothing can hold up a restart.
//!
//! A handler that blocks its thread cannot be ended from outside. It is given up: the thread is left to itself, the
//! plugin is started anew, once; should that block as well, the plugin rests until the first one returns.

mod telling;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kameo::actor::{ActorRef, PreparedActor};
use kameo::error::{ActorStopReason, PanicError};
use kameo::mailbox;
use sedge_plugin::topics::{Failure, OnError};
use sedge_plugin::{Context, Id, State};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::actor::{ActorArgs, MAILBOX, Mailbox, PluginActor, Pulse, SetupError};
use super::host::PluginHost;
use super::lifecycle::{End, Lifecycle, Todo};
use super::roll::{Seat, Voice};
use super::spec::{PluginSpec, Standing};
use super::wiring::{Order, Subscribe};
use crate::bus::{self, table::Ask};
use crate::state::NodeState;
use crate::tools::{ToolRegistry, Wake};

/// Blocked threads that a plugin may leave behind before it is not started any more.
const MOST_ABANDONED: usize = 2;
/// By how much a handler must be over its time before it counts as blocking its thread.
const GRACE: Duration = Duration::from_secs(5);

type Run = JoinHandle<Result<(PluginActor, ActorStopReason), PanicError>>;

/// The hand on a keeper.
pub(crate) struct Kept {
    pub(crate) id: Id,
    /// What a reload compares.
    pub(crate) fingerprint: (u64, Standing),
    stop: watch::Sender<bool>,
    first: Option<oneshot::Receiver<()>>,
    task: JoinHandle<()>,
    patience: Duration,
    /// Asked for while there is a hand on it.
    _seat: Seat,
}

impl Kept {
    /// Waits until the plugin's first start has ended, well or not; at most as long as given.
    pub(crate) async fn first_start(&mut self, at_most: Duration) {
        if let Some(first) = self.first.take() {
            // Taking longer is no failure: the plugin goes on starting while the next one begins.
            let _ = tokio::time::timeout(at_most, first).await;
        }
    }

    /// Stops the plugin and waits for its end; not longer than it was given.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(self.patience, &mut self.task).await.is_err() {
            warn!(plugin = %self.id, after = ?self.patience, "Did not stop in time and was left behind.");
            self.task.abort();
        }
    }
}

/// Begins to keep a plugin.
pub(crate) fn keep(spec: PluginSpec, state: Arc<NodeState>, tools: ToolRegistry) -> Kept {
    let (stop, stopped) = watch::channel(false);
    let (first_done, first) = oneshot::channel();
    let id = spec.id.clone();
    let fingerprint = (spec.fingerprint, spec.standing.clone());
    // The handler that runs, what is left in the queues, the teardown: each has its time; before that its services.
    let patience = (spec.teardown_deadline * 2 + GRACE) * if spec.service_of.is_some() { 1 } else { 2 };
    let (seat, voice) = state.roll.enter(&id);
    let keeper = Keeper {
        orders: state.bus.next_orders(),
        life: Lifecycle::new(spec.policy),
        wake: spec.idle.map(|_| Arc::default()),
        services: Vec::new(),
        failure_told: false,
        spec,
        state,
        tools,
        stopped,
        first_done: Some(first_done),
        dropped: Arc::default(),
        told_dropped: 0,
        dropping: false,
        amiss: false,
        abandoned: Vec::new(),
        since: (State::Discovered, None),
        voice,
    };
    let task = tokio::spawn(keeper.run());
    Kept { id, fingerprint, stop, first: Some(first), task, patience, _seat: seat }
}

/// A start of a plugin that runs, or is being set up.
struct Live {
    actor: ActorRef<PluginActor>,
    run: Run,
    /// Told once that the set-up is over.
    well: oneshot::Receiver<()>,
    pulse: Arc<Pulse>,
    host: Arc<PluginHost>,
    stop: watch::Sender<bool>,
    /// What its handlers make of it, and what it says of itself.
    amiss: [watch::Receiver<Option<String>>; 2],
    /// Told why it is over, where that is not told by a handler.
    broken: watch::Receiver<Option<String>>,
    /// Subscribed to when the set-up is over.
    after: Vec<Subscribe>,
    has_tools: bool,
    describes: bool,
    /// Started when the set-up is over.
    services: Vec<PluginSpec>,
}

struct Keeper {
    spec: PluginSpec,
    /// Where its registrations count from: the same after a restart, so that ties keep their order.
    orders: u64,
    life: Lifecycle,
    state: Arc<NodeState>,
    tools: ToolRegistry,
    stopped: watch::Receiver<bool>,
    first_done: Option<oneshot::Sender<()>>,
    dropped: Arc<AtomicU64>,
    told_dropped: u64,
    dropping: bool,
    /// The state that was told last, and since when it is so.
    since: (State, Option<i64>),
    /// Whether the log was told that it runs with something amiss, by its own words.
    amiss: bool,
    /// Starts whose threads are blocked.
    abandoned: Vec<Run>,
    /// Of a plugin that is started on demand: who calls.
    wake: Option<Arc<Wake>>,
    /// What runs while it does.
    services: Vec<Kept>,
    /// Whether those who care were told of the failure that ended it.
    failure_told: bool,
    /// With which it answers that it is at work.
    voice: Voice,
}

impl Keeper {
    async fn run(mut self) {
        if let Standing::Barred { state, reason } = &self.spec.standing {
            self.life.barred(*state, reason.clone());
            self.tell(None);
            return;
        }
        loop {
            if !(self.has_what_it_needs().await && self.is_wanted().await) {
                self.life.ended(End::Stopped, self.state.clock.up(), 0.0);
                self.tell(None);
                return;
            }
            let end = self.live_once().await;
            self.first_done = None; // Whoever waited for the first start goes on.
            let before = self.standing();
            if let (End::Failed(error) | End::Settings(error), false) = (&end, self.failure_told) {
                let what = if before.0.is_active() { "plugin" } else { "setup" };
                let (plugin, error) = (self.spec.id.clone(), error.clone());
                self.state.bus.tell::<OnError>(Failure { plugin, what: what.into(), error });
            }
            let todo = self.life.ended(end, self.state.clock.up(), fastrand::f64());
            self.tell(Some(before));
            if self.life.state() == State::Failed {
                // It does not come back until the config changes, so it has nothing to offer; nor have its services.
                for id in self.state.with_services(&self.spec.id) {
                    self.tools.remove(&id);
                    self.state.withdraw_all(&id);
                }
            }
            match todo {
                Todo::Nothing => return,
                Todo::StartAfter(pause) => {
                    tokio::select! {
                        () = self.voice.meanwhile(tokio::time::sleep(pause)) => {}
                        () = told_to_stop(&mut self.stopped) => {
                            self.life.ended(End::Stopped, self.state.clock.up(), 0.0);
                            self.tell(None);
                            return;
                        }
                    }
                }
            }
        }
    }

    /// One start, one run, one end.
    async fn live_once(&mut self) -> End {
        self.failure_told = false;
        if *self.stopped.borrow() {
            return End::Stopped;
        }
        self.abandoned.retain(|run| !run.is_finished());
        if self.abandoned.len() >= MOST_ABANDONED {
            return End::Failed(format!(
                "{MOST_ABANDONED} threads are blocked by it; waiting for one to return"
            ));
        }
        self.life.starting();
        if self.life.state() == State::Starting {
            self.tell(None);
        }
        let live = match self.begin() {
            Ok(live) => live,
            Err(end) => return end,
        };
        let (host, describes) = (live.host.clone(), live.describes);
        let end = self.watch(live).await;
        self.stop_services().await;
        self.state.bus.unsubscribe(&self.spec.id);
        // First, so that no task of this start lists anything anew.
        host.end();
        self.tools.suspend(&self.spec.id, self.wake.as_ref());
        if describes && !*self.stopped.borrow() {
            self.state.describe_again();
        }
        end
    }

    async fn stop_services(&mut self) {
        // All at once: together they take as long as the slowest.
        for service in &self.services {
            service.stop.send_replace(true);
        }
        while let Some(service) = self.services.pop() {
            self.voice.meanwhile(service.stop()).await;
        }
    }

    /// Starts a fresh actor.
    fn begin(&self) -> Result<Live, End> {
        let (own, own_rx) = watch::channel(None);
        let (broken, broken_rx) = watch::channel(None);
        let host = Arc::new(PluginHost::new(self.state.clone(), self.tools.clone(), own, broken));
        let context = Context::new(self.spec.id.clone(), host.clone());
        let mut orders = self.orders..;
        let order: Order = Box::new(move || orders.next().unwrap_or(u64::MAX));
        let make = || (self.spec.start)(context.clone(), self.dropped.clone(), order);
        let start = catch_unwind(AssertUnwindSafe(make)).map_err(|panic| {
            End::Failed(format!("its hooks panicked: {}", bus::panic_text(panic.as_ref())))
        })?;
        let prepared = PreparedActor::<PluginActor>::new(mailbox::bounded(MAILBOX));
        let actor = prepared.actor_ref().clone();
        let (ready, well) = oneshot::channel();
        let (amiss, amiss_rx) = watch::channel(None);
        let (stop, stop_rx) = watch::channel(false);
        let pulse = Arc::new(Pulse::default());
        let args = ActorArgs {
            id: self.spec.id.clone(),
            setup: start.setup,
            bus: self.state.bus.clone(),
            clock: self.state.clock.clone(),
            pulse: pulse.clone(),
            stop: stop_rx,
            setup_deadline: self.spec.setup_deadline,
            teardown_deadline: self.spec.teardown_deadline,
            ready,
            amiss,
        };
        self.subscribe(start.before, &actor);
        let run = prepared.spawn(args);
        Ok(Live {
            actor,
            run,
            well,
            pulse,
            host,
            stop,
            amiss: [amiss_rx, own_rx],
            broken: broken_rx,
            after: start.after,
            has_tools: start.has_tools,
            describes: start.describes,
            services: start.services,
        })
    }

    /// Watches an actor until it has ended, its teardown included; or until it is given up.
    async fn watch(&mut self, mut live: Live) -> End {
        let mut stopping = None;
        let mut look = tokio::time::interval(self.spec.policy.watch.max(Duration::from_millis(1)));
        loop {
            let [handlers, own] = &mut live.amiss;
            tokio::select! {
                biased;
                () = self.voice.answer() => {}
                Ok(()) = &mut live.well, if !live.well.is_terminated() => {
                    self.subscribe(std::mem::take(&mut live.after), &live.actor);
                    self.started(&mut live);
                }
                ended = &mut live.run => {
                    // A handler that failed was told of when it did.
                    let (end, told) = end_of(ended);
                    self.failure_told = told || live.pulse.was_asked();
                    return match (stopping, &*live.broken.borrow()) {
                        (Some(end), _) => end,
                        (None, Some(reason)) => End::Failed(reason.clone()),
                        (None, None) => end,
                    };
                }
                Ok(()) = handlers.changed() => self.weigh(&live),
                Ok(()) = own.changed() => self.weigh(&live),
                Ok(()) = live.broken.changed() => { live.stop.send_replace(true); }
                () = told_to_stop(&mut self.stopped), if stopping.is_none() => {
                    stopping = Some(End::Stopped);
                    self.stop_services().await;
                    // Nothing new comes in; what is queued is handed over before the teardown.
                    self.state.bus.unsubscribe(&self.spec.id);
                    live.stop.send_replace(true);
                }
                _ = look.tick() => {
                    self.tell_of_drops();
                    if stopping.is_none() && live.well.is_terminated() && self.is_idle(&live.actor) {
                        stopping = Some(End::Idle);
                        self.stop_services().await;
                        self.state.bus.unsubscribe(&self.spec.id);
                        live.stop.send_replace(true);
                    }
                    if let Some(over) = live.pulse.overdue(self.state.clock.up()).filter(|over| *over > GRACE) {
                        return self.abandon(live.run, over);
                    }
                }
            }
        }
    }

    /// Takes over what is amiss: with its handlers, or by its own words.
    fn weigh(&mut self, live: &Live) {
        let reason = live.amiss.iter().find_map(|amiss| amiss.borrow().clone());
        let before = self.standing();
        self.life.degraded(reason);
        // What is amiss with its handlers was told by the actor; what it says itself nobody has told yet.
        let own = live.amiss[1].borrow().clone();
        match (own, self.amiss) {
            (Some(reason), false) => {
                warn!(plugin = %self.spec.id, reason, "Runs with something amiss.");
                self.amiss = true;
            }
            (None, true) => {
                info!(plugin = %self.spec.id, "Is well again.");
                self.amiss = false;
            }
            _ => {}
        }
        if before != self.standing() {
            self.tell(Some(before));
        }
    }

    fn standing(&self) -> (State, Option<String>) {
        (self.life.state(), self.life.reason().map(str::to_owned))
    }

    /// Puts subscriptions into the table, all at once.
    fn subscribe(&self, hooks: Vec<Subscribe>, actor: &ActorRef<PluginActor>) {
        if !hooks.is_empty() {
            let asker: Arc<dyn Ask> = Arc::new(Mailbox(actor.clone()));
            let id = &self.spec.id;
            self.state.bus.update(|table| hooks.into_iter().for_each(|hook| hook(table, id, &asker)));
        }
    }

    fn started(&mut self, live: &mut Live) {
        let before = self.standing();
        self.life.started(self.state.clock.up());
        // It may have said something of itself while it was being set up.
        self.life.degraded(live.amiss.iter().find_map(|amiss| amiss.borrow().clone()));
        self.tell(Some(before));
        if live.describes {
            self.state.describe_again();
        }
        for service in std::mem::take(&mut live.services) {
            self.serve(service);
        }
        let first_done = self.first_done.take();
        if live.has_tools {
            // Not awaited here: the plugin may take its time, and its keeper must stay awake.
            let (tools, id, actor) = (self.tools.clone(), self.spec.id.clone(), live.actor.clone());
            tokio::spawn(async move {
                tools.add(&id, actor).await;
                drop(first_done);
            });
        }
    }

    /// Starts a service, unless its id is another's.
    fn serve(&mut self, service: PluginSpec) {
        let directory = self.state.directory();
        let other = directory.plugins.get(&service.id);
        if self.services.iter().any(|kept| kept.id == service.id)
            || other.is_some_and(|other| other.service_of.as_ref() != Some(&self.spec.id))
        {
            let error =
                format!("its service `{}` has the id of another plugin and is not started", service.id);
            error!(plugin = %self.spec.id, error, "A service's id is taken.");
            let plugin = self.spec.id.clone();
            self.state.bus.tell::<OnError>(Failure { plugin, what: "service".into(), error });
            return;
        }
        self.services.push(keep(service, self.state.clone(), self.tools.clone()));
    }

    /// Leaves a start whose thread is blocked to itself.
    fn abandon(&mut self, run: Run, over: Duration) -> End {
        let why = format!("a handler has blocked its thread for {over:?} beyond its time");
        error!(plugin = %self.spec.id, why, "A plugin blocks a thread of the node; only a process of its own could be ended.");
        // Should it ever return, it goes no further: its successor has the hardware.
        run.abort();
        self.abandoned.push(run);
        End::Failed(why)
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the hand was dropped, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Why an actor has ended, and whether it told of that itself.
fn end_of(
    ended: Result<Result<(PluginActor, ActorStopReason), PanicError>, tokio::task::JoinError>,
) -> (End, bool) {
    let mut told = false;
    let end = match ended {
        Ok(Ok((mut actor, reason))) => {
            let own = actor.end.take();
            told = own.is_some();
            let end = own.unwrap_or_else(|| match reason {
                ActorStopReason::Panicked(panic) => End::Failed(format!("panicked: {}", panic_text(&panic))),
                other => End::Failed(format!("ended by itself ({other})")),
            });
            // A plugin may panic even while it is dropped.
            match catch_unwind(AssertUnwindSafe(|| drop(actor))) {
                Ok(()) => end,
                Err(panic) => {
                    End::Failed(format!("panicked while it was dropped: {}", bus::panic_text(panic.as_ref())))
                }
            }
        }
        Ok(Err(panic)) => match panic.downcast::<SetupError>() {
            Some(SetupError(end)) => end,
            None => End::Failed(format!("its setup panicked: {}", panic_text(&panic))),
        },
        Err(error) => End::Failed(format!("its task broke: {error}")),
    };
    (end, told)
}

fn panic_text(panic: &PanicError) -> String {
    panic.with_str(str::to_owned).unwrap_or_else(|| "no message".into())
}
