//! Chips on I2C.

use std::collections::BTreeMap;
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

    /// A chip that brings its registers up to date before each read and after each write.
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
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        if let [register, rest @ ..] = bytes {
            self.registers.pointer = *register;
            self.registers.set(*register, rest);
            if let (Some(update), false) = (&mut self.live, rest.is_empty()) {
                update(&mut self.registers, now);
            }
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

type LiveWords = Box<dyn FnMut(&mut BTreeMap<u8, u16>, Duration) + Send>;

/// A chip whose registers are words, high byte first, as those of Texas Instruments are: the first byte written names one,
/// two more fill it. A register that is not there reads as zero.
pub struct WordFile {
    words: BTreeMap<u8, u16>,
    pointer: u8,
    live: LiveWords,
}

impl WordFile {
    /// A chip with these registers, which brings them up to date before each read and after each write.
    pub fn new(
        words: &[(u8, u16)],
        live: impl FnMut(&mut BTreeMap<u8, u16>, Duration) + Send + 'static,
    ) -> Self {
        Self { words: words.iter().copied().collect(), pointer: 0, live: Box::new(live) }
    }
}

impl I2cModel for WordFile {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        match *bytes {
            [register, high, low, ..] => {
                self.pointer = register;
                self.words.insert(register, u16::from_be_bytes([high, low]));
                (self.live)(&mut self.words, now);
            }
            [register, ..] => self.pointer = register,
            [] => {}
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        (self.live)(&mut self.words, now);
        let word = self.words.get(&self.pointer).copied().unwrap_or_default();
        for (to, from) in buffer.iter_mut().zip(word.to_be_bytes().into_iter().cycle()) {
            *to = from;
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
