//! Bosch BME680 and BME688: temperature, humidity, air pressure and the resistance of a gas sensor, on I2C.
//!
//! Datasheet: BST-BME680-DS001; computed as Bosch's driver (BME68x SensorAPI) does in floating point. One conversion per
//! reading (forced mode), filter off. A heater warms the gas sensor for each reading: the temperature is then that of a warmed
//! chip, the more so the shorter the interval. The resistance falls where there is more gas. It takes hours to settle, and
//! means something beside earlier ones of the same chip and interval only; Bosch's air quality index is not computed.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

use crate::sensors::shared::chip::{forgotten, search, uncalibrated};

const CALIBRATION_HEATER: u8 = 0x00;
const FIELD: u8 = 0x1D;
const HEATER_RESISTANCE: u8 = 0x5A;
const HEATER_TIME: u8 = 0x64;
const CONTROL_GAS: u8 = 0x71;
const CONTROL_HUMIDITY: u8 = 0x72;
const CONTROL: u8 = 0x74;
const CALIBRATION_1: u8 = 0x8A;
const CALIBRATION_2: u8 = 0xE1;
const ID: u8 = 0xD0;
const RESET: u8 = 0xE0;
const VARIANT: u8 = 0xF0;

const IDENTITY: Identity = Identity::byte(&[ID], 0x61);
const RESET_WORD: u8 = 0xB6;
/// Humidity, temperature and pressure are sampled so often: twice, twice and four times.
const HUMIDITY_SAMPLES: u8 = 0b010;
const SAMPLES: u8 = 0b010 << 5 | 0b011 << 2;
const MODE: u8 = 0b11;
const FORCED: u8 = 0b01;
/// Eight samples of 1.96 ms, nine steps of 0.48 ms and 1 ms to wake make 21 ms; a quarter more.
const CONVERSION: Duration = Duration::from_millis(26);
const NEW_DATA: u8 = 1 << 7;
const GAS_VALID: u8 = 1 << 5;
const HEATER_STABLE: u8 = 1 << 4;
/// What temperature and pressure are after a reset, and where they were not measured.
const UNMEASURED: u32 = 0x8_0000;

/// Settings of a `kind = "bme680"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every temperature, to correct for warmth from the heater and the board. The humidity is left as it is. °C.
    #[serde(default)]
    offset: f64,
    /// How hot the gas sensor is made, 200 to 400; 0 leaves it cold, and measures no gas. °C.
    #[serde(default = "heater_celsius")]
    heater_celsius: u16,
    /// How long it is heated for a reading, 10 to 4000. ms.
    #[serde(default = "heater_ms")]
    heater_ms: u16,
}

fn heater_celsius() -> u16 {
    320
}

fn heater_ms() -> u16 {
    150
}

/// A BME680.
pub struct Bme680 {
    device: I2cDevice,
    settings: Settings,
    calibration: Calibration,
    /// Whether it is a BME688.
    newer: bool,
    /// The last temperature, from which the heater starts. °C.
    ambient: f64,
}

impl Sensor for Bme680 {
    const KIND: &'static str = "bme680";
    const TITLE: &'static str = "Bosch BME680 or BME688 temperature, humidity, pressure and gas sensor";
    const ADDRESSES: &'static [u8] = &[0x77, 0x76];
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
        Field::new("pressure", Unit::Hectopascal).class("atmospheric_pressure").range(300.0, 1100.0),
        Field::new("gas_resistance", Unit::Ohm).precision(0),
    ];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if !matches!(settings.heater_celsius, 0 | 200..=400) || !matches!(settings.heater_ms, 10..=4000) {
            let text = "`heater_celsius` is 0 or from 200 to 400, `heater_ms` from 10 to 4000";
            return Err(SensorError::Settings(text.into()));
        }
        IDENTITY.check(&mut device)?;
        device.write_u8(RESET, RESET_WORD)?;
        device.delay_ms(10);
        let newer = match device.read_u8(VARIANT)? {
            0 => false,
            1 => true,
            other => {
                return Err(SensorError::Garbage(format!("it is of an unknown variant, {other}").into()));
            }
        };
        let (mut first, mut second, mut heater) = ([0; 23], [0; 14], [0; 5]);
        device.write_read(&[CALIBRATION_1], &mut first)?;
        device.write_read(&[CALIBRATION_2], &mut second)?;
        device.write_read(&[CALIBRATION_HEATER], &mut heater)?;
        let calibration = Calibration::parse(&first, &second, &heater).ok_or_else(uncalibrated)?;
        Ok(Self { device, settings, calibration, newer, ambient: 25.0 })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        let Settings { heater_celsius, heater_ms, .. } = self.settings;
        let gas = if heater_celsius == 0 {
            0
        } else {
            let resistance = self.calibration.heater(heater_celsius.into(), self.ambient);
            self.device.write_u8(HEATER_RESISTANCE, resistance)?;
            self.device.write_u8(HEATER_TIME, heater_time(heater_ms))?;
            if self.newer { 0b10 << 4 } else { 0b01 << 4 }
        };
        self.device.write_u8(CONTROL_GAS, gas)?;
        self.device.write_u8(CONTROL_HUMIDITY, HUMIDITY_SAMPLES)?;
        self.device.write_u8(CONTROL, SAMPLES | FORCED)?;
        let heating = if heater_celsius == 0 { 0 } else { u64::from(heater_ms) * 11 / 10 };
        Ok(Some(CONVERSION + Duration::from_millis(heating)))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut control = [0; 3];
        self.device.write_read(&[CONTROL_HUMIDITY], &mut control)?;
        if control[0] & 0b111 != HUMIDITY_SAMPLES || control[2] & !MODE != SAMPLES {
            return Err(forgotten());
        }
        let mut answer = [0; 17];
        self.device.write_read(&[FIELD], &mut answer)?;
        let [status, _, p0, p1, p2, t0, t1, t2, h0, h1, _, _, _, low0, low1, high0, high1] = answer;
        if status & NEW_DATA == 0 {
            return Err(SensorError::NotReady);
        }
        let [pressure, temperature] = [number(p0, p1, p2), number(t0, t1, t2)];
        if pressure == UNMEASURED || temperature == UNMEASURED {
            return Err(forgotten());
        }
        let calibration = &self.calibration;
        let fine = calibration.fine(temperature);
        let celsius = fine / 5120.0;
        let percent = calibration.percent(u16::from_be_bytes([h0, h1]), celsius);
        frame.push("temperature", celsius + self.settings.offset);
        frame.push_cut_off("humidity", percent.clamp(0.0, 100.0), !(0.0..=100.0).contains(&percent));
        frame.push("pressure", calibration.pascal(pressure, fine) / 100.0);
        self.ambient = celsius.clamp(-40.0, 85.0);
        let [high, low] = if self.newer { [high0, high1] } else { [low0, low1] };
        let (adc, range) = (u16::from_be_bytes([high, low]) >> 6, low & 0x0F);
        if self.settings.heater_celsius == 0 {
            frame.missing("gas_resistance", "off");
        } else if low & GAS_VALID == 0 {
            frame.missing("gas_resistance", "not_measured");
        } else if low & HEATER_STABLE == 0 {
            frame.missing("gas_resistance", "heater_unstable");
        } else if self.newer {
            frame.push("gas_resistance", ohm_of_bme688(adc, range));
        } else {
            frame.push("gas_resistance", calibration.ohm(adc, range));
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let warmth = Curve::new(seed, 21.0, 3.0);
        let damp = Curve::new(seed ^ 0x1000, 45.0, 15.0);
        let weight = Curve::new(seed ^ 0x2000, 1013.0, 12.0);
        let air = Curve::new(seed ^ 0x3000, 60_000.0, 20_000.0);
        Box::new(simulated(false, move |now| {
            [warmth.at(now), damp.at(now), weight.at(now) * 100.0, air.at(now)]
        }))
    }
}

/// Twenty bits of the converter.
fn number(high: u8, middle: u8, low: u8) -> u32 {
    u32::from_be_bytes([0, high, middle, low]) >> 4
}

/// Six bits, and by which power of four they are multiplied. ms.
fn heater_time(ms: u16) -> u8 {
    let power = (0..3).find(|power| ms >> (2 * power) < 64).unwrap_or(3);
    (power as u8) << 6 | (ms >> (2 * power)).min(63) as u8
}

/// The gas sensor of a BME688 needs no calibration.
fn ohm_of_bme688(adc: u16, range: u8) -> f64 {
    1e6 * f64::from(262_144_u32 >> range) / (4096.0 + 3.0 * (f64::from(adc) - 512.0))
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Calibration {
    t: [f64; 3],
    p: [f64; 10],
    h: [f64; 7],
    gas: [f64; 3],
    heater_range: f64,
    heater_value: f64,
    range_error: f64,
}

impl Calibration {
    /// None where the bytes are those of an empty or absent memory.
    fn parse(a: &[u8; 23], b: &[u8; 14], c: &[u8; 5]) -> Option<Self> {
        if [0, u8::MAX].iter().any(|empty| a.iter().chain(b).all(|byte| byte == empty)) {
            return None;
        }
        let byte = |byte: u8| f64::from(byte.cast_signed());
        let signed = |low: u8, high: u8| f64::from(i16::from_le_bytes([low, high]));
        let unsigned = |low: u8, high: u8| f64::from(u16::from_le_bytes([low, high]));
        let [h2_high, shared, h1_high, h3, h4, h5, h6, h7, t1_low, t1_high, g2_low, g2_high, g1, g3] = *b;
        Some(Self {
            t: [unsigned(t1_low, t1_high), signed(a[0], a[1]), byte(a[2])],
            p: [
                unsigned(a[4], a[5]),
                signed(a[6], a[7]),
                byte(a[8]),
                signed(a[10], a[11]),
                signed(a[12], a[13]),
                byte(a[15]),
                byte(a[14]),
                signed(a[18], a[19]),
                signed(a[20], a[21]),
                f64::from(a[22]),
            ],
            h: [
                f64::from(u16::from(h1_high) << 4 | u16::from(shared & 0x0F)),
                f64::from(u16::from(h2_high) << 4 | u16::from(shared >> 4)),
                byte(h3),
                byte(h4),
                byte(h5),
                f64::from(h6),
                byte(h7),
            ],
            gas: [byte(g1), signed(g2_low, g2_high), byte(g3)],
            heater_range: f64::from(c[2] >> 4 & 0b11),
            heater_value: byte(c[0]),
            range_error: f64::from(c[4].cast_signed() >> 4),
        })
    }

    /// The temperature as the pressure's formula wants it: 5120 per °C.
    fn fine(&self, adc: u32) -> f64 {
        let [t1, t2, t3] = self.t;
        let adc = f64::from(adc);
        let difference = adc / 131_072.0 - t1 / 8192.0;
        (adc / 16384.0 - t1 / 1024.0) * t2 + difference * difference * t3 * 16.0
    }

    fn pascal(&self, adc: u32, fine: f64) -> f64 {
        let [p1, p2, p3, p4, p5, p6, p7, p8, p9, p10] = self.p;
        let x = fine / 2.0 - 64000.0;
        let offset = (x * x * p6 / 131_072.0 + x * p5 * 2.0) / 4.0 + p4 * 65536.0;
        let scale = (1.0 + (p3 * x * x / 16384.0 + p2 * x) / 524_288.0 / 32768.0) * p1;
        let p = (1_048_576.0 - f64::from(adc) - offset / 4096.0) * 6250.0 / scale;
        let cubic = (p / 256.0).powi(3) * p10 / 131_072.0;
        p + (p9 * p * p / 2_147_483_648.0 + p * p8 / 32768.0 + cubic + p7 * 128.0) / 16.0
    }

    fn percent(&self, adc: u16, t: f64) -> f64 {
        let [h1, h2, h3, h4, h5, h6, h7] = self.h;
        let x = f64::from(adc) - h1 * 16.0 - h3 / 2.0 * t;
        let y = x * h2 / 262_144.0 * (1.0 + h4 / 16384.0 * t + h5 / 1_048_576.0 * t * t);
        y + (h6 / 16384.0 + h7 / 2_097_152.0 * t) * y * y
    }

    fn ohm(&self, adc: u16, range: u8) -> f64 {
        // Percent by which the ranges are off, those that are.
        let (first, second) = match range {
            4 => (0.0, 0.1),
            5 => (-1.0, 0.7),
            7 => (-0.8, -0.8),
            8 => (0.0, -0.1),
            10 => (-0.2, 0.0),
            11 => (-0.5, 0.0),
            13 => (-1.0, 0.0),
            _ => (0.0, 0.0),
        };
        let scale = (1340.0 + 5.0 * self.range_error) * (1.0 + first / 100.0);
        let conductance = (1.0 + second / 100.0) * 125e-9 * f64::from(1_u32 << range.min(15));
        1.0 / (conductance * ((f64::from(adc) - 512.0) / scale + 1.0))
    }

    /// The resistance at which the heater has a temperature, in the steps of its register.
    fn heater(&self, celsius: f64, ambient: f64) -> u8 {
        let [g1, g2, g3] = self.gas;
        let cold = g1 / 16.0 + 49.0;
        let slope = g2 / 32768.0 * 0.0005 + 0.00235;
        let hot = cold * (1.0 + slope * celsius) + g3 / 1024.0 * ambient;
        let scale = 4.0 / (4.0 + self.heater_range) / (1.0 + self.heater_value * 0.002);
        (3.4 * (hot * scale - 25.0)) as u8
    }
}

/// The calibration of a real BME680 (test data of Pimoroni's `bme680-python`), as the chip holds it.
const EXAMPLE: ([u8; 23], [u8; 14], [u8; 5]) = {
    const fn low(word: i32) -> u8 {
        word.to_le_bytes()[0]
    }
    const fn high(word: i32) -> u8 {
        word.to_le_bytes()[1]
    }
    #[rustfmt::skip]
    let first = [
        low(26469), high(26469), 3, 0, low(36673), high(36673), low(-10515), high(-10515), 88, 0, low(7310), high(7310),
        low(-129), high(-129), 46, 30, 0, 0, low(-3177), high(-3177), low(-2379), high(-2379), 30,
    ];
    #[rustfmt::skip]
    let second = [
        (1029 >> 4) as u8, low((1029 & 0x0F) << 4 | (676 & 0x0F)), (676 >> 4) as u8, 0, 45, 20, 120, low(-100),
        low(26041), high(26041), low(-24754), high(-24754), low(-30), 18,
    ];
    (first, second, [48, 0, 1 << 4, 0, 0])
};

/// A chip that converts when it is told to, and sleeps again. It measures °C, percent, Pa and Ω.
fn simulated(newer: bool, mut measure: impl FnMut(Duration) -> [f64; 4] + Send + 'static) -> RegisterFile {
    let calibration = Calibration::parse(&EXAMPLE.0, &EXAMPLE.1, &EXAMPLE.2);
    RegisterFile::live(move |chip, now| {
        if chip.get(RESET) == RESET_WORD {
            chip.set(RESET, &[0]);
            chip.set(CONTROL_GAS, &[0; 4]);
            chip.set(FIELD, &[0, 0, 0x80, 0, 0, 0x80, 0, 0, 0x80, 0]);
        }
        let control = chip.get(CONTROL);
        if let (FORCED, Some(calibration)) = (control & MODE, calibration) {
            let [celsius, percent, pascal, ohm] = measure(now);
            let temperature = search(20, |adc| calibration.fine(adc) >= celsius * 5120.0);
            let fine = calibration.fine(temperature);
            let pressure = search(20, |adc| calibration.pascal(adc, fine) <= pascal);
            let humidity = search(16, |adc| calibration.percent(adc as u16, fine / 5120.0) >= percent);
            // Of the ranges, the first in which the number fits.
            let resistance = |adc: u32, range| match newer {
                true => ohm_of_bme688(adc as u16, range),
                false => calibration.ohm(adc as u16, range),
            };
            let range = (0..15).find(|range| resistance(1023, *range) <= ohm).unwrap_or(15);
            let gas = search(10, |adc| resistance(adc, range) <= ohm) as u16;
            let flags = if chip.get(CONTROL_GAS) == 0 { 0 } else { GAS_VALID | HEATER_STABLE };
            let [high, low] = (gas << 6 | u16::from(range | flags)).to_be_bytes();
            chip.set(FIELD, &[NEW_DATA, 0]);
            chip.set(FIELD + 2, &(pressure << 12).to_be_bytes()[..3]);
            chip.set(FIELD + 5, &(temperature << 12).to_be_bytes()[..3]);
            chip.set(FIELD + 8, &(humidity as u16).to_be_bytes());
            chip.set(if newer { FIELD + 15 } else { FIELD + 13 }, &[high, low]);
            chip.set(CONTROL, &[control & !MODE]);
        }
    })
    .with(ID, &[0x61])
    .with(VARIANT, &[newer.into()])
    .with(CALIBRATION_1, &EXAMPLE.0)
    .with(CALIBRATION_2, &EXAMPLE.1)
    .with(CALIBRATION_HEATER, &EXAMPLE.2)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number as value};

    #[test]
    fn a_real_chips_numbers_are_compensated_as_bosch_does() {
        // Test data of Pimoroni's `bme680-python`, which computes as Bosch's driver does in integers: 5 Pa apart.
        let calibration = Calibration::parse(&EXAMPLE.0, &EXAMPLE.1, &EXAMPLE.2).unwrap();
        assert_eq!(calibration.p, [36673., -10515., 88., 7310., -129., 30., 46., -3177., -2379., 30.]);
        assert_eq!(calibration.h, [676.0, 1029.0, 0.0, 45.0, 20.0, 120.0, -100.0]);
        let fine = calibration.fine(501_240);
        assert_close(fine, 136_667.0, 5.0);
        assert_close(calibration.pascal(353_485, fine), 98_712.0, 6.0);
        assert_close(calibration.percent(19_019, fine / 5120.0), 42.402, 0.05);
        assert_close(calibration.ohm(0, 0), 12_946_860.0, 10.0);
        assert_close(ohm_of_bme688(0, 0), 102_400_000.0, 1.0);
    }

    #[test]
    fn the_heater_is_told_what_it_is_to_do() {
        // 6 bits and a factor: 150 ms are 37 times 4 ms (section 5.3.3.3).
        assert_eq!(
            [heater_time(63), heater_time(100), heater_time(150), heater_time(4000)],
            [0x3F, 0x59, 0x65, 0xFE]
        );
        // (hot × 4 / 5 / 1.096 - 25) × 3.4, where hot is 47.125 × (1 + 0.001972 × 320) + 18 / 1024 × 25.
        let calibration = Calibration::parse(&EXAMPLE.0, &EXAMPLE.1, &EXAMPLE.2).unwrap();
        assert_eq!(calibration.heater(320.0, 25.0), 106);
    }

    #[test]
    fn a_reading_of_either_chip_is_what_was_measured() {
        for newer in [false, true] {
            let chip = simulated(newer, |_| [21.5, 45.0, 101_325.0, 50_000.0]);
            let frame =
                Bench::<Bme680>::open(Box::new(chip), json!({ "offset": -1.0 })).unwrap().read().unwrap();
            assert_close(value(&frame, "temperature"), 20.5, 0.001);
            assert_close(value(&frame, "humidity"), 45.0, 0.01);
            assert_close(value(&frame, "pressure"), 1013.25, 0.005);
            assert_close(value(&frame, "gas_resistance"), 50_000.0, 100.0);
        }
    }

    #[test]
    fn gas_that_was_not_measured_is_missing_with_its_reason() {
        let mut bench = Bench::<Bme680>::simulated(1, json!({ "heater_celsius": 0 }));
        assert_eq!(bench.read().unwrap().samples[3].value, Err("off".into()));
        let mut bench = Bench::<Bme680>::simulated(1, json!({}));
        bench.read().unwrap();
        for (flags, reason) in [(0, "not_measured"), (GAS_VALID, "heater_unstable")] {
            bench.driver.device.write_u8(FIELD + 14, flags).unwrap();
            assert_eq!(bench.take().unwrap().samples[3].value, Err(reason.into()));
        }
    }

    #[test]
    fn a_reset_a_missing_conversion_another_chip_and_wrong_settings_are_errors() {
        let mut bench = Bench::<Bme680>::simulated(1, json!({}));
        assert_eq!(bench.take().err(), Some(forgotten()), "just reset");
        bench.driver.device.write(&[CONTROL_HUMIDITY, HUMIDITY_SAMPLES, 0, SAMPLES]).unwrap();
        assert_eq!(bench.take().err(), Some(SensorError::NotReady), "no conversion");
        let bme280 = simulated(false, |_| [0.0; 4]).with(ID, &[0x60]);
        let error = Bench::<Bme680>::open(Box::new(bme280), json!({})).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x61, found: 0x60 }));
        assert!(Bench::<Bme680>::open(Bme680::simulate(1), json!({ "heater_celsius": 500 })).is_err());
    }
}
