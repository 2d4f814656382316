//! Bytes that are not what was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use sedge_journal::testing::FaultDisk;
use sedge_journal::{Done, Journal, Options, Reader, Why};

const SEGMENT: &str = "0000000001.seg";
const SMALL: Options = Options { segment_bytes: 4096, max_bytes: 64 * 1024, memory_bytes: 4096 };
const LARGE: Options = Options { segment_bytes: 32 * 1024, max_bytes: 256 * 1024, memory_bytes: 4096 };

fn payload(number: u64) -> Vec<u8> {
    format!("{number}:").repeat(1 + number as usize % 9).into_bytes()
}

/// A disk with a log of so many records, all durable, and not closed.
fn log(records: u64, options: Options) -> FaultDisk {
    let disk = FaultDisk::new(1);
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), options).unwrap();
    let payloads: Vec<_> = (0..records).map(payload).collect();
    assert_eq!(journal.append_all(&payloads).positions, 0..records);
    journal.sync().unwrap();
    disk.kill();
    disk
}

fn all(reader: &Reader) -> BTreeMap<u64, Vec<u8>> {
    let (mut records, mut next) = (BTreeMap::new(), 0);
    loop {
        let chunk = reader.read(next, 1000, usize::MAX);
        if chunk.next == next {
            return records;
        }
        next = chunk.next;
        records.extend(chunk.records);
    }
}

/// Opens whatever there is, and checks that it is a journal: nothing invented, and it takes records and keeps them.
fn recovered(disk: &FaultDisk, options: Options) -> BTreeMap<u64, Vec<u8>> {
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), options).unwrap();
    let found = all(&journal.reader());
    for (position, held) in &found {
        assert_eq!(*held, payload(*position), "invented");
    }
    let position = journal.append(b"after").unwrap();
    assert!(found.keys().all(|held| *held < position));
    journal.sync().unwrap();
    drop(journal);
    disk.cut();
    let (journal, found_again) = Journal::open(Arc::new(disk.clone()), options).unwrap();
    assert!(found_again.in_order);
    let mut again = all(&journal.reader());
    assert_eq!(again.remove(&position).as_deref(), Some(&b"after"[..]));
    assert_eq!(again, found);
    found
}

/// Where each frame of a segment begins, read off the format as it is documented.
fn frames(bytes: &[u8]) -> Vec<(usize, u64)> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut frames) = (64, Vec::new());
    while number(at + 4) != 0 {
        frames.push((at, u64::from_le_bytes(bytes[at + 12..at + 20].try_into().unwrap())));
        at = (at + 20 + number(at)).next_multiple_of(8);
    }
    frames.push((at, u64::MAX));
    frames
}

#[test]
fn a_log_cut_at_any_byte_keeps_every_record_before_the_cut() {
    let disk = log(200, LARGE);
    let bytes = disk.bytes(SEGMENT).unwrap();
    let frames = frames(&bytes);
    assert_eq!(frames.len(), 201);
    let used = frames[200].0;
    for cut in 0..=used {
        let disk = FaultDisk::new(2);
        disk.put(SEGMENT, &bytes[..cut]);
        let whole = frames.windows(2).filter(|pair| {
            let length = u32::from_le_bytes(bytes[pair[0].0..pair[0].0 + 4].try_into().unwrap()) as usize;
            pair[0].0 + 20 + length <= cut
        });
        assert_eq!(recovered(&disk, SMALL).len(), whole.count(), "cut at {cut}");
    }
}

#[test]
fn a_log_with_any_bit_flipped_loses_one_record_at_most() {
    let disk = log(12, SMALL);
    let bytes = disk.bytes(SEGMENT).unwrap();
    let frames = frames(&bytes);
    // Behind the frames there are zeros alone: one bit in a hundred will do.
    let used = (frames[12].0 + 64) * 8;
    for bit in (0..used).chain((used..bytes.len() * 8).step_by(100)) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let disk = FaultDisk::new(3);
        disk.put(SEGMENT, &flipped);
        let found = recovered(&disk, SMALL);
        let hit = frames.partition_point(|(at, _)| *at <= bit / 8);
        let missing: Vec<u64> = (0..12).filter(|position| !found.contains_key(position)).collect();
        let may = (hit > 0 && hit < frames.len()).then(|| frames[hit - 1].1);
        assert!(
            missing.is_empty() || missing == may.into_iter().collect::<Vec<_>>(),
            "bit {bit}: {missing:?}"
        );
    }
}

#[test]
fn any_byte_overwritten_by_noise_costs_what_it_hits_and_nothing_else() {
    let disk = log(60, SMALL);
    let names: Vec<String> =
        (1..=2).map(|epoch| format!("{epoch:010}.seg")).filter(|name| disk.bytes(name).is_some()).collect();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..500 {
        let disk = disk.copy();
        let name = &names[random.usize(..names.len())];
        let mut bytes = disk.bytes(name).unwrap();
        let hit: Vec<u64> = {
            let (from, length) = (random.usize(..bytes.len()), random.usize(1..400));
            let to = bytes.len().min(from + length);
            let frames = frames(&bytes);
            bytes[from..to].fill_with(|| random.u8(..));
            frames
                .windows(2)
                .filter(|pair| pair[0].0 < to && from < pair[1].0)
                .map(|pair| pair[0].1)
                .collect()
        };
        disk.put(name, &bytes);
        let found = recovered(&disk, SMALL);
        for position in (0..60).filter(|position| !found.contains_key(position)) {
            assert!(hit.contains(&position), "{position} was not hit");
        }
    }
}

#[test]
fn damage_is_reported_and_kept_aside() {
    let disk = log(12, SMALL);
    let mut bytes = disk.bytes(SEGMENT).unwrap();
    let at = frames(&bytes)[5].0;
    bytes[at + 20] ^= 1;
    disk.put(SEGMENT, &bytes);
    let (journal, found) = Journal::open(Arc::new(disk.clone()), SMALL).unwrap();
    assert_eq!((found.damaged, found.newest_records), (1, 11));
    let chunk = journal.reader().read(0, 100, usize::MAX);
    assert_eq!((chunk.missing[0].range.clone(), chunk.missing[0].why), (5..6, Why::Damaged));
    assert_eq!(chunk.records.len(), 11);
    let stats = journal.reader().stats();
    assert_eq!((stats.damage.bad_spans, stats.damage.torn_tails), (1, 0));
    let kept = disk.bytes(&format!("0000000001-{at}.bad")).unwrap();
    assert_eq!(kept, bytes[at..at + kept.len()]);
    assert_eq!(journal.reader().verify(&mut |_| {}).bad, 1);
    // A second look is no second damage.
    all(&journal.reader());
    assert_eq!(journal.reader().stats().damage.bad_spans, 1);
}

#[test]
fn what_is_kept_aside_is_bounded() {
    let disk = FaultDisk::new(4);
    for epoch in 1..=200 {
        disk.put(&format!("{epoch:010}.seg"), &[0xA5; 1000]);
    }
    let (journal, found) = Journal::open(Arc::new(disk.clone()), SMALL).unwrap();
    assert_eq!(found.damaged, 200);
    let kept = sedge_journal::Disk::list(&disk).unwrap().iter().filter(|name| name.ends_with(".bad")).count();
    assert_eq!(kept, 16);
    assert_eq!(journal.reader().head(), found.next);
}

#[test]
fn foreign_empty_and_left_over_files_do_not_disturb_it() {
    let disk = log(12, SMALL);
    for (name, bytes) in [
        ("README", &b"hello"[..]),
        ("0000000002.seg", b""),
        ("0000000003.seg", &[0; 4096]),
        ("0000000004.new", &[0; 100]),
        ("0000000005.free", &[7; 4096]),
        ("0000000006.free", b""),
        ("4294967295.seg", &[1; 4096]),
        ("9999999999.seg", &[1; 4096]),
        ("00000001.seg", b"x"),
        ("lock", b""),
        ("reader.done.tmp", b"half"),
    ] {
        disk.put(name, bytes);
    }
    // Also a copy of a segment under another name.
    disk.put("0000000077.seg", &disk.bytes(SEGMENT).unwrap());
    assert_eq!(recovered(&disk, SMALL).len(), 12);
    let names = sedge_journal::Disk::list(&disk).unwrap();
    assert!(
        names.contains(&"README".to_owned()) && names.contains(&"9999999999.seg".to_owned()),
        "{names:?}"
    );
    assert!(!names.iter().any(|name| name.ends_with(".new")));
}

#[test]
fn a_segment_without_its_header_is_known_by_its_frames() {
    let disk = log(12, SMALL);
    let mut bytes = disk.bytes(SEGMENT).unwrap();
    bytes[..64].fill(0xFF);
    disk.put(SEGMENT, &bytes);
    assert_eq!(recovered(&disk, SMALL).len(), 12);
}

#[test]
fn a_cursor_with_any_bit_flipped_or_cut_is_an_older_one() {
    let disk = FaultDisk::new(5);
    let mut done = Done::load(&disk, "reader.done");
    done.add(0..10);
    done.store(&disk).unwrap();
    let older = done.clone();
    done.add(12..20);
    done.store(&disk).unwrap();
    let bytes = disk.bytes("reader.done").unwrap();
    let check = |bytes: &[u8]| {
        disk.put("reader.done", bytes);
        let mut found = Done::load(&disk, "reader.done");
        assert!(!found.contains(10) && !found.contains(20));
        let whole = found.pending(0..20) == done.pending(0..20);
        let is_older = found.pending(0..20) == older.pending(0..20);
        assert!(whole || is_older || found.end() == 0, "{found:?}");
        found.add(30..31);
        found.store(&disk).unwrap();
        assert!(Done::load(&disk, "reader.done").contains(30));
        whole || is_older
    };
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&flipped), "one slot is whole");
    }
    for cut in 0..bytes.len() {
        check(&bytes[..cut]);
    }
}
