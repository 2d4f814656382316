//! ams TSL2591: ambient light over a wide range, on I2C.
//!
//! Datasheet: ams TSL2591. Two photodiodes, one of which sees infrared alone. The datasheet has no formula for lux: this is
//! the one of Adafruit's driver, which is in common use and right to some tens of percent. One integration per reading,
//! switched off in between.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::chip::forgotten;

/// Every register's number is sent with these bits (section "Command Register").
const COMMAND: u8 = 0xA0;
const ENABLE: u8 = COMMAND;
const CONTROL: u8 = COMMAND | 0x01;
const ID: u8 = COMMAND | 0x12;
const STATUS: u8 = COMMAND | 0x13;

const IDENTITY: Identity = Identity::byte(&[ID], 0x50);
const OFF: u8 = 0;
/// The oscillator and the converter.
const ON: u8 = 0b11;
/// An integration has been completed since it was switched on.
const VALID: u8 = 1;
/// What is set, with how much stronger the signal is; its place is its code.
const GAINS: [u16; 4] = [1, 25, 428, 9876];
/// lx times counts per ms: Adafruit's coefficient.
const COEFFICIENT: f64 = 408.0;

/// Settings of a `kind = "tsl2591"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// 1, 25, 428 or 9876. At 100 ms, 25 is right for rooms, 1 for daylight.
    #[serde(default = "medium")]
    gain: u16,
    /// 100, 200, 300, 400, 500 or 600. Longer is finer, and is full earlier. ms.
    #[serde(default = "hundred")]
    integration_ms: u16,
}

fn medium() -> u16 {
    GAINS[1]
}

fn hundred() -> u16 {
    100
}

/// A TSL2591.
pub struct Tsl2591 {
    device: I2cDevice,
    settings: Settings,
    control: u8,
}

impl Sensor for Tsl2591 {
    const KIND: &'static str = "tsl2591";
    const TITLE: &'static str = "ams TSL2591 ambient light sensor";
    const ADDRESSES: &'static [u8] = &[0x29];
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] =
        &[Field::new("illuminance", Unit::Lux).class("illuminance").range(0.0, 88_000.0)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let Some((gain, _)) = (0_u8..).zip(GAINS).find(|(_, gain)| *gain == settings.gain) else {
            return Err(SensorError::Settings("`gain` is 1, 25, 428 or 9876".into()));
        };
        let Some(time) = (0_u8..6).find(|n| u16::from(n + 1) * 100 == settings.integration_ms) else {
            return Err(SensorError::Settings("`integration_ms` is 100, 200, 300, 400, 500 or 600".into()));
        };
        IDENTITY.check(&mut device)?;
        device.write_u8(ENABLE, OFF)?;
        let control = gain << 4 | time;
        device.write_u8(CONTROL, control)?;
        Ok(Self { device, settings, control })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u8(ENABLE, ON)?;
        Ok(Some(integration(self.settings.integration_ms)))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut state = [0; 2];
        self.device.write_read(&[ENABLE], &mut state)?;
        if state != [ON, self.control] {
            return Err(forgotten());
        }
        let mut answer = [0; 5];
        self.device.write_read(&[STATUS], &mut answer)?;
        let [status, c0, c1, c2, c3] = answer;
        if status & VALID == 0 {
            return Err(SensorError::NotReady);
        }
        self.device.write_u8(ENABLE, OFF)?;
        let [all, infrared] = [u16::from_le_bytes([c0, c1]), u16::from_le_bytes([c2, c3])];
        if all.max(infrared) >= full(self.settings.integration_ms) {
            frame.missing("illuminance", "overflow");
        } else {
            frame.push("illuminance", lux(all, infrared, &self.settings));
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Curve::new(seed, 400.0, 350.0);
        let settings = Settings { gain: medium(), integration_ms: hundred() };
        Box::new(Simulated::new(0x50, move |now| {
            // An eighth of it is infrared, which the formula takes off twice.
            let all = room.at(now) * counts_per_lux(&settings) / (0.875 * 0.875);
            [all.round() as u16, (all / 8.0).round() as u16]
        }))
    }
}

/// Its clock may be slow by 8 %; and a little time to wake.
fn integration(ms: u16) -> Duration {
    Duration::from_millis(10 + u64::from(ms) * 11 / 10)
}

/// The highest count: in 100 ms the converter does not come to the end of its sixteen bits.
fn full(integration_ms: u16) -> u16 {
    if integration_ms == 100 { 36_863 } else { u16::MAX }
}

fn counts_per_lux(settings: &Settings) -> f64 {
    f64::from(settings.integration_ms) * f64::from(settings.gain) / COEFFICIENT
}

/// Nothing where there is nothing but infrared.
fn lux(all: u16, infrared: u16, settings: &Settings) -> f64 {
    let [all, infrared] = [f64::from(all), f64::from(infrared)];
    if all <= infrared {
        return 0.0;
    }
    (all - infrared) * (1.0 - infrared / all) / counts_per_lux(settings)
}

/// It forgets the last integration when it is switched off.
struct Simulated<F> {
    registers: [u8; 0x18],
    pointer: u8,
    begun: Option<Duration>,
    measure: F,
}

impl<F> Simulated<F> {
    fn new(id: u8, measure: F) -> Self {
        let mut registers = [0; 0x18];
        registers[0x12] = id;
        Self { registers, pointer: 0, begun: None, measure }
    }

    fn register(&mut self, number: u8) -> &mut u8 {
        &mut self.registers[usize::from(number % COMMAND) % 0x18]
    }
}

impl<F: FnMut(Duration) -> [u16; 2] + Send> I2cModel for Simulated<F> {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        if let [register, rest @ ..] = bytes {
            self.pointer = *register;
            rest.iter().for_each(|byte| *self.register(*register) = *byte);
        }
        match *self.register(ENABLE) {
            ON => drop(self.begun.get_or_insert(now)),
            _ => (self.begun, *self.register(STATUS)) = (None, 0),
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        let ms = u16::from(*self.register(CONTROL) & 0b111) * 100 + 100;
        if self.begun.is_some_and(|begun| now >= begun + integration(ms)) {
            let [all, infrared] = (self.measure)(now).map(u16::to_le_bytes);
            for (register, byte) in (STATUS..).zip([VALID, all[0], all[1], infrared[0], infrared[1]]) {
                *self.register(register) = byte;
            }
        }
        for byte in buffer {
            *byte = *self.register(self.pointer);
            self.pointer = self.pointer.wrapping_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn adafruits_formula_is_computed() {
        let settings = Settings { gain: 25, integration_ms: 100 };
        // (1000 - 200) × (1 - 0.2) / (2500 / 408).
        assert_close(lux(1000, 200, &settings), 104.448, 1e-9);
        assert_eq!([lux(0, 0, &settings), lux(5, 9, &settings)], [0.0, 0.0]);
    }

    #[test]
    fn a_reading_is_that_of_the_curve_and_of_a_new_integration() {
        let mut bench = Bench::<Tsl2591>::simulated(1, json!({}));
        for _ in 0..2 {
            let frame = bench.read().unwrap();
            let expected = Curve::new(1, 400.0, 350.0).at(bench.now());
            assert_close(number(&frame, "illuminance"), expected, 0.5);
            bench.driver.start().unwrap();
            assert_eq!(bench.take().err(), Some(SensorError::NotReady));
        }
    }

    #[test]
    fn too_much_light_is_missing_and_a_reset_is_an_error() {
        let sun = Simulated::new(0x50, |_| [36_863, 9000]);
        let mut bench = Bench::<Tsl2591>::open(Box::new(sun), json!({ "gain": 1 })).unwrap();
        assert_eq!(bench.read().unwrap().samples[0].value, Err("overflow".into()));
        bench.driver.device.write_u8(CONTROL, 0).unwrap();
        bench.driver.device.write_u8(ENABLE, OFF).unwrap();
        assert_eq!(bench.take().err(), Some(forgotten()));
    }

    #[test]
    fn another_chip_and_impossible_settings_are_refused() {
        let other = Simulated::new(0x44, |_| [0, 0]);
        let error = Bench::<Tsl2591>::open(Box::new(other), json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x50, found: 0x44 }));
        for settings in [json!({ "gain": 2 }), json!({ "integration_ms": 150 })] {
            let error = Bench::<Tsl2591>::open(Tsl2591::simulate(1), settings).err();
            assert!(matches!(error, Some(SensorError::Settings(_))), "{error:?}");
        }
    }
}
