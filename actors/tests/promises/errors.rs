//! `OnError`: whatever fails is told once, with its cause.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sedge_actors::{PluginSpec, RestartPolicy};
use sedge_plugin::prelude::*;
use sedge_plugin::topic::{Chain, Collect};
use sedge_plugin::topics::{Failure, OnError, ToolExecute};
use serde_json::json;

use super::puppet::{Puppet, S, call, node, pass, subscriber, told, watched};
use super::support::{Does, Numbers, id};

struct Text;
impl Topic for Text {
    type Message = String;
    type Answer = ();
    type Kind = Chain;
    const NAME: &'static str = "text";
    const DOC: &'static str = "Fired by a test.";
}

struct Poll;
impl Topic for Poll {
    type Message = ();
    type Answer = ();
    type Kind = Collect;
    const NAME: &'static str = "poll";
    const DOC: &'static str = "Fired by a test.";
}

fn one(failures: &[Failure]) -> (&str, &str, &str) {
    let [failure] = failures else { panic!("told once: {failures:#?}") };
    (failure.plugin.as_str(), &failure.what, &failure.error)
}

/// Does it the first time, and never again.
fn once(does: Does) -> impl Fn() -> super::puppet::Act0 + Send + Sync + 'static {
    let turns = Arc::new(AtomicU32::new(0));
    move || {
        let first = turns.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move { if first { does.act().await } else { Ok(()) } })
    }
}

const FAULTS: [(Does, &str); 3] =
    [(Does::Fails, "it broke"), (Does::Panics, "panicked: it panicked"), (Does::Hangs, "did not end within")];

#[tokio::test(start_paused = true)]
async fn a_failed_tick_is_told_once_however_it_failed() {
    for (does, why) in FAULTS {
        let act = once(does);
        let (node, mut errors) = watched(vec![Puppet::new().on_tick(20 * S, move |_| act()).spec("p")]).await;
        pass(80 * S).await;
        let failures = told(&mut errors);
        let (plugin, what, error) = one(&failures);
        let expected = if does == Does::Panics { "plugin" } else { "tick" };
        assert_eq!((plugin, what), ("p", expected), "{does:?}");
        assert!(error.contains(why), "{error}");
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_failed_ticks_are_told_three_times_and_the_restart_after_them_is_not() {
    let (node, mut errors) = watched(vec![Puppet::new().on_tick(S, |_| Does::Fails.act()).spec("p")]).await;
    pass(S * 5 / 2).await;
    assert_eq!(node.directory().plugins["p"].state, State::BackingOff);
    let failures = told(&mut errors);
    assert_eq!(failures.len(), 3, "{failures:#?}");
    assert!(failures.iter().all(|failure| failure.what == "tick"), "{failures:#?}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_observer_is_told_once_however_it_failed() {
    for (does, why) in FAULTS {
        let act = once(does);
        let (node, mut errors) = watched(vec![Puppet::new().on_hear(move |_, _| act()).spec("p")]).await;
        node.bus().publish::<Numbers>(1).await;
        pass(30 * S).await;
        let failures = told(&mut errors);
        let (plugin, what, error) = one(&failures);
        let expected = if does == Does::Panics { "plugin" } else { "numbers" };
        assert_eq!((plugin, what), ("p", expected), "{does:?}");
        assert!(error.contains(why), "{error}");
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_setup_is_told_once_per_try_as_that() {
    for (does, why) in FAULTS.into_iter().chain([(Does::IsMisconfigured, "line 0 is not a line")]) {
        let spec = Puppet::new().on_setup(move |_| does.act()).spec("p").deadlines(S, S);
        let (node, mut errors) = watched(vec![spec]).await;
        pass(S * 6 / 5).await;
        let failures = told(&mut errors);
        // A second try may have failed by now; it is the set-up again, told once again.
        let tries = failures.len();
        assert!((1..=2).contains(&tries), "{failures:#?}");
        assert!(failures.iter().all(|f| f.what == "setup" && f.error.contains(why)), "{failures:#?}");
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_only_missing_is_no_error() {
    let (node, mut errors) = watched(vec![Puppet::new().on_setup(|_| Does::Lacks.act()).spec("p")]).await;
    pass(S).await;
    assert_eq!(told(&mut errors), []);
    node.stop().await;
}

/// A step with state, and one who is asked.
struct Asked(Does);
impl Plugin for Asked {
    type Args = Does;
    const MANIFEST: Manifest = Manifest::new("asked", "1.0.0", "Is asked.");
    async fn setup(does: &Does, _: Context) -> Result<Self, PluginError> {
        Ok(Self(*does))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Does, _: &Context) {
        hooks.chain::<Text>(Options { deadline: S, ..Options::default() });
        hooks.collect::<Poll>(Options { deadline: S, ..Options::default() });
    }
}
impl Link<Text> for Asked {
    async fn step(&mut self, _: Arc<String>) -> Result<Step<String>, PluginError> {
        self.0.act().await.map(|()| Step::Pass)
    }
}
impl Answer<Poll> for Asked {
    async fn answer(&mut self, _: Arc<()>) -> Result<Option<()>, PluginError> {
        self.0.act().await.map(Some)
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_or_answer_is_told_once_however_it_failed() {
    for does in [Does::Fails, Does::Panics, Does::Hangs] {
        for topic in ["text", "poll"] {
            let (node, mut errors) = watched(vec![PluginSpec::new::<Asked>(id("p"), does)]).await;
            if topic == "text" {
                node.bus().chain::<Text>("x".into()).await;
            } else {
                node.bus().collect::<Poll>(()).await;
            }
            pass(30 * S).await;
            let failures = told(&mut errors);
            assert_eq!((one(&failures).0, one(&failures).1), ("p", topic), "{does:?}");
            node.stop().await;
        }
    }
}

subscriber!(Inline, bool, |hooks, panics| {
    let panics = *panics;
    hooks.inline::<Text>(Options::default(), move |_| {
        assert!(!panics, "fell over");
        Err(PluginError::failed("it broke"))
    });
});

#[tokio::test(start_paused = true)]
async fn a_failed_inline_step_is_told_once() {
    for (panics, why) in [(false, "it broke"), (true, "panicked: fell over")] {
        let (node, mut errors) = watched(vec![PluginSpec::new::<Inline>(id("p"), panics)]).await;
        node.bus().chain::<Text>("x".into()).await;
        pass(S).await;
        assert_eq!(one(&told(&mut errors)), ("p", "text", why));
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_tool_call_is_told_once_however_it_failed() {
    for does in [Does::Fails, Does::Panics, Does::Hangs] {
        let tool = Puppet::new().tool("pump_set").on_call(move |_, _| async move {
            does.act().await.map_err(|error| ToolError::failed(error.to_string()))?;
            Ok(json!(1))
        });
        let (node, mut errors) = watched(vec![tool.spec("pump")]).await;
        assert!(node.call(call("pump_set", json!({}))).await.result.is_err());
        pass(30 * S).await;
        let failures = told(&mut errors);
        assert_eq!((one(&failures).0, one(&failures).1), ("pump", "tool pump_set"), "{does:?}");
        node.stop().await;
    }
    let (node, mut errors) = watched(vec![]).await;
    assert!(node.call(call("no_such", json!({}))).await.result.is_err());
    assert_eq!(one(&told(&mut errors)).1, "tool no_such");
    node.stop().await;
}

subscriber!(BadWrapper, (), |hooks, _args| {
    hooks.around::<ToolExecute>(Options::default(), |_, _| {
        Box::pin(async { Err(PluginError::failed("it broke")) })
    });
});

#[tokio::test(start_paused = true)]
async fn a_failed_wrapper_is_told_once_and_the_call_it_wrapped_has_not_failed() {
    let specs =
        vec![PluginSpec::new::<BadWrapper>(id("bad"), ()), Puppet::new().tool("pump_set").spec("pump")];
    let (node, mut errors) = watched(specs).await;
    assert!(node.call(call("pump_set", json!({}))).await.result.is_ok());
    assert_eq!(one(&told(&mut errors)), ("bad", "tool_execute", "it broke"));
    node.stop().await;
}

/// Fails to hear of failures.
struct Mourner(Arc<AtomicU32>, Does);
impl Plugin for Mourner {
    type Args = (Arc<AtomicU32>, Does);
    const MANIFEST: Manifest = Manifest::new("mourner", "1.0.0", "Hears of failures, badly.");
    async fn setup(args: &Self::Args, _: Context) -> Result<Self, PluginError> {
        Ok(Self(args.0.clone(), args.1))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<OnError>(Options { deadline: S, ..Options::default() });
    }
}
impl Observer<OnError> for Mourner {
    async fn observe(&mut self, _: Arc<Failure>) -> Result<(), PluginError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.act().await
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_fails_to_hear_of_failures_does_not_hear_of_that_for_ever() {
    for does in [Does::Fails, Does::Panics, Does::Hangs] {
        let heard = Arc::new(AtomicU32::new(0));
        let args = (heard.clone(), does);
        let act = once(Does::Fails);
        let specs = vec![
            PluginSpec::new::<Mourner>(id("m1"), args.clone()).policy(RestartPolicy::default()),
            PluginSpec::new::<Mourner>(id("m2"), args),
            Puppet::new().on_tick(3600 * S, move |_| act()).spec("p"),
        ];
        let node = node(specs).await;
        pass(600 * S).await;
        let heard = heard.load(Ordering::SeqCst);
        assert!((2..=4).contains(&heard), "{does:?}: heard {heard} times");
        node.stop().await;
    }
}
