//! The engine of a node: the hook bus, plugins as supervised actors, tools, the path of a reading.
//!
//! | module | what it is |
//! |---|---|
//! | [`bus`] | typed hook topics between plugins |
//! | [`plugins`] | each plugin an actor, kept alive |
//! | [`tools`] | who offers what, and the way of a call |
//! | [`node`] | all of it together |
//!
//! It has never heard of I2C, MQTT or TOML. What plugins see of it is [`sedge_plugin`].

pub mod bus;
mod clock;
pub mod node;
mod path;
pub mod plugins;
mod state;
mod store;
pub mod tools;

pub use bus::{Bus, SubscriberView, Subscription, TopicView};
pub use clock::TokioClock;
pub use node::{Change, Changed, Node, NodeHandle, RunningNode, node_info};
pub use plugins::lifecycle::{End, Lifecycle, RestartPolicy, Todo};
pub use plugins::spec::PluginSpec;
pub use state::{CheckRequirement, Counts, Surroundings};
pub use tools::{Guard, ToolRegistry};
