//! Aosong DHT22 (AM2302) and DHT11: temperature and humidity on one wire, driven by the kernel.
//!
//! Kernel: `dht11` (`dtoverlay=dht11,gpiopin=4`), which tells the two apart, checks the checksum and measures not
//! more often than every two seconds. The timing is made by software: a read that fails now and then is normal.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, Folder};

/// In m°C.
const TEMPERATURE: &str = "in_temp_input";
/// In thousandths of a percent.
const HUMIDITY: &str = "in_humidityrelative_input";

/// Settings of a `kind = "dht22"` sensor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Added to every temperature. °C.
    temperature_offset: f64,
    /// Added to every humidity. Percent.
    humidity_offset: f64,
}

/// A DHT22.
pub struct Dht22 {
    device: FileDevice,
    settings: Settings,
}

impl Sensor for Dht22 {
    const KIND: &'static str = "dht22";
    const TITLE: &'static str = "Aosong DHT22 (AM2302) or DHT11 temperature and humidity sensor";
    const SYSFS: Option<Sysfs> = Some(Sysfs { bus: "iio", names: &["dht11"] });
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").precision(1).range(-40.0, 80.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = FileDevice;
    type Config = Settings;

    fn open(device: FileDevice, settings: Settings) -> Result<Self, SensorError> {
        Ok(Self { device, settings })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        // The kernel keeps a measurement for two seconds: both are of the same.
        let temperature = self.device.number(TEMPERATURE)? / 1000.0;
        let humidity = self.device.number(HUMIDITY)? / 1000.0;
        frame.push("temperature", temperature + self.settings.temperature_offset);
        frame.push("humidity", humidity + self.settings.humidity_offset);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn FileModel> {
        let (warmth, damp) = (Curve::new(seed, 21.0, 3.0), Curve::new(seed ^ 0x1000, 45.0, 15.0));
        Box::new(Folder::live(move |files, now| {
            // A tenth is the finest that it tells.
            let milli = |curve: Curve| format!("{:.0}", (curve.at(now) * 10.0).round() * 100.0);
            files.insert(TEMPERATURE.into(), milli(warmth));
            files.insert(HUMIDITY.into(), milli(damp));
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sedge_hal::{Seat, SimBus};
    use sedge_plugin::testing::HandClock;

    use super::*;

    #[test]
    fn the_kernels_thousandths_are_converted_and_corrected() {
        let files = Folder::new(&[(TEMPERATURE, "-10100"), (HUMIDITY, "65200")]);
        let settings = Settings { temperature_offset: -0.5, humidity_offset: 2.0 };
        let mut frame = Frame::default();
        Dht22::open(FileDevice::new("iio:device0", files), settings).unwrap().read(&mut frame).unwrap();
        assert_eq!(frame.get("temperature"), Some(&Value::Number(-10.6)));
        assert_eq!(frame.get("humidity"), Some(&Value::Number(67.2)));
    }

    #[test]
    fn a_read_that_the_kernel_refuses_is_an_error_of_the_bus() {
        struct Disturbed;
        impl sedge_plugin::device::Files for Disturbed {
            fn read(&mut self, _: &str) -> Result<String, BusError> {
                Err(BusError::Timeout)
            }
            fn names(&mut self) -> Result<Vec<String>, BusError> {
                Ok(vec![TEMPERATURE.into(), HUMIDITY.into()])
            }
        }
        let mut dht = Dht22::open(FileDevice::new("iio:device0", Disturbed), Settings::default()).unwrap();
        assert_eq!(dht.read(&mut Frame::default()), Err(SensorError::Bus(BusError::Timeout)));
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve() {
        let (seat, clock) = (Seat::Name("dht".into()), Arc::new(HandClock::default()));
        let bus = SimBus::new("test", clock.clone());
        bus.attach_files(&seat, Dht22::simulate(3));
        let time = std::time::Duration::from_secs(500);
        clock.advance(time);
        let mut frame = Frame::default();
        Dht22::open(bus.file_device(&seat), Settings::default()).unwrap().read(&mut frame).unwrap();
        let expected = Curve::new(3, 21.0, 3.0).at(time);
        assert!((frame.samples[0].number().unwrap() - expected).abs() < 0.051, "{frame:?}");
    }
}
