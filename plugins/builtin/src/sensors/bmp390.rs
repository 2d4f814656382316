//! Bosch BMP390 and BMP388: air pressure and temperature on I2C.
//!
//! Datasheets: BST-BMP390-DS002, BST-BMP388-DS001. One conversion per reading (forced mode), pressure sampled eight times,
//! filter off: with the filter a reading would be a mixture of the last ones. The temperature is that of the chip, for the
//! compensation, and is a little above the air's.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

use crate::sensors::shared::chip::{forgotten, search, uncalibrated};

const ID: u8 = 0x00;
const ERRORS: u8 = 0x02;
const DATA: u8 = 0x04;
const POWER: u8 = 0x1B;
const OVERSAMPLING: u8 = 0x1C;
const CALIBRATION: u8 = 0x31;
const COMMAND: u8 = 0x7E;

const BMP388_ID: u8 = 0x50;
const BMP390_ID: u8 = 0x60;
const SOFT_RESET: u8 = 0xB6;
const BOTH: u8 = 0b11;
const FORCED: u8 = 0b01 << 4;
/// Temperature once, pressure eight times.
const SAMPLES: u8 = 0b011;
/// Fatal, command and configuration (ERR_REG).
const ANY_ERROR: u8 = 0b111;
/// Both values are new (STATUS).
const READY: u8 = 0b11 << 5;
/// 234 µs, 392 µs and eight times 2.02 ms, 163 µs and 2.02 ms make 19 ms; a quarter more.
const CONVERSION: Duration = Duration::from_millis(24);

/// A BMP390. It has no settings.
pub struct Bmp390 {
    device: I2cDevice,
    calibration: Calibration,
}

impl Sensor for Bmp390 {
    const KIND: &'static str = "bmp390";
    const TITLE: &'static str = "Bosch BMP390 or BMP388 pressure and temperature sensor";
    const ADDRESSES: &'static [u8] = &[0x77, 0x76];
    /// What 0x50 and 0x60 have in common.
    const IDENTITY: Option<Identity> = Some(Identity::byte(&[ID], 0x40).mask(0xCF));
    const FIELDS: &'static [Field] = &[
        Field::new("pressure", Unit::Hectopascal).class("atmospheric_pressure").range(300.0, 1250.0),
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        let found = device.read_u8(ID)?;
        if ![BMP388_ID, BMP390_ID].contains(&found) {
            return Err(SensorError::WrongDevice { expected: BMP390_ID.into(), found: found.into() });
        }
        device.write_u8(COMMAND, SOFT_RESET)?;
        device.delay_ms(5);
        let mut words = [0; 21];
        device.write_read(&[CALIBRATION], &mut words)?;
        let calibration = Calibration::parse(&words).ok_or_else(uncalibrated)?;
        device.write_u8(OVERSAMPLING, SAMPLES)?;
        Ok(Self { device, calibration })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u8(POWER, FORCED | BOTH)?;
        Ok(Some(CONVERSION))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut control = [0; 2];
        self.device.write_read(&[POWER], &mut control)?;
        if control[0] & BOTH != BOTH || control[1] != SAMPLES {
            return Err(forgotten());
        }
        let mut answer = [0; 8];
        self.device.write_read(&[ERRORS], &mut answer)?;
        let [errors, status, p0, p1, p2, t0, t1, t2] = answer;
        if errors & ANY_ERROR != 0 {
            return Err(SensorError::Garbage(format!("it reports the error {errors:#04x}").into()));
        }
        if status & READY != READY {
            return Err(SensorError::NotReady);
        }
        let celsius = self.calibration.celsius(u32::from_le_bytes([t0, t1, t2, 0]));
        let pascal = self.calibration.pascal(u32::from_le_bytes([p0, p1, p2, 0]), celsius);
        frame.push("pressure", pascal / 100.0);
        frame.push("temperature", celsius);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let warmth = Curve::new(seed, 21.0, 3.0);
        let weight = Curve::new(seed ^ 0x2000, 1013.0, 12.0);
        Box::new(simulated(BMP390_ID, move |now| (warmth.at(now), weight.at(now) * 100.0)))
    }
}

/// The coefficients, as floating point numbers (section 8.4 of the BMP390's datasheet).
#[derive(Debug, Clone, Copy)]
struct Calibration {
    t: [f64; 3],
    p: [f64; 11],
}

impl Calibration {
    /// None where the bytes are those of an empty or absent memory.
    fn parse(bytes: &[u8; 21]) -> Option<Self> {
        if [0, u8::MAX].iter().any(|empty| bytes.iter().all(|byte| byte == empty)) {
            return None;
        }
        let byte = |i: usize| f64::from(bytes[i].cast_signed());
        let unsigned = |i: usize| f64::from(u16::from_le_bytes([bytes[i], bytes[i + 1]]));
        let signed = |i: usize| f64::from(i16::from_le_bytes([bytes[i], bytes[i + 1]]));
        let scaled = |value: f64, power: i32| value / 2_f64.powi(power);
        Some(Self {
            t: [scaled(unsigned(0), -8), scaled(unsigned(2), 30), scaled(byte(4), 48)],
            p: [
                scaled(signed(5) - 16384.0, 20),
                scaled(signed(7) - 16384.0, 29),
                scaled(byte(9), 32),
                scaled(byte(10), 37),
                scaled(unsigned(11), -3),
                scaled(unsigned(13), 6),
                scaled(byte(15), 8),
                scaled(byte(16), 15),
                scaled(signed(17), 48),
                scaled(byte(19), 48),
                scaled(byte(20), 65),
            ],
        })
    }

    /// Section 8.5.
    fn celsius(&self, adc: u32) -> f64 {
        let [t1, t2, t3] = self.t;
        let difference = f64::from(adc) - t1;
        difference * t2 + difference * difference * t3
    }

    /// Section 8.6.
    fn pascal(&self, adc: u32, t: f64) -> f64 {
        let [p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11] = self.p;
        let adc = f64::from(adc);
        let offset = p5 + t * (p6 + t * (p7 + t * p8));
        let slope = p1 + t * (p2 + t * (p3 + t * p4));
        offset + adc * (slope + adc * (p9 + p10 * t + adc * p11))
    }
}

/// The calibration of a real BMP388 (test data of the Elixir library `bmp3xx`).
const EXAMPLE: [u8; 21] = [
    0x23, 0x6B, 0x58, 0x49, 0xF6, 0x5C, 0xFF, 0xCE, 0xF4, 0x23, 0x00, 0xEA, 0x63, 0x6E, 0x79, 0xF3, 0xF6,
    0xAA, 0x43, 0x12, 0xC4,
];

/// A chip that converts when it is told to, and sleeps again.
fn simulated(id: u8, mut measure: impl FnMut(Duration) -> (f64, f64) + Send + 'static) -> RegisterFile {
    let calibration = Calibration::parse(&EXAMPLE);
    RegisterFile::live(move |chip, now| {
        if chip.get(COMMAND) == SOFT_RESET {
            chip.set(COMMAND, &[0]);
            chip.set(POWER, &[0, 0b10]);
            chip.set(ERRORS, &[0, 1 << 4, 0, 0, 0x80, 0, 0, 0x80]);
        }
        let power = chip.get(POWER);
        if let (FORCED, Some(calibration)) = (power & FORCED, calibration) {
            let (celsius, pascal) = measure(now);
            let temperature = search(24, |adc| calibration.celsius(adc) >= celsius);
            let celsius = calibration.celsius(temperature);
            let pressure = search(24, |adc| calibration.pascal(adc, celsius) <= pascal);
            chip.set(POWER, &[power & BOTH]);
            for (register, number) in [(DATA, pressure), (DATA + 3, temperature)] {
                chip.set(register, &number.to_le_bytes()[..3]);
            }
            chip.set(ERRORS, &[0, READY | 1 << 4]);
        }
    })
    .with(ID, &[id])
    .with(CALIBRATION, &EXAMPLE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn a_real_chips_numbers_are_compensated_as_another_library_does() {
        // Test data of the Elixir library `bmp3xx`, which computes as Bosch's driver.
        let calibration = Calibration::parse(&EXAMPLE).unwrap();
        let celsius = calibration.celsius(0x85_D873);
        assert_close(celsius, 30.499_314_453_874_284, 1e-6);
        assert_close(calibration.pascal(0x6D_9F97, celsius), 100_876.006_346_921_99, 1e-3);
    }

    #[test]
    fn a_reading_is_that_of_the_curve() {
        for seed in 0..5 {
            let mut bench = Bench::<Bmp390>::simulated(seed, json!({}));
            let frame = bench.read().unwrap();
            let now = bench.now();
            assert_close(number(&frame, "temperature"), Curve::new(seed, 21.0, 3.0).at(now), 0.001);
            let weight = Curve::new(seed ^ 0x2000, 1013.0, 12.0).at(now);
            assert_close(number(&frame, "pressure"), weight, 0.005);
        }
    }

    #[test]
    fn a_chip_that_was_reset_or_is_not_ready_or_reports_an_error_is_an_error() {
        let mut bench = Bench::<Bmp390>::simulated(1, json!({}));
        assert_eq!(bench.take().err(), Some(forgotten()), "just reset");
        bench.driver.device.write_u8(POWER, BOTH).unwrap();
        assert_eq!(bench.take().err(), Some(SensorError::NotReady), "no conversion");
        bench.driver.device.write_u8(ERRORS, 0b100).unwrap();
        assert!(matches!(bench.take().err(), Some(SensorError::Garbage(_))));
    }

    #[test]
    fn both_chips_are_taken_and_others_are_refused_with_their_id() {
        let open = |id| Bench::<Bmp390>::open(Box::new(simulated(id, |_| (21.0, 101_325.0))), json!({}));
        assert!(open(BMP388_ID).is_ok() && open(BMP390_ID).is_ok());
        assert_eq!(open(0x70).err(), Some(SensorError::WrongDevice { expected: 0x60, found: 0x70 }));
        let empty = simulated(BMP390_ID, |_| (21.0, 101_325.0)).with(CALIBRATION, &[0xFF; 21]);
        assert_eq!(Bench::<Bmp390>::open(Box::new(empty), json!({})).err(), Some(uncalibrated()));
    }
}
