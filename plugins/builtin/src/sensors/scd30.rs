//! Sensirion SCD30: carbon dioxide, temperature and humidity on I2C.
//!
//! Datasheet: Sensirion SCD30, Interface Description. It measures by itself every 2 s, on at most 100 kHz, and holds the
//! clock for up to 30 ms, which the I2C of a Raspberry Pi 4 and older does not bear well: `dtoverlay=i2c-gpio` does. It has
//! no id but a firmware version, of which the checksum is checked. What it is set to it keeps without supply, so it is only
//! written where it differs.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::climate::{Room, within};
use crate::sensors::shared::sensirion::{self, ask, at_once, done, send};

const START: u16 = 0x0010;
const INTERVAL: u16 = 0x4600;
const READY: u16 = 0x0202;
const MEASURED: u16 = 0x0300;
const SELF_CALIBRATION: u16 = 0x5306;
const TEMPERATURE_OFFSET: u16 = 0x5403;
const ALTITUDE: u16 = 0x5102;
const FIRMWARE: u16 = 0xD100;

/// The shortest interval, in seconds.
const SECONDS: u16 = 2;
const PERIOD: Duration = Duration::from_millis(2200);
/// Between a command and its answer.
const PAUSE_MS: u32 = 4;

/// Settings of a `kind = "scd30"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Height above the sea. The density of the air changes the measurement. m, 0 to 5000.
    #[serde(default)]
    altitude: u16,
    /// How much warmer the chip is than the air, by itself and by its case. °C, 0 to 20.
    #[serde(default)]
    temperature_offset: f32,
    /// Whether it takes the least of some days for fresh air, which it must have an hour of every day.
    #[serde(default)]
    self_calibration: bool,
}

/// An SCD30.
pub struct Scd30 {
    device: I2cDevice,
}

impl Sensor for Scd30 {
    const KIND: &'static str = "scd30";
    const TITLE: &'static str = "Sensirion SCD30 CO2, temperature and humidity sensor";
    const ADDRESSES: &'static [u8] = &[0x61];
    const FIELDS: &'static [Field] = &[
        Field::new("co2", Unit::PartsPerMillion).class("carbon_dioxide").precision(0).range(0.0, 40_000.0),
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 70.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if settings.altitude > 5000 {
            return Err(SensorError::Settings("`altitude` is 0 to 5000 m".into()));
        }
        let offset = within("temperature_offset", settings.temperature_offset, 0.0, 20.0)?;
        ask::<1>(&mut device, FIRMWARE, PAUSE_MS)?;
        let set = [
            (INTERVAL, SECONDS),
            (ALTITUDE, settings.altitude),
            (TEMPERATURE_OFFSET, (offset * 100.0).round() as u16),
            (SELF_CALIBRATION, settings.self_calibration.into()),
        ];
        for (command, word) in set {
            let [is] = ask(&mut device, command, PAUSE_MS)?;
            if is != word {
                send(&mut device, command, &[word])?;
                device.delay_ms(PAUSE_MS);
            }
        }
        // 0: the height counts, not a pressure.
        send(&mut device, START, &[0])?;
        device.delay_ms(PAUSE_MS);
        Ok(Self { device })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(if self.is_ready()? { None } else { Some(PERIOD) })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        if !self.is_ready()? {
            return Err(SensorError::NotReady);
        }
        let [c1, c0, t1, t0, h1, h0] = ask(&mut self.device, MEASURED, PAUSE_MS)?;
        match float(c1, c0) {
            // The first after switching on may be.
            ppm if ppm <= 0.0 => frame.missing("co2", "no_value"),
            ppm => frame.push("co2", ppm),
        }
        frame.push("temperature", float(t1, t0));
        frame.push("humidity", float(h1, h0));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let (room, breath) = (Room::new(seed), Curve::new(seed ^ 0x2000, 800.0, 300.0));
        let period = Duration::from_secs(SECONDS.into());
        let mut kept = std::collections::BTreeMap::from([(INTERVAL, 2), (SELF_CALIBRATION, 1)]);
        // Since when it measures, or since when it was last read.
        let mut since: Option<Duration> = None;
        sensirion::chip(move |command, words, now| {
            let ready = since.is_some_and(|since| now >= since + period);
            match (command, words) {
                (FIRMWARE, []) => return at_once(&[0x0342]),
                (INTERVAL | SELF_CALIBRATION | TEMPERATURE_OFFSET | ALTITUDE, []) => {
                    return at_once(&[kept.get(&command).copied().unwrap_or_default()]);
                }
                (INTERVAL | SELF_CALIBRATION | TEMPERATURE_OFFSET | ALTITUDE, [word]) => {
                    kept.insert(command, *word);
                }
                (START, [_]) => since = Some(now),
                (READY, []) => return at_once(&[ready.into()]),
                (MEASURED, []) if ready => {
                    since = Some(now);
                    let values = [breath.at(now), room.celsius(now), room.percent(now)];
                    return at_once(&values.map(|value| words_of(value as f32)).concat());
                }
                (MEASURED, []) => {}
                _ => return None,
            }
            done()
        })
    }
}

impl Scd30 {
    fn is_ready(&mut self) -> Result<bool, SensorError> {
        let [word] = ask(&mut self.device, READY, PAUSE_MS)?;
        Ok(word == 1)
    }
}

/// The number of two words.
fn float(high: u16, low: u16) -> f32 {
    f32::from_bits(u32::from(high) << 16 | u32::from(low))
}

fn words_of(number: f32) -> [u16; 2] {
    let bits = number.to_bits();
    [(bits >> 16) as u16, bits as u16]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, disturbed, reason};
    use crate::sensors::shared::sensirion::with_crc;

    #[test]
    fn the_datasheets_example_is_converted() {
        // Of "read measurement": 439 ppm, 27.2 °C, 48.8 %.
        assert!((float(0x43DB, 0x8C2E) - 439.09).abs() < 0.01);
        assert!((float(0x41D9, 0xE7FF) - 27.238).abs() < 0.001);
        assert!((float(0x4243, 0x3A1B) - 48.807).abs() < 0.001);
        let crcs = [0x43DB, 0x8C2E, 0x41D9, 0xE7FF, 0x4243, 0x3A1B].map(|word| with_crc(word)[2]);
        assert_eq!(crcs, [0xCB, 0x8F, 0x70, 0xF5, 0xBF, 0x74]);
    }

    #[test]
    fn a_reading_waits_for_the_next_measurement() {
        let mut bench = Bench::<Scd30>::simulated(1, json!({ "altitude": 100, "temperature_offset": 1.5 }));
        for _ in 0..2 {
            assert_eq!(bench.take(), Err(SensorError::NotReady));
            assert_eq!(bench.start(), Ok(Some(PERIOD)));
            bench.wait(PERIOD);
            let frame = bench.take().unwrap();
            assert_near(&frame, "co2", Curve::new(1 ^ 0x2000, 800.0, 300.0).at(bench.now()), 0.001);
            assert_near(&frame, "temperature", Room::new(1).celsius(bench.now()), 0.001);
            assert_near(&frame, "humidity", Room::new(1).percent(bench.now()), 0.001);
        }
    }

    #[test]
    fn what_it_keeps_is_written_only_where_it_differs() {
        use std::sync::{Arc, Mutex};
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = written.clone();
        let chip = sensirion::chip(move |command, words, _| match words {
            [] => at_once(&[if command == INTERVAL { 2 } else { 0 }]),
            [word, ..] => {
                log.lock().unwrap().push((command, *word));
                done()
            }
        });
        Bench::<Scd30>::open(chip, json!({ "altitude": 310 })).unwrap();
        assert_eq!(*written.lock().unwrap(), [(ALTITUDE, 310), (START, 0)]);
    }

    #[test]
    fn a_disturbed_answer_is_refused_and_what_is_no_number_is_missing() {
        let error = Bench::<Scd30>::open(disturbed::<Scd30>(0), json!({})).err();
        assert_eq!(error, Some(SensorError::Checksum));
        let nan = sensirion::chip(|command, _, _| match command {
            READY => at_once(&[1]),
            _ => at_once(&[0, 0, 0xFFFF, 0xFFFF, 0x4243, 0x3A1B]),
        });
        let frame = Bench::<Scd30>::open(nan, json!({})).unwrap().read().unwrap();
        assert_eq!(reason(&frame, "co2"), Some("no_value"));
        assert_eq!(reason(&frame, "temperature"), Some("not_finite"));
        assert_near(&frame, "humidity", 48.8, 0.01);
    }
}
