//! Other programs: `git`, `python3`, `pip`. Bounded in time, in what they say, and in what they write.
//!
//! It must not ask a person anything: there may be none.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::Step;

/// How often it is looked after.
const BEAT: Duration = Duration::from_millis(250);

/// How often what it has written is counted.
const COUNT: u32 = 8;

/// Bytes of what it says that are kept, from its end.
const SAID: usize = 16 * 1024;

/// What a program must stay within.
pub(super) struct Bounds<'a> {
    pub(super) time: Duration,
    /// The folder that it writes to, and how many bytes it may.
    pub(super) folder: Option<(&'a Path, u64)>,
    /// Told [`Step::Waiting`]; ends it by `false`.
    pub(super) watch: &'a dyn Fn(Step) -> bool,
}

/// Why a program has not done it.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is no such program.
    Missing,
    /// It was to end.
    Cancelled,
    /// It has failed, or had to be ended; what it said last, or why.
    Said(String),
}

/// Runs it to its end; gives what it printed.
pub(super) fn run(mut command: Command, bounds: &Bounds<'_>) -> Result<String, Failed> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failed::Missing,
        _ => Failed::Said(error.to_string()),
    })?;
    let (tell, told) = mpsc::sync_channel(2);
    let mut readers = 0;
    if let Some(out) = child.stdout.take() {
        readers += 1;
        let tell = tell.clone();
        thread::spawn(move || tell.send((true, tail(out))));
    }
    if let Some(err) = child.stderr.take() {
        readers += 1;
        thread::spawn(move || tell.send((false, tail(err))));
    }
    let begun = Instant::now();
    let (mut printed, mut said, mut beats) = (String::new(), String::new(), 0_u32);
    while readers > 0 {
        match told.recv_timeout(BEAT) {
            Ok((is_out, text)) => {
                readers -= 1;
                *(if is_out { &mut printed } else { &mut said }) = text;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                beats = beats.wrapping_add(1);
                if let Some(failed) = exceeded(bounds, begun, beats) {
                    end(&mut child);
                    return Err(failed);
                }
            }
        }
    }
    let status = child.wait().map_err(|error| Failed::Said(error.to_string()))?;
    if status.success() {
        return Ok(printed);
    }
    let words = if said.trim().is_empty() { printed } else { said };
    let words = words.trim();
    Err(Failed::Said(if words.is_empty() { format!("it ended with {status}") } else { words.to_owned() }))
}

fn exceeded(bounds: &Bounds<'_>, begun: Instant, beats: u32) -> Option<Failed> {
    if !(bounds.watch)(Step::Waiting) {
        return Some(Failed::Cancelled);
    }
    if begun.elapsed() > bounds.time {
        return Some(Failed::Said(format!("it was not done within {:?}", bounds.time)));
    }
    let (folder, most) = bounds.folder?;
    let is_more = beats.is_multiple_of(COUNT) && bytes(folder) > most;
    is_more.then(|| Failed::Said(format!("it has more than {} MiB", most >> 20)))
}

/// It was begun by us and nobody else waits for it.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The last of what is said. All of it is read, so that whoever says it can go on.
fn tail(mut from: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..n]);
        if kept.len() > 2 * SAID {
            kept.drain(..kept.len() - SAID);
        }
    }
    let text = String::from_utf8_lossy(&kept);
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// What the files below a folder take; what cannot be looked at takes nothing.
pub(super) fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
