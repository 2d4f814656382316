//! The time of this machine.
//!
//! ```
//! use sedge_plugin::Clock;
//! let clock = sedge_hal::SystemClock;
//! assert!(clock.up() <= clock.up());
//! ```
//!
//! The wall time of a board without a battery is a guess until the network has told it; a guess is not given
//! out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sedge_plugin::Clock;
use sedge_plugin::clock::EARLIEST_WALL_MS;

/// The clocks of the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn up(&self) -> Duration {
        use nix::time::{ClockId, clock_gettime};
        // Every kernel since 2.6.39 has this clock: it cannot fail.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
    }

    /// Since it was asked first: for development, where no reading outlives the process.
    #[cfg(not(target_os = "linux"))]
    fn up(&self) -> Duration {
        static START: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        START.elapsed()
    }

    fn wall_ms(&self) -> Option<i64> {
        known(SystemTime::now())
    }
}

/// Milliseconds since 1970, where the time can be the true one.
fn known(now: SystemTime) -> Option<i64> {
    let millis = i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    (millis >= EARLIEST_WALL_MS).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_from_before_this_program_was_written_is_not_known() {
        let at = |millis: i64| UNIX_EPOCH + Duration::from_millis(millis as u64);
        assert_eq!(known(at(EARLIEST_WALL_MS - 1)), None);
        assert_eq!(known(at(EARLIEST_WALL_MS)), Some(EARLIEST_WALL_MS));
        assert_eq!(known(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_since_boot_is_that_of_the_kernel() {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let kernel: f64 = text.split(' ').next().unwrap().parse().unwrap();
        assert!((SystemClock.up().as_secs_f64() - kernel).abs() < 5.0);
    }
}
