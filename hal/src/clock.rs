//! The time of this machine.
//!
//! ```
//! use sedge_plugin::Clock;
//! let clock = sedge_hal::SystemClock;
//! assert!(clock.up() <= clock.up());
//! ```
//!
//! The wall time of a board without a battery is a guess until the network has told it, also where it looks plausible: such a
//! board starts with the time of its last shutdown. A guess is not given out.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sedge_plugin::Clock;
use sedge_plugin::clock::EARLIEST_WALL_MS;

/// How often it is looked whether the wall time is known, until it is.
const LOOK: Duration = Duration::from_secs(1);

/// The wall time of this machine, which is one for all.
static WALL: LazyLock<Wall> = LazyLock::new(|| Wall::below("/"));

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
        WALL.ms(SystemTime::now(), self.up())
    }
}

/// Whether the wall time is known. Once it is, it stays so, and asking costs nothing.
struct Wall {
    root: PathBuf,
    known: AtomicBool,
    /// When it is to be looked at next, in milliseconds of the other clock.
    due: AtomicU64,
}

impl Wall {
    /// Of a machine whose files are below `root`.
    fn below(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().into(), known: AtomicBool::new(false), due: AtomicU64::new(0) }
    }

    /// Milliseconds since 1970, where they are known.
    fn ms(&self, now: SystemTime, up: Duration) -> Option<i64> {
        let ms = plausible(now)?;
        if self.known.load(Ordering::Relaxed) {
            return Some(ms);
        }
        let up = u64::try_from(up.as_millis()).unwrap_or(u64::MAX);
        if up < self.due.load(Ordering::Relaxed) {
            return None;
        }
        let look = u64::try_from(LOOK.as_millis()).unwrap_or(u64::MAX);
        self.due.store(up.saturating_add(look), Ordering::Relaxed);
        let known = self.is_set();
        self.known.store(known, Ordering::Relaxed);
        known.then_some(ms)
    }

    /// Whether somebody has set the clock: a clock with a battery, or systemd-timesyncd. Where that does not run, whoever is
    /// responsible is not known, and the time is taken for true as long as it is plausible.
    fn is_set(&self) -> bool {
        let there = |path: &str| self.root.join(path).exists();
        there("sys/class/rtc/rtc0")
            || there("run/systemd/timesync/synchronized")
            || !there("run/systemd/timesync")
    }
}

/// Milliseconds since 1970, where the time can be the true one.
fn plausible(now: SystemTime) -> Option<i64> {
    let millis = i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    (millis >= EARLIEST_WALL_MS).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = EARLIEST_WALL_MS + 1000;

    fn at(millis: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis as u64)
    }

    /// A machine with these files, in a folder of its own that is removed when dropped.
    struct Machine(PathBuf);

    impl Machine {
        fn with(files: &[&str]) -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("sedge-clock-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&root).unwrap();
            let machine = Self(root);
            files.iter().for_each(|file| machine.add(file));
            machine
        }

        fn add(&self, file: &str) {
            let path = self.0.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }

        fn wall(&self) -> Wall {
            Wall::below(&self.0)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_wall_time_from_before_this_program_was_written_is_not_known() {
        assert_eq!(plausible(at(EARLIEST_WALL_MS - 1)), None);
        assert_eq!(plausible(at(EARLIEST_WALL_MS)), Some(EARLIEST_WALL_MS));
        assert_eq!(plausible(UNIX_EPOCH - Duration::from_secs(1)), None);
        let machine = Machine::with(&["sys/class/rtc/rtc0"]);
        assert_eq!(machine.wall().ms(at(0), Duration::ZERO), None, "a battery that is empty");
    }

    #[test]
    fn a_plausible_time_is_known_where_somebody_has_set_it_or_nobody_is_asked() {
        const RUNS: &str = "run/systemd/timesync/clock";
        for (files, known) in [
            (&[][..], true),
            (&[RUNS], false),
            (&[RUNS, "run/systemd/timesync/synchronized"], true),
            (&[RUNS, "sys/class/rtc/rtc0"], true),
        ] {
            let ms = Machine::with(files).wall().ms(at(NOW), Duration::ZERO);
            assert_eq!(ms.is_some(), known, "{files:?}");
        }
    }

    #[test]
    fn it_is_looked_at_once_a_second_and_what_is_known_stays_known() {
        let machine = Machine::with(&["run/systemd/timesync/clock"]);
        let wall = machine.wall();
        let ask = |up_ms| wall.ms(at(NOW), Duration::from_millis(up_ms)).is_some();
        assert!(!ask(5000));
        machine.add("run/systemd/timesync/synchronized");
        assert!(!ask(5999), "not looked at");
        assert!(ask(6000));
        std::fs::remove_file(machine.0.join("run/systemd/timesync/synchronized")).unwrap();
        assert!(ask(6001) && ask(60_000));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_since_boot_is_that_of_the_kernel() {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let kernel: f64 = text.split(' ').next().unwrap().parse().unwrap();
        assert!((SystemClock.up().as_secs_f64() - kernel).abs() < 5.0);
    }
}
