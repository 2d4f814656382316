//! Silicon Labs Si7013, Si7020 and Si7021, TE HTU21D and Sensirion SHT21: temperature and humidity on I2C.
//!
//! Datasheets: Silicon Labs Si7021-A20, TE HTU21D(F), Sensirion SHT21. They speak alike. The ones of Silicon Labs say by
//! their electronic id what they are, and are four times as fast; of the others there are copies whose id means nothing, so
//! that what answers with the right checksums is taken for one. Two measurements per reading: the wait for the first is the
//! bus's, that for the second (at most 29 ms) is not.

use std::time::Duration;

use sedge_plugin::prelude::*;

use crate::sensors::shared::climate::{Room, Settings};
use crate::sensors::shared::sensirion::{CommandChip, crc8};

const RESET: u8 = 0xFE;
/// Both without holding the clock.
const MEASURE_TEMPERATURE: u8 = 0xF3;
const MEASURE_HUMIDITY: u8 = 0xF5;
/// The second half of the electronic id; its first byte is the part's number.
const ID: [u8; 2] = [0xFC, 0xC9];
/// Si7013, Si7020 and Si7021.
const SILICON_LABS: [u8; 3] = [0x0D, 0x14, 0x15];

/// How long a temperature and a humidity take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    temperature: Duration,
    humidity_ms: u32,
}

/// Si7021: the humidity takes a temperature besides.
const FAST: Pace = Pace { temperature: Duration::from_millis(11), humidity_ms: 23 };
/// SHT21: the slowest of the others.
const SLOW: Pace = Pace { temperature: Duration::from_millis(85), humidity_ms: 29 };

/// An Si7021 or one that speaks alike.
pub struct Si7021 {
    device: I2cDevice,
    offset: f32,
    pace: Pace,
}

impl Sensor for Si7021 {
    const KIND: &'static str = "si7021";
    const TITLE: &'static str = "Silicon Labs Si7021 (HTU21D, SHT21) temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x40];
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let offset = settings.offset()?;
        device.write(&[RESET])?;
        device.delay_ms(15);
        let mut id = [0; 3];
        let pace = match device.write_read(&ID, &mut id) {
            Ok(()) if is_silicon_labs(id) => FAST,
            Ok(()) | Err(BusError::NoAnswer | BusError::Refused) => SLOW,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { device, offset, pace })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write(&[MEASURE_TEMPERATURE])?;
        Ok(Some(self.pace.temperature))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let temperature = word(&mut self.device)?;
        self.device.write(&[MEASURE_HUMIDITY])?;
        self.device.delay_ms(self.pace.humidity_ms);
        let humidity = word(&mut self.device)?;
        frame.push("temperature", celsius(temperature) + self.offset);
        // The ends of the scale lie beyond what there is.
        frame.push("humidity", percent(humidity).clamp(0.0, 100.0));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let room = Room::new(seed);
        Box::new(CommandChip::new(move |bytes, now| match *bytes {
            [RESET] => Some((Duration::ZERO, Vec::new())),
            _ if bytes == ID => Some((Duration::ZERO, checked([0x15, 0xFF]))),
            [MEASURE_TEMPERATURE] => {
                let celsius = room.celsius(now + FAST.temperature);
                Some((FAST.temperature, reply((celsius + 46.85) / 175.72, 0b00)))
            }
            // The driver waits for it in one go, while the clock of a simulation stands still.
            [MEASURE_HUMIDITY] => Some((Duration::ZERO, reply((room.percent(now) + 6.0) / 125.0, 0b10))),
            _ => None,
        }))
    }
}

fn is_silicon_labs([part, second, crc]: [u8; 3]) -> bool {
    crc8(0, &[part, second]) == crc && SILICON_LABS.contains(&part)
}

/// The last two bits are not of the number.
fn word(device: &mut I2cDevice) -> Result<u16, SensorError> {
    let mut answer = [0; 3];
    device.read(&mut answer)?;
    let [high, low, crc] = answer;
    match crc8(0, &[high, low]) == crc {
        true => Ok(u16::from_be_bytes([high, low & !0b11])),
        false => Err(SensorError::Checksum),
    }
}

fn celsius(word: u16) -> f32 {
    f32::from(word) * 175.72 / 65536.0 - 46.85
}

fn percent(word: u16) -> f32 {
    f32::from(word) * 125.0 / 65536.0 - 6.0
}

fn checked([high, low]: [u8; 2]) -> Vec<u8> {
    vec![high, low, crc8(0, &[high, low])]
}

fn reply(part: f64, status: u16) -> Vec<u8> {
    checked(((part * 65536.0) as u16 & !0b11 | status).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed};

    #[test]
    fn the_datasheets_examples_are_converted() {
        // HTU21D: 0x683A is 24.7 °C, 0x7C80 is 54.8 %; SHT21: 0x6350 is 42.5 %.
        assert!((celsius(0x6838) - 24.69).abs() < 0.01);
        assert!((percent(0x6350) - 42.49).abs() < 0.01);
        assert!((percent(0x7C80) - 54.79).abs() < 0.01);
        // HTU21D, "CRC checksum": 0xDC has 0x79, 0x683A has 0x7C, 0x4E85 has 0x6B.
        assert_eq!([crc8(0, &[0xDC]), crc8(0, &[0x68, 0x3A]), crc8(0, &[0x4E, 0x85])], [0x79, 0x7C, 0x6B]);
    }

    #[test]
    fn the_bits_that_say_what_it_is_are_not_of_the_number() {
        let chip = CommandChip::new(|_, _| Some((Duration::ZERO, checked([0x63, 0x52]))));
        let frame = Bench::<Si7021>::open(Box::new(chip), json!({})).unwrap().read().unwrap();
        assert_near(&frame, "humidity", percent(0x6350).into(), 0.0);
    }

    #[test]
    fn a_reading_is_what_the_room_is_like_and_the_offset() {
        let mut bench = Bench::<Si7021>::simulated(6, json!({ "offset": 2 }));
        let frame = bench.read().unwrap();
        let room = Room::new(6);
        assert_near(&frame, "temperature", room.celsius(bench.now()) + 2.0, 0.011);
        assert_near(&frame, "humidity", room.percent(bench.now()), 0.008);
    }

    #[test]
    fn one_without_an_id_is_given_more_time() {
        let nameless = |id: bool| {
            let mut chip = Si7021::simulate(1);
            let filter = move |bytes: &[u8], now| match bytes == ID && !id {
                true => None,
                false => {
                    chip.write(bytes, now).ok()?;
                    let mut answer = vec![0; 3];
                    chip.read(&mut answer, now + SLOW.temperature).ok();
                    Some((Duration::ZERO, answer))
                }
            };
            Bench::<Si7021>::open(Box::new(CommandChip::new(filter)), json!({})).unwrap()
        };
        assert_eq!(nameless(true).start(), Ok(Some(FAST.temperature)));
        let mut slow = nameless(false);
        assert_eq!(slow.start(), Ok(Some(SLOW.temperature)));
        assert!(slow.take().is_ok());
    }

    #[test]
    fn a_disturbed_or_early_answer_is_refused() {
        let mut bench = Bench::<Si7021>::open(disturbed::<Si7021>(1), json!({})).unwrap();
        bench.start().unwrap();
        assert_eq!(bench.take(), Err(SensorError::Bus(BusError::NoAnswer)));
        bench.wait(FAST.temperature);
        assert_eq!(bench.take(), Err(SensorError::Checksum));
    }
}
