//! Texas Instruments HDC3020, HDC3021 and HDC3022: temperature and humidity on I2C.
//!
//! Datasheet: SNAS778D. One measurement per reading (trigger on demand, lowest noise); the chip sleeps in between and does not
//! warm itself. It speaks as an SHT3x does, at the same addresses, and has a manufacturer's id besides.

use std::time::Duration;

use sedge_plugin::prelude::*;

use crate::sensors::shared::climate::{Room, Settings};
use crate::sensors::shared::sensirion::{
    self, at_once, celsius, celsius_word, done, percent, percent_word, receive, send,
};

/// Ends automatic measurements, which another program may have begun.
const EXIT_AUTO: u16 = 0x3093;
const SOFT_RESET: u16 = 0x30A2;
const MANUFACTURER: u16 = 0x3781;
/// On demand, low-power mode 0: the least noise.
const MEASURE: u16 = 0x2400;

const TEXAS_INSTRUMENTS: u16 = 0x3000;
/// The longest measurement is 14.1 ms (section 6.5).
const MEASUREMENT: Duration = Duration::from_millis(15);

/// An HDC302x.
pub struct Hdc302x {
    device: I2cDevice,
    offset: f32,
}

impl Sensor for Hdc302x {
    const KIND: &'static str = "hdc302x";
    const TITLE: &'static str = "Texas Instruments HDC3020/HDC3021/HDC3022 temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x44, 0x45, 0x46, 0x47];
    const IDENTITY: Option<Identity> = Some(Identity::word(&MANUFACTURER.to_be_bytes(), TEXAS_INSTRUMENTS));
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let offset = settings.offset()?;
        sensirion::unless_refused(send(&mut device, EXIT_AUTO, &[]))?;
        device.delay_ms(1);
        send(&mut device, SOFT_RESET, &[])?;
        device.delay_ms(3);
        let [found] = sensirion::ask(&mut device, MANUFACTURER, 0)?;
        if found != TEXAS_INSTRUMENTS {
            return Err(SensorError::WrongDevice { expected: TEXAS_INSTRUMENTS.into(), found: found.into() });
        }
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
            EXIT_AUTO | SOFT_RESET => done(),
            MANUFACTURER => at_once(&[TEXAS_INSTRUMENTS]),
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
        let mut bench = Bench::<Hdc302x>::simulated(4, json!({ "offset": 0.5 }));
        let frame = bench.read().unwrap();
        let room = Room::new(4);
        assert_near(&frame, "temperature", room.celsius(bench.now()) + 0.5, 0.003);
        assert_near(&frame, "humidity", room.percent(bench.now()), 0.002);
    }

    #[test]
    fn another_maker_is_refused() {
        let other = sensirion::chip(|_, _, _| at_once(&[0x5449]));
        let error = Bench::<Hdc302x>::open(other, json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x3000, found: 0x5449 }));
        // An SHT3x does not know the command.
        let sht3x = crate::sensors::sht3x::Sht3x::simulate(1);
        assert!(Bench::<Hdc302x>::open(sht3x, json!({})).is_err());
    }

    #[test]
    fn a_disturbed_or_early_answer_is_refused() {
        let mut bench = Bench::<Hdc302x>::open(disturbed::<Hdc302x>(1), json!({})).unwrap();
        bench.start().unwrap();
        assert_eq!(bench.take(), Err(SensorError::Bus(BusError::NoAnswer)));
        bench.wait(MEASUREMENT);
        assert_eq!(bench.take(), Err(SensorError::Checksum));
    }
}
