//! Takes out of a reading what leaps further than it can.

use std::collections::BTreeMap;

use sedge_plugin::prelude::*;

/// Settings of a `kind = "spike"` processor. These comments are what `sedge plugin info spike` and editors show.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field.
    field: Name,
    /// How far it may leap from one reading to the next, in the field's unit.
    most: f64,
}

/// Takes out what leaps too far.
pub struct Spike {
    settings: Settings,
    /// By sensor: the last value that was believed, and the last one at all.
    last: BTreeMap<Id, (f64, f64)>,
}

impl Processor for Spike {
    const KIND: &'static str = "spike";
    const TITLE: &'static str = "Takes out values that leap too far";
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        // What a JSON Schema cannot say is said here: `sedge check` tells it, and the node runs on without this processor.
        if settings.most.is_nan() || settings.most <= 0.0 {
            return Err(PluginError::Settings("most: it must be above 0".into()));
        }
        Ok(Self { settings, last: BTreeMap::new() })
    }

    /// The sensor is gone, or came anew.
    fn forget(&mut self, sensor: &Id) {
        self.last.remove(sensor);
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let field = self.settings.field.as_str();
        let Some(&Value::Number(now)) = draft.frame.get(field) else { return Ok(Step::Pass) };
        let (believed, last) = *self.last.entry(draft.sensor.clone()).or_insert((now, now));
        // Near the last value that was believed; or near the last one at all: then it was a step, and no spike.
        let near = |other: f64| (now - other).abs() <= self.settings.most;
        if near(believed) || near(last) {
            self.last.insert(draft.sensor.clone(), (now, now));
            return Ok(Step::Pass);
        }
        self.last.insert(draft.sensor.clone(), (believed, now));
        // A missing value has a reason; a made-up one would be a lie.
        let mut next = draft.clone();
        for sample in next.frame.samples.iter_mut().filter(|sample| sample.field == field) {
            sample.value = Err("spike".into());
        }
        Ok(Step::Replace(next))
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::TestNode;
    use serde_json::json;

    use super::*;

    /// What becomes of the levels of a tank, one after the other. A `TestNode` needs no threads, no files and no time.
    fn levels(levels: &[f64]) -> Vec<Option<f64>> {
        let settings = serde_json::from_value(json!({ "field": "level", "most": 5.0 })).unwrap();
        let mut spike = Spike::new(settings, &TestNode::new().context("no-spikes")).unwrap();
        let mut level = |level: &f64| {
            let mut frame = Frame::default();
            frame.push("level", *level);
            let taken = Taken { up_ms: 0, wall_ms: None };
            let draft = Draft::new(Id::new("tank").unwrap(), taken, frame);
            match spike.process(&draft).unwrap() {
                Step::Pass => Some(*level),
                Step::Replace(next) => {
                    assert_eq!(next.frame.samples[0].value, Err("spike".into()));
                    None
                }
                Step::Veto(reason) => panic!("{reason}"),
            }
        };
        levels.iter().map(&mut level).collect()
    }

    #[test]
    fn a_leap_is_taken_out_and_what_comes_after_it_is_not() {
        assert_eq!(levels(&[40.0, 90.0, 41.0]), [Some(40.0), None, Some(41.0)]);
    }

    #[test]
    fn a_step_is_believed_when_the_next_reading_confirms_it() {
        assert_eq!(levels(&[40.0, 90.0, 91.0]), [Some(40.0), None, Some(91.0)]);
    }
}
