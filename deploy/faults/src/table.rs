//! What came of the runs, as a table that a person reads and that the documentation has.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::runs::Run;
use crate::stage::Outcome;

/// What is counted of a run, and added up over many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// How often something was broken.
    pub faults: u64,
    /// Different readings at the subscriber.
    pub readings: u64,
    /// Deliveries beyond them.
    pub duplicates: u64,
    /// Missing and named.
    pub named: u64,
    /// Missing at the end of a life, within what is stated.
    pub in_window: u64,
    /// Counted after a power cut, and there.
    pub at_most: u64,
    /// Taken by a broker that was killed.
    pub by_broker: u64,
    /// Missing, and nobody said so.
    pub silent: u64,
    /// Named and there.
    pub overstated: u64,
    /// Made up.
    pub invented: u64,
    /// Behind a later one.
    pub misordered: u64,
    /// The slowest recovery in milliseconds, where it was looked at.
    pub slowest_ms: Option<u64>,
}

impl Counts {
    /// What came of a run. How long a recovery took counts only where it is to be looked at.
    pub fn of(outcome: &Outcome, timed: bool) -> Self {
        let verdict = &outcome.verdict;
        let slowest = outcome.slowest.filter(|_| timed);
        Self {
            faults: outcome.faults,
            readings: verdict.readings,
            duplicates: verdict.duplicates,
            named: verdict.named,
            in_window: verdict.in_window,
            at_most: verdict.at_most,
            by_broker: verdict.by_broker,
            silent: verdict.silent.count,
            overstated: verdict.overstated,
            invented: verdict.invented.count,
            misordered: verdict.misordered.count,
            slowest_ms: slowest.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn add(&mut self, more: &Self) {
        self.faults += more.faults;
        self.readings += more.readings;
        self.duplicates += more.duplicates;
        self.named += more.named;
        self.in_window += more.in_window;
        self.at_most += more.at_most;
        self.by_broker += more.by_broker;
        self.silent += more.silent;
        self.overstated += more.overstated;
        self.invented += more.invented;
        self.misordered += more.misordered;
        self.slowest_ms = self.slowest_ms.max(more.slowest_ms);
    }
}

/// A scenario with what came of it.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The scenario.
    pub name: String,
    /// What was broken.
    pub what: String,
    /// All of its runs together.
    pub counts: Counts,
    /// Runs that broke a promise.
    pub broken: u64,
    /// Why it was left out.
    pub left_out: Option<String>,
}

impl Row {
    /// Nothing yet of this scenario.
    pub fn new(name: &str, what: &str) -> Self {
        Self { name: name.into(), what: what.into(), ..Self::default() }
    }

    /// Adds what came of a run. What was left out once may have run elsewhere.
    pub fn add(&mut self, run: &Run) {
        self.left_out.clone_from(&run.left_out);
        self.counts.add(&run.counts);
        self.broken += u64::from(!run.complaints.is_empty());
    }

    /// Whether it ran and every promise was kept.
    pub fn is_kept(&self) -> bool {
        self.broken == 0 && self.left_out.is_none()
    }

    /// As a line of the table.
    pub fn line(&self) -> String {
        let Self { name, what, .. } = self;
        if let Some(why) = self.left_out.as_ref().filter(|_| self.counts.faults == 0) {
            return format!("| `{name}` | {what} | left out: {why} | | | | | | | | | | | |");
        }
        let Counts { faults, readings, duplicates, named, in_window, at_most, by_broker, .. } = &self.counts;
        let Counts { silent, invented, misordered, slowest_ms, .. } = &self.counts;
        let slowest = slowest_ms.map_or(String::new(), |ms| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10));
        let kept =
            if self.broken == 0 { "kept".into() } else { format!("**broken in {} runs**", self.broken) };
        format!(
            "| `{name}` | {what} | {faults} | {readings} | {duplicates} | {named} | {in_window} | {at_most} | {by_broker} \
             | {silent} | {invented} | {misordered} | {slowest} | {kept} |"
        )
    }
}

/// What a table begins with.
pub const HEAD: &str = "\
| scenario | what is broken | faults | readings | duplicates | lost, named | lost in the stated window | counted, and there \
| lost by the broker | lost silently | invented | out of order | slowest recovery | |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// The page, of all the runs that are given.
pub fn page(rows: &[Row], runs: &[Run]) -> String {
    let mut page = format!("{}\n\n{HEAD}\n", include_str!("table/head.md").trim_end());
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{}", row.line());
    }
    let mut all = Counts::default();
    rows.iter().for_each(|row| all.add(&row.counts));
    let Counts { faults, readings, silent, invented, .. } = all;
    let _ = writeln!(
        page,
        "\nIn all {faults} faults, {readings} readings: {silent} lost silently, {invented} invented.\n\nWhat ran:\n"
    );
    for line in crate::runs::told(runs) {
        let _ = writeln!(page, "- {line}");
    }
    page
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oracle::Verdict;

    #[test]
    fn runs_add_up_and_a_broken_promise_shows() {
        let good = Outcome {
            faults: 2,
            verdict: Verdict { readings: 5, ..Verdict::default() },
            slowest: Some(Duration::from_millis(1500)),
            ..Outcome::default()
        };
        let run = |timed| Run { counts: Counts::of(&good, timed), ..Run::default() };
        let mut row = Row::new("x", "y");
        row.add(&run(false));
        assert_eq!(row.counts.slowest_ms, None, "where others run beside it, time says nothing");
        row.add(&run(true));
        assert!(row.is_kept());
        assert_eq!(row.line(), "| `x` | y | 4 | 10 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 1.50 s | kept |");
        row.add(&Run { complaints: vec!["it ended".into()], ..run(true) });
        assert!(!row.is_kept() && row.line().contains("broken in 1"));
        assert_eq!(HEAD.lines().next().unwrap().matches('|').count(), row.line().matches('|').count());
        let left_out = Row { left_out: Some("no root".into()), ..Row::default() };
        assert_eq!(left_out.line().matches('|').count(), row.line().matches('|').count());
    }
}
