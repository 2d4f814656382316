//! The shape of each topic's message.

use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::clock::{parse_rfc3339, rfc3339};
use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::reading::{Origin, Taken};
use sedge_plugin::topics::{
    Admit, CallRecord, CallRecorded, ConfigApplied, ConfigLoaded, Deliver, Event, EventRaised, Extract,
    Failure, LoadedConfig, NodeStarted, NodeStopping, OnError, PluginStateChanged, PostToolExecute,
    PreToolExecute, Process, RawPayload, SensorChange, SensorChanged, Severity, ToolFailed, ToolFailure,
    ToolsChange, ToolsChanged, Validate,
};
use sedge_plugin::{
    Boot, Draft, Frame, Id, Name, PluginStatus, Reading, SensorDescriptor, State, Tool, ToolCall, ToolError,
    ToolOutcome,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{Shape, object};
use crate::{Bytes, frame};

fn read<T: DeserializeOwned>(json: Json) -> Result<T, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A part of a message that it must have.
fn part<T: DeserializeOwned>(message: &Map<String, Json>, key: &str) -> Result<T, String> {
    let json = message.get(key).cloned().unwrap_or_default();
    read(json).map_err(|error| format!("`{key}`: {error}"))
}

fn time(taken: Taken, into: &mut Map<String, Json>) {
    into.insert("ts".into(), taken.wall_ms.map(rfc3339).into());
    into.insert("up_ms".into(), taken.up_ms.into());
}

fn taken(message: &Map<String, Json>) -> Result<Taken, String> {
    let ts: Option<String> = part(message, "ts")?;
    let wrong = |text: &str| format!("`ts`: `{text}` is not a time");
    let wall_ms = ts.map(|text| parse_rfc3339(&text).ok_or_else(|| wrong(&text))).transpose()?;
    Ok(Taken { up_ms: part::<Option<u64>>(message, "up_ms")?.unwrap_or_default(), wall_ms })
}

#[derive(Serialize, Deserialize)]
struct OriginShape {
    node: Id,
    sensor: Id,
    #[serde(with = "sedge_plugin::wire::boot")]
    boot: Boot,
    seq: u64,
}

fn put_origin(origin: Option<&Origin>, into: &mut Map<String, Json>) {
    if let Some(Origin { node, sensor, boot, seq }) = origin.cloned() {
        into.insert("origin".into(), json!(OriginShape { node, sensor, boot, seq }));
    }
}

fn origin(message: &Map<String, Json>) -> Result<Option<Arc<Origin>>, String> {
    let shape: Option<OriginShape> = part(message, "origin")?;
    Ok(shape.map(|OriginShape { node, sensor, boot, seq }| Arc::new(Origin { node, sensor, boot, seq })))
}

impl Shape for Deliver {
    fn encode(reading: &Reading) -> Json {
        let mut message = Map::new();
        message.insert("sensor".into(), json!(reading.sensor));
        message.insert("seq".into(), reading.seq.into());
        message.insert("boot".into(), reading.boot.to_string().into());
        time(reading.taken, &mut message);
        if reading.taken.wall_ms.is_none() {
            message.insert("clock".into(), "unsynced".into());
        }
        frame::split(&reading.frame, &mut message);
        put_origin(reading.origin.as_deref(), &mut message);
        message.into()
    }

    fn decode(json: Json) -> Result<Reading, String> {
        let message = object(json)?;
        let boot = message.get("boot").cloned().unwrap_or_default();
        Ok(Reading {
            sensor: part(&message, "sensor")?,
            boot: sedge_plugin::wire::boot::deserialize(boot).map_err(|error| format!("`boot`: {error}"))?,
            seq: part(&message, "seq")?,
            taken: taken(&message)?,
            frame: frame::join(&message)?,
            origin: origin(&message)?,
        })
    }
}

fn draft(draft: &Draft) -> Json {
    let mut message = Map::new();
    message.insert("sensor".into(), json!(draft.sensor));
    time(draft.taken, &mut message);
    frame::split(&draft.frame, &mut message);
    put_origin(draft.origin.as_deref(), &mut message);
    message.into()
}

fn to_draft(json: Json) -> Result<Draft, String> {
    let message = object(json)?;
    Ok(Draft {
        sensor: part(&message, "sensor")?,
        taken: taken(&message)?,
        frame: frame::join(&message)?,
        origin: origin(&message)?,
    })
}

/// A step changes what was measured: not whose it is, nor when. Fields that were there keep their order.
fn redrafted(before: &Draft, json: Json) -> Result<Draft, String> {
    let message = object(json)?;
    let mut samples = frame::join(&message)?.samples;
    let place = |field: &str| before.frame.samples.iter().position(|sample| sample.field == field);
    samples.sort_by_key(|sample| place(&sample.field).unwrap_or(usize::MAX));
    Ok(Draft { frame: Frame { samples }, ..before.clone() })
}

macro_rules! drafts {
    ($($topic:ident),+) => {$(
        impl Shape for $topic {
            fn encode(message: &Draft) -> Json {
                draft(message)
            }
            fn decode(json: Json) -> Result<Draft, String> {
                to_draft(json)
            }
            fn replaced(before: &Draft, json: Json) -> Result<Draft, String> {
                redrafted(before, json)
            }
        }
    )+};
}
drafts!(Process, Validate, Admit);

macro_rules! nothing {
    ($($topic:ident),+) => {$(
        impl Shape for $topic {
            fn encode(_: &()) -> Json {
                Json::Null
            }
            fn decode(_: Json) -> Result<(), String> {
                Ok(())
            }
        }
    )+};
}
nothing!(NodeStarted, NodeStopping);

macro_rules! configs {
    ($($topic:ident),+) => {$(
        impl Shape for $topic {
            fn encode(loaded: &LoadedConfig) -> Json {
                json!({ "config": *loaded.config, "reload": loaded.reload })
            }
            fn decode(json: Json) -> Result<LoadedConfig, String> {
                let message = object(json)?;
                Ok(LoadedConfig { config: Arc::new(part(&message, "config")?), reload: part(&message, "reload")? })
            }
        }
    )+};
}
configs!(ConfigLoaded, ConfigApplied);

#[derive(Serialize, Deserialize)]
struct StatusShape {
    id: Id,
    kind: String,
    version: String,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since_ms: Option<i64>,
    restarts: u32,
    dropped: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service_of: Option<Id>,
}

impl Shape for PluginStateChanged {
    fn encode(status: &PluginStatus) -> Json {
        let PluginStatus { id, kind, version, state, reason, since_ms, restarts, dropped, service_of } =
            status.clone();
        json!(StatusShape { id, kind, version, state, reason, since_ms, restarts, dropped, service_of })
    }
    fn decode(json: Json) -> Result<PluginStatus, String> {
        let StatusShape { id, kind, version, state, reason, since_ms, restarts, dropped, service_of } =
            read(json)?;
        Ok(PluginStatus { id, kind, version, state, reason, since_ms, restarts, dropped, service_of })
    }
}

impl Shape for OnError {
    fn encode(failure: &Failure) -> Json {
        json!({ "plugin": failure.plugin, "what": failure.what, "error": failure.error })
    }
    fn decode(json: Json) -> Result<Failure, String> {
        let message = object(json)?;
        let (plugin, what) = (part(&message, "plugin")?, part(&message, "what")?);
        Ok(Failure { plugin, what, error: part(&message, "error")? })
    }
}

impl Shape for EventRaised {
    fn encode(event: &Event) -> Json {
        json!({ "kind": event.kind, "severity": event.severity, "text": event.text, "data": event.data })
    }
    fn decode(json: Json) -> Result<Event, String> {
        let message = object(json)?;
        let severity: Severity = part(&message, "severity")?;
        Ok(Event {
            kind: part(&message, "kind")?,
            severity,
            text: part(&message, "text")?,
            data: part(&message, "data")?,
        })
    }
}

/// A sensor, as others see it.
pub fn sensor(sensor: &SensorDescriptor) -> Json {
    let SensorDescriptor { id, kind, plugin, place, interval, fields, node } = sensor;
    let mut message = json!({ "id": id, "kind": kind, "plugin": plugin, "place": place, "fields": fields });
    if let Some(interval) = interval {
        message["interval_ms"] = millis(*interval).into();
    }
    if let Some(node) = node {
        message["node"] = json!(node);
    }
    message
}

fn to_sensor(json: Json) -> Result<SensorDescriptor, String> {
    let message = object(json)?;
    let fields: std::collections::BTreeMap<Name, FieldDescriptor> = part(&message, "fields")?;
    Ok(SensorDescriptor {
        id: part(&message, "id")?,
        kind: part(&message, "kind")?,
        plugin: part(&message, "plugin")?,
        place: part(&message, "place")?,
        interval: part::<Option<u64>>(&message, "interval_ms")?.map(Duration::from_millis),
        fields,
        node: part(&message, "node")?,
    })
}

impl Shape for SensorChanged {
    fn encode(change: &SensorChange) -> Json {
        match change {
            SensorChange::Announced(announced) => json!({ "announced": sensor(announced) }),
            SensorChange::Gone(id) => json!({ "gone": id }),
        }
    }
    fn decode(json: Json) -> Result<SensorChange, String> {
        let mut message = object(json)?;
        match message.remove("announced") {
            Some(announced) => to_sensor(announced).map(SensorChange::Announced),
            None => part(&message, "gone").map(SensorChange::Gone),
        }
    }
}

impl Shape for ToolsChanged {
    fn encode(change: &ToolsChange) -> Json {
        json!({ "added": change.added, "gone": change.gone })
    }
    fn decode(json: Json) -> Result<ToolsChange, String> {
        let message = object(json)?;
        let added: Vec<Tool> = part(&message, "added")?;
        Ok(ToolsChange { added, gone: part(&message, "gone")? })
    }
}

impl Shape for Extract {
    fn encode(raw: &RawPayload) -> Json {
        json!({ "sensor": raw.sensor, "format": raw.format, "bytes": Bytes(raw.bytes.clone()) })
    }
    fn decode(json: Json) -> Result<RawPayload, String> {
        let message = object(json)?;
        let Bytes(bytes) = part(&message, "bytes")?;
        Ok(RawPayload { sensor: part(&message, "sensor")?, format: part(&message, "format")?, bytes })
    }
    fn encode_answer(answer: &Frame) -> Json {
        frame::encode(answer)
    }
    fn decode_answer(json: Json) -> Result<Option<Frame>, String> {
        match json {
            Json::Null => Ok(None),
            json => frame::decode(&json).map(Some),
        }
    }
}

fn call(call: &ToolCall) -> Json {
    let mut message = json!({
        "tool": call.tool, "args": call.args, "from": call.from, "id": call.id, "verified": call.verified,
    });
    if let Some(node) = &call.node {
        message["node"] = json!(node);
    }
    if let Some(timeout) = call.timeout {
        message["timeout_ms"] = millis(timeout).into();
    }
    message
}

fn to_call(json: Json) -> Result<ToolCall, String> {
    let message = object(json)?;
    let call = ToolCall::new(part::<Name>(&message, "tool")?, part(&message, "args")?);
    Ok(ToolCall {
        node: part(&message, "node")?,
        id: part(&message, "id")?,
        from: part(&message, "from")?,
        verified: part(&message, "verified")?,
        timeout: part::<Option<u64>>(&message, "timeout_ms")?.map(Duration::from_millis),
        ..call
    })
}

impl Shape for PreToolExecute {
    fn encode(message: &ToolCall) -> Json {
        call(message)
    }
    fn decode(json: Json) -> Result<ToolCall, String> {
        to_call(json)
    }
    /// The arguments, and nothing else.
    fn replaced(before: &ToolCall, json: Json) -> Result<ToolCall, String> {
        let mut message = object(json)?;
        let args = message.remove("args").ok_or("the message is to have the `args` of the call")?;
        Ok(ToolCall { args, ..before.clone() })
    }
}

fn put_result(result: &Result<Json, ToolError>, message: &mut Json) {
    match result {
        Ok(result) => message["ok"] = result.clone(),
        Err(error) => message["error"] = json!(error),
    }
}

fn result(message: &mut Map<String, Json>) -> Result<Result<Json, ToolError>, String> {
    match (message.remove("ok"), message.remove("error")) {
        (Some(result), None) => Ok(Ok(result)),
        (None, Some(error)) => read(error).map(Err).map_err(|error| format!("`error`: {error}")),
        _ => Err("the message is to have either `ok` or `error`".into()),
    }
}

impl Shape for PostToolExecute {
    fn encode(outcome: &ToolOutcome) -> Json {
        let mut message = json!({ "tool": outcome.tool, "id": outcome.id, "took_ms": millis(outcome.took) });
        for (key, id) in [("node", &outcome.node), ("by", &outcome.by)] {
            if let Some(id) = id {
                message[key] = json!(id);
            }
        }
        put_result(&outcome.result, &mut message);
        message
    }
    fn decode(json: Json) -> Result<ToolOutcome, String> {
        let mut message = object(json)?;
        Ok(ToolOutcome {
            result: result(&mut message)?,
            id: part(&message, "id")?,
            node: part(&message, "node")?,
            tool: part(&message, "tool")?,
            took: Duration::from_millis(part(&message, "took_ms")?),
            by: part(&message, "by")?,
        })
    }
    /// The result, and nothing else.
    fn replaced(before: &ToolOutcome, json: Json) -> Result<ToolOutcome, String> {
        Ok(ToolOutcome { result: result(&mut object(json)?)?, ..before.clone() })
    }
}

impl Shape for ToolFailed {
    fn encode(failure: &ToolFailure) -> Json {
        json!({ "call": call(&failure.call), "error": failure.error })
    }
    fn decode(json: Json) -> Result<ToolFailure, String> {
        let mut message = object(json)?;
        let call = to_call(message.remove("call").unwrap_or_default())?;
        Ok(ToolFailure { call, error: part(&message, "error")? })
    }
}

impl Shape for CallRecorded {
    fn encode(record: &CallRecord) -> Json {
        let mut message = json!({
            "tool": record.tool, "id": record.id, "from": record.from, "verified": record.verified,
        });
        if let Some(args) = &record.args {
            message["args"] = args.clone();
        }
        match &record.outcome {
            Ok(took) => message["took_ms"] = millis(*took).into(),
            Err(error) => message["error"] = json!(error),
        }
        message
    }
    fn decode(json: Json) -> Result<CallRecord, String> {
        let mut message = object(json)?;
        let outcome = match message.remove("error") {
            Some(error) => Err(read(error)?),
            None => Ok(Duration::from_millis(part(&message, "took_ms")?)),
        };
        let args = message.remove("args");
        Ok(CallRecord {
            tool: part(&message, "tool")?,
            id: part(&message, "id")?,
            from: part(&message, "from")?,
            verified: part(&message, "verified")?,
            args,
            outcome,
        })
    }
}
