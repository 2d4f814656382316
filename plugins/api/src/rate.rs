//! Rates as people write them: `"60/min"`, `"5/s"`, `"1000/h"`.
//!
//! ```
//! use sedge_plugin::Rate;
//! let rate: Rate = "60/min".parse().unwrap();
//! assert_eq!((rate.most, rate.per.as_secs()), (60, 60));
//! assert!("60".parse::<Rate>().is_err(), "a minute? a second?");
//! ```

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The units, each with what it is called when it is printed.
const UNITS: &[(&[&str], u64)] = &[
    (&["s", "sec", "second"], 1),
    (&["min", "m", "minute"], 60),
    (&["h", "hour"], 3600),
    (&["d", "day"], 24 * 3600),
];

/// The highest number of a rate.
const HIGHEST: u32 = 1_000_000;

/// So many within a time. A config never has a bare number of something: a rate is a text with its unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least one.
    pub most: u32,
    /// Within which time: a second, a minute, an hour or a day.
    pub per: Duration,
}

impl Rate {
    /// So many a minute.
    pub const fn per_minute(most: u32) -> Self {
        Self { most, per: Duration::from_secs(60) }
    }
}

/// Why a text is not a [`Rate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate; write a whole number from 1 to 1000000 per s, min, h or d, such as \"60/min\"")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let read = || {
            let (most, unit) = text.split_once('/')?;
            let (most, unit) = (most.trim(), unit.trim());
            let most = most.bytes().all(|b| b.is_ascii_digit()).then(|| most.parse().ok()).flatten()?;
            let (_, seconds) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
            (1..=HIGHEST).contains(&most).then(|| Self { most, per: Duration::from_secs(*seconds) })
        };
        read().ok_or_else(|| RateError(text.into()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, seconds)| *seconds == self.per.as_secs());
        write!(f, "{}/{}", self.most, unit.map_or("s", |(names, _)| names[0]))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "rate", "examples": ["60/min"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it_and_printed_so_that_it_is_read_again() {
        for (text, most, seconds) in
            [("60/min", 60, 60), ("5 / s", 5, 1), ("1/h", 1, 3600), ("10/day", 10, 86_400), ("7/m", 7, 60)]
        {
            let rate: Rate = serde_json::from_value(text.into()).unwrap();
            assert_eq!((rate.most, rate.per.as_secs()), (most, seconds), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_and_the_error_shows_how() {
        for text in ["", "60", "/min", "0/min", "-1/s", "+1/s", "1.5/s", "60/fortnight", "9999999/s", "1/s/s"]
        {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.to_string().contains("60/min"), "{error}");
        }
    }
}
