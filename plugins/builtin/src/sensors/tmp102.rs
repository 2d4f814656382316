//! Texas Instruments TMP102: temperature to ±2 °C on I2C.
//!
//! Datasheet: SBOS397. It has no id; a chip is taken for one if its configuration register holds what a TMP102 holds there
//! at all times. One conversion per reading (one-shot mode), so that the chip sleeps and does not warm itself in between.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::chip::{Converter, forgotten};

const TEMPERATURE: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;

/// OS and SD, the rest as after power-on: written, it begins a conversion; read, OS is 1 when that is done.
const ONE_SHOT: u16 = 0xE1A0;
const DONE: u16 = 1 << 15;
const SHUTDOWN: u16 = 1 << 8;
/// R1 and R0, which are always 1, and the low bits, which are always 0.
const CONSTANT: (u16, u16) = (0x600F, 0x6000);
/// The temperature has thirteen bits, not twelve.
const EXTENDED: u16 = 1;
/// 26 ms, at most 35 ms.
const CONVERSION: Duration = Duration::from_millis(38);

/// Settings of a `kind = "tmp102"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every reading, to correct for warmth from the board. °C.
    #[serde(default)]
    offset: f64,
}

/// A TMP102.
pub struct Tmp102 {
    device: I2cDevice,
    settings: Settings,
}

impl Sensor for Tmp102 {
    const KIND: &'static str = "tmp102";
    const TITLE: &'static str = "Texas Instruments TMP102 temperature sensor";
    const ADDRESSES: &'static [u8] = &[0x48, 0x49, 0x4A, 0x4B];
    const FIELDS: &'static [Field] =
        &[Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if device.read_u16_be(CONFIGURATION)? & CONSTANT.0 != CONSTANT.1 {
            return Err(SensorError::Garbage("its configuration register is not that of a TMP102".into()));
        }
        Ok(Self { device, settings })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u16_be(CONFIGURATION, ONE_SHOT)?;
        Ok(Some(CONVERSION))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let configuration = self.device.read_u16_be(CONFIGURATION)?;
        if configuration & SHUTDOWN == 0 {
            return Err(forgotten());
        }
        if configuration & DONE == 0 {
            return Err(SensorError::NotReady);
        }
        let raw = self.device.read_u16_be(TEMPERATURE)?;
        if raw & EXTENDED != 0 {
            return Err(forgotten());
        }
        frame.push("temperature", celsius(raw) + self.settings.offset);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Curve::new(seed, 21.0, 3.0);
        Box::new(Converter::new(
            &[(CONFIGURATION, 0x60A0)],
            CONVERSION,
            |words, register, word| {
                words.insert(register, word & !DONE);
                register == CONFIGURATION && word & (DONE | SHUTDOWN) == DONE | SHUTDOWN
            },
            move |words, now| {
                let raw = ((room.at(now) * 16.0) as i16) << 4;
                words.insert(TEMPERATURE, raw.cast_unsigned());
                words.entry(CONFIGURATION).and_modify(|word| *word |= DONE);
            },
        ))
    }
}

/// Two's complement, twelve bits from the top, 0.0625 °C per bit.
fn celsius(raw: u16) -> f64 {
    f64::from(raw.cast_signed() >> 4) / 16.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn the_datasheets_table_is_converted() {
        // The table of twelve-bit temperatures.
        for (raw, value) in [
            (0x7FF, 127.9375),
            (0x640, 100.0),
            (0x500, 80.0),
            (0x4B0, 75.0),
            (0x320, 50.0),
            (0x190, 25.0),
            (0x004, 0.25),
            (0x000, 0.0),
            (0xFFC, -0.25),
            (0xE70, -25.0),
            (0xC90, -55.0),
        ] {
            assert_eq!(celsius(raw << 4), value, "{raw:#05x}");
        }
    }

    #[test]
    fn a_reading_is_there_after_the_conversion_and_not_before() {
        let mut bench = Bench::<Tmp102>::simulated(1, json!({ "offset": 100.0 }));
        bench.driver.start().unwrap();
        assert_eq!(bench.take().err(), Some(SensorError::NotReady));
        let frame = bench.read().unwrap();
        assert_close(number(&frame, "temperature"), Curve::new(1, 121.0, 3.0).at(bench.now()), 1.0 / 16.0);
    }

    #[test]
    fn another_chip_and_one_that_was_reset_are_refused() {
        let chip = |configuration| {
            let words = [(CONFIGURATION, configuration)];
            Box::new(Converter::new(&words, CONVERSION, |_, _, _| false, |_, _| {}))
        };
        let lm75 = Bench::<Tmp102>::open(chip(0x0000), json!({}));
        assert!(matches!(lm75.err(), Some(SensorError::Garbage(_))));
        let mut reset = Bench::<Tmp102>::open(chip(0x60A0), json!({})).unwrap();
        assert_eq!(reset.take().err(), Some(forgotten()));
    }
}
