//! Where a sensor sits on its bus: `address = 0x76`, `address = 3`, `address = "28-0316a2794cff"`.
//!
//! What it can be depends on what the kind sits on: an I2C address, the number of a chip select, or what the kernel calls
//! a device that it drives itself. It must not look at other sensors.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalogue::Kind;

/// The 7-bit addresses that I2C does not reserve.
const ADDRESSES: std::ops::RangeInclusive<i64> = 0x08..=0x77;

/// The chip selects that a bus can have.
const CHIP_SELECTS: std::ops::RangeInclusive<i64> = 0..=15;

/// The most bytes of a name.
const LONGEST: usize = 64;

/// Where a sensor sits on its bus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Address {
    /// A 7-bit I2C address, or the number of a chip select.
    Number(u8),
    /// What the kernel calls it, such as `28-0316a2794cff`.
    Name(String),
}

/// As in a datasheet, `0x76`; or the name.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:#04x}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What a file says, right or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(untagged)]
pub(crate) enum Written {
    Number(i64),
    Text(String),
}

impl Written {
    /// Whether some kind can have it.
    pub(crate) fn is_possible(&self) -> bool {
        match self {
            Self::Number(number) => CHIP_SELECTS.contains(number) || ADDRESSES.contains(number),
            Self::Text(text) => wrong_name(text).is_none(),
        }
    }

    /// The address, once it was checked.
    pub(crate) fn into_address(self) -> Option<Address> {
        match self {
            Self::Number(number) => u8::try_from(number).ok().map(Address::Number),
            Self::Text(text) => Some(Address::Name(text)),
        }
    }

    fn found(&self) -> String {
        match self {
            Self::Number(number) => format!("the integer {number}"),
            Self::Text(text) => format!("the string `{}`", cut(text)),
        }
    }
}

impl JsonSchema for Written {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}

/// What the addresses of a kind are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'k> {
    /// One of these on I2C.
    I2c(&'k [u8]),
    /// The number of a chip select.
    ChipSelect,
    /// A name, or none for the only one there.
    Name,
}

/// What is wrong with an address, and what to do about it.
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) help: String,
}

impl<'k> Form<'k> {
    /// Nothing for a kind that takes no address.
    pub(crate) fn of(kind: &'k Kind) -> Option<Self> {
        match () {
            () if !kind.addresses.is_empty() => Some(Self::I2c(&kind.addresses)),
            () if kind.buses.is_empty() => None,
            () if kind.real_buses().any(|bus| bus == "spi") => Some(Self::ChipSelect),
            () => Some(Self::Name),
        }
    }

    /// The address as a JSON Schema, with its default.
    pub(crate) fn schema(self) -> Value {
        match self {
            Self::I2c(addresses) => json!({
                "description": "7-bit I2C address.",
                "type": "integer",
                "enum": addresses,
                "default": addresses.first(),
            }),
            Self::ChipSelect => json!({
                "description": "The number of its chip select.",
                "type": "integer",
                "minimum": CHIP_SELECTS.start(),
                "maximum": CHIP_SELECTS.end(),
                "default": 0,
            }),
            Self::Name => json!({
                "description": "What the kernel calls it, such as \"28-0316a2794cff\". Without it: the only one of its kind there.",
                "type": "string",
                "minLength": 1,
                "maxLength": LONGEST,
            }),
        }
    }

    /// What it is where nothing is written.
    pub(crate) fn implied(self) -> Option<Written> {
        match self {
            Self::I2c(addresses) => addresses.first().map(|&address| Written::Number(address.into())),
            Self::ChipSelect => Some(Written::Number(0)),
            Self::Name => None,
        }
    }

    /// Finds what is wrong with what is written for a kind.
    pub(crate) fn check(self, kind: &Kind, written: &Written) -> Result<(), Wrong> {
        let name = &kind.name;
        let wrong_type = |expected: &str| format!("expected {expected}, found {}", written.found());
        let (message, help) = match (self, written) {
            (Self::I2c(all), Written::Number(number)) => {
                let why = match number {
                    number if !ADDRESSES.contains(number) => "is not a 7-bit I2C address".to_owned(),
                    number if all.iter().any(|&address| i64::from(address) == *number) => return Ok(()),
                    _ => format!("is no address of a `{name}`"),
                };
                (format!("{} {why}", hex(*number)), possible(name, all))
            }
            (Self::I2c(all), Written::Text(_)) => (wrong_type("an integer"), possible(name, all)),
            (Self::ChipSelect, Written::Number(number)) if CHIP_SELECTS.contains(number) => return Ok(()),
            (Self::ChipSelect, Written::Number(number)) => {
                (format!("{number} is no chip select"), chip_select())
            }
            (Self::ChipSelect, Written::Text(_)) => (wrong_type("an integer"), chip_select()),
            (Self::Name, Written::Number(_)) => (wrong_type("a string"), names(kind)),
            (Self::Name, Written::Text(text)) => match wrong_name(text) {
                None => return Ok(()),
                Some(message) => (message, names(kind)),
            },
        };
        Err(Wrong { message, help })
    }

    /// How people call an address of this form.
    pub(crate) fn words(self, written: &Written) -> String {
        match (self, written) {
            (Self::ChipSelect, Written::Number(number)) => format!("chip select {number}"),
            (_, Written::Number(number)) => format!("address {}", hex(*number)),
            (_, Written::Text(text)) => format!("address `{text}`"),
        }
    }
}

fn possible(name: &str, addresses: &[u8]) -> String {
    let possible: Vec<String> = addresses.iter().map(|&address| hex(address.into())).collect();
    format!("a `{name}` can have {}", possible.join(", "))
}

fn chip_select() -> String {
    format!("expected {} to {}, such as `address = 0`", CHIP_SELECTS.start(), CHIP_SELECTS.end())
}

/// An example of a name, and how to find the others.
pub(crate) fn names(kind: &Kind) -> String {
    let (example, list) = match kind.real_buses().next() {
        Some("iio") => ("iio:device0", "ls /sys/bus/iio/devices"),
        Some("hwmon") => ("cpu_thermal", "cat /sys/class/hwmon/*/name"),
        _ => ("28-0316a2794cff", "ls /sys/bus/w1/devices"),
    };
    format!("such as `address = \"{example}\"`; `{list}` shows what is there")
}

/// Why a text is not what the kernel calls a device: it becomes a part of a path.
fn wrong_name(text: &str) -> Option<String> {
    match text.chars().find(|&c| c == '/' || c.is_control()) {
        _ if text.is_empty() => Some("an empty text is no address".into()),
        _ if text.len() > LONGEST => {
            Some(format!("an address has at most {LONGEST} bytes, this one {}", text.len()))
        }
        Some(found) => Some(format!("the address `{text}` has `{found}`, which no device has")),
        None => [".", ".."].contains(&text).then(|| format!("`{text}` is no device")),
    }
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

pub(crate) fn hex(address: i64) -> String {
    if address < 0 { address.to_string() } else { format!("0x{address:02x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_in_a_datasheet() {
        assert_eq!([hex(0x76), hex(8), hex(-1), hex(300)], ["0x76", "0x08", "-1", "0x12c"]);
        let shown = [Address::Number(8), Address::Name("hwmon0".into())].map(|address| address.to_string());
        assert_eq!(shown, ["0x08", "hwmon0"]);
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        for name in ["28-0316a2794cff", "iio:device0", "ü", "...", &"x".repeat(64)] {
            assert_eq!(wrong_name(name), None, "{name}");
        }
        for name in ["", ".", "..", "../x", "a/b", "a\0", "a\u{85}", &"ü".repeat(33)] {
            assert!(wrong_name(name).is_some(), "{name}");
        }
    }
}
