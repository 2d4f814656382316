//! What the outbox promises over kills, power cuts and a journal that is full: what was accepted is delivered, or stands in the
//! ledger, to the reading.

use std::collections::{BTreeMap, BTreeSet};

use sedge_config::{Class, Commit, Policy};
use sedge_journal::testing::FaultDisk;
use sedge_plugin::journal::Loss;
use sedge_plugin::testing::HandClock;
use sedge_plugin::{Boot, Cursor, Frame, Size, Taken};

use super::*;

/// What a reading is of that only goes behind others.
const MARKER: u32 = 9999;

/// A reading by its identity.
type Key = (Id, u32, u64);

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// Its content follows from its identity.
fn reading(sensor: &str, boot: u32, seq: u64, bytes: usize) -> Reading {
    let mut frame = Frame::default();
    frame.push("value", f64::from(boot) + seq as f64);
    frame.push("text", "x".repeat(bytes).as_str());
    let taken = Taken { up_ms: seq, wall_ms: Some(1_800_000_000_000 + i64::try_from(seq).unwrap()) };
    Reading { sensor: id(sensor), boot: Boot(boot), seq, taken, frame, origin: None }
}

fn key(reading: &Reading) -> Key {
    (reading.sensor.clone(), reading.boot.0, reading.seq)
}

fn settings(policy: Policy) -> sedge_config::Outbox {
    let every = Commit::Every(sedge_plugin::Every(Duration::from_millis(10)));
    let class = |name: &str, commit, policy| Class {
        name: name.into(),
        sensors: vec![format!("{name}-*")],
        commit,
        policy,
        keep_every: 4,
    };
    sedge_config::Outbox {
        commit: every,
        policy,
        max_bytes: Size(8 * 16 * 1024),
        classes: vec![
            class("each", Commit::Each, policy),
            class("thin", every, Policy::Thin),
            class("keep", every, Policy::Refuse),
        ],
        ..sedge_config::Outbox::default()
    }
}

fn open(disk: &FaultDisk, policy: Policy) -> Outbox {
    let settings = settings(policy);
    let options =
        Options { segment_bytes: 16 * 1024, max_bytes: settings.max_bytes.0, memory_bytes: 64 * 1024 };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (journal, found) = Journal::open(disk.clone(), options).unwrap();
    Outbox::start(&settings, disk, journal, found, (true, None), Arc::new(HandClock::default()))
}

/// What a receiver has, and what was said to be lost.
#[derive(Default)]
struct Receiver {
    has: BTreeSet<Key>,
    losses: Vec<Loss>,
}

impl Receiver {
    /// Takes what is pending, at most so many, and says that it has it.
    async fn take(&mut self, cursor: &Cursor, most: usize) {
        let mut left = most;
        for open in cursor.pending(0..cursor.head()) {
            let mut at = open.start;
            while at < open.end && left > 0 {
                let batch = cursor.read(at..open.end, left).await;
                left -= batch.entries.len();
                for entry in &batch.entries {
                    let expected =
                        reading(entry.reading.sensor.as_str(), entry.reading.boot.0, entry.reading.seq, 0);
                    assert_eq!(entry.reading.frame.samples[0], expected.frame.samples[0], "invented");
                    self.has.insert(key(&entry.reading));
                    cursor.done(entry.position..entry.position + 1);
                }
                assert!(batch.next > at, "it goes on");
                at = batch.next;
            }
        }
    }

    fn lost(&self) -> BTreeSet<Key> {
        let of = |loss: &Loss| {
            let (sensor, boot) = (loss.sensor.clone().unwrap(), loss.boot.unwrap().0);
            assert!(!loss.joined, "told apart, so that they can be compared");
            let keys: BTreeSet<Key> = (loss.seqs.iter())
                .flat_map(|&(first, last)| {
                    (first..=last).map(|seq| (sensor.clone(), boot, seq)).collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(keys.len() as u64, loss.count);
            keys
        };
        self.losses.iter().flat_map(of).collect()
    }
}

/// Lives of a node, each with its own end.
async fn lives(seed: u64, policy: Policy) -> (u64, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = FaultDisk::new(seed);
    let mut owed: BTreeSet<Key> = BTreeSet::new();
    let mut all: BTreeSet<Key> = BTreeSet::new();
    let mut receiver = Receiver::default();
    let lives = random.u32(2..6);
    for boot in 0..lives {
        let cuts = random.u8(..).is_multiple_of(3);
        let eager = *random.choice(&[0, 0, 2, 20]).unwrap();
        let outbox = open(&disk, policy);
        let cursor = Cursor::new(outbox.cursor(&id("mqtt")));
        let mut seqs: BTreeMap<&str, u64> = BTreeMap::new();
        let mut accepted = Vec::new();
        for _ in 0..random.u32(0..400) {
            let sensor = *random.choice(&["air", "each-1", "thin-1", "keep-1"]).unwrap();
            let seq = seqs.entry(sensor).or_default();
            *seq += 1;
            let reading = Arc::new(reading(sensor, boot, *seq, random.usize(0..1500)));
            all.insert(key(&reading));
            outbox.record(reading.clone()).await;
            accepted.push(key(&reading));
            if random.u8(..) < eager {
                receiver.take(&cursor, random.usize(0..60)).await;
            }
        }
        match (boot + 1 == lives, cuts, random.bool()) {
            (true, ..) | (_, false, true) => {
                outbox.close();
                owed.extend(accepted);
            }
            (_, true, _) => {
                // What was accepted one by one is safe; of the rest what was committed, which nobody knows.
                owed.extend(accepted.into_iter().filter(|(sensor, ..)| sensor.as_str() == "each-1"));
                disk.cut();
                outbox.close();
            }
            (_, false, false) => {
                // Written is accepted: what waits for the thread is not, so it has its turn before.
                until_written(&outbox).await;
                owed.extend(accepted);
                disk.kill();
                outbox.close();
            }
        }
    }
    let outbox = open(&disk, policy);
    let cursor = Cursor::new(outbox.cursor(&id("mqtt")));
    receiver.take(&cursor, usize::MAX).await;
    assert_eq!(cursor.pending(0..cursor.head()), [], "seed {seed}");
    receiver.losses = lock(&outbox.0.ledger).losses(Some(&id("mqtt")));
    outbox.close();
    let mut lost = receiver.lost();
    lost.retain(|(_, boot, _)| *boot != MARKER);
    let silently: Vec<&Key> =
        owed.iter().filter(|key| !receiver.has.contains(*key) && !lost.contains(*key)).collect();
    assert!(silently.is_empty(), "seed {seed}: lost without a word: {silently:?}");
    let both: Vec<&Key> = receiver.has.intersection(&lost).collect();
    assert!(both.is_empty(), "seed {seed}: delivered, and said to be lost: {both:?}");
    receiver.has.retain(|(_, boot, _)| *boot != MARKER);
    assert!(receiver.has.is_subset(&all) && lost.is_subset(&all), "seed {seed}: invented");
    (receiver.has.len() as u64, lost.len() as u64)
}

async fn until_written(outbox: &Outbox) {
    while !lock(&outbox.0.queue).items.is_empty() {
        tokio::task::yield_now().await;
    }
    // The last were taken from the queue; one more goes behind them.
    let (safe, told) = oneshot::channel();
    lock(&outbox.0.queue)
        .items
        .push_back(Item { reading: Arc::new(reading("air", 9999, 1, 0)), safe: Some(safe) });
    outbox.0.filled.notify_one();
    told.await.unwrap();
}

fn run(seeds: std::ops::Range<u64>, policy: Policy) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (mut delivered, mut lost) = (0, 0);
    for seed in seeds {
        let (d, l) = runtime.block_on(lives(seed, policy));
        delivered += d;
        lost += l;
    }
    assert!(delivered > 1000 && lost > 100, "enough was seen: {delivered} delivered, {lost} lost");
}

#[test]
fn over_kills_and_power_cuts_all_is_delivered_or_in_the_ledger() {
    run(0..8, Policy::DropOldest);
}

#[test]
fn thinned_out_or_refused_all_is_delivered_or_in_the_ledger() {
    run(1000..1005, Policy::Thin);
    run(2000..2005, Policy::Refuse);
}

#[tokio::test]
async fn what_another_node_measured_says_nothing_about_this_machines_clock() {
    let disk = FaultDisk::new(1);
    let outbox = open(&disk, Policy::DropOldest);
    // The marker that this waits for was taken here.
    until_written(&outbox).await;
    let mut imported = reading("each-far", 1, 1, 0);
    imported.taken.wall_ms = Some(0);
    let origin = sedge_plugin::Origin { node: id("far"), sensor: id("air"), boot: Boot(7), seq: 1 };
    imported.origin = Some(Arc::new(origin));
    outbox.record(Arc::new(imported)).await;
    let untimed = Taken { up_ms: 5, wall_ms: None };
    let known = lock(&outbox.0.times).true_time(outbox.0.kernel, untimed).wall_ms;
    assert_eq!(known, Some(1_800_000_000_005));
    outbox.close();
}
