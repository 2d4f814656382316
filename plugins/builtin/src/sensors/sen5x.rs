//! Sensirion SEN54 and SEN55 (and SEN50, which has only dust): particulate matter, humidity, temperature, VOC and NOx on
//! I2C.
//!
//! Datasheet: Sensirion SEN5x. A fan and a laser that run all the time; it measures every 1 s. It says by its name what it
//! is. The indexes are 1 to 500 (of VOC 100, of NOx 1 is usual), begin some seconds after it was started and are right
//! after hours; so that they need not begin anew, it goes on measuring when the node ends. What a model has not, or cannot
//! say yet, is missing (`no_value`), and so is what its status says is broken.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::climate::{Room, within};
use crate::sensors::shared::sensirion::{self, ask, at_once, done, send};

const START: u16 = 0x0021;
const READY: u16 = 0x0202;
const MEASURED: u16 = 0x03C4;
const TEMPERATURE_COMPENSATION: u16 = 0x60B2;
const NAME: u16 = 0xD014;
const STATUS: u16 = 0xD206;

/// "SEN5", as the first two words of its name.
const SEN5: [u16; 2] = [0x5345, 0x4E35];
const PERIOD: Duration = Duration::from_millis(1100);
/// Between a command and its answer.
const PAUSE_MS: u32 = 20;

/// A bit of the status, and what that is called.
type Fault = (u32, &'static str);

const FAN: Fault = (1 << 4, "fan");
const LASER: Fault = (1 << 5, "laser");
const CLIMATE: Fault = (1 << 6, "broken");
const GAS: Fault = (1 << 7, "broken");

/// The fields in the order of the words: the divisor, whether the word has a sign, and the faults that make it wrong.
const COLUMNS: [(&str, f64, bool, &[Fault]); 8] = [
    ("pm1", 10.0, false, &[FAN, LASER]),
    ("pm25", 10.0, false, &[FAN, LASER]),
    ("pm4", 10.0, false, &[FAN, LASER]),
    ("pm10", 10.0, false, &[FAN, LASER]),
    ("humidity", 100.0, true, &[CLIMATE]),
    ("temperature", 200.0, true, &[CLIMATE]),
    ("voc_index", 10.0, true, &[GAS]),
    ("nox_index", 10.0, true, &[GAS]),
];

/// Settings of a `kind = "sen5x"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added by the chip to its temperature, on top of its own correction; its humidity takes it into account. °C, at most
    /// 20 up or down.
    #[serde(default)]
    offset: f32,
}

/// A SEN5x.
pub struct Sen5x {
    device: I2cDevice,
}

impl Sensor for Sen5x {
    const KIND: &'static str = "sen5x";
    const TITLE: &'static str = "Sensirion SEN54/SEN55 dust, humidity, temperature, VOC and NOx sensor";
    const ADDRESSES: &'static [u8] = &[0x69];
    const FIELDS: &'static [Field] = &[
        dust("pm1").class("pm1"),
        dust("pm25").class("pm25"),
        dust("pm4"),
        dust("pm10").class("pm10"),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
        Field::new("temperature", Unit::Celsius).class("temperature").range(-10.0, 50.0),
        Field::new("voc_index", Unit::None).precision(0).range(1.0, 500.0),
        Field::new("nox_index", Unit::None).precision(0).range(1.0, 500.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let offset = within("offset", settings.offset, -20.0, 20.0)?;
        let found: [u16; 2] = ask(&mut device, NAME, PAUSE_MS)?;
        if found != SEN5 {
            let number = |[high, low]: [u16; 2]| u32::from(high) << 16 | u32::from(low);
            return Err(SensorError::WrongDevice { expected: number(SEN5), found: number(found) });
        }
        // Slope 0, at once.
        let offset = (offset * 200.0).round() as i16;
        send(&mut device, TEMPERATURE_COMPENSATION, &[offset.cast_unsigned(), 0, 0])?;
        device.delay_ms(PAUSE_MS);
        // One that measures already is not stopped: its indexes would begin anew.
        sensirion::unless_refused(send(&mut device, START, &[]))?;
        device.delay_ms(50);
        Ok(Self { device })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(if self.is_ready()? { None } else { Some(PERIOD) })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        if !self.is_ready()? {
            return Err(SensorError::NotReady);
        }
        let words: [u16; 8] = ask(&mut self.device, MEASURED, PAUSE_MS)?;
        let [high, low] = ask(&mut self.device, STATUS, PAUSE_MS)?;
        let status = u32::from(high) << 16 | u32::from(low);
        for (word, (field, divisor, signed, faults)) in words.into_iter().zip(COLUMNS) {
            match (faults.iter().find(|(bit, _)| status & bit != 0), value(word, signed)) {
                (Some((_, reason)), _) => frame.missing(field, *reason),
                (None, Some(number)) => frame.push(field, number / divisor),
                (None, None) => frame.missing(field, "no_value"),
            }
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let (room, dust) = (Room::new(seed), Curve::new(seed ^ 0x2000, 9.0, 6.0));
        let gas = Curve::new(seed ^ 0x3000, 100.0, 60.0);
        // Since when it measures, and when it was last read.
        let mut measuring: Option<(Duration, Duration)> = None;
        sensirion::chip(move |command, words, now| {
            match (command, words, &mut measuring) {
                // The last word that fits: the driver reads no more.
                (NAME, [], _) => return at_once(&[SEN5[0], SEN5[1], 0x3500]),
                (STATUS, [], _) => return at_once(&[0, 0]),
                (TEMPERATURE_COMPENSATION, [_, _, _], _) => {}
                (START, [], None) => measuring = Some((now, now)),
                (READY, [], None) => return at_once(&[0]),
                (READY, [], Some((_, read))) => {
                    return at_once(&[(now >= *read + Duration::from_secs(1)).into()]);
                }
                (MEASURED, [], Some((began, read))) => {
                    *read = now;
                    let dust = [0.7, 1.0, 1.1, 1.2].map(|part| (dust.at(now) * part * 10.0) as u16);
                    let nox = if now < *began + Duration::from_secs(10) { i16::MAX } else { 10 };
                    let [humidity, temperature] = [room.percent(now) * 100.0, room.celsius(now) * 200.0];
                    let rest = [humidity as i16, temperature as i16, (gas.at(now) * 10.0) as i16, nox];
                    return at_once(&[dust, rest.map(i16::cast_unsigned)].concat());
                }
                _ => return None,
            }
            done()
        })
    }
}

impl Sen5x {
    fn is_ready(&mut self) -> Result<bool, SensorError> {
        let [word] = ask(&mut self.device, READY, PAUSE_MS)?;
        Ok(word & 0xFF == 1)
    }
}

const fn dust(name: &'static str) -> Field {
    Field::new(name, Unit::MicrogramPerCubicMetre).precision(1).range(0.0, 1000.0)
}

/// None is its way to say that it does not know.
fn value(word: u16, signed: bool) -> Option<f64> {
    match (word, signed) {
        (0xFFFF, false) | (0x7FFF, true) => None,
        (word, false) => Some(word.into()),
        (word, true) => Some(word.cast_signed().into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed, reason};

    fn saying(values: [u16; 8], status: u16) -> Frame {
        let chip = sensirion::chip(move |command, _, _| match command {
            NAME => at_once(&SEN5),
            READY => at_once(&[1]),
            STATUS => at_once(&[0, status]),
            _ => at_once(&values),
        });
        Bench::<Sen5x>::open(chip, json!({})).unwrap().read().unwrap()
    }

    #[test]
    fn words_are_converted_and_what_is_not_known_is_missing() {
        let frame = saying([0, 123, 10_000, 0xFFFF, 4210, (-1000_i16).cast_unsigned(), 1000, 0x7FFF], 0);
        for (field, expected) in
            [("pm1", 0.0), ("pm25", 12.3), ("pm4", 1000.0), ("humidity", 42.1), ("temperature", -5.0)]
        {
            assert_near(&frame, field, expected, 1e-9);
        }
        assert_near(&frame, "voc_index", 100.0, 0.0);
        assert_eq!([reason(&frame, "pm10"), reason(&frame, "nox_index")], [Some("no_value"); 2]);
    }

    #[test]
    fn what_is_broken_is_missing() {
        let fan = saying([0; 8], 1 << 4);
        let reasons = ["pm1", "pm10", "humidity", "voc_index"].map(|field| reason(&fan, field));
        assert_eq!(reasons, [Some("fan"), Some("fan"), None, None]);
        assert_eq!(reason(&saying([0; 8], 1 << 7), "voc_index"), Some("broken"));
    }

    #[test]
    fn a_reading_waits_for_the_next_measurement_and_nox_for_ten_seconds() {
        let mut bench = Bench::<Sen5x>::simulated(1, json!({}));
        assert_eq!(bench.take(), Err(SensorError::NotReady));
        let frame = bench.read().unwrap();
        assert_near(&frame, "temperature", Room::new(1).celsius(bench.now()), 0.006);
        assert_near(&frame, "pm25", Curve::new(1 ^ 0x2000, 9.0, 6.0).at(bench.now()), 0.11);
        assert_eq!(reason(&frame, "nox_index"), Some("no_value"));
        bench.wait(Duration::from_secs(10));
        assert_near(&bench.read().unwrap(), "nox_index", 1.0, 0.0);
    }

    #[test]
    fn another_chip_and_a_disturbed_answer_are_refused() {
        let scd30 = sensirion::chip(|_, _, _| at_once(&[0x5343, 0x4433]));
        let error = Bench::<Sen5x>::open(scd30, json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x5345_4E35, found: 0x5343_4433 }));
        let mut bench = Bench::<Sen5x>::open(disturbed::<Sen5x>(3), json!({})).unwrap();
        bench.wait(PERIOD);
        assert_eq!(bench.read(), Err(SensorError::Checksum));
    }
}
