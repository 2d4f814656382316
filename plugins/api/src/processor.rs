//! A processor: one small file that changes, judges or holds back readings on their way.
//!
//! The author writes what is special to it. Which sensors it is for, its place in the chain, its health and its life are
//! inherited.
//!
//! ```
//! use sedge_plugin::prelude::*;
//!
//! /// Turns a reading upside down.
//! pub struct Negate { field: Name }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Settings {
//!     /// Which field.
//!     field: Name,
//! }
//!
//! impl Processor for Negate {
//!     const KIND: &'static str = "negate";
//!     const TITLE: &'static str = "Turns the sign of a field";
//!     type Config = Settings;
//!
//!     fn new(config: Settings, _: &Context) -> Result<Self, PluginError> { Ok(Self { field: config.field }) }
//!
//!     fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
//!         let mut next = draft.clone();
//!         for sample in next.frame.samples.iter_mut().filter(|s| *s.field == *self.field.as_str()) {
//!             if let Ok(Value::Number(n)) = &mut sample.value { *n = -*n }
//!         }
//!         Ok(Step::Replace(next))
//!     }
//! }
//!
//! # use sedge_plugin::testing::TestNode;
//! let node = TestNode::new();
//! let settings = serde_json::from_value(serde_json::json!({ "field": "level" })).unwrap();
//! let mut negate = Negate::new(settings, &node.context("upside-down")).unwrap();
//! let mut frame = Frame::default();
//! frame.push("level", 2.0);
//! let draft = Draft { sensor: Id::new("tank").unwrap(), taken: Taken { up_ms: 0, wall_ms: None }, frame, origin: None };
//! let Ok(Step::Replace(next)) = negate.process(&draft) else { panic!() };
//! assert_eq!(next.frame.get("level"), Some(&Value::Number(-2.0)));
//! ```
//!
//! It runs in whoever submits the reading, one reading at a time, so it must not block; time is the draft's own. What it
//! keeps per sensor must not grow without end, and goes when the sensor does: [`Processor::forget`].

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::Id;
use crate::context::Context;
use crate::directory::SensorDescriptor;
use crate::plugin::PluginError;
use crate::reading::Draft;
use crate::topic::Step;

/// Where on the path of a reading a processor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It changes readings. A veto suppresses the reading, and nobody judges it: see [`Admit`](Self::Admit).
    Process,
    /// It judges readings: it marks fields, and a veto marks all of them `rejected`. It loses none.
    Validate,
    /// It holds readings back, once they were judged: a veto suppresses the reading.
    Admit,
}

/// A processor of one kind.
pub trait Processor: Send + Sized + 'static {
    /// The word in the config: `kind = "smooth"`.
    const KIND: &'static str;
    /// What it does, in a few words.
    const TITLE: &'static str;
    /// Where it stands.
    const STAGE: Stage = Stage::Process;
    /// Whether it looks a second time, once all validators have: [`judge`](Self::judge).
    const JUDGES: bool = false;
    /// Its own settings. Unknown keys are to be refused: `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes it ready.
    ///
    /// # Errors
    /// What no schema can say about the settings: [`PluginError::Settings`].
    fn new(config: Self::Config, ctx: &Context) -> Result<Self, PluginError>;

    /// Asked where it is for all sensors, before anything else.
    ///
    /// # Errors
    /// When that makes no sense: [`PluginError::Settings`].
    fn for_all(&self) -> Result<(), PluginError> {
        Ok(())
    }

    /// Says what becomes of a sensor's fields and of how often it tells: another unit, another range, one more field.
    /// Called before the sensor's first reading, and again when something about it changes; what it was before is what
    /// earlier processors left.
    fn describe(&mut self, sensor: &mut SensorDescriptor) {
        let _ = sensor;
    }

    /// Looks at one reading.
    ///
    /// # Errors
    /// When it cannot say anything about this one: the reading goes on as it was.
    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError>;

    /// Looks at one reading a second time, after all validators, where [`JUDGES`](Self::JUDGES) says so: for what follows
    /// from their marks. Not called for a reading that a validator rejected as a whole.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    fn judge(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let _ = draft;
        Ok(Step::Pass)
    }

    /// Forgets what it keeps of a sensor, which is gone, or has become another one and is described next.
    fn forget(&mut self, sensor: &Id) {
        let _ = sensor;
    }
}

/// A processor that is ready, of any kind.
pub trait Processing: Send {
    /// See [`Processor::for_all`].
    fn for_all(&self) -> Result<(), PluginError> {
        Ok(())
    }
    /// See [`Processor::describe`].
    fn describe(&mut self, sensor: &mut SensorDescriptor);
    /// See [`Processor::process`].
    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError>;
    /// See [`Processor::judge`].
    fn judge(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let _ = draft;
        Ok(Step::Pass)
    }
    /// See [`Processor::forget`].
    fn forget(&mut self, sensor: &Id) {
        let _ = sensor;
    }
}

/// A wrapper, so that `processor.process(…)` in its own tests can only mean [`Processor::process`].
struct Made<P>(P);

impl<P: Processor> Processing for Made<P> {
    fn for_all(&self) -> Result<(), PluginError> {
        self.0.for_all()
    }
    fn describe(&mut self, sensor: &mut SensorDescriptor) {
        self.0.describe(sensor);
    }
    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        self.0.process(draft)
    }
    fn judge(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        self.0.judge(draft)
    }
    fn forget(&mut self, sensor: &Id) {
        self.0.forget(sensor);
    }
}

/// Makes a processor of its settings.
pub type Make = fn(&Json, &Context) -> Result<Box<dyn Processing>, PluginError>;

/// A row of the table of kinds: all that a node knows of a kind without making one.
#[derive(Clone, Copy)]
pub struct ProcessorKind {
    /// The word in the config.
    pub kind: &'static str,
    /// What it does.
    pub title: &'static str,
    /// Where it stands.
    pub stage: Stage,
    /// Whether it looks a second time, after all validators.
    pub judges: bool,
    /// JSON Schema of its own settings.
    pub schema: fn() -> Json,
    /// Makes one.
    pub make: Make,
}

impl ProcessorKind {
    /// The row of a processor.
    pub const fn of<P: Processor>() -> Self {
        Self {
            kind: P::KIND,
            title: P::TITLE,
            stage: P::STAGE,
            judges: P::JUDGES,
            schema: || schemars::schema_for!(P::Config).to_value(),
            make: |settings, ctx| {
                let config = <P::Config as serde::Deserialize>::deserialize(settings)
                    .map_err(|error| PluginError::Settings(error.to_string().into()))?;
                Ok(Box::new(Made(P::new(config, ctx)?)))
            },
        }
    }
}
