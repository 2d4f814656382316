//! Maxim DS18B20 and its kin (DS18S20, DS1822, DS1825): temperature on 1-Wire, driven by the kernel.
//!
//! Datasheet: 19-7487. Kernel: `w1_therm` (`dtoverlay=w1-gpio`). A conversion takes up to 750 ms, which the kernel
//! waits while the file is read: that is the thread of this 1-Wire bus and no other.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, Folder};

/// In m°C, checked by the kernel.
const TEMPERATURE: &str = "temperature";
/// The scratchpad in two lines, on kernels before 5.8.
const SCRATCHPAD: &str = "w1_slave";
/// What it holds before its first conversion, and after its supply broke down in the middle of one.
const POWER_ON: f64 = 85_000.0;
/// What libraries say of a sensor that is not there.
const DISCONNECTED: f64 = -127_000.0;

/// Settings of a `kind = "ds18b20"` sensor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every reading. °C.
    #[serde(default)]
    offset: f64,
}

/// A DS18B20.
pub struct Ds18b20 {
    device: FileDevice,
    settings: Settings,
    file: &'static str,
}

impl Sensor for Ds18b20 {
    const KIND: &'static str = "ds18b20";
    const TITLE: &'static str = "Maxim DS18B20 temperature sensor";
    const SYSFS: Option<Sysfs> = Some(Sysfs { bus: "w1", names: &["28", "10", "22", "3b"] });
    const FIELDS: &'static [Field] =
        &[Field::new("temperature", Unit::Celsius).class("temperature").range(-55.0, 125.0)];
    type Device = FileDevice;
    type Config = Settings;

    fn open(mut device: FileDevice, settings: Settings) -> Result<Self, SensorError> {
        let checked = device.names()?.iter().any(|name| name == TEMPERATURE);
        let file = if checked { TEMPERATURE } else { SCRATCHPAD };
        Ok(Self { device, settings, file })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let milli = match self.file {
            TEMPERATURE => self.device.number(TEMPERATURE)?,
            file => scratchpad(&self.device.read(file)?)?,
        };
        // A reading of exactly 85 °C is lost with it: better that than a fire that is not there.
        match milli {
            POWER_ON => return Err(SensorError::NotReady),
            DISCONNECTED => return Err(SensorError::Garbage("the sensor is disconnected".into())),
            _ => frame.push("temperature", milli / 1000.0 + self.settings.offset),
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn FileModel> {
        let room = Curve::new(seed, 21.0, 3.0);
        Box::new(Folder::live(move |files, now| {
            let milli = (room.at(now) * 16.0).round() * 62.5;
            files.insert(TEMPERATURE.into(), format!("{milli:.0}"));
        }))
    }
}

/// m°C from `72 01 4b 46 7f ff 0e 10 57 : crc=57 YES` and `72 01 4b 46 7f ff 0e 10 57 t=23125`.
fn scratchpad(text: &str) -> Result<f64, SensorError> {
    let mut lines = text.lines();
    if !lines.next().is_some_and(|line| line.trim_end().ends_with(" YES")) {
        return Err(SensorError::Checksum);
    }
    let number = lines.next().and_then(|line| line.split_once("t=")?.1.trim().parse::<i32>().ok());
    number.map(f64::from).ok_or(SensorError::Garbage("the kernel tells no temperature".into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(file: &str, text: &str) -> Result<f64, SensorError> {
        let device = FileDevice::new("28-0316a2794cff", Folder::new(&[(file, text)]));
        let mut frame = Frame::default();
        Ds18b20::open(device, Settings::default())?.read(&mut frame)?;
        Ok(frame.samples[0].number().unwrap())
    }

    #[test]
    fn the_file_of_new_kernels_and_that_of_old_ones_are_read() {
        let old = "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125";
        assert_eq!(read(SCRATCHPAD, old), Ok(23.125));
        assert_eq!(read(TEMPERATURE, "-10125"), Ok(-10.125));
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let bad = "72 01 4b 46 7f ff 0e 10 57 : crc=58 NO\n72 01 4b 46 7f ff 0e 10 57 t=23125";
        assert_eq!(read(SCRATCHPAD, bad), Err(SensorError::Checksum));
        assert_eq!(read(SCRATCHPAD, ""), Err(SensorError::Checksum));
        assert!(matches!(read(SCRATCHPAD, "x : crc=57 YES\nx t="), Err(SensorError::Garbage(_))));
    }

    #[test]
    fn what_it_says_without_having_measured_is_refused() {
        assert_eq!(read(TEMPERATURE, "85000"), Err(SensorError::NotReady));
        assert_eq!(read(SCRATCHPAD, "x : crc=1c YES\nx t=85000"), Err(SensorError::NotReady));
        assert!(matches!(read(TEMPERATURE, "-127000"), Err(SensorError::Garbage(_))));
        assert!(matches!(read(TEMPERATURE, ""), Err(SensorError::Garbage(_))));
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve() {
        let text = Ds18b20::simulate(1).read(TEMPERATURE, Duration::ZERO).unwrap();
        let expected = Curve::new(1, 21.0, 3.0).at(Duration::ZERO);
        assert!((read(TEMPERATURE, &text).unwrap() - expected).abs() <= 0.032);
    }
}
