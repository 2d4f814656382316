//! Maxim MAX31855: thermocouple on SPI.
//!
//! Datasheet: 19-5793. It converts by itself, ten times a second. The letter of the part (K, J, N, S, T, E, R) has to
//! be that of the thermocouple. It has no id; the bits that are always zero are checked, and that the bits of its
//! faults agree.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

const RESERVED: u32 = 1 << 17 | 1 << 3;
const FAULT: u32 = 1 << 16;
/// What is wrong, most specific first (table 3).
const FAULTS: [(u32, &str); 3] =
    [(1 << 0, "open_circuit"), (1 << 1, "short_to_ground"), (1 << 2, "short_to_supply")];

/// Settings of a `kind = "max31855"` sensor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every temperature of the thermocouple. °C.
    #[serde(default)]
    offset: f64,
}

/// A MAX31855.
pub struct Max31855 {
    device: SpiDevice,
    settings: Settings,
}

impl Sensor for Max31855 {
    const KIND: &'static str = "max31855";
    const TITLE: &'static str = "Maxim MAX31855 thermocouple converter";
    const SPI: SpiMode = SpiMode { mode: 0, max_hz: 5_000_000 };
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-270.0, 1800.0),
        Field::new("internal_temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0),
    ];
    type Device = SpiDevice;
    type Config = Settings;

    fn open(mut device: SpiDevice, settings: Settings) -> Result<Self, SensorError> {
        word(&mut device)?;
        Ok(Self { device, settings })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let word = word(&mut self.device)?;
        match FAULTS.iter().find(|(bit, _)| word & bit != 0) {
            Some((_, reason)) => frame.missing("temperature", *reason),
            None => frame.push("temperature", thermocouple(word) + self.settings.offset),
        }
        frame.push("internal_temperature", internal(word));
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn SpiModel> {
        Box::new(Simulated {
            kiln: Curve::new(seed, 240.0, 60.0),
            room: Curve::new(seed ^ 0x1000, 27.0, 3.0),
        })
    }
}

fn word(device: &mut SpiDevice) -> Result<u32, SensorError> {
    let mut bytes = [0; 4];
    device.read(&mut bytes)?;
    let word = u32::from_be_bytes(bytes);
    let faulty = FAULTS.iter().any(|(bit, _)| word & bit != 0);
    // A line that is held low reads as exactly zero degrees twice.
    if word == 0 || word & RESERVED != 0 || faulty != (word & FAULT != 0) {
        return Err(SensorError::Garbage(
            "no converter answers (check the wiring and the chip select)".into(),
        ));
    }
    Ok(word)
}

/// Bits 31 to 18, a quarter of a degree each.
fn thermocouple(word: u32) -> f64 {
    f64::from(word.cast_signed() >> 18) / 4.0
}

/// Bits 15 to 4, a sixteenth of a degree each.
fn internal(word: u32) -> f64 {
    f64::from((word << 16).cast_signed() >> 20) / 16.0
}

struct Simulated {
    kiln: Curve,
    room: Curve,
}

impl SpiModel for Simulated {
    fn exchange(&mut self, bytes: &mut [u8], now: std::time::Duration) -> Result<(), BusError> {
        let hot = ((self.kiln.at(now) * 4.0) as i32).cast_unsigned() << 18;
        let cold = ((self.room.at(now) * 16.0) as u32 & 0xFFF) << 4;
        for (to, from) in bytes.iter_mut().zip((hot | cold).to_be_bytes()) {
            *to = from;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::SpiWire;

    use super::*;

    struct Fixed(u32);

    impl SpiModel for Fixed {
        fn exchange(&mut self, bytes: &mut [u8], _: std::time::Duration) -> Result<(), BusError> {
            bytes.copy_from_slice(&self.0.to_be_bytes());
            Ok(())
        }
    }

    fn read(chip: impl SpiModel + 'static) -> Result<Frame, SensorError> {
        let mut frame = Frame::default();
        let device = SpiDevice::new(SpiWire::to(chip), NoDelay);
        Max31855::open(device, Settings::default())?.read(&mut frame)?;
        Ok(frame)
    }

    #[test]
    fn the_datasheets_tables_are_converted() {
        // Table 4.
        for (bits, value) in [
            (0b01_1001_0000_0000, 1600.0),
            (0b00_1111_1010_0000, 1000.0),
            (0b00_0001_1001_0011, 100.75),
            (0b00_0000_0110_0100, 25.0),
            (0b00_0000_0000_0000, 0.0),
            (0b11_1111_1111_1111, -0.25),
            (0b11_1111_1111_1100, -1.0),
            (0b11_1100_0001_1000, -250.0),
        ] {
            assert_eq!(thermocouple(bits << 18), value, "{bits:014b}");
        }
        // Table 5.
        for (bits, value) in [
            (0b0111_1111_0000, 127.0),
            (0b0110_0100_1001, 100.5625),
            (0b0001_1001_0000, 25.0),
            (0b0000_0000_0000, 0.0),
            (0b1111_1111_1111, -0.0625),
            (0b1111_1111_0000, -1.0),
            (0b1110_1100_0000, -20.0),
            (0b1100_1001_0000, -55.0),
        ] {
            assert_eq!(internal(bits << 4), value, "{bits:012b}");
        }
    }

    #[test]
    fn a_broken_thermocouple_is_missing_with_its_reason() {
        for (bit, reason) in FAULTS {
            let frame = read(Fixed(0x7FFC << 16 | FAULT | 0x190 << 4 | bit)).unwrap();
            assert_eq!(frame.samples[0].value, Err(reason.into()));
            assert_eq!(frame.samples[1].number(), Some(25.0));
        }
    }

    #[test]
    fn what_no_such_chip_says_is_refused() {
        for word in [0, u32::MAX, FAULT, 1 << 2, 1 << 17 | 0x1900, 1 << 3 | 0x1900] {
            assert!(matches!(read(Fixed(word)), Err(SensorError::Garbage(_))), "{word:#x}");
        }
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve() {
        let Simulated { kiln, room } =
            Simulated { kiln: Curve::new(2, 240.0, 60.0), room: Curve::new(2 ^ 0x1000, 27.0, 3.0) };
        let frame = read(Simulated { kiln, room }).unwrap();
        let near = |i: usize, curve: Curve, step| {
            (frame.samples[i].number().unwrap() - curve.at(std::time::Duration::ZERO)).abs() <= step
        };
        assert!(near(0, kiln, 0.25) && near(1, room, 0.0625), "{frame:?}");
    }
}
