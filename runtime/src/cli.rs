//! The words of the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use sedge_plugin::Every;

/// Sensors and tools of small Linux boards, over MQTT.
#[derive(Debug, Parser)]
#[command(name = "sedge", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 75 broker unreachable, 78 config error.")]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What applies to every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Config file [default: ./sedge.toml, then /etc/sedge/sedge.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Broker to talk to [default: the one in the config, then mqtt://127.0.0.1:1883]
    #[arg(long, global = true, value_name = "URL")]
    pub broker: Option<String>,
    /// Node to talk to, or `all` [default: all]
    #[arg(long, global = true, value_name = "ID")]
    pub node: Option<String>,
    /// Print JSON: one value, or one per line where there is no end
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more: -v what is done, -vv everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say only what is wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Colours
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// How long to wait for an answer, such as 10s
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Every>,
}

/// When to print colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node
    Run(RunArgs),
    /// Run a node to look at: this machine and some simulated sensors, with a broker inside
    Demo(DemoArgs),
    /// Check a config without starting anything
    Check(CheckArgs),
    /// Readings of nodes
    Readings {
        /// What to do.
        #[command(subcommand)]
        command: ReadingsCommand,
    },
    /// Kinds of sensors
    Sensor {
        /// What to do.
        #[command(subcommand)]
        command: SensorCommand,
    },
    /// Tools of nodes
    Tool {
        /// What to do.
        #[command(subcommand)]
        command: ToolCommand,
    },
    /// Print the version
    Version,
}

/// How to run a node.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Read every sensor once, print, exit; needs no broker
    #[arg(long)]
    pub once: bool,
    /// Simulate all buses
    #[arg(long)]
    pub sim: bool,
}

/// How to run the demo.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Port of the broker; a free one is taken where it is in use
    #[arg(long, default_value_t = 1883)]
    pub port: u16,
}

/// What to check.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Config file; the same as --config
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Warnings are errors
    #[arg(long)]
    pub deny_warnings: bool,
}

/// What to do with readings.
#[derive(Debug, Subcommand)]
pub enum ReadingsCommand {
    /// Print readings as they come
    Tail(TailArgs),
}

/// Which readings.
#[derive(Debug, Clone, Args)]
pub struct TailArgs {
    /// SENSOR, or NODE/SENSOR; `+` or `*` stands for any
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,
    /// End after so many readings
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u64>,
}

/// What to do with sensors.
#[derive(Debug, Subcommand)]
pub enum SensorCommand {
    /// List the kinds that a config may name
    Kinds,
}

/// What to do with tools.
#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// List tools
    List,
    /// Describe a tool
    Info(ToolName),
    /// Call a tool
    Call(CallArgs),
}

/// Which tool.
#[derive(Debug, Clone, Args)]
pub struct ToolName {
    /// TOOL, or NODE/TOOL
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Which tool, with which arguments.
#[derive(Debug, Clone, Args)]
pub struct CallArgs {
    /// Which tool.
    #[command(flatten)]
    pub tool: ToolName,
    /// Arguments, such as on=true
    #[arg(value_name = "KEY=VALUE")]
    pub pairs: Vec<String>,
    /// All arguments as a JSON object
    #[arg(long, value_name = "JSON", conflicts_with = "pairs")]
    pub args: Option<String>,
}

fn duration(text: &str) -> Result<Every, String> {
    sedge_plugin::duration::parse(text).map(Every).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
