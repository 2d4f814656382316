//! Microchip MCP3008: eight voltages, ten bits each, on SPI.
//!
//! Datasheet: DS21295. It has no id: a bit before each value that is zero, and that nobody at all leaves high, is
//! checked. An input that nothing is connected to floats and reads as anything.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

const START: u8 = 1;
/// One input against ground, and not two against each other (table 5-2).
const SINGLE_ENDED: u8 = 1 << 7;
/// Comes before the ten bits of the value.
const NULL_BIT: u8 = 1 << 2;
const FULL_SCALE: u16 = 1023;
const NAMES: [&str; 8] = ["ch0", "ch1", "ch2", "ch3", "ch4", "ch5", "ch6", "ch7"];

const fn voltage(name: &'static str) -> Field {
    Field::new(name, Unit::Volt).class("voltage").precision(3).range(0.0, 5.5)
}

/// Settings of a `kind = "mcp3008"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The voltage at its pin VREF, which is the highest that it can measure. 0.25 to 5.5 V.
    vref: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { vref: 3.3 }
    }
}

/// An MCP3008.
pub struct Mcp3008 {
    device: SpiDevice,
    vref: f64,
}

impl Sensor for Mcp3008 {
    const KIND: &'static str = "mcp3008";
    const TITLE: &'static str = "Microchip MCP3008 analog-to-digital converter";
    // At 2.7 V; at 5 V it takes 3.6 MHz.
    const SPI: SpiMode = SpiMode { mode: 0, max_hz: 1_350_000 };
    const FIELDS: &'static [Field] = &[
        voltage(NAMES[0]),
        voltage(NAMES[1]),
        voltage(NAMES[2]),
        voltage(NAMES[3]),
        voltage(NAMES[4]),
        voltage(NAMES[5]),
        voltage(NAMES[6]),
        voltage(NAMES[7]),
    ];
    type Device = SpiDevice;
    type Config = Settings;

    fn open(device: SpiDevice, Settings { vref }: Settings) -> Result<Self, SensorError> {
        if !(0.25..=5.5).contains(&vref) {
            return Err(SensorError::Settings(format!("`vref` is 0.25 to 5.5 V, not {vref}").into()));
        }
        let mut sensor = Self { device, vref };
        sensor.counts(0)?;
        Ok(sensor)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        for (channel, name) in (0..).zip(NAMES) {
            let counts = self.counts(channel)?;
            // At full scale the voltage is as high or higher.
            frame.push_cut_off(name, volts(counts, self.vref), counts == FULL_SCALE);
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn SpiModel> {
        Box::new(Simulated(seed))
    }
}

impl Mcp3008 {
    /// Figure 6-1: the value ends with the last bit of the third byte.
    fn counts(&mut self, channel: u8) -> Result<u16, SensorError> {
        let mut bytes = [START, SINGLE_ENDED | channel << 4, 0];
        self.device.transfer(&mut bytes)?;
        let [_, high, low] = bytes;
        if high & NULL_BIT != 0 {
            return Err(SensorError::Garbage(
                "no converter answers (check the wiring and the chip select)".into(),
            ));
        }
        Ok(u16::from(high & 0b11) << 8 | u16::from(low))
    }
}

/// Equation 4-2.
fn volts(counts: u16, vref: f64) -> f64 {
    f64::from(counts) * vref / 1024.0
}

/// A curve at each input. Holds the seed.
struct Simulated(u64);

impl SpiModel for Simulated {
    fn exchange(&mut self, bytes: &mut [u8], now: std::time::Duration) -> Result<(), BusError> {
        if let [START, command, low] = bytes {
            let input = Curve::new(self.0 ^ u64::from(*command >> 4 & 7) << 12, 1.65, 1.5).at(now);
            // The bits before the null bit are nobody's.
            let word = ((input / 3.3 * 1024.0) as u16 | 0xF800).to_be_bytes();
            [*command, *low] = word;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::SpiWire;

    use super::*;

    /// Answers with the same two bytes, whatever the channel.
    struct Fixed(u8, u8);

    impl SpiModel for Fixed {
        fn exchange(&mut self, bytes: &mut [u8], _: std::time::Duration) -> Result<(), BusError> {
            bytes.copy_from_slice(&[0xFF, self.0, self.1]);
            Ok(())
        }
    }

    fn read(chip: impl SpiModel + 'static, vref: f64) -> Result<Frame, SensorError> {
        let mut frame = Frame::default();
        Mcp3008::open(SpiDevice::new(SpiWire::to(chip), NoDelay), Settings { vref })?.read(&mut frame)?;
        Ok(frame)
    }

    #[test]
    fn half_of_the_counts_are_half_of_the_reference() {
        assert_eq!(read(Fixed(0xF8 | 0b10, 0), 5.0).unwrap().samples[7].number(), Some(2.5));
        assert_eq!(volts(1, 4.096), 0.004);
    }

    #[test]
    fn a_voltage_above_the_reference_is_out_of_range() {
        let frame = read(Fixed(0b11, 0xFF), 3.3).unwrap();
        assert!(frame.samples.iter().all(|sample| sample.quality == Quality::OutOfRange), "{frame:?}");
        assert_eq!(read(Fixed(0b11, 0xFE), 3.3).unwrap().samples[0].quality, Quality::Ok);
    }

    #[test]
    fn nobody_is_an_error_and_so_is_an_impossible_reference() {
        assert!(matches!(read(Fixed(0xFF, 0xFF), 3.3), Err(SensorError::Garbage(_))));
        for vref in [0.0, -1.0, 12.0, f64::NAN] {
            assert!(matches!(read(Fixed(0, 0), vref), Err(SensorError::Settings(_))), "{vref}");
        }
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_inputs_curve() {
        let frame = read(Simulated(9), 3.3).unwrap();
        let expected = Curve::new(9 ^ 5 << 12, 1.65, 1.5).at(std::time::Duration::ZERO);
        assert!((frame.samples[5].number().unwrap() - expected).abs() < 0.004, "{frame:?}");
        assert_ne!(frame.samples[0].value, frame.samples[5].value);
    }
}
