use std::sync::Arc;
use std::time::Duration;

use sedge_actors::{Node, PluginSpec, RunningNode, Subscription, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{PostToolExecute, PreToolExecute, ToolFailed, ToolsChanged};
use serde_json::{Value as Json, json};

use super::support::{Script, Stage, id};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read as a schema")]
struct SetArgs {
    on: bool,
    #[schemars(range(min = 1, max = 100))]
    level: Option<u8>,
}

/// A lamp, slow when told so.
struct Lamp(Context);
impl Plugin for Lamp {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("lamp", "1.0.0", "A lamp.");
    async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
        Ok(Self(ctx))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.tools();
    }
}
impl Tools for Lamp {
    fn tools(&self) -> Vec<Tool> {
        let name = |operation| Name::from_id(self.0.id(), Some(operation)).unwrap();
        vec![
            Tool::new(name("set"), "Switches it.").input::<SetArgs>(),
            Tool { timeout_ms: 1000, ..Tool::new(name("wait"), "Never ends.") },
            Tool::new(name("break"), "Panics."),
        ]
    }
    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        match call.tool.as_str() {
            "lamp_set" => Ok(call.args),
            "lamp_break" => panic!("sparks"),
            _ => std::future::pending().await,
        }
    }
}

/// Says no at night, and signs every result.
struct Guard;
impl Plugin for Guard {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("guard", "1.0.0", "Guards.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.inline::<PreToolExecute>(Options::default(), |call| match call.from.as_str() {
            "night" => Ok(Step::Veto("it is night".into())),
            "dimmer" => {
                Ok(Step::Replace(ToolCall { args: json!({ "on": true, "level": 10 }), ..call.clone() }))
            }
            "vandal" => Ok(Step::Replace(ToolCall { args: json!({ "level": 1000 }), ..call.clone() })),
            _ => Ok(Step::Pass),
        });
        hooks.inline::<PostToolExecute>(Options::default(), |outcome| match &outcome.result {
            Ok(Json::Object(result)) => {
                let mut result = result.clone();
                result.insert("signed".into(), true.into());
                Ok(Step::Replace(ToolOutcome { result: Ok(result.into()), ..outcome.clone() }))
            }
            _ => Ok(Step::Pass),
        });
    }
}

async fn node() -> (RunningNode, Subscription<ToolFailed>) {
    let node = Node::new(node_info("tools"), Arc::new(TokioClock::default()));
    let failed = node.bus().subscribe::<ToolFailed>(&id("ear"), Options::default());
    let plugins = vec![PluginSpec::new::<Lamp>(id("lamp"), ()), PluginSpec::new::<Guard>(id("guard"), ())];
    (node.start(plugins).await, failed)
}

fn call(tool: &str, args: Json, from: &str) -> ToolCall {
    ToolCall { id: "1".into(), from: from.into(), ..ToolCall::new(Name::new(tool).unwrap(), args) }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_checked_run_and_answered() {
    let (node, mut failed) = node().await;
    let outcome = node.call(call("lamp_set", json!({ "on": true }), "me")).await;
    assert_eq!(outcome.result, Ok(json!({ "on": true, "signed": true })));
    assert_eq!(failed.take(), None);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn arguments_are_checked_before_the_plugin_sees_them_and_the_field_is_named() {
    let (node, mut failed) = node().await;
    for (args, named) in [
        (json!({}), "on"),
        (json!({ "on": "yes" }), "`on`"),
        (json!({ "on": true, "levle": 3 }), "level"),
        (json!({ "on": true, "level": 300 }), "level"),
        (json!([]), "object"),
    ] {
        let error = node.call(call("lamp_set", args, "me")).await.result.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::BadArgs);
        assert!(error.message.contains(named), "{}", error.message);
        assert_eq!(failed.next().await.error.code, ToolErrorCode::BadArgs);
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_veto_a_call_or_rewrite_its_arguments_which_are_checked_again() {
    let (node, _failed) = node().await;
    let on = json!({ "on": true });
    let error = node.call(call("lamp_set", on.clone(), "night")).await.result.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ToolErrorCode::Denied, "`guard` says no: it is night"));
    let result = node.call(call("lamp_set", on.clone(), "dimmer")).await.result.unwrap();
    assert_eq!(result["level"], 10);
    let error = node.call(call("lamp_set", on, "vandal")).await.result.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::BadArgs);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tool_is_answered_with_the_nearest_name() {
    let (node, _failed) = node().await;
    let error = node.call(call("lamp_sett", json!({}), "me")).await.result.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::NotFound);
    assert!(error.message.contains("did you mean `lamp_set`?"), "{}", error.message);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_too_long_is_dropped_and_the_plugin_serves_the_next_call() {
    let (node, _failed) = node().await;
    let error = node.call(call("lamp_wait", json!({}), "me")).await.result.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Timeout);
    let brief = ToolCall { timeout: Some(Duration::from_millis(10)), ..call("lamp_wait", json!({}), "me") };
    assert_eq!(node.call(brief).await.result.unwrap_err().code, ToolErrorCode::Timeout);
    assert!(node.call(call("lamp_set", json!({ "on": true }), "me")).await.result.is_ok());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_cancels_its_call() {
    let (node, _failed) = node().await;
    let node = Arc::new(node);
    let asked = tokio::spawn({
        let node = node.clone();
        async move { node.call(call("lamp_wait", json!({}), "me")).await }
    });
    tokio::task::yield_now().await;
    asked.abort();
    let began = tokio::time::Instant::now();
    assert!(node.call(call("lamp_set", json!({ "on": true }), "me")).await.result.is_ok());
    assert!(began.elapsed() < Duration::from_millis(100), "it did not wait for the call that was given up");
    Arc::into_inner(node).unwrap().stop().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_calls_at_once_are_answered_busy() {
    let (node, _failed) = node().await;
    let node = Arc::new(node);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move {
                node.call(call("lamp_wait", json!({}), "me")).await.result.unwrap_err().code
            })
        })
        .collect();
    let mut busy = 0;
    for call in calls {
        busy += usize::from(call.await.unwrap() == ToolErrorCode::Busy);
    }
    assert!((30..100).contains(&busy), "{busy}");
    Arc::into_inner(node).unwrap().stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_tools_of_a_plugin_that_restarts_stay_listed_and_are_unavailable_meanwhile() {
    let (node, _failed) = node().await;
    let mut changes = node.bus().subscribe::<ToolsChanged>(&id("changes"), Options::default());
    let error = node.call(call("lamp_break", json!({}), "me")).await.result.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Failed);
    // The keeper learns of the end in its own time.
    while node.directory().plugins["lamp"].state == State::Running {
        tokio::task::yield_now().await;
    }
    let error = node.call(call("lamp_set", json!({ "on": true }), "me")).await.result.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Unavailable);
    assert!(error.message.contains("backing_off"), "{}", error.message);
    assert!(node.directory().tools.contains_key("lamp_set"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(node.call(call("lamp_set", json!({ "on": true }), "me")).await.result.is_ok());
    assert_eq!(changes.take(), None);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_plugin_calls_the_tool_of_another() {
    let stage = Stage::start(|log| vec![("one", Script::new(log)), ("two", Script::new(log))]).await;
    assert_eq!(stage.node.call(call("two", json!({}), "one")).await.result, Ok(json!("two")));
    stage.stop().await;
}
