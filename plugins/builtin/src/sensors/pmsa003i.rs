//! Plantower PMSA003I: particles in the air on I2C.
//!
//! Manual: Plantower PMSA003I series, appendix I. It measures by itself about once a second. Its fan takes 30 s after
//! power-on until the values hold. It has no id: what it says begins with `BM` and ends with a checksum.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

const HEAD: [u8; 2] = *b"BM";
/// Bytes that follow the head and this length.
const LENGTH: u16 = 28;
/// Beyond it the manual promises nothing.
const MOST: f64 = 1000.0;

const fn particles(name: &'static str) -> Field {
    Field::new(name, Unit::MicrogramPerCubicMetre).class(name).precision(0).range(0.0, MOST)
}

/// A PMSA003I. It has no settings.
pub struct Pmsa003i {
    device: I2cDevice,
}

impl Sensor for Pmsa003i {
    const KIND: &'static str = "pmsa003i";
    const TITLE: &'static str = "Plantower PMSA003I particle sensor";
    const ADDRESSES: &'static [u8] = &[0x12];
    const FIELDS: &'static [Field] = &[particles("pm1"), particles("pm25"), particles("pm10")];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        report(&mut device)?;
        Ok(Self { device })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let report = report(&mut self.device)?;
        // The first three words are meant for a factory's dust, these for the atmosphere.
        for (field, word) in Self::FIELDS.iter().zip([5, 6, 7]) {
            frame.push(field.name, f64::from(report[word]));
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated(Curve::new(seed, 24.0, 16.0)))
    }
}

/// Sixteen words, with the head and the checksum right.
fn report(device: &mut I2cDevice) -> Result<[u16; 16], SensorError> {
    let mut bytes = [0; 32];
    device.read(&mut bytes)?;
    let mut words = [0; 16];
    for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
        *word = pair.iter().fold(0, |word, &byte| word << 8 | u16::from(byte));
    }
    if words[0] != u16::from_be_bytes(HEAD) || words[1] != LENGTH {
        return Err(SensorError::Garbage("it does not begin as a PMSA003I does (another chip?)".into()));
    }
    match words[15] == sum(&bytes[..30]) {
        true => Ok(words),
        false => Err(SensorError::Checksum),
    }
}

fn sum(bytes: &[u8]) -> u16 {
    bytes.iter().map(|&byte| u16::from(byte)).sum()
}

/// The curve is that of the particles up to 2.5 µm; there are fewer small ones and more in all.
struct Simulated(Curve);

impl I2cModel for Simulated {
    fn write(&mut self, _: &[u8], _: std::time::Duration) -> Result<(), BusError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: std::time::Duration) -> Result<(), BusError> {
        let dust = self.0.at(now);
        let [pm1, pm25, pm10] = [dust * 0.7, dust, dust * 1.2].map(|dust| dust.round() as u16);
        let words =
            [u16::from_be_bytes(HEAD), LENGTH, pm1, pm25, pm10, pm1, pm25, pm10, 0, 0, 0, 0, 0, 0, 0x9700];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(sum(&bytes).to_be_bytes());
        for (to, from) in buffer.iter_mut().zip(bytes) {
            *to = from;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    /// Says these bytes.
    struct Says([u8; 32]);

    impl I2cModel for Says {
        fn write(&mut self, _: &[u8], _: Duration) -> Result<(), BusError> {
            Ok(())
        }
        fn read(&mut self, buffer: &mut [u8], _: Duration) -> Result<(), BusError> {
            buffer.copy_from_slice(&self.0);
            Ok(())
        }
    }

    fn read(bytes: [u8; 32]) -> Result<Frame, SensorError> {
        let mut frame = Frame::default();
        let device = I2cDevice::new(0x12, Wire::to(0x12, Says(bytes)), NoDelay);
        Pmsa003i::open(device, NoSettings {})?.read(&mut frame)?;
        Ok(frame)
    }

    fn said() -> [u8; 32] {
        let mut bytes = [0; 32];
        Simulated(Curve::new(7, 24.0, 16.0)).read(&mut bytes, Duration::from_secs(60)).unwrap();
        bytes
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve() {
        let expected = Curve::new(7, 24.0, 16.0).at(Duration::from_secs(60));
        let frame = read(said()).unwrap();
        assert!((frame.samples[1].number().unwrap() - expected).abs() <= 0.5, "{frame:?}");
    }

    #[test]
    fn the_words_for_the_atmosphere_are_taken() {
        let mut bytes = said();
        bytes[10..16].copy_from_slice(&[1, 2, 0, 35, 0, 48]);
        let sum = sum(&bytes[..30]).to_be_bytes();
        bytes[30..].copy_from_slice(&sum);
        let numbers: Vec<_> = read(bytes).unwrap().samples.iter().map(Sample::number).collect();
        assert_eq!(numbers, [Some(258.0), Some(35.0), Some(48.0)]);
    }

    #[test]
    fn a_wrong_byte_anywhere_is_refused() {
        for at in 0..32 {
            let mut bytes = said();
            bytes[at] ^= 0x10;
            let error = read(bytes).err();
            let expected = if at < 4 {
                !matches!(error, None | Some(SensorError::Bus(_)))
            } else {
                error == Some(SensorError::Checksum)
            };
            assert!(expected, "{at}: {error:?}");
        }
        assert!(read([0; 32]).is_err() && read([0xFF; 32]).is_err());
    }
}
