//! Simulated GPIO lines: levels that a test can look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::lines::{Chip, LineError, Output};

/// As many as the chip of a Raspberry Pi has on its header and beyond.
const LAST: u32 = 53;

#[derive(Default)]
struct Line {
    high: bool,
    claimed: bool,
}

#[derive(Clone, Default)]
pub(super) struct SimLines(Arc<Mutex<BTreeMap<u32, Line>>>);

impl SimLines {
    pub(super) fn level(&self, line: u32) -> Option<bool> {
        lock(&self.0).get(&line).map(|line| line.high)
    }
}

impl Chip for SimLines {
    fn output(&self, line: u32, initial: bool, active_low: bool) -> Result<Box<dyn Output>, LineError> {
        if line > LAST {
            return Err(LineError::NoSuchLine { line, last: LAST });
        }
        let mut lines = lock(&self.0);
        let state = lines.entry(line).or_default();
        if state.claimed {
            return Err(LineError::Taken { line, by: "sedge".into() });
        }
        *state = Line { high: initial != active_low, claimed: true };
        Ok(Box::new(Claim { chip: self.clone(), line, active_low }))
    }
}

struct Claim {
    chip: SimLines,
    line: u32,
    active_low: bool,
}

impl Claim {
    fn with<R>(&self, work: impl FnOnce(&mut Line) -> R) -> R {
        work(lock(&self.chip.0).entry(self.line).or_default())
    }
}

impl Output for Claim {
    fn set(&self, on: bool) -> Result<(), LineError> {
        self.with(|line| line.high = on != self.active_low);
        Ok(())
    }
    fn get(&self) -> Result<bool, LineError> {
        Ok(self.with(|line| line.high != self.active_low))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.with(|line| line.claimed = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Lines;

    #[test]
    fn a_line_that_is_active_low_is_low_when_it_is_on() {
        let chip = SimLines::default();
        let line = Lines::new(chip.clone()).output(4, false, true).unwrap();
        assert_eq!((line.get(), chip.level(4)), (Ok(false), Some(true)));
        line.set(true).unwrap();
        assert_eq!((line.get(), chip.level(4)), (Ok(true), Some(false)));
    }

    #[test]
    fn a_line_has_one_owner_and_keeps_its_level_when_let_go() {
        let chip = SimLines::default();
        let lines = Lines::new(chip.clone());
        let line = lines.output(4, true, false).unwrap();
        assert!(matches!(lines.output(4, false, false), Err(LineError::Taken { line: 4, .. })));
        assert_eq!(chip.level(4), Some(true), "a claim that was refused changes nothing");
        drop(line);
        assert_eq!(chip.level(4), Some(true));
        lines.output(4, false, false).unwrap();
        assert!(matches!(lines.output(LAST + 1, false, false), Err(LineError::NoSuchLine { .. })));
    }
}
