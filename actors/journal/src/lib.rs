//! The journal: a log of records on disk that loses nothing which it said is safe.
//!
//! A record is bytes; what they mean is its owner's affair. Each gets a position, a number that is never given out again.
//! Records lie in segments, files of one size that are written full of zeros once and used again by renaming them: writing
//! into them changes no metadata of the file system, so that a commit costs the few blocks it is about. Readers go at
//! their own pace, each with a durable cursor ([`Done`]).
//!
//! ```
//! use std::sync::Arc;
//! use sedge_journal::{Journal, Memory, Options};
//!
//! let options = Options { segment_bytes: 16 * 1024, max_bytes: 1024 * 1024, ..Options::default() };
//! let (mut journal, _found) = Journal::open(Arc::new(Memory::new(2 * 1024 * 1024)), options)?;
//! let position = journal.append(b"21.5 Celsius")?;
//! journal.sync()?; // only now it outlives a power cut; it outlives this process since append returned
//! let chunk = journal.reader().read(position, 100, 64 * 1024);
//! assert_eq!(chunk.records, [(position, b"21.5 Celsius".to_vec())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it promises: what lies below the position that [`Journal::sync`] returned is read back byte for byte, in order, after
//! a power cut at any moment; what was appended is read back after the process was killed; it opens from any bytes, keeps
//! what is damaged aside and goes on behind it; where the disk is full, read-only or broken it goes on in memory and says so,
//! and what leaves memory without having reached the disk is handed to the owner, who accounts for it.
//!
//! It must not: know what a record means, decide what may be dropped, start threads, retry by itself, or log.

mod aside;
mod compact;
mod disk;
mod done;
mod folder;
mod format;
mod journal;
mod memory;
mod open;
mod reader;
mod ring;
mod state;
pub mod testing;
mod walk;

pub use compact::{Compaction, Records};
pub use disk::{Disk, DiskFile, Mode, replace};
pub use done::Done;
pub use folder::Folder;
pub use journal::{Appended, Journal, Options, Trouble, TroubleKind};
pub use memory::Memory;
pub use open::Found;
pub use reader::{Chunk, Missing, Reader, SegmentReport, Verification, Why};
pub use state::{Damage, Segment, Stats};

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error(
        "another process uses the journal in {place}: stop it first, or give this one a place of its own"
    )]
    Locked {
        /// Which disk.
        place: String,
    },
    /// The directory can neither be listed nor created.
    #[error("cannot use {place} for a journal: is it a directory that this user may write to?")]
    Directory {
        /// Which disk.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a record was not taken. It changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It would not fit. The limit is a quarter of a segment.
    #[error("a record of {bytes} bytes; the journal takes {limit} at most")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The log has all the bytes that it may have: make room, then append again.
    #[error("the journal is full: drop its oldest segment first")]
    Full,
}

/// Why a log was not made smaller.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the journal smaller")]
pub struct CompactError(#[from] std::io::Error);
