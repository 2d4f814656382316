//! The plugin as a process of its own.

fn main() -> std::process::ExitCode {
    sedge_sdk::plugin::<rust_tally::Tally>()
}
