//! The service is started anew: a node does not take another id or another broker while it runs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::timeout;

use crate::exit::Failure;
use crate::show::say;

/// How long it may take to run again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Restarts the service where it runs, failed, or is switched on; says what is to be done otherwise.
pub(super) async fn restart(may: bool) -> Result<(), Failure> {
    let systemctl = |args: &[&str]| quiet(args).status().is_ok_and(|status| status.success());
    let there = Path::new("/run/systemd/system").is_dir();
    if !may || !there {
        return say("To do: systemctl restart sedge");
    }
    let wanted = systemctl(&["is-active", "sedge"]) || systemctl(&["is-enabled", "sedge"]);
    if !wanted {
        return say("The service is switched off: systemctl enable --now sedge");
    }
    let state = quiet(&["is-system-running"]).stdout(Stdio::piped()).output();
    let state = state.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    // Not waited for while it boots: joining may itself be a part of that, which the service comes after.
    let boots = state.is_ok_and(|state| matches!(state.as_str(), "initializing" | "starting"));
    if !systemctl(&["--no-block", "restart", "sedge"]) {
        return say("The service could not be restarted: systemctl status sedge says why");
    }
    if boots || timeout(PATIENCE, finished()).await.is_err() {
        return say("The service is being restarted: systemctl status sedge");
    }
    match systemctl(&["is-active", "sedge"]) {
        true => say("The service runs again."),
        false => say("The service does not run: systemctl status sedge says why"),
    }
}

/// Until nothing is to be done for the service any more. Until then the one before may still be what runs.
async fn finished() {
    let shown = || {
        let output = quiet(&["show", "--property=Job", "--property=ActiveState", "sedge"])
            .stdout(Stdio::piped())
            .output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    while is_busy(&shown()) {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Whether systemd still has something to do for a unit, of which it shows `Job` and `ActiveState`.
fn is_busy(shown: &str) -> bool {
    shown.lines().any(|line| match line.split_once('=') {
        Some(("Job", job)) => !matches!(job, "" | "0"),
        Some(("ActiveState", state)) => matches!(state, "activating" | "deactivating" | "reloading"),
        _ => false,
    })
}

fn quiet(args: &[&str]) -> Command {
    let mut command = Command::new("systemctl");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_that_ran_before_is_not_taken_for_the_one_that_runs_again() {
        for busy in [
            "Job=812\nActiveState=active\n",
            "ActiveState=activating\nJob=812\n",
            "ActiveState=deactivating\n",
        ] {
            assert!(is_busy(busy), "{busy}");
        }
        for done in ["Job=0\nActiveState=active\n", "ActiveState=active\n", "ActiveState=failed\n", ""] {
            assert!(!is_busy(done), "{done}");
        }
    }
}
