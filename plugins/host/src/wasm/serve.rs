//! A component in a process of its own: speaks as a process to the node, and runs the component here.
//!
//! Why: the sandbox of a component is as good as its engine, and engines have had holes. Here a hole ends in a process with limits, of
//! which the node knows as little as of any other. The node starts its own program with it, by the carrier of processes:
//! nothing is compiled or installed for it.
//!
//! What goes over the line is what goes over it in the node. It must not answer for the component, but where there is none: then it
//! says hello in its manifest's name, so that the node hears why in the answer to its welcome.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use sedge_plugin::{Id, PluginError};
use sedge_protocol::{
    Decoder, Encoding, HelloMessage, IN_FLIGHT, Limits, MAX_MESSAGE, PROTOCOL, ToNode, ToPlugin, Why, encode,
};
use tokio::sync::mpsc;

use super::{ComponentCarrier, ComponentOptions, MEMORY};
use crate::outside::{Carrier, End, Line, Start};

/// Until the welcome says it: time for a component to say hello, on a slow board that compiles it first.
const START_MS: u64 = 60_000;

/// Runs the component on the line that ends at this file descriptor, a socket, until one of them has ended.
///
/// # Errors
/// Why it ended, unless it was asked to: the last words of this process.
pub fn serve(options: ComponentOptions, line: RawFd) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let folder = options.folder.clone();
    // Limits are told with the welcome; what comes before it needs little.
    let limits = Limits { message: MAX_MESSAGE, in_flight: IN_FLIGHT, memory: MEMORY, start_ms: START_MS };
    let id = Id::new("component").map_err(|error| error.to_string())?;
    let start = Start { id, folder: folder.clone(), data_dir: None, limits, environment: Default::default() };
    let carrier = ComponentCarrier::new(options);
    let started = match runtime.block_on(carrier.start(start)) {
        Ok(started) => started,
        Err(error) => return excuse(&folder, line, error),
    };
    let Line { to, from, end, guard } = started;
    let hearing = thread("line-in", move || {
        // Dropped when nothing comes any more: a component whose node is gone ends.
        let _guard = guard;
        hear(line, &to)
    })?;
    let saying = thread("line-out", move || say_all(line, from))?;
    let ended = runtime.block_on(end);
    let said = saying.join().unwrap_or(Ok(()));
    // What was said is still read there; what is heard ends here.
    let _ = shutdown(line, Shutdown::Both);
    let heard = hearing.join().unwrap_or(Ok(()));
    heard?;
    match ended {
        Ok(End::Stopped) => said.map_err(|error| error.to_string()),
        Ok(End::Broken(why)) => Err(why),
        Err(_) => Err("the component's thread is gone".into()),
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, String> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| format!("no thread for a line: {error}"))
}

/// Passes on what the node says, until it says no more.
fn hear(line: RawFd, to: &mpsc::Sender<ToPlugin>) -> Result<(), String> {
    let mut messages = Messages::new(line);
    while let Some(message) = messages.next()? {
        if to.blocking_send(message).is_err() {
            break;
        }
    }
    Ok(())
}

/// Passes on what the component says, until it has ended.
fn say_all(line: RawFd, mut from: mpsc::Receiver<ToNode>) -> io::Result<()> {
    while let Some(message) = from.blocking_recv() {
        say(line, message)?;
    }
    Ok(())
}

fn say(line: RawFd, mut message: ToNode) -> io::Result<()> {
    if let ToNode::Hello(hello) = &mut message {
        hello.encodings = vec![Encoding::Json];
    }
    let bytes = encode(&message, Encoding::Json).map_err(io::Error::other)?;
    let mut rest = &*bytes;
    while !rest.is_empty() {
        match send(line, rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What the node says.
struct Messages {
    line: RawFd,
    decoder: Decoder<ToPlugin>,
    buffer: Vec<u8>,
}

impl Messages {
    fn new(line: RawFd) -> Self {
        Self { line, decoder: Decoder::new(MAX_MESSAGE), buffer: vec![0; 16 * 1024] }
    }

    /// The next message; nothing when the node is gone.
    fn next(&mut self) -> Result<Option<ToPlugin>, String> {
        loop {
            if let Some(message) = self.decoder.next().map_err(|error| error.to_string())? {
                if let ToPlugin::Welcome { encoding, .. } = &message
                    && *encoding != Encoding::Json
                {
                    return Err("the node's welcome names an encoding that was not offered".into());
                }
                return Ok(Some(message));
            }
            match recv(self.line, &mut self.buffer, MsgFlags::empty()) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
                Ok(length) => self.decoder.push(&self.buffer[..length]),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(format!("the line to the node broke: {error}")),
            }
        }
    }
}

/// Says hello, and answers the welcome with why there is no component.
fn excuse(folder: &Path, line: RawFd, error: PluginError) -> Result<(), String> {
    let message = error.to_string();
    let why = match error {
        PluginError::Settings(_) => Why::Settings,
        PluginError::Unmet(_) => Why::Unmet,
        PluginError::Failed(_) => Why::Failed,
    };
    let Ok(declaration) = crate::manifest::read(folder) else { return Err(message) };
    let hello = HelloMessage {
        protocol: PROTOCOL,
        plugin: declaration.info.name.to_string(),
        version: declaration.info.version.to_string(),
        sdk: String::new(),
        encodings: Vec::new(),
        features: Vec::new(),
        credit: None,
    };
    say(line, ToNode::Hello(hello)).map_err(|_| message.clone())?;
    let welcome = Messages::new(line).next().map_err(|_| message.clone())?;
    if matches!(welcome, Some(ToPlugin::Welcome { .. })) {
        say(line, ToNode::Failed { why, message: message.clone() }).map_err(|_| message.clone())?;
    }
    Err(message)
}
