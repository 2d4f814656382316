//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sedge_plugin::Id;

/// The authority of a site: certificates and join tokens for nodes.
#[derive(Debug, Parser)]
#[command(name = "sedge site", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 78 config error.")]
pub struct Cli {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Work below another root
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the site on the broker machine: authority, Mosquitto's files, registrar. May be run again
    Init(InitArgs),
    /// Make a token with which boards join
    Token(TokenArgs),
    /// Make a token for one board, which needs no registrar
    Add {
        /// The board's id
        #[arg(value_name = "ID", value_parser = id)]
        id: Id,
        /// Its group, for the list
        #[arg(long, value_name = "GROUP", value_parser = id)]
        group: Option<Id>,
    },
    /// Make a certificate for a person or a program that reads all nodes and calls their tools
    Operator {
        /// Who it is
        #[arg(value_name = "NAME", value_parser = id)]
        name: Id,
        /// It only reads
        #[arg(long)]
        read_only: bool,
        /// The folder for its files [default: NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List nodes, tokens and operators
    List,
    /// Shut a node or an operator out; its name stays taken
    Revoke {
        /// Who it is
        #[arg(value_name = "ID", value_parser = id)]
        id: Id,
    },
    /// Shut a node or an operator out and free its name, as for a board that takes its place
    Forget {
        /// Who it is
        #[arg(value_name = "ID", value_parser = id)]
        id: Id,
    },
    /// Shut a token out; boards that joined with it stay
    RevokeToken {
        /// Its name, as `list` has it, or the token
        #[arg(value_name = "TOKEN")]
        token: String,
    },
    /// Check the config that boards are given
    Check,
    /// Answer boards; a node starts this
    #[command(hide = true)]
    Registrar,
}

/// What the site is.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Names and addresses under which boards reach this machine, such as broker.local [default: as before]
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Where the broker listens [default: as before, or 8883]
    #[arg(long)]
    pub port: Option<u16>,
    /// The id of the node on this machine, which is the registrar [default: as before, or the host's name]
    #[arg(long, value_parser = id)]
    pub id: Option<Id>,
    /// Take this certificate of an authority instead of making one
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    pub ca: Option<PathBuf>,
    /// Its key, PEM in PKCS #8
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub ca_key: Option<PathBuf>,
    /// Leave /etc/mosquitto alone; the broker's files are written to /etc/sedge-site/mosquitto
    #[arg(long)]
    pub no_mosquitto: bool,
    /// Restart no service
    #[arg(long)]
    pub no_restart: bool,
}

/// For whom a token is.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// How many boards may join with it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub uses: u32,
    /// How long
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = valid)]
    pub valid: Duration,
    /// Their group: they are given config/GROUP.toml
    #[arg(long, value_name = "GROUP", value_parser = id)]
    pub group: Option<Id>,
}

fn id(text: &str) -> Result<Id, String> {
    Id::new(text).map_err(|error| error.to_string())
}

fn valid(text: &str) -> Result<Duration, String> {
    let time = sedge_plugin::duration::parse(text).map_err(|error| error.to_string())?;
    let range = Duration::from_secs(60)..=Duration::from_secs(365 * 24 * 3600);
    if range.contains(&time) { Ok(time) } else { Err("from 1m to 365d".into()) }
}

/// Prints a line.
pub fn say(text: impl std::fmt::Display) {
    use std::io::Write as _;
    // Whoever has gone, as behind `| head`, misses nothing.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a line on standard error.
pub fn complain(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        assert!(valid("24h").is_ok() && valid("365d").is_ok() && valid("1s").is_err() && valid("x").is_err());
    }
}
