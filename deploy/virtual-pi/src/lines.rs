//! The eight GPIO lines of the bridge: what the world drives, what the kernel drives, and pulses.
//!
//! The kernel has no interrupts here: it asks for all levels some 25 times a second. So a pulse is not a matter of time
//! but of questions: each of its levels stands until it was seen [`LOOKS`] times.
//!
//! ```
//! use sedge_virtual_pi::lines::Lines;
//! let mut lines = Lines::default();
//! lines.drive(3, true).unwrap();
//! (0..sedge_virtual_pi::lines::LOOKS).for_each(|_| assert_eq!(lines.look(), 0));
//! assert_eq!(lines.levels(), 0b1000);
//! ```

use std::collections::VecDeque;

/// How often a level of a pulse is seen before the next one comes. More than once, because not only the kernel's search
/// for edges looks, but also whoever asks for a level.
pub const LOOKS: u32 = 3;

const LINES: usize = 8;
/// The most levels that may wait on a line.
const MAX_WAITING: usize = 2000;

/// Eight lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// Bits of lines that the kernel drives.
    outputs: u8,
    /// What the kernel drives them to.
    latch: u8,
    /// What the world drives the others to.
    world: u8,
    /// Levels to come, and how often the one before was seen.
    waiting: [(VecDeque<bool>, u32); LINES],
}

impl Lines {
    /// Which lines are outputs.
    pub fn outputs(&self) -> u8 {
        self.outputs
    }

    /// Says which lines are outputs.
    pub fn configure(&mut self, outputs: u8) {
        self.outputs = outputs;
    }

    /// Sets outputs: those of `mask` to their bits of `levels`.
    pub fn set(&mut self, levels: u8, mask: u8) {
        self.latch = self.latch & !mask | levels & mask;
    }

    /// The levels now.
    pub fn levels(&self) -> u8 {
        self.latch & self.outputs | self.world & !self.outputs
    }

    /// The levels for the kernel, which moves pulses on.
    pub fn look(&mut self) -> u8 {
        let levels = self.levels();
        for (line, (waiting, looks)) in self.waiting.iter_mut().enumerate() {
            *looks += 1;
            if *looks >= LOOKS
                && let Some(level) = waiting.pop_front()
            {
                *looks = 0;
                self.world = self.world & !(1 << line) | u8::from(level) << line;
            }
        }
        levels
    }

    /// Drives a line from outside.
    ///
    /// # Errors
    /// When there is no such line.
    pub fn drive(&mut self, line: u8, level: bool) -> Result<(), String> {
        self.wait(line, &[level])
    }

    /// Drives a line high and low again, so many times.
    ///
    /// # Errors
    /// When there is no such line, or when too much waits on it.
    pub fn pulse(&mut self, line: u8, pulses: usize) -> Result<(), String> {
        self.wait(line, &[true, false].repeat(pulses.min(MAX_WAITING)))
    }

    fn wait(&mut self, line: u8, levels: &[bool]) -> Result<(), String> {
        let waiting = self.waiting.get_mut(usize::from(line)).ok_or(format!("there is no line {line}"))?;
        if waiting.0.len() + levels.len() > MAX_WAITING {
            return Err(format!("more than {MAX_WAITING} levels wait on line {line}"));
        }
        waiting.0.extend(levels);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_of_a_pulse_is_seen_as_often_as_promised() {
        let mut lines = Lines::default();
        lines.pulse(5, 2).unwrap();
        let seen: String = (0..16).map(|_| if lines.look() == 0 { '_' } else { '^' }).collect();
        assert_eq!(seen, "___^^^___^^^____");
    }

    #[test]
    fn the_world_does_not_move_an_output() {
        let mut lines = Lines::default();
        lines.configure(0b10);
        lines.set(0xFF, 0b10);
        lines.drive(0, true).unwrap();
        lines.drive(1, false).unwrap();
        for _ in 0..LOOKS {
            lines.look();
        }
        assert_eq!(lines.levels(), 0b11);
        lines.set(0, 0b10);
        assert_eq!(lines.levels(), 0b01);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut lines = Lines::default();
        assert!(lines.pulse(0, MAX_WAITING / 2).is_ok());
        assert!(lines.pulse(0, 1).is_err() && lines.pulse(8, 1).is_err());
    }
}
