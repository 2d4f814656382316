//! What several drivers of chips share: how a lost configuration and a cut-off value are told, and parts for simulations.
//!
//! It knows no chip.

use std::collections::BTreeMap;
use std::time::Duration;

use sedge_plugin::prelude::*;

/// A chip that a weak supply has reset. What it answers then is old, or measured in another way than was asked for.
pub(crate) fn forgotten() -> SensorError {
    SensorError::Garbage("the chip has lost its configuration (a weak supply?)".into())
}

/// Calibration words that no factory would write: all zeros or all ones, as a chip answers that is not well.
pub(crate) fn uncalibrated() -> SensorError {
    SensorError::Garbage("the calibration words make no sense".into())
}

/// For simulations, which compute backwards: the first number of so many bits for which `reached` holds.
pub(crate) fn search(bits: u32, reached: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, (1 << bits) - 1);
    while low < high {
        let middle = (low + high) / 2;
        if reached(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

pub(crate) type Words = BTreeMap<u8, u16>;
type Written = Box<dyn FnMut(&mut Words, u8, u16) -> bool + Send>;
type Done = Box<dyn FnMut(&mut Words, Duration) + Send>;

/// A simulated chip whose registers are words, high byte first, and whose conversions take their time.
pub(crate) struct Converter {
    words: Words,
    pointer: u8,
    takes: Duration,
    begun: Option<Duration>,
    written: Written,
    done: Done,
    to_bytes: fn(u16) -> [u8; 2],
}

impl Converter {
    /// A chip with these registers. `written` is told of a word that was put into a register, and says whether a conversion
    /// begins with it; it ends after `takes` with `done`, at the time of the read that finds it so.
    pub(crate) fn new(
        words: &[(u8, u16)],
        takes: Duration,
        written: impl FnMut(&mut Words, u8, u16) -> bool + Send + 'static,
        done: impl FnMut(&mut Words, Duration) + Send + 'static,
    ) -> Self {
        let (written, done) = (Box::new(written), Box::new(done));
        let words = words.iter().copied().collect();
        Self { words, pointer: 0, takes, begun: None, written, done, to_bytes: u16::to_be_bytes }
    }

    /// With the low byte of a word first.
    pub(crate) fn low_byte_first(self) -> Self {
        Self { to_bytes: u16::to_le_bytes, ..self }
    }
}

impl I2cModel for Converter {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        if let [register, ..] = *bytes {
            self.pointer = register;
        }
        if let [register, first, ref rest @ ..] = *bytes {
            // A register of one byte is the first of its word. Swapping bytes is its own inverse.
            let second = rest.first().copied().unwrap_or_default();
            let word = u16::from_be_bytes((self.to_bytes)(u16::from_be_bytes([first, second])));
            self.words.insert(register, word);
            if (self.written)(&mut self.words, register, word) {
                self.begun = Some(now);
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        if self.begun.take_if(|begun| now >= *begun + self.takes).is_some() {
            (self.done)(&mut self.words, now);
        }
        let word = self.words.get(&self.pointer).copied().unwrap_or_default();
        for (to, from) in buffer.iter_mut().zip((self.to_bytes)(word).into_iter().cycle()) {
            *to = from;
        }
        Ok(())
    }
}
