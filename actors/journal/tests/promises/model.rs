//! Any sequence of what an owner does and what a disk suffers, against a model that is a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use sedge_journal::testing::{FaultDisk, Faults};
use sedge_journal::{AppendError, Journal, Options, Why};

const SMALL: Options = Options { segment_bytes: 4096, max_bytes: 8 * 4096, memory_bytes: 64 * 1024 };

#[derive(Debug, Clone)]
enum Action {
    Append(Vec<u16>),
    Sync,
    Close,
    Kill,
    Cut,
    TearTail(u16),
    Full(bool),
    Failing(bool),
    ReadOnly(bool),
    Retry,
    DropOldest,
    Compact(u64),
    Read(u16),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => vec(0..200_u16, 1..40).prop_map(Action::Append),
        6 => Just(Action::Sync),
        2 => Just(Action::Close),
        2 => Just(Action::Kill),
        3 => Just(Action::Cut),
        1 => any::<u16>().prop_map(Action::TearTail),
        1 => any::<bool>().prop_map(Action::Full),
        1 => any::<bool>().prop_map(Action::Failing),
        1 => any::<bool>().prop_map(Action::ReadOnly),
        3 => Just(Action::Retry),
        2 => Just(Action::DropOldest),
        2 => (2..5_u64).prop_map(Action::Compact),
        6 => any::<u16>().prop_map(Action::Read),
    ]
}

/// The journal as it should be: what is held, and what of it is safe.
struct Model {
    disk: FaultDisk,
    journal: Option<Journal>,
    held: BTreeMap<u64, Vec<u8>>,
    durable: u64,
    ever: BTreeMap<u64, Vec<u8>>,
    written: u32,
}

impl Model {
    fn new() -> Self {
        let disk = FaultDisk::new(11);
        let mut model = Self {
            disk,
            journal: None,
            held: BTreeMap::new(),
            durable: 0,
            ever: BTreeMap::new(),
            written: 0,
        };
        model.open();
        model
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().unwrap()
    }

    fn open(&mut self) {
        let (journal, _) = Journal::open(Arc::new(self.disk.clone()), SMALL).unwrap();
        let reader = journal.reader();
        self.journal = Some(journal);
        let found: BTreeMap<_, _> = reader.read(0, usize::MAX, usize::MAX).records.into_iter().collect();
        for (position, payload) in &found {
            assert_eq!(self.ever.get(position), Some(payload), "invented");
        }
        let kept = self.held.range(..self.durable).all(|(position, _)| found.contains_key(position));
        assert!(kept, "of what was durable something is gone");
        (self.held, self.durable) = (found, reader.durable());
    }

    fn append(&mut self, lengths: &[u16]) {
        let payloads: Vec<Vec<u8>> = lengths
            .iter()
            .map(|length| {
                self.written += 1;
                let mut payload = self.written.to_le_bytes().to_vec();
                payload.resize(4 + usize::from(*length), 0xEE);
                payload
            })
            .collect();
        let appended = self.journal().append_all(&payloads);
        assert!(matches!(appended.stopped, None | Some(AppendError::Full)));
        for (position, payload) in appended.positions.zip(payloads) {
            assert!(self.ever.insert(position, payload.clone()).is_none(), "given out twice");
            self.held.insert(position, payload);
        }
        for (position, payload) in self.journal().take_unsaved() {
            assert_eq!(self.held.remove(&position), Some(payload));
        }
        if appended.stopped.is_some() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Ok(range) = self.journal().drop_oldest() {
            self.held.retain(|position, _| !range.contains(position));
        }
    }

    fn compact(&mut self, each: u64) {
        let mut gone = Vec::new();
        let made = self.journal().compact(&mut |position, _| {
            let keep = position % each == 0;
            if !keep {
                gone.push(position);
            }
            keep
        });
        if made.is_ok_and(|made| made) {
            // Which of the segments became one is the journal's choice.
            let chunk = self.journal().reader().read(0, usize::MAX, usize::MAX);
            let there: BTreeMap<_, _> = chunk.records.into_iter().collect();
            self.held.retain(|position, _| !gone.contains(position) || there.contains_key(position));
        }
    }

    fn read(&mut self, at: u16) {
        let reader = self.journal().reader();
        let span = reader.head() - reader.tail();
        let from = reader.tail() + (u128::from(at) * u128::from(span) / (1 << 16)) as u64;
        let chunk = reader.read(from, 50, usize::MAX);
        let held: Vec<_> =
            self.held.range(from..chunk.next).map(|(at, payload)| (*at, payload.clone())).collect();
        assert_eq!(chunk.records, held);
        assert!(chunk.missing.iter().all(|missing| missing.why != Why::Unreadable));
        assert!(chunk.next > from || from == reader.head());
    }

    fn end(&mut self, how: &Action) {
        match how {
            Action::Kill => self.disk.kill(),
            Action::Close => {}
            _ => self.disk.cut(),
        }
        drop(self.journal.take());
        if let Action::TearTail(at) = how {
            self.tear(*at);
        }
        self.open();
    }

    /// The newest segment ends somewhere within what was not synced.
    fn tear(&mut self, at: u16) {
        let names = sedge_journal::Disk::list(&self.disk).unwrap();
        let Some(name) = names.iter().rfind(|name| name.ends_with(".seg")) else { return };
        let mut bytes = self.disk.bytes(name).unwrap();
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let from = bytes.len() - zeros * usize::from(at) / (1 << 16);
        bytes[from..].fill(0x55);
        self.disk.put(name, &bytes);
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Append(lengths) => self.append(lengths),
            Action::Sync => {
                if let Ok(durable) = self.journal().sync() {
                    self.durable = durable;
                }
            }
            Action::Close | Action::Kill | Action::Cut | Action::TearTail(_) => self.end(action),
            Action::Full(full) => self.disk.set_capacity(if *full { 0 } else { u64::MAX }),
            Action::Failing(failing) => {
                let often = if *failing { 500 } else { 0 };
                self.disk.set_faults(Faults { write: often, sync: often, ..Faults::default() });
            }
            Action::ReadOnly(read_only) => self.disk.set_read_only(*read_only),
            Action::Retry => self.journal().retry(),
            Action::DropOldest => self.drop_oldest(),
            Action::Compact(each) => self.compact(*each),
            Action::Read(at) => self.read(*at),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_map_would(actions in vec(action(), 1..60)) {
        let mut model = Model::new();
        for action in &actions {
            model.step(action);
        }
        model.disk.set_faults(Faults::default());
        model.disk.set_read_only(false);
        model.disk.set_capacity(u64::MAX);
        model.journal().retry();
        model.end(&Action::Close);
        prop_assert_eq!(model.journal().trouble(), None);
    }
}
