//! A plugin as a process of its own: `fn main() -> ExitCode { sedge_sdk::plugin::<Dice>() }`.
//!
//! The node is at the file descriptor that the environment names. One thread reads what comes; all handlers run on the thread
//! that `main` runs on, so a plugin that waits holds up itself and nobody else.
//!
//! It must not write to what is not the line: standard output belongs to the plugin, and goes to its log.

mod asks;
mod clock;
mod inbox;
mod reader;
mod socket;
mod wire;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sedge_plugin::{PluginError, ToolError, ToolErrorCode};
use sedge_protocol::{FD_VARIABLE, ToNode};

use crate::guest::{Guest, Ready, Welcome, why};
use crate::session::Session;
use inbox::{Inbox, Turn};
use wire::Wire;

/// How a process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop, and has.
    Stopped,
    /// It was not asked to: the node is gone, it could not be set up, the line makes no sense.
    Gone(String),
    /// A handler panicked. What it said stands in the log.
    Panicked,
}

/// Runs it at the node that has started this process.
pub(crate) fn main(guest: Guest) -> ExitCode {
    let line = match socket::line() {
        Ok(Some(line)) => line,
        Ok(None) => {
            let name = &guest.hello.plugin;
            say(&format!(
                "this is the plugin `{name}` of Sedge, which a node starts: `sedge plugin install` with the folder of its plugin.toml"
            ));
            return ExitCode::from(2);
        }
        Err(error) => {
            say(&format!("{FD_VARIABLE} names no line to a node: {error}"));
            return ExitCode::from(2);
        }
    };
    match run(guest, line.0, line.1, reader::end_process) {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::Gone(why) => {
            say(&why);
            ExitCode::FAILURE
        }
        // What a process exits with that panicked.
        Ended::Panicked => ExitCode::from(101),
    }
}

/// Runs it on a line. `at_end` runs on the reading thread a while after the line has ended, if this has not returned by then.
#[doc(hidden)]
pub fn run(
    guest: Guest,
    reader: impl Read + Send + 'static,
    writer: impl Write + Send + 'static,
    at_end: fn(),
) -> Ended {
    let inbox = Arc::new(Inbox::default());
    let wire = Arc::new(Wire::new(Box::new(writer), inbox.clone()));
    let mut session = Session::new(guest, wire.clone());
    crate::log::to(wire.clone());
    if let Err(error) = wire.send(&ToNode::Hello(session.hello())) {
        return Ended::Gone(error.message);
    }
    let reading = reader::start(Box::new(reader), wire.clone(), inbox.clone(), at_end);
    if let Err(error) = reading {
        return Ended::Gone(format!("no thread can be started: {error}"));
    }
    let executor = session.executor.clone();
    let served = catch_unwind(AssertUnwindSafe(|| executor.block_on(serve(&mut session, &wire, &inbox))));
    let ended = match served {
        Ok(Ok(ended)) => ended,
        // It waits on a line that reads; nothing can make it stuck.
        Ok(Err(_)) => Ended::Gone("it waits for what cannot come".into()),
        Err(_) => Ended::Panicked,
    };
    // Hardware is made safe, whatever happened. What panics here has been said.
    let _ = catch_unwind(AssertUnwindSafe(|| executor.block_on(session.abandon())));
    wire.close("this plugin has ended");
    inbox.finish();
    ended
}

async fn serve(session: &mut Session, wire: &Wire, inbox: &Inbox) -> Ended {
    loop {
        match inbox.next().await {
            Turn::Welcome(welcome) => {
                let started = session.start(Welcome::try_from(*welcome)).await;
                let failed = started.as_ref().err().map(ToString::to_string);
                if let Err(error) = wire.send(&said(started)) {
                    return Ended::Gone(error.message);
                }
                if let Some(why) = failed {
                    return Ended::Gone(why);
                }
            }
            Turn::Call { id, call } => {
                let stops = matches!(call, sedge_protocol::Call::Stop { .. });
                let open = Arc::new(AtomicBool::new(true));
                inbox.begin(id, &open);
                let answer = inbox.unless_given_up(&open, session.call(id, call, &open)).await;
                wire.answer(id, answer.unwrap_or_else(|| Err(given_up())));
                if stops {
                    return Ended::Stopped;
                }
            }
            Turn::GivenUp { id } => wire.answer(id, Err(given_up())),
            Turn::Event { topic, message } => {
                if let Err(why) = session.event(topic, message).await {
                    return Ended::Gone(why);
                }
                wire.heard();
            }
            Turn::Ping { id } => {
                session.tell_metrics(false);
                let _ = wire.send(&ToNode::Pong { id });
            }
            Turn::End(why) => return Ended::Gone(why),
        }
    }
}

fn given_up() -> ToolError {
    ToolError::new(ToolErrorCode::Expired, "nobody waits for it any more")
}

fn said(started: Result<Ready, PluginError>) -> ToNode {
    match started {
        Ok(ready) => ToNode::Ready { every_ms: ready.every_ms(), tools: ready.tools },
        Err(error) => ToNode::Failed { why: why(&error), message: error.to_string() },
    }
}

fn say(text: &str) {
    // Where even that cannot be written nobody is left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}
