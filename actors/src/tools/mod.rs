//! The tools of a node: who offers what, and the way of a call.
//!
//! ```text
//! call ─▶ known? ─▶ caller? ─▶ arguments? ─▶ PreToolExecute ─▶ ToolExecute ─▶ PostToolExecute ─▶ outcome
//!        not_found  denied     bad_args      veto: denied    │         ▲                         ToolFailed, OnError
//!                                                            ▼         │
//!                                                   guards: denied ─▶ the plugin: unavailable, busy, timeout, failed
//! ```
//!
//! A tool of another node goes the same way; at its end stands whoever reaches that node.
//!
//! A tool stays listed while its plugin is being restarted; calls are answered `unavailable` then. A call never waits
//! longer than its limit, and never runs twice.

pub mod guard;
mod record;
mod remote;
mod wake;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kameo::actor::ActorRef;
use kameo::error::SendError;
use sedge_plugin::metrics::{Counter, Histogram, SECONDS};
use sedge_plugin::schema::{Mistake, Schema};
use sedge_plugin::topic::Chained;
use sedge_plugin::topics::{
    Failure, OnError, PostToolExecute, PreToolExecute, ToolExecute, ToolFailed, ToolFailure,
    ToolRegistryBuild, ToolsChange, ToolsChanged,
};
use sedge_plugin::{
    Id, Name, Reading, RemoteCaller, Tool, ToolCall, ToolError, ToolErrorCode, ToolOutcome, ToolPath,
};
use serde_json::{Value as Json, json};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{error, warn};

use crate::plugins::actor::{CallTool, PluginActor};
use crate::state::{NodeState, node_counter, node_itself};
pub use guard::Guard;
use guard::{Admission, Guards};
use record::Witness;
pub(crate) use wake::Wake;

/// What a call may take beyond the tool's own limit: its way there and back.
const TRAVEL: Duration = Duration::from_millis(250);

/// Stands for a limit beyond all time.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Mistakes in arguments that are told one by one.
const MOST_MISTAKES: usize = 10;

/// Who runs a tool.
#[derive(Clone)]
enum Runner {
    Ready(ActorRef<PluginActor>),
    /// A call starts it.
    Asleep,
    /// Its plugin does not run, and is tried again by itself.
    Away,
    /// It is on another node.
    Elsewhere(RemoteCaller),
}

#[derive(Clone)]
struct Entry {
    tool: Arc<Tool>,
    input: Arc<Schema>,
    owner: Id,
    runner: Runner,
    /// Of a plugin that is started on demand.
    wake: Option<Arc<Wake>>,
}

type Table = HashMap<Name, Entry>;

/// The tools of a node. Cheap to clone; clones are one registry.
#[derive(Clone)]
pub struct ToolRegistry {
    state: Arc<NodeState>,
    table: Arc<ArcSwap<Table>>,
    /// Other nodes, with their tools.
    nodes: Arc<ArcSwap<remote::Nodes>>,
    /// Held by whoever makes the next table or the next nodes; never by a call.
    writer: Arc<Mutex<()>>,
    /// Told when the table has changed.
    changed: Arc<Notify>,
    guards: Arc<ArcSwap<Guards>>,
    counts: Arc<CallCounts>,
}

/// How calls fare.
#[derive(Default)]
struct CallCounts {
    calls: Counter,
    failures: Counter,
    seconds: Option<Histogram>,
}

impl CallCounts {
    /// Numbers of the node's own; should their names be taken, they are counted for nobody.
    fn new(state: &NodeState) -> Self {
        let metrics = &state.metrics;
        let seconds = Name::new("tool_call_seconds").ok();
        Self {
            calls: node_counter(metrics, "tool_calls", "Calls of tools."),
            failures: node_counter(metrics, "tool_failures", "Calls of tools that had no result."),
            seconds: seconds.and_then(|name| {
                metrics.histogram(&node_itself(), name, "How long calls took.", SECONDS).ok()
            }),
        }
    }
}

impl ToolRegistry {
    pub(crate) fn new(state: Arc<NodeState>) -> Self {
        Self {
            counts: Arc::new(CallCounts::new(&state)),
            state,
            table: Arc::default(),
            nodes: Arc::default(),
            writer: Arc::default(),
            changed: Arc::default(),
            guards: Arc::default(),
        }
    }

    /// Puts guards in the place of those that there were.
    pub(crate) fn guard(&self, guards: Vec<Guard>) {
        self.guards.store(Arc::new(Guards::new(guards).remembering(&self.guards.load())));
    }

    /// Tells of guards that are about no tool that there is.
    pub(crate) fn look_for_idle_guards(&self) {
        let mut tools: Vec<String> = self.table.load().keys().map(Name::to_string).collect();
        tools.extend(self.elsewhere());
        for guard in self.guards.load().idle(&tools) {
            let known = tools.join(", ");
            warn!(%guard, known, "The guard is about no tool that there is: are its patterns right?");
        }
    }

    /// Lists the tools of a plugin that is started by a call of one.
    pub(crate) fn add_asleep(&self, owner: &Id, tools: &[Tool], wake: &Arc<Wake>) {
        self.list(owner, tools.to_vec(), &Runner::Asleep, Some(wake));
    }

    /// Asks a plugin that has started for its tools, and lists them.
    pub(crate) async fn add(&self, owner: &Id, runner: ActorRef<PluginActor>) {
        let answers = self.state.bus.collect_from::<ToolRegistryBuild>(Arc::new(()), |id| id == owner).await;
        if answers.is_empty() {
            return; // It has ended before it could answer; what was listed stays.
        }
        let tools: Vec<Tool> = answers.into_iter().flat_map(|(_, tools)| tools).collect();
        self.list(owner, tools, &Runner::Ready(runner), None);
    }

    fn list(&self, owner: &Id, tools: Vec<Tool>, runner: &Runner, wake: Option<&Arc<Wake>>) {
        self.change(|table| {
            let mut change = ToolsChange { added: Vec::new(), gone: Vec::new() };
            if matches!(runner, Runner::Ready(runner) if !runner.is_alive()) {
                return change; // It has ended since it answered; whoever saw that has decided about its tools.
            }
            let listed = |name: &Name| tools.iter().any(|tool| tool.name == *name);
            table.retain(|name, entry| {
                let stays = entry.owner != *owner || listed(name);
                if !stays {
                    change.gone.push(name.clone());
                }
                stays
            });
            for tool in tools {
                if let Some(mut entry) = entry_of(table, owner, &tool, runner) {
                    let before = table.remove(&tool.name);
                    entry.wake =
                        wake.cloned().or_else(|| before.as_ref().and_then(|before| before.wake.clone()));
                    table.insert(tool.name.clone(), entry);
                    if before.is_none_or(|before| *before.tool != tool) {
                        change.added.push(tool);
                    }
                }
            }
            change
        });
    }

    /// The plugin does not come back: its tools go.
    pub(crate) fn remove(&self, owner: &Id) {
        self.lose_nodes(owner, true);
        self.change(|table| {
            let gone =
                table.values().filter(|entry| entry.owner == *owner).map(|entry| entry.tool.name.clone());
            let gone: Vec<Name> = gone.collect();
            gone.iter().for_each(|name| drop(table.remove(name)));
            ToolsChange { added: Vec::new(), gone }
        });
    }

    /// The plugin does not run: its tools stay listed. A call of one starts it, where it has a bell to be woken by.
    pub(crate) fn suspend(&self, owner: &Id, wake: Option<&Arc<Wake>>) {
        self.lose_nodes(owner, false);
        self.set_runner(owner, if wake.is_some() { &Runner::Asleep } else { &Runner::Away });
    }

    /// The plugin runs after all.
    pub(crate) fn resume(&self, owner: &Id, runner: &ActorRef<PluginActor>) {
        self.set_runner(owner, &Runner::Ready(runner.clone()));
    }

    fn set_runner(&self, owner: &Id, runner: &Runner) {
        self.change(|table| {
            let owned = table.values_mut().filter(|entry| entry.owner == *owner);
            owned.for_each(|entry| entry.runner = runner.clone());
            ToolsChange { added: Vec::new(), gone: Vec::new() }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Table) -> ToolsChange) {
        let change = {
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = Table::clone(&self.table.load());
            let change = change(&mut next);
            let told = !(change.added.is_empty() && change.gone.is_empty());
            let tools = told.then(|| next.values().map(|e| (e.tool.name.clone(), e.tool.clone())).collect());
            self.table.store(Arc::new(next));
            if let Some(tools) = tools {
                self.state.set_tools(tools);
            }
            change
        };
        self.changed.notify_waiters();
        if !(change.added.is_empty() && change.gone.is_empty()) {
            self.state.bus.tell::<ToolsChanged>(change);
        }
    }

    /// Calls a tool. Every way it can go wrong is an outcome too.
    pub async fn call(&self, call: ToolCall) -> ToolOutcome {
        let began = self.state.clock.up();
        let own = call.node.as_ref() == Some(&self.state.directory().node.id);
        let call = ToolCall { node: call.node.filter(|_| !own), ..call };
        let (id, node, tool) = (call.id.clone(), call.node.clone(), call.tool.clone());
        // A task that the tool left behind tells no progress once the result is there.
        let open = Arc::new(AtomicBool::new(true));
        let call = ToolCall { progress: call.progress.while_open(&open), ..call };
        let entry = self.find(&call.path());
        let changes = entry.as_ref().is_ok_and(|entry| !entry.tool.annotations.read_only);
        let witness = changes.then(|| Witness::new(&self.state, &call));
        let by = entry.as_ref().ok().map(|entry| entry.owner.clone());
        let result = match entry {
            Ok(entry) => self.run(entry, call.clone()).await,
            Err(error) => Err(error),
        };
        open.store(false, Ordering::Relaxed);
        let took = self.state.clock.up().saturating_sub(began);
        let (node_of, tool_of) = (node.clone(), tool.clone());
        let outcome =
            ToolOutcome { id: id.clone(), node: node_of, tool: tool_of, result, took, by: by.clone() };
        let outcome = match self.state.bus.chain::<PostToolExecute>(outcome).await {
            // A step may rewrite the result, not whose it is.
            Chained::Passed(outcome) => ToolOutcome { id, node, tool, by, ..outcome },
            Chained::Vetoed { message, by, reason } => {
                ToolOutcome { result: Err(denied(&by, &reason)), ..message }
            }
        };
        match witness {
            Some(witness) => witness.tell(&outcome).await,
            None if outcome.result.is_err() => Witness::new(&self.state, &call).tell(&outcome).await,
            None => {}
        }
        self.counts.calls.inc();
        if let Some(seconds) = &self.counts.seconds {
            seconds.observe(outcome.took.as_secs_f64());
        }
        if let Err(error) = &outcome.result {
            self.counts.failures.inc();
            let plugin = outcome.by.clone().unwrap_or_else(node_itself);
            let (what, text) = (format!("tool {}", call.path()), error.message.clone());
            self.state.bus.publish::<ToolFailed>(ToolFailure { call, error: error.clone() }).await;
            self.state.bus.tell::<OnError>(Failure { plugin, what, error: text });
        }
        outcome
    }

    async fn run(&self, entry: Entry, call: ToolCall) -> Result<Json, ToolError> {
        self.guards.load().admit_caller(&call.path().to_string(), &call.from)?;
        fits(&entry, &call.args)?;
        let own = Duration::from_millis(entry.tool.timeout_ms);
        let limit = Limit::new(call.timeout.map_or(own, |timeout| timeout.min(own)));
        let asked = timeout_at(limit.until, self.state.bus.chain::<PreToolExecute>(call.clone())).await;
        let call = match asked.map_err(|_| limit.late())? {
            Chained::Passed(next) => {
                if next.args != call.args {
                    fits(&entry, &next.args)?;
                }
                // A step may rewrite the arguments, not redirect the call.
                ToolCall { args: next.args, ..call }
            }
            Chained::Vetoed { by, reason, .. } => return Err(denied(&by, &reason)),
        };
        let (registry, given) = (self.clone(), call.clone());
        let wrapped = self.state.bus.around::<ToolExecute>(call, move |next: ToolCall| {
            Box::pin(async move {
                if next.args != given.args {
                    fits(&entry, &next.args)?;
                }
                registry.execute(entry, ToolCall { args: next.args, ..given }, limit).await
            })
        });
        match timeout_at(limit.with_travel(), wrapped).await {
            Ok(wrapped) => wrapped.unwrap_or_else(|error| Err(ToolError::failed(error.to_string()))),
            Err(_) => Err(limit.late()),
        }
    }

    /// Runs a tool, once the guards let it.
    async fn execute(&self, entry: Entry, call: ToolCall, limit: Limit) -> Result<Json, ToolError> {
        if limit.until <= Instant::now() {
            return Err(limit.late()); // Nothing is begun for nobody, and a guard counts what was begun.
        }
        let path = call.path();
        match self.guards.load().admit_run(&path.to_string(), &*self.state)? {
            Admission::Run => {}
            Admission::DryRun(guard) => {
                return Ok(json!({ "dry_run": true, "guard": guard, "tool": path, "args": call.args }));
            }
        }
        let running = entry.wake.as_ref().map(|wake| wake.begin(self.state.clock.up()));
        let result = self.send(entry, call, limit).await;
        if let Some(running) = running {
            running.end(self.state.clock.up());
        }
        result
    }

    async fn send(&self, entry: Entry, call: ToolCall, limit: Limit) -> Result<Json, ToolError> {
        let owner = entry.owner.clone();
        if let Runner::Elsewhere(caller) = &entry.runner {
            let left = limit.until.saturating_duration_since(Instant::now());
            let call = ToolCall { timeout: Some(left), ..call };
            return timeout_at(limit.with_travel(), caller(call)).await.unwrap_or_else(|_| Err(limit.late()));
        }
        let runner = self.runner(&call.path(), entry, limit).await?;
        if runner.is_current() {
            return Err(ToolError::failed(format!(
                "`{owner}` would wait for itself: call a tool of one's own from `Context::spawn`, not from a handler",
            )));
        }
        let (reply, answer) = oneshot::channel();
        let call = CallTool { call, limit: limit.whole, until: limit.until, reply };
        runner.tell(call).try_send().map_err(|error| match error {
            SendError::MailboxFull(_) => {
                ToolError::new(ToolErrorCode::Busy, format!("`{owner}` has too many calls waiting"))
            }
            _ => self.unavailable(&owner),
        })?;
        match timeout_at(limit.with_travel(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ToolError::failed(format!("`{owner}` stopped while it ran the tool"))),
            Err(_) => Err(limit.late()),
        }
    }

    /// Who runs a tool. Waits for one that is started on demand.
    async fn runner(
        &self,
        tool: &ToolPath,
        entry: Entry,
        limit: Limit,
    ) -> Result<ActorRef<PluginActor>, ToolError> {
        let owner = entry.owner;
        let started = async {
            loop {
                let mut changed = pin!(self.changed.notified());
                changed.as_mut().enable();
                // Looked for anew: it may have fallen asleep, or been started again, since the call came in.
                let now = self.find(tool).ok().filter(|now| now.owner == owner);
                match (now.ok_or_else(|| self.unavailable(&owner))?.runner, &entry.wake) {
                    (Runner::Ready(runner), wake) if wake.is_none() || runner.is_alive() => {
                        return Ok(runner);
                    }
                    (_, Some(wake)) => wake.ring(),
                    (_, None) => return Err(self.unavailable(&owner)),
                }
                changed.await;
            }
        };
        timeout_at(limit.until, started).await.unwrap_or_else(|_| Err(self.unavailable(&owner)))
    }

    fn find(&self, path: &ToolPath) -> Result<Entry, ToolError> {
        if let Some(node) = &path.node {
            return self.find_on(node, path);
        }
        let name = &path.tool;
        let table = self.table.load();
        table.get(name).cloned().ok_or_else(|| {
            let near = sedge_plugin::schema::nearest(name.as_str(), table.keys().map(Name::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            ToolError::new(ToolErrorCode::NotFound, format!("there is no tool `{name}`{hint}"))
        })
    }

    fn unavailable(&self, owner: &Id) -> ToolError {
        let directory = self.state.directory();
        let why = directory.plugins.get(owner).map(|status| match &status.reason {
            Some(reason) => format!("is {}: {reason}", status.state.word()),
            None => format!("is {}", status.state.word()),
        });
        let why = why.unwrap_or_else(|| "does not run".into());
        ToolError::new(ToolErrorCode::Unavailable, format!("`{owner}` {why}"))
    }
}

impl guard::Around for NodeState {
    fn now(&self) -> Duration {
        self.clock.up()
    }
    fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        NodeState::latest(self, sensor)
    }
}

/// How long a call may take, whatever is wrapped around it.
#[derive(Clone, Copy)]
struct Limit {
    whole: Duration,
    until: Instant,
}

impl Limit {
    fn new(whole: Duration) -> Self {
        let now = Instant::now();
        Self { whole, until: now.checked_add(whole).unwrap_or(now + FAR) }
    }

    fn with_travel(self) -> Instant {
        self.until + TRAVEL
    }

    fn late(self) -> ToolError {
        ToolError::new(ToolErrorCode::Timeout, format!("no result within {:?}", self.whole))
    }
}

/// The entry of a tool; none where it cannot be listed, which is logged.
fn entry_of(table: &Table, owner: &Id, tool: &Tool, runner: &Runner) -> Option<Entry> {
    if let Some(other) = table.get(&tool.name).filter(|entry| entry.owner != *owner) {
        warn!(tool = %tool.name, plugin = %owner, other = %other.owner, "Two plugins offer one tool; the second is not listed.");
        return None;
    }
    match Schema::compile(&tool.input_schema) {
        Ok(input) => Some(Entry {
            tool: Arc::new(tool.clone()),
            input: input.into(),
            owner: owner.clone(),
            runner: runner.clone(),
            wake: None,
        }),
        Err(error) => {
            error!(tool = %tool.name, plugin = %owner, %error, "The tool's input schema cannot be used; it is not listed.");
            None
        }
    }
}

fn fits(entry: &Entry, args: &Json) -> Result<(), ToolError> {
    let mistakes = entry.input.check(args);
    if mistakes.is_empty() {
        return Ok(());
    }
    let text = |mistake: &Mistake| match mistake.pointer.trim_start_matches('/') {
        "" => mistake.to_string(),
        field => format!("`{field}`: {mistake}"),
    };
    let told = &mistakes[..mistakes.len().min(MOST_MISTAKES)];
    let mut texts: Vec<String> = told.iter().map(text).collect();
    if mistakes.len() > told.len() {
        texts.push(format!("and {} more", mistakes.len() - told.len()));
    }
    let fields: Vec<_> =
        told.iter().map(|m| json!({ "pointer": m.pointer, "message": m.to_string() })).collect();
    Err(ToolError {
        code: ToolErrorCode::BadArgs,
        message: texts.join("; "),
        data: Some(json!({ "mistakes": fields })),
    })
}

fn denied(by: &Id, reason: &str) -> ToolError {
    ToolError::new(ToolErrorCode::Denied, format!("`{by}` says no: {reason}"))
}
