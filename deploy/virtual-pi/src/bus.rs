//! The wires behind the bridge: the chips on them, and what goes wrong.
//!
//! The chips are the models that come with the kinds of sensors, the same that a simulated bus of a node has. Here they
//! sit behind a real kernel driver.
//!
//! ```
//! use sedge_virtual_pi::bus::{Bus, Spot};
//! use sedge_virtual_pi::report::Transfer;
//! use std::time::Duration;
//! let spot: Spot = "bme280@0x76".parse().unwrap();
//! let mut bus = Bus::default();
//! bus.attach(&spot).unwrap();
//! let id = Transfer { address: 0x76, write: vec![0xD0], read: 1 };
//! assert_eq!(bus.transfer(&id, Duration::ZERO), Some(vec![0x60]));
//! bus.detach(0x76).unwrap();
//! assert_eq!(bus.transfer(&id, Duration::ZERO), None);
//! ```

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use sedge_plugin::sensor::Attachment;
use sedge_plugin::sim::I2cModel;
use sedge_plugins::sensors;

use crate::command::number;
use crate::report::Transfer;

/// A chip and where it sits, written `bme280@0x76`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The kind of sensor.
    pub kind: String,
    /// Its address, 7 bits.
    pub address: u8,
}

impl FromStr for Spot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, address) = text.split_once('@').ok_or(format!("`{text}` is not like bme280@0x76"))?;
        Ok(Self { kind: kind.into(), address: number(address)? })
    }
}

/// A fresh chip, as it is after its supply came on. Its values follow a curve of its address.
fn model(spot: &Spot) -> Option<Box<dyn I2cModel>> {
    let Attachment::I2c { simulate, .. } = sensors::kind(&spot.kind)?.attachment else { return None };
    Some(simulate(spot.address.into()))
}

struct Chip {
    spot: Spot,
    /// None while it is off the wires.
    model: Option<Box<dyn I2cModel>>,
    nacks: u32,
    corrupt: u32,
}

/// Chips by address.
#[derive(Default)]
pub struct Bus {
    chips: BTreeMap<u8, Chip>,
}

impl Bus {
    /// Puts a fresh chip on the wires.
    ///
    /// # Errors
    /// When there is no such kind on I2C.
    pub fn attach(&mut self, spot: &Spot) -> Result<(), String> {
        let model = model(spot).ok_or(format!("there is no kind `{}` on I2C", spot.kind))?;
        let chip = Chip { spot: spot.clone(), model: Some(model), nacks: 0, corrupt: 0 };
        self.chips.insert(spot.address, chip);
        Ok(())
    }

    /// Puts the chip that was there before back on the wires; it has forgotten everything.
    ///
    /// # Errors
    /// When there was none.
    pub fn reattach(&mut self, address: u8) -> Result<(), String> {
        let spot = self.chip(address)?.spot.clone();
        self.attach(&spot)
    }

    /// Takes a chip off the wires.
    ///
    /// # Errors
    /// When there is none.
    pub fn detach(&mut self, address: u8) -> Result<(), String> {
        self.chip(address)?.model = None;
        Ok(())
    }

    /// Has a chip not acknowledge so many transfers.
    ///
    /// # Errors
    /// When there is none.
    pub fn nack(&mut self, address: u8, transfers: u32) -> Result<(), String> {
        self.chip(address)?.nacks = transfers;
        Ok(())
    }

    /// Turns every bit of the next so many reads around.
    ///
    /// # Errors
    /// When there is no such chip.
    pub fn corrupt(&mut self, address: u8, reads: u32) -> Result<(), String> {
        self.chip(address)?.corrupt = reads;
        Ok(())
    }

    /// Carries out a transfer and says what was read; none where nobody acknowledged.
    pub fn transfer(&mut self, transfer: &Transfer, now: Duration) -> Option<Vec<u8>> {
        let chip = self.chips.get_mut(&transfer.address)?;
        if chip.nacks > 0 {
            chip.nacks -= 1;
            return None;
        }
        let model = chip.model.as_mut()?;
        let mut read = vec![0; transfer.read];
        if !transfer.write.is_empty() || read.is_empty() {
            model.write(&transfer.write, now).ok()?;
        }
        if !read.is_empty() {
            model.read(&mut read, now).ok()?;
            if chip.corrupt > 0 {
                chip.corrupt -= 1;
                read.iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        Some(read)
    }

    fn chip(&mut self, address: u8) -> Result<&mut Chip, String> {
        self.chips.get_mut(&address).ok_or(format!("there never was a chip at {address:#04x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u8 = 0x0F;

    fn bus() -> Bus {
        let mut bus = Bus::default();
        bus.attach(&Spot { kind: "tmp117".into(), address: 0x49 }).unwrap();
        bus
    }

    fn id(bus: &mut Bus) -> Option<Vec<u8>> {
        bus.transfer(&Transfer { address: 0x49, write: vec![ID], read: 2 }, Duration::ZERO)
    }

    #[test]
    fn nacks_and_corruption_end_by_themselves() {
        let mut bus = bus();
        bus.nack(0x49, 1).unwrap();
        bus.corrupt(0x49, 1).unwrap();
        assert_eq!(id(&mut bus), None);
        assert_eq!(id(&mut bus), Some(vec![0xFE, 0xE8]));
        assert_eq!(id(&mut bus), Some(vec![0x01, 0x17]));
    }

    #[test]
    fn a_chip_that_is_put_back_answers_again() {
        let mut bus = bus();
        bus.detach(0x49).unwrap();
        assert_eq!(id(&mut bus), None);
        bus.reattach(0x49).unwrap();
        assert_eq!(id(&mut bus), Some(vec![0x01, 0x17]));
    }

    #[test]
    fn what_was_never_there_cannot_be_broken() {
        let mut bus = bus();
        assert!(bus.detach(0x50).is_err() && bus.reattach(0x50).is_err() && bus.nack(0x50, 1).is_err());
        assert!(bus.attach(&Spot { kind: "toaster".into(), address: 0x50 }).is_err());
    }
}
