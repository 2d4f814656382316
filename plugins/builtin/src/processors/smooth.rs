//! Smooths a field: the mean or the median of the last values, or an exponential average.
//!
//! ```toml
//! kind = "smooth"
//! sensors = ["tank"]
//! field = "level"
//! method = "median"
//! window = 5
//! ```
//!
//! The median throws single outliers away; an exponential average (`method = "exponential"`, with `alpha` or
//! `time_constant`) remembers one number instead of a window. A missing value stays missing: it neither counts nor begins
//! anew. It makes up no reading: every one gives one, the first included.

use std::collections::VecDeque;

use sedge_plugin::prelude::*;

use super::common::{Fields, Memory, PerField, change, wrong};

/// The longest window, in values.
const MAX_WINDOW: usize = 1000;

/// How values are made smooth.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Method {
    /// The mean of the last `window` values.
    Mean,
    /// The middle one of the last `window` values.
    Median,
    /// Each value counts by `alpha`, and what was before by the rest.
    Exponential,
}

/// Settings of a `kind = "smooth"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field, or fields. All numbers, unless given.
    #[serde(default)]
    field: Fields,
    /// How.
    method: Method,
    /// `mean` and `median`: how many values, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    window: Option<usize>,
    /// `exponential`: how much the newest value counts, above 0 and up to 1.
    #[schemars(range(min = 0, max = 1))]
    alpha: Option<f64>,
    /// `exponential`: after this time a step has come through to 63 %, however often values come.
    time_constant: Option<Every>,
}

#[derive(Debug, Clone, Copy)]
enum Filter {
    Mean(usize),
    Median(usize),
    Alpha(f64),
    TimeConstant { seconds: f64 },
}

/// What is remembered of a field: the window, or the last average alone.
#[derive(Debug, Default)]
struct Past {
    values: VecDeque<f64>,
    up_ms: u64,
}

/// Smooths fields.
pub struct Smooth {
    fields: Fields,
    filter: Filter,
    past: Memory<PerField<Past>>,
}

impl Processor for Smooth {
    const KIND: &'static str = "smooth";
    const TITLE: &'static str = "Smooths a field by mean, median or exponential average";
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        let Settings { field: fields, method, window, alpha, time_constant } = settings;
        let filter = match (method, window, alpha, time_constant) {
            (Method::Exponential, None, Some(alpha), None) if alpha > 0.0 && alpha <= 1.0 => {
                Filter::Alpha(alpha)
            }
            (Method::Exponential, None, None, Some(Every(time))) if !time.is_zero() => {
                Filter::TimeConstant { seconds: time.as_secs_f64() }
            }
            (Method::Exponential, ..) => {
                return Err(wrong(
                    "`exponential` wants either `alpha`, above 0 and up to 1, or `time_constant`",
                ));
            }
            (_, Some(window @ 1..=MAX_WINDOW), None, None) => match method {
                Method::Median => Filter::Median(window),
                _ => Filter::Mean(window),
            },
            _ => return Err(wrong("`mean` and `median` want `window`, 1 to 1000 values, and nothing else")),
        };
        Ok(Self { fields, filter, past: Memory::default() })
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let past = self.past.of(&draft.sensor);
        Ok(change(draft, &self.fields, |sample| match sample.number() {
            Some(n) => {
                sample.set(self.filter.next(past.of(&sample.field), n, draft.taken.up_ms));
                true
            }
            None => false,
        }))
    }

    fn forget(&mut self, sensor: &Id) {
        self.past.forget(sensor);
    }
}

impl Filter {
    fn next(self, past: &mut Past, n: f64, up_ms: u64) -> f64 {
        let seconds = up_ms.saturating_sub(std::mem::replace(&mut past.up_ms, up_ms)) as f64 / 1000.0;
        match self {
            Self::Mean(window) => {
                let values = past.push(n, window);
                values.iter().sum::<f64>() / values.len() as f64
            }
            Self::Median(window) => median(past.push(n, window)),
            Self::Alpha(alpha) => past.average(n, alpha),
            Self::TimeConstant { seconds: constant } => past.average(n, 1.0 - (-seconds / constant).exp()),
        }
    }
}

impl Past {
    fn push(&mut self, n: f64, window: usize) -> &VecDeque<f64> {
        if self.values.len() >= window {
            self.values.pop_front();
        }
        self.values.push_back(n);
        &self.values
    }

    fn average(&mut self, n: f64, alpha: f64) -> f64 {
        let average = self.values.pop_front().map_or(n, |before| before + alpha * (n - before));
        self.values.push_back(average);
        average
    }
}

fn median(values: &VecDeque<f64>) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    low / 2.0 + high / 2.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{draft, frame, make, refused, run, v, values};

    #[test]
    fn the_mean_is_of_the_last_values_as_far_as_there_are_any() {
        let mut mean = make::<Smooth>(json!({ "method": "mean", "window": 3 }));
        let got = values(&mut mean, [3.0, 5.0, 7.0, 9.0, 2.0].map(|n| v(0, n)));
        assert_eq!(got, [3.0, 4.0, 5.0, 7.0, 6.0]);
    }

    #[test]
    fn the_median_throws_an_outlier_away() {
        let mut median = make::<Smooth>(json!({ "method": "median", "window": 3 }));
        let got = values(&mut median, [1.0, 3.0, 900.0, 2.0, 2.5].map(|n| v(0, n)));
        assert_eq!(got, [1.0, 2.0, 3.0, 3.0, 2.5]);
    }

    #[test]
    fn the_newest_value_counts_by_alpha() {
        let mut it = make::<Smooth>(json!({ "method": "exponential", "alpha": 0.25 }));
        assert_eq!(values(&mut it, [8.0, 0.0, 0.0].map(|n| v(0, n))), [8.0, 6.0, 4.5]);
    }

    #[test]
    fn after_the_time_constant_a_step_has_come_through_to_63_percent_however_often_values_come() {
        for steps in [1_u64, 7, 60] {
            let mut it = make::<Smooth>(json!({ "method": "exponential", "time_constant": "1m" }));
            let curve = (0..=steps).map(|n| v(5000 + n * 60_000 / steps, if n == 0 { 0.0 } else { 1.0 }));
            let last = *values(&mut it, curve).last().unwrap();
            assert!((last - 0.632_12).abs() < 1e-4, "{steps}: {last}");
        }
    }

    #[test]
    fn a_missing_value_stays_missing_and_neither_counts_nor_begins_anew() {
        let mut mean = make::<Smooth>(json!({ "method": "mean", "window": 3 }));
        let mut missing = Frame::default();
        missing.missing("v", "crc");
        values(&mut mean, [v(0, 3.0), v(0, 5.0)]);
        assert_eq!(run(&mut mean, draft("x", 0, missing.clone())), missing);
        assert_eq!(values(&mut mean, [v(0, 7.0)]), [5.0]);
    }

    #[test]
    fn sensors_and_fields_are_apart() {
        let mut mean = make::<Smooth>(json!({ "method": "mean", "window": 9 }));
        for n in [1.0, 3.0] {
            run(&mut mean, draft("x", 0, frame(&[("v", n), ("w", 10.0 * n)])));
        }
        assert_eq!(run(&mut mean, draft("y", 0, frame(&[("v", 7.0)]))), frame(&[("v", 7.0)]));
        let x = run(&mut mean, draft("x", 0, frame(&[("v", 2.0), ("w", 20.0)])));
        assert_eq!(x, frame(&[("v", 2.0), ("w", 20.0)]));
    }

    #[test]
    fn settings_that_do_not_belong_together_are_refused() {
        for settings in [
            json!({ "method": "mean" }),
            json!({ "method": "mean", "window": 0 }),
            json!({ "method": "median", "window": 1001 }),
            json!({ "method": "median", "window": 3, "alpha": 0.5 }),
            json!({ "method": "exponential" }),
            json!({ "method": "exponential", "alpha": 0 }),
            json!({ "method": "exponential", "alpha": 0.5, "time_constant": "1m" }),
            json!({ "method": "exponential", "time_constant": "0s" }),
        ] {
            assert!(refused::<Smooth>(settings.clone()).contains("want"), "{settings}");
        }
    }

    #[test]
    fn a_sensor_that_is_forgotten_begins_anew() {
        let mut mean = make::<Smooth>(json!({ "method": "mean", "window": 3 }));
        values(&mut mean, [v(0, 3.0)]);
        mean.forget(&v(0, 0.0).sensor);
        assert_eq!(values(&mut mean, [v(0, 5.0)]), [5.0]);
    }
}
