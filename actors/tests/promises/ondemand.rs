//! Plugins that start at the first call of one of their tools.

use std::sync::Arc;

use sedge_actors::{PluginSpec, RestartPolicy, RunningNode};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::ToolExecute;
use serde_json::json;

use super::puppet::{Puppet, S, call, count, node, pass, status, subscriber, subscriptions};
use super::support::id;

const IDLE: std::time::Duration = std::time::Duration::from_secs(60);

fn lazy(puppet: &Puppet) -> PluginSpec {
    puppet.clone().claims(&[]).spec("lazy").on_demand(IDLE)
}

fn puppet() -> Puppet {
    Puppet::new().tool("lazy_do").on_call(|_, call| async move { Ok(call.args) })
}

async fn ask(node: &RunningNode) -> Result<serde_json::Value, ToolError> {
    node.call(call("lazy_do", json!({ "n": 1 }))).await.result
}

#[tokio::test(start_paused = true)]
async fn it_is_not_started_with_the_node_and_its_tools_are_listed_all_the_same() {
    let puppet = puppet();
    let node = node(vec![lazy(&puppet)]).await;
    pass(600 * S).await;
    assert_eq!(count(&puppet.ran.setups), 0);
    let (state, reason) = status(&node, "lazy");
    assert_eq!((state, reason.as_str()), (State::Discovered, "starts at the first call of its tools"));
    assert!(node.directory().tools.contains_key("lazy_do"));
    assert_eq!(subscriptions(node.bus()), []);
    node.stop().await;
    assert_eq!(count(&puppet.ran.teardowns), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_call_starts_it_and_the_next_ones_find_it_running() {
    let puppet = puppet();
    let node = node(vec![lazy(&puppet)]).await;
    for _ in 0..3 {
        assert_eq!(ask(&node).await, Ok(json!({ "n": 1 })));
        assert_eq!(status(&node, "lazy").0, State::Running);
        pass(IDLE / 2).await;
    }
    assert_eq!((count(&puppet.ran.setups), count(&puppet.ran.calls)), (1, 3));
    assert_eq!(node.directory().plugins["lazy"].restarts, 0);
    node.stop().await;
    assert_eq!(count(&puppet.ran.teardowns), 1);
}

#[tokio::test(start_paused = true)]
async fn after_so_long_without_a_call_it_stops_and_the_next_call_starts_it_again() {
    let puppet = puppet();
    let node = node(vec![lazy(&puppet)]).await;
    for round in 1..=3 {
        assert!(ask(&node).await.is_ok());
        pass(IDLE - S).await;
        assert_eq!((count(&puppet.ran.setups), count(&puppet.ran.teardowns)), (round, round - 1));
        pass(10 * S).await;
        assert_eq!((count(&puppet.ran.setups), count(&puppet.ran.teardowns)), (round, round));
        assert_eq!(status(&node, "lazy").0, State::Discovered);
        assert!(node.directory().tools.contains_key("lazy_do"));
        assert_eq!(subscriptions(node.bus()), [], "it leaves nothing behind while it sleeps");
    }
    assert_eq!(node.directory().plugins["lazy"].restarts, 0, "a start on demand is no restart");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_while_it_starts_start_it_once_and_it_stays_asleep_afterwards() {
    let puppet = puppet().on_setup(|ctx| async move {
        ctx.sleep(S).await;
        Ok(())
    });
    let node = Arc::new(node(vec![lazy(&puppet)]).await);
    let calls: Vec<_> = (0..5)
        .map(|n| {
            let node = node.clone();
            tokio::spawn(async move {
                pass(S / 10 * n).await;
                ask(&node).await
            })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    pass(IDLE * 10).await;
    assert_eq!((count(&puppet.ran.setups), count(&puppet.ran.teardowns)), (1, 1), "nobody has called since");
    Arc::into_inner(node).unwrap().stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_races_the_stop_is_answered() {
    let puppet = puppet();
    let node = node(vec![lazy(&puppet)]).await;
    assert!(ask(&node).await.is_ok());
    // Every few milliseconds around the moment at which it is found idle.
    for _ in 0..4 {
        pass(IDLE - S).await;
        for _ in 0..700 {
            pass(S / 100).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&node).await, Ok(json!({ "n": 1 })));
    }
    for n in 0..200 {
        pass(IDLE - S + S / 25 * (n % 150)).await;
        assert_eq!(ask(&node).await, Ok(json!({ "n": 1 })), "{n}");
    }
    assert!(count(&puppet.ran.setups) > 1, "it did stop in between");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_from_other_threads_that_race_the_stop_are_answered() {
    let puppet = puppet();
    // It is looked at all the time, and stopped as soon as nobody calls.
    let policy = RestartPolicy { watch: S / 1000, ..RestartPolicy::default() };
    let spec = puppet.clone().claims(&[]).spec("lazy").on_demand(std::time::Duration::ZERO).policy(policy);
    let node = Arc::new(node(vec![spec]).await);
    let caller = tokio::spawn({
        let node = node.clone();
        async move {
            for n in 0..2000 {
                // Nobody calls for a moment, each time for another.
                for _ in 0..n % 61 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(ask(&node).await, Ok(json!({ "n": 1 })));
            }
        }
    });
    caller.await.expect("every call is answered");
    assert_eq!(count(&puppet.ran.calls), 2000);
    Arc::into_inner(node).unwrap().stop().await;
    assert_eq!(count(&puppet.ran.setups), count(&puppet.ran.teardowns));
}

subscriber!(Dawdles, (), |hooks, _args| {
    hooks.around::<ToolExecute>(Options { deadline: 2 * IDLE, ..Options::default() }, |call, next| {
        Box::pin(async move {
            tokio::time::sleep(IDLE + 10 * S).await;
            next.run(call).await
        })
    });
});

#[tokio::test(start_paused = true)]
async fn a_call_during_which_it_fell_asleep_wakes_it_again() {
    let patient = Tool { timeout_ms: 600_000, ..Tool::new(Name::new("lazy_do").unwrap(), "Does.") };
    let puppet = Puppet::new().tools([patient]);
    let node = node(vec![lazy(&puppet), PluginSpec::new::<Dawdles>(id("slow"), ())]).await;
    for _ in 0..2 {
        // It runs when the second call comes in, and sleeps by the time the call has passed what is wrapped around it.
        assert_eq!(node.call(call("lazy_do", json!({}))).await.result, Ok(json!({})));
    }
    assert_eq!(count(&puppet.ran.setups), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_not_stopped_while_a_call_runs_and_a_call_that_is_given_up_counts_as_one() {
    let long = Tool { timeout_ms: 600_000, ..Tool::new(Name::new("lazy_do").unwrap(), "Does.") };
    let puppet = Puppet::new().tools([long]).on_call(|ctx, _| async move {
        ctx.sleep(IDLE * 3).await;
        Ok(json!("done"))
    });
    let node = Arc::new(node(vec![lazy(&puppet)]).await);
    assert_eq!(node.call(call("lazy_do", json!({}))).await.result, Ok(json!("done")));
    pass(IDLE * 2).await;
    assert_eq!(status(&node, "lazy").0, State::Discovered);
    let given_up = tokio::spawn({
        let node = node.clone();
        async move { node.call(call("lazy_do", json!({}))).await }
    });
    pass(S).await;
    given_up.abort();
    pass(IDLE / 2).await;
    assert_eq!(status(&node, "lazy").0, State::Running, "it was called half its time ago");
    pass(IDLE).await;
    assert_eq!(status(&node, "lazy").0, State::Discovered);
    Arc::into_inner(node).unwrap().stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_while_it_is_wanted_is_restarted_and_answers_and_sleeps_again() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let puppet = puppet().on_call(move |_, call| {
        assert!(!broken.swap(false, std::sync::atomic::Ordering::SeqCst), "fell over");
        async move { Ok(call.args) }
    });
    let node = node(vec![lazy(&puppet)]).await;
    assert_eq!(ask(&node).await.unwrap_err().code, ToolErrorCode::Failed);
    assert!(ask(&node).await.is_ok(), "the call waits for the restart");
    assert_eq!(node.directory().plugins["lazy"].restarts, 1);
    pass(IDLE * 2).await;
    assert_eq!(status(&node, "lazy").0, State::Discovered);
    assert_eq!(count(&puppet.ran.setups), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_started_is_unavailable_within_the_limit_of_the_call_and_says_why() {
    for (setup, state) in
        [("failed", State::BackingOff), ("unmet", State::Discovered), ("hangs", State::Starting)]
    {
        let puppet = puppet().on_setup(move |_| async move {
            match setup {
                "failed" => Err(PluginError::failed("no power")),
                "unmet" => Err(PluginError::unmet("no plug")),
                _ => std::future::pending().await,
            }
        });
        let node = node(vec![lazy(&puppet)]).await;
        let began = tokio::time::Instant::now();
        let error = ask(&node).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Unavailable, "{setup}: {error}");
        assert!(began.elapsed() < 6 * S);
        let _ = state;
        assert!(error.message.contains("`lazy` is "), "{error}");
        node.stop().await;
    }
}
