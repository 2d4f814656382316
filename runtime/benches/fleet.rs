//! Two hundred nodes and one broker: `cargo bench -p sedge --no-default-features --bench fleet`.
//!
//! Each is a process of this build with a simulated sensor that is read once a second, and keeps its readings on disk. Half-way
//! the broker is killed and comes back after five seconds. Printed: when the last node was there, first and again; what was
//! lost and what came twice, by the numbers of the readings; CPU and memory of the broker and of a node.
#![allow(clippy::disallowed_methods, reason = "a bench lets real time pass")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::{Broker, Counter, Process, cpu, folder, load, measures, memory, node, until};

const NODES: u64 = 200;
/// Before the broker goes, and after it is back.
const HALF: Duration = Duration::from_secs(30);
const OUTAGE: Duration = Duration::from_secs(5);

/// The numbers that came, by topic of the node.
type Seen = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

fn start(folder: &Path, port: u16, n: u64) -> Process {
    let place = folder.join(format!("n{n}"));
    let config = format!("{}.toml", place.display());
    let text = format!(
        "[node]\nid = \"n{n}\"\ndata = \"{}\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n[outbox]\nmax_bytes = \"4MiB\"\n\
         [bus.i2c-1]\nkind = \"sim\"\n[sensor.air]\nkind = \"bme280\"\nbus = \"i2c-1\"\naddress = 0x76\nevery = \"1s\"\n\
         [plugin.system]\nenabled = false\n",
        place.display()
    );
    std::fs::write(&config, text).unwrap_or_else(|error| panic!("{config}: {error}"));
    node(Path::new(&config))
}

fn counter(port: u16, seen: &Seen) -> Counter {
    let seen = seen.clone();
    Counter::start(port, move |topic, payload| {
        let node = topic.split('/').nth(2).unwrap_or_default().to_owned();
        let text = String::from_utf8_lossy(payload);
        let seqs =
            text.split("\"seq\":").skip(1).filter_map(|rest| rest.split(',').next()?.parse::<u64>().ok());
        if let Ok(mut seen) = seen.lock() {
            seen.entry(node).or_default().extend(seqs);
        }
    })
}

/// Waits until all nodes are online; how long after `began` the last one was.
fn all_online(counter: &Counter, began: Instant) -> Duration {
    until("all nodes are online", || counter.online.load(Ordering::Acquire) >= NODES);
    began.elapsed()
}

fn main() {
    if !measures() {
        return;
    }
    let folder = folder("fleet");
    let Some(mut broker) = Broker::start(&folder) else { return };
    println!("{NODES} nodes, each with one reading a second; load {}", load());
    let seen = Seen::default();
    let first = counter(broker.port, &seen);
    let began = Instant::now();
    let nodes: Vec<Process> = (0..NODES).map(|n| start(&folder, broker.port, n)).collect();
    let up = all_online(&first, began);

    std::thread::sleep(Duration::from_secs(5));
    let sum = || nodes.iter().map(|node| cpu(node.id())).sum::<Duration>();
    let (began, before, before_nodes) = (Instant::now(), cpu(broker.pid()), sum());
    std::thread::sleep(HALF);
    let passed = began.elapsed().as_secs_f64();
    let share = |used: Duration| used.as_secs_f64() / passed * 100.0;
    let (of_broker, of_nodes) = (share(cpu(broker.pid()) - before), share(sum() - before_nodes));
    let broker_kib = memory(broker.pid()).0;
    let kib: u64 = nodes.iter().map(|node| memory(node.id()).0).sum();

    broker.stop();
    drop(first);
    std::thread::sleep(OUTAGE);
    let back = Instant::now();
    broker.start_again();
    // Before any node publishes: they wait between their attempts, this does not.
    let second = counter(broker.port, &seen);
    let again = all_online(&second, back);
    let before = cpu(broker.pid());
    std::thread::sleep(HALF);
    let after = cpu(broker.pid()) - before;

    // They hand over what they have, and end.
    let ids: Vec<String> = nodes.iter().map(|node| node.id().to_string()).collect();
    let _ = Command::new("kill").arg("-TERM").args(&ids).status();
    let mut nodes = nodes;
    until("all nodes end", || {
        nodes.iter_mut().all(|node| node.0.try_wait().is_ok_and(|status| status.is_some()))
    });
    std::thread::sleep(Duration::from_millis(500));
    drop(second);

    let (mut readings, mut missing, mut twice) = (0, 0, 0);
    let seen = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    for (_, mut seqs) in seen.clone() {
        let all = seqs.len() as u64;
        seqs.sort_unstable();
        seqs.dedup();
        let distinct = seqs.len() as u64;
        readings += distinct;
        twice += all - distinct;
        missing += seqs.last().copied().unwrap_or(0) - distinct;
    }
    println!("| what | measured |\n|---|---|");
    println!("| all nodes started and online | {:.1} s |", up.as_secs_f64());
    println!(
        "| broker killed, away for {} s; all nodes back after | {:.1} s |",
        OUTAGE.as_secs(),
        again.as_secs_f64()
    );
    println!("| readings, of {} nodes | {readings} |", seen.len());
    println!("| of them lost; came twice | {missing}; {twice} |");
    println!("| CPU of the broker; with the backlogs | {of_broker:.1} %; {:.1} % |", share(after));
    println!("| CPU of all nodes | {of_nodes:.1} % |");
    println!(
        "| memory of the broker; of a node (PSS) | {:.1} MB; {:.1} MB |",
        broker_kib as f64 / 1024.0,
        kib as f64 / 1024.0 / NODES as f64
    );
}
