//! Sensirion SHT40, SHT41 and SHT45: temperature and humidity on I2C.
//!
//! Datasheet: Sensirion SHT4x. One measurement per reading at high precision; the chip idles in between and does not warm
//! itself. Its serial number is its only id, and any is right: what answers with the right checksums is taken for one.

use std::time::Duration;

use sedge_plugin::prelude::*;

use crate::sensors::shared::climate::{Room, Settings};
use crate::sensors::shared::sensirion::{self, at_once, celsius, celsius_word, done, receive};

const SOFT_RESET: u8 = 0x94;
const SERIAL: u8 = 0x89;
const MEASURE: u8 = 0xFD;

/// The longest measurement at high precision is 8.3 ms.
const MEASUREMENT: Duration = Duration::from_millis(9);

/// An SHT4x.
pub struct Sht4x {
    device: I2cDevice,
    offset: f32,
}

impl Sensor for Sht4x {
    const KIND: &'static str = "sht4x";
    const TITLE: &'static str = "Sensirion SHT40/SHT41/SHT45 temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x44, 0x45, 0x46];
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let offset = settings.offset()?;
        device.write(&[SOFT_RESET])?;
        device.delay_ms(2);
        device.write(&[SERIAL])?;
        device.delay_ms(10);
        receive::<2>(&mut device)?;
        Ok(Self { device, offset })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write(&[MEASURE])?;
        Ok(Some(MEASUREMENT))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let [temperature, humidity] = receive(&mut self.device)?;
        frame.push("temperature", celsius(temperature) + self.offset);
        // The ends of the scale lie beyond what there is, and the datasheet says to crop them.
        frame.push("humidity", percent(humidity).clamp(0.0, 100.0));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Room::new(seed);
        sensirion::chip(move |command, _, now| match u8::try_from(command).ok()? {
            SOFT_RESET => done(),
            SERIAL => at_once(&[0x0F00, seed as u16]),
            MEASURE => {
                let then = now + MEASUREMENT;
                let humidity = ((room.percent(then) + 6.0) / 125.0 * 65535.0).round() as u16;
                Some((MEASUREMENT, vec![celsius_word(room.celsius(then)), humidity]))
            }
            _ => None,
        })
    }
}

/// 0 is -6 %, 0xFFFF is 119 %.
fn percent(word: u16) -> f32 {
    f32::from(word) / 65535.0 * 125.0 - 6.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed};

    #[test]
    fn the_ends_of_the_scale_are_converted_and_cropped() {
        assert_eq!((percent(0), percent(0xFFFF)), (-6.0, 119.0));
        for (word, expected) in [(0, 0.0), (0xFFFF, 100.0)] {
            let chip = sensirion::chip(move |_, _, _| at_once(&[0x6666, word]));
            let frame = Bench::<Sht4x>::open(chip, json!({})).unwrap().read().unwrap();
            assert_near(&frame, "temperature", 25.0, 0.001);
            assert_near(&frame, "humidity", expected, 0.0);
        }
    }

    #[test]
    fn a_reading_is_what_the_room_is_like_and_the_offset() {
        let mut bench = Bench::<Sht4x>::simulated(2, json!({ "offset": 1 }));
        let frame = bench.read().unwrap();
        let room = Room::new(2);
        assert_near(&frame, "temperature", room.celsius(bench.now()) + 1.0, 0.003);
        assert_near(&frame, "humidity", room.percent(bench.now()), 0.002);
    }

    #[test]
    fn a_disturbed_or_early_answer_is_refused() {
        let mut bench = Bench::<Sht4x>::open(disturbed::<Sht4x>(1), json!({})).unwrap();
        bench.start().unwrap();
        assert_eq!(bench.take(), Err(SensorError::Bus(BusError::NoAnswer)));
        bench.wait(MEASUREMENT);
        assert_eq!(bench.take(), Err(SensorError::Checksum));
    }
}
