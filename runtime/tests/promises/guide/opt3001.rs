//! Texas Instruments OPT3001: illuminance on I2C, with the eye's own curve.
//!
//! Datasheet: SBOS681C. One conversion of 800 ms per reading, at the range that the chip chooses; it sleeps in between.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, WordFile};

const RESULT: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;
const DEVICE_ID: &[u8] = &[0x7F];

/// RN = automatic, CT = 800 ms, M = single-shot (section 7.6.1.1.2).
const SINGLE_SHOT: u16 = 0b1100 << 12 | 1 << 11 | 0b01 << 9;
const READY: u16 = 1 << 7;
const OVERFLOW: u16 = 1 << 8;
/// Conversion and range-finding (section 6.5).
const CONVERSION: Duration = Duration::from_millis(880);

/// Settings of a `kind = "opt3001"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What every reading is multiplied by, for a window that swallows light.
    #[serde(default = "one")]
    window: f64,
}

fn one() -> f64 {
    1.0
}

/// An OPT3001.
pub struct Opt3001 {
    device: I2cDevice,
    settings: Settings,
}

impl Sensor for Opt3001 {
    const KIND: &'static str = "opt3001";
    const TITLE: &'static str = "Texas Instruments OPT3001 light sensor";
    const ADDRESSES: &'static [u8] = &[0x44, 0x45, 0x46, 0x47];
    const IDENTITY: Option<Identity> = Some(Identity::word(DEVICE_ID, 0x3001));
    const FIELDS: &'static [Field] =
        &[Field::new("illuminance", Unit::Lux).class("illuminance").range(0.0, 83_865.6)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if !(settings.window.is_finite() && settings.window > 0.0) {
            return Err(SensorError::Settings("`window` is a factor above zero".into()));
        }
        Identity::word(DEVICE_ID, 0x3001).check(&mut device)?;
        Ok(Self { device, settings })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u16_be(CONFIGURATION, SINGLE_SHOT)?;
        Ok(Some(CONVERSION))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let state = self.device.read_u16_be(CONFIGURATION)?;
        if state & READY == 0 {
            return Err(SensorError::NotReady);
        }
        if state & OVERFLOW != 0 {
            frame.missing("illuminance", "overflow");
            return Ok(());
        }
        frame.push("illuminance", lux(self.device.read_u16_be(RESULT)?) * self.settings.window);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let sky = Curve::new(seed, 400.0, 300.0);
        let mut done = None;
        Box::new(WordFile::new(&[(0x7F, 0x3001)], move |words, now| {
            let control = words.get(&CONFIGURATION).copied().unwrap_or_default();
            if control & 0b11 << 9 != 0 {
                // It has begun, and is at rest again from then on.
                done = Some(now + CONVERSION - Duration::from_millis(80));
                words.insert(CONFIGURATION, control & !(0b11 << 9 | READY));
            }
            if done.take_if(|done| now >= *done).is_some() {
                words.insert(RESULT, 0x3 << 12 | (sky.at(now) / 0.08) as u16 & 0x0FFF);
                words.insert(CONFIGURATION, control | READY);
            }
        }))
    }
}

/// Four bits of exponent, twelve of mantissa, 0.01 lx for the smallest step.
fn lux(raw: u16) -> f64 {
    f64::from(raw & 0x0FFF) * 0.01 * f64::from(1_u32 << (raw >> 12))
}

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    fn open(words: &[(u8, u16)]) -> Result<Opt3001, SensorError> {
        let chip = WordFile::new(words, |_, _| {});
        Opt3001::open(I2cDevice::new(0x44, Wire::to(0x44, chip), NoDelay), Settings { window: 1.0 })
    }

    #[test]
    fn the_datasheets_examples_are_converted() {
        for (raw, value) in [(0x0001, 0.01), (0x0FFF, 40.95), (0x3456, 88.80), (0x789A, 2818.56)] {
            assert!((lux(raw) - value).abs() < 0.001, "{raw:#06x}");
        }
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let error = open(&[(0x7F, 0x1234)]).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x3001, found: 0x1234 }));
    }

    #[test]
    fn what_is_not_ready_or_too_bright_is_no_number() {
        let mut frame = Frame::default();
        assert_eq!(open(&[(0x7F, 0x3001)]).unwrap().read(&mut frame), Err(SensorError::NotReady));
        let bright = [(0x7F, 0x3001), (CONFIGURATION, READY | OVERFLOW), (RESULT, 0xBFFF)];
        open(&bright).unwrap().read(&mut frame).unwrap();
        assert_eq!(frame.samples[0].value, Err("overflow".into()));
    }
}
