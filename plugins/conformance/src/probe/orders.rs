//! What the tool `ID_do` can be told: `{"do": "submit", "level": 4.2}`.
//!
//! | `do` | besides | answer |
//! |---|---|---|
//! | `state` | | its settings, and what it has counted |
//! | `announce`, `withdraw` | `sensor` | |
//! | `submit` | `sensor`, `level` | |
//! | `submit_raw` | `sensor`, `bytes` | |
//! | `latest` | `sensor` | `{"sensor", "seq", "level"}` or null |
//! | `event` | `text` | |
//! | `store`, `load`, `forget` | `key`, `value` | |
//! | `keep`, `kept` | `text` | a file in its directory |
//! | `call` | `tool`, `args` | what that tool answers |
//! | `directory` | | the names of the tools that there are |
//! | `config` | | the node's config |
//! | `http` | `url` | `{"status", "body"}` |
//! | `degraded` | `reason` | |
//! | `measure` | `add`, `set` | |
//! | `progress` | | |
//! | `dawdle` | | says that it has begun, and takes longer than anybody waits |
//! | `error` | `code`, `message`, `data` | that error |
//! | `panics`, `hangs`, `loops` | | |

use std::fs;
use std::io;
use std::time::Duration;

use sedge_plugin::http::Request;
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use super::Probe;
use crate::Does;

/// What it measures.
pub const FIELDS: &[Field] = &[
    Field::new("level", Unit::Percent).range(0.0, 100.0),
    Field::new("gone", Unit::None),
    Field::new("on", Unit::None).kind(FieldKind::State),
    Field::new("note", Unit::None).kind(FieldKind::Text),
];

impl Probe {
    pub(super) async fn obey(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let args = &call.args;
        let text = |key: &str| args[key].as_str().unwrap_or_default();
        let ctx = &self.ctx;
        match text("do") {
            "state" => Ok(json!({
                "greeting": self.settings.greeting,
                "id": ctx.id(),
                "setups": self.setups,
                "ticks": self.ticks,
                "heard": self.heard,
            })),
            "announce" => {
                let sensor = self.sensor(args)?;
                ctx.announce(SensorDescriptor::new(sensor, "probe", "1.0.0", "nowhere", FIELDS));
                Ok(Json::Null)
            }
            "withdraw" => {
                ctx.withdraw(&self.sensor(args)?);
                Ok(Json::Null)
            }
            "submit" => {
                let mut frame = Frame::default();
                frame.push("level", args["level"].as_f64().unwrap_or(f64::NAN));
                frame.missing("gone", "unplugged");
                frame.push("on", true);
                frame.push("note", "as told");
                done(ctx.submit(&self.sensor(args)?, frame).await)
            }
            "submit_raw" => {
                let bytes = args["bytes"].as_array().into_iter().flatten();
                let bytes = bytes.filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
                done(ctx.submit_raw(&self.sensor(args)?, "test", bytes).await)
            }
            "latest" => {
                let seen = |reading: &Reading| {
                    let level = match reading.frame.get("level") {
                        Some(Value::Number(level)) => json!(level),
                        _ => Json::Null,
                    };
                    json!({ "sensor": reading.sensor, "seq": reading.seq, "level": level })
                };
                Ok(ctx.latest(&self.sensor(args)?).map_or(Json::Null, |reading| seen(&reading)))
            }
            "event" => {
                self.tell("told", args["text"].clone()).await;
                Ok(Json::Null)
            }
            "store" => done(ctx.store(text("key"), &args["value"]).await),
            "load" => ctx.load::<Json>(text("key")).await.map(Option::unwrap_or_default).map_err(failed),
            "forget" => done(ctx.forget(text("key")).await),
            "keep" => {
                let file = ctx.data_dir().map_err(failed)?.join("kept");
                fs::write(file, text("text")).map_err(unkept)?;
                Ok(Json::Null)
            }
            "kept" => match fs::read_to_string(ctx.data_dir().map_err(failed)?.join("kept")) {
                Ok(text) => Ok(json!(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Json::Null),
                Err(error) => Err(unkept(error)),
            },
            "call" => {
                let tool: ToolPath = text("tool").parse().map_err(|error| bad(&error))?;
                ctx.call(ToolCall::new(tool, args["args"].clone())).await.result
            }
            "directory" => Ok(json!(ctx.directory().tools.keys().collect::<Vec<_>>())),
            "config" => Ok(Json::clone(&ctx.config())),
            "http" => {
                let answer = ctx.http(Request::get(text("url"))).await;
                let answer = answer.map_err(|error| ToolError::failed(error.to_string()))?;
                Ok(json!({ "status": answer.status, "body": String::from_utf8_lossy(&answer.body) }))
            }
            "degraded" => {
                ctx.degraded(args["reason"].as_str().map(ToOwned::to_owned));
                Ok(Json::Null)
            }
            "measure" => self.measure(args),
            "progress" => {
                call.progress.report(0.25, "a quarter");
                call.progress.say("the rest");
                Ok(json!("done"))
            }
            "dawdle" => {
                call.progress.say("begun");
                ctx.sleep(Duration::from_secs(20)).await;
                Ok(Json::Null)
            }
            "error" => {
                let code = ToolErrorCode::deserialize(&args["code"]).map_err(|error| bad(&error))?;
                let data = args.get("data").cloned();
                Err(ToolError { data, ..ToolError::new(code, text("message")) })
            }
            _ => {
                let does = Does::deserialize(&args["do"]).map_err(|error| bad(&error))?;
                done(does.act().await)
            }
        }
    }

    fn measure(&self, args: &Json) -> Result<Json, ToolError> {
        let name = |name: &str| Name::new(name).map_err(|error| bad(&error));
        if let Some(add) = args["add"].as_u64() {
            let counter = self.ctx.counter(name("orders")?, "Orders that it was given.");
            counter.map_err(|error| bad(&error))?.add(add);
        }
        if let Some(set) = args["set"].as_f64() {
            let gauge = self.ctx.gauge(name("mood")?, "How it feels.");
            gauge.map_err(|error| bad(&error))?.set(set);
        }
        Ok(Json::Null)
    }

    /// The sensor that is meant: its own where none is named.
    fn sensor(&self, args: &Json) -> Result<Id, ToolError> {
        match args["sensor"].as_str() {
            Some(sensor) => Id::new(sensor).map_err(|error| bad(&error)),
            None => Ok(self.ctx.id().clone()),
        }
    }
}

fn done(result: Result<(), PluginError>) -> Result<Json, ToolError> {
    result.map(|()| Json::Null).map_err(failed)
}

fn failed(error: PluginError) -> ToolError {
    ToolError::failed(error.to_string())
}

fn unkept(error: io::Error) -> ToolError {
    ToolError::failed(error.to_string())
}

fn bad(error: &dyn std::error::Error) -> ToolError {
    ToolError::new(ToolErrorCode::BadArgs, error.to_string())
}
