//! `sedge site`: the authority of a site, and the registrar that boards ask.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the words of the command line |
//! | [`commands`] | one file per command |
//! | [`authority`] | certificates, and the list of those that count no more |
//! | [`ledger`] | who has joined and which tokens there are, on the disk |
//! | [`admission`] | whether a board may join: a decision without a file or a clock |
//! | [`registrar`] | the plugin that boards ask |
//! | [`fragments`] | the config that boards are given |
//! | [`mosquitto`] | the broker's files |
//! | [`places`] | where all of it lies |
//!
//! `sedge-site registrar` is started by a node, as its `plugin.toml` says; anything else is typed by a person, who is root.
//!
//! It must not hand out a key that it did not make for that, nor keep one that it handed out.

mod admission;
mod authority;
mod cli;
mod commands;
mod files;
mod fragments;
mod ledger;
mod mosquitto;
mod places;
mod registrar;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    if let cli::Command::Registrar = cli.command {
        return sedge_sdk::plugin::<registrar::Registrar>();
    }
    match commands::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(format_args!("error: {error}"));
            ExitCode::from(error.code())
        }
    }
}
