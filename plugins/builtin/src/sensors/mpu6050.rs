//! TDK InvenSense MPU-6050: acceleration and rotation in three axes on I2C.
//!
//! Register map: RM-MPU-6000A. Sampled a thousand times a second behind a low-pass filter of 44 Hz; a reading is the newest
//! sample, not a mean. The temperature is that of the chip.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

use crate::sensors::shared::chip::forgotten;

/// Sample rate, filter, range of the rotation, range of the acceleration.
const CONFIGURATION: u8 = 0x19;
const INT_ENABLE: u8 = 0x38;
/// Before the fourteen bytes of data: whether they are new.
const INT_STATUS: u8 = 0x3A;
const PWR_MGMT_1: u8 = 0x6B;
const WHO_AM_I: u8 = 0x75;

const DATA_READY: u8 = 1;
/// Awake, on the clock of the gyroscope, which is steadier than its own.
const AWAKE: u8 = 1;
const FILTER_44_HZ: u8 = 3;
/// Until the gyroscope turns (30 ms) and the filter has settled.
const START_UP: Duration = Duration::from_millis(60);
const GRAVITY: f64 = 9.806_65;

const fn acceleration(name: &'static str) -> Field {
    Field::new(name, Unit::MetrePerSecondSquared).precision(3).range(-16.0 * GRAVITY, 16.0 * GRAVITY)
}

const fn rotation(name: &'static str) -> Field {
    Field::new(name, Unit::DegreePerSecond).range(-2000.0, 2000.0)
}

/// Settings of a `kind = "mpu6050"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The strongest acceleration that it measures: 2, 4, 8 or 16 g.
    acceleration_range: u16,
    /// The fastest rotation that it measures: 250, 500, 1000 or 2000 °/s.
    rotation_range: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { acceleration_range: 2, rotation_range: 250 }
    }
}

/// An MPU-6050.
pub struct Mpu6050 {
    device: I2cDevice,
    configuration: [u8; 4],
    /// What the full scale is, of the acceleration in m/s² and of the rotation in °/s.
    scale: [f64; 2],
    fresh: bool,
}

impl Sensor for Mpu6050 {
    const KIND: &'static str = "mpu6050";
    const TITLE: &'static str = "TDK InvenSense MPU-6050 accelerometer and gyroscope";
    const ADDRESSES: &'static [u8] = &[0x68, 0x69];
    // The lowest and the highest bit do not count.
    const IDENTITY: Option<Identity> = Some(Identity::byte(&[WHO_AM_I], 0x68).mask(0x7E));
    const FIELDS: &'static [Field] = &[
        acceleration("acceleration_x"),
        acceleration("acceleration_y"),
        acceleration("acceleration_z"),
        rotation("rotation_x"),
        rotation("rotation_y"),
        rotation("rotation_z"),
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if let Some(identity) = Self::IDENTITY {
            identity.check(&mut device)?;
        }
        let Settings { acceleration_range, rotation_range } = settings;
        let acceleration = step("acceleration_range", [2, 4, 8, 16], acceleration_range)?;
        let rotation = step("rotation_range", [250, 500, 1000, 2000], rotation_range)?;
        let configuration = [0, FILTER_44_HZ, rotation << 3, acceleration << 3];
        device.write_u8(PWR_MGMT_1, AWAKE)?;
        let [rate, filter, rotation, acceleration] = configuration;
        device.write(&[CONFIGURATION, rate, filter, rotation, acceleration])?;
        device.write_u8(INT_ENABLE, DATA_READY)?;
        let scale = [f64::from(acceleration_range) * GRAVITY, rotation_range.into()];
        Ok(Self { device, configuration, scale, fresh: true })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(std::mem::take(&mut self.fresh).then_some(START_UP))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut configuration = [0; 4];
        self.device.write_read(&[CONFIGURATION], &mut configuration)?;
        if configuration != self.configuration || self.device.read_u8(PWR_MGMT_1)? != AWAKE {
            return Err(forgotten());
        }
        let mut data = [0; 15];
        self.device.write_read(&[INT_STATUS], &mut data)?;
        let [status, data @ ..] = data;
        if status & DATA_READY == 0 {
            return Err(SensorError::NotReady);
        }
        let words = words(data);
        let [acceleration, rotation] = self.scale;
        for (field, (word, scale)) in Self::FIELDS.iter().zip([
            (words[0], acceleration),
            (words[1], acceleration),
            (words[2], acceleration),
            (words[4], rotation),
            (words[5], rotation),
            (words[6], rotation),
        ]) {
            let cut_off = matches!(word, i16::MIN | i16::MAX);
            frame.push_cut_off(field.name, f64::from(word) / 32768.0 * scale, cut_off);
        }
        frame.push("temperature", celsius(words[3]));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let tilt = Curve::new(seed, 0.0, 0.3);
        let chip = RegisterFile::live(move |chip, now| {
            let awake = chip.get(PWR_MGMT_1) == AWAKE && chip.get(INT_ENABLE) & DATA_READY != 0;
            chip.set(INT_STATUS, &[u8::from(awake)]);
            if !awake {
                return;
            }
            let tilt = tilt.at(now);
            let full = f64::from(2_u16 << (chip.get(CONFIGURATION + 3) >> 3 & 3));
            let fast = f64::from(250_u16 << (chip.get(CONFIGURATION + 2) >> 3 & 3));
            let g = |part: f64| (part / full * 32768.0) as i16;
            let turn = (tilt / fast * 32768.0) as i16;
            let warmth = ((24.0 + tilt - 36.53) * 340.0) as i16;
            let words = [g(tilt.sin()), 0, g(tilt.cos()), warmth, turn, turn / 2, -turn];
            for (place, word) in (INT_STATUS + 1..).step_by(2).zip(words) {
                chip.set(place, &word.to_be_bytes());
            }
        });
        Box::new(chip.with(WHO_AM_I, &[0x68]).with(PWR_MGMT_1, &[0x40]))
    }
}

/// The number of a range, as the chip wants it.
fn step(key: &str, ranges: [u16; 4], range: u16) -> Result<u8, SensorError> {
    let place = (0..).zip(ranges).find(|(_, known)| *known == range).map(|(step, _)| step);
    place.ok_or_else(|| SensorError::Settings(format!("`{key}` is one of {ranges:?}, not {range}").into()))
}

/// Acceleration, temperature, rotation.
fn words(data: [u8; 14]) -> [i16; 7] {
    let mut words = [0; 7];
    for (word, pair) in words.iter_mut().zip(data.chunks_exact(2)) {
        *word = i16::from_be_bytes([pair[0], pair[1]]);
    }
    words
}

/// Section 4.18.
fn celsius(raw: i16) -> f64 {
    f64::from(raw) / 340.0 + 36.53
}

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    fn open(wire: Wire, settings: Settings) -> Result<Mpu6050, SensorError> {
        Mpu6050::open(I2cDevice::new(0x68, wire, NoDelay), settings)
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let mpu6500 = RegisterFile::new(&[(WHO_AM_I, &[0x70])]);
        let error = open(Wire::to(0x68, mpu6500), Settings::default()).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x68, found: 0x70 }));
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve_in_every_range() {
        let (now, mut frames) = (Duration::from_secs(700), Vec::new());
        for (acceleration_range, rotation_range) in [(2, 250), (16, 2000)] {
            let wire = Wire::boxed(0x68, Mpu6050::simulate(8)).at(now);
            let mut driver = open(wire, Settings { acceleration_range, rotation_range }).unwrap();
            assert_eq!((driver.start(), driver.start()), (Ok(Some(START_UP)), Ok(None)));
            let mut frame = Frame::default();
            driver.read(&mut frame).unwrap();
            frames.push(frame);
        }
        let tilt = Curve::new(8, 0.0, 0.3).at(now);
        for frame in frames {
            let near = |i: usize, value: f64| (frame.samples[i].number().unwrap() - value).abs() < 0.07;
            assert!(
                near(0, tilt.sin() * GRAVITY) && near(2, tilt.cos() * GRAVITY) && near(3, tilt),
                "{frame:?}"
            );
            assert!(near(6, 24.0 + tilt), "{frame:?}");
        }
    }

    #[test]
    fn a_value_at_the_end_of_the_range_is_beyond_it() {
        let live = |chip: &mut sedge_plugin::sim::Registers, _| {
            chip.set(INT_STATUS, &[1, 0x7F, 0xFF, 0x80, 0x00, 0x40, 0])
        };
        let chip = RegisterFile::live(live).with(WHO_AM_I, &[0x68]);
        let mut frame = Frame::default();
        open(Wire::to(0x68, chip), Settings::default()).unwrap().read(&mut frame).unwrap();
        let qualities: Vec<_> = frame.samples.iter().map(|sample| sample.quality).collect();
        assert_eq!(qualities[..3], [Quality::OutOfRange, Quality::OutOfRange, Quality::Ok]);
        assert_eq!(frame.samples[2].number(), Some(GRAVITY), "half of 2 g");
        assert_eq!(frame.samples[6].number(), Some(36.53));
    }

    #[test]
    fn a_chip_that_sleeps_or_has_nothing_new_is_an_error() {
        let with = |register: u8, byte: u8| {
            let live = move |chip: &mut sedge_plugin::sim::Registers, _| chip.set(register, &[byte]);
            let chip = RegisterFile::live(live).with(WHO_AM_I, &[0x68]);
            open(Wire::to(0x68, chip), Settings::default()).unwrap().read(&mut Frame::default())
        };
        assert!(matches!(with(PWR_MGMT_1, 0x40), Err(SensorError::Garbage(_))));
        assert!(matches!(with(CONFIGURATION + 1, 0), Err(SensorError::Garbage(_))));
        assert_eq!(with(INT_STATUS, 0), Err(SensorError::NotReady));
        let error = step("acceleration_range", [2, 4, 8, 16], 3);
        assert!(matches!(error, Err(SensorError::Settings(text)) if text.contains("[2, 4, 8, 16]")));
    }
}
