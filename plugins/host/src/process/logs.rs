//! What a plugin prints, as lines of the log.
//!
//! A line may begin with its level: `E! `, `W! `, `I! `, `D! ` or `T! `; without it is of level info. The last few lines are kept:
//! when the plugin is gone, they mostly say why.
//!
//! It must not be a way to fill the node's log, memory or CPU, or to steer a terminal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sedge_plugin::Id;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, info, trace, warn};

use super::child::Exit;

/// The longest line, in bytes. The rest of it is left out.
const LINE: usize = 2048;

/// How many lines are kept for the end.
const KEPT: usize = 20;

/// How long what is said at the end is, in characters.
const WORDS: usize = 600;

/// So many lines at once, and then so many per second. What is beyond is counted.
const BURST: u32 = 100;
const PER_SECOND: u32 = 20;

/// Faster than this many bytes in [`WINDOW`] nothing is read: whoever floods waits.
const BYTES: usize = 256 * 1024;
const WINDOW: Duration = Duration::from_millis(250);

/// The last lines.
#[derive(Clone, Default)]
pub(super) struct Last(Arc<Mutex<VecDeque<String>>>);

impl Last {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// The last words, the very last of them in full: `ValueError: 7`. Empty where it said nothing.
    pub(super) fn words(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = String::new();
        for line in lines.iter().rev().map(|line| line.trim()).filter(|line| !line.is_empty()) {
            let length = words.chars().count() + line.chars().count() + 3;
            if words.is_empty() {
                words = line.chars().take(WORDS).collect();
            } else if length <= WORDS {
                words = format!("{line} | {words}");
            } else {
                break;
            }
        }
        words
    }
}

/// Reads until nobody can print any more, or the process is gone.
pub(super) async fn run(id: Id, mut pipe: Receiver, last: Last, mut exit: watch::Receiver<Option<Exit>>) {
    let mut log = Log { id, last, line: Vec::new(), is_cut: false, bucket: Bucket::new() };
    let mut chunk = vec![0; 4096];
    let mut window = (Instant::now(), 0);
    loop {
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut chunk) => read,
            _ = exit.wait_for(Option::is_some) => break,
        };
        let Ok(read @ 1..) = read else { break };
        log.take(&chunk[..read]);
        window.1 += read;
        if window.1 >= BYTES {
            tokio::select! {
                () = tokio::time::sleep_until(window.0 + WINDOW) => {},
                _ = exit.wait_for(Option::is_some) => {},
            }
            window = (Instant::now(), 0);
        }
    }
    // What was printed before the end is still there, also where somebody who escaped holds the other end. No more than fits.
    let mut left = BYTES;
    while let Ok(read @ 1..) = nix::unistd::read(&pipe, &mut chunk) {
        log.take(&chunk[..read]);
        left = left.saturating_sub(read);
        if left == 0 {
            break;
        }
    }
    log.end();
}

struct Log {
    id: Id,
    last: Last,
    line: Vec<u8>,
    is_cut: bool,
    bucket: Bucket,
}

impl Log {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, is_end) = piece.strip_suffix(b"\n").map_or((piece, false), |piece| (piece, true));
            let room = LINE - self.line.len();
            self.is_cut |= piece.len() > room;
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if is_end {
                self.tell();
            }
        }
    }

    fn end(&mut self) {
        if !self.line.is_empty() {
            self.tell();
        }
        self.tell_dropped();
    }

    fn tell(&mut self) {
        let text = shown(&self.line, self.is_cut);
        self.line.clear();
        self.is_cut = false;
        let (level, text) = level(&text);
        self.last.push(text);
        if !self.bucket.take() {
            return;
        }
        self.tell_dropped();
        let plugin = &self.id;
        match level {
            b'E' => error!(%plugin, "{text}"),
            b'W' => warn!(%plugin, "{text}"),
            b'D' => debug!(%plugin, "{text}"),
            b'T' => trace!(%plugin, "{text}"),
            _ => info!(%plugin, "{text}"),
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.bucket.dropped);
        if dropped > 0 {
            warn!(plugin = %self.id, dropped, "Printed more lines than the log takes; these were left out.");
        }
    }
}

fn level(text: &str) -> (u8, &str) {
    match text.as_bytes() {
        [level @ (b'E' | b'W' | b'I' | b'D' | b'T'), b'!', b' ', ..] => (*level, text[3..].trim_start()),
        _ => (b'I', text),
    }
}

/// As a line that can be shown anywhere.
fn shown(line: &[u8], is_cut: bool) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end().replace('\t', "    ");
    let mut text: String =
        text.chars().map(|character| if character.is_control() { '·' } else { character }).collect();
    if is_cut {
        text.push('…');
    }
    text
}

/// How many lines may go to the log.
struct Bucket {
    tokens: f64,
    at: Instant,
    dropped: u64,
}

impl Bucket {
    fn new() -> Self {
        Self { tokens: f64::from(BURST), at: Instant::now(), dropped: 0 }
    }

    fn take(&mut self) -> bool {
        let now = Instant::now();
        let more = (now - self.at).as_secs_f64() * f64::from(PER_SECOND);
        self.at = now;
        self.tokens = (self.tokens + more).min(f64::from(BURST));
        if self.tokens < 1.0 {
            self.dropped += 1;
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests;
