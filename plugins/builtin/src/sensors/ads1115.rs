//! Texas Instruments ADS1115 and ADS1015: four voltages against ground, on I2C.
//!
//! Datasheets: SBAS444, SBAS473 (ADS1015). One conversion per input and reading (single-shot mode), at the highest rate, so
//! that all four are read within 10 ms. An ADS1015 gives the upper twelve bits of the same number. Neither has an id: a chip
//! is taken for one if it keeps the configuration that it is given. An open input shows some voltage, not zero.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::chip::{Converter, forgotten};

const CONVERSION: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;

/// Written, it begins a conversion; read, it is 1 when none is under way.
const START: u16 = 1 << 15;
/// Single-shot, 860 samples a second (3300 of an ADS1015), no comparator.
const SINGLE: u16 = 1 << 8 | 0b111 << 5 | 0b11;
/// 1.16 ms and a tenth, and the 25 µs that it takes to wake.
const CONVERSION_MS: u32 = 2;
/// The highest number of an ADS1015; of an ADS1115 so near the end of its range that it makes no difference.
const HIGHEST: i16 = 0x7FF0;

const INPUTS: [&str; 4] = ["a0", "a1", "a2", "a3"];

/// In the order of the gain's bits. V.
const FULL_SCALES: [f64; 6] = [6.144, 4.096, 2.048, 1.024, 0.512, 0.256];

/// Settings of a `kind = "ads1115"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The highest voltage that is measured, which sets the gain: 6.144, 4.096, 2.048, 1.024, 0.512 or 0.256. An input may
    /// not be above the supply, whatever is set here. V.
    #[serde(default = "four")]
    full_scale: f64,
}

fn four() -> f64 {
    FULL_SCALES[1]
}

/// An ADS1115.
pub struct Ads1115 {
    device: I2cDevice,
    full_scale: f64,
    gain: u16,
}

impl Sensor for Ads1115 {
    const KIND: &'static str = "ads1115";
    const TITLE: &'static str = "Texas Instruments ADS1115 or ADS1015 analog-to-digital converter";
    const ADDRESSES: &'static [u8] = &[0x48, 0x49, 0x4A, 0x4B];
    const FIELDS: &'static [Field] =
        &[field(INPUTS[0]), field(INPUTS[1]), field(INPUTS[2]), field(INPUTS[3])];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let full_scale = settings.full_scale;
        let Some(gain) = (0..).zip(FULL_SCALES).find(|(_, volts)| (volts - full_scale).abs() < 1e-6) else {
            return Err(SensorError::Settings(format!("`full_scale` is one of {FULL_SCALES:?}").into()));
        };
        let mut driver = Self { device, full_scale, gain: gain.0 };
        let asleep = driver.configuration(0);
        driver.device.write_u16_be(CONFIGURATION, asleep)?;
        match driver.device.read_u16_be(CONFIGURATION)? & !START == asleep {
            true => Ok(driver),
            false => Err(SensorError::Garbage("it does not keep the configuration of an ADS1115".into())),
        }
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        for (number, input) in INPUTS.into_iter().enumerate() {
            let raw = self.convert(number as u16)?;
            frame.push_cut_off(input, volts(raw, self.full_scale), raw >= HIGHEST);
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let curves: [Curve; 4] = std::array::from_fn(|input| {
            Curve::new(seed ^ (input as u64) << 12, 0.7 * (input + 1) as f64, 0.3)
        });
        let scale = 32768.0 / four();
        Box::new(simulated(move |configuration, now| {
            let input = usize::from(configuration >> 12 & 0b11);
            (curves[input].at(now) * scale) as i16
        }))
    }
}

const fn field(name: &'static str) -> Field {
    Field::new(name, Unit::Volt).class("voltage").precision(4).range(-0.3, 6.144)
}

impl Ads1115 {
    /// The configuration for a single-ended input, without [`START`].
    fn configuration(&self, input: u16) -> u16 {
        (0b100 | input & 0b11) << 12 | self.gain << 9 | SINGLE
    }

    fn convert(&mut self, input: u16) -> Result<i16, SensorError> {
        let configuration = self.configuration(input);
        self.device.write_u16_be(CONFIGURATION, configuration | START)?;
        self.device.delay_ms(CONVERSION_MS);
        let found = self.device.read_u16_be(CONFIGURATION)?;
        if found & !START != configuration {
            return Err(forgotten());
        }
        if found & START == 0 {
            return Err(SensorError::NotReady);
        }
        Ok(self.device.read_u16_be(CONVERSION)?.cast_signed())
    }
}

/// Two's complement; the full scale would be 32768. Single-ended it is a little below zero at most.
fn volts(raw: i16, full_scale: f64) -> f64 {
    f64::from(raw) * full_scale / 32768.0
}

/// Its conversions take no time: they are shorter than what a simulated clock can tell.
fn simulated(mut measure: impl FnMut(u16, std::time::Duration) -> i16 + Send + 'static) -> Converter {
    Converter::new(
        &[(CONFIGURATION, 0x8583)],
        std::time::Duration::ZERO,
        |words, register, word| {
            words.insert(register, word & !START);
            word & START != 0
        },
        move |words, now| {
            let configuration = words.get(&CONFIGURATION).copied().unwrap_or_default();
            words.insert(CONFIGURATION, configuration | START);
            words.insert(CONVERSION, measure(configuration, now).cast_unsigned());
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn a_bit_is_the_full_scale_by_32768() {
        // LSB sizes of the table of full scales.
        for (full_scale, microvolts) in
            FULL_SCALES.into_iter().zip([187.5, 125.0, 62.5, 31.25, 15.625, 7.8125])
        {
            assert_close(volts(1, full_scale) * 1e6, microvolts, 1e-9);
        }
        assert_eq!(volts(0x4000, 2.048), 1.024);
        assert!(volts(-1, 2.048) < 0.0);
    }

    #[test]
    fn each_input_has_its_own_curve() {
        let frame = Bench::<Ads1115>::simulated(1, json!({})).read().unwrap();
        for (input, name) in INPUTS.into_iter().enumerate() {
            let curve = Curve::new(1 ^ (input as u64) << 12, 0.7 * (input + 1) as f64, 0.3);
            assert_close(number(&frame, name), curve.at(std::time::Duration::ZERO), 125e-6);
        }
    }

    #[test]
    fn the_gain_is_set_and_what_is_beyond_it_is_out_of_range() {
        let chip = simulated(|configuration, _| if configuration >> 9 & 0b111 == 3 { 0x7FFF } else { 0 });
        let mut bench = Bench::<Ads1115>::open(Box::new(chip), json!({ "full_scale": 1.024 })).unwrap();
        let frame = bench.read().unwrap();
        assert!(frame.samples.iter().all(|sample| sample.quality == Quality::OutOfRange), "{frame:?}");
        assert!(Bench::<Ads1115>::open(Ads1115::simulate(1), json!({ "full_scale": 5.0 })).is_err());
    }

    #[test]
    fn another_chip_and_one_that_is_not_ready_are_refused() {
        let chip = |written: fn(&mut crate::sensors::shared::chip::Words, u8, u16) -> bool| {
            Box::new(Converter::new(&[], std::time::Duration::ZERO, written, |_, _| {}))
        };
        let forgetful = chip(|words, register, _| words.insert(register, 0x00A0).is_some_and(|_| false));
        assert!(matches!(Bench::<Ads1115>::open(forgetful, json!({})).err(), Some(SensorError::Garbage(_))));
        let slow = chip(|words, register, word| words.insert(register, word & !START).is_some_and(|_| false));
        let mut slow = Bench::<Ads1115>::open(slow, json!({})).unwrap();
        assert_eq!(slow.read().err(), Some(SensorError::NotReady));
    }
}
