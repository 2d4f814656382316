//! The newest records in memory: for readers that keep up, and for what the disk does not hold yet.

use std::collections::VecDeque;
use std::sync::Arc;

/// What a record costs beside its bytes.
const OVERHEAD: usize = 64;

pub(crate) type Record = (u64, Arc<[u8]>);

pub(crate) struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    most: usize,
}

impl Ring {
    pub(crate) fn new(most: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, most }
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.bytes += record.1.len() + OVERHEAD;
        self.records.push_back(record);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.bytes > self.most
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.records.front().map(|record| record.0)
    }

    /// The oldest, taken out.
    pub(crate) fn pop(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.bytes -= record.1.len() + OVERHEAD;
        Some(record)
    }

    /// Those below a position, taken out.
    pub(crate) fn forget_below(&mut self, position: u64) {
        self.forget(position, 0);
    }

    /// Lets the oldest go that are below a position, until no more than so many bytes are held.
    pub(crate) fn forget(&mut self, below: u64, most: usize) {
        while self.bytes > most && self.first().is_some_and(|first| first < below) {
            self.pop();
        }
    }

    /// The records from a position on.
    pub(crate) fn from(&self, position: u64) -> impl Iterator<Item = &Record> {
        let index = self.records.partition_point(|record| record.0 < position);
        self.records.range(index..)
    }
}
