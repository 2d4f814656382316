//! The true time of readings that were taken before it was known.
//!
//! Readings of one start of the kernel share a clock that never jumps. Once the wall time is known, what lies between the two
//! clocks holds for all of them; of a former start too, where it was known then.

use std::collections::BTreeMap;

use sedge_journal::{Disk, replace};
use sedge_plugin::Taken;
use serde::{Deserialize, Serialize};

use super::ledger::read;

const FILE: &str = "times.json";

/// Starts of the kernel that are remembered.
const MAX_STARTS: usize = 64;

/// A clock that was set by less is the same clock, drifting.
const STEP_MS: i64 = 1000;

/// See the [module](self).
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// By start of the kernel: the wall time at its beginning, and when that was learned, counting up.
    starts: BTreeMap<u64, (i64, u64)>,
    #[serde(skip)]
    dirty: bool,
}

impl Times {
    /// As they were written last.
    pub(crate) fn load(disk: &dyn Disk) -> Self {
        read(disk, FILE).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// A reading of this start of the kernel had a wall time.
    pub(crate) fn learn(&mut self, kernel: u64, taken: Taken) {
        let (Some(wall), Ok(up)) = (taken.wall_ms, i64::try_from(taken.up_ms)) else { return };
        let began = wall.saturating_sub(up);
        if self.starts.get(&kernel).is_some_and(|(known, _)| known.abs_diff(began) < STEP_MS.unsigned_abs()) {
            return;
        }
        let last = self.starts.values().map(|(_, order)| *order).max().unwrap_or(0);
        self.starts.insert(kernel, (began, last + 1));
        self.dirty = true;
        if self.starts.len() > MAX_STARTS
            && let Some((&oldest, _)) = self.starts.iter().min_by_key(|(_, (_, order))| *order)
        {
            self.starts.remove(&oldest);
        }
    }

    /// When a reading was taken, as far as is known by now.
    pub(crate) fn true_time(&self, kernel: u64, taken: Taken) -> Taken {
        let known = || {
            let (began, _) = self.starts.get(&kernel)?;
            began.checked_add(i64::try_from(taken.up_ms).ok()?)
        };
        Taken { wall_ms: taken.wall_ms.or_else(known), ..taken }
    }

    /// What is to be written, where something is.
    pub(crate) fn take_bytes(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.dirty).then(|| serde_json::to_vec(self).unwrap_or_default())
    }

    /// Writes it.
    pub(crate) fn write(disk: &dyn Disk, bytes: &[u8]) -> std::io::Result<()> {
        replace(disk, FILE, bytes)
    }
}

/// Which start of the kernel this is; another number after each.
pub(crate) fn kernel() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    sedge_plugin::fnv1a(text.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use sedge_journal::Memory;

    use super::*;

    fn taken(up_ms: u64, wall_ms: Option<i64>) -> Taken {
        Taken { up_ms, wall_ms }
    }

    #[test]
    fn a_reading_from_before_the_time_was_known_gets_it_when_it_is() {
        let mut times = Times::default();
        assert_eq!(times.true_time(1, taken(500, None)).wall_ms, None);
        times.learn(1, taken(9_000, Some(1_000_009_000)));
        assert_eq!(times.true_time(1, taken(500, None)).wall_ms, Some(1_000_000_500));
        assert_eq!(times.true_time(1, taken(500, Some(7))).wall_ms, Some(7), "what was known stays");
        assert_eq!(times.true_time(2, taken(500, None)).wall_ms, None, "another start of the kernel");
    }

    #[test]
    fn it_is_there_after_a_restart_of_the_process() {
        let disk = Memory::new(1 << 20);
        let mut times = Times::load(&disk);
        times.learn(1, taken(0, Some(5000)));
        Times::write(&disk, &times.take_bytes().unwrap()).unwrap();
        assert_eq!(times.take_bytes(), None);
        assert_eq!(Times::load(&disk), times);
    }

    #[test]
    fn a_step_of_the_clock_is_learned_and_a_drift_is_not() {
        let mut times = Times::default();
        times.learn(1, taken(0, Some(0)));
        assert!(times.take_bytes().is_some());
        times.learn(1, taken(1000, Some(1400)));
        assert!(times.take_bytes().is_none());
        times.learn(1, taken(1000, Some(60_000)));
        assert_eq!(times.true_time(1, taken(0, None)).wall_ms, Some(59_000));
    }

    #[test]
    fn the_oldest_start_is_forgotten_first() {
        let mut times = Times::default();
        for kernel in (0..100).rev() {
            times.learn(kernel, taken(0, Some(1)));
        }
        assert_eq!(times.starts.len(), MAX_STARTS);
        assert!(times.starts.contains_key(&0) && !times.starts.contains_key(&99));
    }
}
