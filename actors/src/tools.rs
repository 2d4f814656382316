//! The tools of a node: who offers what, and the way of a call.
//!
//! ```text
//! call ─▶ known? ─▶ arguments fit? ─▶ PreToolExecute ─▶ the plugin ─▶ PostToolExecute ─▶ outcome
//!        not_found    bad_args          veto: denied     busy, timeout,                    ToolFailed
//!        unavailable                                     failed
//! ```
//!
//! A tool stays listed while its plugin is being restarted; calls are answered `unavailable` then. A call never waits
//! longer than its limit, and never runs twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use kameo::actor::ActorRef;
use kameo::error::SendError;
use sedge_plugin::schema::{Mistake, Schema};
use sedge_plugin::topics::{
    PostToolExecute, PreToolExecute, ToolFailed, ToolFailure, ToolRegistryBuild, ToolsChange, ToolsChanged,
};
use sedge_plugin::{Id, Name, Tool, ToolCall, ToolError, ToolErrorCode, ToolOutcome};
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::bus::Chained;
use crate::plugins::actor::{CallTool, PluginActor};
use crate::state::NodeState;

/// What a call may take beyond the tool's own limit: its way there and back.
const TRAVEL: Duration = Duration::from_millis(250);

/// Mistakes in arguments that are told one by one.
const MOST_MISTAKES: usize = 10;

/// Who runs a tool; none while its plugin does not run.
type Runner = Option<ActorRef<PluginActor>>;

#[derive(Clone)]
struct Entry {
    tool: Tool,
    input: Arc<Schema>,
    owner: Id,
    runner: Runner,
}

type Table = HashMap<Name, Entry>;

/// The tools of a node. Cheap to clone; clones are one registry.
#[derive(Clone)]
pub struct ToolRegistry {
    state: Arc<NodeState>,
    table: Arc<ArcSwap<Table>>,
    /// Held by whoever makes the next table; never by a call.
    writer: Arc<Mutex<()>>,
}

impl ToolRegistry {
    pub(crate) fn new(state: Arc<NodeState>) -> Self {
        Self { state, table: Arc::default(), writer: Arc::default() }
    }

    /// Asks a plugin that has started for its tools, and lists them.
    pub(crate) async fn add(&self, owner: &Id, runner: ActorRef<PluginActor>) {
        let answers = self.state.bus.collect_from::<ToolRegistryBuild>(Arc::new(()), |id| id == owner).await;
        if answers.is_empty() {
            return; // It has ended before it could answer; what was listed stays.
        }
        let tools: Vec<Tool> = answers.into_iter().flat_map(|(_, tools)| tools).collect();
        self.change(|table| {
            let mut change = ToolsChange { added: Vec::new(), gone: Vec::new() };
            if !runner.is_alive() {
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
                if let Some(entry) = entry_of(table, owner, &tool, &runner) {
                    let before = table.insert(tool.name.clone(), entry);
                    if before.is_none_or(|before| before.tool != tool) {
                        change.added.push(tool);
                    }
                }
            }
            change
        });
    }

    /// The plugin does not come back: its tools go.
    pub(crate) fn remove(&self, owner: &Id) {
        self.change(|table| {
            let gone =
                table.values().filter(|entry| entry.owner == *owner).map(|entry| entry.tool.name.clone());
            let gone: Vec<Name> = gone.collect();
            gone.iter().for_each(|name| drop(table.remove(name)));
            ToolsChange { added: Vec::new(), gone }
        });
    }

    /// The plugin does not run: its tools stay listed and cannot be called.
    pub(crate) fn suspend(&self, owner: &Id) {
        self.change(|table| {
            table.values_mut().filter(|entry| entry.owner == *owner).for_each(|entry| entry.runner = None);
            ToolsChange { added: Vec::new(), gone: Vec::new() }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Table) -> ToolsChange) {
        let change = {
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = Table::clone(&self.table.load());
            let change = change(&mut next);
            let tools: BTreeMap<_, _> =
                next.values().map(|entry| (entry.tool.name.clone(), entry.tool.clone())).collect();
            self.table.store(Arc::new(next));
            self.state.set_tools(tools);
            change
        };
        if !(change.added.is_empty() && change.gone.is_empty()) {
            self.state.tell::<ToolsChanged>(change);
        }
    }

    /// Calls a tool. Every way it can go wrong is an outcome too.
    pub async fn call(&self, call: ToolCall) -> ToolOutcome {
        let began = Instant::now();
        let (id, tool) = (call.id.clone(), call.tool.clone());
        let result = self.run(call.clone()).await;
        let outcome = ToolOutcome { id: id.clone(), tool: tool.clone(), result, took: began.elapsed() };
        let outcome = match self.state.bus.chain::<PostToolExecute>(outcome).await {
            // A step may rewrite the result, not whose it is.
            Chained::Passed(outcome) => ToolOutcome { id, tool, ..outcome },
            Chained::Vetoed { message, by, reason } => {
                ToolOutcome { result: Err(denied(&by, &reason)), ..message }
            }
        };
        if let Err(error) = &outcome.result {
            self.state.bus.publish::<ToolFailed>(ToolFailure { call, error: error.clone() }).await;
        }
        outcome
    }

    async fn run(&self, call: ToolCall) -> Result<Json, ToolError> {
        let entry = self.find(&call.tool)?;
        fits(&entry, &call.args)?;
        let own = Duration::from_millis(entry.tool.timeout_ms);
        let limit = call.timeout.map_or(own, |timeout| timeout.min(own));
        let asked = tokio::time::timeout(limit, self.state.bus.chain::<PreToolExecute>(call.clone())).await;
        let late = || ToolError::new(ToolErrorCode::Timeout, format!("no result within {limit:?}"));
        let call = match asked.map_err(|_| late())? {
            Chained::Passed(next) => {
                if next.args != call.args {
                    fits(&entry, &next.args)?;
                }
                // A step may rewrite the arguments, not redirect the call.
                ToolCall { tool: call.tool, id: call.id, ..next }
            }
            Chained::Vetoed { by, reason, .. } => return Err(denied(&by, &reason)),
        };
        let Some(runner) = &entry.runner else { return Err(self.unavailable(&entry)) };
        if runner.is_current() {
            return Err(ToolError::failed(format!(
                "`{}` would wait for itself: call a tool of one's own from `Context::spawn`, not from a handler",
                entry.owner
            )));
        }
        let (reply, answer) = oneshot::channel();
        runner.tell(CallTool { call, limit, reply }).try_send().map_err(|error| match error {
            SendError::MailboxFull(_) => {
                ToolError::new(ToolErrorCode::Busy, format!("`{}` has too many calls waiting", entry.owner))
            }
            _ => self.unavailable(&entry),
        })?;
        match tokio::time::timeout(limit + TRAVEL, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ToolError::failed(format!("`{}` stopped while it ran the tool", entry.owner))),
            Err(_) => Err(late()),
        }
    }

    fn find(&self, name: &Name) -> Result<Entry, ToolError> {
        let table = self.table.load();
        table.get(name).cloned().ok_or_else(|| {
            let near = sedge_plugin::schema::nearest(name.as_str(), table.keys().map(Name::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            ToolError::new(ToolErrorCode::NotFound, format!("there is no tool `{name}`{hint}"))
        })
    }

    fn unavailable(&self, entry: &Entry) -> ToolError {
        let directory = self.state.directory();
        let why = directory.plugins.get(&entry.owner).map(|status| match &status.reason {
            Some(reason) => format!("is {}: {reason}", status.state.word()),
            None => format!("is {}", status.state.word()),
        });
        let why = why.unwrap_or_else(|| "does not run".into());
        ToolError::new(ToolErrorCode::Unavailable, format!("`{}` {why}", entry.owner))
    }
}

/// The entry of a tool; none where it cannot be listed, which is logged.
fn entry_of(table: &Table, owner: &Id, tool: &Tool, runner: &ActorRef<PluginActor>) -> Option<Entry> {
    if let Some(other) = table.get(&tool.name).filter(|entry| entry.owner != *owner) {
        warn!(tool = %tool.name, plugin = %owner, other = %other.owner, "Two plugins offer one tool; the second is not listed.");
        return None;
    }
    match Schema::compile(&tool.input_schema) {
        Ok(input) => Some(Entry {
            tool: tool.clone(),
            input: input.into(),
            owner: owner.clone(),
            runner: Some(runner.clone()),
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
