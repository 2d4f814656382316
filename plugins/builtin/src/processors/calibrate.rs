//! Corrects a field: value × scale + offset, or a polynomial.
//!
//! ```toml
//! kind = "calibrate"
//! sensors = ["greenhouse"]
//! field = "temperature"
//! offset = -0.4
//! scale = 1.02
//! ```
//!
//! A polynomial, `polynomial = [c0, c1, c2]`, is c0 + c1 × value + c2 × value². The range of the field follows. It knows no
//! units: what it makes of the value is in the unit that the field has.

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::prelude::*;

use super::common::{Fields, change, is_number, precision, round, wrong};

/// Coefficients of a polynomial, at most.
const MAX_COEFFICIENTS: usize = 16;

/// Settings of a `kind = "calibrate"` processor. Either `offset` and `scale`, or `polynomial`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field, or fields.
    field: Fields,
    /// Added after scaling, in the field's unit. 0 unless given.
    offset: Option<f64>,
    /// The value is multiplied by this. 1 unless given; not 0.
    scale: Option<f64>,
    /// Coefficients: the constant first, then that of the value, its square, … 2 to 16.
    #[schemars(length(min = 2, max = 16))]
    polynomial: Option<Vec<f64>>,
}

/// Corrects fields.
pub struct Calibrate {
    fields: Fields,
    coefficients: Vec<f64>,
}

impl Processor for Calibrate {
    const KIND: &'static str = "calibrate";
    const TITLE: &'static str = "Corrects a field by scale and offset, or a polynomial";
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        let Settings { field: fields, offset, scale, polynomial } = settings;
        let coefficients = match (offset, scale, polynomial) {
            (None, None, None) => return Err(wrong("give `offset`, `scale` or `polynomial`")),
            (_, Some(0.0), None) => {
                return Err(wrong("`scale` must not be 0: every value would be the same"));
            }
            (offset, scale, None) => vec![offset.unwrap_or(0.0), scale.unwrap_or(1.0)],
            (None, None, Some(c)) if (2..=MAX_COEFFICIENTS).contains(&c.len()) => c,
            (None, None, Some(_)) => return Err(wrong("`polynomial` has 2 to 16 coefficients")),
            _ => return Err(wrong("give either `offset` and `scale`, or `polynomial`")),
        };
        Ok(Self { fields, coefficients })
    }

    fn describe(&mut self, sensor: &mut SensorDescriptor) {
        let fields = sensor.fields.iter_mut().filter(|(name, _)| self.fields.has(name.as_str()));
        fields.map(|(_, field)| field).filter(|field| is_number(field)).for_each(|field| self.follow(field));
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        Ok(change(draft, &self.fields, |sample| match sample.number() {
            Some(n) => {
                sample.set(self.at(n));
                true
            }
            None => false,
        }))
    }
}

impl Calibrate {
    fn at(&self, x: f64) -> f64 {
        self.coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
    }

    /// The range follows the curve from end to end, which need not have its extremes there. Half a range is dropped.
    fn follow(&self, field: &mut FieldDescriptor) {
        const STEPS: u32 = 1000;
        let range = field.min.zip(field.max).map(|(min, max)| {
            let values = (0..=STEPS).map(|n| self.at(min + (max - min) * f64::from(n) / f64::from(STEPS)));
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), n| (low.min(n), high.max(n)))
        });
        if let [_, scale] = self.coefficients[..] {
            field.precision = precision(field.precision, scale);
        }
        let range = range.map(|(min, max)| (round(min, field.precision), round(max, field.precision)));
        (field.min, field.max) = range.unzip();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{described, draft, frame, make, refused, run, v, values};

    #[test]
    fn a_value_is_scaled_then_moved() {
        let mut both = make::<Calibrate>(json!({ "field": "v", "scale": 2, "offset": -0.5 }));
        assert_eq!(values(&mut both, [v(0, 10.0), v(1, -1.0)]), [19.5, -2.5]);
        let mut offset = make::<Calibrate>(json!({ "field": "v", "offset": 1 }));
        assert_eq!(values(&mut offset, [v(0, 10.0)]), [11.0]);
    }

    #[test]
    fn the_table_of_a_pt100_is_met_by_its_polynomial() {
        // IEC 60751, 0 to 850 °C: resistance in ohms.
        let mut pt100 = make::<Calibrate>(json!({ "field": "v", "polynomial": [100.0, 0.39083, -5.775e-5] }));
        for (celsius, ohms) in
            [(0.0, 100.0), (50.0, 119.397), (100.0, 138.506), (200.0, 175.856), (400.0, 247.092)]
        {
            assert!((values(&mut pt100, [v(0, celsius)])[0] - ohms).abs() < 0.001, "{celsius}");
        }
    }

    #[test]
    fn other_fields_and_what_is_no_number_are_left_alone() {
        let mut it = make::<Calibrate>(json!({ "field": ["v", "on", "gone"], "scale": 2 }));
        let mut before = frame(&[("v", 1.0), ("w", 1.0)]);
        before.push("on", true);
        before.missing("gone", "crc");
        let after = run(&mut it, draft("x", 0, before.clone()));
        assert_eq!(after.samples[0].number(), Some(2.0));
        assert_eq!(after.samples[1..], before.samples[1..]);
    }

    #[test]
    fn a_value_that_would_not_be_finite_is_missing() {
        let mut it = make::<Calibrate>(json!({ "field": "v", "scale": 1e300 }));
        assert_eq!(run(&mut it, v(0, 1e300)).samples[0].value, Err("not_finite".into()));
    }

    #[test]
    fn the_range_follows() {
        const FIELDS: &[Field] = &[Field::new("v", Unit::Volt).range(-1.0, 3.0)];
        let range = |settings| {
            let sensor = described(&mut make::<Calibrate>(settings), FIELDS);
            (sensor.fields["v"].min, sensor.fields["v"].max, sensor.fields["v"].precision)
        };
        assert_eq!(range(json!({ "field": "v", "scale": -2, "offset": 1 })), (Some(-5.0), Some(3.0), 2));
        assert_eq!(range(json!({ "field": "v", "polynomial": [0, 0, 1] })), (Some(0.0), Some(9.0), 2));
        assert_eq!(range(json!({ "field": "w", "scale": 2 })), (Some(-1.0), Some(3.0), 2));
        assert_eq!(
            range(json!({ "field": "v", "scale": 0.01 })).2,
            4,
            "and the decimals that mean something"
        );
    }

    #[test]
    fn there_is_exactly_one_way() {
        for settings in [
            json!({ "field": "v" }),
            json!({ "field": "v", "scale": 1, "polynomial": [0, 1] }),
            json!({ "field": "v", "polynomial": [1] }),
            json!({ "field": "v", "scale": 0 }),
        ] {
            let text = refused::<Calibrate>(settings);
            assert!(text.contains("polynomial") || text.contains("scale"), "{text}");
        }
    }
}
