//! The service is started anew: a node does not take another id or another broker while it runs.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::exit::Failure;
use crate::show::say;

/// Restarts the service where it runs, failed, or is switched on; says what is to be done otherwise.
pub(super) fn restart(may: bool) -> Result<(), Failure> {
    let systemctl = |args: &[&str]| {
        let mut command = Command::new("systemctl");
        let quiet = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    };
    let there = Path::new("/run/systemd/system").is_dir();
    if !may || !there {
        return say("To do: systemctl restart sedge");
    }
    let wanted = systemctl(&["is-active", "sedge"]) || systemctl(&["is-enabled", "sedge"]);
    if !wanted {
        return say("The service is switched off: systemctl enable --now sedge");
    }
    // Not waited for: joining may itself be a part of the boot that the service comes after.
    match systemctl(&["--no-block", "restart", "sedge"]) {
        true => say("The service is being restarted: systemctl status sedge"),
        false => say("The service could not be restarted: systemctl status sedge says why"),
    }
}
