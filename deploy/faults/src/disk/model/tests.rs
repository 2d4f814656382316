//! The disk forgets what it must, and nothing else.

use proptest::prelude::*;

use super::*;

fn random(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

fn content(disk: &Disk, name: &str) -> Option<Vec<u8>> {
    disk.read(disk.lookup(Disk::ROOT, name).ok()?, 0, usize::MAX).ok()
}

/// A disk with a durable file.
fn with_file(bytes: &[u8]) -> (Disk, Number) {
    let mut disk = Disk::default();
    let file = disk.create(Disk::ROOT, "a", false).unwrap();
    disk.write(file, 0, bytes).unwrap();
    disk.sync(file).unwrap();
    disk.sync(Disk::ROOT).unwrap();
    (disk, file)
}

#[test]
fn a_file_without_a_synced_name_may_be_gone_and_one_without_synced_bytes_may_be_empty() {
    let outcomes: std::collections::BTreeSet<_> = (0..200)
        .map(|seed| {
            let mut disk = Disk::default();
            let file = disk.create(Disk::ROOT, "a", false).unwrap();
            disk.write(file, 0, b"x").unwrap();
            disk.cut(&mut random(seed));
            content(&disk, "a")
        })
        .collect();
    assert_eq!(outcomes, [None, Some(vec![]), Some(b"x".to_vec())].into());
}

#[test]
fn a_rename_without_a_sync_leaves_the_old_name_or_the_new_one_and_never_a_half() {
    let outcomes: std::collections::BTreeSet<_> = (0..200)
        .map(|seed| {
            let (mut disk, _) = with_file(b"old");
            let new = disk.create(Disk::ROOT, "a.new", false).unwrap();
            disk.write(new, 0, b"new").unwrap();
            disk.sync(new).unwrap();
            disk.rename([Disk::ROOT; 2], ["a.new", "a"], true).unwrap();
            assert_eq!(content(&disk, "a").unwrap(), b"new");
            disk.cut(&mut random(seed));
            content(&disk, "a").unwrap()
        })
        .collect();
    assert_eq!(outcomes, [b"old".to_vec(), b"new".to_vec()].into());
}

#[test]
fn writes_are_torn_at_sectors_and_kept_out_of_order() {
    let mut torn = false;
    let mut out_of_order = false;
    for seed in 0..200 {
        let (mut disk, file) = with_file(&[0; 4096]);
        disk.write(file, 100, &[1; 2000]).unwrap();
        disk.write(file, 3000, &[2; 10]).unwrap();
        disk.cut(&mut random(seed));
        let bytes = content(&disk, "a").unwrap();
        assert_eq!(bytes.len(), 4096);
        let sector = |at: usize| &bytes[at.max(100)..(at + 512).min(2100)];
        let parts: Vec<u8> = (0..5).map(|n| sector(n * 512)[0]).collect();
        assert!((0..5).all(|n| sector(n * 512).iter().all(|byte| *byte == parts[n])), "a sector is whole");
        torn |= parts.contains(&0) && parts.contains(&1);
        out_of_order |= parts.contains(&0) && bytes[3000] == 2;
    }
    assert!(torn && out_of_order);
}

#[test]
fn a_sync_that_fails_loses_what_it_should_have_kept_and_the_next_one_says_nothing() {
    let (mut disk, file) = with_file(b"old");
    disk.write(file, 0, b"new").unwrap();
    disk.refuses.syncs = Some(1);
    assert_eq!(disk.sync(file), Err(Errno::EIO));
    disk.refuses.syncs = None;
    assert_eq!(disk.sync(file), Ok(()));
    assert_eq!(content(&disk, "a").unwrap(), b"new", "it is still in the cache");
    disk.cut(&mut random(1));
    assert_eq!(content(&disk, "a").unwrap(), b"old");
}

#[test]
fn a_full_disk_takes_what_fits_and_a_read_only_one_nothing() {
    let (mut disk, file) = with_file(b"1234567890");
    disk.refuses.capacity = Some(15);
    assert_eq!(disk.write(file, 10, b"abcdefgh"), Ok(5));
    assert_eq!(disk.write(file, 15, b"x"), Err(Errno::ENOSPC));
    assert_eq!(disk.write(file, 0, b"x"), Ok(1), "what is there can be written over");
    assert_eq!(disk.resize(file, 16), Err(Errno::ENOSPC));
    disk.refuses = Refuses { read_only: true, ..Refuses::default() };
    assert_eq!(disk.write(file, 0, b"x"), Err(Errno::EROFS));
    assert_eq!(disk.create(Disk::ROOT, "b", false), Err(Errno::EROFS));
    assert_eq!(disk.rename([Disk::ROOT; 2], ["a", "b"], true), Err(Errno::EROFS));
    assert_eq!(disk.remove(Disk::ROOT, "a", false), Err(Errno::EROFS));
}

#[test]
fn with_the_step_that_was_named_the_power_is_gone() {
    let (mut disk, file) = with_file(b"a");
    disk.cut_at = Some(disk.steps + 2);
    assert_eq!(disk.write(file, 1, b"b"), Ok(1));
    assert_eq!(disk.write(file, 2, b"c"), Err(Errno::EIO));
    assert_eq!(disk.sync(file), Err(Errno::EIO));
    assert_eq!(disk.read(file, 0, 1), Err(Errno::EIO));
    disk.cut(&mut random(3));
    let bytes = content(&disk, "a").unwrap();
    assert!(bytes == b"a" || bytes == b"ab", "{bytes:?}");
}

/// What is done to a disk.
#[derive(Debug, Clone)]
enum Act {
    Create(u8),
    Write(u8, u16, u16),
    Resize(u8, u16),
    Rename(u8, u8),
    Remove(u8),
    Sync(u8),
    SyncFolder,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..4_u8).prop_map(Act::Create),
        (0..4_u8, 0..3000_u16, 1..2000_u16).prop_map(|(name, at, length)| Act::Write(name, at, length)),
        (0..4_u8, 0..3000_u16).prop_map(|(name, length)| Act::Resize(name, length)),
        (0..4_u8, 0..4_u8).prop_map(|(from, to)| Act::Rename(from, to)),
        (0..4_u8).prop_map(Act::Remove),
        (0..4_u8).prop_map(Act::Sync),
        Just(Act::SyncFolder),
    ]
}

fn run(disk: &mut Disk, act: &Act, mark: u8) {
    let name = |n: &u8| n.to_string();
    let of = |disk: &Disk, n: &u8| disk.lookup(Disk::ROOT, &name(n)).ok();
    match act {
        Act::Create(n) => drop(disk.create(Disk::ROOT, &name(n), false)),
        Act::Write(n, at, length) => {
            if let Some(file) = of(disk, n) {
                disk.write(file, usize::from(*at), &vec![mark; usize::from(*length)]).unwrap();
            }
        }
        Act::Resize(n, length) => {
            if let Some(file) = of(disk, n) {
                disk.resize(file, usize::from(*length)).unwrap();
            }
        }
        Act::Rename(from, to) => drop(disk.rename([Disk::ROOT; 2], [&name(from), &name(to)], true)),
        Act::Remove(n) => drop(disk.remove(Disk::ROOT, &name(n), false)),
        Act::Sync(n) => {
            if let Some(file) = of(disk, n) {
                disk.sync(file).unwrap();
            }
        }
        Act::SyncFolder => disk.sync(Disk::ROOT).unwrap(),
    }
}

fn all(disk: &Disk) -> Vec<(String, Vec<u8>)> {
    let names = disk.names(Disk::ROOT).unwrap();
    names.into_iter().map(|(name, file)| (name, disk.read(file, 0, usize::MAX).unwrap())).collect()
}

proptest! {
    #[test]
    fn what_is_synced_wholly_is_there_after_a_cut_byte_for_byte(acts in prop::collection::vec(act(), 0..40), seed: u64) {
        let mut disk = Disk::default();
        for (mark, act) in acts.iter().enumerate() {
            run(&mut disk, act, u8::try_from(mark).unwrap() + 1);
        }
        for (_, file) in disk.names(Disk::ROOT).unwrap() {
            disk.sync(file).unwrap();
        }
        disk.sync(Disk::ROOT).unwrap();
        let before = all(&disk);
        disk.cut(&mut random(seed));
        prop_assert_eq!(all(&disk), before);
    }

    #[test]
    fn a_cut_makes_up_no_bytes_and_the_same_seed_cuts_the_same(acts in prop::collection::vec(act(), 0..40), seed: u64) {
        let mut disk = Disk::default();
        for (mark, act) in acts.iter().enumerate() {
            run(&mut disk, act, u8::try_from(mark).unwrap() + 1);
        }
        let mut again = disk.clone();
        disk.cut(&mut random(seed));
        again.cut(&mut random(seed));
        prop_assert_eq!(all(&disk), all(&again));
        let wrote = |mark: usize| mark == 0 || matches!(acts.get(mark - 1), Some(Act::Write(..)));
        prop_assert!(all(&disk).iter().flat_map(|(_, bytes)| bytes).all(|byte| wrote(usize::from(*byte))));
        disk.cut(&mut random(seed.wrapping_add(1)));
        prop_assert_eq!(all(&disk), all(&again), "without changes a cut takes nothing");
    }
}
