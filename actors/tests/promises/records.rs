//! Of every call that changes something, and of every one without a result, it is told who made it and what came of it.

use std::sync::Arc;

use sedge_actors::{Node, RunningNode, Subscription, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{CallRecord, CallRecorded};
use serde_json::json;

use super::puppet::{Puppet, S, call};
use super::support::id;

async fn node() -> (RunningNode, Subscription<CallRecorded>) {
    let node = Node::new(node_info("records"), Arc::new(TokioClock::default()));
    let records = node.bus().subscribe::<CallRecorded>(&id("records"), Options::default());
    let mut look = Tool::new(Name::new("look").unwrap(), "Looks.");
    look.annotations.read_only = true;
    let puppet = Puppet::new().tool("pump_set").tool("hang").tools([look]).on_call(|_, call| async move {
        if call.tool.as_str() == "hang" {
            std::future::pending::<()>().await;
        }
        Ok(call.args)
    });
    (node.start(vec![puppet.spec("puppet")]).await, records)
}

fn by(tool: &str, from: &str) -> ToolCall {
    ToolCall { from: from.into(), id: "7".into(), verified: from == "attic", ..call(tool, json!({})) }
}

fn told(records: &mut Subscription<CallRecorded>) -> Vec<CallRecord> {
    std::iter::from_fn(|| records.take()).map(|record| CallRecord::clone(&record)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_changes_something_is_told_of_with_who_made_it() {
    let (node, mut records) = node().await;
    node.call(by("pump_set", "attic")).await.result.unwrap();
    let record = told(&mut records).remove(0);
    assert_eq!((record.tool.as_str(), record.from.as_str(), record.id.as_str()), ("pump_set", "attic", "7"));
    assert!(record.verified && record.outcome.is_ok());
    assert_eq!(record.args, Some(json!({})));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_only_looks_is_told_of_where_it_has_no_result() {
    let (node, mut records) = node().await;
    node.call(by("look", "me")).await.result.unwrap();
    assert_eq!(told(&mut records), []);
    let bad = ToolCall { args: json!({ "no": "such" }), ..by("look", "me") };
    node.call(bad).await.result.unwrap_err();
    node.call(by("unheard_of", "me")).await.result.unwrap_err();
    let codes: Vec<_> = told(&mut records).into_iter().map(|it| it.outcome.unwrap_err().code).collect();
    assert_eq!(codes, [ToolErrorCode::BadArgs, ToolErrorCode::NotFound]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_halfway_leaves_a_record_all_the_same() {
    let (node, mut records) = node().await;
    assert!(tokio::time::timeout(S, node.call(by("hang", "me"))).await.is_err());
    let record = told(&mut records).remove(0);
    assert_eq!(record.tool, "hang");
    assert!(record.outcome.unwrap_err().message.contains("went away"));
    node.stop().await;
}
