//! The commands, one file each, and how one ends.

mod check;
mod init;
mod list;
mod operator;
mod revoke;
mod token;

use std::io;
use std::path::Path;
use std::process::{Command as Program, Stdio};

use sedge_plugin::Id;
use sedge_plugin::clock::{EARLIEST_WALL_MS, rfc3339};

use crate::authority::{Authority, AuthorityError};
use crate::cli::{Cli, Command, say};
use crate::files;
use crate::ledger::Open;
use crate::mosquitto::Broker;
use crate::places::Places;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It tried and failed.
    #[error("{0}")]
    Failed(String),
    /// A config has a mistake.
    #[error("{0}")]
    Config(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Config(_) => 78,
        }
    }
}

impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<sedge_token::CryptoError> for Failure {
    fn from(error: sedge_token::CryptoError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs a command.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let places = Places::below(&cli.root);
    match &cli.command {
        Command::Init(args) => init::init(&places, args),
        Command::Token(args) => token::token(&places, args, cli.json),
        Command::Add { id, group } => token::add(&places, id, group.as_ref(), cli.json),
        Command::Operator { name, read_only, out } => {
            operator::operator(&places, name, *read_only, out.as_deref())
        }
        Command::List => list::list(&places, cli.json),
        Command::Revoke { id } => revoke::revoke(&places, id, false),
        Command::Forget { id } => revoke::revoke(&places, id, true),
        Command::RevokeToken { token } => revoke::revoke_token(&places, token),
        Command::Check => check::check(&places),
        Command::Registrar => Ok(()),
    }
}

/// The wall time, once it can be believed.
fn now_ms() -> Option<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(now.as_millis()).ok().filter(|now| *now >= EARLIEST_WALL_MS)
}

/// A time for a person.
fn to_the_second(wall_ms: i64) -> String {
    let text = rfc3339(wall_ms);
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// What went wrong with a file.
fn at(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::Failed(format!("{what}: {error}; run it with sudo")),
        _ => Failure::Failed(format!("{what}: {error}")),
    }
}

/// The ledger and the authority of a site that is there.
fn opened(places: &Places) -> Result<(Open, Authority), Failure> {
    let none = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let read = |file: std::path::PathBuf| {
        files::read(&file).map_err(|error| match none(&error) {
            true => Failure::Failed("there is no site on this machine; make it with: sedge site init".into()),
            false => at(file.display())(error),
        })
    };
    let authority = Authority::load(&read(places.ca())?, &read(places.ca_key())?)?;
    let open = Open::wait(places).map_err(at(places.state().display()))?;
    Ok((open, authority))
}

/// Whether a name may be given to somebody new.
fn must_be_free(open: &Open, id: &Id) -> Result<(), Failure> {
    if crate::admission::RESERVED.contains(&id.as_str()) {
        return Err(Failure::Usage(format!(
            "`{id}` is no name for anybody: the broker's rules have a use for it"
        )));
    }
    if open.ledger.site.registrar.as_ref() == Some(id) {
        return Err(Failure::Usage(format!("`{id}` is the registrar's name, with its rights at the broker")));
    }
    match open.ledger.has(id) {
        Some(what) => Err(Failure::Failed(format!(
            "`{id}` is {what} already; free the name with: sedge site forget {id}"
        ))),
        None => Ok(()),
    }
}

/// Writes rules and list anew, and has the broker take them up: always, as files that are right say nothing about a broker that
/// runs. Who stopped the last command half-way, or let a SIGHUP come between, has new files and an old list.
fn tell_broker(places: &Places, open: &mut Open, authority: &Authority) -> Result<(), Failure> {
    let broker = Broker::found(places);
    broker.keep_rules(&open.ledger, authority)?;
    let told = match broker.here {
        true => restart(places, "mosquitto", true, true),
        false => {
            let folder = broker.folder.display();
            say(format_args!(
                "To do, so that it counts: take {folder}/ to the broker (to each member of a cluster) and restart it"
            ));
            true
        }
    };
    open.ledger.untold = !told;
    open.save().map_err(at(places.state().display()))
}

/// Starts a service anew, where there are services here; what fails is told: all files are right by then. Says whether it runs
/// with them, or somebody has been told to see to it.
fn restart(places: &Places, service: &str, changed: bool, may: bool) -> bool {
    if !changed {
        return true;
    }
    if !may || !places.is_this_machine() || !Path::new("/run/systemd/system").is_dir() {
        say(format_args!("To do, so that it counts: systemctl restart {service}"));
        return true;
    }
    let mut command = Program::new("systemctl");
    let done = command.args(["restart", service]).stdin(Stdio::null()).status();
    let done = done.is_ok_and(|status| status.success());
    match done {
        true => say(format_args!("{service} was started anew.")),
        false => say(format_args!("{service} did not start: journalctl -u {service} says why")),
    }
    done
}
