use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use crate::harness::home::{Home, Instance};
use crate::harness::node::{Stage, World};

async fn attic(home: &'static dyn Home) -> Stage {
    World::new(home).start(&[Instance::probe("attic")]).await
}

/// Calls until it is answered: one that had to be ended may be away for a moment.
async fn served(stage: &mut Stage, tool: &str, args: &Json) -> Json {
    loop {
        match stage.call(tool, args.clone()).await {
            Ok(answer) => return answer,
            Err(error) if matches!(error.code, ToolErrorCode::Unavailable | ToolErrorCode::Failed) => {
                stage.states.next().await;
            }
            Err(error) => panic!("{:?}: {error}", error.code),
        }
    }
}

pub async fn a_tool_is_listed_as_it_was_declared(home: &'static dyn Home) {
    let stage = attic(home).await;
    let tools = &stage.node.directory().tools;
    let tool = &tools["attic_echo"];
    let schema: Json = serde_json::from_str(include_str!("../../manifests/probe/schema/echo.json")).unwrap();
    assert_eq!((tool.description.as_str(), &tool.input_schema), ("Answers with what it is given.", &schema));
    assert_eq!((tool.timeout_ms, tools["attic_slow"].timeout_ms), (5000, 300));
    stage.stop().await;
}

pub async fn a_call_is_answered_and_says_who_did_it(home: &'static dyn Home) {
    let stage = attic(home).await;
    let args = json!({ "text": "ça va?", "times": 3 });
    let call = ToolCall { id: "7".into(), ..ToolCall::new(Name::new("attic_echo").unwrap(), args.clone()) };
    let outcome = stage.node.call(call).await;
    assert_eq!(outcome.result, Ok(json!({ "text": "ça va?", "by": "attic", "args": args })));
    assert_eq!((outcome.id.as_str(), outcome.by), ("7", Some(Id::new("attic").unwrap())));
    stage.stop().await;
}

pub async fn arguments_are_checked_before_it_sees_them(home: &'static dyn Home) {
    let stage = attic(home).await;
    let error = stage.call("attic_echo", json!({ "txt": "hello" })).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::BadArgs);
    assert!(error.message.contains("did you mean `text`"), "{error}");
    let error = stage.call("attic_echo", json!({ "text": "hello", "times": 10 })).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::BadArgs);
    assert!(error.message.contains("times"), "{error}");
    stage.stop().await;
}

pub async fn an_error_arrives_with_its_code_and_its_data(home: &'static dyn Home) {
    let stage = attic(home).await;
    for code in ["failed", "busy", "denied", "bad_args", "not_found", "unavailable"] {
        let order = json!({ "do": "error", "code": code, "message": "no water", "data": { "level": 0 } });
        let error = stage.order("attic", order).await.unwrap_err();
        assert_eq!(serde_json::to_value(error.code).unwrap(), code);
        assert_eq!((error.message.as_str(), error.data), ("no water", Some(json!({ "level": 0 }))));
    }
    assert_eq!(stage.status("attic").state, State::Running, "an error is an answer");
    stage.stop().await;
}

/// A call, and how far it says it is.
fn heard(tool: &str, args: Json) -> (ToolCall, mpsc::Receiver<(Option<f64>, String)>) {
    let (told, hear) = mpsc::channel(16);
    let progress = Progress::to(move |update| told.try_send((update.fraction, update.text)).unwrap());
    (ToolCall { progress, ..ToolCall::new(Name::new(tool).unwrap(), args) }, hear)
}

pub async fn how_far_it_is_arrives_before_the_result(home: &'static dyn Home) {
    let stage = attic(home).await;
    let (call, mut hear) = heard("attic_do", json!({ "do": "progress" }));
    assert_eq!(stage.node.call(call).await.result, Ok(json!("done")));
    assert_eq!(hear.try_recv(), Ok((Some(0.25), "a quarter".into())));
    assert_eq!(hear.try_recv(), Ok((None, "the rest".into())));
    stage.stop().await;
}

pub async fn a_call_past_its_limit_is_ended_and_the_next_one_served(home: &'static dyn Home) {
    let mut stage = attic(home).await;
    let error = stage.call("attic_slow", json!({})).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Timeout);
    let args = json!({ "text": "next" });
    assert_eq!(served(&mut stage, "attic_echo", &args).await["text"], "next");
    stage.stop().await;
}

pub async fn a_caller_that_gives_up_ends_its_call(home: &'static dyn Home) {
    let mut stage = attic(home).await;
    let (call, mut hear) = heard("attic_do", json!({ "do": "dawdle" }));
    {
        let node = stage.handle();
        let mut call = pin!(node.call(call));
        // Until it has begun; then nobody waits for it any more.
        let begun = poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Ready(outcome) => panic!("{:?}", outcome.result),
            Poll::Pending => hear.poll_recv(cx),
        });
        assert_eq!(begun.await, Some((None, "begun".into())));
    }
    let args = json!({ "text": "next" });
    assert_eq!(served(&mut stage, "attic_echo", &args).await["text"], "next");
    stage.stop().await;
}

pub async fn an_unknown_tool_is_answered_with_the_nearest(home: &'static dyn Home) {
    let stage = attic(home).await;
    let error = stage.call("attic_ecko", json!({})).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::NotFound);
    assert!(error.message.contains("did you mean `attic_echo`"), "{error}");
    stage.stop().await;
}

pub async fn a_tool_that_breaks_it_is_answered_and_it_comes_back(home: &'static dyn Home) {
    let mut stage = attic(home).await;
    let error = stage.order("attic", json!({ "do": "panics" })).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Failed, "{error}");
    let status = stage.reaches("attic", State::BackingOff).await;
    let said = status.reason.unwrap_or_default();
    assert!(said.contains("it panicked as it was told"), "{said}");
    assert!(stage.node.directory().tools.contains_key("attic_echo"), "it stays listed");
    let args = json!({ "text": "next" });
    assert_eq!(served(&mut stage, "attic_echo", &args).await["text"], "next");
    stage.stop().await;
}

pub async fn two_instances_have_tools_of_their_own(home: &'static dyn Home) {
    let world = Arc::new(World::new(home));
    let named = |id: &str| Instance::probe(id).settings(json!({ "greeting": id }));
    let stage = world.start(&[named("attic"), named("wine-cellar")]).await;
    let by = |answer: Json| answer["by"].clone();
    let args = json!({ "text": "x" });
    assert_eq!(by(stage.call("attic_echo", args.clone()).await.unwrap()), "attic");
    assert_eq!(by(stage.call("wine_cellar_echo", args).await.unwrap()), "wine-cellar");
    assert_eq!(stage.state_of("wine-cellar").await["greeting"], "wine-cellar");
    stage.stop().await;
}
