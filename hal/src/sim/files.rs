//! A device of a simulated bus that the kernel would drive.

use sedge_plugin::BusError;
use sedge_plugin::device::Files;

use super::{Fault, SimBus, felt};

/// A folder of the bus.
pub(super) struct Opened {
    pub(super) bus: SimBus,
    pub(super) name: String,
}

impl Files for Opened {
    fn read(&mut self, file: &str) -> Result<String, BusError> {
        let now = self.bus.clock.up();
        let (mut state, fault) = self.bus.meet(&self.name)?;
        let chip = state.folders.get_mut(&self.name).ok_or_else(|| gone(&self.name))?;
        let text = chip.model.read(file, felt(now, fault))?;
        Ok(match fault {
            Some(Fault::Corrupt) => format!("?{text}"),
            Some(Fault::Stranger) => String::new(),
            _ => text,
        })
    }

    fn names(&mut self) -> Result<Vec<String>, BusError> {
        let state = self.bus.state();
        let chip = state.folders.get(&self.name).ok_or_else(|| gone(&self.name))?;
        Ok(chip.model.names())
    }
}

fn gone(name: &str) -> BusError {
    BusError::Absent(format!("the kernel shows no device `{name}`").into())
}
