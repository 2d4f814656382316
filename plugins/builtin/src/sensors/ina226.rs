//! Texas Instruments INA226: voltage, current and power of a supply up to 36 V, on I2C.
//!
//! Datasheet: SBOS547. One conversion per reading (triggered mode), sixteen samples averaged. The shunt may drop 81.9 mV,
//! which is 0.8 A at the 0.1 Ω of many boards.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::ina2xx::{self, Model, Monitor};

const DIE: u8 = 0xFF;
const INA226_DIE: u16 = 0x2260;

/// The low four bits are the revision.
const IDENTITY: Identity = Identity::word(&[DIE], INA226_DIE).mask(0xFFF0);
const MODEL: Model = Model {
    // Bit 14 is always 1; sixteen samples of 1.1 ms of both, triggered.
    configuration: 1 << 14 | 0b010 << 9 | 0b100 << 6 | 0b100 << 3 | 0b011,
    // Sixteen times twice 1.21 ms (the electrical characteristics).
    takes: Duration::from_millis(40),
    // CVRF, in the register of the alerts.
    ready: (0x06, 1 << 3),
};

/// Settings of a `kind = "ina226"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The shunt's resistance. Ω.
    #[serde(default = "tenth")]
    shunt_ohm: f64,
}

fn tenth() -> f64 {
    0.1
}

/// An INA226.
pub struct Ina226 {
    monitor: Monitor,
    shunt_ohm: f64,
}

impl Sensor for Ina226 {
    const KIND: &'static str = "ina226";
    const TITLE: &'static str = "Texas Instruments INA226 voltage, current and power monitor";
    const ADDRESSES: &'static [u8] = ina2xx::ADDRESSES;
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] = &[
        Field::new("voltage", Unit::Volt).class("voltage").precision(3).range(0.0, 36.0),
        Field::new("current", Unit::Ampere).class("current").precision(4),
        Field::new("power", Unit::Watt).class("power").precision(3),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let shunt_ohm = ina2xx::check_shunt(settings.shunt_ohm)?;
        IDENTITY.check(&mut device)?;
        Ok(Self { monitor: Monitor::new(device, MODEL), shunt_ohm })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.monitor.start()
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let (shunt, bus) = self.monitor.read()?;
        let cut_off = matches!(shunt, i16::MIN | i16::MAX);
        ina2xx::push(frame, bus_volts(bus), shunt_volts(shunt) / self.shunt_ohm, cut_off);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let [volts, amperes] = [Curve::new(seed, 12.0, 0.5), Curve::new(seed ^ 0x1000, 0.4, 0.3)];
        ina2xx::simulate(MODEL, &[(DIE, INA226_DIE)], move |now| {
            ((amperes.at(now) * tenth() / 2.5e-6) as i16, (volts.at(now) / 0.00125) as u16)
        })
    }
}

/// 2.5 µV per bit.
fn shunt_volts(raw: i16) -> f64 {
    f64::from(raw) * 2.5e-6
}

/// 1.25 mV per bit.
fn bus_volts(raw: u16) -> f64 {
    f64::from(raw) * 0.00125
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};
    use crate::sensors::shared::chip::forgotten;

    #[test]
    fn the_datasheets_example_is_converted() {
        // The example of the calibration: 20 mV at 2 mΩ are 10 A; 12 V are read as 11.98 V.
        assert_close(shunt_volts(0x1F40) / 0.002, 10.0, 1e-9);
        assert_close(bus_volts(0x2570), 11.98, 1e-9);
    }

    #[test]
    fn a_reading_is_that_of_the_curves() {
        let mut bench = Bench::<Ina226>::simulated(1, json!({ "shunt_ohm": 0.05 }));
        let frame = bench.read().unwrap();
        assert_close(number(&frame, "voltage"), Curve::new(1, 12.0, 0.5).at(bench.now()), 0.00125);
        let amperes = 2.0 * Curve::new(0x1001, 0.4, 0.3).at(bench.now());
        assert_close(number(&frame, "current"), amperes, 0.0001);
    }

    #[test]
    fn a_chip_that_is_not_ready_or_was_reset_or_cannot_tell_is_known_by_it() {
        let mut bench = Bench::<Ina226>::simulated(1, json!({}));
        bench.driver.start().unwrap();
        assert_eq!(bench.take().err(), Some(SensorError::NotReady));
        bench.driver.monitor.device.write_u16_be(0x00, 0x4127).unwrap();
        assert_eq!(bench.take().err(), Some(forgotten()));
        let chip = ina2xx::simulate(MODEL, &[(DIE, INA226_DIE)], |_| (i16::MAX, 9600));
        let frame = Bench::<Ina226>::open(chip, json!({})).unwrap().read().unwrap();
        assert_eq!(frame.samples[1].quality, Quality::OutOfRange);
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let ina260 = ina2xx::simulate(MODEL, &[(DIE, 0x2270)], |_| (0, 0));
        let error = Bench::<Ina226>::open(ina260, json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x2260, found: 0x2270 }));
    }
}
