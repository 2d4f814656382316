//! A processor outside of a node: its step of the path of a reading.
//!
//! It must not keep a reading: what it keeps of a sensor goes when the node says that the sensor is gone.

use std::any::TypeId;
use std::marker::PhantomData;

use sedge_plugin::processor::Processing;
use sedge_plugin::tool::Progress;
use sedge_plugin::topic::{Step, Topic};
use sedge_plugin::topics::{self, SensorChange};
use sedge_plugin::{BoxFuture, Draft, PluginError, Processor, ProcessorKind, Stage, ToolError};
use sedge_protocol::Call;
use sedge_protocol::topics::{TopicShape, by_id};
use serde_json::{Value as Json, json};

use super::{Home, Ready, Runs, cannot, describe, settings, tool_error};

/// A processor, once it is set up.
pub(super) struct Processes<P> {
    made: Option<Box<dyn Processing>>,
    sort: PhantomData<fn() -> P>,
}

impl<P> Default for Processes<P> {
    fn default() -> Self {
        Self { made: None, sort: PhantomData }
    }
}

impl<P: Processor> Runs for Processes<P> {
    fn start<'a>(&'a mut self, home: Home) -> BoxFuture<'a, Result<Ready, PluginError>> {
        Box::pin(async move {
            settings::<P::Config>(&home.welcome.settings)?;
            self.made = Some((ProcessorKind::of::<P>().make)(&home.welcome.settings, &home.context())?);
            Ok(Ready::default())
        })
    }

    fn call(&mut self, call: Call, _: u64, _: Progress) -> BoxFuture<'_, Result<Json, ToolError>> {
        Box::pin(async move {
            match call {
                Call::Step { topic, message } if stage(&topic).is_some() => {
                    self.step(&topic, message).map_err(|error| tool_error(&error))
                }
                Call::Tick | Call::Stop { .. } => Ok(Json::Null),
                other => Err(cannot(&describe(&other))),
            }
        })
    }

    /// Sensors that come and go, where its manifest hooks `sensor_changed`. What it says of their fields nobody hears.
    fn event(&mut self, topic: String, message: Json) -> BoxFuture<'_, Result<(), PluginError>> {
        Box::pin(async move {
            let (Some(made), Some(shape)) = (&mut self.made, by_id(TypeId::of::<topics::SensorChanged>()))
            else {
                return Ok(());
            };
            if topic != topics::SensorChanged::NAME {
                return Ok(());
            }
            let change = decode::<SensorChange>(shape, message)?;
            made.forget(change.sensor());
            if let SensorChange::Announced(mut sensor) = change {
                made.describe(&mut sensor);
            }
            Ok(())
        })
    }
}

impl<P: Processor> Processes<P> {
    fn step(&mut self, topic: &str, message: Json) -> Result<Json, PluginError> {
        let (Some(made), Some(shape)) = (&mut self.made, by_id(TypeId::of::<topics::Process>())) else {
            return Ok("pass".into());
        };
        let draft: Draft = decode(shape, message)?;
        // One that judges is asked again where readings are held back: all validators have looked by then.
        let again = P::JUDGES && P::STAGE != Stage::Admit && stage(topic) == Some(Stage::Admit);
        let step = if again { made.judge(&draft)? } else { made.process(&draft)? };
        Ok(match step {
            Step::Pass => "pass".into(),
            Step::Replace(draft) => json!({ "replace": (shape.encode)(&draft).unwrap_or_default() }),
            Step::Veto(reason) => json!({ "veto": reason }),
        })
    }
}

/// The three topics have one message.
fn stage(topic: &str) -> Option<Stage> {
    match topic {
        topics::Process::NAME => Some(Stage::Process),
        topics::Validate::NAME => Some(Stage::Validate),
        topics::Admit::NAME => Some(Stage::Admit),
        _ => None,
    }
}

fn decode<M: 'static>(shape: &TopicShape, message: Json) -> Result<M, PluginError> {
    let message = (shape.decode)(message).map_err(PluginError::failed)?;
    message.downcast().map(|message| *message).map_err(|_| PluginError::failed("a message of another type"))
}
