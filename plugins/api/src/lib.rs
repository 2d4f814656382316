//! The contract between a Sedge node and its plugins: the whole surface that a plugin's author sees.
//!
//! - A sensor's driver is a [`Sensor`]: one small file, blocking, over `embedded-hal`.
//! - Anything else is a [`Plugin`]: it subscribes to [topics](topic), offers [tools](tool), submits [readings](reading).
//! - What a plugin needs of its node it gets through its [`Context`].
//!
//! ```
//! use sedge_plugin::prelude::*;
//! ```
//!
//! This crate is a leaf: no runtime, no I/O, nothing else of Sedge. It must stay so, because everyone depends on it.

pub mod clock;
pub mod context;
pub mod device;
pub mod directory;
pub mod duration;
pub mod expr;
pub mod field;
mod glob;
pub mod grant;
mod hash;
pub mod http;
mod id;
pub mod journal;
mod key;
pub mod manifest;
pub mod metrics;
pub mod plugin;
#[doc = include_str!("../PROMISES.md")]
pub mod promises {}
pub mod processor;
mod rate;
pub mod reading;
pub mod record;
pub mod schema;
mod secret;
pub mod sensor;
pub mod sim;
mod size;
pub mod testing;
pub mod tool;
pub mod topic;
pub mod topics;
mod unit;
pub mod wire;

pub use clock::Clock;
pub use context::{BoxFuture, Context};
pub use device::{BusError, Device, FileDevice, I2cDevice, SpiDevice};
pub use directory::{Directory, NodeInfo, PluginStatus, RemoteNode, SensorDescriptor, State};
pub use duration::Every;
pub use field::{Field, FieldKind};
pub use glob::glob;
pub use grant::{Grants, Requests};
pub use hash::fnv1a;
pub use id::{Id, IdError, MAX_LENGTH, Name, Rule, Word};
pub use journal::{Cursor, History};
pub use key::{KeyError, PublicKey};
pub use manifest::{Activation, Category, Manifest, PluginInfo, Requirement};
pub use plugin::{Claims, Plugin, PluginError, chain};
pub use processor::{Processor, ProcessorKind, Stage};
pub use rate::{Rate, RateError};
pub use reading::{Boot, Draft, Frame, Origin, Quality, Reading, Sample, Taken, Value};
pub use secret::{MASK, Secret};
pub use sensor::{
    Attachment, Driver, Identity, NoSettings, Operation, Sensor, SensorError, SensorKind, SpiMode, Sysfs,
};
pub use size::{Size, SizeError};
pub use tool::{
    Annotations, Progress, RemoteCaller, Tool, ToolCall, ToolError, ToolErrorCode, ToolOutcome, ToolPath,
    Tools,
};
pub use unit::Unit;

/// What a plugin's file imports: `use sedge_plugin::prelude::*;`
pub mod prelude {
    pub use crate::sim::{FileModel, I2cModel, SpiModel};
    pub use crate::topic::{Answer, Chained, Hooks, Link, Next, Observer, Options, Overflow, Step, Topic};
    pub use crate::topics;
    pub use crate::*;
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
