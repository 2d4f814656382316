//! Texas Instruments INA260: voltage, current and power of a supply up to 36 V and 15 A, on I2C.
//!
//! Datasheet: SBOS656. Its shunt of 2 mΩ is inside. One conversion per reading (triggered mode), sixteen samples averaged.
//! The power is computed from the other two: the chip's own has no sign.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::ina2xx::{self, Model, Monitor};

const DIE: u8 = 0xFF;
const INA260_DIE: u16 = 0x2270;

/// The low four bits are the revision.
const IDENTITY: Identity = Identity::word(&[DIE], INA260_DIE).mask(0xFFF0);
const MODEL: Model = Model {
    // Bits 14 and 13 are always 1; sixteen samples of 1.1 ms of both, triggered.
    configuration: 0b11 << 13 | 0b010 << 9 | 0b100 << 6 | 0b100 << 3 | 0b011,
    // Sixteen times twice 1.21 ms (the electrical characteristics).
    takes: Duration::from_millis(40),
    // CVRF, in the register of the alerts.
    ready: (0x06, 1 << 3),
};

/// An INA260. It has no settings.
pub struct Ina260 {
    monitor: Monitor,
}

impl Sensor for Ina260 {
    const KIND: &'static str = "ina260";
    const TITLE: &'static str = "Texas Instruments INA260 voltage, current and power monitor";
    const ADDRESSES: &'static [u8] = ina2xx::ADDRESSES;
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] = &[
        Field::new("voltage", Unit::Volt).class("voltage").precision(3).range(0.0, 36.0),
        Field::new("current", Unit::Ampere).class("current").precision(4).range(-15.0, 15.0),
        Field::new("power", Unit::Watt).class("power").precision(3),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        IDENTITY.check(&mut device)?;
        Ok(Self { monitor: Monitor::new(device, MODEL) })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.monitor.start()
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let (current, voltage) = self.monitor.read()?;
        let cut_off = matches!(current, i16::MIN | i16::MAX);
        ina2xx::push(frame, volts(voltage), amperes(current), cut_off);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let [volts, amperes] = [Curve::new(seed, 12.0, 0.5), Curve::new(seed ^ 0x1000, 2.0, 1.5)];
        ina2xx::simulate(MODEL, &[(DIE, INA260_DIE)], move |now| {
            ((amperes.at(now) / 0.00125) as i16, (volts.at(now) / 0.00125) as u16)
        })
    }
}

/// 1.25 mA per bit.
fn amperes(raw: i16) -> f64 {
    f64::from(raw) * 0.00125
}

/// 1.25 mV per bit.
fn volts(raw: u16) -> f64 {
    f64::from(raw) * 0.00125
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};
    use crate::sensors::shared::chip::forgotten;

    #[test]
    fn a_bit_is_1_25_milliamperes_or_millivolts() {
        assert_eq!([amperes(8000), amperes(-8000), volts(9600)], [10.0, -10.0, 12.0]);
    }

    #[test]
    fn a_reading_is_that_of_the_curves_and_power_has_the_currents_sign() {
        let mut bench = Bench::<Ina260>::simulated(1, json!({}));
        let frame = bench.read().unwrap();
        assert_close(number(&frame, "voltage"), Curve::new(1, 12.0, 0.5).at(bench.now()), 0.00125);
        assert_close(number(&frame, "current"), Curve::new(0x1001, 2.0, 1.5).at(bench.now()), 0.00125);
        let charging = ina2xx::simulate(MODEL, &[(DIE, INA260_DIE)], |_| (-800, 9600));
        let frame = Bench::<Ina260>::open(charging, json!({})).unwrap().read().unwrap();
        assert_close(number(&frame, "power"), -12.0, 1e-9);
    }

    #[test]
    fn a_chip_that_is_not_ready_or_was_reset_is_an_error() {
        let mut bench = Bench::<Ina260>::simulated(1, json!({}));
        bench.driver.start().unwrap();
        assert_eq!(bench.take().err(), Some(SensorError::NotReady));
        bench.driver.monitor.device.write_u16_be(0x00, 0x6127).unwrap();
        assert_eq!(bench.take().err(), Some(forgotten()));
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let ina226 = ina2xx::simulate(MODEL, &[(DIE, 0x2260)], |_| (0, 0));
        let error = Bench::<Ina260>::open(ina226, json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x2270, found: 0x2260 }));
    }
}
