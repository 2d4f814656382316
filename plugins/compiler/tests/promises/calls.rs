//! What a component can do, compiled and interpreted.

use sedge_host::outside::End;
use sedge_plugin::{ToolError, ToolErrorCode};
use sedge_protocol::{Ask, Bytes, Call, I2cOperation, ToNode, ToPlugin};
use serde_json::{Value as Json, json};

use super::rig::{Running, nothing, start};

fn chip(ask: &Ask) -> Result<Json, ToolError> {
    let Ask::I2c { device, operations } = ask else { return nothing(ask) };
    assert_eq!(*operations, [I2cOperation::Write(Bytes(vec![0xD0])), I2cOperation::Read(1)]);
    match device.as_str() {
        "pump" | "device" => Ok(json!({ "read": ["60"] })),
        "short" => Ok(json!({ "read": [""] })),
        "nobody" => Err(ToolError {
            code: ToolErrorCode::Failed,
            message: "no device answers".into(),
            data: Some(json!({ "reason": "no_answer" })),
        }),
        _ => nothing(ask),
    }
}

in_both_ways! {
    a_component_says_hello_is_welcomed_and_answers_calls(options) {
        let mut running = start(options).await.unwrap();
        let hello = running.line.from.recv().await;
        let Some(ToNode::Hello(hello)) = hello else { panic!("{hello:?}") };
        assert_eq!((&*hello.plugin, hello.credit), ("probe", Some(sedge_protocol::CREDIT)));
        drop(running);
    }

    what_a_tool_is_given_it_gets_and_what_it_answers_comes_back(options) {
        let mut running = Running::ready(options).await;
        assert_eq!(running.call("echo", json!({ "ä": [1, null, 2.5] })).await.unwrap(), json!({ "ä": [1, null, 2.5] }));
        let error = running.call("no_such", json!({})).await.unwrap_err();
        assert_eq!((error.code, &*error.message), (ToolErrorCode::NotFound, "no_such"));
        assert_eq!(running.call("clock", json!({})).await.unwrap(), json!({ "up_ms": 7, "wall_ms": null }));
    }

    a_driver_reads_its_chip_through_the_node(options) {
        let mut running = Running::ready(options).await;
        running.send(ToPlugin::Call { id: 99, call: Call::Read }).await;
        let answer = running.attend(chip).await;
        assert_eq!(answer, Some(ToNode::Ok { id: 99, result: json!({ "identity": 0x60 }) }));
    }

    a_device_that_was_not_granted_is_not_reached_and_has_no_address(options) {
        let mut running = Running::ready(options).await;
        let error = running.call_with("i2c", json!({ "device": "other" }), chip).await.unwrap_err();
        assert_eq!(error.message, "not-granted");
        let error = running.call_with("i2c", json!({ "device": "nobody" }), chip).await.unwrap_err();
        assert_eq!(error.message, "no-acknowledge");
        let error = running.call_with("i2c", json!({ "device": "short" }), chip).await.unwrap_err();
        assert_eq!(error.message, "other", "fewer bytes than were asked for");
        assert_eq!(running.call("address", json!({ "device": "pump" })).await.unwrap(), 0x76);
        assert_eq!(running.call("address", json!({ "device": "other" })).await.unwrap(), Json::Null);
    }

    what_it_keeps_is_kept_by_the_node(options) {
        let mut running = start(options).await.unwrap();
        let mut asked = Vec::new();
        let kept = |ask: &Ask| {
            asked.push(ask.clone());
            Ok(json!("41"))
        };
        let answer = running.greet(json!({ "start": "load" }), kept).await;
        assert!(matches!(answer, Some(ToNode::Ready { every_ms: Some(1000), .. })), "{answer:?}");
        assert_eq!(asked, [Ask::Load { key: "count".into() }]);
        assert_eq!(running.logs, ["info: kept Some(\"41\")"]);
        let stored = |ask: &Ask| {
            assert_eq!(*ask, Ask::Store { key: "count".into(), value: json!("42") });
            Ok(Json::Null)
        };
        assert_eq!(running.call_with("save", json!({ "value": "42" }), stored).await.unwrap(), Json::Null);
        let error = running.call_with("load", json!({}), nothing).await.unwrap_err();
        assert_eq!(error.message, "not granted");
    }

    everything_else_goes_through_an_ask(options) {
        let mut running = Running::ready(options).await;
        let ask = json!({ "ask": { "do": "event", "kind": "dry", "severity": "warning", "text": "no water" } });
        let heard = |ask: &Ask| match ask {
            Ask::Event { text, .. } => Ok(json!({ "heard": text })),
            other => panic!("{other:?}"),
        };
        assert_eq!(running.call_with("ask", ask, heard).await.unwrap(), json!({ "heard": "no water" }));
        let error = running.call("ask", json!({ "ask": { "no": "ask" } })).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::BadRequest);
        let error = running.call("ask", json!({ "ask": { "do": "load", "key": "x" } })).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Denied, "what the node says is what it is told");
    }

    events_are_heard_one_after_the_other_and_give_credit_back(options) {
        let mut running = Running::ready(options).await;
        for _ in 0..3 {
            running.send(ToPlugin::Event { topic: "deliver".into(), message: json!({}) }).await;
        }
        for _ in 0..3 {
            assert_eq!(running.next().await, Some(ToNode::Credit { n: 1 }));
        }
        assert_eq!(running.call("events", json!({})).await.unwrap(), 3);
    }

    a_component_with_nothing_to_do_answers_a_ping_and_stops_when_asked_to(options) {
        let mut running = Running::ready(options).await;
        running.send(ToPlugin::Ping { id: 5 }).await;
        assert_eq!(running.next().await, Some(ToNode::Pong { id: 5 }));
        running.send(ToPlugin::Call { id: 9, call: Call::Stop { grace_ms: 30_000 } }).await;
        assert_eq!(running.next().await, Some(ToNode::Ok { id: 9, result: Json::Null }));
        assert_eq!(running.end().await, End::Stopped);
    }

    a_set_up_that_fails_says_why(options) {
        let mut running = start(options).await.unwrap();
        let answer = running.greet(json!({ "start": "failed" }), nothing).await;
        assert!(matches!(&answer, Some(ToNode::Failed { message, .. }) if message == "no pump"), "{answer:?}");
    }

    progress_is_told_of_the_call_under_way(options) {
        let mut running = Running::ready(options).await;
        running.call("progress", json!({})).await.unwrap();
        let half = ToNode::Progress { id: 1, fraction: Some(0.5), text: "half".into() };
        assert_eq!(running.progress, [half]);
    }
}
