//! What the probe hears, and what it is a step of. Each takes a moment at most: 300 ms.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::topics::{
    Deliver, Event, EventRaised, Extract, PostToolExecute, PreToolExecute, RawPayload,
};
use serde_json::{Value as Json, json};

use super::Probe;
use crate::Does;

pub(super) fn register(hooks: &mut impl Hooks<Probe>, topics: &BTreeSet<String>) {
    let wants = |topic: &str| topics.contains(topic);
    let options = || Options { deadline: Duration::from_millis(300), ..Options::default() };
    if wants(Deliver::NAME) {
        hooks.observe::<Deliver>(options());
    }
    if wants(EventRaised::NAME) {
        hooks.observe::<EventRaised>(options());
    }
    if wants(PreToolExecute::NAME) {
        hooks.chain::<PreToolExecute>(options());
    }
    if wants(PostToolExecute::NAME) {
        hooks.chain::<PostToolExecute>(options());
    }
    if wants(Extract::NAME) {
        hooks.first::<Extract>(options());
    }
    hooks.tools();
}

impl Observer<Deliver> for Probe {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        self.heard.push((reading.sensor.clone(), reading.seq));
        Ok(())
    }
}

impl Observer<EventRaised> for Probe {
    async fn observe(&mut self, event: Arc<Event>) -> Result<(), PluginError> {
        match event.kind.as_str() {
            "probe" => told(&event.data["do"]).act().await,
            _ => Ok(()),
        }
    }
}

impl Link<PreToolExecute> for Probe {
    async fn step(&mut self, call: Arc<ToolCall>) -> Result<Step<ToolCall>, PluginError> {
        Ok(match call.args["step"].as_str() {
            None => Step::Pass,
            Some("veto") => Step::Veto("it was told to".into()),
            Some("mark") => {
                let mut next = ToolCall::clone(&call);
                mark(&mut next.args, self.ctx.id());
                Step::Replace(next)
            }
            Some(_) => told(&call.args["step"]).act().await.map(|()| Step::Pass)?,
        })
    }
}

impl Link<PostToolExecute> for Probe {
    async fn step(&mut self, outcome: Arc<ToolOutcome>) -> Result<Step<ToolOutcome>, PluginError> {
        let Ok(result) = &outcome.result else { return Ok(Step::Pass) };
        Ok(match result["after"].as_str() {
            None => Step::Pass,
            Some("veto") => Step::Veto("it was told to".into()),
            Some("mark") => {
                let mut result = result.clone();
                mark(&mut result, self.ctx.id());
                Step::Replace(ToolOutcome { result: Ok(result), ..ToolOutcome::clone(&outcome) })
            }
            Some(_) => told(&result["after"]).act().await.map(|()| Step::Pass)?,
        })
    }
}

/// It knows the format `probe`: one byte, a level.
impl Answer<Extract> for Probe {
    async fn answer(&mut self, raw: Arc<RawPayload>) -> Result<Option<Frame>, PluginError> {
        let [level] = raw.bytes[..] else { return Ok(None) };
        if raw.format != "probe" {
            return Ok(None);
        }
        let mut frame = Frame::default();
        frame.push("level", f64::from(level));
        Ok(Some(frame))
    }
}

fn told(word: &Json) -> Does {
    Does::deserialize(word).unwrap_or_default()
}

/// Adds the id of whoever was there to the trail.
fn mark(value: &mut Json, id: &Id) {
    match value["trail"].as_array_mut() {
        Some(trail) => trail.push(json!(id)),
        None => value["trail"] = json!([id]),
    }
}
