//! From a producing plugin to a subscriber: `cargo bench -p sedge --no-default-features --bench mqtt`.
//!
//! The whole path of a reading (chains, number, journal, bridge, Mosquitto) beside a bare loop of rumqttc and
//! `mosquitto_pub -l`, which publish the same bytes and do nothing else. Each line is the middle of three runs; the ratio is
//! to the bare loop with the same QoS in the same round, so that it says something on a machine that is busy as well.
//!
//! `SEDGE_BENCH=sedge` runs the node alone, for a profiler.
#![allow(clippy::disallowed_methods, reason = "a bench lets real time pass")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, MqttOptions, QoS};
use sedge::outbox::{Home, Outbox};
use sedge_actors::{Node, PluginSpec, Surroundings, node_info};
use sedge_config::Storage;
use sedge_hal::SystemClock;
use sedge_mqtt::{MqttBridge, Settings};
use sedge_plugin::prelude::*;
use tokio::sync::Semaphore;

use support::{Broker, Counter, folder, load, measures, middle};

const READINGS: u64 = 30_000;
const ROUNDS: usize = 3;

const FIELDS: &[Field] = &[Field::new("temperature", Unit::Celsius), Field::new("humidity", Unit::Percent)];

/// As a reading of the producer looks on the wire.
const PAYLOAD: &str = r#"{"ts":"2026-11-20T17:28:24.123Z","seq":12345,"boot":"9f3c21ab","fields":{"temperature":21.5,"humidity":44.1}}"#;

/// Submits readings as fast as the node takes them, once it may.
struct Producer;

impl Plugin for Producer {
    type Args = Arc<Semaphore>;
    const MANIFEST: Manifest =
        Manifest::new("producer", "1.0.0", "Submits readings.").category(Category::Sensor);

    async fn setup(may: &Arc<Semaphore>, ctx: Context) -> Result<Self, PluginError> {
        ctx.announce(SensorDescriptor::new(ctx.id().clone(), "producer", "1.0.0", "here", FIELDS));
        let may = may.clone();
        ctx.clone().spawn(async move {
            let Ok(_permit) = may.acquire().await else { return };
            for n in 0..READINGS {
                let mut frame = Frame::default();
                frame.push("temperature", 20.0 + (n % 100) as f64 / 10.0);
                frame.push("humidity", 44.1);
                if let Err(error) = ctx.submit(ctx.id(), frame).await {
                    eprintln!("a reading was not taken: {error}");
                }
            }
        });
        Ok(Self)
    }
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A node with nothing but a producer and the bridge; readings per second.
async fn sedge(port: u16, qos: u8, storage: Storage, folder: &Path) -> f64 {
    let counter = Counter::start(port, |_, _| {});
    let home = folder.join("outbox");
    let _ = std::fs::remove_dir_all(&home);
    let settings = sedge_config::Outbox { storage, ..sedge_config::Outbox::default() };
    let outbox = Outbox::open(&settings, &Home::Folder(home), Arc::new(SystemClock));
    let around = Surroundings { journal: Some(Arc::new(outbox.clone())), ..Surroundings::default() };
    let may = Arc::new(Semaphore::new(0));
    let bridge = Settings { qos, ..Settings::at("127.0.0.1", port) };
    let specs = vec![
        PluginSpec::new::<MqttBridge>(id("mqtt"), bridge),
        PluginSpec::new::<Producer>(id("producer"), may.clone()),
    ];
    let node = Node::within(node_info("bench"), Arc::new(SystemClock), around).start(specs).await;
    support::until("the node is online", || counter.online.load(std::sync::atomic::Ordering::Acquire) > 0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    may.add_permits(1);
    let took = tokio::task::block_in_place(|| counter.wait(READINGS, began));
    node.stop().await;
    outbox.close();
    READINGS as f64 / took.as_secs_f64()
}

/// rumqttc with a hundred on their way, and nothing beside it.
async fn bare(port: u16, qos: u8) -> f64 {
    let counter = Counter::start(port, |_, _| {});
    let mut options = MqttOptions::new("bare", "127.0.0.1", port);
    options.set_inflight(100).set_keep_alive(Duration::from_secs(60));
    let (client, mut events) = AsyncClient::new(options, 100);
    let connection = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let began = Instant::now();
    for _ in 0..READINGS {
        let published = client.publish("sedge/v1/bench/reading/producer", qos, false, PAYLOAD).await;
        assert!(published.is_ok(), "{published:?}");
    }
    let took = tokio::task::block_in_place(|| counter.wait(READINGS, began));
    connection.abort();
    READINGS as f64 / took.as_secs_f64()
}

/// `mosquitto_pub -l`, a line for each message.
fn mosquitto_pub(port: u16, qos: u8, folder: &Path) -> Option<f64> {
    let counter = Counter::start(port, |_, _| {});
    let lines = folder.join("lines");
    std::fs::write(&lines, format!("{PAYLOAD}\n").repeat(READINGS as usize)).ok()?;
    let began = Instant::now();
    let (port, qos) = (port.to_string(), qos.to_string());
    let mut child = Command::new("mosquitto_pub")
        .args(["-p", &port, "-q", &qos, "-t", "sedge/v1/bench/reading/producer", "-l"])
        .stdin(std::fs::File::open(&lines).ok()?)
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let took = counter.wait(READINGS, began);
    let _ = child.wait();
    Some(READINGS as f64 / took.as_secs_f64())
}

fn row(name: &str, qos: u8, rates: &[f64], bare: &[f64]) {
    let ratios = rates.iter().zip(bare).map(|(rate, bare)| rate / bare).collect();
    println!("| {name:<42} | {qos} | {:>9.0} | {:>5.2}x |", middle(rates.to_vec()), middle(ratios));
}

async fn compare(port: u16, qos: u8, folder: &Path) {
    let (mut bares, mut memory, mut disk, mut pubs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bares.push(bare(port, qos).await);
        memory.push(sedge(port, qos, Storage::Memory, folder).await);
        disk.push(sedge(port, qos, Storage::Disk, folder).await);
        pubs.extend(tokio::task::block_in_place(|| mosquitto_pub(port, qos, folder)));
    }
    row("rumqttc, a bare loop", qos, &bares, &bares);
    row("sedge, outbox in memory", qos, &memory, &bares);
    row("sedge, outbox on disk, commits of 1 s", qos, &disk, &bares);
    row("mosquitto_pub -l", qos, &pubs, &bares);
}

fn main() -> std::io::Result<()> {
    if !measures() {
        return Ok(());
    }
    let folder = folder("mqtt");
    let Some(broker) = Broker::start(&folder) else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        if std::env::var("SEDGE_BENCH").is_ok_and(|which| which == "sedge") {
            for (storage, qos) in
                [(Storage::Memory, 0), (Storage::Memory, 1), (Storage::Disk, 0), (Storage::Disk, 1)]
            {
                println!("{storage:?} QoS {qos}: {:.0}/s", sedge(broker.port, qos, storage, &folder).await);
            }
            return;
        }
        println!("{READINGS} readings of {} bytes, middle of {ROUNDS}; load {}", PAYLOAD.len(), load());
        println!("| to a subscriber of Mosquitto | QoS | readings/s | ratio |\n|---|---|---|---|");
        for qos in [0, 1] {
            compare(broker.port, qos, &folder).await;
        }
    });
    Ok(())
}
