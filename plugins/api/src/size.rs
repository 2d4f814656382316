//! Sizes as people write them: `"10MB"`, `"512KiB"`.
//!
//! ```
//! use sedge_plugin::Size;
//! assert_eq!(Size::parse("10MB"), Ok(Size(10_000_000)));
//! assert!(Size::parse("10").is_err(), "bytes? pages?");
//! ```

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

const UNITS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A number of bytes. A config never has a bare number of something: a size is a text with its unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is not a whole number with a unit, or more than 64 bits hold.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let read = || {
            let (digits, factor) =
                UNITS.iter().find_map(|(unit, n)| Some((text.trim().strip_suffix(unit)?, n)))?;
            let digits = digits.trim_end();
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let number: u64 = plain.then(|| digits.parse().ok()).flatten()?;
            number.checked_mul(*factor).map(Self)
        };
        read().ok_or_else(|| SizeError(text.into()))
    }
}

/// Why a text is not a [`Size`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write a whole number with its unit, such as \"10MB\" or \"512KiB\"")]
pub struct SizeError(String);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &&(&str, u64)| self.0 >= unit.1 && self.0.is_multiple_of(unit.1);
        let (unit, n) = UNITS.iter().filter(fits).max_by_key(|unit| unit.1).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / n)
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "size", "examples": ["10MB"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_people_write_it_and_printed_so_that_it_is_read_again() {
        for (text, bytes) in [
            ("10MB", 10_000_000),
            ("10 MB", 10_000_000),
            ("512KiB", 524_288),
            ("7B", 7),
            ("2GB", 2_000_000_000),
            ("64kB", 64_000),
        ] {
            let size: Size = serde_json::from_value(text.into()).unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(Size::parse(&size.to_string()), Ok(size), "{text}");
        }
    }

    #[test]
    fn a_bare_number_and_nonsense_are_refused_and_the_error_shows_how() {
        for text in ["10", "MB", "-1MB", "1.5MB", "10 parsecs", "", "99999999999999GB", "+1MB"] {
            let error = serde_json::from_value::<Size>(text.into()).unwrap_err();
            assert!(error.to_string().contains("10MB"), "{error}");
        }
    }
}
