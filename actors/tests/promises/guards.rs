//! Guards: what the config says about tools is enforced by the node, whatever plugins do.

use std::time::Duration;

use sedge_actors::{Guard, PluginSpec, RunningNode, Surroundings};
use sedge_plugin::ToolErrorCode as Code;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{PreToolExecute, ToolExecute};
use serde_json::json;

use super::puppet::{Puppet, S, call, count, pass, subscriber, unstarted};
use super::support::{Does, Numbers, id};

fn guard(change: impl FnOnce(&mut Guard)) -> Guard {
    let mut guard = Guard { tools: vec!["pump_*".into()], ..Guard::new(id("rule")) };
    change(&mut guard);
    guard
}

async fn guarded(guards: Vec<Guard>, plugins: Vec<PluginSpec>) -> RunningNode {
    unstarted(Surroundings::default()).0.guards(guards).start(plugins).await
}

fn pump() -> Puppet {
    Puppet::new().tool("pump_set").tool("lamp_set")
}

async fn run(node: &RunningNode, tool: &str, from: &str) -> Result<serde_json::Value, (Code, String)> {
    let outcome = node.call(ToolCall { from: from.into(), ..call(tool, json!({ "on": 1 })) }).await;
    outcome.result.map_err(|error| (error.code, error.message))
}

fn why(result: Result<serde_json::Value, (Code, String)>) -> String {
    let (code, why) = result.unwrap_err();
    assert_eq!(code, Code::Denied, "{why}");
    why
}

#[tokio::test(start_paused = true)]
async fn who_is_not_allowed_or_is_denied_is_kept_out_before_the_arguments_are_looked_at() {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let rule = guard(|g| (g.allow, g.deny) = (texts(&["node:*", "cli"]), texts(&["node:attic"])));
    let pump = pump();
    let node = guarded(vec![rule], vec![pump.spec("pump")]).await;
    assert!(run(&node, "pump_set", "cli").await.is_ok());
    assert!(run(&node, "pump_set", "node:cellar").await.is_ok());
    for from in ["node:attic", "stranger", ""] {
        assert!(why(run(&node, "pump_set", from).await).contains("guard `rule`"));
    }
    assert!(run(&node, "lamp_set", "stranger").await.is_ok(), "it is about pumps");
    let nonsense = ToolCall { from: "stranger".into(), ..call("pump_set", json!([])) };
    assert_eq!(node.call(nonsense).await.result.unwrap_err().code, Code::Denied);
    assert_eq!(count(&pump.ran.calls), 3);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_run_a_tool_rests_and_within_a_time_it_runs_so_often() {
    let rule = guard(|g| (g.cooldown, g.at_most) = (Some(10 * S), Some((2, 60 * S))));
    let node = guarded(vec![rule], vec![pump().spec("pump")]).await;
    assert!(run(&node, "pump_set", "").await.is_ok());
    assert!(why(run(&node, "pump_set", "").await).contains("again in 10s"));
    pass(10 * S).await;
    assert!(run(&node, "pump_set", "").await.is_ok());
    pass(10 * S).await;
    assert!(why(run(&node, "pump_set", "").await).contains("2 times within 1m"));
    pass(41 * S).await;
    assert!(run(&node, "pump_set", "").await.is_ok());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_runs_only_while_its_condition_holds_and_is_known() {
    let tank = Puppet::new().sensor().on_hear(|ctx, n| async move {
        let mut frame = Frame::default();
        frame.push("level", n as f64);
        ctx.submit(ctx.id(), frame).await
    });
    let rule = guard(|g| g.only_if = sedge_plugin::expr::parse("tank.level > 20").ok());
    let node = guarded(vec![rule], vec![tank.spec("tank"), pump().spec("pump")]).await;
    assert!(why(run(&node, "pump_set", "").await).contains("nobody can tell"));
    for (level, runs) in [(30, true), (20, false), (21, true)] {
        node.bus().publish::<Numbers>(level).await;
        pass(S).await;
        assert_eq!(run(&node, "pump_set", "").await.is_ok(), runs, "{level}");
    }
    pass(301 * S).await;
    assert!(why(run(&node, "pump_set", "").await).contains("nobody can tell"), "what is known is too old");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_would_be_done_and_does_not_do_it() {
    let pump = pump();
    let node = guarded(vec![guard(|g| g.dry_run = true)], vec![pump.spec("pump")]).await;
    let said = run(&node, "pump_set", "").await.unwrap();
    assert_eq!(said, json!({ "dry_run": true, "guard": "rule", "tool": "pump_set", "args": { "on": 1 } }));
    assert_eq!(count(&pump.ran.calls), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_be_understood_lets_nothing_through() {
    let pump = pump();
    let node = guarded(vec![guard(|g| g.fault = Some("no `per`".into()))], vec![pump.spec("pump")]).await;
    assert!(why(run(&node, "pump_set", "cli").await).contains("no `per`"));
    assert_eq!(count(&pump.ran.calls), 0);
    node.stop().await;
}

subscriber!(Breaks, Does, |hooks, does| {
    let does = *does;
    hooks.inline::<PreToolExecute>(Options::default(), move |_| match does {
        Does::Panics => panic!("fell over"),
        _ => Err(PluginError::failed("it broke")),
    });
    hooks.around::<ToolExecute>(Options { deadline: S, ..Options::default() }, move |call, next| {
        Box::pin(async move {
            does.act().await?;
            next.run(call).await
        })
    });
});

#[tokio::test(start_paused = true)]
async fn guards_are_enforced_also_when_the_plugins_around_a_call_are_broken() {
    for does in [Does::Fails, Does::Panics, Does::Hangs] {
        let pump = pump();
        let rules = vec![guard(|g| g.cooldown = Some(3600 * S)), guard(|g| g.deny = vec!["vandal".into()])];
        let broken = PluginSpec::new::<Breaks>(id("breaks"), does);
        let node = guarded(rules, vec![broken, pump.spec("pump")]).await;
        why(run(&node, "pump_set", "vandal").await);
        assert!(run(&node, "pump_set", "").await.is_ok(), "{does:?}");
        why(run(&node, "pump_set", "").await);
        assert_eq!(count(&pump.ran.calls), 1);
        node.stop().await;
    }
}

subscriber!(
    /// Answers by itself when told so; else calls another tool under another name.
    Meddles, (), |hooks, _args| {
    hooks.around::<ToolExecute>(Options::default(), |call, next| {
        Box::pin(async move {
            if call.args["on"] == "cached" {
                return Ok(Ok(json!("from the cache")));
            }
            let other = ToolCall {
                tool: Name::new("lamp_set").unwrap(),
                from: "root".into(),
                args: json!({ "on": 2 }),
                ..call
            };
            next.run(other).await
        })
    });
});

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_answers_by_itself_does_not_use_up_the_cooldown() {
    let pump = pump();
    let meddles = PluginSpec::new::<Meddles>(id("meddles"), ());
    let node = guarded(vec![guard(|g| g.cooldown = Some(60 * S))], vec![meddles, pump.spec("pump")]).await;
    for _ in 0..3 {
        let said = node.call(call("pump_set", json!({ "on": "cached" }))).await.result;
        assert_eq!(said, Ok(json!("from the cache")));
    }
    assert_eq!(count(&pump.ran.calls), 0);
    assert_eq!(run(&node, "pump_set", "").await, Ok(json!({ "on": 2 })), "the arguments may be rewritten");
    why(run(&node, "pump_set", "").await);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_cannot_redirect_a_call_to_another_tool_or_under_another_name() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = seen.clone();
    let pump = pump().on_call(move |_, call| {
        log.lock().unwrap().push((call.tool.to_string(), call.from));
        async { Ok(json!(null)) }
    });
    let node = guarded(vec![], vec![PluginSpec::new::<Meddles>(id("meddles"), ()), pump.spec("pump")]).await;
    run(&node, "pump_set", "me").await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [("pump_set".to_owned(), "me".to_owned())]);
    node.stop().await;
}

subscriber!(Dawdles, Duration, |hooks, time| {
    let time = *time;
    hooks.around::<ToolExecute>(Options { deadline: 60 * S, ..Options::default() }, move |call, next| {
        Box::pin(async move {
            tokio::time::sleep(time).await;
            next.run(call).await
        })
    });
});

#[tokio::test(start_paused = true)]
async fn a_call_takes_no_longer_than_its_limit_whatever_is_wrapped_around_it() {
    let pump = pump().on_call(|ctx, _| async move {
        ctx.sleep(S * 4 / 5).await;
        Ok(json!(null))
    });
    for (time, runs) in [(S * 4 / 5, 1), (30 * S, 0)] {
        let dawdles = PluginSpec::new::<Dawdles>(id("dawdles"), time);
        let node = guarded(vec![], vec![dawdles, pump.spec("pump")]).await;
        let before = count(&pump.ran.calls);
        let began = tokio::time::Instant::now();
        let brief = ToolCall { timeout: Some(S), ..call("pump_set", json!({})) };
        assert_eq!(node.call(brief).await.result.unwrap_err().code, Code::Timeout);
        assert!(began.elapsed() <= S * 3 / 2, "{:?}", began.elapsed());
        pass(60 * S).await;
        assert_eq!(count(&pump.ran.calls) - before, runs, "nothing is begun after its time");
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_its_turn_beyond_its_limit_is_not_begun() {
    let pump = pump().on_call(|ctx, _| async move {
        ctx.sleep(S * 11 / 10).await;
        Ok(json!(null))
    });
    let node = guarded(vec![], vec![pump.spec("pump")]).await;
    let brief = ToolCall { timeout: Some(S), ..call("pump_set", json!({})) };
    let (first, second) = tokio::join!(node.call(call("pump_set", json!({}))), node.call(brief));
    assert_eq!((first.result, second.result.unwrap_err().code), (Ok(json!(null)), Code::Timeout));
    pass(S).await;
    assert_eq!(count(&pump.ran.calls), 1);
    node.stop().await;
}
