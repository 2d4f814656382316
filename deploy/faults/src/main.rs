//! Runs the scenarios and writes the table: `deploy/faults/run` is how to call it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use sedge_faults::Trouble;
use sedge_faults::runs::{Run, load, read};
use sedge_faults::scenarios::{SCENARIOS, Scenario, find};
use sedge_faults::stage::Setting;
use sedge_faults::table::{Counts, HEAD, Row, page};

/// Breaks what a node stands on, and counts whether a reading was lost.
#[derive(Debug, Parser)]
struct Args {
    /// The program under test.
    #[arg(long, value_name = "FILE", default_value = "target/release/sedge")]
    sedge: PathBuf,
    /// As often as the documentation's table says; some hours.
    #[arg(long)]
    long: bool,
    /// Breaks each thing so often.
    #[arg(long, value_name = "N")]
    times: Option<u32>,
    /// What the schedule is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the program was built of, such as a commit; it is noted with each run.
    #[arg(long, value_name = "TEXT", default_value = "")]
    built_of: String,
    /// Takes note of each run in this file, and makes the table of all runs in it.
    #[arg(long, value_name = "FILE")]
    runs: Option<PathBuf>,
    /// Writes the table there.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Other runs go on beside this one: how long a recovery takes is not judged.
    #[arg(long)]
    untimed: bool,
    /// Runs nothing; writes the table of the runs that there are.
    #[arg(long, requires_all = ["runs", "results"])]
    table: bool,
    /// Keeps the files of runs that broke a promise.
    #[arg(long)]
    keep: bool,
    /// Shows what there is.
    #[arg(long)]
    list: bool,
    /// Which ones; all of them unless told.
    scenarios: Vec<String>,
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        SCENARIOS.iter().for_each(|scenario| println!("{:20} {}", scenario.name, scenario.what));
        return ExitCode::SUCCESS;
    }
    if args.table {
        let written = written(&args, &[]);
        return written
            .inspect_err(|error| eprintln!("the table: {error}"))
            .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let mut chosen: Vec<&Scenario> = Vec::new();
    for name in &args.scenarios {
        let Some(scenario) = find(name) else {
            eprintln!("there is no scenario `{name}`; `--list` shows them");
            return ExitCode::from(2);
        };
        chosen.push(scenario);
    }
    if chosen.is_empty() {
        chosen.extend(SCENARIOS);
    }
    let Ok(program) = args.sedge.canonicalize() else {
        eprintln!("there is no program {}; build it, or name it with --sedge", args.sedge.display());
        return ExitCode::from(2);
    };
    println!("{HEAD}");
    let version = format!("{} {}", version(&program), args.built_of);
    let mut runs = Vec::new();
    for scenario in chosen {
        let of_it = run(&args, &program, version.trim(), scenario).await;
        println!("{}", row(scenario, &of_it).line());
        runs.extend(of_it);
    }
    match written(&args, &runs) {
        Ok(()) if runs.iter().all(|run| run.complaints.is_empty() && run.left_out.is_none()) => {
            ExitCode::SUCCESS
        }
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the results: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the table: of all runs in the file of runs, or of these.
fn written(args: &Args, runs: &[Run]) -> std::io::Result<()> {
    let Some(results) = &args.results else { return Ok(()) };
    let all = match &args.runs {
        Some(file) => read(&std::fs::read_to_string(file)?)?,
        None => runs.to_vec(),
    };
    let ran = |scenario: &&Scenario| all.iter().any(|run| run.scenario == scenario.name);
    let rows: Vec<Row> = SCENARIOS.iter().filter(ran).map(|scenario| row(scenario, &all)).collect();
    std::fs::write(results, page(&rows, &all))
}

fn row(scenario: &Scenario, runs: &[Run]) -> Row {
    let mut row = Row::new(scenario.name, scenario.what);
    runs.iter().filter(|run| run.scenario == scenario.name).for_each(|run| row.add(run));
    row
}

/// What the program says that it is.
fn version(program: &Path) -> String {
    let said = std::process::Command::new(program).arg("version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.lines().next().unwrap_or("unknown").into()
}

#[expect(clippy::print_stderr, reason = "this is what the program is for")]
async fn run(args: &Args, program: &Path, version: &str, scenario: &Scenario) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut left = args.times.unwrap_or(scenario.times[usize::from(args.long)]);
    let date = jiff::Timestamp::now().strftime("%F").to_string();
    let first = Run {
        scenario: scenario.name.into(),
        version: version.into(),
        seed: args.seed,
        timed: !args.untimed,
        date,
        ..Run::default()
    };
    while left > 0 {
        let times = left.min(scenario.at_once);
        left -= times;
        let mut run = Run { round: runs.len() as u64, load: load(), ..first.clone() };
        let seed = seed(args.seed, scenario.name, run.round);
        let setting =
            Setting { program: program.into(), folder: std::env::temp_dir(), keep: args.keep, seed };
        match (scenario.play)(setting, times).await {
            Ok(mut outcome) => {
                if args.untimed {
                    outcome.late.clear();
                }
                run.counts = Counts::of(&outcome, run.timed);
                run.complaints = outcome.complaints();
                for complaint in &run.complaints {
                    eprintln!("BROKEN: {} (round {}): {complaint}", scenario.name, run.round);
                }
                if !run.complaints.is_empty() {
                    eprintln!("{}", outcome.log);
                }
            }
            Err(Trouble::NotAllowed(why)) => {
                eprintln!("LEFT OUT: {}: {why}", scenario.name);
                run.left_out = Some(why);
                left = 0;
            }
            Err(trouble) => {
                eprintln!("BROKEN: {} (round {}): {trouble}", scenario.name, run.round);
                run.complaints.push(trouble.to_string());
            }
        }
        if let Some(Err(error)) = args.runs.as_ref().map(|file| run.append(file)) {
            eprintln!("the file of runs: {error}");
        }
        runs.push(run);
    }
    runs
}

/// Each round of each scenario has a schedule of its own.
fn seed(seed: u64, name: &str, round: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bytes = name.bytes().chain(round.to_be_bytes());
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
