//! ST LIS3DH: acceleration in three axes on I2C.
//!
//! Datasheet: DocID17530. Sampled a hundred times a second with twelve bits; a reading is the newest sample, not a mean. Its
//! thermometer tells changes only and is left alone.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::chip::forgotten;

const WHO_AM_I: u8 = 0x0F;
const CTRL_REG1: u8 = 0x20;
/// Before the six bytes of data.
const STATUS: u8 = 0x27;
/// With this bit the register moves on from byte to byte (section 6.1.1).
const INCREMENT: u8 = 1 << 7;

const LIS3DH_ID: u8 = 0x33;
/// 100 Hz, three axes.
const CONVERTING: u8 = 0b0101_0111;
/// High and low byte stay of one sample; twelve bits.
const WHOLE_AND_FINE: u8 = 1 << 7 | 1 << 3;
/// New data in x, y and z.
const NEW: u8 = 1 << 3;
/// Seven samples, and one more.
const START_UP: Duration = Duration::from_millis(80);
const GRAVITY: f64 = 9.806_65;

const fn acceleration(name: &'static str) -> Field {
    Field::new(name, Unit::MetrePerSecondSquared).precision(3).range(-24.6 * GRAVITY, 24.6 * GRAVITY)
}

/// Settings of a `kind = "lis3dh"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The strongest acceleration that it measures: 2, 4, 8 or 16 g.
    range: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { range: 2 }
    }
}

/// An LIS3DH.
pub struct Lis3dh {
    device: I2cDevice,
    /// CTRL_REG1 to CTRL_REG4.
    control: [u8; 4],
    /// Thousandths of g per bit.
    step: f64,
    fresh: bool,
}

impl Sensor for Lis3dh {
    const KIND: &'static str = "lis3dh";
    const TITLE: &'static str = "ST LIS3DH accelerometer";
    const ADDRESSES: &'static [u8] = &[0x18, 0x19];
    const IDENTITY: Option<Identity> = Some(Identity::byte(&[WHO_AM_I], LIS3DH_ID));
    const FIELDS: &'static [Field] =
        &[acceleration("acceleration_x"), acceleration("acceleration_y"), acceleration("acceleration_z")];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, Settings { range }: Settings) -> Result<Self, SensorError> {
        if let Some(identity) = Self::IDENTITY {
            identity.check(&mut device)?;
        }
        let (scale, step) = scale(range).ok_or_else(|| {
            SensorError::Settings(format!("`range` is 2, 4, 8 or 16 g, not {range}").into())
        })?;
        let control = [CONVERTING, 0, 0, WHOLE_AND_FINE | scale << 4];
        let [first, second, third, fourth] = control;
        device.write(&[CTRL_REG1 | INCREMENT, first, second, third, fourth])?;
        Ok(Self { device, control, step, fresh: true })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(std::mem::take(&mut self.fresh).then_some(START_UP))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut control = [0; 4];
        self.device.write_read(&[CTRL_REG1 | INCREMENT], &mut control)?;
        if control != self.control {
            return Err(forgotten());
        }
        let mut data = [0; 7];
        self.device.write_read(&[STATUS | INCREMENT], &mut data)?;
        let [status, xl, xh, yl, yh, zl, zh] = data;
        if status & NEW == 0 {
            return Err(SensorError::NotReady);
        }
        for (field, bytes) in Self::FIELDS.iter().zip([[xl, xh], [yl, yh], [zl, zh]]) {
            let counts = i16::from_le_bytes(bytes) >> 4;
            let cut_off = matches!(counts, -2048 | 2047);
            frame.push_cut_off(field.name, f64::from(counts) * self.step / 1000.0 * GRAVITY, cut_off);
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let mut registers = [0; 0x40];
        registers[usize::from(WHO_AM_I)] = LIS3DH_ID;
        registers[usize::from(CTRL_REG1)] = 0x07;
        Box::new(Simulated { tilt: Curve::new(seed, 0.0, 0.3), registers, pointer: 0 })
    }
}

/// The bits of a range, and thousandths of g per bit (table 4, high resolution).
fn scale(range: u8) -> Option<(u8, f64)> {
    match range {
        2 => Some((0, 1.0)),
        4 => Some((1, 2.0)),
        8 => Some((2, 4.0)),
        16 => Some((3, 12.0)),
        _ => None,
    }
}

/// Its first 64 registers. Without the bit that says so, the register does not move on.
struct Simulated {
    tilt: Curve,
    registers: [u8; 0x40],
    pointer: u8,
}

impl Simulated {
    fn next(&mut self) -> &mut u8 {
        let place = usize::from(self.pointer & 0x3F);
        if self.pointer & INCREMENT != 0 {
            self.pointer = INCREMENT | (self.pointer + 1) & 0x3F;
        }
        &mut self.registers[place]
    }

    fn convert(&mut self, now: Duration) {
        let [control, .., fine] = [0, 1, 2, 3].map(|i| self.registers[usize::from(CTRL_REG1) + i]);
        if control >> 4 == 0 || control & 7 == 0 {
            return;
        }
        let (tilt, milli) = (self.tilt.at(now), [1.0, 2.0, 4.0, 12.0][usize::from(fine >> 4 & 3)]);
        let place = usize::from(STATUS);
        self.registers[place] = NEW | 7;
        for (i, part) in [tilt.sin(), 0.0, tilt.cos()].into_iter().enumerate() {
            let bytes = (((part * 1000.0 / milli).round() as i16) << 4).to_le_bytes();
            self.registers[place + 1 + 2 * i..place + 3 + 2 * i].copy_from_slice(&bytes);
        }
    }
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], _: Duration) -> Result<(), BusError> {
        if let [pointer, rest @ ..] = bytes {
            self.pointer = *pointer;
            rest.iter().for_each(|byte| *self.next() = *byte);
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        self.convert(now);
        buffer.iter_mut().for_each(|byte| *byte = *self.next());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::{RegisterFile, Wire};

    use super::*;

    fn open(wire: Wire, range: u8) -> Result<Lis3dh, SensorError> {
        Lis3dh::open(I2cDevice::new(0x18, wire, NoDelay), Settings { range })
    }

    /// A chip that answers from the registers with [`INCREMENT`] set, as it is asked for more than one byte.
    fn holding(status: u8, data: [u8; 6]) -> Result<Frame, SensorError> {
        let chip =
            RegisterFile::new(&[(WHO_AM_I, &[LIS3DH_ID]), (STATUS | INCREMENT, &[status]), (0xA8, &data)]);
        let mut frame = Frame::default();
        open(Wire::to(0x18, chip), 2)?.read(&mut frame)?;
        Ok(frame)
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let error = open(Wire::to(0x18, RegisterFile::new(&[(WHO_AM_I, &[0x32])])), 2).err();
        assert_eq!(error, Some(SensorError::WrongDevice { expected: 0x33, found: 0x32 }));
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve_in_every_range() {
        let now = Duration::from_secs(700);
        let tilt = Curve::new(8, 0.0, 0.3).at(now);
        for range in [2, 4, 8, 16] {
            let mut driver = open(Wire::boxed(0x18, Lis3dh::simulate(8)).at(now), range).unwrap();
            assert_eq!((driver.start(), driver.start()), (Ok(Some(START_UP)), Ok(None)));
            let mut frame = Frame::default();
            driver.read(&mut frame).unwrap();
            let near = |i: usize, value: f64| (frame.samples[i].number().unwrap() - value).abs() < 0.06;
            assert!(
                near(0, tilt.sin() * GRAVITY) && near(1, 0.0) && near(2, tilt.cos() * GRAVITY),
                "{frame:?}"
            );
        }
        assert!(matches!(open(Wire::boxed(0x18, Lis3dh::simulate(8)), 3), Err(SensorError::Settings(_))));
    }

    #[test]
    fn twelve_bits_stand_at_the_left_and_the_ends_are_beyond_the_range() {
        let frame = holding(NEW, [0xF0, 0x7F, 0x00, 0x80, 0x80, 0x3E]).unwrap();
        let qualities: Vec<_> = frame.samples.iter().map(|sample| sample.quality).collect();
        assert_eq!(qualities, [Quality::OutOfRange, Quality::OutOfRange, Quality::Ok]);
        assert!((frame.samples[2].number().unwrap() - GRAVITY).abs() < 1e-9, "0x3E80 is 1 g: {frame:?}");
    }

    #[test]
    fn nothing_new_and_a_lost_configuration_are_errors() {
        assert_eq!(holding(0, [0; 6]), Err(SensorError::NotReady));
        let live =
            |chip: &mut sedge_plugin::sim::Registers, _| chip.set(CTRL_REG1 | INCREMENT, &[7, 0, 0, 0]);
        let reset = RegisterFile::live(live).with(WHO_AM_I, &[LIS3DH_ID]);
        let error = open(Wire::to(0x18, reset), 2).unwrap().read(&mut Frame::default());
        assert!(matches!(error, Err(SensorError::Garbage(_))), "{error:?}");
    }
}
