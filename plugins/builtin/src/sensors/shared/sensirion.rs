//! How Sensirion's chips are spoken to, and some of other makers: commands of 16 bits, answered by words of which
//! each carries a checksum. And a chip that is spoken to so, for simulations.

use std::iter;
use std::time::Duration;

use sedge_plugin::prelude::*;

/// Where Sensirion's checksum starts.
const CRC_START: u8 = 0xFF;

/// CRC-8 with the polynomial 0x31 (x⁸ + x⁵ + x⁴ + 1).
pub(crate) fn crc8(start: u8, bytes: &[u8]) -> u8 {
    bytes.iter().fold(start, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x31 })
    })
}

/// A word as it goes over the wire.
pub(crate) fn with_crc(word: u16) -> [u8; 3] {
    let [high, low] = word.to_be_bytes();
    [high, low, crc8(CRC_START, &[high, low])]
}

/// Sends a command with its words.
pub(crate) fn send(device: &mut I2cDevice, command: u16, words: &[u16]) -> Result<(), SensorError> {
    let mut bytes = command.to_be_bytes().to_vec();
    bytes.extend(words.iter().copied().flat_map(with_crc));
    Ok(device.write(&bytes)?)
}

/// Reads the words that answer a command.
pub(crate) fn receive<const N: usize>(device: &mut I2cDevice) -> Result<[u16; N], SensorError> {
    let mut buffer = [[0; 3]; N];
    device.read(buffer.as_flattened_mut())?;
    if buffer.iter().any(|&[high, low, crc]| crc8(CRC_START, &[high, low]) != crc) {
        return Err(SensorError::Checksum);
    }
    Ok(buffer.map(|[high, low, _]| u16::from_be_bytes([high, low])))
}

/// Sends a command and reads its answer so many milliseconds later.
pub(crate) fn ask<const N: usize>(
    device: &mut I2cDevice,
    command: u16,
    ms: u32,
) -> Result<[u16; N], SensorError> {
    send(device, command, &[])?;
    device.delay_ms(ms);
    receive(device)
}

/// A command that a chip may refuse, because of the mode that it is in.
pub(crate) fn unless_refused(result: Result<(), SensorError>) -> Result<(), SensorError> {
    match result {
        Err(SensorError::Bus(BusError::NoAnswer | BusError::Refused)) => Ok(()),
        other => other,
    }
}

/// The temperature that a word stands for: 0 is -45 °C, 0xFFFF is 130 °C.
pub(crate) fn celsius(word: u16) -> f32 {
    f32::from(word) / 65535.0 * 175.0 - 45.0
}

/// The humidity that a word stands for: 0 is 0 %, 0xFFFF is 100 %.
pub(crate) fn percent(word: u16) -> f32 {
    f32::from(word) / 65535.0 * 100.0
}

/// The word of a temperature, cut off at the ends.
pub(crate) fn celsius_word(celsius: f64) -> u16 {
    ((celsius + 45.0) / 175.0 * 65535.0).round() as u16
}

/// The word of a humidity, cut off at the ends.
pub(crate) fn percent_word(percent: f64) -> u16 {
    (percent / 100.0 * 65535.0).round() as u16
}

/// What a simulated chip makes of a command: how long it is busy with it, and what can be read after that. None where it
/// refuses it.
pub(crate) type Reply<T> = Option<(Duration, Vec<T>)>;

/// A simulated chip that takes commands. While it is busy, and when there is nothing to be read, it does not answer a read.
pub(crate) struct CommandChip<F> {
    answer: F,
    bytes: Vec<u8>,
    ready: Duration,
}

impl<F: FnMut(&[u8], Duration) -> Reply<u8> + Send> CommandChip<F> {
    /// A chip that `answer`s to the bytes that it is sent.
    pub(crate) fn new(answer: F) -> Self {
        Self { answer, bytes: Vec::new(), ready: Duration::ZERO }
    }
}

impl<F: FnMut(&[u8], Duration) -> Reply<u8> + Send> I2cModel for CommandChip<F> {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        let (busy, bytes) = (self.answer)(bytes, now).ok_or(BusError::Refused)?;
        (self.ready, self.bytes) = (now + busy, bytes);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        if now < self.ready || self.bytes.is_empty() {
            return Err(BusError::NoAnswer);
        }
        let bytes = std::mem::take(&mut self.bytes);
        buffer.iter_mut().zip(bytes.into_iter().chain(iter::repeat(0xFF))).for_each(|(to, from)| *to = from);
        Ok(())
    }
}

/// A simulated chip of Sensirion's. A command of eight bits is one below 0x100.
pub(crate) fn chip(
    mut answer: impl FnMut(u16, &[u16], Duration) -> Reply<u16> + Send + 'static,
) -> Box<dyn I2cModel> {
    Box::new(CommandChip::new(move |bytes, now| {
        let (command, rest) = match *bytes {
            [high, low, ref rest @ ..] => (u16::from_be_bytes([high, low]), rest),
            [command] => (command.into(), [].as_slice()),
            [] => return None,
        };
        let words: Vec<u16> = rest.chunks(3).map(word).collect::<Option<_>>()?;
        let (busy, words) = answer(command, &words, now)?;
        Some((busy, words.into_iter().flat_map(with_crc).collect()))
    }))
}

fn word(bytes: &[u8]) -> Option<u16> {
    let word = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    (with_crc(word) == bytes).then_some(word)
}

/// A simulated chip that is told something and has nothing to say.
pub(crate) fn done() -> Reply<u16> {
    Some((Duration::ZERO, Vec::new()))
}

/// A simulated chip that answers at once.
pub(crate) fn at_once(words: &[u16]) -> Reply<u16> {
    Some((Duration::ZERO, words.to_vec()))
}

#[cfg(test)]
mod tests {
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_datasheets() {
        assert_eq!(crc8(0xFF, &[0xBE, 0xEF]), 0x92);
        assert_eq!(with_crc(0x8000), [0x80, 0x00, 0xA2]);
        assert_eq!(with_crc(0x6666), [0x66, 0x66, 0x93]);
        assert_eq!(crc8(0x00, &[0xDC]), 0x79);
    }

    #[test]
    fn the_ends_of_the_scales_are_those_of_the_words() {
        assert_eq!((celsius(0), celsius(0xFFFF)), (-45.0, 130.0));
        assert_eq!((percent(0), percent(0xFFFF)), (0.0, 100.0));
        assert_eq!((celsius_word(25.0), percent_word(50.0)), (0x6666, 0x8000));
        assert_eq!((celsius_word(-300.0), percent_word(200.0)), (0, 0xFFFF));
    }

    #[test]
    fn a_wrong_checksum_is_refused_in_both_directions() {
        let heard = chip(|_, words, _| at_once(words));
        let mut device = I2cDevice::new(0x44, Wire::boxed(0x44, heard), NoDelay);
        send(&mut device, 0x1234, &[7, 0xBEEF]).unwrap();
        assert_eq!(receive(&mut device), Ok([7, 0xBEEF]));
        assert_eq!(device.write(&[0x12, 0x34, 0xBE, 0xEF, 0x93]), Err(BusError::Refused));
        send(&mut device, 0x1234, &[7]).unwrap();
        assert_eq!(receive::<2>(&mut device), Err(SensorError::Checksum), "a word that is not there");
    }
}
