//! Ids and names: the words that appear in topics, in the config and in other systems.
//!
//! One rule for all of them, so that an id is legal in MQTT, Home Assistant, Homie and Sparkplug at once.
//!
//! ```
//! use sedge_plugin::{Id, Name};
//! assert!(Id::new("pi-kitchen").is_ok());
//! assert!(Id::new("Pi Kitchen").is_err());
//! assert_eq!(Id::from_host("Pi_Kitchen.local").as_str(), "pi-kitchen");
//! assert_eq!(Name::from_id(&Id::new("pump-1").unwrap(), Some("set")).unwrap().as_str(), "pump_1_set");
//! ```
//!
//! An id never starts with `_`: such topic levels are reserved.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use serde::{Deserialize, Serialize};

/// Longest id and longest name, in characters.
pub const MAX_LENGTH: usize = 31;

/// Why a text is not an [`Id`] or a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("is empty; use 1 to {MAX_LENGTH} characters")]
    Empty,
    /// More than [`MAX_LENGTH`] characters.
    #[error("`{0}` is {n} characters long; at most {MAX_LENGTH} are allowed", n = .0.chars().count())]
    TooLong(String),
    /// A character that is not allowed, and where.
    #[error("`{text}` has `{found}` at character {at}; {allowed}")]
    Illegal {
        /// The whole text.
        text: String,
        /// The first character that is not allowed.
        found: char,
        /// Its place, counted from 1.
        at: usize,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// What a kind of word allows. Sealed in effect: only [`Id`] and [`Name`] exist.
pub trait Rule: Copy {
    /// What a JSON Schema calls it.
    const FORMAT: &'static str;
    /// Said to a person whose word was refused.
    const ALLOWED: &'static str;
    /// Whether `c` may stand first (`first`) or later.
    fn allows(c: char, first: bool) -> bool;
}

/// The rule of an [`Id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdRule;

/// The rule of a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameRule;

impl Rule for IdRule {
    const FORMAT: &'static str = "sedge-id";
    const ALLOWED: &'static str =
        "an id has lower-case letters, digits and `-`, and starts with a letter or digit";
    fn allows(c: char, first: bool) -> bool {
        c.is_ascii_lowercase() || c.is_ascii_digit() || (!first && c == '-')
    }
}

impl Rule for NameRule {
    const FORMAT: &'static str = "sedge-name";
    const ALLOWED: &'static str = "a name has lower-case letters, digits and `_`, and starts with a letter";
    fn allows(c: char, first: bool) -> bool {
        c.is_ascii_lowercase() || (!first && (c.is_ascii_digit() || c == '_'))
    }
}

/// A checked word; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String", bound = "R: Rule")]
pub struct Word<R>(Arc<str>, PhantomData<R>);

/// The id of a node, a sensor, a plugin or any other component: `[a-z0-9][a-z0-9-]{0,30}`.
pub type Id = Word<IdRule>;

/// The name of a tool or of a field: `[a-z][a-z0-9_]{0,30}`.
pub type Name = Word<NameRule>;

impl<R: Rule> Word<R> {
    /// Checks a text.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if let Some((at, found)) = text.chars().enumerate().find(|&(at, c)| !R::allows(c, at == 0)) {
            return Err(IdError::Illegal { text: text.into(), found, at: at + 1, allowed: R::ALLOWED });
        }
        if text.len() > MAX_LENGTH {
            return Err(IdError::TooLong(text.into()));
        }
        Ok(Self::unchecked(text))
    }

    fn unchecked(text: &str) -> Self {
        Self(text.into(), PhantomData)
    }
}

impl<R> Word<R> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<R: Rule> JsonSchema for Word<R> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        R::FORMAT.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": R::FORMAT })
    }
}

impl<R> fmt::Display for Word<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<R> fmt::Debug for Word<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<R: Rule> TryFrom<String> for Word<R> {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl<R> From<Word<R>> for String {
    fn from(word: Word<R>) -> String {
        word.as_str().into()
    }
}

impl<R> Borrow<str> for Word<R> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Id {
    /// The id of a node whose host is called `host`: lower case, cut at the first dot, the rest of what is
    /// illegal turned to `-`, at most 31 characters. A host name with nothing legal in it gives `node`.
    pub fn from_host(host: &str) -> Self {
        let label = host.split('.').next().unwrap_or_default();
        Self::sanitized(label, "node")
    }

    /// The nearest legal id to a text from outside, such as a mount point or an interface.
    pub fn sanitized(text: &str, otherwise: &str) -> Self {
        let dashed: String = text
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .map(|c| if IdRule::allows(c, true) { c } else { '-' })
            .take(MAX_LENGTH)
            .collect();
        let trimmed = dashed.trim_matches('-');
        Self::unchecked(if trimmed.is_empty() { otherwise } else { trimmed })
    }
}

impl Name {
    /// The name of a tool: the id of its plugin with `-` turned to `_`, then the operation where there are several.
    pub fn from_id(id: &Id, operation: Option<&str>) -> Result<Self, IdError> {
        let stem = id.as_str().replace('-', "_");
        // A name starts with a letter, an id may start with a digit.
        let stem = if stem.starts_with(|c| NameRule::allows(c, true)) { stem } else { format!("n{stem}") };
        match operation {
            Some(operation) => Self::new(&format!("{stem}_{operation}")),
            None => Self::new(&stem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_a_legal_node_id() {
        for (host, id) in [
            ("raspberrypi", "raspberrypi"),
            ("Pi_Kitchen.fritz.box", "pi-kitchen"),
            ("...", "node"),
            ("", "node"),
            ("ÄÖÜ", "node"),
            ("-x-", "x"),
            ("a-host-name-that-is-far-longer-than-is-allowed", "a-host-name-that-is-far-longer"),
        ] {
            assert_eq!(Id::from_host(host).as_str(), id);
            assert!(Id::new(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn an_illegal_word_names_the_first_wrong_character() {
        let error = Id::new("pi_kitchen").unwrap_err();
        assert!(error.to_string().contains("`_` at character 3"), "{error}");
        assert_eq!(Id::new("").unwrap_err(), IdError::Empty);
        assert!(matches!(Id::new(&"a".repeat(32)), Err(IdError::TooLong(_))));
        assert!(Id::new("_reply").is_err());
        assert!(Name::new("9x").is_err());
        assert!(Name::new("relay-set").is_err());
    }
}
