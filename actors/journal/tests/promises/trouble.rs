//! A disk that is full, read-only or broken.

use std::sync::Arc;

use sedge_journal::testing::{FaultDisk, Faults};
use sedge_journal::{Journal, Options, Reader, TroubleKind, Why};

const SMALL: Options = Options { segment_bytes: 4096, max_bytes: 16 * 4096, memory_bytes: 4000 };

fn open(disk: &FaultDisk) -> Journal {
    Journal::open(Arc::new(disk.clone()), SMALL).unwrap().0
}

fn positions(reader: &Reader, from: u64) -> Vec<u64> {
    reader.read(from, 10_000, usize::MAX).records.iter().map(|record| record.0).collect()
}

fn records(count: usize) -> Vec<Vec<u8>> {
    vec![vec![7; 100]; count]
}

#[test]
fn on_a_full_disk_the_newest_records_are_in_memory_and_the_lost_ones_are_handed_over() {
    let disk = FaultDisk::new(1);
    let mut journal = open(&disk);
    disk.set_capacity(4096);
    let appended = journal.append_all(&records(100));
    assert_eq!((appended.positions, appended.stopped), (0..100, None));
    assert_eq!(journal.trouble().unwrap().kind, TroubleKind::Full);
    assert!(journal.sync().is_err());
    let lost: Vec<u64> = journal
        .take_unsaved()
        .into_iter()
        .map(|(position, payload)| {
            assert_eq!(payload, [7; 100]);
            position
        })
        .collect();
    assert!(journal.take_unsaved().is_empty(), "each once");
    let held = positions(&journal.reader(), 0);
    assert_eq!(lost.len() + held.len(), 100);
    assert!(!lost.is_empty() && held.contains(&99));
    assert_eq!(journal.reader().stats().lost, lost.len() as u64);
    let gaps = journal.reader().read(0, 10_000, usize::MAX).missing;
    assert_eq!((gaps.len(), gaps[0].why), (1, Why::Lost));
    assert_eq!(gaps[0].range.clone().collect::<Vec<_>>(), lost);

    disk.set_capacity(u64::MAX);
    journal.retry();
    assert_eq!(journal.trouble(), None);
    assert_eq!(journal.sync().unwrap(), 100);
    disk.cut();
    drop(journal);
    let journal = open(&disk);
    assert_eq!(positions(&journal.reader(), 0), held, "what was in memory was written");
}

#[test]
fn on_a_read_only_disk_it_opens_reads_and_takes_records() {
    let disk = FaultDisk::new(2);
    open(&disk).append_all(&records(10));
    disk.set_read_only(true);
    let mut journal = open(&disk);
    assert_eq!(journal.trouble().unwrap().kind, TroubleKind::ReadOnly);
    assert_eq!(positions(&journal.reader(), 0), (0..10).collect::<Vec<_>>());
    let position = journal.append(b"in memory").unwrap();
    assert!(position >= 10);
    assert_eq!(positions(&journal.reader(), 10), [position]);
    disk.set_read_only(false);
    journal.retry();
    drop(journal);
    assert_eq!(positions(&open(&disk).reader(), 10), [position]);
}

#[test]
fn after_a_failed_sync_what_it_covered_is_written_into_another_file() {
    let disk = FaultDisk::new(3);
    let mut journal = open(&disk);
    journal.append_all(&records(5));
    journal.sync().unwrap();
    journal.append_all(&records(5));
    disk.set_faults(Faults { sync: 1000, ..Faults::default() });
    assert!(journal.sync().is_err());
    assert_eq!(journal.reader().durable(), 5);
    disk.set_faults(Faults::default());
    journal.retry();
    assert_eq!(journal.reader().durable(), 10);
    disk.cut();
    drop(journal);
    let journal = open(&disk);
    assert_eq!(positions(&journal.reader(), 0), (0..10).collect::<Vec<_>>());
    assert!(journal.reader().stats().segments > 1);
}

#[test]
fn in_trouble_the_disk_is_left_alone_until_it_is_tried_again() {
    let disk = FaultDisk::new(4);
    let mut journal = open(&disk);
    disk.set_faults(Faults { write: 1000, ..Faults::default() });
    journal.append(b"one").unwrap();
    assert_eq!(journal.trouble().unwrap().kind, TroubleKind::Failed);
    let before = disk.changes();
    for _ in 0..1000 {
        journal.append(b"more").unwrap();
        let _ = journal.sync();
    }
    assert_eq!(disk.changes(), before);
    journal.retry();
    assert!(disk.changes() > before);
}

#[test]
fn memory_is_bounded_also_when_nobody_asks_for_what_was_lost() {
    let disk = FaultDisk::new(5);
    disk.set_read_only(true);
    let mut journal = open(&disk);
    for _ in 0..1000 {
        journal.append_all(&records(100));
    }
    let bytes: usize = journal.take_unsaved().iter().map(|(_, payload)| payload.len()).sum();
    assert!(bytes <= 256 * 1024, "{bytes}");
    assert!(positions(&journal.reader(), 0).len() < 40);
}

#[test]
fn a_dropped_segment_makes_room_on_a_full_disk() {
    let disk = FaultDisk::new(6);
    let mut journal = open(&disk);
    disk.set_capacity(3 * 4096);
    while journal.trouble().is_none() {
        journal.append_all(&records(1));
    }
    journal.drop_oldest().unwrap();
    journal.retry();
    assert_eq!(journal.trouble(), None, "its file was used again");
}
