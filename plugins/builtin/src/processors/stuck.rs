//! Judges whether a field still moves: a number that stays exactly the same for too long is marked `stuck`.
//!
//! ```toml
//! kind = "stuck"
//! sensors = ["river"]
//! field = "level"
//! after = "1h"
//! ```
//!
//! With both `after` and `readings` the first that is reached counts. The mark goes when the value moves. Values are rounded
//! before they are judged: choose a time in which the last decimal moves. A missing value neither counts nor begins anew.

use sedge_plugin::prelude::*;

use super::common::{Fields, Memory, PerField, change, mark, wrong};

/// Settings of a `kind = "stuck"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field, or fields. All numbers, unless given.
    #[serde(default)]
    field: Fields,
    /// Stuck when the value has been the same for this time.
    after: Option<Every>,
    /// Stuck when so many readings in a row had the same value; at least 2.
    #[schemars(range(min = 2))]
    readings: Option<u32>,
}

/// A value, since when, and how often in a row.
#[derive(Debug, Default)]
struct Same {
    value: Option<f64>,
    since_ms: u64,
    readings: u32,
}

/// Judges whether fields still move.
pub struct Stuck {
    settings: Settings,
    same: Memory<PerField<Same>>,
}

impl Processor for Stuck {
    const KIND: &'static str = "stuck";
    const TITLE: &'static str = "Marks values that have not moved for too long";
    const STAGE: Stage = Stage::Validate;
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        match (settings.after, settings.readings) {
            (None, None) => Err(wrong("give `after`, `readings` or both")),
            (Some(Every(after)), _) if after.is_zero() => Err(wrong("`after` is above 0")),
            (_, Some(0 | 1)) => Err(wrong("`readings` is at least 2")),
            _ => Ok(Self { settings, same: Memory::default() }),
        }
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let Settings { field, after, readings } = &self.settings;
        let (up_ms, same) = (draft.taken.up_ms, self.same.of(&draft.sensor));
        Ok(change(draft, field, |sample| {
            let Some(n) = sample.number() else { return false };
            let same = same.of(&sample.field);
            if same.value != Some(n) {
                *same = Same { value: Some(n), since_ms: up_ms, readings: 0 };
            }
            same.readings = same.readings.saturating_add(1);
            let lasted = u128::from(up_ms.saturating_sub(same.since_ms));
            let stuck = after.is_some_and(|Every(after)| lasted >= after.as_millis())
                || readings.is_some_and(|readings| same.readings >= readings);
            stuck && mark(sample, Quality::Stuck)
        }))
    }

    fn forget(&mut self, sensor: &Id) {
        self.same.forget(sensor);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{draft, make, qualities, refused, run, v};
    use Quality::{Ok, Stuck as StuckMark};

    #[test]
    fn a_value_is_stuck_after_the_time_and_well_when_it_moves() {
        let mut it = make::<Stuck>(json!({ "after": "10m" }));
        let curve = [(0, 1.0), (60_000, 2.0), (659_999, 2.0), (660_000, 2.0), (700_000, 2.0), (710_000, 2.1)];
        let got = qualities(&mut it, curve.map(|(up_ms, n)| v(up_ms, n)));
        assert_eq!(got, [Ok, Ok, Ok, StuckMark, StuckMark, Ok]);
    }

    #[test]
    fn a_value_is_stuck_after_so_many_readings() {
        let mut it = make::<Stuck>(json!({ "field": "v", "readings": 3 }));
        let got = qualities(&mut it, [5.0, 5.0, 5.0, 6.0, 6.0].map(|n| v(0, n)));
        assert_eq!(got, [Ok, Ok, StuckMark, Ok, Ok]);
    }

    #[test]
    fn a_missing_value_neither_counts_nor_begins_anew() {
        let mut it = make::<Stuck>(json!({ "readings": 2 }));
        let mut missing = Frame::default();
        missing.missing("v", "crc");
        run(&mut it, v(0, 5.0));
        assert_eq!(run(&mut it, draft("x", 0, missing.clone())), missing);
        assert_eq!(qualities(&mut it, [v(0, 5.0)]), [StuckMark]);
    }

    #[test]
    fn a_switch_may_stay_as_it_is() {
        let mut it = make::<Stuck>(json!({ "readings": 2 }));
        let mut frame = Frame::default();
        frame.push("on", true);
        for _ in 0..9 {
            assert_eq!(run(&mut it, draft("x", 0, frame.clone())), frame);
        }
    }

    #[test]
    fn it_wants_a_limit() {
        for settings in [json!({}), json!({ "readings": 1 }), json!({ "after": "0s" })] {
            refused::<Stuck>(settings);
        }
    }

    #[test]
    fn a_sensor_that_is_forgotten_begins_anew() {
        let mut it = make::<Stuck>(json!({ "readings": 2 }));
        run(&mut it, v(0, 5.0));
        it.forget(&v(0, 0.0).sensor);
        assert_eq!(qualities(&mut it, [v(0, 5.0), v(0, 5.0)]), [Ok, StuckMark]);
    }
}
