//! What ran, a line of JSON for each run, so that runs of several hours and several seeds make one table.
//!
//! ```
//! use sedge_faults::runs::{Run, read};
//! let run = Run { scenario: "wire-reset".into(), seed: 7, ..Run::default() };
//! assert_eq!(read(&run.line()).unwrap(), [run]);
//! ```
//!
//! It must not be edited by hand, and a line that cannot be read is no run.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::table::Counts;

/// One stage, from its start to the judgement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Of which scenario.
    pub scenario: String,
    /// The day.
    pub date: String,
    /// The program under test, as it says itself.
    pub version: String,
    /// What all schedules of the call were drawn from.
    pub seed: u64,
    /// The how-manieth stage of its scenario in this call.
    pub round: u64,
    /// Whether it was looked at how long a recovery takes: not where other runs went on beside it.
    pub timed: bool,
    /// How busy the machine was when it began: the load of a minute per processor, in hundredths.
    pub load: u64,
    /// What is counted.
    pub counts: Counts,
    /// Why it was left out.
    pub left_out: Option<String>,
    /// The promises that were broken.
    pub complaints: Vec<String>,
}

impl Run {
    /// As a line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Adds it to a file.
    ///
    /// # Errors
    /// When that fails.
    pub fn append(&self, file: &Path) -> std::io::Result<()> {
        let mut file = std::fs::File::options().create(true).append(true).open(file)?;
        // In one go: another process may add its own.
        file.write_all((self.line() + "\n").as_bytes())
    }
}

/// The runs of a file's text.
///
/// # Errors
/// When a line is not of a run.
pub fn read(text: &str) -> serde_json::Result<Vec<Run>> {
    text.lines().map(serde_json::from_str).collect()
}

/// Calls of the harness, in the words of the page.
pub fn told(runs: &[Run]) -> Vec<String> {
    let mut calls: BTreeMap<_, (u64, u64, u64)> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.left_out.is_none()) {
        let key = (&run.date, &run.version, run.timed, run.seed);
        let (stages, faults, load) = calls.entry(key).or_default();
        (*stages, *faults, *load) = (*stages + 1, *faults + run.counts.faults, run.load.max(*load));
    }
    let of = |((date, version, timed, seed), (stages, faults, load))| {
        let beside = if timed { "recoveries timed" } else { "several at once, nothing timed" };
        let load = format!("{}.{:02}", load / 100, load % 100);
        format!(
            "{date}, {version}, seed {seed}: {faults} faults on {stages} stages; {beside}; load per processor up to {load}"
        )
    };
    calls.into_iter().map(of).collect()
}

/// How busy the machine is now.
pub fn load() -> u64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let hundredths: u64 = text.split(' ').next().unwrap_or_default().replace('.', "").parse().unwrap_or(0);
    hundredths / std::thread::available_parallelism().map_or(1, |number| number.get() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_several_calls_are_kept_in_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runs");
        let run = |seed| Run {
            seed,
            date: "2026-11-21".into(),
            version: "sedge 1".into(),
            counts: Counts { faults: 3, ..Counts::default() },
            ..Run::default()
        };
        for seed in [1, 1, 2] {
            run(seed).append(&file).unwrap();
        }
        let runs = read(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(runs, [run(1), run(1), run(2)]);
        let told = told(&runs);
        assert!(told[0].contains("seed 1: 6 faults on 2 stages") && told.len() == 2, "{told:?}");
        assert!(read("{}").is_err(), "what is no run is not one without faults");
    }
}
