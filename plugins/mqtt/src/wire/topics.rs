//! Topics: where each thing of a node stands.
//!
//! ```
//! use sedge_mqtt::wire::{Base, Topics};
//! use sedge_plugin::Id;
//! let topics = Topics::new(Base::new("sedge/v1").unwrap(), Id::new("pi-kitchen").unwrap());
//! assert_eq!(topics.reading(&Id::new("air").unwrap()), "sedge/v1/pi-kitchen/reading/air");
//! ```
//!
//! A topic is built here or not at all, so that the contract stands in one file.

use std::fmt;

use sedge_plugin::{Id, Name};

/// The longest base. MQTT allows 65 535 bytes for a topic; nobody reads that.
const MAX_BASE_BYTES: usize = 128;

/// The longest topic at which an answer may be asked for.
const MAX_REPLY_BYTES: usize = 256;

/// The most levels behind `_reply/`: a broker may cut off whoever publishes to a topic of too many.
const MAX_REPLY_LEVELS: usize = 8;

/// Why a text is not a [`Base`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a base for topics; write levels such as `sedge/v1`, without `+`, `#`, `$` or empty levels"
)]
pub struct BaseError(String);

/// What stands in front of every topic: `sedge/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// Checks a base.
    pub fn new(text: &str) -> Result<Self, BaseError> {
        let legal = |level: &str| !level.is_empty() && !level.contains(['+', '#', '\0']);
        if text.len() > MAX_BASE_BYTES || text.starts_with(['$', '_']) || !text.split('/').all(legal) {
            return Err(BaseError(text.into()));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A filter under this base: `filter("+/status")`.
    pub fn filter(&self, under: &str) -> String {
        format!("{}/{under}", self.0)
    }

    /// Where a client has the answers of a tool sent.
    pub fn reply(&self, client: &str, node: &Id, tool: &str) -> String {
        format!("{}/_reply/{client}/{node}/{tool}", self.0)
    }

    /// Whether an answer may be sent to `topic`. Only under `_reply/`: otherwise a caller could have the node
    /// publish anywhere, with the node's rights. And only to a topic that every broker takes: one that cuts the node
    /// off would do so again and again.
    pub fn may_reply_to(&self, topic: &str) -> bool {
        let Some(under) = topic.strip_prefix(self.as_str()).and_then(|rest| rest.strip_prefix("/_reply/"))
        else {
            return false;
        };
        topic.len() <= MAX_REPLY_BYTES
            && under.split('/').count() <= MAX_REPLY_LEVELS
            && under.split('/').all(|level| !level.is_empty())
            && !under.contains(|c: char| matches!(c, '+' | '#') || c.is_control())
    }

    /// What stands at `topic`; none where it is not one of this contract.
    pub fn place(&self, topic: &str) -> Option<Place> {
        let under = topic.strip_prefix(self.as_str())?.strip_prefix('/')?;
        let levels: Vec<&str> = under.splitn(6, '/').collect();
        let id = |level: &str| Id::new(level).ok();
        let name = |level: &str| Name::new(level).ok();
        Some(match levels[..] {
            ["_reply", client, node, tool] => Place::Reply(client.into(), id(node)?, name(tool)?),
            [node, "status"] => Place::Status(id(node)?),
            [node, "info"] => Place::Info(id(node)?),
            [node, "sensor", sensor] => Place::Sensor(id(node)?, id(sensor)?),
            [node, "reading", sensor] => Place::Reading(id(node)?, id(sensor)?),
            [node, "backlog", sensor] => Place::Backlog(id(node)?, id(sensor)?),
            [node, "health", component] => Place::Health(id(node)?, id(component)?),
            [node, "event", kind] => Place::Event(id(node)?, kind.into()),
            [node, "alarm", alarm] => Place::Alarm(id(node)?, alarm.into()),
            [node, "tool", tool] => Place::Tool(id(node)?, name(tool)?),
            [node, "tool", tool, "call"] => Place::Call(id(node)?, tool.into()),
            [node, "tool", tool, "result"] => Place::Result(id(node)?, name(tool)?),
            _ => return None,
        })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands at a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `online` or `offline` of a node.
    Status(Id),
    /// A node's birth document.
    Info(Id),
    /// The descriptor of a node's sensor.
    Sensor(Id, Id),
    /// A reading of a node's sensor.
    Reading(Id, Id),
    /// Readings of a node's sensor from an outage.
    Backlog(Id, Id),
    /// How a component of a node fares.
    Health(Id, Id),
    /// Something happened on a node.
    Event(Id, String),
    /// Something is wrong on a node.
    Alarm(Id, String),
    /// The descriptor of a node's tool.
    Tool(Id, Name),
    /// A call of a node's tool; as the caller wrote it, and maybe not a name.
    Call(Id, String),
    /// The result of a call that named no other place.
    Result(Id, Name),
    /// A result for a client, of a node's tool.
    Reply(String, Id, Name),
}

/// The topics of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    base: Base,
    stem: String,
}

impl Topics {
    /// The topics of `node`.
    pub fn new(base: Base, node: Id) -> Self {
        let stem = format!("{base}/{node}");
        Self { base, stem }
    }

    /// The base.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// `online` or `offline`.
    pub fn status(&self) -> String {
        format!("{}/status", self.stem)
    }

    /// The birth document.
    pub fn info(&self) -> String {
        format!("{}/info", self.stem)
    }

    /// A sensor's descriptor.
    pub fn sensor(&self, sensor: &Id) -> String {
        format!("{}/sensor/{sensor}", self.stem)
    }

    /// A sensor's readings.
    pub fn reading(&self, sensor: &Id) -> String {
        format!("{}/reading/{sensor}", self.stem)
    }

    /// A sensor's readings from an outage, many in one message.
    pub fn backlog(&self, sensor: &Id) -> String {
        format!("{}/backlog/{sensor}", self.stem)
    }

    /// What stands in front of all topics of a kind: of all `sensor`s, say.
    pub(crate) fn stem(&self, kind: &str) -> String {
        format!("{}/{kind}/", self.stem)
    }

    /// How a component fares.
    pub fn health(&self, component: &Id) -> String {
        format!("{}/health/{component}", self.stem)
    }

    /// Something happened.
    pub fn event(&self, kind: &str) -> String {
        format!("{}/event/{kind}", self.stem)
    }

    /// A tool's descriptor.
    pub fn tool(&self, tool: &Name) -> String {
        format!("{}/tool/{tool}", self.stem)
    }

    /// Where a tool is called.
    pub fn call(&self, tool: &str) -> String {
        format!("{}/tool/{tool}/call", self.stem)
    }

    /// Where all tools of the node are called: a filter.
    pub fn calls(&self) -> String {
        self.call("+")
    }

    /// Results for callers that named no other place.
    pub fn result(&self, tool: &str) -> String {
        format!("{}/tool/{tool}/result", self.stem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base::new("site/sedge/v1").unwrap()
    }

    #[test]
    fn every_topic_that_is_built_is_found_again() {
        let (node, sensor, tool) =
            (Id::new("pi").unwrap(), Id::new("air-1").unwrap(), Name::new("set").unwrap());
        let topics = Topics::new(base(), node.clone());
        for (topic, place) in [
            (topics.status(), Place::Status(node.clone())),
            (topics.info(), Place::Info(node.clone())),
            (topics.sensor(&sensor), Place::Sensor(node.clone(), sensor.clone())),
            (topics.reading(&sensor), Place::Reading(node.clone(), sensor.clone())),
            (topics.backlog(&sensor), Place::Backlog(node.clone(), sensor.clone())),
            (topics.health(&sensor), Place::Health(node.clone(), sensor.clone())),
            (topics.event("readings_dropped"), Place::Event(node.clone(), "readings_dropped".into())),
            (topics.tool(&tool), Place::Tool(node.clone(), tool.clone())),
            (topics.call("set"), Place::Call(node.clone(), "set".into())),
            (topics.result("set"), Place::Result(node.clone(), tool.clone())),
            (base().reply("cli", &node, "set"), Place::Reply("cli".into(), node.clone(), tool.clone())),
        ] {
            assert_eq!(base().place(&topic), Some(place), "{topic}");
        }
    }

    #[test]
    fn a_topic_of_somebody_else_is_nobodys_place() {
        for topic in [
            "",
            "site/sedge/v1",
            "site/sedge/v1/",
            "site/sedge/v10/pi/status",
            "site/sedge/v1/Pi/status",
            "site/sedge/v1/pi/reading/a/b",
            "site/sedge/v1/pi/tool/set/call/more",
            "site/sedge/v1/_reply/cli/pi/set/a/b/c",
        ] {
            assert_eq!(base().place(topic), None, "{topic}");
        }
    }

    #[test]
    fn a_base_with_wildcards_or_empty_levels_is_refused() {
        for text in ["", "/", "a/", "/a", "a//b", "a/+", "#", "$SYS", "_reply", "a\0"] {
            assert!(Base::new(text).is_err(), "{text}");
        }
        assert!(Base::new(&"a".repeat(MAX_BASE_BYTES + 1)).is_err());
    }

    #[test]
    fn answers_go_only_under_reply_and_never_to_a_wildcard() {
        assert!(base().may_reply_to("site/sedge/v1/_reply/cli/pi/set"));
        for topic in [
            "site/sedge/v1/pi/status",
            "site/sedge/v1/_reply/",
            "site/sedge/v1/_reply",
            "site/sedge/v1/_reply/+/x",
            "site/sedge/v1/_reply/#",
            "site/sedge/v1/_replyx/a",
            "other/site/sedge/v1/_reply/a",
            "",
        ] {
            assert!(!base().may_reply_to(topic), "{topic}");
        }
        assert!(!base().may_reply_to(&format!("site/sedge/v1/_reply/{}", "a".repeat(MAX_REPLY_BYTES))));
    }

    #[test]
    fn answers_go_only_to_topics_that_every_broker_takes() {
        let reply = |under: &str| base().may_reply_to(&format!("site/sedge/v1/_reply/{under}"));
        assert!(reply("a/b/c/d/e/f/g/h"));
        for under in ["a/b/c/d/e/f/g/h/i", "/", "a/", "/a", "a//b", "a\0", "a\n", "a\u{7f}", "a\u{85}"] {
            assert!(!reply(under), "{under:?}");
        }
        assert!(!reply(&"/".repeat(220)), "Mosquitto cuts off whoever publishes to more than 200 levels");
    }
}
