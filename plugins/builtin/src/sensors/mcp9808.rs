//! Microchip MCP9808: temperature to ±0.5 °C on I2C.
//!
//! Datasheet: DS25095. It has no one-shot mode: it is woken for a reading, which takes 250 ms, and put to sleep again, so
//! that a reading is never older than that. The alert pin is not used: the critical limit serves as a mark, by which a chip
//! is known that a weak supply has reset and that says 0 °C until it has measured.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::chip::{Converter, forgotten};

const CONFIGURATION: u8 = 0x01;
const CRITICAL: u8 = 0x04;
const TEMPERATURE: u8 = 0x05;
const MANUFACTURER: Identity = Identity::word(&[0x06], 0x0054);
const DEVICE: u8 = 0x07;
const RESOLUTION: u8 = 0x08;

/// The low byte is the revision.
const IDENTITY: Identity = Identity::word(&[DEVICE], 0x0400).mask(0xFF00);
const AWAKE: u16 = 0;
const SHUTDOWN: u16 = 1 << 8;
/// 125 °C; 0 °C after power-on.
const MARK: u16 = 0x07D0;
/// 0.0625 °C, as after power-on.
const FINEST: u8 = 0b11;
/// 250 ms (the table of resolutions), and a fifth more.
const CONVERSION: Duration = Duration::from_millis(300);

/// Settings of a `kind = "mcp9808"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every reading, to correct for warmth from the board. °C.
    #[serde(default)]
    offset: f64,
}

/// An MCP9808.
pub struct Mcp9808 {
    device: I2cDevice,
    settings: Settings,
}

impl Sensor for Mcp9808 {
    const KIND: &'static str = "mcp9808";
    const TITLE: &'static str = "Microchip MCP9808 temperature sensor";
    const ADDRESSES: &'static [u8] = &[0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F];
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] =
        &[Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        MANUFACTURER.check(&mut device)?;
        IDENTITY.check(&mut device)?;
        device.write_u8(RESOLUTION, FINEST)?;
        device.write_u16_be(CRITICAL, MARK)?;
        Ok(Self { device, settings })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u16_be(CONFIGURATION, AWAKE)?;
        Ok(Some(CONVERSION))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        if self.device.read_u16_be(CONFIGURATION)? & SHUTDOWN != 0 {
            return Err(SensorError::NotReady);
        }
        if self.device.read_u16_be(CRITICAL)? != MARK {
            return Err(forgotten());
        }
        let raw = self.device.read_u16_be(TEMPERATURE)?;
        self.device.write_u16_be(CONFIGURATION, SHUTDOWN)?;
        frame.push("temperature", celsius(raw) + self.settings.offset);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Curve::new(seed, 21.0, 3.0);
        let words = [(0x06, 0x0054), (DEVICE, 0x0400), (RESOLUTION, u16::from(FINEST) << 8)];
        Box::new(Converter::new(
            &words,
            CONVERSION,
            |_, register, word| register == CONFIGURATION && word & SHUTDOWN == 0,
            move |words, now| {
                let raw = ((room.at(now) * 16.0) as i16).cast_unsigned() & 0x1FFF;
                // An alert flag, as after power-on: the upper limit is 0 °C.
                words.insert(TEMPERATURE, raw | 1 << 14);
            },
        ))
    }
}

/// Two's complement, thirteen bits, 0.0625 °C per bit; above them the flags of the alerts.
fn celsius(raw: u16) -> f64 {
    f64::from((raw << 3).cast_signed() >> 3) / 16.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn the_sign_and_the_fraction_are_converted_and_the_flags_are_not() {
        for (raw, value) in [
            (0x0000, 0.0),
            (0x0001, 0.0625),
            (0x0191, 25.0625),
            (0xC191, 25.0625),
            (0x1FFF, -0.0625),
            (0x3E6F, -25.0625),
            (0x07D0, 125.0),
            (0x1D80, -40.0),
        ] {
            assert_eq!(celsius(raw), value, "{raw:#06x}");
        }
    }

    #[test]
    fn a_reading_is_that_of_the_conversion_that_was_started() {
        let mut bench = Bench::<Mcp9808>::simulated(1, json!({ "offset": 100.0 }));
        for _ in 0..2 {
            let frame = bench.read().unwrap();
            assert_close(
                number(&frame, "temperature"),
                Curve::new(1, 121.0, 3.0).at(bench.now()),
                1.0 / 16.0,
            );
            assert_eq!(bench.take().err(), Some(SensorError::NotReady), "it sleeps");
        }
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let chip =
            |words: &[(u8, u16)]| Box::new(Converter::new(words, CONVERSION, |_, _, _| false, |_, _| {}));
        let other = Bench::<Mcp9808>::open(chip(&[(0x06, 0x0054), (DEVICE, 0x2201)]), json!({}));
        assert_eq!(other.err(), Some(SensorError::WrongDevice { expected: 0x0400, found: 0x2200 }));
        let maker = Bench::<Mcp9808>::open(chip(&[(0x06, 0x5449), (DEVICE, 0x0400)]), json!({}));
        assert_eq!(maker.err(), Some(SensorError::WrongDevice { expected: 0x54, found: 0x5449 }));
    }

    #[test]
    fn a_chip_that_was_reset_is_an_error_and_not_0_degrees() {
        let mut bench = Bench::<Mcp9808>::simulated(1, json!({}));
        bench.driver.device.write_u16_be(CRITICAL, 0).unwrap();
        assert_eq!(bench.read().err(), Some(forgotten()));
    }
}
