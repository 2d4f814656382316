//! How a process ended, in words for whoever operates the node.

use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal;
use sedge_protocol::CodecError;

use super::child::Exit;
use crate::outside::End;

/// Why nothing more was read.
pub(super) enum Cause {
    /// It closed the line, or ended.
    Closed,
    /// It closed the line in the middle of a message, or said what cannot be read.
    Unreadable(CodecError),
    /// It closed the line, and went on running: it was ended.
    Deserted,
    /// Nobody listens to it any more: it was ended.
    Left,
    /// What it is to be told cannot be written.
    Unwritable(CodecError),
    /// The line failed.
    Failed(std::io::Error),
}

/// What is known at the end.
pub(super) struct Ended {
    pub(super) cause: Cause,
    pub(super) exit: Exit,
    /// It was asked to stop.
    pub(super) is_stopping: bool,
    /// In bytes; where it is bounded.
    pub(super) memory: Option<u64>,
    /// What it printed last.
    pub(super) words: String,
}

impl Ended {
    pub(super) fn told(self) -> End {
        let what = match &self.cause {
            _ if self.exit.for_memory => self.for_memory(),
            Cause::Closed if self.is_stopped() => return End::Stopped,
            Cause::Closed if self.is_stopping && self.signal() == Some(Signal::SIGKILL) => {
                "it did not stop in the time that it was given, so it was ended".to_owned()
            }
            Cause::Closed => self.how(),
            Cause::Unreadable(error @ CodecError::Half { .. }) => format!("{}; {error}", self.how()),
            Cause::Unreadable(error) => format!("what it sent cannot be read, so it was ended: {error}"),
            Cause::Deserted => {
                "it closed the line to the node and went on running, so it was ended".to_owned()
            }
            Cause::Left => "it was ended, since the node has let go of it".to_owned(),
            Cause::Unwritable(error) => format!("it was ended, since it cannot be told something: {error}"),
            Cause::Failed(error) => format!("the line to it failed, so it was ended: {error}"),
        };
        if self.words.is_empty() {
            return End::Broken(what);
        }
        End::Broken(format!("{what}; its last words: {}", self.words))
    }

    fn signal(&self) -> Option<Signal> {
        self.exit.status.signal().and_then(|number| Signal::try_from(number).ok())
    }

    /// As it was asked to.
    fn is_stopped(&self) -> bool {
        self.is_stopping && (self.exit.status.success() || self.signal() == Some(Signal::SIGTERM))
    }

    fn for_memory(&self) -> String {
        let limit =
            self.memory.map_or_else(|| "the machine has".to_owned(), |bytes| size(bytes) + ", its limit");
        format!("it was ended, since it wanted more memory than {limit}")
    }

    fn how(&self) -> String {
        match (self.exit.status.code(), self.exit.status.signal()) {
            (Some(0), _) => "it ended by itself, with status 0".to_owned(),
            (Some(code), _) => format!("it exited with status {code}"),
            (None, Some(number)) => {
                let name = self.signal().map_or("unknown here", Signal::as_str);
                format!("it was ended by signal {number} ({name}{})", self.signal().map_or("", meaning))
            }
            (None, None) => "it ended".to_owned(),
        }
    }
}

fn meaning(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGSEGV | Signal::SIGBUS => ": it reached for memory that is not its own",
        Signal::SIGABRT => ": it gave up by itself",
        Signal::SIGILL => ": it has instructions that this processor does not know",
        Signal::SIGKILL => ": somebody ended it, or the machine ran out of memory",
        _ => "",
    }
}

/// In the largest unit that is whole.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}
