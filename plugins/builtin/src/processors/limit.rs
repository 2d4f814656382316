//! Limits how often readings come: the first in each span of time passes, the others are held back.
//!
//! ```toml
//! kind = "limit"
//! sensors = ["wind"]
//! every = "1m"
//! ```
//!
//! Spans follow one another without gaps, counted from the machine's start, so that readings that come a little early or
//! late are not taken for two. Those that judge see every reading, it counts what is left; the cadence of its sensors
//! becomes the span. It does not average: [`smooth`](super::smooth) does that.

use std::time::Duration;

use sedge_plugin::prelude::*;

use super::common::{Memory, wrong};

/// Settings of a `kind = "limit"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The span of time in which one reading passes.
    every: Every,
}

/// Limits how often readings come.
pub struct Limit {
    span_ms: u64,
    /// The span in which a reading passed last.
    last: Memory<Option<u64>>,
}

impl Processor for Limit {
    const KIND: &'static str = "limit";
    const TITLE: &'static str = "Lets one reading pass per span of time";
    const STAGE: Stage = Stage::Admit;
    type Config = Settings;

    fn new(Settings { every: Every(span) }: Settings, _: &Context) -> Result<Self, PluginError> {
        match u64::try_from(span.as_millis()) {
            Ok(span_ms) if span_ms > 0 => Ok(Self { span_ms, last: Memory::default() }),
            _ => Err(wrong("`every` is at least a millisecond")),
        }
    }

    /// One that tells by itself has no cadence to begin with.
    fn describe(&mut self, sensor: &mut SensorDescriptor) {
        let span = Duration::from_millis(self.span_ms);
        sensor.interval = sensor.interval.map(|interval| interval.max(span));
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let span = Some(draft.taken.up_ms / self.span_ms);
        let again = std::mem::replace(self.last.of(&draft.sensor), span) == span;
        Ok(if again { Step::Veto("another one passed just now".into()) } else { Step::Pass })
    }

    fn forget(&mut self, sensor: &Id) {
        self.last.forget(sensor);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{draft, make, passed, refused, v};

    #[test]
    fn the_first_in_each_span_passes() {
        let mut it = make::<Limit>(json!({ "every": "1m" }));
        let times = [5_000, 15_000, 59_999, 60_000, 119_000, 200_000].map(|up_ms| v(up_ms, 0.0));
        assert_eq!(passed(&mut it, times), [true, false, false, true, false, true]);
    }

    #[test]
    fn readings_that_come_a_little_early_or_late_are_one_per_span() {
        let mut it = make::<Limit>(json!({ "every": "1m" }));
        let jitter = (0..360_u64).map(|n| v(25_000 + n * 10_000 + (n * 7919) % 900, 0.0));
        assert_eq!(passed(&mut it, jitter).into_iter().filter(|passes| *passes).count(), 61);
    }

    #[test]
    fn every_sensor_has_its_own_limit() {
        let mut it = make::<Limit>(json!({ "every": "1m" }));
        assert_eq!(passed(&mut it, [v(0, 0.0), draft("y", 0, Frame::default())]), [true, true]);
    }

    #[test]
    fn no_time_at_all_is_refused() {
        assert!(refused::<Limit>(json!({ "every": "0s" })).contains("millisecond"));
    }

    #[test]
    fn a_sensor_that_is_forgotten_begins_anew() {
        let mut it = make::<Limit>(json!({ "every": "1m" }));
        assert_eq!(passed(&mut it, [v(0, 0.0), v(1, 0.0)]), [true, false]);
        it.forget(&v(0, 0.0).sensor);
        assert_eq!(passed(&mut it, [v(2, 0.0), v(3, 0.0)]), [true, false]);
    }

    #[test]
    fn the_cadence_is_no_shorter_than_the_span() {
        let interval = |every: Option<u64>| {
            let mut sensor = SensorDescriptor::new(v(0, 0.0).sensor, "x", "1", "here", &[]);
            sensor.interval = every.map(Duration::from_secs);
            make::<Limit>(json!({ "every": "1m" })).describe(&mut sensor);
            sensor.interval.map(|interval| interval.as_secs())
        };
        assert_eq!((interval(Some(10)), interval(Some(90)), interval(None)), (Some(60), Some(90), None));
    }
}
