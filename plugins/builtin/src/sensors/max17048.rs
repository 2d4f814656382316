//! Maxim MAX17048, MAX17049, MAX17043 and MAX17044: the charge of a lithium cell, on I2C.
//!
//! Datasheets: 19-6171 (MAX17048), 19-4811 (MAX17043). It is fed by the cell and measures by itself; after it was connected
//! the charge is a guess from the voltage, and gets better within hours. The MAX17049 and MAX17044 watch two cells in series,
//! whose voltage is twice what is shown here.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, WordFile};

const VOLTAGE: u8 = 0x02;
const CHARGE: u8 = 0x04;
const VERSION: u8 = 0x08;

/// What a MAX17048 has as version, without the revision.
const MAX17048: u16 = 0x0010;
/// A full cell is said to have a little more than it can; nothing has so much. %.
const IMPOSSIBLE: f64 = 120.0;

/// A MAX17048. It has no settings.
pub struct Max17048 {
    device: I2cDevice,
}

impl Sensor for Max17048 {
    const KIND: &'static str = "max17048";
    const TITLE: &'static str = "Maxim MAX17048 or MAX17043 fuel gauge of a lithium cell";
    const ADDRESSES: &'static [u8] = &[0x36];
    /// That of the MAX17048 and MAX17049; [`open`](Sensor::open) takes the older ones too, whose versions are below.
    const IDENTITY: Option<Identity> = Some(Identity::word(&[VERSION], MAX17048).mask(0xFFF0));
    const FIELDS: &'static [Field] = &[
        Field::new("voltage", Unit::Volt).class("voltage").precision(3).range(2.5, 5.0),
        Field::new("battery", Unit::Percent).class("battery").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        match device.read_u16_be(VERSION)? {
            0x0001..=0x001F => Ok(Self { device }),
            found => Err(SensorError::WrongDevice { expected: MAX17048.into(), found: found.into() }),
        }
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let raw = self.device.read_u16_be(VOLTAGE)?;
        let percent = percent(self.device.read_u16_be(CHARGE)?);
        if raw == 0 {
            return Err(SensorError::NotReady);
        }
        if percent > IMPOSSIBLE {
            return Err(SensorError::Garbage(format!("it says that the cell has {percent} %").into()));
        }
        frame.push("voltage", volts(raw));
        frame.push("battery", percent.min(100.0));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let charge = Curve::new(seed, 60.0, 30.0);
        Box::new(WordFile::new(&[(VERSION, 0x0011)], move |words, now| {
            let percent = charge.at(now);
            words.insert(VOLTAGE, ((3.4 + percent * 0.008) / 78.125e-6) as u16);
            words.insert(CHARGE, (percent * 256.0) as u16);
        }))
    }
}

/// 78.125 µV per bit; of a MAX17043 the upper twelve bits, 1.25 mV each, which is the same.
fn volts(raw: u16) -> f64 {
    f64::from(raw) * 78.125e-6
}

/// A 256th of a percent per bit.
fn percent(raw: u16) -> f64 {
    f64::from(raw) / 256.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    fn read(version: u16, voltage: u16, charge: u16) -> Result<Frame, SensorError> {
        let words = [(VERSION, version), (VOLTAGE, voltage), (CHARGE, charge)];
        let chip = Box::new(WordFile::new(&words, |_, _| {}));
        Bench::<Max17048>::open(chip, json!({}))?.read()
    }

    #[test]
    fn both_generations_have_the_same_scales() {
        assert_close(volts(0xD000), 4.16, 1e-9);
        assert_close(volts(1 << 4), 0.00125, 1e-9);
        assert_eq!(percent(0x6480), 100.5);
    }

    #[test]
    fn a_reading_is_that_of_the_curve() {
        let frame = Bench::<Max17048>::simulated(1, json!({})).read().unwrap();
        let percent = Curve::new(1, 60.0, 30.0).at(std::time::Duration::ZERO);
        assert_close(number(&frame, "battery"), percent, 1.0 / 256.0);
        assert_close(number(&frame, "voltage"), 3.4 + percent * 0.008, 0.0001);
    }

    #[test]
    fn a_full_cell_has_100_percent_and_nonsense_is_an_error() {
        assert_close(number(&read(0x0012, 0xD000, 0x6533).unwrap(), "battery"), 100.0, 0.0);
        assert!(matches!(read(0x0012, 0xD000, 0xFFFF), Err(SensorError::Garbage(_))));
        assert_eq!(read(0x0012, 0, 0).err(), Some(SensorError::NotReady));
    }

    #[test]
    fn both_generations_are_taken_and_others_are_refused_with_their_id() {
        assert!(read(0x0003, 0xC000, 0x3200).is_ok() && read(0x0012, 0xC000, 0x3200).is_ok());
        let error = read(0x4B00, 0xC000, 0x3200).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x0010, found: 0x4B00 }));
    }
}
