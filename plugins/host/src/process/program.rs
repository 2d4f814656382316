//! What is run: the words of a manifest made into a program that is there, its environment, and whose it runs as.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{AccessFlags, Gid, Uid, User, access};
use sedge_plugin::PluginError;
use sedge_protocol::FD_VARIABLE;

use super::ProcessOptions;
use crate::outside::Start;

/// Where programs are looked for unless the environment that is given says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Stands for the interpreter of the plugin's virtual environment, or `python3`.
const PYTHON: &str = "{python}";

/// What is to be started, but for its standard streams.
pub(super) fn command(options: &ProcessOptions, start: &Start) -> Result<Command, PluginError> {
    let environment = environment(options, start);
    let mut words = options.command.iter().map(|word| filled(word, options, &start.folder));
    let first = words.next().filter(|word| !word.is_empty());
    let first = first.ok_or_else(|| PluginError::Settings("its manifest names no program".into()))?;
    let search = environment.get("PATH").map_or(PATH, String::as_str);
    let program = find(&first, &start.folder, search)?;
    if !start.folder.is_dir() {
        return Err(PluginError::unmet(format!("its folder {} is not there", start.folder.display())));
    }
    let mut command = Command::new(program);
    command.args(words).current_dir(&start.folder).process_group(0).stdin(Stdio::null());
    command.env_clear().envs(environment);
    if let Some(user) = &options.user {
        become_user(&mut command, user, start.data_dir.as_deref())?;
    }
    Ok(command)
}

fn environment(options: &ProcessOptions, start: &Start) -> BTreeMap<String, String> {
    let home = start.data_dir.as_deref().unwrap_or(&start.folder).to_string_lossy().into_owned();
    let usual = [
        ("PATH", PATH.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("HOME", home),
        // What is printed becomes a line of the log at once, and nothing is written beside the code, which has a checksum.
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ];
    let usual = usual.into_iter().map(|(key, value)| (key.to_owned(), value));
    let given = options.environment.iter().chain(&start.environment);
    let mut environment: BTreeMap<String, String> =
        usual.chain(given.map(|(key, value)| (key.clone(), value.clone()))).collect();
    let line = if options.stdio { "stdio".to_owned() } else { super::FD.to_string() };
    environment.insert(FD_VARIABLE.to_owned(), line);
    // What was compiled beside the code has no checksum. Only where there is any: Python's own would not be read either, which
    // costs seconds on a small board.
    if crate::install::has_compiled(&start.folder) {
        environment.insert("PYTHONPYCACHEPREFIX".to_owned(), "/dev/null".to_owned());
    }
    environment
}

fn filled(word: &str, options: &ProcessOptions, folder: &Path) -> String {
    if !word.contains(PYTHON) {
        return word.to_owned();
    }
    let own = folder.join("venv/bin/python");
    let python = match &options.python {
        Some(python) => python.to_string_lossy().into_owned(),
        None if own.is_file() => own.to_string_lossy().into_owned(),
        None => "python3".to_owned(),
    };
    word.replace(PYTHON, &python)
}

/// With a `/`: below the plugin's folder, or an absolute path. Without: on the PATH.
fn find(program: &str, folder: &Path, search: &str) -> Result<PathBuf, PluginError> {
    if program.contains('/') {
        let path = folder.join(program);
        if !path.is_file() {
            return Err(PluginError::unmet(format!("its program {} is not there", path.display())));
        }
        if access(&path, AccessFlags::X_OK).is_err() {
            let path = path.display();
            return Err(PluginError::unmet(format!("its program {path} may not be run; `chmod +x {path}`")));
        }
        return Ok(path);
    }
    let mut places = search.split(':').filter(|place| place.starts_with('/')).map(Path::new);
    let found = places.find_map(|place| {
        let path = place.join(program);
        (path.is_file() && access(&path, AccessFlags::X_OK).is_ok()).then_some(path)
    });
    found.ok_or_else(|| {
        PluginError::unmet(format!("its program `{program}` is not on the PATH ({search}); install it"))
    })
}

fn become_user(command: &mut Command, user: &str, data: Option<&Path>) -> Result<(), PluginError> {
    let (uid, gid) = identity(user)?;
    if uid == Uid::effective() {
        return Ok(());
    }
    if !Uid::effective().is_root() {
        let why = format!("only root can run it as `{user}`; start the node as root, or leave `user` out");
        return Err(PluginError::Settings(why.into()));
    }
    if let Some(data) = data {
        nix::unistd::chown(data, Some(uid), Some(gid)).map_err(|error| {
            PluginError::failed(format!("{} cannot be made {user}'s: {error}", data.display()))
        })?;
    }
    command.uid(uid.as_raw()).gid(gid.as_raw());
    Ok(())
}

/// A name, or a number, which need not have a name.
pub(super) fn identity(user: &str) -> Result<(Uid, Gid), PluginError> {
    let number = user.parse().ok();
    let known = match number {
        Some(number) => User::from_uid(Uid::from_raw(number)),
        None => User::from_name(user),
    };
    match (known, number) {
        (Ok(Some(known)), _) => Ok((known.uid, known.gid)),
        (_, Some(number)) => Ok((Uid::from_raw(number), Gid::from_raw(number))),
        (Ok(None), None) => Err(PluginError::Settings(format!("there is no user `{user}`").into())),
        (Err(error), None) => {
            Err(PluginError::failed(format!("the user `{user}` cannot be looked up: {error}")))
        }
    }
}
