//! What a long outage leaves, and how it goes: `cargo bench -p sedge --no-default-features --bench drain`.
//!
//! The node of this build finds a million readings in its journal, as after weeks without a broker, and hands them over with
//! `backlog_rate = 0`. Printed: readings per second, and the node's memory before, during and after: it is to stay flat.
#![allow(clippy::disallowed_methods, reason = "a bench lets real time pass")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sedge_journal::{Folder, Journal, Options};
use sedge_plugin::{Boot, Frame, Id, Reading, Taken, record};

use support::{Broker, Counter, cpu, folder, load, measures, memory, middle, node};

const READINGS: u64 = 1_000_000;
/// Sensors whose readings take turns.
const SENSORS: u64 = 10;
const WALL_MS: i64 = 1_795_195_704_123;

/// What ten sensors leave that were read once a second each.
fn backlog(place: &Path) {
    let disk = Folder::new(place).unwrap_or_else(|error| panic!("{error}"));
    let options = Options { segment_bytes: 1 << 20, ..Options::default() };
    let opened = Journal::open(Arc::new(disk), options);
    let (mut journal, _) = opened.unwrap_or_else(|error| panic!("{error}"));
    let sensors: Vec<Id> = (0..SENSORS).filter_map(|n| Id::new(&format!("s{n}")).ok()).collect();
    for first in (0..READINGS).step_by(1000) {
        let records: Vec<Vec<u8>> = (first..first + 1000)
            .map(|n| {
                let mut frame = Frame::default();
                frame.push("temperature", 20.0 + (n % 100) as f64 / 10.0);
                frame.push("humidity", 44.1);
                let wall_ms = i64::try_from(n * 100).ok().map(|ms| WALL_MS + ms);
                let taken = Taken { up_ms: n * 100, wall_ms };
                let (sensor, seq) = (sensors[(n % SENSORS) as usize].clone(), n / SENSORS + 1);
                record::encode(1, &Reading { sensor, boot: Boot(7), seq, taken, frame, origin: None })
            })
            .collect();
        let appended = journal.append_all(&records);
        assert_eq!(appended.stopped, None);
    }
    assert!(journal.sync().is_ok());
}

fn main() {
    if !measures() {
        return;
    }
    let folder = folder("drain");
    let Some(mut broker) = Broker::start(&folder) else { return };
    broker.stop();
    backlog(&folder.join("data/outbox"));
    let config = folder.join("node.toml");
    let text = format!(
        "[node]\nid = \"drained\"\ndata = \"{}\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\nbacklog_rate = 0\n\
         [plugin.system]\nenabled = false\n",
        folder.join("data").display(),
        broker.port
    );
    assert!(std::fs::write(&config, text).is_ok());
    let node = node(&config);
    std::thread::sleep(Duration::from_secs(5));
    let before = memory(node.id());
    broker.start_again();
    let counter = Counter::start(broker.port, |_, _| {});
    support::until("the first readings", || counter.readings.load(Ordering::Acquire) > 0);
    let (began, first, used) = (Instant::now(), counter.readings.load(Ordering::Acquire), cpu(node.id()));
    let (mut during, mut arrived) = (Vec::new(), first);
    while arrived < READINGS {
        std::thread::sleep(Duration::from_millis(250));
        let now = counter.readings.load(Ordering::Acquire);
        assert!(now > arrived || began.elapsed() < Duration::from_secs(300), "stuck at {now}");
        arrived = now;
        during.push(memory(node.id()));
    }
    let took = counter.wait(READINGS, began).as_secs_f64();
    let used = (cpu(node.id()) - used).as_secs_f64() * 1e6 / (READINGS - first) as f64;
    std::thread::sleep(Duration::from_secs(3));
    let after = memory(node.id());
    let mib = |kib: u64| kib as f64 / 1024.0;
    let most = during.iter().map(|memory| memory.0).max().unwrap_or(0);
    let usual = middle(during.iter().map(|memory| memory.0 as f64).collect()) / 1024.0;
    println!("{READINGS} readings, load {}", load());
    println!(
        "drained in {took:.1} s: {:.0} readings/s, {used:.1} µs CPU each",
        (READINGS - first) as f64 / took
    );
    println!(
        "PSS before {:.2} MB, while it drained {usual:.2} MB in the middle and {:.2} MB at most, after {:.2} MB; \
         its own {:.2}, {:.2} at most, {:.2} MB",
        mib(before.0),
        mib(most),
        mib(after.0),
        mib(before.1),
        mib(during.iter().map(|memory| memory.1).max().unwrap_or(0)),
        mib(after.1)
    );
    let more = counter.readings.load(Ordering::Acquire) - READINGS;
    if more > 0 {
        eprintln!("{more} readings came twice");
    }
}
