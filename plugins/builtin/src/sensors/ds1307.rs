//! Maxim DS1307 and DS1338: battery-backed clock on I2C.
//!
//! Datasheets: DS1307 and DS1338. It has no id; the bits that always read as zero are checked. The time has no zone
//! (Linux keeps such a clock at UTC) and the century is taken to be the 21st. It is not set from here. Where the
//! kernel drives the clock itself (`dtoverlay=i2c-rtc`) its address is taken.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

const SECONDS: u8 = 0x00;
/// Clock halt, in the seconds.
const HALTED: u8 = 1 << 7;
/// In the hours: counted from 1 to 12, and the second half of the day.
const TWELVE_HOURS: u8 = 1 << 6;
const AFTERNOON: u8 = 1 << 5;
/// In the control register of a DS1338: the oscillator has stood still. A DS1307 reads zero there.
const OSCILLATOR_STOPPED: u8 = 1 << 5;
/// Bits that read as zero: seconds, minutes, hours, day of the week, date, month, year, control.
const ZERO: [u8; 8] = [0x00, 0x80, 0x80, 0xF8, 0xC0, 0xE0, 0x00, 0x4C];

/// A DS1307. It has no settings.
pub struct Ds1307 {
    device: I2cDevice,
}

impl Sensor for Ds1307 {
    const KIND: &'static str = "ds1307";
    const TITLE: &'static str = "Maxim DS1307 or DS1338 clock";
    const ADDRESSES: &'static [u8] = &[0x68];
    const FIELDS: &'static [Field] = &[
        Field::new("time", Unit::None).kind(FieldKind::Text),
        Field::new("stopped", Unit::None).kind(FieldKind::State),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        registers(&mut device)?;
        Ok(Self { device })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let registers = registers(&mut self.device)?;
        let stopped = registers[0] & HALTED != 0 || registers[7] & OSCILLATOR_STOPPED != 0;
        if stopped {
            // It stands, or stood for a while: what it shows is not the time.
            frame.missing("time", "stopped");
        } else {
            let time = time(&registers).ok_or(SensorError::Garbage("what it holds is no time".into()))?;
            frame.push("time", time.as_str());
        }
        frame.push("stopped", stopped);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let ahead = Curve::new(seed, 43_200.0, 43_200.0).at(std::time::Duration::ZERO) as u64;
        Box::new(RegisterFile::live(move |chip, now| {
            chip.set(SECONDS, &simulated(ahead + now.as_secs()));
        }))
    }
}

/// The time and the control register, in one transfer: a time that is read in pieces can be wrong by a day.
fn registers(device: &mut I2cDevice) -> Result<[u8; 8], SensorError> {
    let mut registers = [0; 8];
    device.write_read(&[SECONDS], &mut registers)?;
    match registers.iter().zip(ZERO).all(|(byte, zero)| byte & zero == 0) {
        true => Ok(registers),
        false => Err(SensorError::Garbage("bits are set that a DS1307 has not (another chip?)".into())),
    }
}

/// ISO 8601, or none where it is no time.
fn time(registers: &[u8; 8]) -> Option<String> {
    let [seconds, minutes, hours, _, day, month, year, _] = *registers;
    let within = |byte, min, max| bcd(byte).filter(|number| (min..=max).contains(number));
    let (second, minute) = (within(seconds, 0, 59)?, within(minutes, 0, 59)?);
    let hour = if hours & TWELVE_HOURS == 0 {
        within(hours, 0, 23)?
    } else {
        within(hours & 0x1F, 1, 12)? % 12 + if hours & AFTERNOON == 0 { 0 } else { 12 }
    };
    let (year, month) = (within(year, 0, 99)?, within(month, 1, 12)?);
    let day = within(day, 1, days(year, month))?;
    Some(format!("20{year:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

/// Two decimal digits, four bits each.
fn bcd(byte: u8) -> Option<u8> {
    let (tens, ones) = (byte >> 4, byte & 0x0F);
    (tens < 10 && ones < 10).then_some(tens * 10 + ones)
}

fn days(year: u8, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// What it holds so many seconds after the beginning of 2026, a Thursday.
fn simulated(seconds: u64) -> [u8; 8] {
    let bcd = |number: u64| (number / 10 % 10 * 16 + number % 10) as u8;
    let (all, mut date, mut month, mut year) = (seconds / 86_400, seconds / 86_400, 1, 26);
    while date >= days(year, month).into() {
        date -= u64::from(days(year, month));
        (year, month) = if month == 12 { ((year + 1) % 100, 1) } else { (year, month + 1) };
    }
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3600 % 24);
    let weekday = (all + 4) % 7 + 1;
    [
        bcd(seconds % 60),
        bcd(minutes),
        bcd(hours),
        bcd(weekday),
        bcd(date + 1),
        bcd(month.into()),
        bcd(year.into()),
        0,
    ]
}

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    fn read(registers: &[u8]) -> Result<Frame, SensorError> {
        let chip = RegisterFile::new(&[(SECONDS, registers)]);
        let mut frame = Frame::default();
        Ds1307::open(I2cDevice::new(0x68, Wire::to(0x68, chip), NoDelay), NoSettings {})?.read(&mut frame)?;
        Ok(frame)
    }

    #[test]
    fn both_ways_to_count_hours_are_understood() {
        let time =
            |hours| read(&[0x56, 0x34, hours, 6, 0x29, 0x02, 0x28, 0]).unwrap().samples[0].value.clone();
        assert_eq!(time(0x23), Ok("2028-02-29T23:34:56".into()));
        assert_eq!(time(TWELVE_HOURS | AFTERNOON | 0x11), Ok("2028-02-29T23:34:56".into()));
        assert_eq!(time(TWELVE_HOURS | 0x12), Ok("2028-02-29T00:34:56".into()), "12 AM is midnight");
        assert_eq!(time(TWELVE_HOURS | AFTERNOON | 0x12), Ok("2028-02-29T12:34:56".into()));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            [0x5A, 0, 0, 1, 1, 1, 0, 0],
            [0x60, 0, 0, 1, 1, 1, 0, 0],
            [0, 0, 0x24, 1, 1, 1, 0, 0],
            [0, 0, TWELVE_HOURS, 1, 1, 1, 0, 0],
            [0, 0, 0, 1, 0x29, 2, 0x27, 0],
            [0, 0, 0, 1, 1, 0x13, 0, 0],
            [0, 0, 0, 1, 0, 1, 0, 0],
            [0; 8],
            [0x7F; 8],
        ] {
            assert!(matches!(read(&wrong), Err(SensorError::Garbage(_))), "{wrong:02x?}");
        }
    }

    #[test]
    fn a_clock_that_stands_or_stood_does_not_tell_the_time() {
        for stopped in [[HALTED, 0, 0, 1, 1, 1, 0, 3], [0, 0, 0, 1, 1, 1, 0x26, OSCILLATOR_STOPPED]] {
            let frame = read(&stopped).unwrap();
            assert_eq!(frame.samples[0].value, Err("stopped".into()));
            assert_eq!(frame.get("stopped"), Some(&Value::Bool(true)));
        }
    }

    #[test]
    fn the_simulation_knows_the_calendar() {
        let text = |days: u64, seconds| time(&simulated(days * 86_400 + seconds)).unwrap();
        assert_eq!(text(0, 86_399), "2026-01-01T23:59:59");
        assert_eq!(text(365 + 365 + 59, 0), "2028-02-29T00:00:00");
        assert_eq!(simulated(0)[3], 5, "a Thursday, where Sunday is 1");
    }
}
