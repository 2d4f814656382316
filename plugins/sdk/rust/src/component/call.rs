//! Reads a call by hand: what reads every message of the protocol is the larger part of a small component.

use sedge_protocol::Call;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// A call, without `type` and `id`.
pub(super) fn read(mut call: Json) -> Result<Call, String> {
    let what = call["do"].as_str().ok_or("it has no `do`")?.to_owned();
    Ok(match &*what {
        "tool" => Call::Tool {
            tool: part(&mut call, "tool")?,
            args: call["args"].take(),
            from: part::<Option<_>>(&mut call, "from")?.unwrap_or_default(),
            timeout_ms: part(&mut call, "timeout_ms")?,
        },
        "read" => Call::Read,
        "tick" => Call::Tick,
        "step" => Call::Step { topic: part(&mut call, "topic")?, message: call["message"].take() },
        "answer" => Call::Answer { topic: part(&mut call, "topic")?, message: call["message"].take() },
        "deliver" => Call::Deliver { readings: part(&mut call, "readings")? },
        "stop" => Call::Stop { grace_ms: part(&mut call, "grace_ms")? },
        _ => Call::Unknown,
    })
}

fn part<T: DeserializeOwned>(call: &mut Json, key: &str) -> Result<T, String> {
    let part = call.get_mut(key).map(Json::take).unwrap_or_default();
    serde_json::from_value(part).map_err(|error| format!("`{key}`: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_reads_the_calls_that_a_process_reads() {
        for call in [
            json!({ "do": "tool", "tool": "pump_set", "args": { "on": true }, "from": "cli", "timeout_ms": 5000 }),
            json!({ "do": "tool", "tool": "pump_set", "args": null, "timeout_ms": 5000 }),
            json!({ "do": "read" }),
            json!({ "do": "tick" }),
            json!({ "do": "step", "topic": "process", "message": { "sensor": "tank" } }),
            json!({ "do": "answer", "topic": "extract", "message": 3 }),
            json!({ "do": "deliver", "readings": [1, 2] }),
            json!({ "do": "stop", "grace_ms": 5000 }),
            json!({ "do": "dance" }),
        ] {
            let typed: Call = serde_json::from_value(call.clone()).unwrap();
            assert_eq!(read(call), Ok(typed));
        }
        for wrong in [json!(3), json!({}), json!({ "do": "tool" }), json!({ "do": "stop", "grace_ms": "x" })]
        {
            assert!(read(wrong).is_err());
        }
    }
}
