//! `sedge`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    sedge::main()
}
