//! The virtual environment of a Python plugin: `venv` in its folder.
//!
//! It is made while the plugin is staged, and moves with the folder: the interpreter finds its packages by where itself is; only
//! the programs that packages bring name it by its whole path, so that is rewritten before the move.
//!
//! It must not touch any other environment: packages of two plugins never meet.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::program::{Bounds, Failed, run};
use super::{InstallError, Installer};
use crate::manifest::PythonNeeds;

/// The folder of the virtual environment, within the plugin's.
pub const VENV: &str = "venv";

/// How long packages may take: some are built here.
const TIME: Duration = Duration::from_secs(1800);

/// What an environment may take.
const MOST: u64 = 2 * 1024 * 1024 * 1024;

/// The interpreter of a plugin's own environment, where it has one: what `{python}` stands for. `python3` where it has none.
#[must_use]
pub fn interpreter(folder: &Path) -> Option<PathBuf> {
    let python = folder.join(VENV).join("bin/python");
    python.exists().then_some(python)
}

/// Makes the environment that the manifest asks for.
pub(super) fn make(
    installer: &Installer<'_>,
    folder: &Path,
    needs: &PythonNeeds,
) -> Result<(), InstallError> {
    if let Some(file) = &needs.requirements {
        let is_plain =
            Path::new(file).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_plain || !folder.join(file).is_file() {
            let why = format!(
                "[python] requirements: there is no file `{}` in the plugin's folder",
                file.escape_debug()
            );
            return Err(InstallError::Requirements(why));
        }
    }
    create(installer, folder, needs.system_site_packages)?;
    if let Some(file) = &needs.requirements {
        pip(installer, folder, &["--requirement", file])?;
    }
    Ok(())
}

/// Makes an empty environment.
pub(super) fn create(
    installer: &Installer<'_>,
    folder: &Path,
    sees_system: bool,
) -> Result<(), InstallError> {
    let mut command = Command::new("python3");
    // Isolated: a module of the plugin's must not stand for one of Python's.
    command.args(["-I", "-m", "venv"]);
    if sees_system {
        command.arg("--system-site-packages");
    }
    command.arg(VENV);
    let done = go(installer, command, folder);
    done.map_err(|failed| told(failed, "python3 -m venv", "on Debian it needs `apt install python3-venv`"))
}

/// Installs packages into the environment of a folder.
pub(super) fn pip(installer: &Installer<'_>, folder: &Path, what: &[&str]) -> Result<(), InstallError> {
    let mut command = Command::new(folder.join(VENV).join("bin/python"));
    command.args(["-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    command.args(["--require-virtualenv"]).args(what);
    let done = go(installer, command, folder);
    done.map_err(|failed| {
        told(failed, "pip", "its requirements could not be installed; is the index reachable?")
    })
}

/// What the interpreter of a folder's environment prints for a program of ours.
pub(super) fn ask(
    installer: &Installer<'_>,
    folder: &Path,
    program: &str,
    word: &str,
) -> Result<String, InstallError> {
    let mut command = Command::new(folder.join(VENV).join("bin/python"));
    command.args(["-I", "-c", program, word]).current_dir(folder).env_remove("PYTHONHOME");
    let bounds = Bounds { time: TIME, folder: None, watch: installer.watch };
    run(command, &bounds).map_err(|failed| told(failed, "python3", "the package cannot be looked at"))
}

fn go(installer: &Installer<'_>, mut command: Command, folder: &Path) -> Result<(), Failed> {
    command
        .envs(&installer.environment)
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .current_dir(folder);
    let venv = folder.join(VENV);
    run(command, &Bounds { time: TIME, folder: Some((&venv, MOST)), watch: installer.watch }).map(drop)
}

fn told(failed: Failed, program: &str, advice: &str) -> InstallError {
    match failed {
        Failed::Missing => InstallError::Requirements(format!("there is no {program}; install Python 3")),
        Failed::Cancelled => InstallError::Cancelled,
        Failed::Said(said) => InstallError::Requirements(format!("{advice}\n{program} says: {said}")),
    }
}

/// Has the programs of an environment know where they will be.
pub(super) fn settle(folder: &Path, target: &Path) -> Result<(), InstallError> {
    let venv = folder.join(VENV);
    if !venv.is_dir() {
        return Ok(());
    }
    let programs = venv.join("bin");
    let entries = fs::read_dir(&programs).map_err(InstallError::io("read", &programs))?;
    let files = entries.flatten().map(|entry| entry.path()).chain([venv.join("pyvenv.cfg")]);
    let (from, to) = (folder.to_string_lossy(), target.to_string_lossy());
    for file in files {
        rewrite(&file, &from, &to).map_err(InstallError::io("write", &file))?;
    }
    Ok(())
}

/// Programs of machine code name no interpreter, and links are none of ours.
fn rewrite(file: &Path, from: &str, to: &str) -> io::Result<()> {
    let metadata = fs::symlink_metadata(file)?;
    if !metadata.is_file() || metadata.len() > 1024 * 1024 {
        return Ok(());
    }
    let Ok(text) = String::from_utf8(fs::read(file)?) else { return Ok(()) };
    if !text.contains(from) {
        return Ok(());
    }
    fs::write(file, text.replace(from, to))?;
    fs::set_permissions(file, fs::Permissions::from_mode(metadata.permissions().mode()))
}
