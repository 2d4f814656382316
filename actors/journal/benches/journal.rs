//! What the journal costs beside a bare file: `cargo bench -p sedge-journal [-- DIRECTORY DEVICE]`.
//!
//! The baseline is one `write_all` of the same bytes, and as many `fdatasync`, into a growing file of the same directory, in
//! the same round; a ratio is the median of the rounds. With a device (`vda`, of `/sys/block`) the bytes that reach it are
//! counted as well: per record, at ten records a sync, what a second brings at ten readings a second.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sedge_journal::{Folder, Journal, Options};

const RECORD: [u8; 100] = [0x5A; 100];
const ROUNDS: usize = 5;
const READS: u64 = 200_000;
const DEVICE_RECORDS: usize = 20_000;

fn journal(path: &Path) -> Journal {
    Journal::open(Arc::new(Folder::new(path).unwrap()), Options::default()).unwrap().0
}

/// Seconds for so many records, a sync for each batch or none.
fn append(path: &Path, records: usize, batch: usize, sync: bool) -> f64 {
    let mut journal = journal(path);
    let payloads = vec![RECORD; batch];
    let begun = Instant::now();
    for _ in 0..records / batch {
        journal.append_all(&payloads);
        let _ = sync.then(|| journal.sync().unwrap());
    }
    begun.elapsed().as_secs_f64()
}

fn bare(path: &Path, records: usize, batch: usize, sync: bool) -> f64 {
    let mut file = File::create(path.join("bare")).unwrap();
    let bytes = RECORD.repeat(batch);
    let begun = Instant::now();
    for _ in 0..records / batch {
        file.write_all(&bytes).unwrap();
        let _ = sync.then(|| file.sync_data().unwrap());
    }
    begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn fresh(root: &Path) -> PathBuf {
    let path = root.join("journal-bench");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// Bytes written to a block device since the machine was started.
fn written(device: &str) -> u64 {
    let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
    stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * 512
}

fn appends(root: &Path) {
    println!("{:<28}{:>14}{:>14}{:>10}", "", "records/s", "bare file", "ratio");
    for (batch, records, sync) in [
        (1, 50_000, false),
        (100, 400_000, false),
        (1000, 400_000, false),
        (1, 300, true),
        (100, 30_000, true),
        (1000, 200_000, true),
    ] {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let path = fresh(root);
            rounds.push((append(&path, records, batch, sync), bare(&path, records, batch, sync)));
        }
        let ours = records as f64 / median(rounds.iter().map(|round| round.0).collect());
        let bare = records as f64 / median(rounds.iter().map(|round| round.1).collect());
        let ratio = median(rounds.iter().map(|round| round.1 / round.0).collect());
        let name = format!("batch {batch}{}", if sync { ", synced" } else { "" });
        println!("{name:<28}{ours:>14.0}{bare:>14.0}{ratio:>9.2}x");
    }
}

fn reads(root: &Path) {
    let path = fresh(root);
    append(&path, READS as usize, 1000, false);
    let reader = journal(&path).reader();
    let (mut next, mut read) = (0, 0);
    let begun = Instant::now();
    while read < READS {
        let chunk = reader.read(next, 1000, 1 << 20);
        (next, read) = (chunk.next, read + chunk.records.len() as u64);
    }
    println!("reads from segments {:>22.0}/s", READS as f64 / begun.elapsed().as_secs_f64());
}

fn opening(root: &Path) {
    let path = fresh(root);
    let mut full = journal(&path);
    while full.append_all(&vec![[7_u8; 1000]; 1000]).stopped.is_none() {}
    let segments = full.reader().stats().segments;
    std::mem::forget(full);
    let reader = Instant::now();
    let held =
        sedge_journal::Reader::open_read_only(Arc::new(Folder::new(&path).unwrap())).unwrap().stats().bytes;
    println!(
        "open, read-only {:>23.1} ms, {segments} segments, {} MiB",
        reader.elapsed().as_secs_f64() * 1e3,
        held >> 20
    );
}

fn device(root: &Path, device: &str) {
    for recycled in [false, true] {
        let path = fresh(root);
        let mut journal = journal(&path);
        if recycled {
            journal.append_all(&vec![RECORD; 50_000]);
            while journal.oldest().is_some() {
                journal.drop_oldest().unwrap();
            }
            journal.sync().unwrap();
        }
        let before = written(device);
        for _ in 0..DEVICE_RECORDS / 10 {
            journal.append_all(&[RECORD; 10]);
            journal.sync().unwrap();
        }
        let each = (written(device) - before) as f64 / DEVICE_RECORDS as f64;
        let day = each * 864_000.0 / 1e9;
        println!(
            "device, batch 10, recycled {recycled}: {each:.0} bytes a record, {day:.2} GB a day at 10/s"
        );
    }
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let root = arguments.first().map_or_else(std::env::temp_dir, PathBuf::from);
    match arguments.get(1) {
        Some(name) => device(&root, name),
        None => {
            appends(&root);
            reads(&root);
            opening(&root);
        }
    }
    let _ = fs::remove_dir_all(root.join("journal-bench"));
}
