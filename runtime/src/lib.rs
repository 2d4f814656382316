//! The node as a program: composition root and command line.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the words of the command line |
//! | [`commands`] | one file per command |
//! | [`load`] | finds, reads and checks the config |
//! | [`catalogue`] | all kinds that this program has |
//! | [`shelf`] | the plugins on disk, as kinds of a config |
//! | [`assemble`] | makes plugins of a config |
//! | [`control`] | how the command line asks the node on this machine |
//! | [`outbox`] | the journal of readings |
//! | `service` | says to systemd how the node fares |
//! | [`synced`] | tells when the wall time became known |
//! | [`broker`] | the embedded broker |
//! | [`exit`] | how a command ends |
//! | [`identity`] | the id that a new board gets |
//! | [`extend`] | a program with plugins of one's own |
//!
//! Only this crate reads the environment, the config file and the command line, and only it installs a log.

pub mod assemble;
#[cfg(feature = "embedded-broker")]
pub mod broker;
pub mod buses;
mod callers;
pub mod catalogue;
pub mod cli;
pub mod commands;
pub mod control;
mod credentials;
mod devices;
pub mod exit;
pub mod extend;
mod gpio;
mod http;
pub mod identity;
pub mod load;
mod log;
pub mod outbox;
pub mod outside;
mod place;
mod remotes;
mod requirements;
mod roster;
mod service;
pub mod shelf;
mod show;
pub mod synced;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

pub use extend::with;

use cli::{
    CallerCommand, Cli, Command, ConfigCommand, NodeCommand, OutboxCommand, PluginCommand, ReadingsCommand,
    SensorCommand, ToolCommand,
};
use exit::Failure;

/// Reads the command line, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    log::install(&cli);
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(&cli.global);
            ExitCode::from(failure.code())
        }
    }
}

/// The command line; with the commands of plugins, where it is to be described.
fn command() -> clap::Command {
    let command = Cli::command();
    let mut words = std::env::args_os().skip(1);
    if !words.next().is_some_and(|word| word == "--help" || word == "-h") || words.next().is_some() {
        return command;
    }
    let all = commands::other::of_plugins(&cli::Global::default());
    if all.is_empty() {
        return command;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines: String = all.iter().map(|(name, about)| format!("  {name:<10} {about}\n")).collect();
    command.after_help(format!("Commands of plugins:\n{lines}\n{after}"))
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Check(args) => return commands::check::check(global, args),
        Command::Sensor { command: SensorCommand::Kinds { kind } } => {
            return commands::sensor::kinds(global, kind.as_deref());
        }
        Command::Config { command: ConfigCommand::Show(args) } => {
            return commands::config::show(global, args);
        }
        Command::Config { command: ConfigCommand::Get { key } } => return commands::config::get(global, key),
        Command::Config { command: ConfigCommand::Schema } => return commands::config::schema(global),
        Command::Plugin { command: PluginCommand::Check { path } } => {
            return commands::plugin::check(global, path.as_deref());
        }
        Command::Plugin { command: PluginCommand::New(args) } => {
            return commands::plugin_new::new(global, args);
        }
        Command::Plugin { command: PluginCommand::Sums { folder } } => {
            return commands::plugin_new::sums(global, folder);
        }
        Command::Caller { command: CallerCommand::New(args) } => return commands::caller::new(global, args),
        Command::Tool { command: ToolCommand::Audit(args) } => return commands::audit::audit(global, args),
        Command::Version => return commands::version::version(global),
        Command::Man(args) => return commands::man::man(args),
        Command::Completions(args) => return commands::completions::completions(args),
        Command::Component { folder, cache, keys } => {
            return commands::component::component(folder, cache, keys);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        match &cli.command {
            Command::Run(args) if args.once => commands::once::once(global, args).await,
            Command::Run(args) => commands::run::run(global, args).await,
            Command::Demo(args) => commands::demo::demo(global, args).await,
            Command::Init(args) => commands::init::init(global, args).await,
            Command::Doctor(args) => commands::doctor::doctor(global, args).await,
            Command::Sensor { command: SensorCommand::Scan(args) } => {
                commands::scan::scan(global, args).await
            }
            Command::Sensor { command: SensorCommand::Read(args) } => {
                commands::read::read(global, args).await
            }
            Command::Sensor { command: SensorCommand::Record(args) } => {
                commands::record::record(global, args).await
            }
            Command::Readings { command: ReadingsCommand::Tail(args) } => {
                commands::readings::tail(global, args).await
            }
            Command::Node { command: NodeCommand::List } => {
                in_time(global, commands::fleet::list(global)).await
            }
            Command::Node { command: NodeCommand::Info { node } } => {
                in_time(global, commands::fleet::info(global, node)).await
            }
            Command::Node { command: NodeCommand::Status { node } } => {
                in_time(global, commands::fleet::check(global, node.as_deref())).await
            }
            Command::Node { command: NodeCommand::Watch } => commands::fleet::watch(global).await,
            Command::Node { command: NodeCommand::Decommission(args) } => {
                in_time(global, commands::fleet::decommission(global, args)).await
            }
            Command::Node { command: NodeCommand::Join(args) } => commands::join::join(global, args).await,
            Command::Tool { command: ToolCommand::List } => {
                in_time(global, commands::tool::list(global)).await
            }
            Command::Tool { command: ToolCommand::Info(args) } => {
                in_time(global, commands::tool::info(global, args)).await
            }
            Command::Tool { command: ToolCommand::Call(args) } => {
                in_time(global, commands::tool::call(global, args)).await
            }
            Command::Readings { command: ReadingsCommand::Last { sensor } } => {
                in_time(global, commands::readings::last(global, sensor.as_deref())).await
            }
            Command::Readings { command: ReadingsCommand::Query(args) } => {
                in_time(global, commands::readings::query(global, args)).await
            }
            Command::Readings { command: ReadingsCommand::Export(args) } => {
                in_time(global, commands::readings::export(global, args)).await
            }
            Command::Outbox { command: OutboxCommand::Status } => {
                in_time(global, commands::outbox::status(global)).await
            }
            Command::Outbox { command: OutboxCommand::Inspect { from, count } } => {
                in_time(global, commands::outbox::inspect(global, *from, *count)).await
            }
            Command::Outbox { command: OutboxCommand::Verify } => {
                in_time(global, commands::outbox::verify(global)).await
            }
            Command::Plugin { command: PluginCommand::List } => {
                in_time(global, commands::plugin::list(global)).await
            }
            Command::Plugin { command: PluginCommand::Info(args) } => {
                in_time(global, commands::plugin::info(global, &args.name)).await
            }
            Command::Plugin { command: PluginCommand::Install(args) } => {
                commands::plugin_install::install(global, args).await
            }
            Command::Plugin { command: PluginCommand::Upgrade(args) } => {
                commands::plugin_install::upgrade(global, args).await
            }
            Command::Plugin { command: PluginCommand::Remove(args) } => {
                commands::plugin_install::remove(global, args).await
            }
            Command::Plugin { command: PluginCommand::Enable(args) } => {
                in_time(global, commands::plugin::switch(global, &args.name, true)).await
            }
            Command::Plugin { command: PluginCommand::Disable(args) } => {
                in_time(global, commands::plugin::switch(global, &args.name, false)).await
            }
            Command::Hooks(args) => in_time(global, commands::hooks::hooks(global, args)).await,
            Command::Metrics(args) => in_time(global, commands::metrics::metrics(global, args)).await,
            Command::Reload => in_time(global, commands::reload::reload(global)).await,
            Command::Other(words) => in_time(global, commands::other::other(global, words)).await,
            Command::Check(_) | Command::Sensor { .. } | Command::Config { .. } | Command::Version => Ok(()),
            Command::Plugin {
                command: PluginCommand::Check { .. } | PluginCommand::New(_) | PluginCommand::Sums { .. },
            } => Ok(()),
            Command::Component { .. } | Command::Man(_) | Command::Completions(_) => Ok(()),
            Command::Caller { .. } | Command::Tool { command: ToolCommand::Audit(_) } => Ok(()),
        }
    });
    // A thread that a driver blocks must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    result
}

/// Waits for a command as long as `--timeout` says, if it does.
async fn in_time(
    global: &cli::Global,
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let Some(timeout) = global.timeout else { return command.await };
    match tokio::time::timeout(timeout.0, command).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Failed(format!("no answer within {timeout}"))),
    }
}
