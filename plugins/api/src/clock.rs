//! The clock that everything is given, so that tests can turn its hands.

use std::time::Duration;

use crate::reading::Taken;

/// Wall times before this are a board's guess, not the time: 2026-01-01T00:00:00Z, in milliseconds.
pub const EARLIEST_WALL_MS: i64 = 1_767_225_600_000;

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Time since the machine booted. Never goes back, runs on through a suspend.
    fn up(&self) -> Duration;

    /// Milliseconds since 1970-01-01 UTC; none while the time is not known.
    fn wall_ms(&self) -> Option<i64>;

    /// Both, for a reading.
    fn taken(&self) -> Taken {
        let up_ms = u64::try_from(self.up().as_millis()).unwrap_or(u64::MAX);
        Taken { up_ms, wall_ms: self.wall_ms() }
    }
}

/// A wall time as the wire carries it: RFC 3339 in UTC with milliseconds.
///
/// ```
/// assert_eq!(sedge_plugin::clock::rfc3339(1_795_195_704_123), "2026-11-20T17:28:24.123Z");
/// ```
pub fn rfc3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map(|ts| format!("{ts:.3}")).unwrap_or_default()
}

/// The inverse of [`rfc3339`]; none where the text is not a time.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|ts| ts.as_millisecond())
}
