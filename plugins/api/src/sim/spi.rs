//! Chips on SPI.

use std::time::Duration;

use embedded_hal::spi::{ErrorType, Operation, SpiDevice};

use crate::device::BusError;

/// A chip on SPI, seen from the bus.
pub trait SpiModel: Send {
    /// It is selected, and every byte that comes in is answered by one that goes out, in place.
    fn exchange(&mut self, bytes: &mut [u8], now: Duration) -> Result<(), BusError>;
}

/// A bus with one chip on it, for a driver's tests. Its time stands still.
pub struct SpiWire(Box<dyn SpiModel>);

impl SpiWire {
    /// A bus with `chip` on it.
    pub fn to(chip: impl SpiModel + 'static) -> Self {
        Self(Box::new(chip))
    }

    /// Carries out the operations of one transaction on a chip, as one exchange.
    pub fn transfer(
        chip: &mut dyn SpiModel,
        operations: &mut [Operation<'_, u8>],
        now: Duration,
    ) -> Result<(), BusError> {
        let mut bytes = Vec::new();
        for operation in operations.iter() {
            match operation {
                Operation::Write(out) => bytes.extend_from_slice(out),
                Operation::Read(buffer) => bytes.resize(bytes.len() + buffer.len(), 0),
                Operation::Transfer(buffer, out) => {
                    let end = bytes.len() + buffer.len().max(out.len());
                    bytes.extend_from_slice(out);
                    bytes.resize(end, 0);
                }
                Operation::TransferInPlace(buffer) => bytes.extend_from_slice(buffer),
                Operation::DelayNs(_) => {}
            }
        }
        chip.exchange(&mut bytes, now)?;
        let mut rest = bytes.as_slice();
        for operation in operations {
            let (length, buffer): (usize, &mut [u8]) = match operation {
                Operation::Write(out) => (out.len(), &mut []),
                Operation::Read(buffer) => (buffer.len(), buffer),
                Operation::Transfer(buffer, out) => (buffer.len().max(out.len()), buffer),
                Operation::TransferInPlace(buffer) => (buffer.len(), buffer),
                Operation::DelayNs(_) => (0, &mut []),
            };
            let (part, after) = rest.split_at(length);
            buffer.copy_from_slice(&part[..buffer.len()]);
            rest = after;
        }
        Ok(())
    }
}

impl ErrorType for SpiWire {
    type Error = BusError;
}

impl SpiDevice for SpiWire {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        Self::transfer(self.0.as_mut(), operations, Duration::ZERO)
    }
}
