//! Sensirion SCD40 and SCD41: carbon dioxide, temperature and humidity on I2C.
//!
//! Datasheet: Sensirion SCD4x. It measures by itself every 5 s; a reading that comes sooner waits for the next. It has no
//! id but a serial number, of which the checksums are checked. It warms itself: the temperature offset is also taken into
//! account by its humidity. Its self-calibration wants fresh air once a week. It goes on measuring when the node ends; the
//! next start then stops it first, which keeps its bus busy for half a second.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::climate::{Room, within};
use crate::sensors::shared::sensirion::{
    self, ask, at_once, celsius, celsius_word, done, percent, percent_word, send,
};

const START: u16 = 0x21B1;
const STOP: u16 = 0x3F86;
const READY: u16 = 0xE4B8;
const MEASURED: u16 = 0xEC05;
const SERIAL: u16 = 0x3682;
const SET_OFFSET: u16 = 0x241D;
const SET_ALTITUDE: u16 = 0x2427;
const SET_SELF_CALIBRATION: u16 = 0x2416;

const PERIOD: Duration = Duration::from_secs(5);
/// Of the answer to [`READY`]: there is a measurement unless all of these are 0.
const READY_BITS: u16 = 0x07FF;

/// Settings of a `kind = "scd4x"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Height above the sea. The density of the air changes the measurement. m, 0 to 3000.
    #[serde(default)]
    altitude: u16,
    /// How much warmer the chip is than the air, by itself and by its case. °C, 0 to 20.
    #[serde(default = "usual_offset")]
    temperature_offset: f32,
    /// Whether it takes the least of some days for fresh air. Wrong where nobody ever airs, as in a greenhouse.
    #[serde(default = "usual_calibration")]
    self_calibration: bool,
}

fn usual_offset() -> f32 {
    4.0
}

fn usual_calibration() -> bool {
    true
}

/// An SCD4x.
pub struct Scd4x {
    device: I2cDevice,
}

impl Sensor for Scd4x {
    const KIND: &'static str = "scd4x";
    const TITLE: &'static str = "Sensirion SCD40/SCD41 CO2, temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x62];
    const FIELDS: &'static [Field] = &[
        Field::new("co2", Unit::PartsPerMillion).class("carbon_dioxide").precision(0).range(0.0, 40_000.0),
        Field::new("temperature", Unit::Celsius).class("temperature").range(-10.0, 60.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if settings.altitude > 3000 {
            return Err(SensorError::Settings("`altitude` is 0 to 3000 m".into()));
        }
        let offset = offset_word(within("temperature_offset", settings.temperature_offset, 0.0, 20.0)?);
        // One that measures, since the last start of a node, does not tell its number.
        if let Err(error) = ask::<3>(&mut device, SERIAL, 1) {
            match error {
                SensorError::Bus(BusError::NoAnswer | BusError::Refused) | SensorError::Checksum => {}
                error => return Err(error),
            }
            send(&mut device, STOP, &[])?;
            device.delay_ms(500);
            ask::<3>(&mut device, SERIAL, 1)?;
        }
        let set = [
            (SET_OFFSET, offset),
            (SET_ALTITUDE, settings.altitude),
            (SET_SELF_CALIBRATION, settings.self_calibration.into()),
        ];
        for (command, word) in set {
            send(&mut device, command, &[word])?;
            device.delay_ms(1);
        }
        send(&mut device, START, &[])?;
        Ok(Self { device })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(if self.is_ready()? { None } else { Some(PERIOD) })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        if !self.is_ready()? {
            return Err(SensorError::NotReady);
        }
        let [co2, temperature, humidity] = ask(&mut self.device, MEASURED, 1)?;
        match co2 {
            0 => frame.missing("co2", "no_value"),
            ppm => frame.push("co2", u32::from(ppm)),
        }
        frame.push("temperature", celsius(temperature));
        frame.push("humidity", percent(humidity));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let (room, breath) = (Room::new(seed), Curve::new(seed ^ 0x2000, 800.0, 300.0));
        // Since when it measures, and how many measurements were fetched or are too old to be.
        let mut measuring: Option<(Duration, u32)> = None;
        sensirion::chip(move |command, words, now| {
            let count = |began: Duration| (now.saturating_sub(began).as_millis() / PERIOD.as_millis()) as u32;
            match (command, words, &mut measuring) {
                (STOP, ..) => measuring = None,
                (SERIAL, _, None) => return at_once(&[0xF896, 0x9F07, 0x3BBE]),
                (SET_OFFSET | SET_ALTITUDE | SET_SELF_CALIBRATION, [_], None) => {}
                (START, _, None) => measuring = Some((now, 0)),
                (READY, _, None) => return at_once(&[0x8000]),
                (READY, _, Some((began, fetched))) => {
                    return at_once(&[if count(*began) > *fetched { 0x8006 } else { 0x8000 }]);
                }
                (MEASURED, _, Some((began, fetched))) if count(*began) > *fetched => {
                    *fetched = count(*began);
                    let then = *began + PERIOD * *fetched;
                    let [temperature, humidity] =
                        [celsius_word(room.celsius(then)), percent_word(room.percent(then))];
                    return at_once(&[breath.at(then) as u16, temperature, humidity]);
                }
                (MEASURED, _, Some(_)) => {}
                _ => return None,
            }
            done()
        })
    }
}

impl Scd4x {
    fn is_ready(&mut self) -> Result<bool, SensorError> {
        let [word] = ask(&mut self.device, READY, 1)?;
        Ok(word & READY_BITS != 0)
    }
}

fn offset_word(offset: f32) -> u16 {
    (offset * 65536.0 / 175.0) as u16
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed, reason};

    #[test]
    fn the_datasheets_examples_are_converted() {
        // Of `read_measurement`: 500 ppm, 25 °C, 37 %; of `set_temperature_offset`: 5.4 °C.
        let chip = sensirion::chip(|command, _, _| match command {
            MEASURED => at_once(&[0x01F4, 0x6667, 0x5EB9]),
            _ => at_once(&[0x8006, 0, 0]),
        });
        let mut bench = Bench::<Scd4x>::open(chip, json!({})).unwrap();
        let frame = bench.read().unwrap();
        assert_near(&frame, "co2", 500.0, 0.0);
        assert_near(&frame, "temperature", 25.0, 0.005);
        assert_near(&frame, "humidity", 37.0, 0.005);
        assert_eq!(offset_word(5.4), 0x07E6);
    }

    #[test]
    fn a_reading_waits_for_the_next_measurement() {
        let mut bench = Bench::<Scd4x>::simulated(1, json!({ "altitude": 1950 }));
        assert_eq!(bench.take(), Err(SensorError::NotReady));
        for _ in 0..2 {
            assert_eq!(bench.start(), Ok(Some(PERIOD)));
            bench.wait(PERIOD);
            let frame = bench.take().unwrap();
            let ppm = Curve::new(1 ^ 0x2000, 800.0, 300.0).at(bench.now());
            assert_near(&frame, "co2", ppm, 1.0);
            assert_near(&frame, "temperature", Room::new(1).celsius(bench.now()), 0.003);
        }
        bench.wait(PERIOD);
        assert_eq!(bench.start(), Ok(None));
    }

    #[test]
    fn one_that_measures_already_is_stopped_and_set_anew() {
        let mut chip = Scd4x::simulate(1);
        chip.write(&START.to_be_bytes(), Duration::ZERO).unwrap();
        assert!(Bench::<Scd4x>::open(chip, json!({})).unwrap().read().is_ok());
    }

    #[test]
    fn a_disturbed_answer_no_co2_and_a_mountain_too_high_are_not_believed() {
        let mut bench = Bench::<Scd4x>::open(disturbed::<Scd4x>(3), json!({})).unwrap();
        assert_eq!(bench.read(), Err(SensorError::Checksum));
        let empty = sensirion::chip(|_, _, _| at_once(&[0, 0x6667, 0x5EB9]));
        let mut bench = Bench::<Scd4x>::open(empty, json!({})).unwrap();
        assert_eq!(bench.read(), Err(SensorError::NotReady));
        let error = Bench::<Scd4x>::open(Scd4x::simulate(1), json!({ "altitude": 8848 })).err();
        assert!(matches!(error, Some(SensorError::Settings(_))), "{error:?}");
        let mut first = true;
        let none = sensirion::chip(move |command, _, _| match command {
            READY => at_once(&[1]),
            _ => at_once(&[if std::mem::take(&mut first) { 1 } else { 0 }, 0x6667, 0x5EB9]),
        });
        let frame = Bench::<Scd4x>::open(none, json!({})).unwrap().read().unwrap();
        assert_eq!(reason(&frame, "co2"), Some("no_value"));
    }
}
