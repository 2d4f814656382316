//! Aosong AHT20 and AHT21: temperature and humidity on I2C.
//!
//! Datasheet: Aosong AHT20. One measurement per reading; it sleeps in between and does not warm itself, if it is not read
//! more often than every 2 s. It has no id: that it says it is calibrated, and the checksums, are what can be checked. (The
//! older AHT10 sends no checksum and is refused.)

use std::time::Duration;

use sedge_plugin::prelude::*;

use crate::sensors::shared::climate::{Room, Settings};
use crate::sensors::shared::sensirion::crc8;

const STATUS: u8 = 0x71;
const INITIALISE: [u8; 3] = [0xBE, 0x08, 0x00];
const MEASURE: [u8; 3] = [0xAC, 0x33, 0x00];

const BUSY: u8 = 1 << 7;
const CALIBRATED: u8 = 1 << 3;
const MEASUREMENT: Duration = Duration::from_millis(80);
const UNCALIBRATED: SensorError =
    SensorError::Garbage(std::borrow::Cow::Borrowed("the chip says that it is not calibrated"));

/// An AHT20.
pub struct Aht20 {
    device: I2cDevice,
    offset: f32,
}

impl Sensor for Aht20 {
    const KIND: &'static str = "aht20";
    const TITLE: &'static str = "Aosong AHT20/AHT21 temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x38];
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let offset = settings.offset()?;
        if device.read_u8(STATUS)? & CALIBRATED == 0 {
            device.write(&INITIALISE)?;
            device.delay_ms(10);
            if device.read_u8(STATUS)? & CALIBRATED == 0 {
                return Err(UNCALIBRATED);
            }
        }
        Ok(Self { device, offset })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write(&MEASURE)?;
        Ok(Some(MEASUREMENT))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut answer = [0; 7];
        self.device.read(&mut answer)?;
        let [status, h0, h1, both, t1, t0, crc] = answer;
        if status & BUSY != 0 {
            return Err(SensorError::NotReady);
        }
        if crc8(0xFF, &[status, h0, h1, both, t1, t0]) != crc {
            return Err(SensorError::Checksum);
        }
        if status & CALIBRATED == 0 {
            return Err(UNCALIBRATED);
        }
        let humidity = u32::from_be_bytes([0, h0, h1, both]) >> 4;
        let temperature = u32::from_be_bytes([0, both & 0x0F, t1, t0]);
        frame.push("temperature", celsius(temperature) + f64::from(self.offset));
        frame.push("humidity", percent(humidity));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated { room: Room::new(seed), status: 0, begun: None, data: [0; 5] })
    }
}

/// 20 bits: 0 is -50 °C, 2²⁰ would be 150 °C.
fn celsius(raw: u32) -> f64 {
    f64::from(raw) / f64::from(1 << 20) * 200.0 - 50.0
}

/// 20 bits: 0 is 0 %, 2²⁰ would be 100 %.
fn percent(raw: u32) -> f64 {
    f64::from(raw) / f64::from(1 << 20) * 100.0
}

/// It answers every read with its status first, and is busy until a measurement has had its time.
struct Simulated {
    room: Room,
    status: u8,
    begun: Option<Duration>,
    data: [u8; 5],
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        if bytes == INITIALISE {
            self.status |= CALIBRATED;
        } else if bytes == MEASURE {
            self.begun = Some(now);
            self.status |= BUSY;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        if self.begun.take_if(|begun| now >= *begun + MEASUREMENT).is_some() {
            let scale = f64::from(1 << 20);
            let humidity = (self.room.percent(now) / 100.0 * scale) as u64;
            let temperature = ((self.room.celsius(now) + 50.0) / 200.0 * scale) as u64;
            let [.., a, b, c, d, e] = (humidity << 20 | temperature).to_be_bytes();
            self.data = [a, b, c, d, e];
            self.status &= !BUSY;
        }
        let [a, b, c, d, e] = self.data;
        let answer = [self.status, a, b, c, d, e];
        let answer = answer.into_iter().chain([crc8(0xFF, &answer)]).cycle();
        buffer.iter_mut().zip(answer).for_each(|(to, from)| *to = from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed};

    #[test]
    fn the_scales_are_halved_by_half_their_numbers() {
        assert_eq!((celsius(0), celsius(1 << 19)), (-50.0, 50.0));
        assert_eq!((percent(0), percent(1 << 19)), (0.0, 50.0));
    }

    #[test]
    fn a_reading_is_what_the_room_is_like_and_the_offset() {
        let mut bench = Bench::<Aht20>::simulated(5, json!({ "offset": -1 }));
        let frame = bench.read().unwrap();
        let room = Room::new(5);
        assert_near(&frame, "temperature", room.celsius(bench.now()) - 1.0, 0.001);
        assert_near(&frame, "humidity", room.percent(bench.now()), 0.001);
    }

    #[test]
    fn a_disturbed_or_early_answer_is_refused() {
        let mut bench = Bench::<Aht20>::open(disturbed::<Aht20>(3), json!({})).unwrap();
        bench.start().unwrap();
        assert_eq!(bench.take(), Err(SensorError::NotReady));
        bench.wait(MEASUREMENT);
        assert_eq!(bench.take(), Err(SensorError::Checksum));
    }

    #[test]
    fn a_chip_that_is_not_calibrated_is_refused() {
        let chip = Box::new(sedge_plugin::sim::RegisterFile::new(&[]));
        assert_eq!(Bench::<Aht20>::open(chip, json!({})).err(), Some(UNCALIBRATED));
    }
}
