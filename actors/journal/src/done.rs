//! A reader's cursor: which positions it is done with.
//!
//! Two slots are written in turn, so that a power cut leaves one of them. Whatever is damaged or old means that less is done
//! than was: records are read again, none is passed over.

use std::io;
use std::ops::Range;

use crate::disk::{Disk, Mode, read_all_at, replace, write_all_at};
use crate::format::{u32_at, u64_at};

/// Ranges that are told apart.
const MOST: usize = 250;
/// Each slot has blocks of its own, so that writing one cannot tear the other.
const SLOT: u64 = 4096;
/// Attempts at a slot.
const READS: usize = 3;
const MAGIC: &[u8; 8] = b"SEDGECUR";
const HEAD: usize = 24;

/// Positions that are done, as a sorted set of ranges that do not touch.
///
/// A position that is added must not be far ahead of others for long: of more than 250 ranges the newest is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    name: String,
    ranges: Vec<Range<u64>>,
    generation: u64,
    /// The file is there, with both slots.
    made: bool,
}

impl Done {
    /// What was stored last, or an older state, or nothing: whatever the file's bytes are.
    pub fn load(disk: &dyn Disk, name: &str) -> Self {
        let mut done = Self { name: name.into(), ..Self::default() };
        let mut bytes = vec![0; 2 * SLOT as usize];
        let Ok(file) = disk.open(name, Mode::Read) else { return done };
        for slot in 0..2 {
            let half = &mut bytes[slot * SLOT as usize..][..SLOT as usize];
            if !(0..READS).any(|_| read_all_at(&*file, half, slot as u64 * SLOT).is_ok()) {
                half.fill(0);
            }
            if let Some((generation, ranges)) = decode(half)
                && generation >= done.generation
            {
                (done.generation, done.ranges) = (generation, ranges);
            }
        }
        done.made = done.generation > 0 && file.size().is_ok_and(|size| size >= 2 * SLOT);
        done
    }

    /// Its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// These are done.
    pub fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|held| held.end < range.start);
        let last = self.ranges.partition_point(|held| held.start <= range.end);
        let mut merged = range;
        if first < last {
            merged.start = merged.start.min(self.ranges[first].start);
            merged.end = merged.end.max(self.ranges[last - 1].end);
        }
        self.ranges.splice(first..last, [merged]);
        self.ranges.truncate(MOST);
    }

    /// Whether a position is done.
    pub fn contains(&self, position: u64) -> bool {
        let index = self.ranges.partition_point(|held| held.end <= position);
        self.ranges.get(index).is_some_and(|held| held.contains(&position))
    }

    /// What of a range is not done.
    pub fn pending(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut pending = Vec::new();
        let mut at = range.start;
        for held in self.ranges.iter().filter(|held| held.end > range.start && held.start < range.end) {
            if at < held.start {
                pending.push(at..held.start);
            }
            at = held.end;
        }
        if at < range.end {
            pending.push(at..range.end);
        }
        pending
    }

    /// All below is done.
    pub fn below(&self) -> u64 {
        self.ranges.first().filter(|held| held.start == 0).map_or(0, |held| held.end)
    }

    /// One above the highest position that is done: see [`crate::Journal::advance`].
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |held| held.end)
    }

    /// Makes it durable.
    pub fn store(&mut self, disk: &dyn Disk) -> io::Result<()> {
        // The generation goes on only when this one is durable: were the other slot written next, both could be torn.
        let generation = self.generation + 1;
        let (bytes, at) = (encode(generation, &self.ranges), generation % 2 * SLOT);
        if self.made {
            let file = disk.open(&self.name, Mode::Write)?;
            write_all_at(&*file, &bytes, at)?;
            file.sync_data()?;
        } else {
            let mut slots = vec![0; 2 * SLOT as usize];
            slots[at as usize..][..bytes.len()].copy_from_slice(&bytes);
            replace(disk, &self.name, &slots)?;
        }
        (self.generation, self.made) = (generation, true);
        Ok(())
    }
}

/// magic 8 | generation u64 | number of ranges u32 | crc32c over the rest u32 | ranges (u64, u64)
fn encode(generation: u64, ranges: &[Range<u64>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + 16 * ranges.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for range in ranges {
        bytes.extend_from_slice(&range.start.to_le_bytes());
        bytes.extend_from_slice(&range.end.to_le_bytes());
    }
    let crc = checksum(&bytes);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..20]), &bytes[HEAD..])
}

fn decode(bytes: &[u8]) -> Option<(u64, Vec<Range<u64>>)> {
    let count = u32_at(bytes, 16) as usize;
    if bytes[..8] != *MAGIC || count > MOST {
        return None;
    }
    let bytes = &bytes[..HEAD + 16 * count];
    if u32_at(bytes, 20) != checksum(bytes) {
        return None;
    }
    let ranges: Vec<Range<u64>> =
        (0..count).map(|n| u64_at(bytes, HEAD + 16 * n)..u64_at(bytes, HEAD + 16 * n + 8)).collect();
    let apart = ranges.iter().all(|range| !range.is_empty())
        && ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
    let generation = u64_at(bytes, 8);
    (apart && generation < u64::MAX).then_some((generation, ranges))
}
