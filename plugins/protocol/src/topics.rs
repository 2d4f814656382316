//! The messages of topics as JSON: what a plugin outside hears of a node's life, and what it may say to it.
//!
//! Why a table: a plugin outside names topics by text, the engine by type. A [`TopicShape`] joins the two; [`Shape`] is the
//! same for whoever has the type.
//!
//! ```
//! use sedge_plugin::topics::{Event, Severity};
//! use sedge_protocol::topics::by_name;
//! let shape = by_name("event_raised").unwrap();
//! let event = Event { kind: "leak".to_owned().try_into().unwrap(), severity: Severity::Error, text: "wet".into(), data: 3.into() };
//! let json = (shape.encode)(&event).unwrap();
//! assert_eq!(json, serde_json::json!({ "kind": "leak", "severity": "error", "text": "wet", "data": 3 }));
//! assert_eq!((shape.decode)(json).unwrap().downcast_ref(), Some(&event));
//! ```
//!
//! Topics that need the insides of a node are not here: those around something, `describe`, and those that build registries.
//! It must not let a step change more than the topic says: see [`Shape::replaced`].

mod shapes;

use std::any::{Any, TypeId};

use sedge_plugin::topic::{Kind, Step, Topic};
use sedge_plugin::topics as t;
use serde_json::{Map, Value as Json, json};

use crate::frame;

pub use shapes::sensor;

/// A topic whose messages go outside.
pub trait Shape: Topic {
    /// A message as JSON.
    fn encode(message: &Self::Message) -> Json;

    /// JSON as a message.
    ///
    /// # Errors
    /// What it lacks.
    fn decode(json: Json) -> Result<Self::Message, String>;

    /// What a step makes of a message: only what a step may change is taken from it.
    ///
    /// # Errors
    /// When nothing of it may be changed, or it is no message.
    fn replaced(before: &Self::Message, json: Json) -> Result<Self::Message, String> {
        let _ = (before, json);
        Err(format!(
            "a message of `{}` cannot be replaced: answer \"pass\" or {{\"veto\": \"reason\"}}",
            Self::NAME
        ))
    }

    /// An answer as JSON; null where the topic has none.
    fn encode_answer(answer: &Self::Answer) -> Json {
        let _ = answer;
        Json::Null
    }

    /// JSON as an answer; null passes.
    ///
    /// # Errors
    /// When the topic has no answers, or this is none.
    fn decode_answer(json: Json) -> Result<Option<Self::Answer>, String> {
        match json {
            Json::Null => Ok(None),
            _ => Err(format!("`{}` has no answers", Self::NAME)),
        }
    }
}

/// Anything that a topic's message may be.
pub type AnyMessage = Box<dyn Any + Send + Sync>;

/// Anything that a topic's answer may be.
pub type AnyAnswer = Box<dyn Any + Send>;

/// A topic without its type.
#[derive(Debug, Clone, Copy)]
pub struct TopicShape {
    /// Its name: `deliver`.
    pub name: &'static str,
    /// `observe`, `chain`, `first` or `collect`.
    pub kind: &'static str,
    /// Its type: `TypeId::of::<topics::Deliver>`.
    pub type_id: fn() -> TypeId,
    /// A message as JSON; none where it is of another topic.
    pub encode: fn(&dyn Any) -> Option<Json>,
    /// JSON as a message.
    pub decode: fn(Json) -> Result<AnyMessage, String>,
    /// An answer as JSON; none where it is of another topic.
    pub encode_answer: fn(&dyn Any) -> Option<Json>,
    /// JSON as an answer; none where it passes.
    pub decode_answer: fn(Json) -> Result<Option<AnyAnswer>, String>,
}

impl TopicShape {
    const fn of<T: Shape>() -> Self {
        Self {
            name: T::NAME,
            kind: T::Kind::NAME,
            type_id: TypeId::of::<T>,
            encode: |message| message.downcast_ref().map(T::encode),
            decode: |json| T::decode(json).map(|message| Box::new(message) as AnyMessage),
            encode_answer: |answer| answer.downcast_ref().map(T::encode_answer),
            decode_answer: |json| {
                let answer = T::decode_answer(json)?;
                Ok(answer.map(|answer| Box::new(answer) as AnyAnswer))
            },
        }
    }
}

/// The topics that can be used from outside.
pub const ALL: &[TopicShape] = &[
    TopicShape::of::<t::ConfigLoaded>(),
    TopicShape::of::<t::ConfigApplied>(),
    TopicShape::of::<t::NodeStarted>(),
    TopicShape::of::<t::NodeStopping>(),
    TopicShape::of::<t::PluginStateChanged>(),
    TopicShape::of::<t::OnError>(),
    TopicShape::of::<t::EventRaised>(),
    TopicShape::of::<t::SensorChanged>(),
    TopicShape::of::<t::Extract>(),
    TopicShape::of::<t::Process>(),
    TopicShape::of::<t::Validate>(),
    TopicShape::of::<t::Admit>(),
    TopicShape::of::<t::Deliver>(),
    TopicShape::of::<t::ToolsChanged>(),
    TopicShape::of::<t::PreToolExecute>(),
    TopicShape::of::<t::PostToolExecute>(),
    TopicShape::of::<t::ToolFailed>(),
    TopicShape::of::<t::CallRecorded>(),
];

/// The topic of a name; none where it cannot be used from outside.
pub fn by_name(name: &str) -> Option<&'static TopicShape> {
    ALL.iter().find(|shape| shape.name == name)
}

/// The topic of a type; none where it cannot be used from outside.
pub fn by_id(id: TypeId) -> Option<&'static TopicShape> {
    ALL.iter().find(|shape| (shape.type_id)() == id)
}

/// What a step answers, as JSON: `"pass"`, `{"replace": message}`, `{"veto": "reason"}`.
pub fn encode_step<T: Shape>(step: &Step<T::Message>) -> Json {
    match step {
        Step::Pass => "pass".into(),
        Step::Replace(message) => json!({ "replace": T::encode(message) }),
        Step::Veto(reason) => json!({ "veto": reason }),
    }
}

/// What a step answered to a message.
///
/// # Errors
/// When it is none of the three, or replaces what it may not.
pub fn decode_step<T: Shape>(before: &T::Message, answer: Json) -> Result<Step<T::Message>, String> {
    let wrong = || {
        let topic = T::NAME;
        format!("a step of `{topic}` answers \"pass\", {{\"replace\": message}} or {{\"veto\": \"reason\"}}")
    };
    match answer {
        Json::Null => Ok(Step::Pass),
        Json::String(pass) if pass == "pass" => Ok(Step::Pass),
        Json::Object(mut answer) if answer.len() == 1 => {
            match (answer.remove("replace"), answer.remove("veto")) {
                (Some(message), None) => T::replaced(before, message).map(Step::Replace),
                (None, Some(Json::String(reason))) => Ok(Step::Veto(reason)),
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

fn object(json: Json) -> Result<Map<String, Json>, String> {
    match json {
        Json::Object(object) => Ok(object),
        other => Err(format!("the message is to be an object; found {}", frame::kind(&other))),
    }
}

#[cfg(test)]
mod tests;
