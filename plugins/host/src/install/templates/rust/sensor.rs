//! A temperature sensor on I2C: a word of 1/256 °C in register 0, which says who it is in register 15.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::RegisterFile;

const TEMPERATURE: u8 = 0x00;
const ID: u8 = 0x0F;
const EXPECTED: u8 = 0x42;

/// Its settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Added to every reading. Celsius.
    #[serde(default)]
    offset: f64,
}

/// The sensor.
pub struct {{type}} {
    device: I2cDevice,
    config: Config,
}

impl Sensor for {{type}} {
    const KIND: &'static str = "{{name}}";
    const TITLE: &'static str = "A temperature sensor";
    const ADDRESSES: &'static [u8] = &[0x48, 0x49];
    const IDENTITY: Option<Identity> = Some(Identity::byte(&[ID], EXPECTED));
    const FIELDS: &'static [Field] =
        &[Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0)];
    type Device = I2cDevice;
    type Config = Config;

    fn open(mut device: I2cDevice, config: Config) -> Result<Self, SensorError> {
        match device.read_u8(ID)? {
            EXPECTED => Ok(Self { device, config }),
            found => Err(SensorError::WrongDevice { expected: EXPECTED.into(), found: found.into() }),
        }
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let raw = self.device.read_u16_be(TEMPERATURE)?;
        frame.push("temperature", celsius(raw) + self.config.offset);
        Ok(())
    }

    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(RegisterFile::new(&[(ID, &[EXPECTED])]).with(TEMPERATURE, &[0x19, 0x80]))
    }
}

/// Two's complement, 1/256 °C per bit.
fn celsius(raw: u16) -> f64 {
    f64::from(raw.cast_signed()) / 256.0
}
{{export}}
#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    fn open(chip: Box<dyn I2cModel>) -> Result<{{type}}, SensorError> {
        {{type}}::open(I2cDevice::new(0x48, Wire::boxed(0x48, chip), NoDelay), Config { offset: 1.0 })
    }

    #[test]
    fn the_datasheets_examples_give_their_values() {
        for (raw, expected) in [(0x0000, 0.0), (0x1980, 25.5), (0xF600, -10.0)] {
            assert_eq!(celsius(raw), expected);
        }
    }

    #[test]
    fn a_reading_has_the_offset() {
        let mut frame = Frame::default();
        open({{type}}::simulate(0)).unwrap().read(&mut frame).unwrap();
        assert_eq!(frame.get("temperature"), Some(&Value::Number(26.5)));
    }

    #[test]
    fn another_chip_is_refused() {
        let other = RegisterFile::new(&[(ID, &[0x41])]);
        assert_eq!(open(Box::new(other)).err(), Some(SensorError::WrongDevice { expected: 0x42, found: 0x41 }));
    }
}
