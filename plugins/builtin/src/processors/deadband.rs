//! Reports on change: holds a reading back in which nothing moved enough since the last one that passed.
//!
//! ```toml
//! kind = "deadband"
//! sensors = ["freezer"]
//! field = "temperature"
//! change = 0.5
//! heartbeat = "10m"
//! ```
//!
//! With both `change` and `percent` either is enough; with neither, any change. A value that goes missing or comes back, a
//! mark that changes, a text or a switch that changes: all pass. It stands behind those that judge: they see every reading,
//! and values are rounded by then. Where a [`limit`](super::limit) holds back too it should come first, because what a later
//! one holds back counts as reported here. A sensor that is held back has no cadence any more, or that of the `heartbeat`.

use sedge_plugin::prelude::*;

use super::common::{Fields, Memory, wrong};

/// Settings of a `kind = "deadband"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The field, or fields, whose movement counts. All, unless given. A sensor that has none of them is left alone.
    #[serde(default)]
    field: Fields,
    /// Enough movement, in the field's unit.
    #[schemars(range(min = 0))]
    change: Option<f64>,
    /// Enough movement, in percent of the value that was reported last.
    #[schemars(range(min = 0))]
    percent: Option<f64>,
    /// A reading passes after this time, whether or not it moved.
    heartbeat: Option<Every>,
}

/// The last reading that passed.
#[derive(Debug)]
struct Reported {
    up_ms: u64,
    frame: Frame,
}

/// Reports on change.
pub struct Deadband {
    settings: Settings,
    reported: Memory<Option<Reported>>,
}

impl Processor for Deadband {
    const KIND: &'static str = "deadband";
    const TITLE: &'static str = "Holds back readings that hardly differ from the last one";
    const STAGE: Stage = Stage::Admit;
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        if [settings.change, settings.percent].into_iter().flatten().any(|n| n < 0.0) {
            return Err(wrong("`change` and `percent` are not negative"));
        }
        Ok(Self { settings, reported: Memory::default() })
    }

    fn describe(&mut self, sensor: &mut SensorDescriptor) {
        if sensor.fields.keys().any(|field| self.settings.field.has(field.as_str())) {
            let beat = self.settings.heartbeat.map(|Every(beat)| beat);
            sensor.interval = sensor.interval.zip(beat).map(|(interval, beat)| interval.max(beat));
        }
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let (up_ms, frame) = (draft.taken.up_ms, &draft.frame);
        let reported = self.reported.of(&draft.sensor);
        if reported.as_ref().is_some_and(|last| !self.settings.passes(last, up_ms, frame)) {
            return Ok(Step::Veto("unchanged".into()));
        }
        *reported = Some(Reported { up_ms, frame: frame.clone() });
        Ok(Step::Pass)
    }

    fn forget(&mut self, sensor: &Id) {
        self.reported.forget(sensor);
    }
}

impl Settings {
    fn passes(&self, last: &Reported, up_ms: u64, frame: &Frame) -> bool {
        let beat = self.heartbeat.map(|Every(time)| time.as_millis());
        if beat.is_some_and(|beat| u128::from(up_ms.saturating_sub(last.up_ms)) >= beat) {
            return true;
        }
        let (now, before) = (self.chosen(frame), self.chosen(&last.frame));
        now.is_empty()
            || now.len() != before.len()
            || now.iter().zip(before).any(|(now, before)| self.moved(before, now))
    }

    fn chosen<'a>(&self, frame: &'a Frame) -> Vec<&'a Sample> {
        frame.samples.iter().filter(|sample| self.field.has(&sample.field)).collect()
    }

    fn moved(&self, before: &Sample, now: &Sample) -> bool {
        if now.field != before.field || now.quality != before.quality {
            return true;
        }
        let (Some(a), Some(b)) = (before.number(), now.number()) else { return now.value != before.value };
        // 0.3 - 0.2 is a little less than 0.1.
        let moved = (b - a).abs() * (1.0 + 1e-9);
        let limits = [self.change, self.percent.map(|percent| a.abs() * percent / 100.0)];
        let least = limits.into_iter().flatten().reduce(f64::min).unwrap_or(0.0);
        moved > 0.0 && moved >= least
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{draft, frame, make, passed, refused, v};

    #[test]
    fn the_first_passes_then_only_what_moved_enough_since_the_last_that_passed() {
        let mut it = make::<Deadband>(json!({ "change": 0.1 }));
        let curve = [0.2, 0.25, 0.29, 0.3, 0.25, 0.1].map(|n| v(0, n));
        assert_eq!(passed(&mut it, curve), [true, false, false, true, false, true]);
    }

    #[test]
    fn a_share_counts_of_what_was_reported_last_and_either_limit_is_enough() {
        let mut share = make::<Deadband>(json!({ "percent": 10 }));
        assert_eq!(
            passed(&mut share, [100.0, 109.0, 110.0, 120.0, 121.0].map(|n| v(0, n))),
            [true, false, true, false, true]
        );
        let mut either = make::<Deadband>(json!({ "percent": 10, "change": 1 }));
        assert_eq!(
            passed(&mut either, [100.0, 100.5, 101.0, 1.0, 1.1].map(|n| v(0, n))),
            [true, false, true, true, true]
        );
    }

    #[test]
    fn without_a_limit_any_change_passes() {
        let mut it = make::<Deadband>(json!({}));
        assert_eq!(passed(&mut it, [1.0, 1.0, 1.000_1].map(|n| v(0, n))), [true, false, true]);
    }

    #[test]
    fn after_the_heartbeat_one_passes_whatever_it_says() {
        let mut it = make::<Deadband>(json!({ "change": 1, "heartbeat": "10m" }));
        let beats = [0, 599_999, 600_000, 600_001, 1_200_000].map(|up_ms| v(up_ms, 5.0));
        assert_eq!(passed(&mut it, beats), [true, false, true, false, true]);
    }

    #[test]
    fn one_field_that_moved_is_enough_and_a_field_that_is_not_chosen_is_not() {
        let both = |a, b| draft("x", 0, frame(&[("a", a), ("b", b)]));
        let mut all = make::<Deadband>(json!({ "change": 1 }));
        assert_eq!(passed(&mut all, [both(0.0, 0.0), both(0.0, 1.0), both(0.5, 1.5)]), [true, true, false]);
        let mut one = make::<Deadband>(json!({ "field": "a", "change": 1 }));
        assert_eq!(passed(&mut one, [both(0.0, 0.0), both(0.0, 9.0), both(1.0, 9.0)]), [true, false, true]);
        let mut none = make::<Deadband>(json!({ "field": "c", "change": 1 }));
        assert_eq!(passed(&mut none, [both(0.0, 0.0), both(0.0, 0.0)]), [true, true], "left alone");
    }

    #[test]
    fn going_missing_coming_back_and_another_mark_pass_once() {
        let mut it = make::<Deadband>(json!({ "change": 1 }));
        let mut missing = Frame::default();
        missing.missing("v", "crc");
        let mut marked = frame(&[("v", 1.0)]);
        marked.samples[0].quality = Quality::Stale;
        let frames =
            [frame(&[("v", 1.0)]), missing.clone(), missing, frame(&[("v", 1.0)]), marked.clone(), marked];
        let drafts = frames.map(|frame| draft("x", 0, frame));
        assert_eq!(passed(&mut it, drafts), [true, true, false, true, true, false]);
    }

    #[test]
    fn a_switch_and_a_text_pass_on_change() {
        let mut it = make::<Deadband>(json!({ "change": 1000 }));
        let drafts = [(false, "a"), (false, "a"), (true, "a"), (true, "b")].map(|(on, text)| {
            let mut frame = Frame::default();
            frame.push("on", on);
            frame.push("mode", text);
            draft("x", 0, frame)
        });
        assert_eq!(passed(&mut it, drafts), [true, false, true, true]);
    }

    #[test]
    fn a_negative_limit_is_refused() {
        assert!(refused::<Deadband>(json!({ "change": -1 })).contains("negative"));
    }

    #[test]
    fn a_sensor_that_is_forgotten_begins_anew() {
        let mut it = make::<Deadband>(json!({ "change": 1 }));
        assert_eq!(passed(&mut it, [v(0, 1.0), v(0, 1.0)]), [true, false]);
        it.forget(&v(0, 1.0).sensor);
        assert_eq!(passed(&mut it, [v(0, 1.0), v(0, 1.0)]), [true, false]);
    }

    #[test]
    fn the_cadence_is_that_of_the_heartbeat_or_none() {
        const FIELDS: &[Field] = &[Field::new("v", Unit::Volt)];
        let interval = |settings, every: Option<u64>| {
            let mut sensor = SensorDescriptor::new(v(0, 0.0).sensor, "x", "1", "here", FIELDS);
            sensor.interval = every.map(Duration::from_secs);
            make::<Deadband>(settings).describe(&mut sensor);
            sensor.interval.map(|interval| interval.as_secs())
        };
        assert_eq!(interval(json!({}), Some(10)), None);
        assert_eq!(interval(json!({ "heartbeat": "10m" }), Some(10)), Some(600));
        assert_eq!(
            interval(json!({ "heartbeat": "1s" }), Some(10)),
            Some(10),
            "it comes no sooner than it is read"
        );
        assert_eq!(interval(json!({ "heartbeat": "10m" }), None), None, "one that tells by itself");
        assert_eq!(interval(json!({ "field": "w" }), Some(10)), Some(10), "left alone");
    }
}
