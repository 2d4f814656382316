//! `sedge doctor`: what could keep a node from working, each with what to do about it.
//!
//! It changes nothing. Every check has a deadline; they run side by side, so that all of it takes a few seconds whatever
//! hangs. What is read of the system is read below a root, which a test gives.
//!
//! Where the package's service has the config, what is judged is what the service may do, whoever runs the doctor.

mod board;
mod broker;
mod buses;
mod clock;
mod config;
mod data;
mod gpio;
mod node;
mod owner;
mod sensors;
mod service;
mod wear;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sedge_config::Config;
use sedge_plugin::Id;
use serde::Serialize;

use super::node::host_id;
use crate::cli::{DoctorArgs, Global};
use crate::exit::Failure;
use crate::load::Loaded;
use crate::log::coloured;
use crate::show::say;

pub(crate) use buses::enable_i2c;

/// So long may one check take.
const DEADLINE: Duration = Duration::from_secs(2);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and may not for long, or not all of it.
    Warn,
    /// It does not work.
    Fail,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `bus i2c-1`.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(level: Level, check: &str, what: impl Into<String>, remedy: Option<String>) -> Self {
        Self { check: check.into(), level, what: what.into(), remedy }
    }

    fn ok(check: &str, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, check, what, None)
    }

    fn warn(check: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Level::Warn, check, what, Some(remedy.into()))
    }

    fn fail(check: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Level::Fail, check, what, Some(remedy.into()))
    }
}

/// A check that asks nobody but the system.
type Check = fn(&Patient) -> Vec<Finding>;

/// What is looked at.
pub(crate) struct Patient {
    /// Where the system's files are; `/`, but in tests.
    root: PathBuf,
    /// The config's file.
    file: Option<PathBuf>,
    /// Where the config lies.
    folder: PathBuf,
    /// What it says; the defaults where there is none.
    config: Config,
    /// The node's id.
    id: Id,
    /// The service that has the config.
    service: owner::Service,
}

impl Patient {
    /// A file of the system.
    fn path(&self, path: &str) -> PathBuf {
        under(&self.root, Path::new(path))
    }

    /// What a file of the system says, without white space at its ends.
    fn text(&self, path: &str) -> Option<String> {
        let text = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&text).trim_matches(['\0', '\n', ' ']).to_owned())
    }

    /// Whether it is this machine, and not a picture of one.
    fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }
}

fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Looks at everything, and says what it found.
pub async fn doctor(global: &Global, args: &DoctorArgs) -> Result<(), Failure> {
    let (mut findings, loaded) = config::check(global);
    let patient = Arc::new(patient(global, args, loaded));
    let sync: [(&str, Check); 10] = [
        ("service", service::check),
        ("buses", buses::check),
        ("gpio", gpio::check),
        ("clock", clock::check),
        ("power", board::power),
        ("memory", board::memory),
        ("disk", data::check),
        ("i2c", buses::clocks),
        ("kernel", buses::folders),
        ("log", wear::log),
    ];
    let sync = sync.map(|(name, check)| {
        let patient = patient.clone();
        let work = tokio::task::spawn_blocking(move || check(&patient));
        async move {
            match tokio::time::timeout(DEADLINE, work).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    vec![Finding::fail(name, format!("the check broke: {error}"), "please report it")]
                }
                Err(_) => vec![late(name, "the system does not answer; a device or a disk may hang")],
            }
        }
    });
    let [service, buses, gpio, clock, power, memory, disk, speed, folders, log] = sync;
    let there = node::find(&patient).await;
    let sensors = sensors::check(&patient, there.as_ref());
    let broker = broker::check(global, &patient, there.as_ref());
    let node = node::check(&patient, there.as_ref());
    let all =
        tokio::join!(service, buses, speed, folders, sensors, gpio, clock, power, memory, disk, log, broker);
    let (service, buses, speed, folders, sensors, gpio, clock, power, memory, disk, log, broker) = all;
    let name = node::name(&patient);
    findings.extend(
        [service, name, buses, speed, folders, sensors, gpio, clock, power, memory, disk, log, broker, node]
            .concat(),
    );
    print(global, &findings)?;
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    if failed { Err(Failure::FailedShown) } else { Ok(()) }
}

fn patient(global: &Global, args: &DoctorArgs, loaded: Option<Loaded>) -> Patient {
    let (file, folder) =
        loaded.as_ref().map(|loaded| (loaded.file.clone(), loaded.folder())).unwrap_or_default();
    let config = loaded.and_then(|loaded| loaded.config).unwrap_or_default();
    let named = global.node.as_deref().and_then(|node| Id::new(node).ok());
    let id = named.or_else(|| config.node.id.clone()).unwrap_or_else(host_id);
    let service = owner::Service::of(&args.root, file.as_deref());
    Patient { root: args.root.clone(), file, folder, config, id, service }
}

fn late(check: &str, remedy: &str) -> Finding {
    Finding::warn(check, format!("no answer within {} s", DEADLINE.as_secs()), remedy)
}

fn print(global: &Global, findings: &[Finding]) -> Result<(), Failure> {
    if global.json {
        return say(serde_json::json!(findings));
    }
    let colour = coloured(global, std::io::stdout().is_terminal());
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or_default();
    for Finding { check, level, what, remedy } in findings {
        if global.quiet && *level == Level::Ok {
            continue;
        }
        let (word, code) = match level {
            Level::Ok => ("ok  ", 32),
            Level::Warn => ("warn", 33),
            Level::Fail => ("fail", 31),
        };
        let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        say(format_args!("{word}  {check:<width$}  {what}"))?;
        if let Some(remedy) = remedy {
            say(format_args!("      {:<width$}  → {remedy}", ""))?;
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    say(format_args!(
        "{} ok, {} to look at, {} failed",
        count(Level::Ok),
        count(Level::Warn),
        count(Level::Fail)
    ))
}
