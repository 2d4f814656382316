//! Faults to order: carries out the lines of [`command`](crate::command), over TCP.
//!
//! One line in, one line out: `ok`, `ok` and a value, or `error` and why. Whoever connects may do everything, so it is for
//! a guest that nobody else reaches.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::json;

use crate::bridge::Bridge;
use crate::command::Command;
use crate::uhid;

/// The bridge and its plug, as the threads share them.
pub struct Bench {
    bridge: Mutex<Bridge>,
    plug: File,
}

impl Bench {
    /// A bridge on `/dev/uhid`, not plugged in yet.
    pub fn new(bridge: Bridge, plug: File) -> Self {
        Self { bridge: Mutex::new(bridge), plug }
    }

    /// The bridge.
    pub fn bridge(&self) -> MutexGuard<'_, Bridge> {
        self.bridge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the kernel an event. To pull the bridge out takes until the last program has let go of its bus, so nobody may
    /// hold the bridge meanwhile.
    ///
    /// # Errors
    /// When the kernel does not take it: what is plugged in twice, or not at all.
    pub fn tell(&self, event: &[u8]) -> Result<(), String> {
        (&self.plug).write_all(event).map_err(|error| format!("/dev/uhid: {error}"))
    }

    fn obey(&self, command: Command) -> Result<String, String> {
        let done = |()| String::new();
        match command {
            Command::Detach(address) => self.bridge().bus.detach(address).map(done),
            Command::Attach(address) => self.bridge().bus.reattach(address).map(done),
            Command::Nack { address, transfers } => self.bridge().bus.nack(address, transfers).map(done),
            Command::Corrupt { address, reads } => self.bridge().bus.corrupt(address, reads).map(done),
            Command::Gpio { line, high } => self.bridge().lines.drive(line, high).map(done),
            Command::Pulse { line, pulses } => self.bridge().lines.pulse(line, pulses).map(done),
            Command::Levels => Ok(self.bridge().lines.levels().to_string()),
            Command::Vanish => self.tell(&uhid::destroy()).map(done),
            Command::Return => self.tell(&Bridge::hello()).map(done),
            Command::Run(words) => run(&words),
            Command::End => Ok(String::new()),
        }
    }
}

/// What the shell printed, also to its standard error, as a JSON string.
fn run(words: &str) -> Result<String, String> {
    let shell = process::Command::new("sh").args(["-c", words]).output();
    let output = shell.map_err(|error| format!("sh: {error}"))?;
    let printed = [output.stdout, output.stderr].concat();
    Ok(json!(String::from_utf8_lossy(&printed)).to_string())
}

/// Serves whoever connects, until the process ends. Where somebody says so, that is told to `end`.
pub fn serve(listener: &TcpListener, bench: &Arc<Bench>, end: &Sender<Result<(), String>>) {
    for stream in listener.incoming().flatten() {
        let (bench, end) = (bench.clone(), end.clone());
        thread::spawn(move || {
            // Whoever hangs up has heard enough.
            let _ = converse(&stream, &bench, &end);
        });
    }
}

fn converse(mut stream: &TcpStream, bench: &Bench, end: &Sender<Result<(), String>>) -> std::io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let command = line?.parse::<Command>();
        let last = command == Ok(Command::End);
        let answer = match command.and_then(|command| bench.obey(command)) {
            Ok(value) if value.is_empty() => "ok".to_owned(),
            Ok(value) => format!("ok {value}"),
            Err(error) => format!("error {error}"),
        };
        stream.write_all(format!("{answer}\n").as_bytes())?;
        if last {
            let _ = end.send(Ok(()));
        }
    }
    Ok(())
}
