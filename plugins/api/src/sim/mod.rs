//! Simulated chips, at the level of bytes on the wire, so that the real driver runs without hardware.
//!
//! ```
//! use sedge_plugin::sim::Curve;
//! use std::time::Duration;
//! let room = Curve::new(7, 21.0, 3.0);
//! let t = room.at(Duration::from_secs(600));
//! assert!((18.0..=24.0).contains(&t));
//! assert_eq!(t, Curve::new(7, 21.0, 3.0).at(Duration::from_secs(600)), "one seed, one curve");
//! ```
//!
//! A model keeps no time of its own: it is told what time it is with each transfer.

use std::f64::consts::TAU;
use std::time::Duration;

mod files;
mod i2c;
mod spi;

pub use files::{FileModel, Folder};
pub use i2c::{I2cModel, RegisterFile, Registers, Wire, WordFile, transfer};
pub use spi::{SpiModel, SpiWire};

/// A slow curve around a middle: one turn in about an hour, a smaller ripple of some minutes. Its phase is the seed's.
#[derive(Debug, Clone, Copy)]
pub struct Curve {
    middle: f64,
    swing: f64,
    phase: f64,
}

impl Curve {
    /// A curve between `middle - swing` and `middle + swing`.
    pub fn new(seed: u64, middle: f64, swing: f64) -> Self {
        // The finaliser of SplitMix64: neighbouring seeds give unrelated phases.
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        Self { middle, swing, phase: (z >> 11) as f64 / (1_u64 << 53) as f64 }
    }

    /// The value at a time.
    pub fn at(&self, now: Duration) -> f64 {
        let hours = now.as_secs_f64() / 3600.0;
        let slow = ((hours + self.phase) * TAU).sin();
        let ripple = ((hours * 17.0 + self.phase * 5.0) * TAU).sin();
        self.middle + self.swing * (0.9 * slow + 0.1 * ripple)
    }
}
