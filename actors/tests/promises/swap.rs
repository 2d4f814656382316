//! The table of subscriptions changes at once, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sedge_actors::{PluginSpec, RestartPolicy};
use sedge_plugin::prelude::*;
use sedge_plugin::topic::Chain;
use sedge_plugin::topics::PluginStateChanged;

use super::puppet::{node, subscriptions};
use super::support::{Numbers, id};

/// A text that plugins append to.
struct Text;
impl Topic for Text {
    type Message = String;
    type Answer = ();
    type Kind = Chain;
    const NAME: &'static str = "text";
    const DOC: &'static str = "Fired by a test.";
}

/// Has four steps in one chain; breaks when it hears a number.
struct Four;
impl Plugin for Four {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("four", "1.0.0", "Four steps.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
        for (priority, letter) in [(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')] {
            let step = move |text: &String| Ok(Step::Replace(format!("{text}{letter}")));
            hooks.inline::<Text>(Options::priority(priority), step);
        }
        hooks.observe::<Numbers>(Options::default());
    }
}
impl Observer<Numbers> for Four {
    async fn observe(&mut self, _: Arc<u64>) -> Result<(), PluginError> {
        Err(PluginError::Unmet("pulled out".into()))
    }
}

#[test]
fn no_dispatch_ever_sees_half_of_a_plugins_subscriptions() {
    const RESTARTS: u32 = 60;
    let over = Arc::new(AtomicBool::new(false));
    let seen = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let brief = Duration::from_micros(200);
        let policy = RestartPolicy { probe: brief, ..RestartPolicy::default() };
        let node = node(vec![PluginSpec::new::<Four>(id("four"), ()).policy(policy)]).await;
        let mut states = node.bus().subscribe::<PluginStateChanged>(&id("ear"), Options::default());
        let hammers: Vec<_> = (0..2)
            .map(|_| {
                let (bus, over, seen) = (node.bus().clone(), over.clone(), seen.clone());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    while !over.load(Ordering::SeqCst) {
                        let Chained::Passed(text) = runtime.block_on(bus.chain::<Text>(String::new())) else {
                            panic!("vetoed")
                        };
                        assert!(matches!(text.as_str(), "" | "abcd"), "half of it: {text:?}");
                        seen[usize::from(text.is_empty())].fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..RESTARTS {
            node.bus().publish::<Numbers>(1).await;
            while states.next().await.state != State::Running {}
        }
        over.store(true, Ordering::SeqCst);
        hammers.into_iter().for_each(|hammer| hammer.join().expect("no thread saw half of it"));
        let seen = seen.each_ref().map(|seen| seen.load(Ordering::SeqCst));
        assert!(seen[0] > 0, "{seen:?}");
        node.stop().await;
    });
}

#[test]
fn changes_from_many_threads_are_all_in_the_table() {
    let bus = sedge_actors::Bus::default();
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let bus = bus.clone();
            std::thread::spawn(move || {
                let one = || bus.subscribe::<Numbers>(&id(&format!("t{n}")), Options::default());
                let kept: Vec<_> = (0..50).map(|_| one()).collect();
                // Dropped while others come.
                (0..50).for_each(|_| drop(one()));
                kept
            })
        })
        .collect();
    let kept: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!((kept.len(), subscriptions(&bus).len()), (200, 200));
    drop(kept);
    assert_eq!(bus.topics(), []);
}
