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

use embedded_hal::i2c::{ErrorType, I2c, Operation};

use crate::device::BusError;

/// A chip on an I2C bus, seen from the bus.
pub trait I2cModel: Send {
    /// The master writes to it.
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError>;
    /// The master reads from it.
    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError>;
}

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

type Live = Box<dyn FnMut(&mut Registers, Duration) + Send>;

/// 256 registers and the pointer that a write sets and a read moves on.
pub struct Registers {
    bytes: [u8; 256],
    pointer: u8,
}

impl Registers {
    /// Puts bytes from a register on.
    pub fn set(&mut self, register: u8, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            self.bytes[usize::from(register).wrapping_add(i) % 256] = byte;
        }
    }

    /// The byte of a register.
    pub fn get(&self, register: u8) -> u8 {
        self.bytes[usize::from(register)]
    }
}

/// A chip that is a file of registers: the first byte written names one, more bytes fill it and those that follow.
pub struct RegisterFile {
    registers: Registers,
    live: Option<Live>,
}

impl RegisterFile {
    /// A chip whose registers only change when they are written.
    pub fn new(image: &[(u8, &[u8])]) -> Self {
        let mut registers = Registers { bytes: [0; 256], pointer: 0 };
        for (register, bytes) in image {
            registers.set(*register, bytes);
        }
        Self { registers, live: None }
    }

    /// A chip that brings its registers up to date before each read.
    pub fn live(update: impl FnMut(&mut Registers, Duration) + Send + 'static) -> Self {
        Self { live: Some(Box::new(update)), ..Self::new(&[]) }
    }

    /// With these registers to begin with.
    pub fn with(mut self, register: u8, bytes: &[u8]) -> Self {
        self.registers.set(register, bytes);
        self
    }
}

impl I2cModel for RegisterFile {
    fn write(&mut self, bytes: &[u8], _: Duration) -> Result<(), BusError> {
        if let [register, rest @ ..] = bytes {
            self.registers.pointer = *register;
            self.registers.set(*register, rest);
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        if let Some(update) = &mut self.live {
            update(&mut self.registers, now);
        }
        for byte in buffer {
            *byte = self.registers.get(self.registers.pointer);
            self.registers.pointer = self.registers.pointer.wrapping_add(1);
        }
        Ok(())
    }
}

/// A bus with one chip on it, for a driver's tests. Its time stands still unless it is set.
pub struct Wire {
    address: u8,
    chip: Box<dyn I2cModel>,
    now: Duration,
}

impl Wire {
    /// A bus with `chip` at `address`.
    pub fn to(address: u8, chip: impl I2cModel + 'static) -> Self {
        Self::boxed(address, Box::new(chip))
    }

    /// The same for a chip in a box.
    pub fn boxed(address: u8, chip: Box<dyn I2cModel>) -> Self {
        Self { address, chip, now: Duration::ZERO }
    }

    /// At another time.
    pub fn at(self, now: Duration) -> Self {
        Self { now, ..self }
    }
}

impl ErrorType for Wire {
    type Error = BusError;
}

impl I2c for Wire {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        if address != self.address {
            return Err(BusError::NoAnswer);
        }
        transfer(self.chip.as_mut(), operations, self.now)
    }
}

/// Carries out the operations of one transaction on a chip.
pub fn transfer(
    chip: &mut dyn I2cModel,
    operations: &mut [Operation<'_>],
    now: Duration,
) -> Result<(), BusError> {
    for operation in operations {
        match operation {
            Operation::Write(bytes) => chip.write(bytes, now)?,
            Operation::Read(buffer) => chip.read(buffer, now)?,
        }
    }
    Ok(())
}
