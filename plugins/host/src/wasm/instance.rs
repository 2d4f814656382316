//! One component that runs: a thread of its own, a store of its own, one thing after the other.
//!
//! Whatever a component does, it does it here and no longer than it may. A trap leaves it in a state that nobody knows: it has
//! ended then, and is made anew.

use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::{ToolError, ToolErrorCode};
use sedge_protocol::{CREDIT, Call, HelloMessage, Limits, ToNode, ToPlugin};
use wasmtime::component::Component;
use wasmtime::{Store, Trap, UpdateDeadline};

use super::bindings::{Plugin, PluginPre};
use super::engine::Clockwork;
use super::imports::{Guest, line};
use super::inbox::{Halt, Work};
use crate::outside::End;

/// How long anything may take for which no deadline is known.
const BUDGET: Duration = Duration::from_secs(10);

/// A component that is ready to run.
pub(super) struct Prepared {
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) component: PluginPre<Guest>,
    pub(super) limits: Limits,
    /// Shared as long as it is held.
    pub(super) code: Arc<Component>,
}

/// A component that runs.
struct Instance {
    clockwork: Arc<Clockwork>,
    store: Store<Guest>,
    plugin: Plugin,
    _code: Arc<Component>,
}

/// Runs it to its end.
pub(super) fn run(prepared: Prepared, guest: Guest) -> End {
    let inbox = Arc::clone(&guest.inbox);
    let ended = match Instance::start(prepared, guest).and_then(Instance::work) {
        Ok(()) => End::Stopped,
        Err(message) => End::Broken(message),
    };
    if inbox.is_killed() { End::Broken(Halt::Killed.to_string()) } else { ended }
}

impl Instance {
    fn start(prepared: Prepared, guest: Guest) -> Result<Self, String> {
        let Prepared { clockwork, component, limits, code } = prepared;
        let mut store = Store::new(&clockwork.engine, guest);
        store.data_mut().limiter.set(limits.memory);
        store.limiter(|guest| &mut guest.limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| match context.data().inbox.halt() {
            None => Ok(UpdateDeadline::Continue(1)),
            Some(halt) => Err(halt.into()),
        });
        let budget = if limits.start_ms == 0 { BUDGET } else { Duration::from_millis(limits.start_ms) };
        let plugin =
            bounded(&clockwork, &mut store, "start", None, budget, |store| component.instantiate(store))?;
        let hello = bounded(&clockwork, &mut store, "hello", None, budget, |store| plugin.call_hello(store))?;
        let mut hello: HelloMessage =
            serde_json::from_str(&hello).map_err(|error| format!("its hello cannot be read: {error}"))?;
        // It is never sent more than there is room for here.
        hello.credit = Some(hello.credit.unwrap_or(CREDIT).min(CREDIT));
        // What goes over this line is never encoded.
        hello.encodings.clear();
        say(&store, ToNode::Hello(hello))?;
        Ok(Self { clockwork, store, plugin, _code: code })
    }

    /// Does what comes, until it is to end.
    fn work(mut self) -> Result<(), String> {
        let inbox = Arc::clone(&self.store.data().inbox);
        while let Some(work) = inbox.take() {
            match work {
                Work::Welcome(welcome) => self.welcome(&welcome)?,
                Work::Event { topic, message } => {
                    let message = message.to_string();
                    let what = format!("topic {topic}");
                    self.run(&what, None, BUDGET, |plugin, store| {
                        plugin.call_event(store, &topic, &message)
                    })?;
                    say(&self.store, ToNode::Credit { n: 1 })?;
                }
                Work::Ping { id } => say(&self.store, ToNode::Pong { id })?,
                Work::Cancelled { id } => {
                    let error = ToolError::new(ToolErrorCode::Expired, "it was cancelled before it began");
                    say(&self.store, ToNode::Error { id, error })?;
                }
                Work::Call { id, call } => {
                    let is_stop = matches!(call, Call::Stop { .. });
                    self.call(id, &call)?;
                    inbox.finish();
                    if is_stop {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn welcome(&mut self, welcome: &ToPlugin) -> Result<(), String> {
        let ToPlugin::Welcome { limits, .. } = welcome else { return Ok(()) };
        let guest = self.store.data_mut();
        guest.welcomed(welcome);
        guest.limiter.set(limits.memory);
        guest.message = limits.message;
        let budget = if limits.start_ms == 0 { BUDGET } else { Duration::from_millis(limits.start_ms) };
        let text = serde_json::to_string(welcome).map_err(|error| format!("its welcome: {error}"))?;
        let answer = self.run("start", None, budget, |plugin, store| plugin.call_start(store, &text))?;
        match self.parse(&answer) {
            Ok(message @ (ToNode::Ready { .. } | ToNode::Failed { .. })) => say(&self.store, message),
            Ok(_) => Err("it answered its welcome with neither `ready` nor `failed`".into()),
            Err(error) => Err(format!("what it answered its welcome with {error}")),
        }
    }

    fn call(&mut self, id: u64, call: &Call) -> Result<(), String> {
        let (what, budget) = match call {
            Call::Tool { tool, timeout_ms, .. } => {
                (format!("tool {tool}"), Duration::from_millis(*timeout_ms))
            }
            Call::Stop { grace_ms } => ("stop".to_owned(), Duration::from_millis(*grace_ms)),
            Call::Read => ("read".to_owned(), BUDGET),
            Call::Tick => ("tick".to_owned(), BUDGET),
            Call::Step { topic, .. } | Call::Answer { topic, .. } => (format!("topic {topic}"), BUDGET),
            Call::Deliver { .. } => ("deliver".to_owned(), BUDGET),
            Call::Unknown => {
                let error = ToolError::new(ToolErrorCode::BadRequest, "this call is not known here");
                return say(&self.store, ToNode::Error { id, error });
            }
        };
        let text = serde_json::to_string(call).map_err(|error| format!("{what}: {error}"))?;
        let answer = self.run(&what, Some(id), budget, |plugin, store| plugin.call_call(store, &text))?;
        let internal = |message: String| ToolError::new(ToolErrorCode::Internal, message);
        let answer = match answer {
            Ok(result) => self.parse(&result).map_err(|error| internal(format!("its answer {error}"))),
            Err(error) => {
                let read = self.parse(&error).unwrap_or_else(|_| internal(line(error)));
                Err(read)
            }
        };
        say(
            &self.store,
            match answer {
                Ok(result) => ToNode::Ok { id, result },
                Err(error) => ToNode::Error { id, error },
            },
        )
    }

    /// What a component has answered, as far as it is short enough to be a message.
    fn parse<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, String> {
        let most = self.store.data().message;
        if text.len() > most {
            return Err(format!("has {} bytes; a message has {most} at most", text.len()));
        }
        serde_json::from_str(text).map_err(|error| format!("cannot be read: {error}"))
    }

    fn run<R>(
        &mut self,
        what: &str,
        id: Option<u64>,
        budget: Duration,
        call: impl FnOnce(&Plugin, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, String> {
        let plugin = &self.plugin;
        bounded(&self.clockwork, &mut self.store, what, id, budget, |store| call(plugin, store))
    }
}

fn say(store: &Store<Guest>, message: ToNode) -> Result<(), String> {
    store.data().say(message).map_err(|halt| halt.to_string())
}

/// Lets the component run, no longer than it may.
fn bounded<R>(
    clockwork: &Clockwork,
    store: &mut Store<Guest>,
    what: &str,
    id: Option<u64>,
    budget: Duration,
    call: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<R>,
) -> Result<R, String> {
    let inbox = Arc::clone(&store.data().inbox);
    inbox.begin(id, budget);
    store.data_mut().last_words = None;
    // The epoch stands still while nothing runs, so the next one is as far away as it was.
    let running = clockwork.run();
    let result = call(store);
    drop(running);
    inbox.finish();
    result.map_err(|error| format!("{what}: {}", why(&error, store.data())))
}

/// What a component has said before it panicked, in one line.
fn panicked(guest: &Guest) -> String {
    let Some(words) = &guest.last_words else { return "it panicked, and said nothing".to_owned() };
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    match words.starts_with("panicked at ") {
        true => format!("it {words}"),
        false => format!("it panicked; its last words: {words}"),
    }
}

/// Why a component did not come back.
fn why(error: &wasmtime::Error, guest: &Guest) -> String {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return halt.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => guest.limiter.refused().unwrap_or_else(|| panicked(guest)),
        Some(Trap::StackOverflow) => {
            format!("it went too deep: its stack has {} KiB", super::settings::STACK / 1024)
        }
        Some(Trap::MemoryOutOfBounds) => {
            "it reached beyond its memory (one that goes too deep does that too)".to_owned()
        }
        Some(trap) => format!("it broke: {trap}"),
        None => guest.limiter.refused().unwrap_or_else(|| format!("{error:#}")),
    }
}
