//! A plugin from a git repository, by the program `git`.
//!
//! One commit, without history where the server can do that, without submodules, hooks, filters that the repository brings, or
//! questions. It must not leave a repository behind: what is installed is files, and the commit stands in the lock file.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::program::{Bounds, Failed, run};
use super::source::shown;
use super::{InstallError, Installer};

/// How long a step may take: a slow line and a history that cannot be left out.
const TIME: Duration = Duration::from_secs(300);

/// What a repository may bring along with its history.
const MOST: u64 = 512 * 1024 * 1024;

/// What would lead git elsewhere.
const ELSEWHERE: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
];

/// Puts the files of a revision into an empty folder; gives its commit.
pub(super) fn fetch(
    installer: &Installer<'_>,
    url: &str,
    rev: Option<&str>,
    into: &Path,
) -> Result<String, InstallError> {
    let git = Git { installer, into };
    let failed = |failed: Failed| match failed {
        Failed::Missing => InstallError::Fetch("git is not installed; install it: apt install git".into()),
        Failed::Cancelled => InstallError::Cancelled,
        Failed::Said(said) => {
            let rev = rev.map(|rev| format!(" at `{rev}`")).unwrap_or_default();
            let advice = "is the URL right, and may this user read it?";
            InstallError::Fetch(format!(
                "git could not get {}{rev}; {advice}\ngit says: {}",
                shown(url),
                shown(&said)
            ))
        }
    };
    git.run(&["init", "--quiet", "--template="]).map_err(failed)?;
    let wanted = rev.unwrap_or("HEAD");
    let commit = match git.run(&["fetch", "--quiet", "--no-tags", "--depth=1", "--", url, wanted]) {
        Ok(_) => git.commit(&["FETCH_HEAD"]),
        // A server of mere files knows no depth, and a short commit has to be looked for.
        Err(Failed::Said(said)) if rev.is_some() || said.contains("shallow") => {
            let heads = [
                "+refs/heads/*:refs/remotes/origin/*",
                "+refs/tags/*:refs/tags/*",
                "+HEAD:refs/remotes/origin/HEAD",
            ];
            git.run(&[&["fetch", "--quiet", "--no-tags", "--", url], &heads[..]].concat()).map_err(failed)?;
            let (tag, branch) = (format!("refs/tags/{wanted}"), format!("refs/remotes/origin/{wanted}"));
            let is_commit = wanted.len() >= 7 && wanted.chars().all(|c| c.is_ascii_hexdigit());
            let names = [&*tag, &*branch, wanted];
            git.commit(if is_commit { &names } else { &names[..2] })
        }
        Err(other) => return Err(failed(other)),
    };
    let commit = commit.map_err(failed)?;
    git.run(&["-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", "--detach", &commit])
        .map_err(failed)?;
    let repository = into.join(".git");
    fs::remove_dir_all(&repository).map_err(InstallError::io("remove", &repository))?;
    Ok(commit)
}

struct Git<'a> {
    installer: &'a Installer<'a>,
    into: &'a Path,
}

impl Git<'_> {
    fn run(&self, words: &[&str]) -> Result<String, Failed> {
        let mut command = Command::new("git");
        for variable in ELSEWHERE {
            command.env_remove(variable);
        }
        command
            .envs(&self.installer.environment)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "false")
            .env("SSH_ASKPASS", "false")
            .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("LC_ALL", "C")
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
                "-c",
                "protocol.ext.allow=never",
            ])
            .args([
                "-c",
                "core.symlinks=true",
                "-c",
                "submodule.recurse=false",
                "-c",
                "fetch.recurseSubmodules=false",
            ])
            .args(["-c", "gc.auto=0", "-c", "core.autocrlf=false"])
            .args(words)
            .current_dir(self.into);
        run(command, &Bounds { time: TIME, folder: Some((self.into, MOST)), watch: self.installer.watch })
    }

    /// The commit of the first name that there is.
    fn commit(&self, names: &[&str]) -> Result<String, Failed> {
        let mut failed = Failed::Said("there is no such revision".into());
        for name in names {
            match self.run(&["rev-parse", "--quiet", "--verify", &format!("{name}^{{commit}}")]) {
                Ok(commit) => return Ok(commit.trim().to_owned()),
                Err(Failed::Said(_)) => {}
                Err(other) => failed = other,
            }
        }
        Err(failed)
    }
}
