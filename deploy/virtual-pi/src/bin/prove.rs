//! Proves the node in a virtual Pi that is booting: `prove BROKER CONTROL QMP`, two of them `HOST:PORT`, the third a path.
//!
//! Prints a line for each promise, and ends with 1 where one was not kept.

use std::env;
use std::process::ExitCode;

use sedge_virtual_pi::prove::promises::Stage;

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let outcome = match &words[..] {
        [broker, control, qmp] => Stage::begin(broker, control, qmp).and_then(Stage::all),
        _ => Err("usage: prove BROKER CONTROL QMP".into()),
    };
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}
