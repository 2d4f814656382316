//! Sensirion SGP40: volatile organic compounds on I2C, as the raw signal.
//!
//! Datasheet: Sensirion SGP40. A measurement per reading, for the temperature and humidity of its settings. The raw signal
//! is a number without a unit, proportional to the logarithm of the layer's resistance: it falls as there is more in the
//! air. It drifts and differs between chips, so only its changes mean something. Sensirion's VOC index, which is computed
//! of them, needs a reading every 1 s over hours; it is not computed here. The chip heats while it measures once a second
//! and needs some readings before they are steady.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::climate::Air;
use crate::sensors::shared::sensirion::{
    self, ask, at_once, celsius_word, done, percent_word, receive, send,
};

const FEATURES: u16 = 0x202F;
const MEASURE: u16 = 0x260F;
const HEATER_OFF: u16 = 0x3615;

/// Of the answer to [`FEATURES`], the bits that tell it from an SGP41 (0x40).
const PRODUCT: (u16, u16) = (0x01FF, 0x0020);
/// The longest measurement.
const MEASUREMENT: Duration = Duration::from_millis(30);

/// An SGP40.
pub struct Sgp40 {
    device: I2cDevice,
    air: [u16; 2],
}

impl Sensor for Sgp40 {
    const KIND: &'static str = "sgp40";
    const TITLE: &'static str = "Sensirion SGP40 gas sensor (raw VOC signal)";
    const ADDRESSES: &'static [u8] = &[0x59];
    const FIELDS: &'static [Field] = &[Field::new("raw_index", Unit::None).precision(0).range(1.0, 65_534.0)];
    type Device = I2cDevice;
    type Config = Air;

    fn open(mut device: I2cDevice, settings: Air) -> Result<Self, SensorError> {
        let (temperature, humidity) = settings.checked()?;
        let [features] = ask(&mut device, FEATURES, 10)?;
        if features & PRODUCT.0 != PRODUCT.1 {
            return Err(SensorError::WrongDevice { expected: PRODUCT.1.into(), found: features.into() });
        }
        Ok(Self { device, air: [percent_word(humidity.into()), celsius_word(temperature.into())] })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        send(&mut self.device, MEASURE, &self.air)?;
        Ok(Some(MEASUREMENT))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        match receive(&mut self.device)? {
            [0 | 0xFFFF] => frame.missing("raw_index", "overflow"),
            [raw] => frame.push("raw_index", u32::from(raw)),
        }
        Ok(())
    }

    fn close(&mut self) {
        let _ = send(&mut self.device, HEATER_OFF, &[]);
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let signal = signal(seed);
        sensirion::chip(move |command, words, now| match (command, words) {
            (FEATURES, []) => at_once(&[0x3220]),
            (HEATER_OFF, []) => done(),
            (MEASURE, [_, _]) => Some((MEASUREMENT, vec![signal.at(now + MEASUREMENT) as u16])),
            _ => None,
        })
    }
}

fn signal(seed: u64) -> Curve {
    Curve::new(seed, 30_000.0, 1500.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed, reason};

    #[test]
    fn the_chip_is_told_of_the_air_as_in_the_datasheet() {
        // 50 % and 25 °C: 0x8000 and 0x6666, the values without compensation.
        let chip = sensirion::chip(|command, words, _| match command {
            MEASURE => at_once(&[words.iter().map(|word| word & 0x0FFF).sum()]),
            _ => at_once(&[0x3220]),
        });
        let frame = Bench::<Sgp40>::open(chip, json!({})).unwrap().read().unwrap();
        assert_near(&frame, "raw_index", f64::from(0x0666), 0.0);
        let error = Bench::<Sgp40>::open(Sgp40::simulate(1), json!({ "humidity": 101 })).err();
        assert!(matches!(error, Some(SensorError::Settings(_))), "{error:?}");
    }

    #[test]
    fn a_reading_is_that_of_the_measurement_that_was_started() {
        let mut bench = Bench::<Sgp40>::simulated(1, json!({ "temperature": 20, "humidity": 40 }));
        let frame = bench.read().unwrap();
        assert_near(&frame, "raw_index", signal(1).at(bench.now()), 1.0);
        assert!(bench.start().is_ok() && bench.take().is_err(), "not before its time");
    }

    #[test]
    fn another_chip_a_disturbed_answer_and_a_signal_off_the_scale_are_not_believed() {
        let sgp41 = sensirion::chip(|_, _, _| at_once(&[0x3240]));
        let error = Bench::<Sgp40>::open(sgp41, json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x0020, found: 0x3240 }));
        let mut bench = Bench::<Sgp40>::open(disturbed::<Sgp40>(1), json!({})).unwrap();
        assert_eq!(bench.read(), Err(SensorError::Checksum));
        let full =
            sensirion::chip(|command, _, _| at_once(&[if command == MEASURE { 0xFFFF } else { 0x3220 }]));
        let frame = Bench::<Sgp40>::open(full, json!({})).unwrap().read().unwrap();
        assert_eq!(reason(&frame, "raw_index"), Some("overflow"));
    }
}
