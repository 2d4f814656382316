//! What came of the runs, as a table that a person reads and that the documentation has.

use std::fmt::Write as _;
use std::time::Duration;

use crate::stage::Outcome;

/// A scenario with what came of it.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The scenario.
    pub name: String,
    /// What was broken.
    pub what: String,
    /// How often.
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
    /// The slowest recovery.
    pub slowest: Option<Duration>,
    /// Runs that broke a promise.
    pub broken: u64,
    /// Why it was left out.
    pub left_out: Option<String>,
}

impl Row {
    /// Adds what came of a run.
    pub fn add(&mut self, outcome: &Outcome) {
        let verdict = &outcome.verdict;
        self.faults += outcome.faults;
        self.readings += verdict.readings;
        self.duplicates += verdict.duplicates;
        self.named += verdict.named;
        self.in_window += verdict.in_window;
        self.at_most += verdict.at_most;
        self.by_broker += verdict.by_broker;
        self.silent += verdict.silent.count;
        self.overstated += verdict.overstated;
        self.invented += verdict.invented.count;
        self.misordered += verdict.misordered.count;
        self.slowest = self.slowest.max(outcome.slowest);
        self.broken += u64::from(!outcome.complaints().is_empty());
    }

    /// Whether it ran and every promise was kept.
    pub fn is_kept(&self) -> bool {
        self.broken == 0 && self.left_out.is_none()
    }

    /// As a line of the table.
    pub fn line(&self) -> String {
        let Self {
            name,
            what,
            faults,
            readings,
            duplicates,
            named,
            in_window,
            at_most,
            by_broker,
            silent,
            ..
        } = self;
        if let Some(why) = &self.left_out {
            return format!("| `{name}` | {what} | left out: {why} | | | | | | | | | | |");
        }
        let slowest = self.slowest.map_or(String::new(), |time| format!("{:.2} s", time.as_secs_f64()));
        let kept =
            if self.broken == 0 { "kept".into() } else { format!("**broken in {} runs**", self.broken) };
        let (invented, misordered) = (self.invented, self.misordered);
        format!(
            "| `{name}` | {what} | {faults} | {readings} | {duplicates} | {named} | {in_window} (+{at_most}) | {by_broker} | {silent} \
             | {invented} | {misordered} | {slowest} | {kept} |"
        )
    }
}

/// What a table begins with.
pub const HEAD: &str = "\
| scenario | what is broken | faults | readings | duplicates | lost, named | lost in the stated window | lost by the broker \
| lost silently | invented | out of order | slowest recovery | |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// The page: `about` says when, of what and with which command.
pub fn page(about: &str, rows: &[Row]) -> String {
    let mut page = format!("{}\n\n{about}\n\n{HEAD}\n", include_str!("table/head.md").trim_end());
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{}", row.line());
    }
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let (faults, readings) = (sum(|row| row.faults), sum(|row| row.readings));
    let (silent, invented) = (sum(|row| row.silent), sum(|row| row.invented));
    let _ = writeln!(
        page,
        "\nIn all {faults} faults, {readings} readings: {silent} lost silently, {invented} invented."
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Verdict;

    #[test]
    fn runs_add_up_and_a_broken_promise_shows() {
        let mut row = Row { name: "x".into(), what: "y".into(), ..Row::default() };
        let good = Outcome {
            faults: 2,
            verdict: Verdict { readings: 5, ..Verdict::default() },
            ..Outcome::default()
        };
        row.add(&good);
        row.add(&Outcome { slowest: Some(Duration::from_millis(1500)), ..good.clone() });
        assert!(row.is_kept());
        assert_eq!(row.line(), "| `x` | y | 4 | 10 | 0 | 0 | 0 (+0) | 0 | 0 | 0 | 0 | 1.50 s | kept |");
        row.add(&Outcome { broken: vec!["it ended".into()], ..good });
        assert!(!row.is_kept() && row.line().contains("broken in 1"));
        assert_eq!(HEAD.lines().next().unwrap().matches('|').count(), row.line().matches('|').count());
        let left_out = Row { left_out: Some("no root".into()), ..Row::default() };
        assert_eq!(left_out.line().matches('|').count(), row.line().matches('|').count());
    }
}
