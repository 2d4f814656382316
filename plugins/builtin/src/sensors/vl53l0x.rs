//! ST VL53L0X: distance by the time of flight of light, on I2C.
//!
//! Datasheet: DocID029104. ST publishes no registers: the sequences are those of its driver (STSW-IMG005), at the default
//! accuracy, up to 1.2 m. One measurement per reading; what is seen is a cone of 25°.

use std::collections::BTreeMap;
use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::chip::forgotten;

const SYSRANGE_START: u8 = 0x00;
const SEQUENCE: u8 = 0x01;
const INTERRUPT_CLEAR: u8 = 0x0B;
const INTERRUPT_STATUS: u8 = 0x13;
const RESULT: u8 = 0x14;
const MSRC_CONFIG: u8 = 0x60;
const SPAD_READY: u8 = 0x83;
const GPIO_ACTIVE_HIGH: u8 = 0x84;
const PAD_VOLTAGE: u8 = 0x89;
const SPAD_INFO: u8 = 0x92;
const STOP_VARIABLE: u8 = 0x91;
const SPAD_MAP: u8 = 0xB0;
const MODEL_ID: u8 = 0xC0;

/// Of the steps of a measurement: selection of the detectors, a first and a final ranging.
const RANGING: u8 = 0xE8;
/// Longer than the 33 ms that it gives itself.
const MEASUREMENT: Duration = Duration::from_millis(45);
/// In ms. A calibration takes some of them.
const PATIENCE: u32 = 50;
/// What it says where there is nothing to see.
const NOTHING: u16 = 8190;

/// Pairs of register and value, as ST's driver writes them. Register 0xFF chooses a page.
type Script = &'static [(u8, u8)];
const UNLOCK: Script = &[(0x80, 1), (0xFF, 1), (0x00, 0)];
const LOCK: Script = &[(0x00, 1), (0xFF, 0), (0x80, 0)];
const SPAD_REQUEST: Script = &[(0xFF, 7), (0x81, 1), (0x80, 1), (0x94, 0x6B), (SPAD_READY, 0)];
const SPAD_SELECT: Script = &[(0xFF, 1), (0x4F, 0), (0x4E, 0x2C), (0xFF, 0), (0xB6, 0xB4)];
#[rustfmt::skip]
const TUNING: Script = &[
    (0xFF, 0x01), (0x00, 0x00),
    (0xFF, 0x00), (0x09, 0x00), (0x10, 0x00), (0x11, 0x00), (0x24, 0x01), (0x25, 0xFF), (0x75, 0x00),
    (0xFF, 0x01), (0x4E, 0x2C), (0x48, 0x00), (0x30, 0x20),
    (0xFF, 0x00), (0x30, 0x09), (0x54, 0x00), (0x31, 0x04), (0x32, 0x03), (0x40, 0x83), (0x46, 0x25), (0x60, 0x00),
    (0x27, 0x00), (0x50, 0x06), (0x51, 0x00), (0x52, 0x96), (0x56, 0x08), (0x57, 0x30), (0x61, 0x00), (0x62, 0x00),
    (0x64, 0x00), (0x65, 0x00), (0x66, 0xA0),
    (0xFF, 0x01), (0x22, 0x32), (0x47, 0x14), (0x49, 0xFF), (0x4A, 0x00),
    (0xFF, 0x00), (0x7A, 0x0A), (0x7B, 0x00), (0x78, 0x21),
    (0xFF, 0x01), (0x23, 0x34), (0x42, 0x00), (0x44, 0xFF), (0x45, 0x26), (0x46, 0x05), (0x40, 0x40), (0x0E, 0x06),
    (0x20, 0x1A), (0x43, 0x40),
    (0xFF, 0x00), (0x34, 0x03), (0x35, 0x44),
    (0xFF, 0x01), (0x31, 0x04), (0x4B, 0x09), (0x4C, 0x05), (0x4D, 0x04),
    (0xFF, 0x00), (0x44, 0x00), (0x45, 0x20), (0x47, 0x08), (0x48, 0x28), (0x67, 0x00), (0x70, 0x04), (0x71, 0x01),
    (0x72, 0xFE), (0x76, 0x00), (0x77, 0x00),
    (0xFF, 0x01), (0x0D, 0x01),
    (0xFF, 0x00), (0x80, 0x01), (0x01, 0xF8),
    (0xFF, 0x01), (0x8E, 0x01), (0x00, 0x01), (0xFF, 0x00), (0x80, 0x00),
];

/// Settings of a `kind = "vl53l0x"` sensor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every reading, to correct for a cover glass. Millimetres.
    #[serde(default)]
    offset: f64,
}

/// A VL53L0X.
pub struct Vl53l0x {
    device: I2cDevice,
    settings: Settings,
    stop: u8,
}

impl Sensor for Vl53l0x {
    const KIND: &'static str = "vl53l0x";
    const TITLE: &'static str = "ST VL53L0X time-of-flight distance sensor";
    const ADDRESSES: &'static [u8] = &[0x29];
    const IDENTITY: Option<Identity> = Some(Identity::word(&[MODEL_ID], 0xEEAA));
    const FIELDS: &'static [Field] =
        &[Field::new("distance", Unit::Millimetre).class("distance").precision(0).range(0.0, 2000.0)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if let Some(identity) = Self::IDENTITY {
            identity.check(&mut device)?;
        }
        // The pins at the voltage of the supply, 2.8 V, as on every module.
        change(&mut device, PAD_VOLTAGE, |byte| byte | 1)?;
        device.write_u8(0x88, 0)?;
        run(&mut device, UNLOCK)?;
        let stop = device.read_u8(STOP_VARIABLE)?;
        run(&mut device, LOCK)?;
        // No limits on the signal before the final ranging; there 0.25 million counts per second.
        change(&mut device, MSRC_CONFIG, |byte| byte | 0x12)?;
        device.write_u16_be(0x44, 0x20)?;
        device.write_u8(SEQUENCE, 0xFF)?;
        choose_spads(&mut device)?;
        run(&mut device, TUNING)?;
        // A new sample is told by an interrupt, low when active.
        device.write_u8(0x0A, 4)?;
        change(&mut device, GPIO_ACTIVE_HIGH, |byte| byte & !0x10)?;
        device.write_u8(INTERRUPT_CLEAR, 1)?;
        for (step, start) in [(0x01, 0x41), (0x02, 0x01)] {
            device.write_u8(SEQUENCE, step)?;
            device.write_u8(SYSRANGE_START, start)?;
            wait(&mut device, INTERRUPT_STATUS, 7)?;
            device.write_u8(INTERRUPT_CLEAR, 1)?;
            device.write_u8(SYSRANGE_START, 0)?;
        }
        device.write_u8(SEQUENCE, RANGING)?;
        Ok(Self { device, settings, stop })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u8(INTERRUPT_CLEAR, 1)?;
        run(&mut self.device, UNLOCK)?;
        self.device.write_u8(STOP_VARIABLE, self.stop)?;
        run(&mut self.device, LOCK)?;
        self.device.write_u8(SYSRANGE_START, 1)?;
        Ok(Some(MEASUREMENT))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        if self.device.read_u8(SEQUENCE)? != RANGING {
            return Err(forgotten());
        }
        if self.device.read_u8(INTERRUPT_STATUS)? & 7 == 0 {
            return Err(SensorError::NotReady);
        }
        let mut result = [0; 12];
        self.device.write_read(&[RESULT], &mut result)?;
        match distance(result)? {
            Ok(distance) => frame.push("distance", f64::from(distance) + self.settings.offset),
            Err(reason) => frame.missing("distance", reason),
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated::new(Curve::new(seed, 600.0, 400.0)))
    }
}

fn run(device: &mut I2cDevice, script: Script) -> Result<(), BusError> {
    script.iter().try_for_each(|&(register, value)| device.write_u8(register, value))
}

fn change(device: &mut I2cDevice, register: u8, change: impl Fn(u8) -> u8) -> Result<(), BusError> {
    let byte = device.read_u8(register)?;
    device.write_u8(register, change(byte))
}

fn wait(device: &mut I2cDevice, register: u8, mask: u8) -> Result<(), SensorError> {
    for _ in 0..PATIENCE {
        if device.read_u8(register)? & mask != 0 {
            return Ok(());
        }
        device.delay_ms(1);
    }
    Err(SensorError::NotReady)
}

/// Switches on as many detectors for the reference as the factory found right.
fn choose_spads(device: &mut I2cDevice) -> Result<(), SensorError> {
    run(device, UNLOCK)?;
    device.write_u8(0xFF, 6)?;
    change(device, SPAD_READY, |byte| byte | 4)?;
    run(device, SPAD_REQUEST)?;
    wait(device, SPAD_READY, 0xFF)?;
    device.write_u8(SPAD_READY, 1)?;
    let info = device.read_u8(SPAD_INFO)?;
    device.write_u8(0x81, 0)?;
    device.write_u8(0xFF, 6)?;
    change(device, SPAD_READY, |byte| byte & !4)?;
    device.write_u8(0xFF, 1)?;
    run(device, LOCK)?;

    let mut map = [0; 6];
    device.write_read(&[SPAD_MAP], &mut map)?;
    let [a, b, c, d, e, f] = spads(map, info);
    run(device, SPAD_SELECT)?;
    Ok(device.write(&[SPAD_MAP, a, b, c, d, e, f])?)
}

/// Of the good detectors in `map` the first ones, as many as `info` says; those with an aperture begin at 12.
fn spads(map: [u8; 6], info: u8) -> [u8; 6] {
    let (first, mut left) = (if info & 0x80 != 0 { 12 } else { 0 }, info & 0x7F);
    let mut chosen = [0; 6];
    for place in first..48 {
        let (byte, bit) = (place / 8, 1 << (place % 8));
        if map[byte] & bit != 0 && left > 0 {
            chosen[byte] |= bit;
            left -= 1;
        }
    }
    chosen
}

/// Millimetres, or why there are none (`VL53L0X_get_pal_range_status`).
fn distance(result: [u8; 12]) -> Result<Result<u16, &'static str>, SensorError> {
    let [status, .., high, low] = result;
    let distance = u16::from_be_bytes([high, low]);
    Ok(match status >> 3 & 0xF {
        11 if distance >= NOTHING => Err("no_target"),
        11 => Ok(distance),
        1..=3 => Err("hardware"),
        4 => Err("weak_signal"),
        6 | 9 => Err("no_target"),
        8 | 10 => Err("too_near"),
        _ => return Err(SensorError::NotReady),
    })
}

/// Registers in pages. Calibrations are done at once, a measurement after its time.
struct Simulated {
    target: Curve,
    registers: BTreeMap<(u8, u8), u8>,
    page: u8,
    pointer: u8,
    started: Option<Duration>,
}

impl Simulated {
    fn new(target: Curve) -> Self {
        let first = [
            (0, MODEL_ID, 0xEE),
            (0, MODEL_ID + 1, 0xAA),
            (0, SEQUENCE, 0xFF),
            (7, SPAD_INFO, 0x85),
            (1, STOP_VARIABLE, 0x3C),
        ];
        let mut registers: BTreeMap<_, _> =
            first.map(|(page, register, byte)| ((page, register), byte)).into();
        registers.extend((SPAD_MAP..SPAD_MAP + 6).map(|register| ((0, register), 0xFF)));
        Self { target, registers, page: 0, pointer: 0, started: None }
    }

    fn get(&self, page: u8, register: u8) -> u8 {
        self.registers.get(&(page, register)).copied().unwrap_or_default()
    }

    fn put(&mut self, register: u8, byte: u8, now: Duration) {
        self.registers.insert((self.page, register), byte);
        match (self.page, register, byte) {
            (_, 0xFF, page) => self.page = page,
            (7, SPAD_READY, 0) if self.get(7, 0x94) == 0x6B => {
                self.registers.insert((7, SPAD_READY), 0x10);
            }
            (0, INTERRUPT_CLEAR, 1) => {
                self.registers.insert((0, INTERRUPT_STATUS), 0);
            }
            (0, SYSRANGE_START, start) if start & 1 != 0 => match self.get(0, SEQUENCE) {
                1 | 2 => {
                    self.registers.insert((0, INTERRUPT_STATUS), 4);
                }
                _ => self.started = Some(now),
            },
            _ => {}
        }
    }
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        if let [register, rest @ ..] = bytes {
            self.pointer = *register;
            for (register, byte) in (*register..=u8::MAX).zip(rest) {
                self.put(register, *byte, now);
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        if self.started.take_if(|started| now >= *started + Duration::from_millis(33)).is_some() {
            let [high, low] = (self.target.at(now).round() as u16).to_be_bytes();
            let result = [(INTERRUPT_STATUS, 4), (RESULT, 11 << 3), (RESULT + 10, high), (RESULT + 11, low)];
            self.registers.extend(result.map(|(register, byte)| ((0, register), byte)));
        }
        for byte in buffer {
            *byte = self.get(self.page, self.pointer);
            self.pointer = self.pointer.wrapping_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sedge_hal::SimBus;
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::{RegisterFile, Wire};
    use sedge_plugin::testing::HandClock;

    use super::*;

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let chip = RegisterFile::new(&[(MODEL_ID, &[0xEE, 0xA1])]);
        let error =
            Vl53l0x::open(I2cDevice::new(0x29, Wire::to(0x29, chip), NoDelay), Settings::default()).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0xEEAA, found: 0xEEA1 }));
    }

    #[test]
    fn a_reading_is_there_after_the_measurement_and_not_before() {
        let clock = Arc::new(HandClock::default());
        let bus = SimBus::new("test", clock.clone());
        bus.attach(0x29, Vl53l0x::simulate(1));
        let mut driver = Vl53l0x::open(bus.device(0x29), Settings { offset: -20.0 }).unwrap();
        let mut frame = Frame::default();
        let time = driver.start().unwrap().unwrap();
        assert_eq!(driver.read(&mut frame), Err(SensorError::NotReady));
        clock.advance(time);
        driver.read(&mut frame).unwrap();
        let expected = Curve::new(1, 600.0, 400.0).at(time) - 20.0;
        assert!((frame.samples[0].number().unwrap() - expected).abs() <= 0.5, "{frame:?}");
        driver.start().unwrap();
        assert_eq!(driver.read(&mut frame), Err(SensorError::NotReady), "the former result is not a new one");
        // Its supply broke down.
        bus.attach(0x29, Vl53l0x::simulate(1));
        assert_eq!(driver.read(&mut frame), Err(forgotten()));
    }

    #[test]
    fn what_is_no_distance_is_missing_with_its_reason() {
        let result = |status: u8, distance: u16| {
            let mut result = [0; 12];
            result[0] = status << 3;
            result[10..].copy_from_slice(&distance.to_be_bytes());
            super::distance(result)
        };
        assert_eq!(result(11, 345), Ok(Ok(345)));
        assert_eq!(result(11, 8191), Ok(Err("no_target")));
        assert_eq!(result(4, 8190), Ok(Err("weak_signal")));
        assert_eq!(result(9, 20), Ok(Err("no_target")));
        assert_eq!(result(0, 345), Err(SensorError::NotReady));
    }

    #[test]
    fn as_many_detectors_as_the_factory_says_are_switched_on_and_good_ones_only() {
        assert_eq!(spads([0xFF; 6], 5), [0b1_1111, 0, 0, 0, 0, 0]);
        assert_eq!(spads([0xFF; 6], 0x85), [0, 0xF0, 1, 0, 0, 0]);
        assert_eq!(spads([0b1010_1010, 0, 1, 0, 0, 0], 5), [0b1010_1010, 0, 1, 0, 0, 0]);
    }
}
