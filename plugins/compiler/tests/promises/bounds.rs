//! What a component cannot do: run on, grow, break anything but itself.

use std::time::Duration;

use sedge_host::outside::End;
use sedge_plugin::ToolErrorCode;
use sedge_protocol::{Limits, ToNode, ToPlugin};
use serde_json::json;

use super::rig::{Running, limits, nothing, start, start_within};

in_both_ways! {
    one_that_loops_is_stopped_at_the_deadline_of_its_call(options) {
        let (why, _) = Running::ready(options).await.breaks("loop", json!({}), 50).await;
        assert_eq!(why, "tool loop: it did not finish within 50 ms, and was stopped");
    }

    one_that_waits_is_stopped_at_the_deadline_of_its_call(options) {
        let (why, _) = Running::ready(options).await.breaks("delay", json!({ "ns": 10_000_000_000_u64 }), 50).await;
        assert_eq!(why, "tool delay: it did not finish within 50 ms, and was stopped");
    }

    one_that_gets_no_answer_is_stopped_at_the_deadline_of_its_call(options) {
        let mut running = Running::ready(options).await;
        running.begin("load", json!({}), 50).await;
        assert!(matches!(running.next().await, Some(ToNode::Ask { .. })));
        assert_eq!(running.next().await, None);
        assert_eq!(
            running.end().await,
            End::Broken("tool load: it did not finish within 50 ms, and was stopped".into())
        );
    }

    one_that_loops_in_its_set_up_is_stopped(options) {
        let within = Limits { start_ms: 100, ..limits() };
        let mut running = start_within(options, within).await.unwrap();
        assert_eq!(running.greet(json!({ "start": "loop" }), nothing).await, None);
        assert_eq!(running.end().await, End::Broken("start: it did not finish within 100 ms, and was stopped".into()));
    }

    one_that_grows_gets_no_more_than_its_limit(options) {
        let mut running = Running::ready(options.clone()).await;
        assert_eq!(running.call("grow", json!({ "bytes": 1_000_000 })).await.unwrap(), 1_048_576);
        assert_eq!(running.call("try_grow", json!({ "bytes": 100_000_000 })).await.unwrap(), false);
        assert_eq!(running.call("echo", json!(1)).await.unwrap(), 1, "it lives on where it can do with less");
        let (why, _) = running.breaks("grow", json!({ "bytes": 100_000_000 }), 30_000).await;
        assert_eq!(why, "tool grow: it wanted more than its 4 MiB of memory");
    }

    one_that_panics_says_its_last_words_and_ends(options) {
        let (why, logs) = Running::ready(options).await.breaks("panic", json!({}), 30_000).await;
        let says = why.starts_with("tool panic: it panicked at ") && why.ends_with("the pump is on fire");
        assert!(says, "{why}");
        assert!(logs.len() == 1 && logs[0].contains("the pump is on fire"), "{logs:?}");
    }

    one_that_goes_too_deep_ends_alone(options) {
        let (why, _) = Running::ready(options).await.breaks("recurse", json!({}), 30_000).await;
        assert_eq!(why, "tool recurse: it reached beyond its memory (one that goes too deep does that too)");
    }

    one_that_floods_its_log_waits_for_the_node_and_is_stopped(options) {
        let mut running = Running::ready(options).await;
        running.begin("flood", json!({}), 50).await;
        // Nobody listens until it has ended; then there is what the line holds, and no more.
        let Running { line, .. } = running;
        let end = tokio::time::timeout(Duration::from_secs(60), line.end).await.unwrap().unwrap();
        assert_eq!(end, End::Broken("tool flood: it did not finish within 50 ms, and was stopped".into()));
        assert!(line.from.len() <= 32, "{}", line.from.len());
    }

    what_is_too_long_for_a_message_is_an_error_and_no_end(options) {
        let mut running = Running::ready(options).await;
        let error = running.call("long", json!({ "bytes": 70_000 })).await.unwrap_err();
        assert_eq!(error.message, "its answer has 70002 bytes; a message has 65536 at most");
        let error = running.call("garbage", json!({})).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Internal);
        assert!(error.message.starts_with("its answer cannot be read: "), "{error}");
        running.call("echo", json!(1)).await.unwrap();
    }

    an_answer_to_the_welcome_that_is_none_ends_it(options) {
        let mut running = start(options).await.unwrap();
        assert_eq!(running.greet(json!({ "start": "garbage" }), nothing).await, None);
        let End::Broken(why) = running.end().await else { panic!() };
        assert!(why.starts_with("what it answered its welcome with cannot be read: "), "{why}");
    }

    a_cancelled_call_that_waits_is_told_so_and_the_component_lives(options) {
        let mut running = Running::ready(options).await;
        let call = running.begin("load", json!({}), 30_000).await;
        assert!(matches!(running.next().await, Some(ToNode::Ask { .. })));
        running.send(ToPlugin::Cancel { id: call }).await;
        let answer = running.next().await;
        assert!(matches!(&answer, Some(ToNode::Error { id, error }) if *id == call && error.message == "the call was cancelled"), "{answer:?}");
        running.call("echo", json!(1)).await.unwrap();
    }

    a_cancelled_call_that_goes_on_is_stopped(options) {
        let mut running = Running::ready(options).await;
        let call = running.begin("loop", json!({}), 600_000).await;
        running.heard("info: looping").await;
        running.send(ToPlugin::Cancel { id: call }).await;
        assert_eq!(running.next().await, None);
        assert_eq!(
            running.end().await,
            End::Broken("tool loop: it went on with a call that was cancelled, and was stopped".into())
        );
    }

    dropping_its_guard_ends_it_in_the_middle_of_a_call(options) {
        let mut running = Running::ready(options).await;
        running.begin("loop", json!({}), 600_000).await;
        running.heard("info: looping").await;
        let Running { line, .. } = running;
        drop(line.guard);
        let end = tokio::time::timeout(Duration::from_secs(60), line.end).await.unwrap().unwrap();
        assert_eq!(end, End::Broken("it was stopped".into()));
    }

    others_run_on_while_one_loops(options) {
        let mut looping = Running::ready(options.clone()).await;
        looping.begin("loop", json!({}), 600_000).await;
        looping.heard("info: looping").await;
        let mut other = Running::ready(options).await;
        for n in 0..20 {
            assert_eq!(other.call("echo", json!(n)).await.unwrap(), n);
        }
    }
}
