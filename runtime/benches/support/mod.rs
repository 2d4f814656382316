//! What the benches over MQTT share: a Mosquitto of their own on the loopback, and a subscriber that counts.
//!
//! The subscriber is as cheap as one can be, so that what is measured is the way to the broker: on a machine of two cores it
//! takes its time from the rest.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sedge_mqtt::packet::{self, Connect, Frame, Frames, Version};

/// A Mosquitto whose windows are wide enough for any client, and which forgets nothing for a subscriber that is slow.
const CONFIG: &str = "allow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_inflight_messages 1000\n\
                      max_queued_messages 0\nlog_type error\nlog_type warning\n";

/// A running Mosquitto. Ends with this value.
pub struct Broker {
    pub port: u16,
    config: PathBuf,
    child: Child,
}

impl Broker {
    /// Nothing where none is installed: that is said.
    pub fn start(folder: &Path) -> Option<Self> {
        let port = free_port();
        let config = folder.join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\n{CONFIG}")).ok()?;
        let Some(child) = spawn(&config) else {
            eprintln!("skipped: there is no mosquitto here (apt-get install mosquitto mosquitto-clients)");
            return None;
        };
        let broker = Self { port, config, child };
        broker.wait();
        Some(broker)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn start_again(&mut self) {
        if let Some(child) = spawn(&self.config) {
            self.child = child;
        }
        self.wait();
    }

    fn wait(&self) {
        until("the broker listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(config: &Path) -> Option<Child> {
    let start = |program: &str| {
        Command::new(program).arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    };
    start("mosquitto").or_else(|| start("/usr/sbin/mosquitto"))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap_or_else(|error| panic!("{error}"));
    listener.local_addr().map_or(0, |address| address.port())
}

/// Waits, two minutes at most.
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !ready() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Counts messages of a topic that hold readings, and calls back for each.
pub struct Counter {
    pub readings: Arc<AtomicU64>,
    /// A node said that it is online.
    pub online: Arc<AtomicU64>,
    /// When the last message came.
    last: Arc<Mutex<Instant>>,
    over: Arc<AtomicBool>,
    stream: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Counter {
    /// Subscribes with QoS 0, so that the broker has the least to do for it.
    pub fn start(port: u16, each: impl FnMut(&str, &[u8]) + Send + 'static) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|error| panic!("{error}"));
        let _ = stream.set_nodelay(true);
        let mut out = Vec::new();
        let keep_alive = Duration::from_secs(3600);
        packet::connect(
            &mut out,
            Version::V3,
            &Connect { client_id: "counter", keep_alive, clean: true, ..Connect::default() },
        );
        packet::subscribe(&mut out, Version::V3, 1, "#", false);
        // The options of the one filter are its last byte.
        if let Some(options) = out.last_mut() {
            *options = 0;
        }
        let (readings, online, over) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let last = Arc::new(Mutex::new(Instant::now()));
        assert!(stream.write_all(&out).is_ok(), "the broker takes nothing");
        let subscribed = Arc::<AtomicBool>::default();
        let input = stream.try_clone().unwrap_or_else(|error| panic!("{error}"));
        let count = Count {
            readings: readings.clone(),
            online: online.clone(),
            subscribed: subscribed.clone(),
            over: over.clone(),
            last: last.clone(),
        };
        let thread = std::thread::spawn(move || count.run(input, each));
        until("the subscriber is there", || subscribed.load(Ordering::Acquire));
        Self { readings, online, last, over, stream, thread: Some(thread) }
    }

    /// Waits until so many have come; the time from `began` to the last of them.
    pub fn wait(&self, readings: u64, began: Instant) -> Duration {
        until("all readings arrive", || self.readings.load(Ordering::Acquire) >= readings);
        self.last.lock().map_or(Duration::ZERO, |last| last.duration_since(began))
    }

    /// Whether the connection has ended.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Count {
    readings: Arc<AtomicU64>,
    online: Arc<AtomicU64>,
    subscribed: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    last: Arc<Mutex<Instant>>,
}

impl Count {
    fn run(self, mut input: TcpStream, mut each: impl FnMut(&str, &[u8])) {
        let mut frames = Frames::new(1 << 20);
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = input.read(&mut bytes) {
            frames.buffer().extend_from_slice(&bytes[..count]);
            let before = self.readings.load(Ordering::Relaxed);
            let mut now = before;
            while let Ok(Some(frame)) = frames.next() {
                now += self.frame(&frame, &mut each);
            }
            if now > before {
                if let Ok(mut last) = self.last.lock() {
                    *last = Instant::now();
                }
                self.readings.store(now, Ordering::Release);
            }
        }
        self.over.store(true, Ordering::Release);
    }

    fn frame(&self, frame: &Frame<'_>, each: &mut impl FnMut(&str, &[u8])) -> u64 {
        let Frame::Whole { first, body } = frame else { return 0 };
        if first & 0xf0 == 0x90 {
            self.subscribed.store(true, Ordering::Release);
        }
        // A PUBLISH with QoS 0: the length of the topic, the topic, the payload.
        if first & 0xf0 != 0x30 || body.len() < 2 {
            return 0;
        }
        let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, payload) = (std::str::from_utf8(&body[2..end]).unwrap_or_default(), &body[end..]);
        if topic.ends_with("/status") && payload == b"online" {
            self.online.fetch_add(1, Ordering::AcqRel);
        }
        if !topic.contains("/reading/") && !topic.contains("/backlog/") {
            return 0;
        }
        each(topic, payload);
        // In an array a comma stands between two readings.
        if payload.first() == Some(&b'[') {
            1 + payload.windows(3).filter(|bytes| bytes == b"},{").count() as u64
        } else {
            1
        }
    }
}

/// A process that ends with this value.
pub struct Process(pub Child);

impl Process {
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The release node of this build, with that config.
pub fn node(config: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedge"));
    command.args(["run", "-q", "-c"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    Process(command.spawn().unwrap_or_else(|error| panic!("{error}")))
}

/// CPU time that a process has used.
pub fn cpu(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The memory of a process in KiB: its share of what is shared (PSS), and what is its own alone.
pub fn memory(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let of = |name: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.filter_map(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).sum::<u64>()
    };
    (of("Pss:"), of("Private_Dirty:"))
}

/// The middle one.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// An empty folder of the build's, for this run.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

/// Whether this is `cargo bench`: `cargo test --benches` runs a bench too, and nothing is to be measured then.
pub fn measures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Says how busy the machine is: the numbers are to be read with it.
pub fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("?").to_owned()
}
