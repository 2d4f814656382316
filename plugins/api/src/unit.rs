//! Units of measurement, as Home Assistant and UCUM write them.
//!
//! A field has one of these or it is not published: a number without a unit is a guess.
//!
//! ```
//! use sedge_plugin::Unit;
//! assert_eq!(Unit::Celsius.symbol(), "°C");
//! assert_eq!(Unit::Celsius.ucum(), "Cel");
//! ```
//!
//! A unit never converts a value: that is a processor's work.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One row: the symbol that people and Home Assistant read, the UCUM code, the name in Rust.
struct Row(Unit, &'static str, &'static str);

/// A unit of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// No dimension: an index, a load average, an on/off state.
    None,
    /// °C
    Celsius,
    /// %
    Percent,
    /// hPa
    Hectopascal,
    /// lx
    Lux,
    /// V
    Volt,
    /// A
    Ampere,
    /// W
    Watt,
    /// Hz
    Hertz,
    /// ppm
    PartsPerMillion,
    /// ppb
    PartsPerBillion,
    /// µg/m³
    MicrogramPerCubicMetre,
    /// m
    Metre,
    /// mm
    Millimetre,
    /// s
    Second,
    /// B
    Byte,
    /// MiB
    Mebibyte,
    /// B/s
    BytePerSecond,
    /// °
    Degree,
    /// K
    Kelvin,
    /// °F
    Fahrenheit,
    /// Pa
    Pascal,
    /// kPa
    Kilopascal,
    /// bar
    Bar,
    /// mmHg
    MillimetreOfMercury,
    /// psi
    PoundPerSquareInch,
    /// m/s
    MetrePerSecond,
    /// km/h
    KilometrePerHour,
    /// kn
    Knot,
    /// cm
    Centimetre,
    /// in
    Inch,
    /// ft
    Foot,
    /// g/m³
    GramPerCubicMetre,
    /// m/s²
    MetrePerSecondSquared,
    /// °/s
    DegreePerSecond,
    /// rpm
    RevolutionPerMinute,
    /// L
    Litre,
    /// L/min
    LitrePerMinute,
    /// m³
    CubicMetre,
    /// Wh
    WattHour,
    /// kWh
    KilowattHour,
    /// Ω
    Ohm,
    /// µT
    Microtesla,
    /// dBm
    DecibelMilliwatt,
}

const TABLE: &[Row] = &[
    Row(Unit::None, "", "1"),
    Row(Unit::Celsius, "°C", "Cel"),
    Row(Unit::Percent, "%", "%"),
    Row(Unit::Hectopascal, "hPa", "hPa"),
    Row(Unit::Lux, "lx", "lx"),
    Row(Unit::Volt, "V", "V"),
    Row(Unit::Ampere, "A", "A"),
    Row(Unit::Watt, "W", "W"),
    Row(Unit::Hertz, "Hz", "Hz"),
    Row(Unit::PartsPerMillion, "ppm", "[ppm]"),
    Row(Unit::PartsPerBillion, "ppb", "[ppb]"),
    // U+00B5, the micro sign: Home Assistant refuses the Greek letter.
    Row(Unit::MicrogramPerCubicMetre, "\u{b5}g/m³", "ug/m3"),
    Row(Unit::Metre, "m", "m"),
    Row(Unit::Millimetre, "mm", "mm"),
    Row(Unit::Second, "s", "s"),
    Row(Unit::Byte, "B", "By"),
    Row(Unit::Mebibyte, "MiB", "MiBy"),
    Row(Unit::BytePerSecond, "B/s", "By/s"),
    Row(Unit::Degree, "°", "deg"),
    Row(Unit::Kelvin, "K", "K"),
    Row(Unit::Fahrenheit, "°F", "[degF]"),
    Row(Unit::Pascal, "Pa", "Pa"),
    Row(Unit::Kilopascal, "kPa", "kPa"),
    Row(Unit::Bar, "bar", "bar"),
    Row(Unit::MillimetreOfMercury, "mmHg", "mm[Hg]"),
    Row(Unit::PoundPerSquareInch, "psi", "[psi]"),
    Row(Unit::MetrePerSecond, "m/s", "m/s"),
    Row(Unit::KilometrePerHour, "km/h", "km/h"),
    Row(Unit::Knot, "kn", "[kn_i]"),
    Row(Unit::Centimetre, "cm", "cm"),
    Row(Unit::Inch, "in", "[in_i]"),
    Row(Unit::Foot, "ft", "[ft_i]"),
    Row(Unit::GramPerCubicMetre, "g/m³", "g/m3"),
    Row(Unit::MetrePerSecondSquared, "m/s²", "m/s2"),
    Row(Unit::DegreePerSecond, "°/s", "deg/s"),
    Row(Unit::RevolutionPerMinute, "rpm", "{rpm}"),
    Row(Unit::Litre, "L", "L"),
    Row(Unit::LitrePerMinute, "L/min", "L/min"),
    Row(Unit::CubicMetre, "m³", "m3"),
    Row(Unit::WattHour, "Wh", "W.h"),
    Row(Unit::KilowattHour, "kWh", "kW.h"),
    Row(Unit::Ohm, "Ω", "Ohm"),
    Row(Unit::Microtesla, "\u{b5}T", "uT"),
    Row(Unit::DecibelMilliwatt, "dBm", "dB[mW]"),
];

impl Unit {
    /// As Home Assistant's `unit_of_measurement` wants it; empty for [`Unit::None`].
    pub fn symbol(self) -> &'static str {
        self.row().1
    }

    /// The code of the Unified Code for Units of Measure; `1` for [`Unit::None`].
    pub fn ucum(self) -> &'static str {
        self.row().2
    }

    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The unit with that symbol.
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == symbol).map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        // The table has a row for every unit; a test walks it.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }
}

impl Serialize for Unit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.symbol())
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let symbol = Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_symbol(&symbol)
            .ok_or_else(|| serde::de::Error::custom(format!("`{symbol}` is not a known unit")))
    }
}

impl JsonSchema for Unit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Unit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let symbols: Vec<&str> = TABLE.iter().map(|row| row.1).collect();
        json_schema!({ "type": "string", "enum": symbols })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_a_row_of_its_own() {
        // Exhaustive by construction: a new variant must be added here to compile, and to the table to pass.
        for &Row(unit, symbol, ucum) in TABLE {
            assert_eq!((unit.symbol(), unit.ucum()), (symbol, ucum));
            assert_eq!(Unit::from_symbol(symbol), Some(unit));
        }
        assert_eq!(Unit::DecibelMilliwatt as usize + 1, TABLE.len(), "the last variant counts them");
    }
}
