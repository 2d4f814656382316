//! What a node costs as it grows: `cargo bench -p sedge-actors --bench node`.
//!
//! So many plugins that each submit one reading a second, on a runtime of two threads as a node has it: time to start and
//! stop, memory, and CPU time per reading, which is to stay flat. Then the time of a tool call over the bus.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use sedge_actors::{Node, PluginSpec, RunningNode, TokioClock, node_info};
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

/// How long a node of each size is watched.
const WATCHED: Duration = Duration::from_secs(10);
const CALLS: usize = 20_000;

const FIELDS: &[Field] = &[Field::new("level", Unit::None)];

/// Submits one reading a second.
struct Ticker(Context);

impl Plugin for Ticker {
    type Args = ();
    const MANIFEST: Manifest =
        Manifest::new("ticker", "1.0.0", "Submits one reading a second.").category(Category::Sensor);

    async fn setup((): &(), ctx: Context) -> Result<Self, PluginError> {
        let id = ctx.id().clone();
        ctx.announce(SensorDescriptor::new(id, "ticker", "1.0.0", "here", FIELDS));
        Ok(Self(ctx))
    }

    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let mut frame = Frame::default();
        frame.push("level", 4.2);
        self.0.submit(self.0.id(), frame).await
    }
}

/// Hears all readings.
struct Hearer;

impl Plugin for Hearer {
    type Args = ();
    const MANIFEST: Manifest =
        Manifest::new("hearer", "1.0.0", "Hears all readings.").category(Category::Destination);

    async fn setup((): &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn hooks(hooks: &mut impl Hooks<Self>, (): &(), _: &Context) {
        hooks.observe::<topics::Deliver>(Options { capacity: 4096, ..Options::default() });
        hooks.tools();
    }
}

impl Observer<topics::Deliver> for Hearer {
    async fn observe(&mut self, _: Arc<Reading>) -> Result<(), PluginError> {
        Ok(())
    }
}

impl Tools for Hearer {
    fn tools(&self) -> Vec<Tool> {
        Name::new("echo").map(|name| vec![Tool::new(name, "Answers.")]).unwrap_or_default()
    }
    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        Ok(call.args)
    }
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// CPU time of all threads of this process.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().filter_map(Result::ok);
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Resident memory, in KiB.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4.0
}

async fn start(plugins: usize) -> RunningNode {
    let mut specs = vec![PluginSpec::new::<Hearer>(id("hearer"), ())];
    specs.extend((0..plugins).map(|n| PluginSpec::new::<Ticker>(id(&format!("p{n:04}")), ())));
    Node::new(node_info("bench"), Arc::new(TokioClock::default())).start(specs).await
}

async fn grow(plugins: usize) {
    let before = memory();
    let began = Instant::now();
    let node = start(plugins).await;
    let started = began.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu_before, readings_before) = (cpu(), node.counts().delivered);
    tokio::time::sleep(WATCHED).await;
    let (cpu, readings) = (cpu() - cpu_before, node.counts().delivered - readings_before);
    let grown = memory() - before;
    let began = Instant::now();
    node.stop().await;
    let stopped = began.elapsed();
    let per_reading = cpu.as_secs_f64() * 1e6 / readings as f64;
    let (share, kib) = (cpu.as_secs_f64() / WATCHED.as_secs_f64() * 100.0, grown / plugins as f64);
    println!(
        "| {plugins:>5} | {:>8.1} | {:>8.1} | {kib:>8.1} | {share:>6.2} | {readings:>8} | {per_reading:>10.1} |",
        started.as_secs_f64() * 1e3,
        stopped.as_secs_f64() * 1e3
    );
}

async fn calls() {
    let node = start(0).await;
    let Ok(echo) = Name::new("echo") else { return };
    let mut took = Vec::with_capacity(CALLS);
    for n in 0..CALLS + 1000 {
        let call = ToolCall::new(echo.clone(), json!({}));
        let began = Instant::now();
        let outcome = node.call(call).await;
        if n >= 1000 {
            took.push(began.elapsed());
        }
        assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    }
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    println!("\ntool call over the bus, {CALLS} calls: median {:.1} µs, p99 {:.1} µs", at(0.5), at(0.99));
    node.stop().await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(async {
        println!("| plugins | start ms | stop ms | KiB each | CPU % | readings | µs CPU per reading |");
        println!("|---|---|---|---|---|---|---|");
        for plugins in [10, 100, 1000] {
            grow(plugins).await;
        }
        calls().await;
    });
}
