//! A chip select of a simulated bus.

use embedded_hal::spi;
use sedge_plugin::BusError;
use sedge_plugin::sim::{SpiModel, SpiWire};

use super::{Duration, Seat, SimBus, distort, felt, folder};

/// A chip select of the bus.
pub(super) struct Select {
    pub(super) bus: SimBus,
    pub(super) select: u8,
}

impl spi::ErrorType for Select {
    type Error = BusError;
}

impl spi::SpiDevice for Select {
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), BusError> {
        let now = self.bus.clock.up();
        let (mut state, fault) = self.bus.meet(&folder(&Seat::Number(self.select)))?;
        // Nobody drives the line: it is pulled up.
        let Some(chip) = state.selects.get_mut(&self.select) else {
            return SpiWire::transfer(&mut Silence, operations, now);
        };
        SpiWire::transfer(chip.model.as_mut(), operations, felt(now, fault))?;
        for operation in operations {
            match operation {
                spi::Operation::Read(buffer)
                | spi::Operation::Transfer(buffer, _)
                | spi::Operation::TransferInPlace(buffer) => distort(fault, buffer),
                spi::Operation::Write(_) | spi::Operation::DelayNs(_) => {}
            }
        }
        Ok(())
    }
}

struct Silence;

impl SpiModel for Silence {
    fn exchange(&mut self, bytes: &mut [u8], _: Duration) -> Result<(), BusError> {
        bytes.fill(0xFF);
        Ok(())
    }
}
