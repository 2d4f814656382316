//! Maxim DS3231: the temperature of a clock on I2C, and whether its oscillator has stood still.
//!
//! Datasheet: 19-5170. It has no id; the bits that always read as zero are checked. It measures by itself every 64 s,
//! to ±3 °C, and is only read here: the clock stays the kernel's. Where the kernel drives it
//! (`dtoverlay=i2c-rtc,ds3231`) its address is taken: read its temperature with `kind = "hwmon"` then.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

const STATUS: u8 = 0x0F;
const OSCILLATOR_STOPPED: u8 = 1 << 7;
/// A conversion runs.
const BUSY: u8 = 1 << 2;
/// Bits 6 to 4 of the status read as zero, and so do the low ones of the temperature.
const STATUS_ZERO: u8 = 0x70;
const TEMPERATURE_ZERO: u8 = 0x3F;

/// Settings of a `kind = "ds3231"` sensor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every reading, to correct for warmth from the board. °C.
    #[serde(default)]
    offset: f32,
}

/// A DS3231.
pub struct Ds3231 {
    device: I2cDevice,
    settings: Settings,
}

impl Sensor for Ds3231 {
    const KIND: &'static str = "ds3231";
    const TITLE: &'static str = "Maxim DS3231 clock, its temperature";
    const ADDRESSES: &'static [u8] = &[0x68];
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
        Field::new("stopped", Unit::None).kind(FieldKind::State),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        registers(&mut device)?;
        Ok(Self { device, settings })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let (status, temperature) = registers(&mut self.device)?;
        // After power-on it holds 0 °C until the first conversion is done.
        if temperature == [0; 2] && status & BUSY != 0 {
            return Err(SensorError::NotReady);
        }
        frame.push("temperature", celsius(temperature) + self.settings.offset);
        frame.push("stopped", status & OSCILLATOR_STOPPED != 0);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Curve::new(seed, 23.0, 3.0);
        let chip = RegisterFile::live(move |chip, now| {
            let raw = (room.at(now) * 4.0).round() as i16;
            let [high, low] = (raw << 6).to_be_bytes();
            chip.set(STATUS, &[0, 0, high, low]);
        });
        Box::new(chip)
    }
}

/// The status and the temperature; the register between them is the ageing offset.
fn registers(device: &mut I2cDevice) -> Result<(u8, [u8; 2]), SensorError> {
    let mut registers = [0; 4];
    device.write_read(&[STATUS], &mut registers)?;
    let [status, _, high, low] = registers;
    if status & STATUS_ZERO != 0 || low & TEMPERATURE_ZERO != 0 {
        return Err(SensorError::Garbage("bits are set that a DS3231 has not (another chip?)".into()));
    }
    Ok((status, [high, low]))
}

/// Two's complement, a quarter of a degree per bit from bit 6 on.
fn celsius(raw: [u8; 2]) -> f32 {
    f32::from(i16::from_be_bytes(raw)) / 256.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    fn read(wire: Wire) -> Result<Frame, SensorError> {
        let mut frame = Frame::default();
        Ds3231::open(I2cDevice::new(0x68, wire, NoDelay), Settings::default())?.read(&mut frame)?;
        Ok(frame)
    }

    fn holding(registers: [u8; 4]) -> Result<Frame, SensorError> {
        read(Wire::to(0x68, RegisterFile::new(&[(STATUS, &registers)])))
    }

    #[test]
    fn the_datasheets_example_is_converted() {
        assert_eq!(celsius([0b0001_1001, 0b0100_0000]), 25.25);
        assert_eq!(celsius([0b1111_1111, 0b1100_0000]), -0.25);
    }

    #[test]
    fn a_clock_that_stood_still_says_so() {
        let frame = holding([OSCILLATOR_STOPPED | 0x08, 0, 25, 0x40]).unwrap();
        assert_eq!(frame.get("stopped"), Some(&Value::Bool(true)));
        assert_eq!(holding([0x0B, 0, 25, 0]).unwrap().get("stopped"), Some(&Value::Bool(false)));
    }

    #[test]
    fn what_is_not_measured_yet_or_of_another_chip_is_refused() {
        assert_eq!(holding([OSCILLATOR_STOPPED | BUSY, 0, 0, 0]), Err(SensorError::NotReady));
        for wrong in [[0x10, 0, 25, 0], [0, 0, 25, 1], [0xFF; 4]] {
            assert!(matches!(holding(wrong), Err(SensorError::Garbage(_))), "{wrong:02x?}");
        }
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve() {
        let now = Duration::from_secs(1000);
        let frame = read(Wire::boxed(0x68, Ds3231::simulate(4)).at(now)).unwrap();
        let expected = Curve::new(4, 23.0, 3.0).at(now);
        assert!((frame.samples[0].number().unwrap() - expected).abs() <= 0.126, "{frame:?}");
    }
}
