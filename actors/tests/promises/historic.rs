//! Historic topics: who comes late, or again, gets the last message of each key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sedge_actors::{Bus, PluginSpec, Subscription};
use sedge_plugin::prelude::*;
use sedge_plugin::topic::Observe;
use sedge_plugin::topics::NodeStarted;

use super::puppet::{Puppet, S, node, pass};
use super::support::{Numbers, id};

/// The height of something, and the how-manieth it is.
#[derive(Debug, Clone, PartialEq)]
struct Tide {
    port: Option<Id>,
    n: u64,
}

struct Tides;
impl Topic for Tides {
    type Message = Tide;
    type Answer = ();
    type Kind = Observe;
    const NAME: &'static str = "tides";
    const DOC: &'static str = "Fired by a test.";
    const HISTORIC: bool = true;
    fn key(tide: &Tide) -> Option<&Id> {
        tide.port.as_ref()
    }
}

fn tide(port: &str, n: u64) -> Tide {
    Tide { port: Id::new(port).ok(), n }
}

fn heard(ear: &mut Subscription<Tides>) -> Vec<(String, u64)> {
    let port = |tide: &Tide| tide.port.as_ref().map(Id::to_string).unwrap_or_default();
    std::iter::from_fn(|| ear.take()).map(|tide| (port(&tide), tide.n)).collect()
}

fn pairs(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(port, n)| ((*port).to_owned(), *n)).collect()
}

#[tokio::test]
async fn a_late_observer_gets_the_last_message_of_each_key_once_and_then_what_comes() {
    let bus = Bus::default();
    let mut early = bus.subscribe::<Tides>(&id("early"), Options::default());
    for (port, n) in [("hull", 1), ("kiel", 2), ("hull", 3), ("", 4), ("", 5)] {
        bus.publish::<Tides>(tide(port, n)).await;
    }
    let mut late = bus.subscribe::<Tides>(&id("late"), Options::default());
    bus.publish::<Tides>(tide("kiel", 6)).await;
    assert_eq!(heard(&mut late), pairs(&[("kiel", 2), ("hull", 3), ("", 5), ("kiel", 6)]));
    assert_eq!(heard(&mut early).len(), 6, "who was there before is told nothing twice");
}

#[tokio::test]
async fn a_topic_that_is_not_historic_replays_nothing() {
    let bus = Bus::default();
    bus.publish::<Numbers>(1).await;
    assert_eq!(bus.subscribe::<Numbers>(&id("late"), Options::default()).take(), None);
}

#[tokio::test]
async fn who_asked_for_some_keys_is_replayed_these() {
    let bus = Bus::default();
    for (port, n) in [("hull", 1), ("kiel", 2), ("", 3)] {
        bus.publish::<Tides>(tide(port, n)).await;
    }
    let mut late = bus.subscribe::<Tides>(&id("late"), Options::default().only([id("kiel")]));
    assert_eq!(heard(&mut late), pairs(&[("kiel", 2)]));
}

#[tokio::test]
async fn what_is_remembered_is_bounded_and_the_oldest_key_goes_first() {
    let bus = Bus::default();
    for n in 0..1500 {
        bus.publish::<Tides>(tide(&format!("p{n}"), n)).await;
        // Heard of all the time, so never the oldest.
        bus.publish::<Tides>(tide("hull", n)).await;
    }
    let options = Options { capacity: 4096, ..Options::default() };
    let heard = heard(&mut bus.subscribe::<Tides>(&id("late"), options));
    assert_eq!(heard.len(), 1024);
    assert_eq!((heard[0].0.as_str(), &heard[1023]), ("p477", &("hull".to_owned(), 1499)));
}

#[tokio::test]
async fn a_replay_that_does_not_fit_into_the_queue_is_counted_whatever_the_overflow() {
    for (overflow, kept) in [(Overflow::DropOldest, 2), (Overflow::DropNewest, 0), (Overflow::Wait, 0)] {
        let bus = Bus::default();
        for n in 0..3 {
            bus.publish::<Tides>(tide(&format!("p{n}"), n)).await;
        }
        let options = Options { capacity: 1, overflow, ..Options::default() };
        let mut late = bus.subscribe::<Tides>(&id("late"), options);
        assert_eq!(heard(&mut late), [(format!("p{kept}"), kept)], "{overflow:?}");
        assert_eq!(late.dropped(), 2, "{overflow:?}");
    }
}

#[test]
fn under_concurrent_publishing_a_subscriber_gets_every_message_once_from_the_last_one_on() {
    const SUBSCRIBERS: usize = 1000;
    let bus = Bus::default();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime().block_on(bus.publish::<Tides>(tide("hull", 0)));
    let over = Arc::new(AtomicBool::new(false));
    let publisher = std::thread::spawn({
        let (bus, over) = (bus.clone(), over.clone());
        move || {
            runtime().block_on(async {
                for n in 1.. {
                    bus.publish::<Tides>(tide("hull", n)).await;
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                }
            })
        }
    });
    // Each keeps the beginning of what it hears: what was replayed, and what came at the same moment.
    let options = Options { capacity: 8, overflow: Overflow::DropNewest, ..Options::default() };
    for _ in 0..SUBSCRIBERS {
        let mut ear = bus.subscribe::<Tides>(&id("ear"), options.clone());
        let mut heard = Vec::new();
        while heard.len() < 3 {
            match ear.take() {
                Some(tide) => heard.push(tide.n),
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(heard, [heard[0], heard[0] + 1, heard[0] + 2], "no hole, nothing twice");
    }
    over.store(true, Ordering::SeqCst);
    publisher.join().unwrap();
}

/// Hears of the start of the node and of the tides.
struct Harbour(Arc<Mutex<Vec<String>>>);
impl Plugin for Harbour {
    type Args = Arc<Mutex<Vec<String>>>;
    const MANIFEST: Manifest = Manifest::new("harbour", "1.0.0", "Hears of the tides.");
    async fn setup(log: &Self::Args, _: Context) -> Result<Self, PluginError> {
        Ok(Self(log.clone()))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<NodeStarted>(Options::default());
        hooks.observe::<Tides>(Options::default());
        hooks.observe::<Numbers>(Options::default());
    }
}
impl Observer<NodeStarted> for Harbour {
    async fn observe(&mut self, _: Arc<()>) -> Result<(), PluginError> {
        self.0.lock().unwrap().push("started".into());
        Ok(())
    }
}
impl Observer<Tides> for Harbour {
    async fn observe(&mut self, tide: Arc<Tide>) -> Result<(), PluginError> {
        self.0.lock().unwrap().push(format!("tide {}", tide.n));
        Ok(())
    }
}
impl Observer<Numbers> for Harbour {
    async fn observe(&mut self, _: Arc<u64>) -> Result<(), PluginError> {
        panic!("flooded")
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_restarts_gets_the_last_value_again_and_so_does_one_that_starts_late() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let tells = Puppet::new().on_hear(|ctx, n| async move {
        // Fired by a plugin, through its context, which knows the topic by type alone.
        ctx.publish::<Tides>(tide("hull", n)).await;
        Ok(())
    });
    let harbour = PluginSpec::new::<Harbour>(id("harbour"), log.clone());
    let mut node = node(vec![harbour, tells.spec("tells")]).await;
    let logged = || std::mem::take(&mut *log.lock().unwrap());
    pass(S).await;
    assert_eq!(logged(), ["started"]);
    node.bus().publish::<Numbers>(7).await;
    pass(10 * S).await;
    assert_eq!(node.directory().plugins["harbour"].restarts, 1);
    let mut again = logged();
    // Whether it heard of the tide before it drowned is up to the order of its queues.
    again.retain(|entry| entry != "tide 7");
    assert_eq!(again, ["started"], "NodeStarted is replayed to one that starts again");
    let late = Arc::new(Mutex::new(Vec::new()));
    let specs = vec![tells.spec("tells"), PluginSpec::new::<Harbour>(id("late"), late.clone())];
    node.apply(super::reload::change(specs)).await.unwrap();
    pass(S).await;
    assert_eq!(*late.lock().unwrap(), ["started", "tide 7"]);
    node.stop().await;
}
