//! Sums up readings per field and time: `mean:1m` is a row per minute, field and sensor.
//!
//! ```
//! use sedge_plugins::history::aggregate::{Aggregation, Function};
//! let aggregation: Aggregation = "mean:1m".parse().unwrap();
//! assert_eq!(aggregation.function, Function::Mean);
//! ```
//!
//! The times begin at whole multiples since 1970. A value that is missing or was rejected by a validator is not part of a row; on
//! counts as 1 and off as 0; texts can be counted, and be the first or the last.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use sedge_plugin::clock::rfc3339;
use sedge_plugin::{Id, Quality, Reading, Value, duration};
use serde_json::{Value as Json, json};

/// Cells that are open at a time; beyond it the oldest time is closed. A reading that comes later than that makes a row of its own.
const MOST_OPEN: usize = 10_000;

/// What is said of the values of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Their mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The one that was accepted first.
    First,
    /// The one that was accepted last.
    Last,
    /// How many there are.
    Count,
    /// Their sum.
    Sum,
}

const FUNCTIONS: [(&str, Function); 7] = [
    ("mean", Function::Mean),
    ("min", Function::Min),
    ("max", Function::Max),
    ("first", Function::First),
    ("last", Function::Last),
    ("count", Function::Count),
    ("sum", Function::Sum),
];

/// A function over times of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aggregation {
    /// What is said.
    pub function: Function,
    /// How long each time is.
    pub every: Duration,
}

impl FromStr for Aggregation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = FUNCTIONS.map(|(word, _)| word).join(", ");
        let wrong = || format!("`{text}`: write one of {words} with a time, such as \"mean:1m\"");
        let (word, every) = text.split_once(':').ok_or_else(wrong)?;
        let (_, function) = FUNCTIONS.into_iter().find(|(name, _)| *name == word).ok_or_else(wrong)?;
        let every = duration::parse(every).map_err(|error| error.to_string())?;
        if every < Duration::from_millis(1) {
            return Err(wrong());
        }
        Ok(Self { function, every })
    }
}

impl Function {
    /// The word of it.
    pub fn word(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, function)| *function == self).map_or("", |(word, _)| word)
    }
}

/// What is said of one field and one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The sensor.
    pub sensor: Id,
    /// The field.
    pub field: String,
    /// Where the time begins, in milliseconds since 1970.
    pub from_ms: i64,
    /// What is said.
    pub value: Value,
    /// How many values it is said of.
    pub count: u64,
}

impl Row {
    /// For a program.
    pub fn json(&self) -> Json {
        json!({
            "sensor": self.sensor, "field": self.field, "from": rfc3339(self.from_ms),
            "value": plain(&self.value), "count": self.count,
        })
    }
}

/// A whole number without its `.0`.
fn plain(value: &Value) -> Json {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within what is exact")]
        Value::Number(n) if n.fract() == 0.0 && n.abs() < 1e15 => json!(*n as i64),
        value => json!(value),
    }
}

/// The times that are not complete yet.
#[derive(Debug)]
pub struct Buckets {
    aggregation: Aggregation,
    open: BTreeMap<i64, BTreeMap<(Id, String), Cell>>,
    cells: usize,
}

#[derive(Debug)]
struct Cell {
    count: u64,
    numbers: u64,
    sum: f64,
    min: f64,
    max: f64,
    first: Value,
    last: Value,
}

impl Buckets {
    /// None yet.
    pub fn new(aggregation: Aggregation) -> Self {
        Self { aggregation, open: BTreeMap::new(), cells: 0 }
    }

    /// Adds a reading. One whose time is not known belongs to no row. Returns the rows that it closes.
    pub fn add(&mut self, reading: &Reading) -> Vec<Row> {
        let Some(at) = reading.taken.wall_ms else { return Vec::new() };
        let every = i64::try_from(self.aggregation.every.as_millis()).unwrap_or(i64::MAX);
        let cells = self.open.entry(at.saturating_sub(at.rem_euclid(every))).or_default();
        for sample in reading.frame.samples.iter().filter(|sample| sample.quality != Quality::Rejected) {
            let Ok(value) = &sample.value else { continue };
            let cell = cells.entry((reading.sensor.clone(), sample.field.to_string()));
            if matches!(cell, std::collections::btree_map::Entry::Vacant(_)) {
                self.cells += 1;
            }
            cell.or_insert_with(|| Cell::new(value)).add(value);
        }
        let mut closed = Vec::new();
        while self.cells > MOST_OPEN
            && let Some((from_ms, cells)) = self.open.pop_first()
        {
            self.cells -= cells.len();
            closed.extend(rows(self.aggregation.function, from_ms, cells));
        }
        closed
    }

    /// What is left, in the order of time.
    pub fn finish(self) -> Vec<Row> {
        let function = self.aggregation.function;
        self.open.into_iter().flat_map(|(from_ms, cells)| rows(function, from_ms, cells)).collect()
    }
}

fn rows(function: Function, from_ms: i64, cells: BTreeMap<(Id, String), Cell>) -> impl Iterator<Item = Row> {
    cells.into_iter().filter_map(move |((sensor, field), cell)| {
        let count = cell.count;
        Some(Row { sensor, field, from_ms, value: cell.value(function)?, count })
    })
}

impl Cell {
    fn new(first: &Value) -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { count: 0, numbers: 0, sum: 0.0, min, max, first: first.clone(), last: first.clone() }
    }

    fn add(&mut self, value: &Value) {
        self.count += 1;
        self.last.clone_from(value);
        let number = match value {
            Value::Number(n) => *n,
            Value::Bool(on) => f64::from(u8::from(*on)),
            Value::Text(_) => return,
        };
        self.numbers += 1;
        self.sum += number;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
    }

    /// None where there is no number to say it of.
    fn value(self, function: Function) -> Option<Value> {
        #[expect(clippy::cast_precision_loss, reason = "exact far beyond what a journal holds")]
        let number = |n: u64| n as f64;
        let of_numbers = |value: f64| (self.numbers > 0).then_some(Value::Number(value));
        match function {
            Function::Mean => of_numbers(self.sum / number(self.numbers)),
            Function::Min => of_numbers(self.min),
            Function::Max => of_numbers(self.max),
            Function::Sum => of_numbers(self.sum),
            Function::Count => Some(Value::Number(number(self.count))),
            Function::First => Some(self.first),
            Function::Last => Some(self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sedge_plugin::{Boot, Frame, Taken};

    use super::*;

    fn reading(wall_ms: Option<i64>, value: impl Into<Value>) -> Reading {
        let mut frame = Frame::default();
        frame.push("x", value);
        let taken = Taken { up_ms: 0, wall_ms };
        Reading { sensor: Id::new("a").unwrap(), boot: Boot(1), seq: 1, taken, frame, origin: None }
    }

    fn of(text: &str, readings: &[Reading]) -> Vec<(i64, Value, u64)> {
        let mut buckets = Buckets::new(text.parse().unwrap());
        let mut rows: Vec<Row> = readings.iter().flat_map(|reading| buckets.add(reading)).collect();
        rows.extend(buckets.finish());
        rows.into_iter().map(|row| (row.from_ms, row.value, row.count)).collect()
    }

    #[test]
    fn each_function_says_what_its_name_says() {
        let readings = [(1000, 3.0), (1500, 1.0), (1999, 5.0), (2000, 7.0)];
        let readings = readings.map(|(at, value)| reading(Some(at), value));
        for (word, value) in [
            ("mean", 3.0),
            ("min", 1.0),
            ("max", 5.0),
            ("first", 3.0),
            ("last", 5.0),
            ("count", 3.0),
            ("sum", 9.0),
        ] {
            let rows = of(&format!("{word}:1s"), &readings);
            assert_eq!(rows[0], (1000, Value::Number(value), 3), "{word}");
            assert_eq!((rows.len(), rows[1].0), (2, 2000), "{word}");
        }
    }

    #[test]
    fn what_is_missing_rejected_or_of_unknown_time_is_no_part_of_a_row() {
        let mut rejected = reading(Some(0), 100.0);
        rejected.frame.samples[0].quality = Quality::Rejected;
        let readings = [reading(Some(0), 1.0), reading(None, 50.0), reading(Some(0), f64::NAN), rejected];
        assert_eq!(of("max:1s", &readings), [(0, Value::Number(1.0), 1)]);
    }

    #[test]
    fn on_is_one_and_a_text_has_no_mean() {
        assert_eq!(
            of("mean:1s", &[reading(Some(0), true), reading(Some(1), false)]),
            [(0, Value::Number(0.5), 2)]
        );
        assert_eq!(of("mean:1s", &[reading(Some(0), "wet")]), []);
        assert_eq!(of("last:1s", &[reading(Some(0), "wet")]), [(0, Value::Text("wet".into()), 1)]);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_second_row() {
        let readings = [5000, 9000, 5500].map(|at| reading(Some(at), 1.0));
        assert_eq!(of("count:1s", &readings).iter().map(|row| row.0).collect::<Vec<_>>(), [5000, 9000]);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_left_out() {
        let mut buckets = Buckets::new("count:1ms".parse().unwrap());
        let mut count = 0;
        let all = MOST_OPEN as u64 + 500;
        for n in 0..all {
            let closed = buckets.add(&reading(Some(i64::try_from(n).unwrap()), 1.0));
            count += closed.iter().map(|row| row.count).sum::<u64>();
            assert!(buckets.cells <= MOST_OPEN);
        }
        assert_eq!(count, 500, "the oldest are closed");
        count += buckets.finish().iter().map(|row| row.count).sum::<u64>();
        assert_eq!(count, all);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,20}") {
            let _ = text.parse::<Aggregation>();
        }
    }
}
