//! ScioSense ENS160: air quality, volatile organic compounds and the carbon dioxide that usually comes with as many, on I2C.
//!
//! Datasheet: ScioSense ENS160. It measures every 1 s. Its values are missing (`warming_up`) for 3 min after it was started,
//! and (`starting_up`) for the first hour of its life, which begins again until it has once run for 24 h. It computes for
//! the temperature and humidity of its settings. Its checksum register is optional, and not read.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

use crate::sensors::shared::climate::Air;

const PART_ID: u8 = 0x00;
const OPERATING_MODE: u8 = 0x10;
/// Temperature and humidity, two bytes each.
const AIR: u8 = 0x13;
/// Status, air quality, and two bytes each of TVOC and eCO2.
const DATA: u8 = 0x20;

const STANDARD: u8 = 2;
const RESET: u8 = 0xF0;
const RUNNING: u8 = 1 << 7;
const ERROR: u8 = 1 << 6;
const NEW: u8 = 1 << 1;
const PERIOD: Duration = Duration::from_millis(1100);

const FIELDS: &[Field] = &[
    Field::new("aqi_index", Unit::None).precision(0).range(1.0, 5.0),
    Field::new("tvoc", Unit::PartsPerBillion)
        .class("volatile_organic_compounds_parts")
        .precision(0)
        .range(0.0, 65_000.0),
    Field::new("eco2", Unit::PartsPerMillion).class("carbon_dioxide").precision(0).range(400.0, 65_000.0),
];

/// An ENS160.
pub struct Ens160 {
    device: I2cDevice,
}

impl Sensor for Ens160 {
    const KIND: &'static str = "ens160";
    const TITLE: &'static str = "ScioSense ENS160 air quality sensor (VOC and equivalent CO2)";
    const ADDRESSES: &'static [u8] = &[0x53, 0x52];
    // 0x0160, low byte first.
    const IDENTITY: Option<Identity> = Some(Identity::word(&[PART_ID], 0x6001));
    const FIELDS: &'static [Field] = FIELDS;
    type Device = I2cDevice;
    type Config = Air;

    fn open(mut device: I2cDevice, settings: Air) -> Result<Self, SensorError> {
        let (temperature, humidity) = settings.checked()?;
        match device.read_u16_le(PART_ID)? {
            0x0160 => {}
            found => return Err(SensorError::WrongDevice { expected: 0x0160, found: found.into() }),
        }
        // One that runs already is left alone: it would warm up anew.
        if device.read_u8(OPERATING_MODE)? != STANDARD {
            device.write_u8(OPERATING_MODE, RESET)?;
            device.delay_ms(10);
            device.write_u8(OPERATING_MODE, STANDARD)?;
            device.delay_ms(10);
            if device.read_u8(OPERATING_MODE)? != STANDARD {
                return Err(SensorError::Garbage("the chip does not begin to measure".into()));
            }
        }
        let [t0, t1] = kelvin_word(temperature).to_le_bytes();
        let [h0, h1] = ((humidity * 512.0) as u16).to_le_bytes();
        device.write(&[AIR, t0, t1, h0, h1])?;
        Ok(Self { device })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(if self.device.read_u8(DATA)? & NEW == 0 { Some(PERIOD) } else { None })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut data = [0; 6];
        self.device.write_read(&[DATA], &mut data)?;
        let [status, aqi, v0, v1, c0, c1] = data;
        if status & RUNNING == 0 || status & ERROR != 0 {
            return Err(SensorError::Garbage("the chip does not run any more (a weak supply?)".into()));
        }
        if status & NEW == 0 {
            return Err(SensorError::NotReady);
        }
        let (aqi, tvoc, eco2) = (aqi & 0b111, u16::from_le_bytes([v0, v1]), u16::from_le_bytes([c0, c1]));
        let reason = match status >> 2 & 0b11 {
            0 if (1..=5).contains(&aqi) && eco2 >= 400 => {
                frame.push("aqi_index", u32::from(aqi));
                frame.push("tvoc", u32::from(tvoc));
                frame.push("eco2", u32::from(eco2));
                return Ok(());
            }
            0 => "no_value",
            1 => "warming_up",
            2 => "starting_up",
            _ => "invalid",
        };
        FIELDS.iter().for_each(|field| frame.missing(field.name, reason));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        Box::new(simulated(seed, WARM_UP))
    }
}

/// 64 per kelvin.
fn kelvin_word(celsius: f32) -> u16 {
    ((celsius + 273.15) * 64.0).round() as u16
}

/// A simulated one is shorter about it than the real.
const WARM_UP: Duration = Duration::from_secs(30);

/// New data every second, whether or not the former were fetched.
fn simulated(seed: u64, warm_up: Duration) -> RegisterFile {
    let (tvoc, eco2) = curves(seed);
    let mut began = None;
    RegisterFile::live(move |chip, now| {
        let mode = chip.get(OPERATING_MODE);
        if mode == RESET {
            chip.set(OPERATING_MODE, &[0]);
        }
        if mode != STANDARD {
            began = None;
            return chip.set(DATA, &[0; 6]);
        }
        let since = now.saturating_sub(*began.get_or_insert(now));
        let fresh = if since >= Duration::from_secs(1) { NEW } else { 0 };
        let validity = if since < warm_up { 1 << 2 } else { 0 };
        let [v0, v1] = (tvoc.at(now) as u16).to_le_bytes();
        let [c0, c1] = (eco2.at(now) as u16).to_le_bytes();
        chip.set(DATA, &[RUNNING | fresh | validity, 2, v0, v1, c0, c1]);
    })
    .with(PART_ID, &[0x60, 0x01])
}

fn curves(seed: u64) -> (Curve, Curve) {
    (Curve::new(seed ^ 0x1000, 150.0, 120.0), Curve::new(seed, 700.0, 250.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, reason};

    #[test]
    fn the_air_is_written_as_the_datasheet_says() {
        // 25 °C is 0x4A8A.
        assert_eq!(kelvin_word(25.0), 0x4A8A);
    }

    #[test]
    fn values_are_missing_until_it_is_warm() {
        let mut bench = Bench::<Ens160>::simulated(1, json!({}));
        assert_eq!(bench.take().err().map(|error| error.reason()), Some("not_ready"));
        let frame = bench.read().unwrap();
        assert!(FIELDS.iter().all(|field| reason(&frame, field.name) == Some("warming_up")), "{frame:?}");
        bench.wait(WARM_UP);
        let frame = bench.read().unwrap();
        let (tvoc, eco2) = curves(1);
        assert_near(&frame, "tvoc", tvoc.at(bench.now()), 1.0);
        assert_near(&frame, "eco2", eco2.at(bench.now()), 1.0);
        assert_near(&frame, "aqi_index", 2.0, 0.0);
    }

    #[test]
    fn the_validity_of_the_values_is_minded() {
        for (validity, expected) in [(1, "warming_up"), (2, "starting_up"), (3, "invalid")] {
            let data = [RUNNING | NEW | validity << 2, 1, 0, 0, 0x90, 0x01];
            let chip = RegisterFile::new(&[(PART_ID, &[0x60, 0x01]), (DATA, &data)]);
            let frame = Bench::<Ens160>::open(Box::new(chip), json!({})).unwrap().read().unwrap();
            assert_eq!(reason(&frame, "eco2"), Some(expected));
        }
    }

    #[test]
    fn another_chip_and_one_that_has_stopped_are_refused() {
        let adxl345 = RegisterFile::new(&[(PART_ID, &[0xE5])]);
        let error = Bench::<Ens160>::open(Box::new(adxl345), json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x0160, found: 0xE5 }));
        let stopped = RegisterFile::new(&[(PART_ID, &[0x60, 0x01]), (DATA, &[NEW, 1, 0, 0, 0x90, 0x01])]);
        let mut bench = Bench::<Ens160>::open(Box::new(stopped), json!({})).unwrap();
        assert!(matches!(bench.read(), Err(SensorError::Garbage(_))));
    }
}
