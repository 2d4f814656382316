use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sedge_actors::{Node, PluginSpec, RunningNode, TokioClock, node_info};
use sedge_plugin::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

/// Where systemd would listen: an abstract name, which leaves no file behind.
struct Manager(UnixDatagram, String);

impl Manager {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sedge-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket, format!("@{name}"))
    }

    fn notifier(&self) -> Notifier {
        Notifier::to(self.1.as_ref()).unwrap()
    }

    /// The lines that were said since the last look.
    fn heard(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut datagram = [0; 4096];
        while let Ok(length) = self.0.recv(&mut datagram) {
            let text = std::str::from_utf8(&datagram[..length]).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }
}

/// A plugin that never ends what it began.
struct Hangs;
impl Plugin for Hangs {
    type Args = bool;
    const MANIFEST: Manifest =
        Manifest::new("hangs", "1.0.0", "Hangs at its first tick, where it is told to.");
    async fn setup(_: &bool, _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn every(&self) -> Option<Duration> {
        Some(S)
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        std::future::pending().await
    }
}

/// A plugin that says of itself what is amiss.
struct Amiss;
impl Plugin for Amiss {
    type Args = &'static str;
    const MANIFEST: Manifest = Manifest::new("amiss", "1.0.0", "Is not well.");
    async fn setup(why: &&'static str, _: Context) -> Result<Self, PluginError> {
        Err(PluginError::unmet(*why))
    }
}

async fn node(specs: Vec<PluginSpec>) -> RunningNode {
    Node::new(node_info("service"), Arc::new(TokioClock::default())).start(specs).await
}

fn id(name: &str) -> Id {
    Id::new(name).unwrap()
}

fn is_fed(heard: &[String]) -> bool {
    heard.iter().any(|line| line == "WATCHDOG=1")
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_fed_while_a_plugin_hangs_and_its_keeper_sees_to_it() {
    let manager = Manager::new();
    let service = Service::with(Some(manager.notifier()), Some(30 * S));
    let node = node(vec![PluginSpec::new::<Hangs>(id("hangs"), true)]).await;
    service.runs(&node, None);
    let mut states = Vec::new();
    for _ in 0..30 {
        tokio::time::sleep(11 * S).await;
        let heard = manager.heard();
        assert!(is_fed(&heard), "{heard:?}");
        states.extend(heard.into_iter().filter(|line| line.contains("hung")));
    }
    assert!(!states.is_empty(), "the plugin did hang, and the status said so");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_not_fed_while_somebody_does_not_answer_and_it_is_told_who() {
    let manager = Manager::new();
    let (notifier, notes) = (Arc::new(manager.notifier()), watch::Sender::<Notes>::default());
    let stuck = Arc::new(AtomicBool::new(false));
    let is_stuck = stuck.clone();
    let ask = move |_| {
        let stuck = is_stuck.load(Ordering::Relaxed);
        std::future::ready(if stuck { Err("the keeper of kitchen".to_owned()) } else { Ok(()) })
    };
    let feeding = tokio::spawn(feed(Within::of(30 * S), notifier, notes.clone(), ask));
    tokio::time::sleep(31 * S).await;
    assert_eq!(manager.heard(), ["WATCHDOG=1"; 4], "every third of the time");
    stuck.store(true, Ordering::Relaxed);
    tokio::time::sleep(29 * S).await;
    assert_eq!(
        manager.heard(),
        ["STATUS=Does not answer: the keeper of kitchen"],
        "once, before it is killed"
    );
    assert_eq!(notes.borrow().silent.as_deref(), Some("the keeper of kitchen"));
    stuck.store(false, Ordering::Relaxed);
    tokio::time::sleep(11 * S).await;
    assert!(is_fed(&manager.heard()));
    assert_eq!(notes.borrow().silent, None);
    feeding.abort();
}

#[tokio::test(start_paused = true)]
async fn a_node_is_ready_with_a_status_that_follows_its_plugins() {
    let manager = Manager::new();
    let service = Service::with(Some(manager.notifier()), None);
    service.starts("opens the journal");
    assert_eq!(manager.heard(), ["STATUS=Starting: opens the journal"]);
    let node = node(vec![
        PluginSpec::new::<Hangs>(id("attic"), false),
        PluginSpec::new::<Amiss>(id("kitchen"), "no answer at 0x76"),
    ])
    .await;
    service.runs(&node, None);
    let line = "STATUS=1 plugin runs, 1 amiss: kitchen (no answer at 0x76)";
    assert_eq!(manager.heard()[..2], ["READY=1", line]);
    service.stops();
    assert_eq!(manager.heard().last().unwrap(), "STATUS=Stops.");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_says_is_one_line_and_not_a_word_to_systemd() {
    let manager = Manager::new();
    let node = node(vec![PluginSpec::new::<Amiss>(id("kitchen"), "x\nWATCHDOG=1\nMAINPID=1")]).await;
    manager.notifier().tell(&[Say::Status(&line(&node.directory(), &Notes::default()))]);
    assert_eq!(manager.heard(), ["STATUS=0 plugins run, 1 amiss: kitchen (x WATCHDOG=1 MAINPID=1)"]);
    assert!(shown(&"ä".repeat(5000)).chars().count() <= 401);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_told_whatever_comes_of_it() {
    let manager = Manager::new();
    let service = Service::with(Some(manager.notifier()), None);
    let node = node(Vec::new()).await;
    service.runs(&node, None);
    manager.heard();
    let refused = service.reloads(async { Err::<(), _>("sedge.toml:3:1: unknown key".to_owned()) }).await;
    assert!(refused.is_err());
    tokio::time::sleep(5 * S).await;
    let heard = manager.heard();
    assert_eq!(heard[0], "RELOADING=1");
    assert!(heard[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse::<u64>().unwrap() > 0);
    let refused = "STATUS=0 plugins run; the new config is refused, the former one runs on: sedge.toml:3:1: unknown key";
    assert_eq!(heard[2..], ["STATUS=Reads its config again.", "READY=1", refused]);
    service.reloads(async { Ok::<_, String>(()) }).await.unwrap();
    tokio::time::sleep(5 * S).await;
    assert_eq!(manager.heard().last().unwrap(), "STATUS=0 plugins run", "also where it is as before");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_does_not_end_is_no_answer() {
    let node = node(Vec::new()).await;
    let began = Instant::now();
    assert_eq!(pulse(node.handle(), None, Some(began), S).await, Ok(()));
    tokio::time::sleep(RELOAD + S).await;
    let silent = pulse(node.handle(), None, Some(began), S).await;
    assert_eq!(silent, Err("the reload of the config, for 301 s".into()));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_where_nobody_listens() {
    assert!(Notifier::to("vsock:2:1234".as_ref()).is_none());
    let service = Service::with(None, Some(S));
    let node = node(Vec::new()).await;
    service.starts("opens the journal");
    service.runs(&node, None);
    service.stops();
    // A manager that has gone does not disturb either.
    let gone = Manager::new().notifier();
    gone.tell(&[Say::Ready]);
    node.stop().await;
}

#[tokio::test]
async fn a_manager_that_takes_nothing_does_not_hold_up_the_node() {
    let manager = Manager::new();
    let notifier = manager.notifier();
    for _ in 0..10_000 {
        notifier.tell(&[Say::Watchdog]);
    }
    assert!(is_fed(&manager.heard()));
}

#[test]
fn the_watchdog_is_of_this_process_or_of_none() {
    let asked =
        |usec: &str, pid: Option<&str>| watchdog::asked_for(Some(usec.into()), pid.map(str::to_owned), 42);
    assert_eq!(asked("30000000", None), Some(30 * S));
    assert_eq!(asked("30000000", Some("42")), Some(30 * S));
    assert_eq!(asked("30000000", Some("41")), None);
    assert_eq!((asked("0", None), asked("soon", None)), (None, None));
    assert_eq!(watchdog::asked_for(None, None, 42), None);
}
