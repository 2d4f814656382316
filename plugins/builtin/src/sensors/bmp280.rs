//! Bosch BMP280: temperature and air pressure on I2C.
//!
//! Datasheet: BST-BMP280-DS001. One conversion per reading (forced mode), pressure sampled four times, filter off: with the
//! filter a reading would be a mixture of the last ones.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

use crate::sensors::shared::chip::{forgotten, search, uncalibrated};

const CALIBRATION: u8 = 0x88;
const ID: u8 = 0xD0;
const RESET: u8 = 0xE0;
const STATUS: u8 = 0xF3;
const CONTROL: u8 = 0xF4;
const DATA: u8 = 0xF7;

const IDENTITY: Identity = Identity::byte(&[ID], 0x58);
const RESET_WORD: u8 = 0xB6;
const MEASURING: u8 = 1 << 3;
/// Temperature once, pressure four times (section 4.3.4).
const SAMPLES: u8 = 0b001 << 5 | 0b011 << 2;
const MODE: u8 = 0b11;
const FORCED: u8 = 0b01;
/// 13.3 ms at most (section 3.8.1).
const CONVERSION: Duration = Duration::from_millis(15);
/// What a quantity is that was not measured (section 4.3.6).
const UNMEASURED: u32 = 0x8_0000;

/// A BMP280. It has no settings.
pub struct Bmp280 {
    device: I2cDevice,
    calibration: Calibration,
}

impl Sensor for Bmp280 {
    const KIND: &'static str = "bmp280";
    const TITLE: &'static str = "Bosch BMP280 temperature and pressure sensor";
    const ADDRESSES: &'static [u8] = &[0x76, 0x77];
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
        Field::new("pressure", Unit::Hectopascal).class("atmospheric_pressure").range(300.0, 1100.0),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        IDENTITY.check(&mut device)?;
        device.write_u8(RESET, RESET_WORD)?;
        // It starts in 2 ms (table 2).
        device.delay_ms(4);
        let mut words = [0; 24];
        device.write_read(&[CALIBRATION], &mut words)?;
        let calibration = Calibration::parse(&words).ok_or_else(uncalibrated)?;
        Ok(Self { device, calibration })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u8(CONTROL, SAMPLES | FORCED)?;
        Ok(Some(CONVERSION))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut answer = [0; 10];
        self.device.write_read(&[STATUS], &mut answer)?;
        let [status, control, _, _, p0, p1, p2, t0, t1, t2] = answer;
        if control & !MODE != SAMPLES {
            return Err(forgotten());
        }
        if status & MEASURING != 0 || control & MODE != 0 {
            return Err(SensorError::NotReady);
        }
        let [pressure, temperature] = [number(p0, p1, p2), number(t0, t1, t2)];
        if pressure == UNMEASURED || temperature == UNMEASURED {
            return Err(forgotten());
        }
        let fine = self.calibration.fine(temperature);
        frame.push("temperature", fine / 5120.0);
        frame.push("pressure", self.calibration.pascal(pressure, fine) / 100.0);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let warmth = Curve::new(seed, 21.0, 3.0);
        let weight = Curve::new(seed ^ 0x2000, 1013.0, 12.0);
        Box::new(simulated(move |now| (warmth.at(now), weight.at(now) * 100.0)))
    }
}

/// Twenty bits of the converter.
fn number(high: u8, middle: u8, low: u8) -> u32 {
    u32::from_be_bytes([0, high, middle, low]) >> 4
}

/// The words of section 3.11.2, computed with as in section 8.1.
#[derive(Debug, Clone, Copy)]
struct Calibration {
    t: [f64; 3],
    p: [f64; 9],
}

impl Calibration {
    /// None where the words are those of an empty or absent memory.
    fn parse(bytes: &[u8; 24]) -> Option<Self> {
        let word = |i: usize| u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]);
        if [word(0), word(3)].iter().any(|unsigned| [0, u16::MAX].contains(unsigned)) {
            return None;
        }
        // The first word of either quantity has no sign.
        let value = |i: usize| match i {
            0 | 3 => f64::from(word(i)),
            _ => f64::from(word(i).cast_signed()),
        };
        Some(Self { t: std::array::from_fn(&value), p: std::array::from_fn(|i| value(i + 3)) })
    }

    /// The temperature as the pressure's formula wants it: 5120 per °C.
    fn fine(&self, adc: u32) -> f64 {
        let [t1, t2, t3] = self.t;
        let adc = f64::from(adc);
        let difference = adc / 131_072.0 - t1 / 8192.0;
        (adc / 16384.0 - t1 / 1024.0) * t2 + difference * difference * t3
    }

    fn pascal(&self, adc: u32, fine: f64) -> f64 {
        let [p1, p2, p3, p4, p5, p6, p7, p8, p9] = self.p;
        let x = fine / 2.0 - 64000.0;
        let offset = (x * x * p6 / 32768.0 + x * p5 * 2.0) / 4.0 + p4 * 65536.0;
        let scale = (1.0 + (p3 * x * x / 524_288.0 + p2 * x) / 524_288.0 / 32768.0) * p1;
        let p = (1_048_576.0 - f64::from(adc) - offset / 4096.0) * 6250.0 / scale;
        p + (p9 * p * p / 2_147_483_648.0 + p * p8 / 32768.0 + p7) / 16.0
    }
}

/// The words of the datasheet's example (section 3.12).
const EXAMPLE: [i32; 12] = [27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000];

fn example() -> [u8; 24] {
    let mut bytes = [0; 24];
    for (to, word) in bytes.chunks_exact_mut(2).zip(EXAMPLE) {
        to.copy_from_slice(&(word as u16).to_le_bytes());
    }
    bytes
}

/// A chip with the calibration of the datasheet's example, which converts when it is told to and sleeps again.
fn simulated(mut measure: impl FnMut(Duration) -> (f64, f64) + Send + 'static) -> RegisterFile {
    let calibration = Calibration::parse(&example());
    RegisterFile::live(move |chip, now| {
        if chip.get(RESET) == RESET_WORD {
            chip.set(RESET, &[0]);
            chip.set(CONTROL, &[0]);
            chip.set(DATA, &[0x80, 0, 0, 0x80, 0, 0]);
        }
        let control = chip.get(CONTROL);
        if let (FORCED, Some(calibration)) = (control & MODE, calibration) {
            let (celsius, pascal) = measure(now);
            let temperature = search(20, |adc| calibration.fine(adc) >= celsius * 5120.0);
            let fine = calibration.fine(temperature);
            let pressure = search(20, |adc| calibration.pascal(adc, fine) <= pascal);
            chip.set(CONTROL, &[control & !MODE]);
            for (register, number) in [(DATA, pressure), (DATA + 3, temperature)] {
                chip.set(register, &(number << 12).to_be_bytes()[..3]);
            }
        }
    })
    .with(ID, &[0x58])
    .with(CALIBRATION, &example())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number as value};

    #[test]
    fn the_datasheets_example_gives_its_values() {
        // Section 3.12.
        let calibration = Calibration::parse(&example()).unwrap();
        let fine = calibration.fine(519_888);
        assert_close(fine / 5120.0, 25.08, 0.005);
        assert_close(calibration.pascal(415_148, fine), 100_653.27, 0.05);
    }

    #[test]
    fn a_reading_is_that_of_the_curve() {
        for seed in 0..5 {
            let mut bench = Bench::<Bmp280>::simulated(seed, json!({}));
            let frame = bench.read().unwrap();
            let now = bench.now();
            assert_close(value(&frame, "temperature"), Curve::new(seed, 21.0, 3.0).at(now), 0.001);
            let weight = Curve::new(seed ^ 0x2000, 1013.0, 12.0).at(now);
            assert_close(value(&frame, "pressure"), weight, 0.005);
        }
    }

    #[test]
    fn a_chip_that_forgot_its_configuration_or_measured_nothing_is_an_error() {
        let mut bench = Bench::<Bmp280>::simulated(1, json!({}));
        assert_eq!(bench.take().err(), Some(forgotten()), "just reset");
        bench.driver.device.write_u8(CONTROL, SAMPLES).unwrap();
        assert_eq!(bench.take().err(), Some(forgotten()), "no conversion");
        bench.read().unwrap();
        bench.driver.device.write_u8(CONTROL, 0).unwrap();
        assert_eq!(bench.take().err(), Some(forgotten()), "the former result");
        let busy = simulated(|_| (21.0, 101_325.0)).with(STATUS, &[MEASURING]);
        let mut bench = Bench::<Bmp280>::open(Box::new(busy), json!({})).unwrap();
        assert_eq!(bench.read().err(), Some(SensorError::NotReady));
    }

    #[test]
    fn another_chip_and_an_empty_memory_are_refused() {
        let bme280 = simulated(|_| (21.0, 101_325.0)).with(ID, &[0x60]);
        let error = Bench::<Bmp280>::open(Box::new(bme280), json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x58, found: 0x60 }));
        let empty = simulated(|_| (21.0, 101_325.0)).with(CALIBRATION, &[0xFF; 24]);
        assert_eq!(Bench::<Bmp280>::open(Box::new(empty), json!({})).err(), Some(uncalibrated()));
    }
}
