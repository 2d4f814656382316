//! What a node can be told about: the kinds of buses, sensors, plugins and other instances that it has.
//!
//! The composition root fills it from its tables of kinds, because the config knows no plugin. It must not hold
//! anything that runs: a row is a name, a schema and what it sits on.

use std::fmt;

use sedge_plugin::grant::Requests;
use serde_json::Value;

/// The sections of the file that hold instances, such as `[sensor.ID]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// A bus that devices are on.
    Bus,
    /// A sensor.
    Sensor,
    /// Something on a GPIO line, such as a relay.
    Gpio,
    /// A plugin. Its kind is its name unless it says another.
    Plugin,
    /// Something that works on readings.
    Processor,
    /// Something that readings go to.
    Destination,
    /// Another node, whose readings and tools are used here. It has no kind.
    Remote,
    /// A rule about who may call a tool, and when. It has no kind.
    Guard,
    /// Somebody who signs calls. It has no kind.
    Caller,
}

impl Section {
    /// All of them, in the order in which they are read.
    pub const ALL: [Self; 9] = [
        Self::Bus,
        Self::Sensor,
        Self::Gpio,
        Self::Plugin,
        Self::Processor,
        Self::Destination,
        Self::Remote,
        Self::Guard,
        Self::Caller,
    ];

    /// The word in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Sensor => "sensor",
            Self::Gpio => "gpio",
            Self::Plugin => "plugin",
            Self::Processor => "processor",
            Self::Destination => "destination",
            Self::Remote => "remote",
            Self::Guard => "guard",
            Self::Caller => "caller",
        }
    }

    /// The section that a word of the file names.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.word() == word)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One kind of instance.
#[derive(Debug, Clone)]
pub struct Kind {
    /// The section that it is used in.
    pub section: Section,
    /// What `kind = "…"` says; for a plugin its name, which is its id too.
    pub name: String,
    /// JSON Schema of the kind's own settings, without the keys that all instances of its section have.
    pub schema: Value,
    /// The I2C addresses that it can have, the usual one first. Empty: it is no chip on I2C.
    pub addresses: Vec<u8>,
    /// The kinds of buses that can serve it, such as `i2c`, `spi`, `w1` or `gpio`; for a kind of bus those that it can be
    /// on itself. Empty: it needs none, or nothing is known.
    pub buses: Vec<String>,
    /// For a plugin that is not compiled in: what it is like.
    pub outside: Option<Traits>,
}

/// What is known of a plugin from outside before it runs.
#[derive(Debug, Clone, Default)]
pub struct Traits {
    /// What it asks for.
    pub requests: Requests,
    /// Whether it is a WebAssembly component.
    pub wasm: bool,
}

impl Kind {
    /// Whether it is on a bus.
    pub(crate) fn needs_bus(&self) -> bool {
        !self.buses.is_empty() || !self.addresses.is_empty()
    }

    /// The kinds of buses that can serve it, without those that stand in for others.
    pub(crate) fn real_buses(&self) -> impl Iterator<Item = &str> {
        self.buses.iter().map(String::as_str).filter(|bus| !STAND_INS.contains(bus))
    }
}

/// The kinds of buses that stand in for others.
const STAND_INS: [&str; 2] = ["sim", "replay"];

/// All kinds that a node has.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// In the order in which they are offered to people.
    pub kinds: Vec<Kind>,
    /// Plugins that are there and cannot be used, by name, each with what is wrong with it.
    pub broken: Vec<(String, String)>,
    /// Ids that are taken without a section of their own, each with the section that is about it.
    pub reserved: Vec<(String, String)>,
    /// Checks an expression, such as a guard's `only_if`. Without it: any text is one.
    pub expression: Option<CheckExpression>,
}

/// Says of an expression at which of its bytes it is wrong, and why.
pub type CheckExpression = fn(&str) -> Result<(), (usize, String)>;

impl Catalogue {
    /// The kind that a section calls `name`.
    #[must_use]
    pub fn find(&self, section: Section, name: &str) -> Option<&Kind> {
        self.names(section).find(|kind| kind.name == name)
    }

    /// The kinds of one section.
    pub(crate) fn names(&self, section: Section) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(move |kind| kind.section == section)
    }
}
