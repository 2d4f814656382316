//! Melexis MLX90614: the temperature of what it looks at, without touching it, and its own, on SMBus.
//!
//! Datasheet: 3901090614. It has no id; every word comes with a checksum (PEC), so that another chip is not taken for one.
//! It measures by itself; the first values are there 0.25 s after power-on. It wants a bus of at most 100 kHz. The emissivity
//! is the one in its memory, 1.0 from the factory; a shiny surface reads as colder or warmer than it is.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

const AMBIENT: u8 = 0x06;
const OBJECT: u8 = 0x07;

/// The address from the factory.
const ADDRESS: u8 = 0x5A;
/// The chip says that the value is not valid.
const ERROR: u16 = 1 << 15;

/// A MLX90614. It has no settings.
pub struct Mlx90614 {
    device: I2cDevice,
}

impl Sensor for Mlx90614 {
    const KIND: &'static str = "mlx90614";
    const TITLE: &'static str = "Melexis MLX90614 infrared thermometer";
    /// Another one can be written into its memory.
    const ADDRESSES: &'static [u8] = &[ADDRESS, 0x5B, 0x5C, 0x5D, 0x5E, 0x5F];
    const FIELDS: &'static [Field] = &[
        Field::new("object_temperature", Unit::Celsius).class("temperature").range(-70.0, 380.0),
        Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 125.0),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        let mut driver = Self { device };
        driver.word(AMBIENT)?;
        Ok(driver)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        for (field, register) in [("object_temperature", OBJECT), ("temperature", AMBIENT)] {
            match self.word(register)? {
                // -273 °C: nothing was measured since power-on.
                0 => return Err(SensorError::NotReady),
                raw if raw & ERROR != 0 => frame.missing(field, "invalid"),
                raw => frame.push(field, celsius(raw)),
            }
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let [object, ambient] = [Curve::new(seed, 36.0, 8.0), Curve::new(seed ^ 0x1000, 21.0, 3.0)];
        Box::new(Simulated::new(move |register, now| {
            let celsius = if register == OBJECT { object.at(now) } else { ambient.at(now) };
            ((celsius + 273.15) / 0.02) as u16
        }))
    }
}

impl Mlx90614 {
    /// Behind an address translator the chip knows nothing of the address that we use: its checksum is then that of its own.
    fn word(&mut self, register: u8) -> Result<u16, SensorError> {
        let mut answer = [0; 3];
        self.device.write_read(&[register], &mut answer)?;
        let [low, high, checksum] = answer;
        if ![self.device.address(), ADDRESS]
            .iter()
            .any(|&address| pec(address, register, low, high) == checksum)
        {
            return Err(SensorError::Checksum);
        }
        Ok(u16::from_le_bytes([low, high]))
    }
}

/// 0.02 K per bit.
fn celsius(raw: u16) -> f64 {
    f64::from(raw) * 0.02 - 273.15
}

/// SMBus' checksum over all bytes of the transfer, those of the addresses included: x⁸ + x² + x + 1.
fn pec(address: u8, register: u8, low: u8, high: u8) -> u8 {
    [address << 1, register, address << 1 | 1, low, high].iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

/// It answers as one at the address from the factory, wherever it is put.
struct Simulated<F> {
    pointer: u8,
    measure: F,
}

impl<F> Simulated<F> {
    fn new(measure: F) -> Self {
        Self { pointer: 0, measure }
    }
}

impl<F: FnMut(u8, std::time::Duration) -> u16 + Send> I2cModel for Simulated<F> {
    fn write(&mut self, bytes: &[u8], _: std::time::Duration) -> Result<(), BusError> {
        self.pointer = bytes.first().copied().unwrap_or(self.pointer);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: std::time::Duration) -> Result<(), BusError> {
        let [low, high] = (self.measure)(self.pointer, now).to_le_bytes();
        let answer = [low, high, pec(ADDRESS, self.pointer, low, high)];
        for (to, from) in buffer.iter_mut().zip(answer.into_iter().chain(std::iter::repeat(0xFF))) {
            *to = from;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::sim::RegisterFile;
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_close, number};

    #[test]
    fn the_datasheets_values_are_converted() {
        // The examples beside the formulas of To and Ta.
        for (raw, value) in [(0x27AD, -70.01), (0x27AE, -69.99), (0x3AF7, 28.75), (0x7FFF, 382.19)] {
            assert_close(celsius(raw), value, 1e-9);
        }
    }

    #[test]
    fn the_datasheets_transfer_has_its_checksum() {
        // The example of "read word": address 0x5A, command 0x07, data 0x3AD2.
        assert_eq!(pec(0x5A, 0x07, 0xD2, 0x3A), 0x30);
    }

    #[test]
    fn a_reading_is_that_of_the_curves() {
        let frame = Bench::<Mlx90614>::simulated(1, json!({})).read().unwrap();
        let at = |seed, middle, swing| Curve::new(seed, middle, swing).at(std::time::Duration::ZERO);
        assert_close(number(&frame, "object_temperature"), at(1, 36.0, 8.0), 0.02);
        assert_close(number(&frame, "temperature"), at(0x1001, 21.0, 3.0), 0.02);
    }

    #[test]
    fn a_wrong_checksum_an_invalid_value_and_nothing_measured_are_told() {
        let other = RegisterFile::new(&[(AMBIENT, &[0xD2, 0x3A, 0x31])]);
        assert_eq!(Bench::<Mlx90614>::open(Box::new(other), json!({})).err(), Some(SensorError::Checksum));
        let fresh = Simulated::new(|_, _| 0);
        let error = Bench::<Mlx90614>::open(Box::new(fresh), json!({})).unwrap().read().err();
        assert_eq!(error, Some(SensorError::NotReady));
        let hot = Simulated::new(|register, _| if register == OBJECT { 0x8001 } else { 0x3AF7 });
        let frame = Bench::<Mlx90614>::open(Box::new(hot), json!({})).unwrap().read().unwrap();
        assert_eq!(frame.samples[0].value, Err("invalid".into()));
        assert_close(number(&frame, "temperature"), 28.75, 1e-9);
    }
}
