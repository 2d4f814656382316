//! Any bytes as what a journal finds: segments, cursors, leftovers. It opens, reads all, takes records and keeps them.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sedge_journal::testing::FaultDisk;
use sedge_journal::{Done, Journal, Options, Reader};

const NAMES: [&str; 8] = [
    "0000000001.seg",
    "0000000002.seg",
    "0000000003.seg",
    "0000000003.free",
    "0000000004.new",
    "reader.done",
    "0000000001-64.bad",
    "4293918719.seg",
];
const OPTIONS: Options = Options { segment_bytes: 4096, max_bytes: 64 * 1024, memory_bytes: 1024 };

/// A log to begin with, so that what is overwritten is a journal.
fn log() -> FaultDisk {
    let disk = FaultDisk::new(1);
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    journal.append_all(&vec![[7; 90]; 80]);
    drop(journal);
    disk
}

fn records(reader: &Reader) -> Vec<(u64, Vec<u8>)> {
    let (mut records, mut next) = (Vec::new(), 0);
    loop {
        let chunk = reader.read(next, 64, 64 * 1024);
        if chunk.next == next {
            return records;
        }
        assert!(chunk.next > next);
        next = chunk.next;
        records.extend(chunk.records);
    }
}

// file u8 | whole or at an offset u8, u16 | length u16 | bytes, and again
fuzz_target!(|input: &[u8]| {
    let disk = log();
    let mut rest = input;
    while let [file, whole, low, high, short, long, bytes @ ..] = rest {
        let name = NAMES[usize::from(*file) % NAMES.len()];
        let (new, more) = bytes.split_at(bytes.len().min(usize::from(u16::from_le_bytes([*short, *long]))));
        rest = more;
        let mut content = disk.bytes(name).filter(|_| whole % 4 > 0).unwrap_or_default();
        let at = usize::from(u16::from_le_bytes([*low, *high])).min(content.len());
        let end = content.len().max(at + new.len());
        content.resize(end, 0);
        content[at..at + new.len()].copy_from_slice(new);
        disk.put(name, &content);
    }
    let mut done = Done::load(&disk, "reader.done");
    let _ = Reader::open_read_only(Arc::new(disk.clone())).map(|reader| records(&reader));
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    journal.advance(done.end());
    let before = records(&journal.reader());
    assert!(before.windows(2).all(|pair| pair[0].0 < pair[1].0));
    journal.reader().verify(&mut |_| {});
    let position = (0..32).find_map(|_| {
        let position = journal.append(b"after").ok();
        let _ = position.is_none().then(|| journal.drop_oldest());
        position
    });
    let position = position.unwrap();
    journal.sync().unwrap();
    drop(journal);
    disk.cut();
    let (journal, found) = Journal::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    assert!(found.in_order && found.next > position);
    assert_eq!(journal.reader().read(position, 1, 100).records, [(position, b"after".to_vec())]);
    done.add(position..position + 1);
    done.store(&disk).unwrap();
    assert!(Done::load(&disk, "reader.done").contains(position) || done.end() != position + 1);
});
