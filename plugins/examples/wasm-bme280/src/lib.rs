//! Bosch BME280: temperature, humidity and air pressure on I2C, around the driver crate `bme280`, unchanged.
//!
//! Datasheet: BST-BME280-DS002. It is written as if it were compiled in: the last line makes a component of it.

use bme280::i2c::BME280;
use bme280::{Configuration, Error};
use sedge_plugin::device::{Delay, Granted};
use sedge_plugin::prelude::*;
use sedge_plugin::sim::RegisterFile;

const ID: u8 = 0xD0;
const BME280_ID: u8 = 0x60;

/// A BME280. It has no settings.
pub struct Bme280 {
    chip: BME280<Granted>,
    delay: Delay,
}

impl Sensor for Bme280 {
    const KIND: &'static str = "wasm-bme280";
    const TITLE: &'static str = "Bosch BME280 temperature, humidity and pressure sensor";
    const ADDRESSES: &'static [u8] = &[0x76, 0x77];
    const IDENTITY: Option<Identity> = Some(Identity::byte(&[ID], BME280_ID));
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
        Field::new("pressure", Unit::Hectopascal).class("atmospheric_pressure").range(300.0, 1100.0),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        // The driver crate takes a BMP280 (0x58) too, and makes up its humidity.
        let found = device.read_u8(ID)?;
        if found != BME280_ID {
            return Err(SensorError::WrongDevice { expected: BME280_ID.into(), found: found.into() });
        }
        let address = device.address();
        let (bus, mut delay) = device.split();
        let mut chip = BME280::new(bus, address);
        chip.init_with_config(&mut delay, Configuration::default()).map_err(sensor_error)?;
        Ok(Self { chip, delay })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let measured = self.chip.measure(&mut self.delay).map_err(sensor_error)?;
        frame.push("temperature", measured.temperature);
        frame.push("humidity", measured.humidity);
        frame.push("pressure", measured.pressure / 100.0);
        Ok(())
    }

    /// A node simulates it by a kind of its own: `simulate` in the manifest.
    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(example())
    }
}

/// A chip that says the datasheet's example, and stands still.
fn example() -> RegisterFile {
    let words: [i16; 12] = [27504, 26435, -1000, -29059, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000];
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain([0, 75]).collect();
    RegisterFile::new(&[(ID, &[BME280_ID])])
        .with(0x88, &words)
        .with(0xE1, &[0x72, 0x01, 0x00, 0x13, 0x29, 0x03, 0x1E])
        .with(0xF7, &[0x65, 0x5A, 0xC0, 0x7E, 0xED, 0x00, 0x75, 0x30])
}

fn sensor_error(error: Error<BusError>) -> SensorError {
    match error {
        Error::Bus(error) => error.into(),
        Error::UnsupportedChip => SensorError::Garbage("the chip changed its id".into()),
        _ => SensorError::Garbage("the calibration words or the control register make no sense".into()),
    }
}

sedge_sdk::component!(sensor: Bme280);

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    #[test]
    fn the_datasheets_example_gives_its_values() {
        let mut device =
            Bme280::open(I2cDevice::new(0x76, Wire::to(0x76, example()), NoDelay), NoSettings {}).unwrap();
        let mut frame = Frame::default();
        device.read(&mut frame).unwrap();
        let number = |at: usize| frame.samples[at].number().unwrap();
        assert!((number(0) - 25.08).abs() < 0.005, "{frame:?}");
        assert!((number(2) - 1006.5327).abs() < 0.005, "{frame:?}");
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let bmp280 = RegisterFile::new(&[(ID, &[0x58])]);
        let opened = Bme280::open(I2cDevice::new(0x76, Wire::to(0x76, bmp280), NoDelay), NoSettings {});
        assert_eq!(opened.err(), Some(SensorError::WrongDevice { expected: 0x60, found: 0x58 }));
    }

    #[test]
    fn its_manifest_says_what_the_source_says() {
        // The component that it names need not be built.
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("wasm-bme280");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("plugin.toml"), include_str!("../plugin.toml")).unwrap();
        std::fs::write(folder.join("wasm-bme280.wasm"), "").unwrap();
        let declaration = sedge_host::manifest::read(&folder).unwrap();
        assert_eq!(declaration.info.name, Bme280::KIND);
        assert_eq!(declaration.info.version, env!("CARGO_PKG_VERSION"));
        let sensor = declaration.sensor.unwrap();
        assert_eq!(sensor.addresses, Bme280::ADDRESSES);
        for field in Bme280::FIELDS {
            let declared = &sensor.fields[&Name::new(field.name).unwrap()];
            let range = declared.min.zip(declared.max);
            assert_eq!(
                (declared.unit, &*declared.class, declared.precision, range),
                (field.unit, field.class, field.precision, field.range)
            );
        }
        assert_eq!(sensor.fields.len(), Bme280::FIELDS.len());
    }
}
