//! The thread that reads the line: answers to whoever waits, all else into the inbox.
//!
//! It must not run anything of the plugin, nor wait for it.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sedge_plugin::{ToolError, ToolErrorCode};
use sedge_protocol::{Decoder, MAX_MESSAGE, ToPlugin};

use super::inbox::{Inbox, Turn};
use super::wire::Wire;
use crate::link::{Level, Link};

/// How long a plugin may take to end once its node is gone.
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn start(
    mut reader: Box<dyn Read + Send>,
    wire: Arc<Wire>,
    inbox: Arc<Inbox>,
    at_end: fn(),
) -> io::Result<()> {
    let read = move || {
        let why = read(&mut *reader, &wire, &inbox);
        wire.close(&why);
        inbox.push(Turn::End(why));
        // A plugin that never comes back from a handler would outlive its node.
        wire.delay(GRACE);
        if !inbox.is_finished() {
            at_end();
        }
    };
    thread::Builder::new().name("sedge-line".into()).spawn(read).map(drop)
}

/// Ends the process: a handler never came back.
#[expect(
    clippy::disallowed_methods,
    reason = "main never comes back, and nobody is left to hand anything on to"
)]
pub(super) fn end_process() {
    std::process::exit(1);
}

/// Reads to the end; says what it was.
fn read(reader: &mut dyn Read, wire: &Wire, inbox: &Inbox) -> String {
    // What a node says of itself may be longer than what it takes.
    let mut decoder = Decoder::<ToPlugin>::new(MAX_MESSAGE.saturating_mul(16));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return "the node is gone".into(),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return format!("the node is gone: {error}"),
        };
        decoder.push(&buffer[..count]);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    if let ToPlugin::Welcome { encoding, .. } = &message {
                        decoder.switch(*encoding);
                    }
                    take(message, wire, inbox);
                }
                Err(error) => return format!("the node says what makes no sense: {error}"),
            }
        }
    }
}

fn take(message: ToPlugin, wire: &Wire, inbox: &Inbox) {
    match message {
        ToPlugin::Ok { id, result } => wire.answered(id, Ok(result)),
        ToPlugin::Error { id, error } => wire.answered(id, Err(error)),
        welcome @ ToPlugin::Welcome { .. } => {
            wire.welcome(&welcome);
            inbox.push(Turn::Welcome(Box::new(welcome)));
        }
        ToPlugin::Call { id, call } => {
            if !inbox.push(Turn::Call { id, call }) {
                wire.answer(id, Err(ToolError::new(ToolErrorCode::Busy, "too many calls wait already")));
            }
        }
        ToPlugin::Event { topic, message } => {
            if !inbox.push(Turn::Event { topic, message }) {
                wire.log(Level::Warn, "an event was dropped: it came without credit");
            }
        }
        ToPlugin::Cancel { id } => inbox.cancel(id),
        ToPlugin::Ping { id } => {
            inbox.push(Turn::Ping { id });
        }
        ToPlugin::Unknown => {}
    }
}
