//! A new config without a restart: only what has changed stops and starts.

use std::sync::{Arc, Mutex};

use sedge_actors::{Change, Changed, PluginSpec, Surroundings, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{ConfigLoaded, LoadedConfig};
use serde_json::json;

use super::puppet::{
    FIELDS, Puppet, S, call, count, node, pass, status, subscriber, subscriptions, unstarted,
};
use super::support::{Numbers, id};

/// A change to these plugins, and nothing else.
pub fn change(plugins: Vec<PluginSpec>) -> Change {
    Change { plugins, guards: Vec::new(), config: Arc::default(), info: node_info("changed") }
}

fn ids(names: &[&str]) -> Vec<Id> {
    names.iter().map(|name| id(name)).collect()
}

/// Counts what it hears: its instance can be told by that. Announces a sensor, offers a tool, counts a metric.
fn lively(tool: &str) -> Puppet {
    let heard = Arc::new(std::sync::atomic::AtomicU64::new(0));
    Puppet::new().tool(tool).sensor().on_hear(move |ctx, n| {
        heard.fetch_add(n, std::sync::atomic::Ordering::SeqCst);
        async move {
            ctx.counter(Name::new("heard").unwrap(), "Numbers heard.").unwrap().add(n);
            let mut frame = Frame::default();
            frame.push("level", n as f64);
            ctx.submit(ctx.id(), frame).await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_as_before_runs_on_and_only_what_changed_stops_and_starts() {
    let [same, other, gone, new] = ["same", "other", "gone", "new"].map(lively);
    let mut node = node(vec![
        same.spec("same").fingerprint(1),
        other.spec("other").fingerprint(1),
        gone.spec("gone").fingerprint(1),
    ])
    .await;
    node.bus().publish::<Numbers>(5).await;
    pass(S).await;
    assert_eq!(node.latest(&id("other")).unwrap().seq, 1);
    let told = node
        .apply(change(vec![
            new.spec("new").fingerprint(1),
            other.spec("other").fingerprint(2),
            same.spec("same").fingerprint(1),
        ]))
        .await;
    let expected =
        Changed { started: ids(&["new"]), restarted: ids(&["other"]), stopped: ids(&["gone"]), kept: 1 };
    assert_eq!(told, Ok(expected));
    let lives = |puppet: &Puppet| (count(&puppet.ran.setups), count(&puppet.ran.teardowns));
    assert_eq!([&same, &other, &gone, &new].map(lives), [(1, 0), (2, 1), (1, 1), (1, 0)]);
    let running: Vec<_> = node.directory().plugins.keys().map(Id::to_string).collect();
    assert_eq!(running, ["new", "other", "same"]);
    // What went took everything along.
    let directory = node.directory();
    assert_eq!(directory.sensors.keys().map(Id::as_str).collect::<Vec<_>>(), ["new", "other", "same"]);
    assert_eq!(directory.tools.keys().map(Name::as_str).collect::<Vec<_>>(), ["new", "other", "same"]);
    let metrics = node.metrics();
    assert!(!metrics.iter().any(|measured| measured.plugin == id("gone")));
    assert!(metrics.iter().any(|measured| measured.plugin == id("same")));
    assert!(!subscriptions(node.bus()).iter().any(|(plugin, _)| plugin == "gone"));
    assert_eq!(node.latest(&id("gone")), None);
    assert_eq!(node.call(call("gone", json!({}))).await.result.unwrap_err().code, ToolErrorCode::NotFound);
    assert!(node.call(call("other", json!({}))).await.result.is_ok());
    assert_eq!(directory.node.id, id("changed"));
    // A sensor that comes again counts on.
    node.bus().publish::<Numbers>(6).await;
    pass(S).await;
    assert_eq!(["same", "other", "new"].map(|name| node.latest(&id(name)).unwrap().seq), [2, 2, 1]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sensor_that_another_plugin_takes_over_counts_on() {
    let measures = || {
        Puppet::new()
            .on_setup(|ctx| async move {
                ctx.announce(SensorDescriptor::new(id("tank"), "puppet", "1.0.0", "nowhere", FIELDS));
                Ok(())
            })
            .on_hear(|ctx, _| async move { ctx.submit(&id("tank"), Frame::default()).await })
    };
    let mut node = node(vec![measures().spec("old")]).await;
    for (seq, owner) in [(1, "old"), (2, "new"), (3, "old")] {
        node.apply(change(vec![measures().spec(owner)])).await.unwrap();
        node.bus().publish::<Numbers>(1).await;
        pass(S).await;
        assert_eq!(node.latest(&id("tank")).unwrap().seq, seq, "{owner}");
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_changed_means_nothing_happens() {
    let puppet = lively("one");
    let mut node = node(vec![puppet.spec("one").fingerprint(7)]).await;
    let before = subscriptions(node.bus());
    let told = node.apply(change(vec![puppet.spec("one").fingerprint(7)])).await.unwrap();
    assert_eq!(told, Changed { kept: 1, ..Changed::default() });
    assert_eq!((count(&puppet.ran.setups), subscriptions(node.bus())), (1, before));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_switched_off_and_on_again_stops_and_starts() {
    let puppet = lively("one");
    let mut node = node(vec![puppet.spec("one")]).await;
    let off = PluginSpec::barred(id("one"), "puppet", State::Disabled, None);
    assert_eq!(node.apply(change(vec![off])).await.unwrap().stopped, ids(&["one"]));
    assert_eq!(status(&node, "one").0, State::Disabled);
    assert!(node.directory().tools.is_empty() && node.directory().sensors.is_empty());
    assert_eq!(node.apply(change(vec![puppet.spec("one")])).await.unwrap().started, ids(&["one"]));
    assert_eq!(status(&node, "one").0, State::Running);
    assert_eq!(node.directory().tools.len(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_change_the_stop_still_goes_the_reverse_way() {
    let log = Arc::new(Mutex::new(String::new()));
    let puppet = |name: &'static str| {
        let log = log.clone();
        let logs = Puppet::new().on_teardown(move |_| {
            log.lock().unwrap().push_str(name);
            async { Ok(()) }
        });
        logs.spec(name)
    };
    let mut node = node(vec![puppet("b"), puppet("d")]).await;
    node.apply(change(vec![puppet("d"), puppet("c"), puppet("a"), puppet("b")])).await.unwrap();
    node.stop().await;
    assert_eq!(*log.lock().unwrap(), "dcba");
}

type Seen = Arc<Mutex<Vec<LoadedConfig>>>;
subscriber!(
    /// Refuses a config with `bad` in it.
    Censor,
    Seen,
    |hooks, seen| {
        let seen = seen.clone();
        hooks.inline::<ConfigLoaded>(Options::default(), move |loaded| {
            seen.lock().unwrap().push(loaded.clone());
            Ok(if loaded.config["bad"] == true { Step::Veto("bad things in it".into()) } else { Step::Pass })
        });
    }
);

#[tokio::test(start_paused = true)]
async fn a_plugin_may_refuse_a_reload_and_then_all_is_as_before() {
    let (puppet, seen) = (lively("one"), Seen::default());
    let around = Surroundings { config: Arc::new(json!({ "version": 1 })), ..Surroundings::default() };
    let censor = || PluginSpec::new::<Censor>(id("censor"), seen.clone());
    let mut node = unstarted(around).0.start(vec![puppet.spec("one"), censor()]).await;
    let (directory, table) = (node.directory(), subscriptions(node.bus()));
    let refused = Change {
        config: Arc::new(json!({ "bad": true })),
        guards: vec![sedge_actors::Guard {
            tools: vec!["*".into()],
            deny: vec!["*".into()],
            ..sedge_actors::Guard::new(id("g"))
        }],
        ..change(vec![lively("two").spec("two")])
    };
    assert_eq!(node.apply(refused).await, Err("`censor` refuses it: bad things in it".into()));
    assert_eq!((node.directory(), subscriptions(node.bus())), (directory, table));
    assert_eq!((count(&puppet.ran.setups), count(&puppet.ran.teardowns)), (1, 0));
    assert!(node.call(call("one", json!({}))).await.result.is_ok(), "the guards are the old ones");
    let asked: Vec<_> = seen.lock().unwrap().iter().map(|l| (l.config.to_string(), l.reload)).collect();
    assert_eq!(asked, [(r#"{"version":1}"#.to_owned(), false), (r#"{"bad":true}"#.to_owned(), true)]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_refuses_the_config_at_the_start_does_not_keep_the_node_from_running() {
    let around = Surroundings { config: Arc::new(json!({ "bad": true })), ..Surroundings::default() };
    let (node, _errors) = unstarted(around);
    let censor = PluginSpec::new::<Censor>(id("censor"), Seen::default());
    let node = node.start(vec![lively("one").spec("one"), censor]).await;
    assert_eq!((status(&node, "one").0, status(&node, "censor").0), (State::Running, State::Running));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn new_guards_and_the_new_config_are_in_force_after_a_reload() {
    let puppet = Puppet::new().tool("one").on_call(|ctx, _| async move { Ok((*ctx.config()).clone()) });
    let mut node = node(vec![puppet.spec("one")]).await;
    let deny = sedge_actors::Guard {
        tools: vec!["*".into()],
        deny: vec!["vandal".into()],
        ..sedge_actors::Guard::new(id("g"))
    };
    let config = Arc::new(json!({ "version": 2 }));
    node.apply(Change { guards: vec![deny], config, ..change(vec![puppet.spec("one")]) }).await.unwrap();
    assert_eq!(node.call(call("one", json!({}))).await.result, Ok(json!({ "version": 2 })));
    let vandal = ToolCall { from: "vandal".into(), ..call("one", json!({})) };
    assert_eq!(node.call(vandal).await.result.unwrap_err().code, ToolErrorCode::Denied);
    node.stop().await;
}
