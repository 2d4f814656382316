//! `sedge readings query`: what the journal of the node on this machine still has.

use std::collections::VecDeque;

use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::clock::rfc3339;
use sedge_plugin::journal::Entry;
use sedge_plugin::{Clock, Id, Reading, Value};
use sedge_plugins::history::aggregate::{Aggregation, Buckets, Row};
use sedge_plugins::history::query::{Query, moment};

use super::out::Out;
use crate::cli::{Global, QueryArgs, TimeArgs};
use crate::commands::stored::{Stored, Units};
use crate::exit::Failure;
use crate::show;

/// Prints readings, or what they sum up to.
pub async fn query(global: &Global, args: &QueryArgs) -> Result<(), Failure> {
    let query = meant(&args.sensors, &args.fields, &args.time)?;
    let agg: Option<Aggregation> = args
        .agg
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| Failure::Usage(format!("--agg {error}")))?;
    let stored = Stored::find(global).await?;
    let units = stored.units().await;
    let view = View { node: &stored.node, units: &units, json: global.json, agg };
    let mut lines = Lines { out: Out::stdout(), limit: args.limit, newest: VecDeque::new(), left_out: 0 };
    let mut buckets = agg.map(Buckets::new);
    let untimed = query
        .each(&stored.history()?, |entry| match &mut buckets {
            Some(buckets) => {
                buckets.add(&entry.reading).iter().try_for_each(|row| lines.print(|| view.row(row)))
            }
            None => lines.print(|| view.reading(&entry)),
        })
        .await?;
    for row in buckets.map(Buckets::finish).into_iter().flatten() {
        lines.print(|| view.row(&row))?;
    }
    let left_out = lines.left_out;
    lines.end()?;
    tell_untimed(untimed);
    if left_out > 0 && !global.json {
        show::complain(format_args!("{left_out} older ones are not shown"));
    }
    Ok(())
}

/// What the words of the command line mean.
pub(super) fn meant(sensors: &[String], fields: &[String], time: &TimeArgs) -> Result<Query, Failure> {
    let sensors: Result<Vec<Id>, _> = sensors.iter().map(|sensor| Id::new(sensor)).collect();
    let now = sedge_hal::SystemClock.wall_ms();
    let at = |name: &str, text: &Option<String>| {
        let at = text.as_deref().map(|text| moment(text, now)).transpose();
        at.map_err(|error| Failure::Usage(format!("--{name} {error}")))
    };
    Ok(Query {
        sensors: sensors.map_err(|error| Failure::Usage(format!("sensor {error}")))?,
        fields: fields.to_vec(),
        since_ms: at("since", &time.since)?,
        until_ms: at("until", &time.until)?,
    })
}

/// A reading without a time is within none; that is not passed over in silence.
pub(super) fn tell_untimed(untimed: u64) {
    if untimed > 0 {
        show::complain(format_args!(
            "{untimed} readings whose time is not known are left out; without --since and --until they are shown"
        ));
    }
}

/// When a reading was taken, with its day; where that is not known, how long after the start of the machine.
pub(crate) fn when(reading: &Reading) -> String {
    let unknown = || {
        let seconds = std::time::Duration::from_millis(reading.taken.up_ms).as_secs_f64();
        format!("(time not known, {seconds:.1} s after a start)")
    };
    reading.taken.wall_ms.map_or_else(unknown, rfc3339)
}

/// How a line looks.
struct View<'a> {
    node: &'a Id,
    units: &'a Units,
    json: bool,
    agg: Option<Aggregation>,
}

impl View<'_> {
    fn reading(&self, Entry { reading, .. }: &Entry) -> String {
        let frame = ReadingFrame::from(reading.as_ref());
        if self.json {
            return show::json(self.node.as_str(), reading.sensor.as_str(), &frame).to_string();
        }
        let unit = |field: &str| self.units.of(&reading.sensor, field);
        format!("{} {} {}", when(reading), reading.sensor, show::fields(&frame, unit))
    }

    fn row(&self, row: &Row) -> String {
        if self.json {
            return row.json().to_string();
        }
        let function = self.agg.map_or("", |agg| agg.function.word());
        let unit = if function == "count" { "" } else { self.units.of(&row.sensor, &row.field) };
        let value = match &row.value {
            // A mean has digits that mean nothing.
            Value::Number(n) => format!("{}", (n * 1e6).round() / 1e6),
            value => value.to_string(),
        };
        let Row { sensor, field, from_ms, count, .. } = row;
        format!("{} {sensor} {function}({field})={value}{unit} ({count})", rfc3339(*from_ms))
    }
}

/// Lines on their way out; with a limit the newest are kept back until the end.
struct Lines {
    out: Out,
    limit: Option<usize>,
    newest: VecDeque<String>,
    left_out: u64,
}

impl Lines {
    fn print(&mut self, line: impl FnOnce() -> String) -> Result<(), Failure> {
        let Some(limit) = self.limit else { return self.out.line(&line()) };
        self.newest.push_back(line());
        if self.newest.len() > limit {
            self.newest.pop_front();
            self.left_out += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        self.newest.iter().try_for_each(|line| self.out.line(line))?;
        self.out.end()
    }
}
