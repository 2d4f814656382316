//! Whether the package is whole, its service well, and its user let in everywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::owner::{Service, Want, group};
use super::{Finding, Patient};

/// The groups that own buses.
const GROUPS: [&str; 3] = ["i2c", "spi", "gpio"];
const USERS: &str = "`sudo systemd-sysusers && sudo systemctl restart sedge`";
/// What is asked of systemd.
const KEYS: &str =
    "LoadState,ActiveState,SubState,Result,ExecMainStatus,UnitFileState,NRestarts,NeedDaemonReload";
/// The exit code of a node whose config is refused, and of a command line that makes no sense.
const CONFIG: &str = "78";

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let mut found: Vec<Finding> = package(patient).into_iter().collect();
    if patient.service == Service::None {
        return found;
    }
    if patient.is_here() {
        found.extend(asked());
    }
    found.extend(user(patient));
    found.extend(unreadable(patient));
    found
}

/// How dpkg has left the package.
fn package(patient: &Patient) -> Option<Finding> {
    let text = patient.text("/var/lib/dpkg/status")?;
    let stanza = text.split("\n\n").find(|stanza| stanza.lines().any(|line| line == "Package: sedge"))?;
    let status = stanza.lines().find_map(|line| line.strip_prefix("Status: "))?;
    let mut words = status.split(' ');
    let (_, error, state) = (words.next(), words.next()?, words.next()?);
    match (error, state) {
        ("ok", "installed") => Some(Finding::ok("package", "installed")),
        // Removed on purpose.
        (_, "config-files" | "not-installed") => None,
        ("reinstreq", _) | (_, "half-installed") => Some(Finding::fail(
            "package",
            format!("dpkg says `{status}`: its files may be incomplete"),
            "install it again: `sudo apt install --reinstall ./sedge_VERSION_ARCHITECTURE.deb`; after a full disk make room first",
        )),
        _ => Some(Finding::fail(
            "package",
            format!("dpkg says `{status}`: it was unpacked, and not set up"),
            "`sudo dpkg --configure -a`; after a full disk make room first (`sudo apt clean`)",
        )),
    }
}

/// What systemd says; nothing where it does not run.
fn asked() -> Vec<Finding> {
    let mut command = Command::new("systemctl");
    command.args(["show", "sedge.service", "--property", KEYS]).env("LC_ALL", "C");
    let said = command.output().ok().filter(|said| said.status.success());
    said.map(|said| judged(&String::from_utf8_lossy(&said.stdout))).unwrap_or_default()
}

fn judged(said: &str) -> Vec<Finding> {
    let of = |key: &str| {
        said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
    };
    let log = "`journalctl -u sedge -n 30` tells why";
    let refused = || {
        let remedy = "`sedge check` shows where; then `sudo systemctl restart sedge`";
        Finding::fail("service", "it has ended: its config is refused", remedy)
    };
    let state = match (of("LoadState"), of("UnitFileState"), of("ActiveState"), of("SubState")) {
        ("", ..) => return Vec::new(),
        ("masked", ..) | (_, "masked", ..) => {
            Finding::fail("service", "it is masked: nothing starts it", "`sudo systemctl unmask sedge`")
        }
        ("loaded", _, "active", _) => Finding::ok("service", "runs"),
        ("loaded", _, "failed", _) if of("ExecMainStatus") == CONFIG => refused(),
        ("loaded", _, _, "auto-restart") if of("ExecMainStatus") == CONFIG => refused(),
        ("loaded", _, "failed", _) if of("Result") == "watchdog" => Finding::fail(
            "service",
            "it was ended: it had not told systemd for too long that it lives",
            format!("`sudo systemctl restart sedge`; {log}"),
        ),
        ("loaded", _, "failed", _) => Finding::fail(
            "service",
            format!("it has failed ({}, exit code {})", of("Result"), of("ExecMainStatus")),
            format!("{log}; then `sudo systemctl restart sedge`"),
        ),
        ("loaded", _, _, "auto-restart") => Finding::fail(
            "service",
            format!(
                "it ends and is started again, {} times so far (exit code {})",
                of("NRestarts"),
                of("ExecMainStatus")
            ),
            log,
        ),
        ("loaded", _, "activating" | "reloading" | "deactivating", _) => Finding::warn(
            "service",
            format!("it is {}", of("ActiveState")),
            format!("look again in a minute; {log}"),
        ),
        ("loaded", ..) => Finding::warn("service", "it does not run", "`sudo systemctl enable --now sedge`"),
        (load, ..) => Finding::fail(
            "service",
            format!("systemd cannot use its unit ({load})"),
            "`systemctl status sedge` tells why; `sudo systemctl revert sedge` takes back what was changed of it",
        ),
    };
    let mut found = vec![state];
    if of("UnitFileState") == "disabled" && of("ActiveState") == "active" {
        let what = "it runs, and will not after the next boot";
        found.push(Finding::warn("service", what, "`sudo systemctl enable sedge`"));
    }
    if of("NeedDaemonReload") == "yes" {
        let what = "its unit was changed since systemd has read it";
        found.push(Finding::warn(
            "service",
            what,
            "`sudo systemctl daemon-reload && sudo systemctl restart sedge`",
        ));
    }
    found
}

/// Whether its user is there, and in the groups of the buses.
fn user(patient: &Patient) -> Vec<Finding> {
    let owner = match &patient.service {
        Service::NoUser(name) => {
            return vec![Finding::fail("user", format!("there is no user `{name}` for the service"), USERS)];
        }
        Service::None => return Vec::new(),
        Service::Runs(owner) => owner,
    };
    let is_used = |group: &str| patient.config.buses.iter().any(|bus| bus.kind == group);
    let amiss = GROUPS.iter().filter_map(|name| {
        let what = match group(&patient.root, name) {
            None => format!("there is no group `{name}`"),
            Some(gid) if !owner.is_in(gid) => format!("`{}` is not in the group `{name}`", owner.name),
            Some(_) => return None,
        };
        let check = format!("group {name}");
        Some(match is_used(name) {
            true => Finding::fail(&check, format!("{what}, and the config has a bus of it"), USERS),
            false => Finding::warn(&check, format!("{what}; no bus of the config needs it"), USERS),
        })
    });
    let amiss: Vec<Finding> = amiss.collect();
    if amiss.is_empty() {
        return vec![Finding::ok("user", format!("`{}` is in the groups {}", owner.name, GROUPS.join(", ")))];
    }
    amiss
}

/// Files of the config that the service's user cannot read.
fn unreadable(patient: &Patient) -> Option<Finding> {
    let owner = patient.service.owner()?;
    let listed = |folder: &str| {
        let entries = std::fs::read_dir(patient.folder.join(folder)).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        files.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect::<Vec<PathBuf>>()
    };
    let folders = ["conf.d", "plugins"].map(|folder| patient.folder.join(folder));
    let files = patient.file.iter().cloned().chain(listed("conf.d")).chain(listed("plugins"));
    let may = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|at| owner.may(&at, Want::Read));
    let mut wrong: Vec<String> =
        folders.iter().filter(|folder| folder.is_dir() && !may(folder)).map(|folder| shown(folder)).collect();
    wrong.extend(files.filter(|file| !may(file)).map(|file| shown(&file)));
    let first = wrong.first()?.clone();
    Some(Finding::fail(
        "config",
        format!("the service's user `{}` cannot read {}", owner.name, wrong.join(", ")),
        format!("`sudo chgrp {0} {first} && sudo chmod g+rX {first}`", owner.name),
    ))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// The first finding, for these values of a service that is well otherwise.
    fn told(changes: &[(&str, &str)]) -> (Level, String) {
        let mut all = [
            ("LoadState", "loaded"),
            ("ActiveState", "active"),
            ("SubState", "running"),
            ("UnitFileState", "enabled"),
            ("NRestarts", "4"),
            ("ExecMainStatus", "0"),
            ("Result", "success"),
            ("NeedDaemonReload", "no"),
        ];
        for (key, value) in changes {
            all.iter_mut().filter(|(known, _)| known == key).for_each(|(_, old)| *old = value);
        }
        let said: String = all.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let found = judged(&said);
        let last = found.last().unwrap();
        (last.level, format!("{} → {}", last.what, last.remedy.clone().unwrap_or_default()))
    }

    #[test]
    fn each_state_of_the_service_has_its_remedy() {
        for (changes, level, part) in [
            (&[][..], Level::Ok, "runs"),
            (
                &[("ActiveState", "failed"), ("Result", "exit-code"), ("ExecMainStatus", "78")],
                Level::Fail,
                "`sedge check`",
            ),
            (&[("ActiveState", "failed"), ("Result", "watchdog")], Level::Fail, "that it lives"),
            (
                &[("ActiveState", "failed"), ("Result", "exit-code"), ("ExecMainStatus", "1")],
                Level::Fail,
                "journalctl -u sedge",
            ),
            (
                &[("ActiveState", "activating"), ("SubState", "auto-restart"), ("ExecMainStatus", "101")],
                Level::Fail,
                "4 times",
            ),
            (&[("ActiveState", "activating"), ("SubState", "start")], Level::Warn, "activating"),
            (&[("ActiveState", "inactive"), ("SubState", "dead")], Level::Warn, "enable --now"),
            (&[("UnitFileState", "disabled")], Level::Warn, "after the next boot"),
            (&[("UnitFileState", "masked"), ("ActiveState", "inactive")], Level::Fail, "unmask"),
            (&[("NeedDaemonReload", "yes")], Level::Warn, "daemon-reload"),
            (&[("LoadState", "bad-setting"), ("ActiveState", "inactive")], Level::Fail, "bad-setting"),
        ] {
            let (found, said) = told(changes);
            assert!(found == level && said.contains(part), "{changes:?}: {found:?} {said}");
        }
        assert_eq!(judged("").len(), 0, "where systemd does not run nothing is told");
    }
}
