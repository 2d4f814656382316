//! Judges how fast a field changes: a leap that nothing real can make is marked `rejected`.
//!
//! ```toml
//! kind = "rate"
//! sensors = ["boiler"]
//! field = "temperature"
//! most = 2.0
//! per = "1s"
//! ```
//!
//! A value is compared with the last one that was believed. A true step is marked once: when the next value confirms the new
//! level, it is believed. The value is kept.

use sedge_plugin::prelude::*;

use super::common::{Fields, Memory, PerField, change, mark, wrong};

/// Settings of a `kind = "rate"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field, or fields.
    field: Fields,
    /// The largest credible change per `per`, in the field's unit.
    #[schemars(range(min = 0))]
    most: f64,
    /// The time that `most` is for. A second, unless given.
    #[serde(default = "second")]
    per: Every,
}

fn second() -> Every {
    Every::secs(1)
}

/// A value and when it was taken.
#[derive(Debug, Clone, Copy)]
struct Point {
    value: f64,
    up_ms: u64,
}

#[derive(Debug, Default)]
struct Past {
    believed: Option<Point>,
    /// The last value, if it was not believed.
    doubted: Option<Point>,
}

/// Judges how fast fields change.
pub struct Rate {
    fields: Fields,
    per_ms: f64,
    past: Memory<PerField<Past>>,
}

impl Processor for Rate {
    const KIND: &'static str = "rate";
    const TITLE: &'static str = "Marks values that leap faster than is credible";
    const STAGE: Stage = Stage::Validate;
    type Config = Settings;

    fn new(
        Settings { field: fields, most, per: Every(per) }: Settings,
        _: &Context,
    ) -> Result<Self, PluginError> {
        if most <= 0.0 || per.is_zero() {
            return Err(wrong("`most` and `per` are above 0"));
        }
        Ok(Self { fields, per_ms: most / (per.as_secs_f64() * 1000.0), past: Memory::default() })
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let past = self.past.of(&draft.sensor);
        Ok(change(draft, &self.fields, |sample| {
            let Some(value) = sample.number() else { return false };
            let point = Point { value, up_ms: draft.taken.up_ms };
            !past.of(&sample.field).believes(point, self.per_ms) && mark(sample, Quality::Rejected)
        }))
    }

    fn forget(&mut self, sensor: &Id) {
        self.past.forget(sensor);
    }
}

impl Past {
    fn believes(&mut self, now: Point, per_ms: f64) -> bool {
        let near = |before: Point| {
            // Two in one millisecond: the clock tells no finer.
            let time = now.up_ms.abs_diff(before.up_ms).max(1) as f64;
            (now.value - before.value).abs() <= per_ms * time * (1.0 + 1e-9)
        };
        let believed = self.believed.is_none_or(near) || self.doubted.is_some_and(near);
        if believed {
            *self = Self { believed: Some(now), doubted: None };
        } else {
            self.doubted = Some(now);
        }
        believed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{draft, make, qualities, refused, run, v};
    use Quality::{Ok, Rejected};

    fn seconds(values: &[f64]) -> Vec<Draft> {
        values.iter().zip(0_u64..).map(|(value, second)| v(second * 1000, *value)).collect()
    }

    #[test]
    fn a_leap_and_back_is_marked_alone() {
        let mut it = make::<Rate>(json!({ "field": "v", "most": 2 }));
        let got = qualities(&mut it, seconds(&[20.0, 22.0, 85.0, 23.0, 22.9]));
        assert_eq!(got, [Ok, Ok, Rejected, Ok, Ok]);
    }

    #[test]
    fn a_true_step_is_believed_when_the_next_value_confirms_it() {
        let mut it = make::<Rate>(json!({ "field": "v", "most": 0.5 }));
        let got = qualities(&mut it, seconds(&[20.0, 60.0, 60.2, 60.1, 20.0, 90.0, 90.0]));
        assert_eq!(got, [Ok, Rejected, Ok, Ok, Rejected, Rejected, Ok]);
    }

    #[test]
    fn the_time_between_readings_counts() {
        let mut it = make::<Rate>(json!({ "field": "v", "most": 6, "per": "1m" }));
        let got = qualities(&mut it, [v(0, 0.0), v(10_000, 1.0), v(20_000, 2.1), v(80_000, 7.0)]);
        assert_eq!(got, [Ok, Ok, Rejected, Ok]);
    }

    #[test]
    fn a_missing_value_changes_nothing() {
        let mut it = make::<Rate>(json!({ "field": "v", "most": 1 }));
        let mut missing = Frame::default();
        missing.missing("v", "crc");
        run(&mut it, v(0, 0.0));
        assert_eq!(run(&mut it, draft("x", 500, missing.clone())), missing);
        assert_eq!(qualities(&mut it, [v(1000, 9.0)]), [Rejected]);
    }

    #[test]
    fn no_change_at_all_is_refused() {
        assert!(refused::<Rate>(json!({ "field": "v", "most": 0 })).contains("above 0"));
        assert!(refused::<Rate>(json!({ "field": "v", "most": 1, "per": "0s" })).contains("above 0"));
    }

    #[test]
    fn a_sensor_that_is_forgotten_begins_anew() {
        let mut it = make::<Rate>(json!({ "field": "v", "most": 1 }));
        run(&mut it, v(0, 0.0));
        it.forget(&v(0, 0.0).sensor);
        assert_eq!(qualities(&mut it, [v(1000, 9.0)]), [Ok]);
    }
}
