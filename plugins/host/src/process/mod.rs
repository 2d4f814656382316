//! Plugins that are processes: any program that speaks the protocol.
//!
//! ```no_run
//! # async fn start(start: sedge_host::outside::Start) -> Result<(), sedge_plugin::PluginError> {
//! use sedge_host::outside::Carrier;
//! use sedge_host::process::{ProcessCarrier, ProcessOptions};
//! let command = ["{python}", "main.py"].map(str::to_owned).to_vec();
//! let carrier = ProcessCarrier::new(ProcessOptions { command, ..ProcessOptions::default() });
//! let mut line = carrier.start(start).await?;
//! let hello = line.from.recv().await;
//! # Ok(())
//! # }
//! ```
//!
//! It runs in the plugin's folder, in a process group of its own, with an environment that holds nothing of the node's, and finds
//! the node at file descriptor 3; what it prints becomes lines of the log. It gets no more rights than it began with, and is bounded
//! by a cgroup where the node may make some ([`cgroup`](self)), by resource limits where not.
//!
//! It must not leave a process behind: not when it fails to start, not when the node is killed. What leaves its process group is
//! reached by the cgroup alone.

mod cgroup;
mod child;
mod end;
mod forker;
mod leash;
mod line;
mod logs;
mod program;
mod spawn;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, rlim_t};
use nix::unistd::Uid;
use sedge_plugin::PluginError;
use sedge_plugin::context::BoxFuture;
use sedge_protocol::FD;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;

use self::cgroup::Cgroup;
use self::child::Child;
use self::line::Running;
use self::spawn::Prepared;
use crate::outside::{Carrier, Line, Start};

/// How many files it may have open.
const FILES: rlim_t = 256;

/// How far a process whose share of the CPU cannot be bounded stands back.
const NICE: i32 = 10;

/// How a plugin is run as a process.
#[derive(Debug, Clone, Default)]
pub struct ProcessOptions {
    /// The program and its arguments, as in the manifest. With a `/` it lies in the plugin's folder, else on the PATH. `{python}` is
    /// [`python`](Self::python).
    pub command: Vec<String>,
    /// The interpreter that `{python}` stands for; where none is given, `venv/bin/python` in the plugin's folder if it is
    /// there, else `python3`.
    pub python: Option<PathBuf>,
    /// The line is its standard input and output, not file descriptor 3.
    pub stdio: bool,
    /// The most memory, in bytes. Where none is given, that of [`Start::limits`]; 0 there is without bounds.
    pub memory: Option<u64>,
    /// The most CPU: 1.0 is one core.
    pub cpu: Option<f64>,
    /// As whom it runs: a name or a number. Only root can run it as another.
    pub user: Option<String>,
    /// More of its environment: `TZ`, or another `PATH`.
    pub environment: BTreeMap<String, String>,
}

/// Runs a plugin as a process.
#[derive(Debug)]
pub struct ProcessCarrier {
    options: ProcessOptions,
}

impl ProcessCarrier {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(options: ProcessOptions) -> Self {
        Self { options }
    }

    fn memory(&self, start: &Start) -> Option<u64> {
        self.options.memory.or((start.limits.memory > 0).then_some(start.limits.memory))
    }

    async fn run(&self, start: Start) -> Result<Line, PluginError> {
        let memory = self.memory(&start);
        let mut command = program::command(&self.options, &start)?;
        let program = command.get_program().to_string_lossy().into_owned();
        let fails = |error: io::Error| PluginError::failed(format!("`{program}` cannot be started: {error}"));
        let group = cgroup::home().ok().map(|home| home.group(start.id.as_str(), memory, self.options.cpu));
        let group = group.transpose().map_err(fails)?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(fails)?;
        let printed = self.streams(&mut command, &theirs).map_err(fails)?;
        let prepared = Prepared {
            line: (!self.options.stdio).then(|| spawn::above(theirs.as_fd())).transpose().map_err(fails)?,
            limits: limits(memory.filter(|_| group.is_none())).map_err(fails)?,
            cgroup: group.as_ref().map(Cgroup::procs).transpose().map_err(fails)?,
            nice: if self.options.cpu.is_some() && !bounds_cpu() { NICE } else { 0 },
        };
        // What was opened for the child is closed with the command, there, before anything is read here.
        let job = move || {
            let process = spawn::spawn(command, prepared)?;
            drop(theirs);
            Child::new(process, group)
        };
        let child =
            forker::run(job).await.map_err(PluginError::failed)?.map_err(|error| hint(&program, &error))?;
        ours.set_nonblocking(true).map_err(fails)?;
        Ok(Running {
            id: start.id,
            child,
            stream: UnixStream::from_std(ours).map_err(fails)?,
            printed: Receiver::from_owned_fd(printed).map_err(fails)?,
            max_message: start.limits.message,
            memory,
        }
        .line())
    }

    /// Gives it its standard streams, and us what it prints.
    fn streams(&self, command: &mut Command, theirs: &std::os::unix::net::UnixStream) -> io::Result<OwnedFd> {
        let (read, write) = io::pipe()?;
        if self.options.stdio {
            let line = || theirs.try_clone().map(|line| Stdio::from(OwnedFd::from(line)));
            command.stdin(line()?).stdout(line()?);
        } else {
            command.stdout(write.try_clone()?);
        }
        command.stderr(write);
        Ok(read.into())
    }
}

impl Carrier for ProcessCarrier {
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        Box::pin(self.run(start))
    }

    fn isolation(&self) -> String {
        let whose = match &self.options.user {
            Some(user) => {
                program::identity(user).map_or_else(|_| format!("user {user}"), |(uid, _)| uid_of(uid))
            }
            None => uid_of(Uid::effective()),
        };
        let mut words = vec!["process".to_owned(), whose];
        let (by, cpu_by) = match cgroup::home() {
            Ok(home) => ("cgroup", home.bounds_cpu),
            Err(_) => ("resource limit", false),
        };
        words.extend(self.options.memory.map(|bytes| format!("{} by {by}", end::size(bytes))));
        words.extend(self.options.cpu.map(|cpu| {
            if cpu_by { format!("{cpu} CPU by cgroup") } else { format!("CPU not bounded, nice {NICE}") }
        }));
        words.join(", ")
    }
}

fn uid_of(uid: Uid) -> String {
    let is_own = if uid == Uid::effective() { ", the node's own" } else { "" };
    format!("uid {uid}{is_own}")
}

fn bounds_cpu() -> bool {
    cgroup::home().is_ok_and(|home| home.bounds_cpu)
}

/// The limits of a process. Memory: what it can write to and shares with nobody, since what it reserves says little.
fn limits(memory: Option<u64>) -> io::Result<Vec<(Resource, rlim_t)>> {
    let asked = [
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_NOFILE, Some(FILES)),
        (Resource::RLIMIT_DATA, memory.map(|bytes| rlim_t::try_from(bytes).unwrap_or(rlim_t::MAX))),
    ];
    let asked = asked.into_iter().filter_map(|(resource, limit)| Some((resource, limit?)));
    // Nobody may have more than the node's own hard limit.
    asked.map(|(resource, limit)| Ok((resource, limit.min(getrlimit(resource)?.1)))).collect()
}

/// What to do about a program that is there and cannot be run.
fn hint(program: &str, error: &io::Error) -> PluginError {
    let hint = match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::ENOEXEC) => {
            "; it is no program for this machine, or a script without `#!` in its first line"
        }
        Some(nix::errno::Errno::ENOENT) => {
            "; what its first line names after `#!`, or its loader, is not there"
        }
        Some(nix::errno::Errno::EACCES) => "; its user may not run it, or not enter its folder",
        _ => "",
    };
    PluginError::failed(format!("`{program}` cannot be started: {error}{hint}"))
}
