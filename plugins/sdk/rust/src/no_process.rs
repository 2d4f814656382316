//! Where there are no processes as a node starts them: the `main` of a crate that is a component too.

use std::process::ExitCode;

use crate::guest::Guest;

pub(crate) fn main(_: Guest) -> ExitCode {
    ExitCode::FAILURE
}
