//! The types of JSON as a small set, because a schema may allow several at once.

use std::fmt;
use std::ops::{BitAnd, BitOr};

use serde_json::Value;

/// A set of JSON types. An integer is a number without a fraction; [`Types::NUMBER`] has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types(u8);

impl Types {
    /// No type: nothing is allowed.
    pub const NONE: Self = Self(0);
    /// `null`, which TOML does not have.
    pub const NULL: Self = Self(1);
    /// `true` or `false`.
    pub const BOOLEAN: Self = Self(2);
    /// An integer.
    pub const INTEGER: Self = Self(4);
    /// An integer, or a number with a fraction.
    pub const NUMBER: Self = Self(4 | 8);
    /// A string.
    pub const STRING: Self = Self(16);
    /// An array.
    pub const ARRAY: Self = Self(32);
    /// An object; in TOML, a table.
    pub const OBJECT: Self = Self(64);
    /// Every type.
    pub const ALL: Self = Self(127);

    /// The type that a schema calls `name`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => return None,
        })
    }

    /// The type of a value. `1.0` is no integer.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(n) if n.is_f64() => Self(8),
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// Whether one of `other` is in this set.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self & other != Self::NONE
    }
}

impl BitOr for Types {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Types {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// As a person would say it: `an integer or a string`. `null` is named only when nothing else is allowed.
impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WORDS: [(Types, &str); 7] = [
            (Types::BOOLEAN, "true or false"),
            (Types::NUMBER, "a number"),
            (Types::INTEGER, "an integer"),
            (Types(8), "a number with a fraction"),
            (Types::STRING, "a string"),
            (Types::ARRAY, "an array"),
            (Types::OBJECT, "a table (object)"),
        ];
        let mut left = *self;
        let mut words = Vec::new();
        for (types, word) in WORDS {
            if left & types == types {
                words.push(word);
                left = Self(left.0 & !types.0);
            }
        }
        match words.as_slice() {
            [] if self.overlaps(Self::NULL) => f.write_str("null"),
            [] => f.write_str("nothing"),
            words => f.write_str(&words.join(" or ")),
        }
    }
}
