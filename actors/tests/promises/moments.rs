//! What a node tells of its own life.

use std::sync::{Arc, Mutex};

use sedge_actors::PluginSpec;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{ConfigApplied, ConfigLoaded, LoadedConfig, NodeStarted, NodeStopping};

use super::puppet::{Puppet, S, node, pass, status};
use super::reload::change;
use super::support::id;

type Log = Arc<Mutex<Vec<&'static str>>>;

/// Writes down what the node tells.
struct Diary(Log);
impl Plugin for Diary {
    type Args = Log;
    const MANIFEST: Manifest = Manifest::new("diary", "1.0.0", "Writes down what the node tells.");
    async fn setup(log: &Log, _: Context) -> Result<Self, PluginError> {
        log.lock().unwrap().push("up");
        Ok(Self(log.clone()))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, log: &Log, _: &Context) {
        hooks.observe::<NodeStarted>(Options::default());
        hooks.observe::<NodeStopping>(Options::default());
        hooks.observe::<ConfigApplied>(Options::default());
        let log = log.clone();
        hooks.inline::<ConfigLoaded>(Options::default(), move |_| {
            log.lock().unwrap().push("loaded");
            Ok(Step::Pass)
        });
    }
    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.0.lock().unwrap().push("down");
        Ok(())
    }
}

macro_rules! writes_down {
    ($($topic:ty, $message:ty => $word:literal;)+) => {$(
        impl Observer<$topic> for Diary {
            async fn observe(&mut self, _: Arc<$message>) -> Result<(), PluginError> {
                self.0.lock().unwrap().push($word);
                Ok(())
            }
        }
    )+};
}
writes_down! {
    NodeStarted, () => "started";
    NodeStopping, () => "stopping";
    ConfigApplied, LoadedConfig => "applied";
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_told_of_the_start_of_a_reload_and_of_the_stop_before_it_is_torn_down() {
    let log = Log::default();
    let diary = || PluginSpec::new::<Diary>(id("diary"), log.clone());
    let mut node = node(vec![diary(), Puppet::new().spec("other")]).await;
    pass(S).await;
    node.apply(change(vec![diary()])).await.unwrap();
    pass(S).await;
    node.stop().await;
    let expected = ["up", "loaded", "started", "loaded", "applied", "stopping", "down"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_started_is_listed_as_discovered_until_its_turn() {
    let looked = Arc::new(Mutex::new(None));
    let saw = looked.clone();
    let looks = Puppet::new().on_setup(move |ctx| {
        *saw.lock().unwrap() = ctx.directory().plugin("z").map(|status| status.state);
        async { Ok(()) }
    });
    let node = node(vec![looks.spec("a"), Puppet::new().spec("z")]).await;
    assert_eq!(*looked.lock().unwrap(), Some(State::Discovered));
    assert_eq!(status(&node, "z").0, State::Running);
    node.stop().await;
}
