//! Durations as people write them: `"10s"`, `"500ms"`, `"1h 30m"`.
//!
//! A config never has a bare number of something: a duration is a text with its unit.
//!
//! ```
//! use std::time::Duration;
//! assert_eq!(sedge_plugin::duration::parse("1m 30s").unwrap(), Duration::from_secs(90));
//! assert!(sedge_plugin::duration::parse("10").is_err());
//! ```

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest duration that a config may name: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write a number with its unit, such as \"10s\", \"500ms\" or \"1h 30m\"")]
pub struct DurationError(String);

/// Reads a duration: numbers with the units `ms`, `s`, `m`, `h`, `d` and the usual longer spellings.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.into());
    if text.contains(':') {
        return Err(wrong()); // A time of day is no duration.
    }
    // A week has no fixed place in a clock time, so jiff takes up to hours; days are 24 hours here.
    let (days, rest) = match text.trim().split_once(['d']) {
        Some((n, rest)) if n.trim().bytes().all(|b| b.is_ascii_digit()) && !n.trim().is_empty() => {
            let rest = rest.strip_prefix("ays").or(rest.strip_prefix("ay")).unwrap_or(rest);
            (n.trim().parse::<u32>().map_err(|_| wrong())?, rest.trim())
        }
        _ => (0, text.trim()),
    };
    let rest = match rest {
        "" if days > 0 => Duration::ZERO,
        rest => {
            let signed: jiff::SignedDuration = rest.parse().map_err(|_| wrong())?;
            Duration::try_from(signed).map_err(|_| wrong())?
        }
    };
    let whole = Duration::from_secs(u64::from(days) * 24 * 3600).checked_add(rest).ok_or_else(wrong)?;
    if whole > LONGEST { Err(wrong()) } else { Ok(whole) }
}

/// A duration in a plugin's settings.
///
/// ```
/// # use sedge_plugin::Every;
/// let every: Every = serde_json::from_str("\"10s\"").unwrap();
/// assert_eq!(every.0.as_secs(), 10);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Every(pub Duration);

impl Every {
    /// That many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            m if m % 3_600_000 == 0 => write!(f, "{}h", m / 3_600_000),
            m if m % 60_000 == 0 => write!(f, "{}m", m / 60_000),
            m if m % 1000 == 0 => write!(f, "{}s", m / 1000),
            m => write!(f, "{m}ms"),
        }
    }
}

impl fmt::Debug for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Every {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Every {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration", "examples": ["10s"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_as_people_write_it() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("1d 1h", 90_000_000),
            ("0.5s", 500),
        ] {
            assert_eq!(parse(text).unwrap().as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn a_bare_number_a_negative_and_nonsense_are_refused() {
        for text in ["10", "", "-5s", "10:00:00", "soon", "10 parsecs", "999999999999h", "d", "1dd"] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains("10s"), "{error}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for every in [Every::secs(1), Every::secs(90), Every::secs(7200), Every(Duration::from_millis(1500))]
        {
            assert_eq!(parse(&every.to_string()).unwrap(), every.0);
        }
    }
}
