//! How a plugin outside is greeted, and whom a node refuses.

use sedge_host::Declaration;
use sedge_host::outside::testing::{FakePlugin, hello, ready};
use sedge_host::outside::{End, Role};
use sedge_plugin::{State, Tool};
use sedge_protocol::{HelloMessage, ToNode, ToPlugin, Version, Why};
use serde_json::json;
use tokio::time::Instant;

use super::{PUMP, Setting};

/// Where a plugin stands after this start, why, and whether it was killed.
async fn after(plays: impl AsyncFnOnce(&mut FakePlugin, &Declaration), state: State) -> String {
    let (mut stage, mut plugin, ()) = Setting::new("pump", PUMP).play(plays).await;
    let status = stage.reaches("attic", state).await;
    plugin.killed().await;
    stage.node.stop().await;
    status.reason.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_told_its_name_its_settings_and_what_it_holds() {
    let mut setting = Setting::new("pump", PUMP);
    setting.change = |args| args.settings = json!({ "litres": 3 });
    let (stage, _plugin, welcome) = setting.play(async |plugin, declared| plugin.greet(declared).await).await;
    let ToPlugin::Welcome { id, plugin, node, settings, grants, sensor, data_dir, config, .. } = welcome
    else {
        panic!("no welcome")
    };
    assert_eq!((id.as_str(), plugin.as_str(), node.as_str()), ("attic", "pump", "stage"));
    assert_eq!((settings, grants), (json!({ "litres": 3 }), Default::default()));
    assert_eq!((sensor, data_dir, config), (None, None, None), "nothing that was not granted");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_version_of_the_protocol_is_refused_with_both_versions_and_what_to_do() {
    for (major, words) in [(2, "upgrade sedge"), (0, "upgrade the plugin")] {
        let reason = after(
            async |plugin, declared| {
                let protocol = Version { major, minor: 7 };
                plugin.say(ToNode::Hello(HelloMessage { protocol, ..hello(declared) })).await;
            },
            State::Failed,
        )
        .await;
        assert!(
            reason.contains(&format!("version {major}.7")) && reason.contains("this node 1.0"),
            "{reason}"
        );
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_is_another_one_than_its_manifest_says_is_refused() {
    for (name, version) in [("pumpe", "1.0.0"), ("pump", "6.6.6")] {
        let reason = after(
            async |plugin, declared| {
                let hello = HelloMessage { plugin: name.into(), version: version.into(), ..hello(declared) };
                plugin.say(ToNode::Hello(hello)).await;
            },
            State::Failed,
        )
        .await;
        let words = format!("it says that it is `{name}` {version}, its manifest that it is `pump` 1.0.0");
        assert!(reason.contains(&words), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_offers_other_tools_than_its_manifest_says_is_refused() {
    let ready_with = |change: fn(&mut Vec<Tool>)| {
        after(
            async move |plugin, declared| {
                plugin.begin(declared).await;
                let ToNode::Ready { mut tools, every_ms } = ready(declared) else { unreachable!() };
                change(&mut tools);
                plugin.say(ToNode::Ready { tools, every_ms }).await;
            },
            State::Failed,
        )
    };
    let reason = ready_with(|tools| tools.clear()).await;
    assert!(reason.contains("it does not offer `pump_set`"), "{reason}");
    let extra = |tools: &mut Vec<Tool>| {
        let name = "format_disk".to_owned().try_into().unwrap();
        tools.push(Tool { name, ..tools[0].clone() });
    };
    let reason = ready_with(extra).await;
    assert!(reason.contains("it offers `format_disk`, which is not in its manifest"), "{reason}");
    let reason = ready_with(|tools| tools[0].input_schema = json!({ "type": "object" })).await;
    assert!(reason.contains("`pump_set` takes other arguments"), "{reason}");
    let reason = ready_with(|tools| tools.push(tools[0].clone())).await;
    assert!(reason.contains("it offers `pump_set` twice"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_has_so_long_to_be_ready_and_is_killed_after_that() {
    let begun = Instant::now();
    let reason = after(async |_, _| (), State::BackingOff).await;
    assert_eq!(reason, "it did not say `hello` within 10s");
    assert!(begun.elapsed().as_secs() < 30);
    let reason = after(async |plugin, declared| drop(plugin.begin(declared).await), State::BackingOff).await;
    assert_eq!(reason, "it was not ready within 10s");
}

#[tokio::test(start_paused = true)]
async fn what_begins_with_something_else_than_hello_is_no_plugin() {
    let reason =
        after(async |plugin, declared| _ = plugin.say(ready(declared)).await, State::BackingOff).await;
    assert_eq!(reason, "its first message was not `hello`");
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_says_of_a_failed_start_decides_when_it_is_tried_again() {
    for (why, state) in
        [(Why::Settings, State::Failed), (Why::Unmet, State::Skipped), (Why::Failed, State::BackingOff)]
    {
        let plays = async |plugin: &mut FakePlugin, declared: &Declaration| {
            plugin.begin(declared).await;
            plugin.say(ToNode::Failed { why, message: "the well is dry".into() }).await;
            plugin.end(End::Stopped); // Its end is no second reason.
        };
        assert_eq!(after(plays, state).await, "the well is dry");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_one_that_ends_while_it_starts_are_told() {
    let broken = || End::Broken("it exited with status 1; its last words: no module named pump".into());
    let reason = after(async |plugin, _| plugin.end(broken()), State::BackingOff).await;
    assert!(reason.contains("no module named pump"), "{reason}");
    let plays = async |plugin: &mut FakePlugin, declared: &Declaration| {
        plugin.begin(declared).await;
        plugin.end(broken());
    };
    let reason = after(plays, State::BackingOff).await;
    assert!(reason.contains("no module named pump"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_was_not_granted_is_not_missing_in_silence() {
    let manifest = format!("{PUMP}\n[[hook]]\ntopic = \"pre_tool_execute\"\n");
    let mut setting = Setting::new("pump", &manifest);
    setting.role = Role::Plain;
    let (carrier, _starts) = sedge_host::outside::testing::carrier();
    let args = sedge_host::outside::testing::args(&setting.declared, carrier, Role::Plain);
    let spec = sedge_actors::PluginSpec::new::<sedge_host::outside::Outside>(super::id("attic"), args);
    let clock = std::sync::Arc::new(sedge_actors::TokioClock::default());
    let node = sedge_actors::Node::new(sedge_actors::node_info("stage"), clock).start(vec![spec]).await;
    let status = node.directory().plugin("attic").unwrap().clone();
    assert_eq!(status.state, State::Failed);
    let reason = status.reason.unwrap();
    assert!(
        reason.contains("write `grant = { topics = [\"pre_tool_execute\"] }` in [plugin.attic]"),
        "{reason}"
    );
    node.stop().await;
}
