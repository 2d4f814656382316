//! Nobody waits for a subscriber longer than its deadline.

use std::sync::Arc;
use std::time::Duration;

use sedge_actors::PluginSpec;
use sedge_plugin::prelude::*;
use sedge_plugin::topic::{Chain, Collect, First};
use sedge_plugin::topics::{Deliver, Process};
use tokio::time::Instant;

use super::puppet::{Puppet, S, node, pass};
use super::support::id;

macro_rules! topic {
    ($name:ident, $word:literal, $kind:ty, $answer:ty) => {
        struct $name;
        impl Topic for $name {
            type Message = String;
            type Answer = $answer;
            type Kind = $kind;
            const NAME: &'static str = $word;
            const DOC: &'static str = "Fired by a test.";
        }
    };
}
topic!(Edit, "edit", Chain, ());
topic!(Gather, "gather", Collect, &'static str);
topic!(Guess, "guess", First, &'static str);

/// Takes its time; has as much as it was given.
struct Takes(Duration, &'static str);
impl Plugin for Takes {
    type Args = (Duration, Duration, &'static str);
    const MANIFEST: Manifest = Manifest::new("takes", "1.0.0", "Takes its time.");
    async fn setup(args: &Self::Args, _: Context) -> Result<Self, PluginError> {
        Ok(Self(args.0, args.2))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, args: &Self::Args, _: &Context) {
        let options = Options { deadline: args.1, ..Options::default() };
        hooks.chain::<Edit>(options.clone());
        hooks.collect::<Gather>(options.clone());
        hooks.first::<Guess>(options);
    }
}
impl Link<Edit> for Takes {
    async fn step(&mut self, text: Arc<String>) -> Result<Step<String>, PluginError> {
        tokio::time::sleep(self.0).await;
        Ok(Step::Replace(format!("{text}{}", self.1)))
    }
}
impl Answer<Gather> for Takes {
    async fn answer(&mut self, _: Arc<String>) -> Result<Option<&'static str>, PluginError> {
        tokio::time::sleep(self.0).await;
        Ok(Some(self.1))
    }
}
impl Answer<Guess> for Takes {
    async fn answer(&mut self, _: Arc<String>) -> Result<Option<&'static str>, PluginError> {
        tokio::time::sleep(self.0).await;
        Ok(Some(self.1))
    }
}

/// The first never ends and has two seconds; the second takes three and has ten.
fn slow_ones() -> Vec<PluginSpec> {
    let takes = |name, time, deadline| PluginSpec::new::<Takes>(id(name), (time, deadline, name));
    vec![takes("a", Duration::MAX / 4, 2 * S), takes("b", 3 * S, 10 * S)]
}

#[tokio::test(start_paused = true)]
async fn a_chain_waits_for_each_step_as_long_as_that_may_take_and_no_longer() {
    let node = node(slow_ones()).await;
    let began = Instant::now();
    assert_eq!(node.bus().chain::<Edit>(String::new()).await, Chained::Passed("b".into()));
    assert_eq!(began.elapsed().as_secs(), 5);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn first_waits_for_each_as_long_as_that_may_take_and_then_asks_the_next() {
    let node = node(slow_ones()).await;
    let began = Instant::now();
    assert_eq!(node.bus().first::<Guess>(String::new()).await, Some((id("b"), "b")));
    assert_eq!(began.elapsed().as_secs(), 5);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn collect_asks_all_at_once_and_waits_for_the_slowest_that_keeps_its_deadline() {
    let node = node(slow_ones()).await;
    let began = Instant::now();
    assert_eq!(node.bus().collect::<Gather>(String::new()).await, [(id("b"), "b")]);
    assert_eq!(began.elapsed().as_secs(), 3);
    node.stop().await;
}

struct SlowEar;
impl Plugin for SlowEar {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("slow-ear", "1.0.0", "Takes a minute for each reading.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
        let minute = Duration::from_secs(60);
        hooks.observe::<Deliver>(Options { capacity: 2, deadline: 2 * minute, ..Options::default() });
        hooks.inline::<Process>(Options::default(), |_| Ok(Step::Pass));
    }
}
impl Observer<Deliver> for SlowEar {
    async fn observe(&mut self, _: Arc<Reading>) -> Result<(), PluginError> {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_observer_never_holds_up_a_sensor_and_what_it_misses_is_shown() {
    let sensor = Puppet::new().sensor().on_tick(S, |ctx| async move {
        if ctx.latest(ctx.id()).is_some_and(|reading| reading.seq >= 50) {
            return Ok(());
        }
        let mut frame = Frame::default();
        frame.push("level", 1.0);
        ctx.submit(ctx.id(), frame).await
    });
    let node = node(vec![PluginSpec::new::<SlowEar>(id("ear"), ()), sensor.spec("tank")]).await;
    pass(49 * S + S / 2).await;
    assert_eq!(node.latest(&id("tank")).unwrap().seq, 50, "one each second");
    pass(6 * S).await;
    let ear = node.directory().plugins["ear"].clone();
    // One was handed over, two wait.
    assert_eq!((ear.state, ear.dropped), (State::Running, 47));
    node.stop().await;
}
