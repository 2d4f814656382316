//! Sensirion SHT30, SHT31 and SHT35: temperature and humidity on I2C.
//!
//! Datasheet: Sensirion SHT3x-DIS. One measurement per reading (single shot, high repeatability), so that the chip sleeps
//! and does not warm itself in between. It has no id: what answers with the right checksums is taken for one. (A TI HDC302x
//! does, and is read right.)

use std::time::Duration;

use sedge_plugin::prelude::*;

use crate::sensors::shared::climate::{Room, Settings};
use crate::sensors::shared::sensirion::{
    self, ask, at_once, celsius, celsius_word, done, percent, percent_word, receive, send,
};

/// Ends periodic measurements, which another program may have begun.
const BREAK: u16 = 0x3093;
const SOFT_RESET: u16 = 0x30A2;
const STATUS: u16 = 0xF32D;
/// Without clock stretching.
const MEASURE: u16 = 0x2400;

/// The longest measurement, at the lowest supply voltage.
const MEASUREMENT: Duration = Duration::from_micros(15_500);

/// An SHT3x.
pub struct Sht3x {
    device: I2cDevice,
    offset: f32,
}

impl Sensor for Sht3x {
    const KIND: &'static str = "sht3x";
    const TITLE: &'static str = "Sensirion SHT30/SHT31/SHT35 temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x44, 0x45];
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let offset = settings.offset()?;
        sensirion::unless_refused(send(&mut device, BREAK, &[]))?;
        device.delay_ms(1);
        send(&mut device, SOFT_RESET, &[])?;
        device.delay_ms(2);
        ask::<1>(&mut device, STATUS, 1)?;
        Ok(Self { device, offset })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        send(&mut self.device, MEASURE, &[])?;
        Ok(Some(MEASUREMENT))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let [temperature, humidity] = receive(&mut self.device)?;
        frame.push("temperature", celsius(temperature) + self.offset);
        frame.push("humidity", percent(humidity));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Room::new(seed);
        sensirion::chip(move |command, _, now| match command {
            BREAK | SOFT_RESET => done(),
            STATUS => at_once(&[0x8010]),
            MEASURE => {
                let then = now + MEASUREMENT;
                let words = [celsius_word(room.celsius(then)), percent_word(room.percent(then))];
                Some((MEASUREMENT, words.to_vec()))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed};

    #[test]
    fn a_reading_is_what_the_room_is_like_and_the_offset() {
        let mut bench = Bench::<Sht3x>::simulated(1, json!({ "offset": -2.5 }));
        let frame = bench.read().unwrap();
        let room = Room::new(1);
        assert_near(&frame, "temperature", room.celsius(bench.now()) - 2.5, 0.003);
        assert_near(&frame, "humidity", room.percent(bench.now()), 0.002);
    }

    #[test]
    fn a_reading_is_not_there_before_its_time_and_is_there_once() {
        let mut bench = Bench::<Sht3x>::simulated(1, json!({}));
        bench.start().unwrap();
        assert_eq!(bench.take(), Err(SensorError::Bus(BusError::NoAnswer)));
        bench.wait(MEASUREMENT);
        assert!(bench.take().is_ok());
        assert_eq!(bench.take(), Err(SensorError::Bus(BusError::NoAnswer)));
    }

    #[test]
    fn a_disturbed_answer_is_refused() {
        assert_eq!(Bench::<Sht3x>::open(disturbed::<Sht3x>(0), json!({})).err(), Some(SensorError::Checksum));
        let mut bench = Bench::<Sht3x>::open(disturbed::<Sht3x>(1), json!({})).unwrap();
        assert_eq!(bench.read(), Err(SensorError::Checksum));
    }
}
