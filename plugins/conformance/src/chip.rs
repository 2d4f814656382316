//! A kind of sensor on I2C that does what its registers say: a test sets those.
//!
//! | register | what it is |
//! |---|---|
//! | `0x00` | its identity, `0x5E` |
//! | `0x10` | the level, 16 bits, high byte first, in hundredths of a percent |
//! | `0x20` | the fault: 0 none, 1 a wrong checksum, 2 not ready, 3 a panic |
//! | `0x30` | what it was told to do last |

use sedge_plugin::prelude::*;
use sedge_plugin::sim::RegisterFile;
use serde_json::{Value as Json, json};

/// Where a chip says what it is.
pub const IDENTITY: u8 = 0x00;
/// What stands there.
pub const CHIP: u8 = 0x5E;
/// The level, in hundredths of a percent.
pub const LEVEL: u8 = 0x10;
/// The fault.
pub const FAULT: u8 = 0x20;
/// What it was told last.
pub const TOLD: u8 = 0x30;

/// Settings of a `kind = "probe-chip"` sensor.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Added to every level. Percent.
    offset: f64,
}

/// See the [module](self).
pub struct Chip {
    device: I2cDevice,
    settings: Settings,
}

/// What it can be told to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// What is written.
    to: u8,
}

impl Sensor for Chip {
    const KIND: &'static str = "probe-chip";
    const TITLE: &'static str = "Measures what a test wants";
    const ADDRESSES: &'static [u8] = &[0x48, 0x49];
    const FIELDS: &'static [Field] =
        &[Field::new("level", Unit::Percent).range(0.0, 100.0), Field::new("fault", Unit::None)];
    const OPERATIONS: &'static [Operation] =
        &[Operation::new::<Set>("set", "Set", "Writes a number where a test finds it.")];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        match device.read_u8(IDENTITY)? {
            CHIP => Ok(Self { device, settings }),
            found => Err(SensorError::WrongDevice { expected: CHIP.into(), found: found.into() }),
        }
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let fault = self.device.read_u8(FAULT)?;
        match fault {
            0 => {}
            1 => return Err(SensorError::Checksum),
            2 => return Err(SensorError::NotReady),
            _ => panic!("it panicked as its register told it"),
        }
        let level = f64::from(self.device.read_u16_be(LEVEL)?) / 100.0;
        frame.push("level", level + self.settings.offset);
        frame.push("fault", f64::from(fault));
        Ok(())
    }

    fn operate(&mut self, _: &str, args: &Json) -> Result<Json, SensorError> {
        let Set { to } = Set::deserialize(args).map_err(|e| SensorError::Settings(e.to_string().into()))?;
        self.device.write_u8(TOLD, to)?;
        Ok(json!({ "set": to }))
    }

    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(RegisterFile::new(&[(IDENTITY, &[CHIP]), (LEVEL, &4200_u16.to_be_bytes())]))
    }
}
