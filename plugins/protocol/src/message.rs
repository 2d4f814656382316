//! The messages, as types.
//!
//! A message of an unknown type, and what a message has beyond what is known, is ignored: that is how the protocol grows.
//! An unknown [`Ask`] or [`Call`] is answered with an error, since somebody waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sedge_plugin::grant::Grants;
use sedge_plugin::topics::Severity;
use sedge_plugin::{Id, Name, Tool, ToolError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

/// What a plugin says to its node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToNode {
    /// The first message, always a line of JSON.
    Hello(HelloMessage),
    /// It is set up: the answer to [`ToPlugin::Welcome`].
    Ready {
        /// The tools that it offers: those of its manifest, no others.
        #[serde(default)]
        tools: Vec<Tool>,
        /// How often it wants [`Call::Tick`]; never, where it does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every_ms: Option<u64>,
    },
    /// It could not be set up: the other answer to [`ToPlugin::Welcome`].
    Failed {
        /// What that means for trying again.
        why: Why,
        /// What happened and what to do.
        message: String,
    },
    /// The answer to a [`ToPlugin::Call`].
    Ok {
        /// The call's id.
        id: u64,
        /// What the call asks for.
        #[serde(default)]
        result: Json,
    },
    /// The other answer to a [`ToPlugin::Call`].
    Error {
        /// The call's id.
        id: u64,
        /// Why there is no result.
        error: ToolError,
    },
    /// How far a tool is.
    Progress {
        /// The call's id.
        id: u64,
        /// From 0 to 1, as far as known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction: Option<f64>,
        /// What is being done.
        #[serde(default)]
        text: String,
    },
    /// A line for the log.
    Log {
        /// `error`, `warn`, `info`, `debug` or `trace`.
        level: String,
        /// The line.
        text: String,
    },
    /// It can take so many more events.
    Credit {
        /// How many.
        n: u32,
    },
    /// The answer to [`ToPlugin::Ping`].
    Pong {
        /// The ping's id.
        id: u64,
    },
    /// It wants something of the node, which answers [`ToPlugin::Ok`] or [`ToPlugin::Error`].
    Ask {
        /// A number of the plugin's own.
        id: u64,
        /// What it wants.
        #[serde(flatten)]
        ask: Ask,
    },
    /// A message of a later version.
    #[serde(other)]
    Unknown,
}

/// What a node says to a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one welcome per start; the rest is moved once")]
pub enum ToPlugin {
    /// The answer to [`ToNode::Hello`], always a line of JSON. What follows is in the encoding that it names.
    Welcome {
        /// The protocol that the node speaks.
        protocol: Version,
        /// The topics that it has.
        api: Version,
        /// How all that follows is encoded.
        encoding: Encoding,
        /// What the node understands beyond the protocol's version.
        #[serde(default)]
        features: Vec<String>,
        /// The instance: `attic`.
        id: Id,
        /// The plugin, as its manifest calls it.
        plugin: String,
        /// The node.
        node: Id,
        /// The instance's settings, checked against the schema of the manifest.
        settings: Json,
        /// What it holds of what its manifest asks for.
        grants: Grants,
        /// What it must stay within.
        limits: Limits,
        /// A directory of its own, where that is granted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_dir: Option<String>,
        /// Of a plugin that is a kind of sensor: what its section says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sensor: Option<SensorWelcome>,
        /// The node's config, secrets masked, where that is granted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config: Option<Json>,
    },
    /// It is to do something, and to answer [`ToNode::Ok`] or [`ToNode::Error`].
    Call {
        /// A number of the node's own.
        id: u64,
        /// What it is to do.
        #[serde(flatten)]
        call: Call,
    },
    /// A message of an observed topic. Each takes one from the plugin's credit.
    Event {
        /// The topic's name.
        topic: String,
        /// The message.
        message: Json,
    },
    /// Nobody waits for this call any more. It may be answered all the same.
    Cancel {
        /// The call's id.
        id: u64,
    },
    /// Is it alive? Asked only while it has nothing to do.
    Ping {
        /// A number of the node's own.
        id: u64,
    },
    /// The answer to a [`ToNode::Ask`].
    Ok {
        /// The ask's id.
        id: u64,
        /// What was asked for.
        #[serde(default)]
        result: Json,
    },
    /// The other answer to a [`ToNode::Ask`].
    Error {
        /// The ask's id.
        id: u64,
        /// Why there is no result.
        error: ToolError,
    },
    /// A message of a later version.
    #[serde(other)]
    Unknown,
}

/// Who a plugin is, and what it understands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HelloMessage {
    /// The protocol that it speaks.
    pub protocol: Version,
    /// Its name, as in its manifest.
    pub plugin: String,
    /// Its version, as in its manifest.
    pub version: String,
    /// What it is written with: `python/0.1.0`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sdk: String,
    /// What it can read and write, the preferred first. JSON where it does not say.
    #[serde(default)]
    pub encodings: Vec<Encoding>,
    /// What it understands beyond the protocol's version.
    #[serde(default)]
    pub features: Vec<String>,
    /// How many events it takes before it has granted more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<u32>,
}

/// What a plugin is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Call {
    /// Runs one of its tools. Answer: the tool's result.
    Tool {
        /// Which one.
        tool: Name,
        /// The arguments, which fit the tool's schema.
        args: Json,
        /// Who calls, as far as known.
        #[serde(default)]
        from: String,
        /// How long the caller waits.
        timeout_ms: u64,
    },
    /// Takes a reading; of a plugin that is a kind of sensor. Answer: a frame: `{"temperature": 21.5, "humidity": null}`.
    Read,
    /// Its time has come, as it wished. Answer: null.
    Tick,
    /// Looks at a message of a chain. Answer: `"pass"`, `{"replace": message}` or `{"veto": "reason"}`.
    Step {
        /// The topic's name.
        topic: String,
        /// The message.
        message: Json,
    },
    /// Answers a collect or a first topic. Answer: the topic's; null passes.
    Answer {
        /// The topic's name.
        topic: String,
        /// The message.
        message: Json,
    },
    /// Takes readings away; of a plugin of category `destination`. They come in order, and again until this is answered with `ok`:
    /// then they have arrived.
    Deliver {
        /// The readings, as messages of the topic `deliver`.
        readings: Vec<Json>,
    },
    /// Makes its hardware safe, hands on what it has, and ends once this is answered.
    Stop {
        /// After so long it is killed.
        grace_ms: u64,
    },
    /// A call of a later version.
    #[serde(other)]
    Unknown,
}

/// What a plugin wants of its node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Ask {
    /// Sends a frame on the path of a reading. Answer: null.
    Submit {
        /// The sensor: the plugin's own id, or one that begins with it and `-`.
        sensor: Id,
        /// The fields: `{"temperature": 21.5}`; null, or `{"missing": "reason"}`, for what could not be measured.
        frame: Json,
    },
    /// Sends bytes on the path of a reading, for whoever knows their format. Answer: null.
    SubmitRaw {
        /// The sensor.
        sensor: Id,
        /// What they are.
        format: String,
        /// The bytes.
        bytes: Bytes,
    },
    /// Makes a sensor known. Answer: null.
    Announce {
        /// The sensor.
        sensor: Id,
        /// What it is.
        #[serde(default)]
        kind: String,
        /// Its fields: of each `unit`, and what there is of `kind`, `class`, `precision`, `min`, `max`.
        fields: BTreeMap<Name, Json>,
        /// How often it is read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interval_ms: Option<u64>,
    },
    /// Takes a sensor back. Answer: null.
    Withdraw {
        /// The sensor.
        sensor: Id,
    },
    /// Calls a tool of another plugin. Answer: the tool's result. Grant: `tools`.
    Call {
        /// `pump_set`, or `greenhouse/pump_set`.
        tool: String,
        /// The arguments.
        #[serde(default)]
        args: Json,
        /// How long to wait at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// Raises an event. Answer: null.
    Event {
        /// What, for machines.
        kind: Name,
        /// How much it matters.
        severity: Severity,
        /// What, for people.
        text: String,
        /// More.
        #[serde(default)]
        data: Json,
    },
    /// The newest reading of a sensor. Answer: as a message of `deliver`, or null. Grant: the topic `deliver`.
    Latest {
        /// The sensor.
        sensor: Id,
    },
    /// What the node has. Answer: `{"node", "sensors", "tools", "plugins"}`. Grant: `config`.
    Directory,
    /// What was kept under a key. Answer: the value, or null.
    Load {
        /// The key.
        key: String,
    },
    /// Keeps a value. Answer: null.
    Store {
        /// The key.
        key: String,
        /// The value.
        value: Json,
    },
    /// Forgets a value. Answer: null.
    Forget {
        /// The key.
        key: String,
    },
    /// It failed over a message of an observed topic, which has no answer. Told to all who listen for failures. Answer: null.
    EventFailed {
        /// The topic.
        topic: String,
        /// What went wrong.
        error: String,
    },
    /// Runs with something amiss, or (none) is well again. Answer: null.
    Degraded {
        /// What is amiss.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Adds to a counter, or sets a gauge, of the plugin's own. Answer: null.
    Metric {
        /// Its name.
        name: Name,
        /// For people.
        #[serde(default)]
        help: String,
        /// Added to a counter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        add: Option<u64>,
        /// What a gauge stands at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set: Option<f64>,
    },
    /// Transfers over I2C, without letting go of the bus. Answer: `{"read": ["0a1b", …]}`, one text per read, in order.
    /// Grant: `i2c`.
    I2c {
        /// The label of the device; `device` is the one of a sensor's own section.
        device: String,
        /// What is written and read.
        operations: Vec<I2cOperation>,
    },
    /// Reads or sets a GPIO line. Answer: `{"level": true}`. Grant: `gpio`.
    Gpio {
        /// The label of the line.
        line: String,
        /// What is to be done.
        #[serde(flatten)]
        operation: GpioOperation,
    },
    /// Sends a request over HTTP. Answer: `{"status", "headers", "body"}`. Grant: `hosts`.
    Http {
        /// `GET`, `POST`, …
        method: String,
        /// `https://api.example.org/now`.
        url: String,
        /// Headers.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// The body, a text.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        body: String,
        /// How long to wait at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// What a later version may want.
    #[serde(other)]
    Unknown,
}

/// One part of a transfer over I2C.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum I2cOperation {
    /// These bytes are written.
    Write(Bytes),
    /// So many bytes are read.
    Read(u16),
}

/// What is done with a GPIO line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpioOperation {
    /// It is set, high or low.
    Set(bool),
    /// It is read: `"get": true`.
    Get(bool),
}

/// Of a plugin that is a kind of sensor: what its section says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorWelcome {
    /// How often it is read.
    pub every_ms: u64,
    /// Where the device sits, where it is one on I2C: what the label `device` reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<u8>,
}

/// What a plugin must stay within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest message, in bytes.
    pub message: usize,
    /// Asks under way at once.
    pub in_flight: usize,
    /// Memory, in bytes.
    pub memory: u64,
    /// Until it must be ready, in milliseconds.
    pub start_ms: u64,
}

/// What a failed set-up means for trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its settings are wrong: not before the config changes.
    Settings,
    /// Something that it needs is not there: it is skipped, and tried again later.
    Unmet,
    /// It tried and failed.
    Failed,
}

/// How messages are encoded after the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// A line of JSON each.
    #[default]
    Json,
    /// Four bytes of length, high byte first, and a map of MessagePack.
    Msgpack,
    /// One of a later version.
    Unknown,
}

impl Serialize for Encoding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Unknown => "unknown",
        })
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match &*String::deserialize(deserializer)? {
            "json" => Self::Json,
            "msgpack" => Self::Msgpack,
            _ => Self::Unknown,
        })
    }
}

/// Bytes; in a message hexadecimal digits, so that a person can read them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an even number of hexadecimal digits");
        if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong());
        (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Self)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A version: `1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Equal on both sides, or they do not understand each other.
    pub major: u16,
    /// What was added.
    pub minor: u16,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version such as `1.0`")]
pub struct VersionError(String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let number = |text: &str| text.parse().ok();
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let parts = number(major).zip(number(minor));
        parts
            .map(|(major, minor)| Self { major, minor })
            .ok_or_else(|| VersionError(text.chars().take(40).collect()))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
