//! Sensirion SGP30: volatile organic compounds on I2C, and the carbon dioxide that usually comes with as many.
//!
//! Datasheet: Sensirion SGP30. It wants to be read every 1 s: its own correction of its baseline counts on that. It takes
//! 15 s to begin, for which the first reading waits, and 12 h until its baseline is right; that is lost without supply. A
//! chip that lost it within its supply's dip says 400 ppm and 0 ppb until it is opened anew, and cannot be told from one in
//! the cleanest air.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::climate::within;
use crate::sensors::shared::sensirion::{self, ask, at_once, done, send};

const BEGIN: u16 = 0x2003;
const MEASURE: u16 = 0x2008;
const SET_HUMIDITY: u16 = 0x2061;
const FEATURES: u16 = 0x202F;

/// Of the answer to [`FEATURES`], the product's bits; the others are its version.
const PRODUCT: (u16, u16) = (0xF0E0, 0x0020);
/// So long it says 400 ppm and 0 ppb, whatever there is.
const BEGINNING: Duration = Duration::from_secs(15);

/// Settings of a `kind = "sgp30"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The usual absolute humidity where it is. g/m³, 0.1 to 255. 25 °C and 50 % are 11.57.
    #[serde(default = "usual_humidity")]
    absolute_humidity: f32,
}

fn usual_humidity() -> f32 {
    11.57
}

/// An SGP30.
pub struct Sgp30 {
    device: I2cDevice,
    begun: bool,
}

impl Sensor for Sgp30 {
    const KIND: &'static str = "sgp30";
    const TITLE: &'static str = "Sensirion SGP30 gas sensor (VOC and equivalent CO2)";
    const ADDRESSES: &'static [u8] = &[0x58];
    const FIELDS: &'static [Field] = &[
        Field::new("eco2", Unit::PartsPerMillion).class("carbon_dioxide").precision(0).range(400.0, 60_000.0),
        Field::new("tvoc", Unit::PartsPerBillion)
            .class("volatile_organic_compounds_parts")
            .precision(0)
            .range(0.0, 60_000.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let humidity = within("absolute_humidity", settings.absolute_humidity, 0.1, 255.0)?;
        let [features] = ask(&mut device, FEATURES, 10)?;
        if features & PRODUCT.0 != PRODUCT.1 {
            return Err(SensorError::WrongDevice { expected: PRODUCT.1.into(), found: features.into() });
        }
        send(&mut device, BEGIN, &[])?;
        device.delay_ms(10);
        send(&mut device, SET_HUMIDITY, &[humidity_word(humidity)])?;
        device.delay_ms(10);
        Ok(Self { device, begun: false })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(if std::mem::replace(&mut self.begun, true) { None } else { Some(BEGINNING) })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let [eco2, tvoc] = ask(&mut self.device, MEASURE, 12)?;
        if eco2 < 400 {
            return Err(SensorError::Garbage(format!("{eco2} ppm is less than the chip ever says").into()));
        }
        frame.push("eco2", u32::from(eco2));
        frame.push("tvoc", u32::from(tvoc));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let (eco2, tvoc) = curves(seed);
        let mut began = None;
        sensirion::chip(move |command, words, now| match (command, words, began) {
            (FEATURES, [], _) => at_once(&[0x0022]),
            (BEGIN, [], _) => {
                began = Some(now);
                done()
            }
            (SET_HUMIDITY, [_], _) => done(),
            (MEASURE, [], Some(began)) if now >= began + BEGINNING => {
                at_once(&[eco2.at(now) as u16, tvoc.at(now) as u16])
            }
            (MEASURE, [], _) => at_once(&[400, 0]),
            _ => None,
        })
    }
}

/// Eight bits of whole grams and eight of parts.
fn humidity_word(grams: f32) -> u16 {
    (grams * 256.0).round() as u16
}

fn curves(seed: u64) -> (Curve, Curve) {
    (Curve::new(seed, 700.0, 250.0), Curve::new(seed ^ 0x1000, 150.0, 120.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed};

    #[test]
    fn the_humidity_is_written_as_the_datasheet_says() {
        // "0x0F80 corresponds to 15.50 g/m³", and the ends of the scale.
        assert_eq!([15.5, 1.0 / 256.0, 255.0 + 255.0 / 256.0].map(humidity_word), [0x0F80, 0x0001, 0xFFFF]);
    }

    #[test]
    fn the_first_reading_waits_until_it_has_begun() {
        let mut bench = Bench::<Sgp30>::simulated(1, json!({}));
        assert_eq!(bench.start(), Ok(Some(BEGINNING)));
        bench.wait(BEGINNING);
        let frame = bench.take().unwrap();
        let (eco2, tvoc) = curves(1);
        assert_near(&frame, "eco2", eco2.at(bench.now()), 1.0);
        assert_near(&frame, "tvoc", tvoc.at(bench.now()), 1.0);
        assert_eq!(bench.start(), Ok(None));
    }

    #[test]
    fn another_chip_and_a_disturbed_or_impossible_answer_are_refused() {
        let sgpc3 = sensirion::chip(|_, _, _| at_once(&[0x1006]));
        let error = Bench::<Sgp30>::open(sgpc3, json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x0020, found: 0x1006 }));
        let mut bench = Bench::<Sgp30>::open(disturbed::<Sgp30>(1), json!({})).unwrap();
        assert_eq!(bench.read(), Err(SensorError::Checksum));
        let empty =
            sensirion::chip(|command, _, _| at_once(&[if command == FEATURES { 0x22 } else { 0 }, 0]));
        let mut bench = Bench::<Sgp30>::open(empty, json!({})).unwrap();
        assert!(matches!(bench.read(), Err(SensorError::Garbage(_))));
    }
}
