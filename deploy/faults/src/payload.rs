//! Readings that can be told from made-up ones: what a sensor says follows from its name and the number of the reading.
//!
//! A simulated chip moves with time, so nobody could say afterwards what its 4711th reading was. A cassette can: it has the bytes of each
//! reading, played through the real driver of an MPU-6050, which takes no time to convert and has six words of its own.
//!
//! ```
//! use sedge_faults::payload::{fields, is_of};
//! let reading = fields("s1", 7);
//! assert!(is_of("s1", 7, &reading));
//! assert!(!is_of("s1", 8, &reading) && !is_of("s2", 7, &reading));
//! ```
//!
//! It must be regular only in this: a node that repeated or mixed up values must not pass.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

/// Readings of a cassette; then it begins again.
pub const LENGTH: u64 = 1000;

/// The fields that follow from the number, with what a step of their word is.
const FIELDS: [(&str, f64); 6] = [
    ("acceleration_x", ACCELERATION),
    ("acceleration_y", ACCELERATION),
    ("acceleration_z", ACCELERATION),
    ("rotation_x", ROTATION),
    ("rotation_y", ROTATION),
    ("rotation_z", ROTATION),
];

/// Of 2 g and 250 °/s over 15 bits.
const ACCELERATION: f64 = 2.0 * 9.806_65 / 32768.0;
const ROTATION: f64 = 250.0 / 32768.0;

/// Words are apart by this, so that rounding on the way cannot make one into another.
const APART: i16 = 64;

/// Less than half of what two words differ by.
const NEAR: f64 = 0.015;

/// The words of a reading.
fn words(sensor: &str, seq: u64) -> [i16; 6] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let index = seq.wrapping_sub(1) % LENGTH;
    for byte in sensor.bytes().chain(index.to_be_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    std::array::from_fn(|place| {
        // Nine bits each; the high bits of FNV are the good ones.
        let bits = hash.rotate_left(9 * (u32::try_from(place).unwrap_or(0) + 1)) & 0x1FF;
        (i16::try_from(bits).unwrap_or(0) - 256) * APART
    })
}

/// The fields of a reading.
pub fn fields(sensor: &str, seq: u64) -> Map<String, Json> {
    let words = words(sensor, seq);
    FIELDS
        .iter()
        .zip(words)
        .map(|((name, step), word)| ((*name).into(), (f64::from(word) * step).into()))
        .collect()
}

/// Whether these are the fields of that reading.
pub fn is_of(sensor: &str, seq: u64, fields: &Map<String, Json>) -> bool {
    let near = |((name, step), word): (&(&str, f64), i16)| {
        let value = fields.get(*name).and_then(Json::as_f64);
        value.is_some_and(|value| (value - f64::from(word) * step).abs() < NEAR)
    };
    seq > 0 && FIELDS.iter().zip(words(sensor, seq)).all(near)
}

/// What the chip says to its driver.
pub fn cassette(sensor: &str) -> String {
    let mut text = String::from("sedge-cassette 1\nkind: mpu6050\nbus: i2c\nseat: 0x68\nsettings: {}\n\n");
    text.push_str("0.0 open\n0.0 w 75 r 68\n0.0 w 6b 01\n0.0 w 19 00 03 00 00\n0.0 w 38 01\n");
    for seq in 1..=LENGTH {
        let [ax, ay, az, rx, ry, rz] = words(sensor, seq);
        text.push_str("0.0 start\n0.0 read\n0.0 w 19 r 00 03 00 00\n0.0 w 6b r 01\n0.0 w 3a r 01");
        for byte in [ax, ay, az, 0, rx, ry, rz].into_iter().flat_map(i16::to_be_bytes) {
            // Writing to a string cannot fail.
            let _ = write!(text, " {byte:02x}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_readings_of_a_cassette_are_alike() {
        let all: BTreeSet<_> =
            (1..=LENGTH).flat_map(|seq| ["s1", "s2", "s3"].map(|s| words(s, seq))).collect();
        assert_eq!(all.len() as u64, 3 * LENGTH);
    }

    #[test]
    fn a_value_that_was_rounded_is_still_itself_and_one_that_was_changed_is_not() {
        let mut reading = fields("s1", 3);
        let round = |value: &Json| (value.as_f64().unwrap() * 100.0).round() / 100.0;
        reading.values_mut().for_each(|value| *value = round(value).into());
        assert!(is_of("s1", 3, &reading));
        reading.insert("rotation_z".into(), (round(&reading["rotation_z"]) + 0.5).into());
        assert!(!is_of("s1", 3, &reading));
        reading.remove("rotation_z");
        assert!(!is_of("s1", 3, &reading));
    }

    #[test]
    fn it_begins_again_where_the_cassette_does() {
        assert!(is_of("s1", LENGTH + 5, &fields("s1", 5)));
        assert!(!is_of("s1", 0, &fields("s1", 0)));
    }
}
