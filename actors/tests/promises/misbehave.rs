//! Whatever a plugin does: the node runs on, the others work, the directory says why, nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sedge_actors::{PluginSpec, Surroundings};
use sedge_plugin::prelude::*;
use sedge_plugin::topic::Chain;
use sedge_plugin::topics::{Deliver, Process};
use serde_json::json;

use super::puppet::{Puppet, S, call, count, pass, status, subscriptions, unstarted};
use super::reload::change;
use super::support::{Does, Numbers, id};

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Puts plugins beside a sound one, hears and calls them, and looks that nothing is left of them: neither when the node
/// stops, nor when they go from its config. Gives back how `bad` stood a moment after, and the node later.
async fn suffer(plugins: impl Fn() -> Vec<PluginSpec>) -> (State, String, Arc<Directory>) {
    suffer_once(plugins(), true).await;
    suffer_once(plugins(), false).await
}

async fn suffer_once(plugins: Vec<PluginSpec>, reload: bool) -> (State, String, Arc<Directory>) {
    let before = tasks();
    let sound = Puppet::new().tool("sound").on_tick(S, |_| async { Ok(()) });
    let around = Surroundings {
        requirements: Some(Arc::new(|requirement| Err(format!("there is no {requirement}")))),
        ..Surroundings::default()
    };
    let (node, errors) = unstarted(around);
    drop(errors);
    let bus = node.bus().clone();
    let mut node = node.start(plugins.into_iter().chain([sound.spec("sound")]).collect()).await;
    let started = tasks();
    bus.publish::<Numbers>(1).await;
    bus.chain::<Numerals>(1).await;
    let _ = node.call(call("bad_do", json!({}))).await;
    pass(5 * S).await;
    let (state, reason) = status(&node, "bad");
    // It has had its chances; the sound one has noticed nothing.
    pass(60 * S).await;
    let answer = node.call(call("sound", json!({ "n": 1 }))).await;
    assert_eq!((answer.result, answer.by), (Ok(json!({ "n": 1 })), Some(id("sound"))));
    let directory = node.directory();
    let well = &directory.plugins["sound"];
    assert_eq!((well.state, well.restarts, well.dropped), (State::Running, 0, 0));
    let ticks = count(&sound.ran.ticks);
    assert!((60..=100).contains(&ticks), "it ticks as ever: {ticks}");
    assert!(tasks() <= started + 1, "restarts leave tasks behind");
    let began = tokio::time::Instant::now();
    if reload {
        node.apply(change(vec![sound.spec("sound")])).await.unwrap();
        pass(S).await;
        let mine = [("sound".to_owned(), "numbers"), ("sound".to_owned(), "tool_registry_build")];
        assert_eq!(subscriptions(&bus), mine, "subscriptions are left behind");
        let left = node.directory();
        assert_eq!((left.plugins.len(), left.sensors.len()), (1, 0));
        assert_eq!(left.tools.keys().map(Name::as_str).collect::<Vec<_>>(), ["sound"]);
        assert_eq!(tasks(), before + 2, "the sound one's keeper and actor, and no other task");
    }
    node.stop().await;
    assert!(began.elapsed() < 30 * S, "the stop took {:?}", began.elapsed());
    pass(S).await;
    assert_eq!(subscriptions(&bus), [], "subscriptions are left behind");
    assert_eq!(tasks(), before, "tasks are left behind");
    (state, reason, directory)
}

async fn suffers(puppet: impl Fn() -> Puppet) -> (State, String, Arc<Directory>) {
    suffer(|| vec![puppet().tool("bad_do").spec("bad")]).await
}

#[tokio::test(start_paused = true)]
async fn a_set_up_that_panics_or_never_returns_is_tried_again() {
    let (state, reason, _) = suffers(|| Puppet::new().on_setup(|_| Does::Panics.act())).await;
    assert_eq!((state, reason.as_str()), (State::BackingOff, "its setup panicked: it panicked"));
    let (state, _, later) = suffers(|| Puppet::new().on_setup(|_| Does::Hangs.act())).await;
    assert_eq!(state, State::Starting);
    let reason = later.plugins["bad"].reason.as_deref();
    assert_eq!(reason, Some("its setup did not end within 30s"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_or_never_returns_restarts_its_plugin() {
    for (does, why) in [(Does::Panics, "panicked"), (Does::Hangs, "`numbers` hung")] {
        let (state, _, later) = suffers(|| Puppet::new().on_hear(move |_, _| does.act())).await;
        assert_eq!((state, later.plugins["bad"].restarts), (State::Running, 1), "{why}");
        let ticks = || {
            let first = AtomicBool::new(true);
            Puppet::new().on_tick(20 * S, move |_| {
                let does = if first.swap(false, Ordering::SeqCst) { does } else { Does::Well };
                does.act()
            })
        };
        let (_, _, later) = suffers(ticks).await;
        assert_eq!((later.plugins["bad"].state, later.plugins["bad"].restarts), (State::Running, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_panics_restarts_its_plugin_and_one_that_never_returns_is_given_up() {
    for (does, restarts) in [(Does::Panics, 1), (Does::Hangs, 0)] {
        let breaks = || {
            Puppet::new().on_call(move |_, _| async move {
                does.act().await.map(|()| json!(null)).map_err(|error| ToolError::failed(error.to_string()))
            })
        };
        let (_, _, later) = suffers(breaks).await;
        assert_eq!((later.plugins["bad"].state, later.plugins["bad"].restarts), (State::Running, restarts));
    }
}

#[tokio::test(start_paused = true)]
async fn a_teardown_that_panics_or_never_returns_holds_up_nobody() {
    for does in [Does::Panics, Does::Hangs, Does::Fails] {
        let (state, _, _) = suffers(|| Puppet::new().on_teardown(move |_| does.act())).await;
        assert_eq!(state, State::Running);
    }
}

struct Numerals;
impl Topic for Numerals {
    type Message = u64;
    type Answer = ();
    type Kind = Chain;
    const NAME: &'static str = "numerals";
    const DOC: &'static str = "Fired by a test.";
}

struct Stuck(Does);
impl Plugin for Stuck {
    type Args = Does;
    const MANIFEST: Manifest = Manifest::new("stuck", "1.0.0", "Does not answer.");
    async fn setup(does: &Does, _: Context) -> Result<Self, PluginError> {
        Ok(Self(*does))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Does, _: &Context) {
        hooks.chain::<Numerals>(Options { deadline: S, ..Options::default() });
    }
}
impl Link<Numerals> for Stuck {
    async fn step(&mut self, _: Arc<u64>) -> Result<Step<u64>, PluginError> {
        self.0.act().await.map(|()| Step::Pass)
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_or_never_returns_restarts_its_plugin() {
    for does in [Does::Panics, Does::Hangs] {
        let (state, _, later) = suffer(|| vec![PluginSpec::new::<Stuck>(id("bad"), does)]).await;
        assert_eq!((state, later.plugins["bad"].restarts), (State::Running, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn readings_that_make_no_sense_do_no_harm_and_no_number_is_made_up() {
    let garbage = Puppet::new().sensor().on_hear(|ctx, _| async move {
        let mut frame = Frame::default();
        frame.push("level", f64::NAN);
        frame.push("", "a field without a name");
        frame.push("no such field", f64::INFINITY);
        // Past what keeps such a thing out.
        let sample =
            Sample { field: "level".into(), value: Ok(Value::Number(f64::NAN)), quality: Quality::Ok };
        frame.samples.push(sample);
        ctx.submit(ctx.id(), frame).await
    });
    let seen = Arc::new(std::sync::Mutex::new(None));
    let garbage = garbage.tool("bad_do");
    let ear = || PluginSpec::new::<Ear>(id("ear"), seen.clone());
    let (state, _, _) = suffer(|| vec![garbage.spec("bad"), ear()]).await;
    assert_eq!(state, State::Running);
    let reading: Arc<Reading> = seen.lock().unwrap().take().expect("it is delivered");
    for sample in &reading.frame.samples {
        assert!(sample.number().is_none_or(f64::is_finite), "{sample:?}");
    }
    assert_eq!(reading.frame.samples.last().unwrap().value, Err("not_finite".into()));
}

struct Ear(Arc<std::sync::Mutex<Option<Arc<Reading>>>>);
impl Plugin for Ear {
    type Args = Arc<std::sync::Mutex<Option<Arc<Reading>>>>;
    const MANIFEST: Manifest = Manifest::new("ear", "1.0.0", "Hears readings.");
    async fn setup(args: &Self::Args, _: Context) -> Result<Self, PluginError> {
        Ok(Self(args.clone()))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<Deliver>(Options::default());
        hooks.inline::<Process>(Options::default(), |_| Ok(Step::Pass));
    }
}
impl Observer<Deliver> for Ear {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        *self.0.lock().unwrap() = Some(reading);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_with_an_absurd_schema_or_the_name_of_anothers_is_not_listed() {
    let tool =
        |name: &str, input_schema| Tool { input_schema, ..Tool::new(Name::new(name).unwrap(), "Bad.") };
    let absurd = [
        json!(7),
        json!({ "type": "cheese" }),
        json!({ "properties": [] }),
        json!({ "$ref": "#" }),
        json!({ "pattern": "(((" }),
        json!({ "required": "all" }),
    ];
    for (n, schema) in absurd.into_iter().enumerate() {
        let odd =
            || Puppet::new().tools([tool(&format!("odd_{n}"), schema.clone()), tool("sound", json!({}))]);
        let (state, _, later) = suffer(|| vec![odd().tool("bad_do").spec("bad").needs([id("sound")])]).await;
        assert_eq!(state, State::Running);
        assert!(later.tools.contains_key("bad_do"), "its other tools are");
        assert!(!later.tools.contains_key(format!("odd_{n}").as_str()), "{schema} was listed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_counted_and_drowns_nobody() {
    let floods = Puppet::new().on_hear(|ctx, _| async move {
        for n in 0..10_000 {
            ctx.publish::<Flood>(n).await;
        }
        Ok(())
    });
    let floods = floods.tool("bad_do");
    let slow = || PluginSpec::new::<Drowning>(id("drowning"), ());
    let (state, _, later) = suffer(|| vec![floods.spec("bad"), slow()]).await;
    assert_eq!(state, State::Running);
    let drowning = &later.plugins["drowning"];
    assert_eq!((drowning.state, drowning.dropped), (State::Running, 10_000 - 256));
}

struct Flood;
impl Topic for Flood {
    type Message = u64;
    type Answer = ();
    type Kind = sedge_plugin::topic::Observe;
    const NAME: &'static str = "flood";
    const DOC: &'static str = "Fired by a test.";
}
struct Drowning;
impl Plugin for Drowning {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("drowning", "1.0.0", "Hears a flood.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
        hooks.observe::<Flood>(Options::default());
    }
}
impl Observer<Flood> for Drowning {
    async fn observe(&mut self, _: Arc<u64>) -> Result<(), PluginError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_registered_twice_or_claims_what_is_anothers_is_not_started() {
    let (first, second) = (Puppet::new().tool("bad_do"), Puppet::new().tool("other"));
    let (state, _, later) = suffer(|| vec![first.spec("bad"), second.spec("bad")]).await;
    assert_eq!((state, later.plugins.len()), (State::Running, 2));
    let thief = Puppet::new().tool("bad_do").claims(&["tank"]);
    let owner = Puppet::new().claims(&["tank"]);
    let (state, reason, later) = suffer(|| vec![thief.spec("bad"), owner.spec("a-tank")]).await;
    assert_eq!((state, reason.as_str()), (State::Failed, "`a-tank` has the sensor `tank` already"));
    assert!(!later.tools.contains_key("bad_do"));
}

#[tokio::test(start_paused = true)]
async fn one_whose_device_is_not_there_is_skipped() {
    let spec = || Puppet::new().spec("bad").requires([Requirement::Device("/dev/i2c-9".into())]);
    let (state, reason, _) = suffer(|| vec![spec()]).await;
    assert_eq!((state, reason.as_str()), (State::Skipped, "there is no device /dev/i2c-9"));
}
