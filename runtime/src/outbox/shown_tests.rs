//! What the whole outbox promises, on a clock with hands.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use sedge_actors::{Node, Surroundings, node_info};
use sedge_plugin::journal::{Cursor, Journal as _};
use sedge_plugin::testing::HandClock;
use sedge_plugin::topic::Options;
use sedge_plugin::topics::EventRaised;
use sedge_plugin::{Boot, Frame, Id, Reading};

use super::*;
use crate::synced::tell_of_time;

const WALL: i64 = 1_795_195_680_000;

/// A folder of its own, removed when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("sedge-outbox-{}-{number}", std::process::id())))
    }

    fn open(&self, clock: &Arc<HandClock>) -> Outbox {
        let settings = sedge_config::Outbox::default();
        Outbox::open(&settings, &Home::Folder(self.0.clone()), clock.clone())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn reading(clock: &HandClock, seq: u64) -> Arc<Reading> {
    let mut frame = Frame::default();
    frame.push("level", 1.0);
    Arc::new(Reading {
        sensor: Id::new("tank").unwrap(),
        boot: Boot(1),
        seq,
        taken: clock.taken(),
        frame,
        origin: None,
    })
}

fn reader() -> Id {
    Id::new("mqtt").unwrap()
}

/// Puts readings in, and waits until they are written.
async fn put(outbox: &Outbox, clock: &HandClock, seqs: Range<u64>) {
    let cursor = Cursor::new(outbox.cursor(&reader()));
    let head = cursor.head();
    let count = seqs.end - seqs.start;
    for seq in seqs {
        outbox.record(reading(clock, seq)).await;
    }
    cursor.grown(head + count - 1).await;
}

async fn read(outbox: &Outbox) -> Vec<(u64, Option<i64>)> {
    let cursor = Cursor::new(outbox.cursor(&reader()));
    let mut seen = Vec::new();
    for open in cursor.pending(0..cursor.head()) {
        let batch = cursor.read(open, 100).await;
        seen.extend(batch.entries.iter().map(|entry| (entry.reading.seq, entry.reading.taken.wall_ms)));
    }
    seen
}

#[tokio::test]
async fn what_was_taken_before_the_time_was_known_is_read_with_its_true_time_afterwards() {
    let (folder, clock) = (Temporary::new(), Arc::new(HandClock::default()));
    clock.advance(Duration::from_secs(10));
    let outbox = folder.open(&clock);
    put(&outbox, &clock, 1..3).await;
    assert_eq!(read(&outbox).await, [(1, None), (2, None)]);
    clock.advance(Duration::from_secs(50));
    clock.set_wall(Some(WALL));
    outbox.learn_time();
    let then = Some(WALL - 50_000);
    assert_eq!(read(&outbox).await, [(1, then), (2, then)]);
    outbox.close();

    // Another process of the same start of the kernel; its clock knows nothing at first.
    clock.set_wall(None);
    let again = folder.open(&clock);
    assert_eq!(read(&again).await, [(1, then), (2, then)], "what was learned is kept");
    let (past, _) = Past::on(Past::disk(&folder.0).unwrap()).unwrap();
    assert_eq!(past.newest(1)[0].reading.taken.wall_ms, then, "and for whoever looks from outside");
    again.close();
}

/// What a future has to say at once.
fn at_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_clock_that_becomes_known_is_told_with_what_corrects_earlier_readings() {
    let clock = Arc::new(HandClock::default());
    clock.advance(Duration::from_secs(10));
    let node = Node::within(node_info("pi"), clock.clone(), Surroundings::default());
    let me = Id::new("me").unwrap();
    let mut events = node.bus().subscribe::<EventRaised>(&me, Options::default());
    let running = node.start(Vec::new()).await;
    let mut told = Box::pin(tell_of_time(clock.clone(), running.handle(), None));
    assert!(at_once(told.as_mut()).is_none(), "it waits");
    clock.set_wall(Some(WALL));
    told.await;
    let event = events.next().await;
    assert_eq!(event.kind.as_str(), "clock_synced");
    assert_eq!(event.data, serde_json::json!({ "boot": "00000000", "offset_ms": WALL - 10_000 }));

    // Known from the start, it is no news.
    tell_of_time(clock, running.handle(), None).await;
    assert!(events.take().is_none());
    running.stop().await;
}

#[tokio::test]
async fn the_status_is_the_same_from_the_node_and_from_its_folder() {
    let (folder, clock) = (Temporary::new(), Arc::new(HandClock::default()));
    clock.set_wall(Some(WALL));
    let outbox = folder.open(&clock);
    put(&outbox, &clock, 1..11).await;
    Cursor::new(outbox.cursor(&reader())).done(0..4);
    outbox.close();
    let inside = outbox.status();
    let outside = look(&folder.0, Some(&sedge_config::Outbox::default())).unwrap();
    for key in
        ["storage", "place", "max_bytes", "first", "oldest", "newest", "readers", "losses", "lost", "commit"]
    {
        assert_eq!(inside[key], outside[key], "{key}");
    }
    assert_eq!(inside["readers"][0]["pending"], 6);
    let window = inside["commit"][0]["window"].as_str().unwrap();
    assert!(
        window.contains("the last 1s") && window.contains("crash of the process loses nothing"),
        "{window}"
    );
}

#[tokio::test]
async fn numbers_that_were_left_out_are_not_waited_for() {
    let (folder, clock) = (Temporary::new(), Arc::new(HandClock::default()));
    let outbox = folder.open(&clock);
    put(&outbox, &clock, 1..4).await;
    outbox.close();
    // As a power cut leaves it: the end of the segment says nothing of a good order.
    let segment = std::fs::read_dir(&folder.0).unwrap().filter_map(Result::ok);
    let segment =
        segment.map(|file| file.path()).find(|path| path.extension().is_some_and(|e| e == "seg")).unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(&segment, [&bytes[..last - 8], &vec![0; bytes.len() - last + 8]].concat()).unwrap();

    let outbox = folder.open(&clock);
    put(&outbox, &clock, 4..5).await;
    let cursor = Cursor::new(outbox.cursor(&reader()));
    assert!(cursor.head() > 1 << 32, "numbers are left out after such an end");
    assert_eq!(outbox.waiting(), [(reader(), 4)]);
    outbox.close();
}

#[tokio::test]
async fn its_metrics_say_who_waits_for_how_much_and_what_is_lost() {
    let (folder, clock) = (Temporary::new(), Arc::new(HandClock::default()));
    let outbox = folder.open(&clock);
    put(&outbox, &clock, 1..4).await;
    let cursor = Cursor::new(outbox.cursor(&reader()));
    let first = cursor.read(cursor.pending(0..cursor.head()).remove(0), 1).await.entries.remove(0);
    cursor.give_up(&first, Cause::Rejected);
    let registry = Arc::new(sedge_plugin::metrics::Registry::default());
    metrics::update(&outbox, &registry);
    metrics::update(&outbox, &registry);
    let told: Vec<(String, String)> =
        registry.snapshot().iter().map(|m| (m.name.to_string(), format!("{:?}", m.metric))).collect();
    assert!(told.contains(&("pending_mqtt".into(), "Gauge(2.0)".into())), "{told:?}");
    // An alert counts an increase, and from nothing there is none.
    assert!(told.contains(&("lost_damaged".into(), "Counter(0)".into())), "{told:?}");
    assert!(told.contains(&("lost_rejected".into(), "Counter(1)".into())), "counted once: {told:?}");
    outbox.close();
}
