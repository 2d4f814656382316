//! Sensirion SHTC3: temperature and humidity on I2C.
//!
//! Datasheet: Sensirion SHTC3. One measurement per reading in normal mode. Between readings it idles (45 µA) and is not put
//! to sleep, where it would not answer to its id. The usual address of an I2C multiplexer is the same.

use std::time::Duration;

use sedge_plugin::prelude::*;

use crate::sensors::shared::climate::{Room, Settings};
use crate::sensors::shared::sensirion::{self, at_once, done, receive, send};

const WAKE_UP: u16 = 0x3517;
const ID: u16 = 0xEFC8;
/// Temperature first, without clock stretching.
const MEASURE: u16 = 0x7866;

/// Of the id, the bits that are the product's.
const PRODUCT: (u16, u16) = (0x083F, 0x0807);
/// The longest measurement is 12.1 ms.
const MEASUREMENT: Duration = Duration::from_millis(13);

/// An SHTC3.
pub struct Shtc3 {
    device: I2cDevice,
    offset: f32,
}

impl Sensor for Shtc3 {
    const KIND: &'static str = "shtc3";
    const TITLE: &'static str = "Sensirion SHTC3 temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x70];
    const IDENTITY: Option<Identity> =
        Some(Identity::word(&ID.to_be_bytes(), PRODUCT.1).mask(PRODUCT.0 as u32));
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let offset = settings.offset()?;
        send(&mut device, WAKE_UP, &[])?;
        device.delay_ms(1);
        let [id] = sensirion::ask(&mut device, ID, 0)?;
        match id & PRODUCT.0 == PRODUCT.1 {
            true => Ok(Self { device, offset }),
            false => Err(SensorError::WrongDevice { expected: PRODUCT.1.into(), found: id.into() }),
        }
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
            WAKE_UP => done(),
            ID => at_once(&[0x0887]),
            MEASURE => {
                let then = now + MEASUREMENT;
                let words = [(room.celsius(then) + 45.0) / 175.0, room.percent(then) / 100.0];
                Some((MEASUREMENT, words.map(|part| (part * 65536.0).round() as u16).to_vec()))
            }
            _ => None,
        })
    }
}

fn celsius(word: u16) -> f32 {
    f32::from(word) / 65536.0 * 175.0 - 45.0
}

fn percent(word: u16) -> f32 {
    f32::from(word) / 65536.0 * 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed};

    #[test]
    fn the_scales_are_halved_by_half_their_words() {
        assert_eq!((celsius(0), celsius(0x8000)), (-45.0, 42.5));
        assert_eq!((percent(0), percent(0x8000)), (0.0, 50.0));
    }

    #[test]
    fn a_reading_is_what_the_room_is_like() {
        let mut bench = Bench::<Shtc3>::simulated(3, json!({}));
        let frame = bench.read().unwrap();
        let room = Room::new(3);
        assert_near(&frame, "temperature", room.celsius(bench.now()), 0.003);
        assert_near(&frame, "humidity", room.percent(bench.now()), 0.002);
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let shtc1 = sensirion::chip(|_, _, _| at_once(&[0x0007]));
        let error = Bench::<Shtc3>::open(shtc1, json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x0807, found: 0x0007 }));
    }

    #[test]
    fn a_disturbed_or_early_answer_is_refused() {
        let mut bench = Bench::<Shtc3>::open(disturbed::<Shtc3>(1), json!({})).unwrap();
        bench.start().unwrap();
        assert_eq!(bench.take(), Err(SensorError::Bus(BusError::NoAnswer)));
        bench.wait(MEASUREMENT);
        assert_eq!(bench.take(), Err(SensorError::Checksum));
    }
}
