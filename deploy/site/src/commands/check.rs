//! `sedge site check`: whether the config that boards are given can be read; by `sedge check` too, where it is installed.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Failure, at};
use crate::cli::say;
use crate::places::Places;
use crate::{files, fragments};

/// Checks every file.
pub fn check(places: &Places) -> Result<(), Failure> {
    let all = fragments_are_good(places)?;
    let mut bad = 0;
    for file in &all {
        match by_sedge(file) {
            Some(Err(why)) => {
                bad += 1;
                say(format_args!("{}:\n{why}", file.display()));
            }
            Some(Ok(())) => say(format_args!("{}: ok", file.display())),
            None => {
                say(format_args!("{}: ok as TOML; there is no `sedge` here that knows more", file.display()))
            }
        }
    }
    match (all.len(), bad) {
        (0, _) => say(format_args!("{} has no config for boards", places.fragments().display())),
        (_, 0) => {}
        _ => return Err(Failure::Config(format!("{bad} of {} have mistakes", all.len()))),
    }
    Ok(())
}

/// Whether each may be handed out.
pub(super) fn fragments_are_good(places: &Places) -> Result<Vec<std::path::PathBuf>, Failure> {
    let folder = places.fragments();
    let all = fragments::all(&folder).map_err(at(folder.display()))?;
    for file in &all {
        let text = files::read(file).map_err(at(file.display()))?;
        fragments::check(file, &text).map_err(Failure::Config)?;
    }
    Ok(all)
}

/// What the node on this machine says; none where there is none. Each file alone: what goes together only the board knows.
fn by_sedge(file: &Path) -> Option<Result<(), String>> {
    let program = std::env::var_os("SEDGE").unwrap_or_else(|| "sedge".into());
    let mut command = Command::new(program);
    command.args(["check", "--color", "never"]).arg(file).stdin(Stdio::null());
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() { Ok(()) } else { Err(said) })
}
