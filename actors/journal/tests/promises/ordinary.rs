//! What happens on a disk that is well.

use std::sync::Arc;

use sedge_journal::{
    AppendError, Done, Folder, Journal, JournalError, Memory, Options, Reader, Segment, Why, replace,
};

const SMALL: Options = Options { segment_bytes: 4096, max_bytes: 6 * 4096, memory_bytes: 1000 };

fn open(disk: &Memory) -> Journal {
    Journal::open(Arc::new(disk.clone()), SMALL).unwrap().0
}

fn memory() -> Memory {
    Memory::new(1 << 20)
}

/// Fills a journal until it takes no more; how many records it has.
fn fill(journal: &mut Journal) -> u64 {
    let appended = journal.append_all(&vec![vec![7; 100]; 10_000]);
    assert_eq!(appended.stopped, Some(AppendError::Full));
    appended.positions.end
}

#[test]
fn positions_go_on_where_they_ended_and_records_are_there_again() {
    let disk = memory();
    for round in 0..40 {
        let mut journal = open(&disk);
        assert_eq!(journal.append(format!("round {round}").as_bytes()), Ok(round));
        assert_eq!(journal.reader().tail(), 0);
    }
    let reader = Reader::open_read_only(Arc::new(disk.clone())).unwrap();
    assert_eq!(reader.read(39, 9, 900).records, [(39, b"round 39".to_vec())]);
    assert_eq!(reader.stats().segments, 1, "a restart costs no segment");
}

#[test]
fn a_reader_goes_through_all_segments_from_anywhere() {
    let mut journal = open(&memory());
    let payloads: Vec<_> = (0..150_u64).map(|number| vec![number as u8; 60]).collect();
    assert_eq!(journal.append_all(&payloads).positions, 0..150);
    assert!(journal.reader().stats().segments > 2);
    for from in 0..150 {
        let chunk = journal.reader().read(from, 1000, usize::MAX);
        assert_eq!(chunk.records.len() as u64, 150 - from);
        assert!(chunk.missing.is_empty());
        assert!(
            chunk
                .records
                .iter()
                .zip(from..)
                .all(|((at, bytes), position)| { *at == position && *bytes == payloads[position as usize] })
        );
    }
    let few = journal.reader().read(10, 1000, 150);
    assert_eq!((few.records.len(), few.next), (2, 12));
    assert_eq!(journal.reader().read(10, 1000, 1).records.len(), 1, "one at least");
    assert_eq!(journal.reader().read(150, 9, 900), sedge_journal::Chunk { next: 150, ..Default::default() });
}

#[test]
fn a_reader_on_another_thread_reads_all_while_it_is_written() {
    let disk = Memory::new(1 << 24);
    let options = Options { max_bytes: 1 << 23, ..SMALL };
    let (mut journal, _) = Journal::open(Arc::new(disk), options).unwrap();
    let reader = journal.reader();
    let thread = std::thread::spawn(move || {
        let (mut next, mut read) = (0, 0);
        while read < 20_000 {
            let chunk = reader.read(next, 64, 64 * 1024);
            assert!(chunk.missing.is_empty());
            for (position, bytes) in chunk.records {
                assert_eq!(bytes, position.to_le_bytes());
                read += 1;
            }
            next = chunk.next;
        }
    });
    for number in 0..20_000_u64 {
        assert_eq!(journal.append(&number.to_le_bytes()), Ok(number));
    }
    thread.join().unwrap();
}

#[test]
fn a_full_journal_says_so_and_goes_on_when_its_oldest_segment_is_dropped() {
    let mut journal = open(&memory());
    let records = fill(&mut journal);
    assert_eq!(journal.append(b""), Ok(records), "there may be room for a small one");
    assert!(journal.reader().stats().bytes <= SMALL.max_bytes);
    let Some(Segment { first: 0, end, .. }) = journal.oldest() else { panic!() };
    assert_eq!(journal.drop_oldest().unwrap(), 0..end);
    assert!(journal.append(&[7; 100]).is_ok());
    let chunk = journal.reader().read(0, 1, 1000);
    assert_eq!((chunk.missing[0].range.clone(), chunk.missing[0].why), (0..end, Why::Dropped));
    assert_eq!((chunk.records[0].0, journal.reader().tail()), (end, end));
}

#[test]
fn the_files_of_dropped_segments_are_used_again() {
    let disk = memory();
    let mut journal = open(&disk);
    for _ in 0..30 {
        fill(&mut journal);
        journal.drop_oldest().unwrap();
    }
    let written = journal.reader().stats().bytes_written;
    fill(&mut journal);
    journal.drop_oldest().unwrap();
    let more = journal.reader().stats().bytes_written - written;
    assert!(more < 2 * 4096, "{more} bytes for a segment: it was written full of zeros again");
    assert!(sedge_journal::Disk::list(&disk).unwrap().len() <= 6);
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let mut journal = open(&memory());
    assert_eq!(journal.append(&[0; 1025]), Err(AppendError::TooLarge { bytes: 1025, limit: 1024 }));
    assert_eq!(journal.append(&[0; 1024]), Ok(0));
    assert_eq!(journal.append(b""), Ok(1));
    let default = Journal::open(Arc::new(Memory::new(1 << 24)), Options::default()).unwrap().0;
    assert_eq!(default.limit(), 256 * 1024);
}

#[test]
fn compaction_makes_room_and_keeps_what_is_to_be_kept_where_it_was() {
    let disk = memory();
    let mut journal = open(&disk);
    let records = fill(&mut journal);
    let before = journal.reader().stats().segments;
    let mut asked = Vec::new();
    let made = journal.compact(&mut |position, _| {
        asked.push(position);
        position.is_multiple_of(10)
    });
    assert!(made.unwrap());
    assert!(asked.windows(2).all(|pair| pair[0] + 1 == pair[1]), "each is asked about once");
    assert!(journal.reader().stats().segments < before);
    let held = |reader: &Reader| reader.read(0, 100_000, usize::MAX);
    let chunk = held(&journal.reader());
    let kept_below = journal.oldest().unwrap().end;
    assert!(chunk.records.iter().all(|(position, _)| *position >= kept_below || position % 10 == 0));
    assert_eq!(
        chunk.records.iter().filter(|(position, _)| *position < kept_below).count() as u64,
        kept_below.div_ceil(10)
    );
    assert!(chunk.missing.iter().all(|missing| missing.why == Why::Compacted));
    assert_eq!(chunk.records.last().unwrap().0, records - 1);
    drop(journal);
    assert_eq!(held(&open(&disk).reader()), chunk, "it is the same after a restart");
    assert!(!open(&disk).compact(&mut |_, _| true).unwrap(), "nothing is gained");
}

#[test]
fn one_process_at_a_time_has_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = || Arc::new(Folder::new(place.path().join("journal")).unwrap());
    let first = Journal::open(folder(), SMALL).unwrap();
    let second = Journal::open(folder(), SMALL).err().unwrap();
    assert!(matches!(second, JournalError::Locked { .. }));
    assert!(second.to_string().contains("stop it first"));
    assert_eq!(Reader::open_read_only(folder()).unwrap().head(), 0, "looking at it is always possible");
    drop(first);
    assert!(Journal::open(folder(), SMALL).is_ok());
}

#[test]
fn a_folder_keeps_records_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a/b");
    let (mut journal, found) = Journal::open(Arc::new(Folder::new(&path).unwrap()), SMALL).unwrap();
    assert!(found.in_order);
    let records = fill(&mut journal);
    journal.sync().unwrap();
    assert_eq!(journal.reader().durable(), records);
    // As a process that is killed leaves it.
    std::mem::forget(journal);
    let reader = Reader::open_read_only(Arc::new(Folder::new(&path).unwrap())).unwrap();
    assert_eq!(reader.verify(&mut |_| {}).records, records);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("0000000001.seg")), 0o600);
}

#[test]
fn a_place_that_is_no_directory_is_said_to_be_none() {
    let place = tempfile::NamedTempFile::new().unwrap();
    assert!(Folder::new(place.path().join("journal")).is_err());
}

#[test]
fn a_cursor_knows_what_is_pending_and_forgets_the_newest_first() {
    let disk = memory();
    let mut done = Done::load(&disk, "reader.done");
    assert_eq!((done.below(), done.end()), (0, 0));
    done.add(0..5);
    done.add(7..9);
    done.add(9..9);
    assert_eq!((done.below(), done.end()), (5, 9));
    assert_eq!(done.pending(3..12), [5..7, 9..12]);
    done.add(4..8);
    assert_eq!((done.below(), done.pending(0..9)), (9, vec![]));
    for position in 0..400 {
        done.add(20 + 2 * position..21 + 2 * position);
    }
    assert!(done.contains(20) && !done.contains(818), "of too many ranges the newest are forgotten");
    done.store(&disk).unwrap();
    assert_eq!(Done::load(&disk, "reader.done").pending(0..900), done.pending(0..900));
}

#[test]
fn a_small_file_is_replaced_whole() {
    let disk = sedge_journal::testing::FaultDisk::new(1);
    replace(&disk, "ledger", b"old").unwrap();
    for changes in 0..6 {
        let copy = disk.copy();
        copy.cut_after(changes);
        let replaced = replace(&copy, "ledger", b"new and longer").is_ok();
        copy.cut();
        let held = copy.bytes("ledger").unwrap();
        assert!(held == b"new and longer" || (!replaced && held == b"old"));
    }
}
