mod spike;
mod tally;

fn main() -> std::process::ExitCode {
    sedge::with().processor::<spike::Spike>().plugin::<tally::Tally>().main()
}
