//! What sits on a line of a chip, one file each: [`counter`], [`input`], [`power`], [`pwm`], [`relay`].
//!
//! ```toml
//! [gpio.front-door]
//! kind = "input"
//! bus = "gpio0"
//! line = 4
//! pull = "up"
//! active_low = true   # a contact to ground
//! ```

pub mod counter;
pub mod input;
pub mod power;
pub mod pwm;
pub mod relay;

use sedge_hal::LineError;
use sedge_plugin::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What holds the level of an input that nobody drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// Nothing.
    None,
    /// A resistor of the chip, to the high level.
    Up,
    /// A resistor of the chip, to the low level.
    Down,
    /// As the board has it.
    #[default]
    AsIs,
}

impl From<Pull> for sedge_hal::Pull {
    fn from(pull: Pull) -> Self {
        match pull {
            Pull::None => Self::None,
            Pull::Up => Self::Up,
            Pull::Down => Self::Down,
            Pull::AsIs => Self::AsIs,
        }
    }
}

/// What is told of a line that stands.
const ON: &[Field] = &[Field::new("on", Unit::None).kind(FieldKind::State)];

/// The sensor that a plugin on a line is.
fn descriptor<P: Plugin>(ctx: &Context, chip: &str, line: u32, fields: &[Field]) -> SensorDescriptor {
    let Manifest { name, version, .. } = P::MANIFEST;
    SensorDescriptor::new(ctx.id().clone(), name, version, &format!("{chip}/{line}"), fields)
}

/// Sends a reading of one field.
async fn tell(ctx: &Context, field: &'static str, value: impl Into<Value>) -> Result<(), PluginError> {
    let mut frame = Frame::default();
    frame.push(field, value);
    ctx.submit(ctx.id(), frame).await
}

fn at_least_a_second(every: Every) -> Result<(), PluginError> {
    match every < Every::secs(1) {
        true => Err(PluginError::Settings(format!("every = \"{every}\": at least 1s").into())),
        false => Ok(()),
    }
}

/// What a failing line means: of one that went nobody knows anything, and it may come back.
fn unclaimed(error: LineError) -> PluginError {
    match error {
        LineError::Gone(text) => PluginError::Unmet(text.into()),
        LineError::NoSuchLine { .. } | LineError::Unable { .. } => {
            PluginError::Settings(error.to_string().into())
        }
        error => failed(error),
    }
}

fn failed(error: impl std::error::Error) -> PluginError {
    PluginError::failed(error.to_string())
}

/// The name of a tool or an event, which begins with the plugin's id.
fn named(id: &Id, operation: &str) -> Result<Name, PluginError> {
    Name::from_id(id, Some(operation))
        .map_err(|error| PluginError::Settings(format!("`{operation}` needs a shorter id: {error}").into()))
}

/// A counter of the plugin's own.
fn metric(ctx: &Context, name: &str, help: &'static str) -> Result<metrics::Counter, PluginError> {
    ctx.counter(Name::new(name).map_err(failed)?, help).map_err(failed)
}

/// The arguments of a call.
fn arguments<T: DeserializeOwned>(call: &ToolCall) -> Result<T, ToolError> {
    T::deserialize(&call.args).map_err(|error| ToolError::new(ToolErrorCode::BadArgs, error.to_string()))
}

fn unknown(call: &ToolCall) -> Result<Json, ToolError> {
    Err(ToolError::new(ToolErrorCode::NotFound, format!("no tool `{}`", call.tool)))
}

fn tool_failed(error: impl std::fmt::Display) -> ToolError {
    ToolError::failed(error.to_string())
}

/// What the tests of these plugins share.
#[cfg(test)]
mod bench {
    use std::task::{Context as Waiting, Waker};

    use sedge_hal::{Lines, SimBus};
    use sedge_plugin::metrics::Metric;
    use sedge_plugin::testing::{TestNode, block_on};

    use super::*;

    /// A node with a chip. Its plugin is `x-1`, on line 17.
    pub struct Bench {
        pub node: TestNode,
        pub chip: SimBus,
        spawned: Vec<BoxFuture<'static, ()>>,
    }

    pub const LINE: u32 = 17;

    impl Bench {
        pub fn new() -> Self {
            let node = TestNode::new();
            let chip = SimBus::new("gpio0", node.clock());
            Self { node, chip, spawned: Vec::new() }
        }

        pub fn lines(&self) -> Lines {
            self.chip.lines()
        }

        pub fn try_setup<P: Plugin>(&self, args: &P::Args) -> Result<P, PluginError> {
            block_on(P::setup(args, self.node.context("x-1")))
        }

        pub fn setup<P: Plugin>(&mut self, args: &P::Args) -> P {
            let plugin = self.try_setup(args).unwrap_or_else(|error| panic!("{error}"));
            self.spawned.extend(self.node.spawned());
            plugin
        }

        /// Lets what was spawned do what there is to do.
        pub fn stir(&mut self) {
            let mut waiting = Waiting::from_waker(Waker::noop());
            self.spawned.retain_mut(|future| future.as_mut().poll(&mut waiting).is_pending());
        }

        pub fn is_idle(&self) -> bool {
            self.spawned.is_empty()
        }

        pub fn tick(&self, plugin: &mut impl Plugin) {
            block_on(plugin.tick()).unwrap_or_else(|error| panic!("{error}"));
        }

        /// What was told of a field since this was asked last.
        pub fn told(&self, field: &str) -> Vec<Value> {
            self.node.submitted().iter().filter_map(|draft| draft.frame.get(field).cloned()).collect()
        }

        pub fn metric(&self, name: &str) -> u64 {
            let metrics = self.node.context("x-1").metrics().snapshot();
            match metrics.iter().find(|row| row.name.as_str() == name).map(|row| &row.metric) {
                Some(Metric::Counter(n)) => *n,
                other => panic!("{name}: {other:?}"),
            }
        }

        pub fn call(&self, plugin: &mut impl Tools, operation: &str, args: Json) -> Result<Json, ToolError> {
            let tool =
                plugin.tools().into_iter().find(|tool| tool.name.as_str() == format!("x_1_{operation}"));
            let tool = tool.unwrap_or_else(|| panic!("no tool {operation}"));
            let schema = schema::Schema::compile(&tool.input_schema).unwrap();
            let wrong = schema.check(&args);
            match wrong.is_empty() {
                true => block_on(plugin.call(ToolCall::new(tool.name, args))),
                false => Err(ToolError::new(ToolErrorCode::BadArgs, format!("{wrong:?}"))),
            }
        }
    }

    pub fn settings<T: DeserializeOwned>(json: Json) -> T {
        serde_json::from_value(json).unwrap()
    }

    pub fn refused<P: Plugin>(result: Result<P, PluginError>) -> String {
        match result.err() {
            Some(PluginError::Settings(text)) => text.into_owned(),
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_table_names_every_file_in_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gpio");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let files: BTreeSet<String> = names
            .filter_map(|name| Some(name.to_str()?.strip_suffix(".rs")?.to_owned()))
            .filter(|name| name != "mod")
            .collect();
        let kinds: BTreeSet<String> = crate::GPIOS.iter().map(|kind| kind.name.to_owned()).collect();
        assert_eq!(files, kinds, "a kind has a file of its name in src/gpio and a row in GPIOS");
    }
}
