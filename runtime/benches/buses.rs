//! What a bus costs and how well it keeps time: `cargo bench -p sedge --no-default-features --bench buses`.
//!
//! On a simulated bus, so what is measured is ours: a real transfer of a BME280's reading takes 2 ms more at 100 kHz, in the
//! kernel. Printed: CPU of the bus's thread per reading; the cadence of fifty sensors on one bus; the jitter of a sensor at
//! 100 Hz; and for each rung of the ladder the time from a failing beat to the next good reading.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sedge_actors::{Node, PluginSpec, RunningNode, node_info};
use sedge_hal::{Bus, Cure, Fault, Seat, SimBus, Supply, SystemClock, Timing};
use sedge_plugin::prelude::*;
use sedge_plugin::testing::block_on;
use sedge_plugins::bus::BusPlugin;
use sedge_plugins::sensor::{SensorArgs, SensorPlugin};
use sedge_plugins::sensors;
use serde_json::json;

const READINGS: u32 = 50_000;
const WATCHED: Duration = Duration::from_secs(20);

fn id(text: &str) -> Id {
    Id::new(text).unwrap_or_else(|error| panic!("{error}"))
}

fn kind() -> &'static SensorKind {
    sensors::kind("bme280").unwrap_or_else(|| panic!("it comes with a node"))
}

fn simulated() -> (SimBus, Bus) {
    let sim = SimBus::new("i2c-1", Arc::new(SystemClock));
    let bus = sim.bus().unwrap_or_else(|error| panic!("{error}"));
    (sim, bus)
}

/// CPU time of the thread that asks.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn cost() {
    let (sim, bus) = simulated();
    let seat = Seat::Number(0x76);
    sim.simulate(&id("x"), &seat, kind());
    let cpu = || block_on(bus.with_adapter(|_| Ok(thread_cpu()))).unwrap_or_default();
    let opened = block_on(bus.open(&id("x"), seat, kind(), json!({})));
    assert_eq!(opened, Ok(()));
    let before = cpu();
    for _ in 0..READINGS {
        assert!(block_on(bus.begin(&id("x"))).is_ok());
    }
    let each = (cpu() - before).as_secs_f64() * 1e6 / f64::from(READINGS);
    println!("bus thread, BME280 on the simulated bus: {each:.1} µs CPU per reading, wake-ups included");
}

fn spec(
    sim: &SimBus,
    bus: &Bus,
    name: &str,
    address: u8,
    every: Duration,
    power: Option<Supply>,
) -> PluginSpec {
    let seat = Seat::Number(address);
    sim.simulate(&id(name), &seat, kind());
    let (bus, bus_name) = (bus.clone(), "i2c-1".into());
    let args = SensorArgs { kind: kind(), bus, bus_name, seat, every, settings: json!({}), power };
    PluginSpec::new::<SensorPlugin>(id(name), args)
}

/// A node that runs, and what it hears of.
async fn node(
    mut specs: Vec<PluginSpec>,
    bus: &Bus,
) -> (RunningNode, sedge_actors::Subscription<topics::Deliver>) {
    specs.push(PluginSpec::new::<BusPlugin>(id("i2c-1"), bus.clone()));
    let node = Node::new(node_info("bench"), Arc::new(SystemClock));
    let options = Options { capacity: 4096, ..Options::default() };
    let readings = node.bus().subscribe::<topics::Deliver>(&id("bench"), options);
    (node.start(specs).await, readings)
}

/// How far each interval is from `every`, in percent of it, smallest first; as `readings` were heard of.
async fn drift(specs: Vec<PluginSpec>, bus: &Bus, every: Duration) -> Vec<f64> {
    let (running, mut readings) = node(specs, bus).await;
    let mut last: BTreeMap<Id, Instant> = BTreeMap::new();
    let mut drifts = Vec::new();
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        let reading = readings.next().await;
        let now = Instant::now();
        if let Some(before) = last.insert(reading.sensor.clone(), now) {
            let off = (now - before).as_secs_f64() / every.as_secs_f64() - 1.0;
            drifts.push(off.abs() * 100.0);
        }
    }
    running.stop().await;
    drifts.sort_by(f64::total_cmp);
    drifts
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

async fn cadence() {
    let (sim, bus) = simulated();
    let every = Duration::from_secs(1);
    let specs = (0..50).map(|n| spec(&sim, &bus, &format!("s{n}"), 0x10 + n, every, None)).collect();
    let drifts = drift(specs, &bus, every).await;
    println!(
        "50 sensors on one bus at 1 Hz: an interval is off by {:.2} % in the middle, {:.2} % at p99, {:.2} % at most ({} \
         readings)",
        at(&drifts, 0.5),
        at(&drifts, 0.99),
        at(&drifts, 1.0),
        drifts.len() + 50
    );
}

async fn jitter() {
    let (sim, bus) = simulated();
    let every = Duration::from_millis(10);
    let drifts = drift(vec![spec(&sim, &bus, "fast", 0x76, every, None)], &bus, every).await;
    let ms = |share| at(&drifts, share) / 100.0 * every.as_secs_f64() * 1e3;
    println!(
        "one sensor at 100 Hz: an interval is off by {:.2} ms in the middle, {:.2} ms at p99, {:.2} ms at most ({} readings)",
        ms(0.5),
        ms(0.99),
        ms(1.0),
        drifts.len() + 1
    );
}

/// From the fault to the next good reading; where a person ends it, from then on.
async fn recovery(cure: Cure, lasts: Duration) -> Duration {
    let (sim, bus) = simulated();
    let every = Duration::from_millis(500);
    let supply = Supply::new(Arc::new(SystemClock));
    supply.set_timing(Timing::default());
    if let Ok(line) = sim.lines().output(22, true, false) {
        supply.provide(line);
    }
    let (running, mut readings) = node(vec![spec(&sim, &bus, "x", 0x76, every, Some(supply))], &bus).await;
    readings.next().await;
    let seat = Seat::Number(0x76);
    let mut began = Instant::now();
    sim.fault(&seat, Fault::Timeout, cure);
    if cure == Cure::Hand {
        tokio::time::sleep(lasts).await;
        while readings.take().is_some() {}
        sim.heal(&seat);
        began = Instant::now();
    }
    loop {
        let reading = readings.next().await;
        if reading.frame.get("temperature").is_some() {
            break;
        }
    }
    let took = began.elapsed();
    running.stop().await;
    took
}

async fn ladder() {
    println!(
        "a sensor read twice a second, from the fault to the next good reading (up to 500 ms of it is its cadence):"
    );
    let rungs = [
        ("tried again", Cure::Transfers(1)),
        ("bus opened anew", Cure::Reopen),
        ("sensor set up anew", Cure::Reinit),
        ("bus recovered", Cure::Recover),
        ("supply switched (1 s off, 0.2 s to settle)", Cure::Power),
    ];
    for (name, cure) in rungs {
        println!("  {name}: {:.0} ms", recovery(cure, Duration::ZERO).await.as_secs_f64() * 1e3);
    }
    for seconds in [3, 20, 60] {
        let took = recovery(Cure::Hand, Duration::from_secs(seconds)).await;
        println!("  left alone, mended after {seconds} s: {:.1} s", took.as_secs_f64());
    }
}

fn main() -> std::io::Result<()> {
    // `cargo test --benches` runs it too: nothing is to be measured then.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    cost();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    runtime.block_on(async {
        cadence().await;
        jitter().await;
        ladder().await;
    });
    Ok(())
}
