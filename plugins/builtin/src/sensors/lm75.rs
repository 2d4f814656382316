//! LM75 and what came after it (LM75A, LM75B, TMP75, TMP105 and others): temperature to ±2 °C on I2C.
//!
//! Datasheet: SBOS288 (TMP75). It has no id: any chip that answers is taken for one. It measures by itself, at least three
//! times a second; the first result after power-on takes that long, and until then the chip says 0 °C. A chip that
//! someone has put to sleep is woken.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, WordFile};

const TEMPERATURE: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;

const SHUTDOWN: u8 = 1;
/// The longest conversion in the family, that of a TMP75 at 12 bits.
const CONVERSION: Duration = Duration::from_millis(300);

/// Settings of a `kind = "lm75"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every reading, to correct for warmth from the board. °C.
    #[serde(default)]
    offset: f64,
    /// How many bits of a temperature count, 9 to 12: 9 for an LM75, 11 for an LM75A or LM75B, 12 for the others. Most
    /// chips leave the rest zero, so that 12 is right for them too.
    #[serde(default = "twelve")]
    bits: u8,
}

fn twelve() -> u8 {
    12
}

/// An LM75.
pub struct Lm75 {
    device: I2cDevice,
    settings: Settings,
}

impl Sensor for Lm75 {
    const KIND: &'static str = "lm75";
    const TITLE: &'static str = "LM75, TMP75 or TMP105 temperature sensor";
    const ADDRESSES: &'static [u8] = &[0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F];
    const FIELDS: &'static [Field] =
        &[Field::new("temperature", Unit::Celsius).class("temperature").range(-55.0, 125.0)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if !(9..=12).contains(&settings.bits) {
            return Err(SensorError::Settings("`bits` is 9, 10, 11 or 12".into()));
        }
        device.read_u8(CONFIGURATION)?;
        Ok(Self { device, settings })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        let configuration = self.device.read_u8(CONFIGURATION)?;
        if configuration & SHUTDOWN == 0 {
            return Ok(None);
        }
        self.device.write_u8(CONFIGURATION, configuration & !SHUTDOWN)?;
        Ok(Some(CONVERSION))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let raw = self.device.read_u16_be(TEMPERATURE)?;
        frame.push("temperature", celsius(raw, self.settings.bits) + self.settings.offset);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Curve::new(seed, 21.0, 3.0);
        // The configuration, a register of one byte, is the high byte of a word here.
        Box::new(WordFile::new(&[(CONFIGURATION, 0)], move |words, now| {
            let raw = ((room.at(now) * 16.0) as i16) << 4;
            words.insert(TEMPERATURE, raw.cast_unsigned());
        }))
    }
}

/// Two's complement, 1 °C per bit in the high byte; the low one holds the fraction from its top.
fn celsius(raw: u16, bits: u8) -> f64 {
    let unused = 16 - u32::from(bits.min(16));
    f64::from((raw.cast_signed() >> unused) << unused) / 256.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn the_datasheets_table_is_converted() {
        // SBOS288, the table of temperatures; twelve bits, left-aligned.
        for (raw, value) in [
            (0x7FF0, 127.9375),
            (0x6400, 100.0),
            (0x5000, 80.0),
            (0x1900, 25.0),
            (0x0040, 0.25),
            (0x0000, 0.0),
            (0xFFC0, -0.25),
            (0xE700, -25.0),
            (0xC900, -55.0),
        ] {
            assert_eq!(celsius(raw, 12), value, "{raw:#06x}");
        }
    }

    #[test]
    fn bits_that_do_not_count_are_not_read() {
        assert_eq!(celsius(0x197F, 9), 25.0);
        assert_eq!(celsius(0xFFFF, 9), -0.5);
        assert!(Bench::<Lm75>::open(Lm75::simulate(1), json!({ "bits": 13 })).is_err());
    }

    #[test]
    fn a_reading_is_that_of_the_curve() {
        let mut bench = Bench::<Lm75>::simulated(1, json!({ "offset": 100.0 }));
        let frame = bench.read().unwrap();
        assert_close(number(&frame, "temperature"), Curve::new(1, 121.0, 3.0).at(bench.now()), 1.0 / 16.0);
    }

    #[test]
    fn a_chip_that_sleeps_is_woken_and_given_time() {
        let asleep = WordFile::new(&[(CONFIGURATION, 0x0100), (TEMPERATURE, 0x1900)], |_, _| {});
        let mut bench = Bench::<Lm75>::open(Box::new(asleep), json!({})).unwrap();
        assert_eq!(bench.driver.start(), Ok(Some(CONVERSION)));
        let awake = WordFile::new(&[(TEMPERATURE, 0x1900)], |_, _| {});
        let mut bench = Bench::<Lm75>::open(Box::new(awake), json!({})).unwrap();
        assert_eq!(bench.driver.start(), Ok(None));
        assert_eq!(number(&bench.read().unwrap(), "temperature"), 25.0);
    }
}
