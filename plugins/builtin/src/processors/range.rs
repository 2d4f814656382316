//! Judges a field by its range: what is outside is marked `out_of_range`, or the whole reading is rejected.
//!
//! ```toml
//! kind = "range"
//! sensors = ["fridge"]
//! field = "temperature"
//! min = -30.0
//! max = 30.0
//! ```
//!
//! For what is credible where the sensor hangs; what the device can measure is judged without it. The value is kept.

use sedge_plugin::prelude::*;

use super::common::{Fields, change, mark, wrong};

/// Settings of a `kind = "range"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field, or fields.
    field: Fields,
    /// The lowest credible value, in the field's unit.
    min: Option<f64>,
    /// The highest credible value, in the field's unit.
    max: Option<f64>,
    /// Whether all fields of such a reading are marked `rejected` instead.
    #[serde(default)]
    reject: bool,
}

/// Judges fields by their range.
pub struct Range(Settings);

impl Processor for Range {
    const KIND: &'static str = "range";
    const TITLE: &'static str = "Marks values outside of a range";
    const STAGE: Stage = Stage::Validate;
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        match (settings.min, settings.max) {
            (None, None) => Err(wrong("give `min`, `max` or both")),
            (Some(min), Some(max)) if min > max => Err(wrong(format!("`min`, {min}, is above `max`, {max}"))),
            _ => Ok(Self(settings)),
        }
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let Settings { field, min, max, reject } = &self.0;
        let outside = |n: f64| min.is_some_and(|min| n < min) || max.is_some_and(|max| n > max);
        let mut samples = draft.frame.samples.iter().filter(|sample| field.has(&sample.field));
        let found =
            samples.find_map(|sample| Some((&sample.field, sample.number().filter(|n| outside(*n))?)));
        Ok(match found {
            None => Step::Pass,
            Some((field, n)) if *reject => Step::Veto(format!("`{field}` is {n}, out of range")),
            Some(_) => change(draft, field, |sample| {
                sample.number().is_some_and(outside) && mark(sample, Quality::OutOfRange)
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{draft, frame, make, qualities, refused, run, v};

    #[test]
    fn what_is_outside_is_marked_and_kept() {
        use Quality::{Ok, OutOfRange};
        let mut it = make::<Range>(json!({ "field": "v", "min": -5, "max": 30 }));
        let drafts = [-5.1, -5.0, 30.0, 30.1].map(|n| v(0, n));
        assert_eq!(qualities(&mut it, drafts), [OutOfRange, Ok, Ok, OutOfRange]);
        assert_eq!(run(&mut it, v(0, 99.0)).samples[0].number(), Some(99.0));
        let mut open = make::<Range>(json!({ "field": "v", "max": 30 }));
        assert_eq!(qualities(&mut open, [v(0, -1e9), v(0, 31.0)]), [Ok, OutOfRange]);
    }

    #[test]
    fn other_fields_and_marks_of_others_stay() {
        let mut it = make::<Range>(json!({ "field": ["v", "u"], "max": 0 }));
        let mut before = frame(&[("v", 1.0), ("w", 1.0), ("u", 1.0)]);
        before.samples[0].quality = Quality::Stuck;
        let after = run(&mut it, draft("x", 0, before.clone()));
        assert_eq!(after.samples[..2], before.samples[..2]);
        assert_eq!(after.samples[2].quality, Quality::OutOfRange);
    }

    #[test]
    fn a_reading_is_rejected_where_that_is_asked_for() {
        let mut it = make::<Range>(json!({ "field": "v", "max": 30, "reject": true }));
        assert_eq!(it.process(&v(0, 31.0)), Ok(Step::Veto("`v` is 31, out of range".into())));
        assert_eq!(it.process(&v(0, 30.0)), Ok(Step::Pass));
    }

    #[test]
    fn a_range_has_an_end_and_its_ends_in_order() {
        assert!(refused::<Range>(json!({ "field": "v" })).contains("`min`"));
        assert!(refused::<Range>(json!({ "field": "v", "min": 2, "max": 1 })).contains("above"));
    }
}
