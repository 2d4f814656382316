//! Goes through the frames of one segment, whatever its bytes are.
//!
//! What is no frame is skipped to the next good one: a good frame is aligned, of the segment's epoch, above the position
//! before it, and its checksum is right. Memory is a window, not the segment.

use std::ops::Range;

use crate::disk::{DiskFile, read_all_at};
use crate::format::{self, FRAME, MOST_POSITION, Mark, SMALLEST, u32_at, u64_at};

const WINDOW: usize = 64 * 1024;
/// Where a window cannot be read, it is read in pieces of this size, so that only what is broken is lost.
const PIECE: usize = 4096;

/// What was found next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'w> {
    Record {
        position: u64,
        payload: &'w [u8],
    },
    Mark(Mark, u64),
    /// Bytes that are no frames, with a good frame behind them.
    Bad(Range<u64>),
    /// No frame follows. `torn` where there are bytes of what may have been one.
    End {
        at: u64,
        torn: bool,
    },
}

pub(crate) struct Walk<'f> {
    file: &'f dyn DiskFile,
    epoch: u32,
    at: u64,
    limit: u64,
    /// Frames below this position are none.
    floor: u64,
    window: usize,
    buffer: Vec<u8>,
    start: u64,
    /// What looking for the next good frame may still check: bytes can be made so that each place looks like a frame.
    budget: u64,
    unreadable: u64,
}

enum Found {
    Record(u64, usize),
    Mark(Mark, u64),
}

impl<'f> Walk<'f> {
    pub(crate) fn new(file: &'f dyn DiskFile, epoch: u32, at: u64, limit: u64) -> Self {
        let budget = 8 * limit;
        let (buffer, start) = (Vec::new(), 0);
        Self { file, epoch, at, limit, floor: 0, window: WINDOW, buffer, start, budget, unreadable: 0 }
    }

    /// How much is read at once, where little is wanted.
    pub(crate) fn window(mut self, bytes: usize) -> Self {
        self.window = bytes.clamp(PIECE, WINDOW);
        self
    }

    /// Where the next frame is looked for.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that the disk could not read.
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    pub(crate) fn step(&mut self) -> Step<'_> {
        let start = self.at.min(self.limit);
        match self.frame(start) {
            Some(found) => self.take(start, found),
            None => match self.next_good(start) {
                Some(next) => {
                    self.at = next;
                    Step::Bad(start..next)
                }
                None => {
                    self.at = self.limit;
                    let torn = self.fetch(start, 8.min(self.limit.saturating_sub(start)) as usize);
                    Step::End { at: start, torn: torn.iter().any(|byte| *byte != 0) }
                }
            },
        }
    }

    fn take(&mut self, at: u64, found: Found) -> Step<'_> {
        match found {
            Found::Record(position, length) => {
                self.at = at + format::frame_bytes(length);
                self.floor = position + 1;
                let payload = &self.fetch(at, FRAME + length)[FRAME..];
                Step::Record { position, payload }
            }
            Found::Mark(mark, position) => {
                self.at = at + SMALLEST;
                self.floor = position;
                Step::Mark(mark, position)
            }
        }
    }

    fn next_good(&mut self, bad: u64) -> Option<u64> {
        let mut at = (bad + 8).next_multiple_of(8);
        while at + FRAME as u64 <= self.limit {
            if self.frame(at).is_some() {
                return Some(at);
            }
            at += 8;
        }
        None
    }

    fn frame(&mut self, at: u64) -> Option<Found> {
        if at + FRAME as u64 > self.limit {
            return None;
        }
        let (epoch, floor, left) = (self.epoch, self.floor, self.limit - at);
        let head = self.fetch(at, FRAME);
        let (length, crc, position) = (u32_at(head, 0), u32_at(head, 4), u64_at(head, 12));
        if u32_at(head, 8) != epoch || !(floor..MOST_POSITION).contains(&position) {
            return None;
        }
        if let Some(mark) = Mark::of(length) {
            return (format::crc(length, epoch, position, &[]) == crc).then_some(Found::Mark(mark, position));
        }
        let length = length as usize;
        if (FRAME + length) as u64 > left || length as u64 > self.budget {
            return None;
        }
        if format::crc(length as u32, epoch, position, &self.fetch(at, FRAME + length)[FRAME..]) == crc {
            return Some(Found::Record(position, length));
        }
        self.budget -= length as u64;
        None
    }

    /// The bytes at a place; what cannot be read, or is not there, is zeros.
    fn fetch(&mut self, at: u64, bytes: usize) -> &[u8] {
        if bytes == 0 {
            return &[];
        }
        let held = self.start..self.start + self.buffer.len() as u64;
        if !(held.contains(&at) && at + bytes as u64 <= held.end) {
            let wanted = (bytes.max(self.window) as u64).min(self.limit - at).max(bytes as u64);
            self.fill(at, wanted as usize);
        }
        let from = (at - self.start) as usize;
        &self.buffer[from..from + bytes]
    }

    fn fill(&mut self, at: u64, bytes: usize) {
        self.start = at;
        self.buffer.clear();
        self.buffer.resize(bytes, 0);
        if read_all_at(self.file, &mut self.buffer, at).is_ok() {
            return;
        }
        for (index, piece) in self.buffer.chunks_mut(PIECE).enumerate() {
            if read_all_at(self.file, piece, at + (index * PIECE) as u64).is_err() {
                piece.fill(0);
                self.unreadable += piece.len() as u64;
            }
        }
    }
}
