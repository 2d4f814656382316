//! A clock that goes with tokio's, and stands still where that is paused.

use std::time::Duration;

use sedge_plugin::Clock;
use sedge_plugin::clock::EARLIEST_WALL_MS;
use tokio::time::Instant;

/// Counts from its making; its wall time begins at the start of 2026.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    start: Instant,
}

impl Default for TokioClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn up(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall_ms(&self) -> Option<i64> {
        Some(EARLIEST_WALL_MS + i64::try_from(self.up().as_millis()).unwrap_or(0))
    }
}
