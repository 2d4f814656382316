//! What a sensor measures: its fields with their units.
//!
//! A driver names its fields as constants; the bridge turns them into descriptors, Home Assistant entities
//! and table headings without asking again.
//!
//! ```
//! use sedge_plugin::{Field, Unit};
//! const FIELDS: &[Field] = &[Field::new("temperature", Unit::Celsius).class("temperature").range(-40.0, 85.0).precision(2)];
//! assert_eq!(FIELDS[0].name, "temperature");
//! ```

use serde::{Deserialize, Serialize};

use crate::Unit;

/// How a value behaves over time (Home Assistant calls it the state class).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// A number that goes up and down.
    Measurement,
    /// A number that only grows, and starts again at zero.
    TotalIncreasing,
    /// On or off.
    State,
    /// A text.
    Text,
}

/// One field of a sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its name, a legal [`Name`](crate::Name).
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// How it behaves over time.
    pub kind: FieldKind,
    /// Home Assistant's device class, such as `temperature`; empty where there is none.
    pub class: &'static str,
    /// Decimals worth showing and sending. Values are rounded to it.
    pub precision: u8,
    /// What the device can measure, in `unit`. A value outside is marked `out_of_range`.
    pub range: Option<(f64, f64)>,
}

impl Field {
    /// A measurement with two decimals, no class and no range.
    pub const fn new(name: &'static str, unit: Unit) -> Self {
        Self { name, unit, kind: FieldKind::Measurement, class: "", precision: 2, range: None }
    }

    /// With Home Assistant's device class.
    pub const fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    /// With the decimals worth sending.
    pub const fn precision(self, precision: u8) -> Self {
        Self { precision, ..self }
    }

    /// With the device's measuring range, in the field's unit.
    pub const fn range(self, min: f64, max: f64) -> Self {
        Self { range: Some((min, max)), ..self }
    }

    /// With another behaviour over time than a measurement's.
    pub const fn kind(self, kind: FieldKind) -> Self {
        Self { kind, ..self }
    }
}
