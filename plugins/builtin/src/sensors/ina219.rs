//! Texas Instruments INA219: voltage, current and power of a supply up to 26 V, on I2C.
//!
//! Datasheet: SBOS448. It has no id: a chip is taken for one if its configuration after a reset is that of an INA219. One
//! conversion per reading (triggered mode), sixteen samples averaged. The shunt may drop 320 mV, which is 3.2 A at the
//! usual 0.1 Ω.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::ina2xx::{self, Model, Monitor};

const CONFIGURATION: u8 = 0x00;
const RESET: u16 = 0x8000;

const MODEL: Model = Model {
    // 32 V, 320 mV, sixteen samples of both, triggered.
    configuration: 1 << 13 | 0b11 << 11 | 0b1100 << 7 | 0b1100 << 3 | 0b011,
    // Twice 8.51 ms (the table of ADC settings), and a tenth more.
    takes: Duration::from_millis(19),
    // CNVR, in the register of the voltage.
    ready: (0x02, 1 << 1),
};
/// 320 mV.
const FULL_SCALE: u16 = 32_000;

/// Settings of a `kind = "ina219"` sensor.
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

/// An INA219.
pub struct Ina219 {
    monitor: Monitor,
    shunt_ohm: f64,
}

impl Sensor for Ina219 {
    const KIND: &'static str = "ina219";
    const TITLE: &'static str = "Texas Instruments INA219 voltage, current and power monitor";
    const ADDRESSES: &'static [u8] = ina2xx::ADDRESSES;
    const FIELDS: &'static [Field] = &[
        Field::new("voltage", Unit::Volt).class("voltage").precision(3).range(0.0, 26.0),
        Field::new("current", Unit::Ampere).class("current").precision(4),
        Field::new("power", Unit::Watt).class("power").precision(3),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let shunt_ohm = ina2xx::check_shunt(settings.shunt_ohm)?;
        device.write_u16_be(CONFIGURATION, RESET)?;
        device.delay_ms(1);
        if device.read_u16_be(CONFIGURATION)? != ina2xx::RESET {
            return Err(SensorError::Garbage(
                "its configuration after a reset is not that of an INA219".into(),
            ));
        }
        Ok(Self { monitor: Monitor::new(device, MODEL), shunt_ohm })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.monitor.start()
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let (shunt, bus) = self.monitor.read()?;
        let cut_off = shunt.unsigned_abs() >= FULL_SCALE;
        ina2xx::push(frame, bus_volts(bus), shunt_volts(shunt) / self.shunt_ohm, cut_off);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let [volts, amperes] = [Curve::new(seed, 5.0, 0.2), Curve::new(seed ^ 0x1000, 0.6, 0.4)];
        ina2xx::simulate(MODEL, &[], move |now| {
            let bus = (volts.at(now) / 0.004) as u16;
            ((amperes.at(now) * tenth() / 10e-6) as i16, bus << 3)
        })
    }
}

/// 10 µV per bit.
fn shunt_volts(raw: i16) -> f64 {
    f64::from(raw) * 10e-6
}

/// 4 mV per bit, above three bits of flags.
fn bus_volts(raw: u16) -> f64 {
    f64::from(raw >> 3) * 0.004
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
        assert_close(shunt_volts(0x07D0) / 0.002, 10.0, 1e-9);
        assert_close(bus_volts(0x5D98), 11.98, 1e-9);
    }

    #[test]
    fn a_reading_is_that_of_the_curves() {
        let mut bench = Bench::<Ina219>::simulated(1, json!({ "shunt_ohm": 0.05 }));
        let frame = bench.read().unwrap();
        assert_close(number(&frame, "voltage"), Curve::new(1, 5.0, 0.2).at(bench.now()), 0.004);
        let amperes = 2.0 * Curve::new(0x1001, 0.6, 0.4).at(bench.now());
        assert_close(number(&frame, "current"), amperes, 0.0003);
        assert_close(number(&frame, "power"), number(&frame, "voltage") * number(&frame, "current"), 1e-9);
    }

    #[test]
    fn a_current_beyond_the_scale_is_out_of_range() {
        let chip = ina2xx::simulate(MODEL, &[], |_| (-32_000, 1250 << 3));
        let frame = Bench::<Ina219>::open(chip, json!({})).unwrap().read().unwrap();
        let qualities: Vec<Quality> = frame.samples.iter().map(|sample| sample.quality).collect();
        assert_eq!(qualities, [Quality::Ok, Quality::OutOfRange, Quality::OutOfRange]);
    }

    #[test]
    fn a_chip_that_is_not_ready_or_was_reset_is_an_error() {
        let mut bench = Bench::<Ina219>::simulated(1, json!({}));
        bench.driver.start().unwrap();
        assert_eq!(bench.take().err(), Some(SensorError::NotReady));
        bench.driver.monitor.device.write_u16_be(CONFIGURATION, RESET).unwrap();
        assert_eq!(bench.take().err(), Some(forgotten()));
        assert!(Bench::<Ina219>::open(Ina219::simulate(1), json!({ "shunt_ohm": 0.0 })).is_err());
    }
}
