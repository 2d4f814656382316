//! What a plugin costs in each home: `cargo bench -p sedge-conformance`.
//!
//! The probe of the table, in each home in turn, in one run: how long one takes to start, a call of its tool, a reading that
//! it is told to submit until it is delivered, a reading of another that it hears; then ten of them on one node: how long until
//! all run, and what each takes of memory, in the node and in processes of its own. Times are medians; the baseline is what is
//! compiled in.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(dead_code, reason = "a benchmark has no use for all of it")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::home::{HOMES, Home, Instance};
use harness::node::{Stage, World};
use sedge_plugin::State;
use serde_json::json;

const CALLS: usize = 300;
const HEARD: u32 = 400;
const TEN: usize = 10;

/// What was measured in a home.
struct Cost {
    start: Duration,
    call: Duration,
    submitted: Duration,
    heard: Duration,
    ten: Duration,
    /// Proportional, in KiB.
    memory: u64,
}

fn main() {
    println!(
        "{:<26}{:>10}{:>10}{:>8}{:>10}{:>10}{:>10}{:>12}",
        "home", "start", "call", "", "submits", "hears", "ten", "memory"
    );
    let mut baseline = None;
    for home in HOMES {
        if let Some(missing) = home.missing() {
            println!("{:<26}skipped: {missing}", home.title());
            continue;
        }
        home.prepare();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let cost = runtime.block_on(measure(*home));
        let base = *baseline.get_or_insert(cost.call);
        let ratio = cost.call.as_secs_f64() / base.as_secs_f64();
        println!(
            "{:<26}{:>7.1} ms{:>7.0} µs{:>7.0}x{:>7.0} µs{:>7.1} µs{:>7.0} ms{:>8} KiB",
            home.title(),
            cost.start.as_secs_f64() * 1e3,
            micros(cost.call),
            ratio,
            micros(cost.submitted),
            micros(cost.heard),
            cost.ten.as_secs_f64() * 1e3,
            cost.memory,
        );
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

async fn measure(home: &'static dyn Home) -> Cost {
    // What the first one makes for all that follow is not measured.
    World::new(home).start(&[Instance::probe("attic")]).await.stop().await;
    let mut starts = Vec::new();
    for _ in 0..5 {
        let world = World::new(home);
        let began = Instant::now();
        let mut stage = world.start(&[Instance::probe("attic")]).await;
        runs(&mut stage, 1).await;
        starts.push(began.elapsed());
        stage.stop().await;
    }
    let world = World::new(home);
    let mut stage = world.start(&[Instance::probe("attic").hears(&["deliver"])]).await;
    runs(&mut stage, 1).await;
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        stage.call("attic_echo", json!({ "text": "there?" })).await.expect("an answer");
        calls.push(began.elapsed());
    }
    stage.obeys("attic", json!({ "do": "announce" })).await;
    let mut submitted = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        stage.obeys("attic", json!({ "do": "submit", "level": 4.5 })).await;
        stage.reading("attic").await;
        submitted.push(began.elapsed());
    }
    // Less than waits for one that does not hear as quickly; in all, with what its answer takes.
    let mut heard = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        for _ in 0..HEARD / 5 {
            stage.tank(4.5).await;
        }
        stage.call("attic_echo", json!({ "text": "there?" })).await.expect("an answer");
        heard.push(began.elapsed() / (HEARD / 5));
    }
    stage.stop().await;

    let world = World::new(home);
    let before = memory();
    let ids: Vec<String> = (0..TEN).map(|n| format!("probe-{n}")).collect();
    let instances: Vec<Instance> = ids.iter().map(|id| Instance::probe(id)).collect();
    let began = Instant::now();
    let mut stage = world.start(&instances).await;
    runs(&mut stage, TEN).await;
    let ten = began.elapsed();
    for id in &ids {
        stage.call(&format!("{}_echo", id.replace('-', "_")), json!({ "text": "there?" })).await.expect("it");
    }
    let memory = memory().saturating_sub(before) / TEN as u64;
    stage.stop().await;
    let [start, call, submitted, heard] = [starts, calls, submitted, heard].map(median);
    Cost { start, call, submitted, heard, ten, memory }
}

/// Until so many probes run.
async fn runs(stage: &mut Stage, most: usize) {
    let is_up = |stage: &Stage| {
        let directory = stage.node.directory();
        let probes = directory.plugins.values().filter(|status| status.kind == "probe");
        probes.filter(|status| status.state == State::Running).count() >= most
    };
    while !is_up(stage) {
        stage.states.next().await;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What this process and all that descend from it take, each its share, in KiB.
fn memory() -> u64 {
    let number = |text: &str| text.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok());
    let parent = |folder: &Path| {
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let all: Vec<(u64, u64, std::path::PathBuf)> = fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let own = path.file_name()?.to_str()?.parse().ok()?;
            Some((own, parent(&path)?, path))
        })
        .collect();
    let mut family = vec![u64::from(std::process::id())];
    let mut at = 0;
    while let Some(&one) = family.get(at) {
        family.extend(all.iter().filter(|(_, parent, _)| *parent == one).map(|(own, ..)| *own));
        at += 1;
    }
    let share = |path: &Path| {
        let rollup = fs::read_to_string(path.join("smaps_rollup")).ok()?;
        rollup.lines().find_map(|line| number(line.strip_prefix("Pss:")?))
    };
    all.iter().filter(|(own, ..)| family.contains(own)).filter_map(|(.., path)| share(path)).sum()
}
