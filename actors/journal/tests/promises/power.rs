//! Lives of a journal that end in power cuts, kills and failing disks, from seeds. `SEDGE_RUNS` says how many, `SEDGE_SEED`
//! from which seed on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use sedge_journal::testing::{FaultDisk, Faults};
use sedge_journal::{Done, Journal, Options, Reader};

const RUNS: u64 = 500;
const MOST_CHANGES: u64 = 160;
const CURSOR: &str = "reader.done";

/// What must be true, whatever happened.
#[derive(Default)]
struct Oracle {
    /// Every record that ever got a position.
    appended: BTreeMap<u64, Vec<u8>>,
    /// Those that must be read back.
    required: BTreeSet<u64>,
    /// Those of this life that no sync covers yet.
    pending: BTreeSet<u64>,
    /// Handed back as lost. They may be found again.
    lost: BTreeSet<u64>,
    /// What the cursor may say is done, and what it must.
    added: BTreeSet<u64>,
    stored: BTreeSet<u64>,
    written: u64,
    /// Of those that were given out where the disk could be told that there are some.
    highest: Option<u64>,
    unmarked: bool,
}

impl Oracle {
    fn append(&mut self, position: u64, payload: Vec<u8>) {
        let before = self.appended.insert(position, payload);
        assert!(before.is_none(), "position {position} was given out twice");
        self.pending.insert(position);
        if !self.unmarked {
            self.highest = self.highest.max(Some(position));
        }
    }

    fn sync(&mut self, durable: u64) {
        let above = self.pending.split_off(&durable);
        self.required.append(&mut self.pending);
        self.pending = above;
    }

    /// What leaves the log in an ordinary way is no loss.
    fn release(&mut self, gone: impl Fn(u64) -> bool) {
        self.required.retain(|position| !gone(*position));
        self.pending.retain(|position| !gone(*position));
    }

    /// Reads everything: nothing invented, in order, each position accounted for.
    fn read(&self, reader: &Reader) -> BTreeSet<u64> {
        let (mut next, mut seen) = (0, BTreeSet::new());
        loop {
            let chunk = reader.read(next, 7, 900);
            let mut covered: Vec<(u64, u64)> = chunk.records.iter().map(|(at, _)| (*at, at + 1)).collect();
            covered.extend(chunk.missing.iter().map(|missing| (missing.range.start, missing.range.end)));
            covered.sort_unstable();
            for (start, end) in covered {
                assert_eq!(start, next, "neither a record nor missing");
                next = end;
            }
            assert_eq!(chunk.next, next);
            for (position, payload) in &chunk.records {
                assert_eq!(Some(payload), self.appended.get(position), "invented at {position}");
                seen.insert(*position);
            }
            if chunk.records.is_empty() && chunk.missing.is_empty() {
                return seen;
            }
        }
    }

    fn complete(&self, seen: &BTreeSet<u64>, reader: &Reader) {
        let lost: Vec<&u64> = self.required.difference(seen).collect();
        assert!(lost.is_empty(), "lost {lost:?}: {:?}", reader.stats());
    }
}

fn payload(random: &mut Rng, number: u64) -> Vec<u8> {
    let bytes = match random.u8(..20) {
        0 => 0,
        1 => 900,
        _ => random.usize(..140),
    };
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + bytes, number as u8);
    payload
}

/// Whether compaction keeps a position.
fn keeps(position: u64) -> bool {
    !position.wrapping_mul(0x9E37_79B1).is_multiple_of(3)
}

fn faults(random: &mut Rng) -> Faults {
    let mut often = |one_in: u8, most: u32| if random.u8(..one_in) == 0 { random.u32(..most) } else { 0 };
    Faults {
        read: often(8, 60),
        write: often(4, 120),
        short: often(3, 300),
        interrupted: often(3, 300),
        sync: often(3, 300),
        directory: often(4, 200),
    }
}

fn options(random: &mut Rng) -> Options {
    Options {
        segment_bytes: [4096, 8192][random.usize(..2)],
        max_bytes: 8192 * random.u64(4..10),
        memory_bytes: random.usize(600..12_000),
    }
}

struct Life<'r> {
    disk: FaultDisk,
    journal: Journal,
    oracle: &'r mut Oracle,
    random: &'r mut Rng,
    done: Done,
}

impl Life<'_> {
    fn step(&mut self) {
        match self.random.u8(..30) {
            0..=11 => self.append_one(),
            12..=17 => self.append_many(),
            18..=22 => self.sync(),
            23 => self.drop_oldest(),
            24 => {
                // Where this fails midway nobody knows whether it was done.
                self.oracle.release(|position| !keeps(position));
                let _ = self.journal.compact(&mut |position, _| keeps(position));
            }
            25 => self.journal.retry(),
            26..=27 => self.store(),
            _ => _ = self.oracle.read(&self.journal.reader()),
        }
        for (position, payload) in self.journal.take_unsaved() {
            assert_eq!(self.oracle.appended[&position], payload);
            assert!(!self.oracle.required.contains(&position), "{position} was durable, and is lost");
            self.oracle.pending.remove(&position);
            self.oracle.lost.insert(position);
        }
    }

    fn append_one(&mut self) {
        self.oracle.written += 1;
        let payload = payload(self.random, self.oracle.written);
        match self.journal.append(&payload) {
            Ok(position) => self.oracle.append(position, payload),
            Err(_) => self.drop_oldest(),
        }
    }

    fn append_many(&mut self) {
        let mut payloads = Vec::new();
        for _ in 0..self.random.usize(1..40) {
            self.oracle.written += 1;
            payloads.push(payload(self.random, self.oracle.written));
        }
        let appended = self.journal.append_all(&payloads);
        let full = appended.stopped.is_some();
        appended
            .positions
            .zip(payloads)
            .for_each(|(position, payload)| self.oracle.append(position, payload));
        if full {
            self.drop_oldest();
        }
    }

    fn sync(&mut self) {
        if let Ok(durable) = self.journal.sync() {
            self.oracle.sync(durable);
        }
    }

    fn drop_oldest(&mut self) {
        let end = self.journal.oldest().map_or(0, |oldest| oldest.end);
        self.oracle.release(|position| position < end);
        let _ = self.journal.drop_oldest();
    }

    /// Done with some that were read, durable or not.
    fn store(&mut self) {
        let reader = self.journal.reader();
        let chunk = reader.read(self.random.u64(..=reader.head()), 20, 2000);
        for (position, _) in chunk.records {
            self.done.add(position..position + 1);
            self.oracle.added.insert(position);
        }
        if self.done.store(&self.disk).is_ok() {
            self.oracle.stored =
                self.oracle.added.iter().copied().filter(|position| self.done.contains(*position)).collect();
        }
    }
}

fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let disk = FaultDisk::new(seed);
    let options = options(&mut random);
    let mut oracle = Oracle::default();
    for _ in 0..random.usize(2..8) {
        live(&disk, options, &mut random, &mut oracle);
    }
    disk.set_faults(Faults::default());
    disk.set_capacity(u64::MAX);
    disk.set_read_only(false);
    disk.cut_after(u64::MAX);
    let journal = open(&disk, options, &mut oracle, true).expect("the power is on");
    assert_eq!(journal.trouble(), None);
}

/// Opens, and checks what must be there. None when the power fails meanwhile.
fn open(disk: &FaultDisk, options: Options, oracle: &mut Oracle, readable: bool) -> Option<Journal> {
    let (mut journal, found) = match Journal::open(Arc::new(disk.clone()), options) {
        Ok(opened) => opened,
        Err(error) => panic!("does not open: {error}"),
    };
    oracle.pending.clear();
    let done = Done::load(disk, CURSOR);
    if disk.is_off() {
        return None;
    }
    if readable {
        let reader = journal.reader();
        let seen = oracle.read(&reader);
        // Damage that is read is kept aside: also there the power may fail.
        if disk.is_off() {
            return None;
        }
        oracle.complete(&seen, &reader);
        let durable = reader.durable();
        oracle.required.extend(seen.range(..durable).filter(|position| !oracle.lost.contains(position)));
        assert!(
            oracle.stored.iter().all(|position| done.contains(*position)),
            "the cursor lost what was stored"
        );
    }
    assert!(done.pending(0..u64::MAX).len() <= 65);
    for position in oracle.appended.keys() {
        assert!(!done.contains(*position) || oracle.added.contains(position), "the cursor went forward");
    }
    assert!(found.next <= journal.reader().head());
    journal.advance(done.end());
    assert!(
        oracle.highest.is_none_or(|highest| highest < journal.reader().head()),
        "positions may be used twice"
    );
    oracle.unmarked = journal.trouble().is_some();
    Some(journal)
}

fn live(disk: &FaultDisk, options: Options, random: &mut Rng, oracle: &mut Oracle) {
    let faults = if random.bool() { faults(random) } else { Faults::default() };
    disk.set_faults(faults);
    disk.set_read_only(random.u8(..24) == 0);
    disk.set_capacity(if random.u8(..6) == 0 { random.u64(..60_000) } else { u64::MAX });
    if random.u8(..4) > 0 {
        // One in three of these falls into the opening itself.
        let most = [6, MOST_CHANGES, 2 * MOST_CHANGES][random.usize(..3)];
        disk.cut_after(random.u64(..most));
    }
    if faults.read > 0 {
        // What cannot be read now may be written over.
        oracle.stored.clear();
    }
    if let Some(journal) = open(disk, options, oracle, faults.read == 0) {
        let done = Done::load(disk, CURSOR);
        let mut life = Life { disk: disk.clone(), journal, oracle, random, done };
        for _ in 0..life.random.usize(..60) {
            if disk.is_off() {
                break;
            }
            life.step();
        }
        let journal = life.journal;
        match random.u8(..3) {
            0 => {
                let well = journal.trouble().is_none();
                disk.kill();
                drop(journal);
                // What was written outlives the process, if not yet a power cut.
                if well && !disk.is_off() && faults.read == 0 {
                    after_a_kill(disk, oracle);
                }
            }
            1 => drop(journal),
            _ => {
                disk.cut();
                drop(journal);
            }
        }
    }
    if disk.is_off() || random.bool() {
        disk.cut();
    }
}

fn after_a_kill(disk: &FaultDisk, oracle: &Oracle) {
    let reader = Reader::open_read_only(Arc::new(disk.clone())).unwrap();
    let seen = oracle.read(&reader);
    oracle.complete(&seen, &reader);
    let lost: Vec<&u64> = oracle.pending.difference(&seen).collect();
    assert!(lost.is_empty(), "a kill lost {lost:?}");
}

#[test]
fn what_was_synced_outlives_every_power_cut() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let runs: u64 = number("SEDGE_RUNS").unwrap_or(RUNS);
    let first = number("SEDGE_SEED").unwrap_or(0);
    for seed in first..first + runs {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "the run with SEDGE_SEED={seed} SEDGE_RUNS=1 failed");
    }
    #[expect(clippy::print_stdout, reason = "the count is what the long version is run for")]
    let () = println!("{runs} runs, seeds {first} to {}", first + runs - 1);
}
