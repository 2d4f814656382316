//! The readings that a journal still has, for whoever only looks: beside the node that writes it, or where none runs.
//!
//! ```no_run
//! use sedge::outbox::Past;
//! let past = Past::open(std::path::Path::new("/var/lib/sedge/pi-kitchen/outbox"))?;
//! println!("{} readings", past.newest(10).len());
//! # Ok::<(), sedge_journal::JournalError>(())
//! ```
//!
//! It locks, repairs and writes nothing. What was opened from a folder shows what was there then.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sedge_journal::{Disk, Folder, JournalError, Missing, Reader};
use sedge_plugin::BoxFuture;
use sedge_plugin::journal::{Batch, Entry, HistorySource};
use sedge_plugin::record::Record;

use super::lock;
use super::times::Times;

/// Bytes that are read from the disk at once.
const MOST_BYTES: usize = 256 << 10;

/// Bytes in which the first record of a segment is.
const FIRST_BYTES: usize = 16 * 1024;

/// Records among which there is one that this node took.
const FIRST_RECORDS: usize = 100;

/// See above.
#[derive(Clone)]
pub struct Past {
    pub(crate) reader: Reader,
    pub(crate) times: Arc<Mutex<Times>>,
}

impl Past {
    /// A journal in a folder.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        Ok(Self::on(Self::disk(folder)?)?.0)
    }

    pub(crate) fn disk(folder: &Path) -> Result<Arc<dyn Disk>, JournalError> {
        let place = || folder.display().to_string();
        // It is not made where there is none.
        std::fs::read_dir(folder).map_err(|source| JournalError::Directory { place: place(), source })?;
        let disk =
            Folder::new(folder).map_err(|source| JournalError::Directory { place: place(), source })?;
        Ok(Arc::new(disk))
    }

    pub(crate) fn on(disk: Arc<dyn Disk>) -> Result<(Self, Arc<dyn Disk>), JournalError> {
        let times = Arc::new(Mutex::new(Times::load(&*disk)));
        Ok((Self { reader: Reader::open_read_only(disk.clone())?, times }, disk))
    }

    /// What it is and holds.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// A part of it, with what is missing between.
    pub fn part(&self, from: u64, most: usize) -> (Batch, Vec<Missing>) {
        let chunk = self.reader.read(from, most, MOST_BYTES);
        let entry =
            |(position, bytes): (u64, Vec<u8>)| Some(self.entry(position, Record::decode(&bytes).ok()?));
        let entries = chunk.records.into_iter().filter_map(entry).collect();
        (Batch { entries, next: chunk.next }, chunk.missing)
    }

    /// The newest readings, at most so many.
    pub fn newest(&self, most: usize) -> Vec<Entry> {
        let mut newest = Vec::new();
        let mut end = self.reader.head();
        // What is in memory alone, where the disk fails, belongs to the last part.
        for segment in
            self.reader.segments().iter().rev().map(|segment| segment.first).chain([self.reader.tail()])
        {
            let mut part = std::collections::VecDeque::new();
            let mut at = segment;
            while at < end {
                let (batch, _) = self.part(at, 1000);
                part.extend(batch.entries.into_iter().filter(|entry| entry.position < end));
                while part.len() + newest.len() > most {
                    part.pop_front();
                }
                if batch.next <= at {
                    break;
                }
                at = batch.next;
            }
            newest.splice(0..0, part);
            end = end.min(segment);
            if newest.len() >= most {
                break;
            }
        }
        newest
    }

    /// Where the readings of a time are. Each segment's first reading is looked at, and not only some: a clock that was set
    /// leaves no order to search in.
    fn range(&self, since_ms: Option<i64>, until_ms: Option<i64>) -> Range<u64> {
        let (tail, head) = (self.reader.tail(), self.reader.head());
        if since_ms.is_none() && until_ms.is_none() {
            return tail..head;
        }
        let began = |segment: sedge_journal::Segment| {
            let chunk = self.reader.read(segment.first, FIRST_RECORDS, FIRST_BYTES);
            // What was imported may be of any time.
            let own = chunk.records.into_iter().find_map(|(position, bytes)| {
                let record = Record::decode(&bytes).ok().filter(|record| record.reading.origin.is_none())?;
                Some(self.entry(position, record))
            });
            Some((segment.first, own?.reading.taken.wall_ms?))
        };
        // Those that begin with a reading of unknown time say nothing.
        let known: Vec<(u64, i64)> = self.reader.segments().into_iter().filter_map(began).collect();
        // A clock that was set leaves no order to go by.
        if !known.is_sorted_by_key(|(_, at)| *at) {
            return tail..head;
        }
        let start = since_ms.map(|since| {
            let later = known.iter().position(|(_, at)| *at >= since).unwrap_or(known.len());
            later.checked_sub(1).map_or(tail, |before| known[before].0)
        });
        let end = until_ms.map(|until| {
            let after = known.iter().rposition(|(_, at)| *at < until).map_or(0, |last| last + 1);
            known.get(after).map_or(head, |(first, _)| *first)
        });
        let start = start.unwrap_or(tail);
        start..end.unwrap_or(head).max(start)
    }

    fn entry(&self, position: u64, record: Record) -> Entry {
        let Record { kernel, mut reading } = record;
        reading.taken = lock(&self.times).true_time(kernel, reading.taken);
        Entry { position, reading: Arc::new(reading) }
    }
}

impl HistorySource for Past {
    fn between(&self, since_ms: Option<i64>, until_ms: Option<i64>) -> BoxFuture<'static, Range<u64>> {
        let past = self.clone();
        Box::pin(async move {
            // It does not panic; should it, there is nothing to be shown.
            tokio::task::spawn_blocking(move || past.range(since_ms, until_ms)).await.unwrap_or(0..0)
        })
    }

    fn read(&self, range: Range<u64>, most: usize) -> BoxFuture<'static, Batch> {
        let past = self.clone();
        Box::pin(async move {
            let (start, end) = (range.start, range.end);
            let work = tokio::task::spawn_blocking(move || past.part(start, most).0);
            let mut batch = work.await.unwrap_or(Batch { entries: Vec::new(), next: end });
            batch.entries.retain(|entry| range.contains(&entry.position));
            Batch { next: batch.next.min(end), ..batch }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sedge_journal::{Journal, Memory, Options};
    use sedge_plugin::{Boot, Frame, Id, Reading, Taken, record};

    use super::*;

    /// A journal with a reading for each time, in segments of a few.
    fn journal(times: &[Option<i64>]) -> Past {
        let disk: Arc<dyn Disk> = Arc::new(Memory::new(4 << 20));
        let options = Options { segment_bytes: 4096, max_bytes: 2 << 20, ..Options::default() };
        let (mut journal, _) = Journal::open(disk.clone(), options).unwrap();
        for (seq, wall_ms) in times.iter().enumerate() {
            let taken = Taken { up_ms: 0, wall_ms: *wall_ms };
            let mut frame = Frame::default();
            frame.push("note", "x".repeat(200).as_str());
            let reading = Reading {
                sensor: Id::new("a").unwrap(),
                boot: Boot(1),
                seq: seq as u64,
                taken,
                frame,
                origin: None,
            };
            journal.append(&record::encode(7, &reading)).unwrap();
        }
        journal.sync().unwrap();
        drop(journal);
        Past::on(disk).unwrap().0
    }

    fn within(past: &Past, since: Option<i64>, until: Option<i64>) -> Vec<u64> {
        let range = past.range(since, until);
        let mut seqs = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let (batch, _) = past.part(at, 100);
            seqs.extend(batch.entries.iter().filter(|e| e.position < range.end).map(|e| e.reading.seq));
            if batch.next <= at {
                break;
            }
            at = batch.next;
        }
        seqs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_lies_outside_of_the_range_was_not_taken_in_the_time(
            unknown in prop::collection::btree_set(0_usize..300, 0..40),
            (since, length) in (0_i64..320, 0_i64..320),
        ) {
            let times: Vec<Option<i64>> =
                (0..300).map(|n| (!unknown.contains(&n)).then(|| i64::try_from(n).unwrap())).collect();
            let past = journal(&times);
            let seen = within(&past, Some(since), Some(since + length));
            for (seq, at) in times.iter().enumerate() {
                if at.is_some_and(|at| (since..since + length).contains(&at)) {
                    prop_assert!(seen.contains(&(seq as u64)), "{seq}");
                }
            }
        }
    }

    #[test]
    fn a_short_time_at_the_end_is_found_without_reading_all() {
        let times: Vec<Option<i64>> = (0..3000).map(Some).collect();
        let past = journal(&times);
        assert!(past.reader.segments().len() > 50);
        let seen = within(&past, Some(2990), None);
        assert!(seen.ends_with(&[2998, 2999]) && seen.len() < 100, "{}", seen.len());
        let seen = within(&past, None, Some(5));
        assert!(seen.starts_with(&[0, 1]) && seen.len() < 100, "{}", seen.len());
    }

    #[test]
    fn the_newest_are_the_last_in_order() {
        let past = journal(&[Some(1); 100]);
        for most in [0, 1, 10, 99, 100, 1000] {
            let seqs: Vec<u64> = past.newest(most).iter().map(|entry| entry.reading.seq).collect();
            let expected: Vec<u64> = (100 - (most as u64).min(100)..100).collect();
            assert_eq!(seqs, expected, "{most}");
        }
    }
}
