//! The machine's clock, as a plugin's readings have it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sedge_plugin::clock::{Clock, EARLIEST_WALL_MS};

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MachineClock;

impl Clock for MachineClock {
    #[cfg(target_os = "linux")]
    fn up(&self) -> Duration {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
    }

    /// Since it was asked first: elsewhere no clock runs on through a suspend.
    #[cfg(not(target_os = "linux"))]
    fn up(&self) -> Duration {
        static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        BEGAN.get_or_init(std::time::Instant::now).elapsed()
    }

    fn wall_ms(&self) -> Option<i64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(now.as_millis()).ok().filter(|ms| *ms >= EARLIEST_WALL_MS)
    }
}
