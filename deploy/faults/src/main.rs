//! Runs the scenarios and writes the table: `deploy/faults/run` is how to call it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sedge_faults::Trouble;
use sedge_faults::scenarios::{SCENARIOS, Scenario, find};
use sedge_faults::stage::Setting;
use sedge_faults::table::{HEAD, Row, page};

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
    /// Writes the table there.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// What the table says of itself: when, of which version, with which command.
    #[arg(long, value_name = "TEXT", default_value = "")]
    about: String,
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
    let mut rows = Vec::new();
    for scenario in chosen {
        let row = run(&args, &program, scenario).await;
        println!("{}", row.line());
        rows.push(row);
    }
    if let Some(file) = &args.results {
        let about = format!("{} Seed {}.", args.about, args.seed);
        if let Err(error) = std::fs::write(file, page(about.trim(), &rows)) {
            eprintln!("{}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    match rows.iter().all(Row::is_kept) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stderr, reason = "this is what the program is for")]
async fn run(args: &Args, program: &std::path::Path, scenario: &Scenario) -> Row {
    let mut row = Row { name: scenario.name.into(), what: scenario.what.into(), ..Row::default() };
    let mut left = args.times.unwrap_or(scenario.times[usize::from(args.long)]);
    let mut round = 0;
    while left > 0 {
        let times = left.min(scenario.at_once);
        left -= times;
        let seed = seed(args.seed, scenario.name, round);
        round += 1;
        let setting =
            Setting { program: program.into(), folder: std::env::temp_dir(), keep: args.keep, seed };
        match (scenario.play)(setting, times).await {
            Ok(outcome) => {
                for complaint in outcome.complaints() {
                    eprintln!("BROKEN: {} (round {round}): {complaint}", scenario.name);
                }
                if !outcome.log.is_empty() {
                    eprintln!("{}", outcome.log);
                }
                row.add(&outcome);
            }
            Err(Trouble::NotAllowed(why)) => {
                eprintln!("LEFT OUT: {}: {why}", scenario.name);
                row.left_out = Some(why);
                return row;
            }
            Err(trouble) => {
                eprintln!("BROKEN: {} (round {round}): {trouble}", scenario.name);
                row.broken += 1;
            }
        }
    }
    row
}

/// Each round of each scenario has a schedule of its own.
fn seed(seed: u64, name: &str, round: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bytes = name.bytes().chain(round.to_be_bytes());
    bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
