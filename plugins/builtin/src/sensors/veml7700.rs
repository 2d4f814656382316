//! Vishay VEML7700: ambient light, with the spectral response of an eye, on I2C.
//!
//! Datasheet: 84286, and the application note 84323, from which the resolution and the correction are. It is woken for a
//! reading and put to sleep again. Above 1000 lx its response is not linear, and corrected; the correction makes a step of
//! 7 % there.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::chip::{Converter, forgotten, search};

const CONFIGURATION: u8 = 0x00;
const LIGHT: u8 = 0x04;
const ID: u8 = 0x07;

/// The low byte comes first; the high one tells of the address.
const IDENTITY: Identity = Identity::byte(&[ID], 0x81);
const ASLEEP: u16 = 1;
/// What is set, with its bits.
const GAINS: [(f64, u16); 4] = [(0.125, 0b10), (0.25, 0b11), (1.0, 0b00), (2.0, 0b01)];
const INTEGRATIONS: [(u16, u16); 6] =
    [(25, 0b1100), (50, 0b1000), (100, 0b0000), (200, 0b0001), (400, 0b0010), (800, 0b0011)];
/// Of a count, at a gain of 1 and 100 ms. lx.
const RESOLUTION: f64 = 0.0672;
/// Where the correction begins. lx.
const LINEAR: f64 = 1000.0;

/// Settings of a `kind = "veml7700"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// 0.125, 0.25, 1 or 2. With 0.125 and 100 ms it measures up to sunlight, in steps of 0.5 lx; twice the gain halves
    /// both.
    #[serde(default = "eighth")]
    gain: f64,
    /// 25, 50, 100, 200, 400 or 800. Twice the time halves what can be measured and the steps. ms.
    #[serde(default = "hundred")]
    integration_ms: u16,
}

fn eighth() -> f64 {
    0.125
}

fn hundred() -> u16 {
    100
}

/// A VEML7700.
pub struct Veml7700 {
    device: I2cDevice,
    configuration: u16,
    conversion: Duration,
    resolution: f64,
}

impl Sensor for Veml7700 {
    const KIND: &'static str = "veml7700";
    const TITLE: &'static str = "Vishay VEML7700 ambient light sensor";
    const ADDRESSES: &'static [u8] = &[0x10];
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] =
        &[Field::new("illuminance", Unit::Lux).class("illuminance").range(0.0, 140_000.0)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let Settings { gain, integration_ms } = settings;
        let Some((_, gain_bits)) = GAINS.iter().find(|(value, _)| *value == gain) else {
            return Err(SensorError::Settings("`gain` is 0.125, 0.25, 1 or 2".into()));
        };
        let Some((_, time_bits)) = INTEGRATIONS.iter().find(|(value, _)| *value == integration_ms) else {
            return Err(SensorError::Settings("`integration_ms` is 25, 50, 100, 200, 400 or 800".into()));
        };
        IDENTITY.check(&mut device)?;
        let configuration = gain_bits << 11 | time_bits << 6;
        write(&mut device, configuration | ASLEEP)?;
        Ok(Self {
            device,
            configuration,
            conversion: conversion(integration_ms),
            resolution: resolution(gain, integration_ms),
        })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        write(&mut self.device, self.configuration)?;
        Ok(Some(self.conversion))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        match self.device.read_u16_le(CONFIGURATION)? {
            found if found == self.configuration => {}
            found if found == self.configuration | ASLEEP => return Err(SensorError::NotReady),
            _ => return Err(forgotten()),
        }
        let counts = self.device.read_u16_le(LIGHT)?;
        write(&mut self.device, self.configuration | ASLEEP)?;
        frame.push_cut_off("illuminance", lux(counts, self.resolution), counts == u16::MAX);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Curve::new(seed, 800.0, 700.0);
        let resolution = resolution(eighth(), hundred());
        Box::new(simulated(move |now| {
            let lx = room.at(now);
            search(16, |counts| lux(counts as u16, resolution) >= lx) as u16
        }))
    }
}

fn write(device: &mut I2cDevice, configuration: u16) -> Result<(), BusError> {
    let [low, high] = configuration.to_le_bytes();
    device.write(&[CONFIGURATION, low, high])
}

/// It wakes within 2.5 ms, and its clock may be slow by a fifth.
fn conversion(integration_ms: u16) -> Duration {
    Duration::from_millis(5 + u64::from(integration_ms) * 6 / 5)
}

/// lx per count.
fn resolution(gain: f64, integration_ms: u16) -> f64 {
    RESOLUTION / gain * 100.0 / f64::from(integration_ms)
}

fn lux(counts: u16, resolution: f64) -> f64 {
    let x = f64::from(counts) * resolution;
    if x <= LINEAR {
        return x;
    }
    x * (1.0023 + x * (8.1488e-5 + x * (-9.3924e-9 + x * 6.0135e-13)))
}

/// Its words have the low byte first.
fn simulated(mut measure: impl FnMut(Duration) -> u16 + Send + 'static) -> Converter {
    Converter::new(
        &[(CONFIGURATION, ASLEEP), (ID, 0xC481)],
        conversion(hundred()),
        |_, register, word| register == CONFIGURATION && word & ASLEEP == 0,
        move |words, now| {
            words.insert(LIGHT, measure(now));
        },
    )
    .low_byte_first()
}

#[cfg(test)]
mod tests {
    use sedge_plugin::sim::RegisterFile;
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn the_application_notes_resolutions_are_used() {
        // The table of resolutions: the ends, and the default.
        assert_close(resolution(2.0, 800), 0.0042, 1e-9);
        assert_close(resolution(0.125, 25), 2.1504, 1e-9);
        assert_close(resolution(0.125, 100), 0.5376, 1e-9);
    }

    #[test]
    fn only_what_is_above_1000_lux_is_corrected() {
        assert_eq!(lux(1000, 1.0), 1000.0);
        // 1.0023 x + 8.1488e-5 x² - 9.3924e-9 x³ + 6.0135e-13 x⁴ at 10000.
        assert_close(lux(10_000, 1.0), 10_023.0 + 8148.8 - 9392.4 + 6013.5, 1e-6);
    }

    #[test]
    fn a_reading_is_that_of_the_curve_and_it_sleeps_in_between() {
        let mut bench = Bench::<Veml7700>::simulated(1, json!({}));
        for _ in 0..2 {
            let frame = bench.read().unwrap();
            let expected = Curve::new(1, 800.0, 700.0).at(bench.now());
            assert_close(number(&frame, "illuminance"), expected, 1.0);
            assert_eq!(bench.take().err(), Some(SensorError::NotReady));
        }
    }

    #[test]
    fn too_much_light_is_out_of_range_and_a_reset_is_an_error() {
        let mut bench = Bench::<Veml7700>::open(Box::new(simulated(|_| u16::MAX)), json!({})).unwrap();
        assert_eq!(bench.read().unwrap().samples[0].quality, Quality::OutOfRange);
        write(&mut bench.driver.device, ASLEEP).unwrap();
        assert_eq!(bench.take().err(), Some(forgotten()));
    }

    #[test]
    fn another_chip_and_impossible_settings_are_refused() {
        let other = RegisterFile::new(&[(ID, &[0x15, 0xC4])]);
        let error = Bench::<Veml7700>::open(Box::new(other), json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x81, found: 0x15 }));
        for settings in [json!({ "gain": 4.0 }), json!({ "integration_ms": 60 })] {
            let error = Bench::<Veml7700>::open(Veml7700::simulate(1), settings).err();
            assert!(matches!(error, Some(SensorError::Settings(_))), "{error:?}");
        }
    }
}
