//! The words of the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use sedge_plugin::Every;

/// Sensors and tools of small Linux boards, over MQTT.
#[derive(Debug, Parser)]
#[command(name = "sedge", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 some of several failed, 75 broker unreachable, 78 config error."
)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What applies to every command.
#[derive(Debug, Clone, Default, Args)]
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
    /// Set a key of the config for this run, such as sensor.kitchen.every=5s
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Ask the node on this machine, not the broker
    #[arg(long, global = true)]
    pub local: bool,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Colour {
    /// On a terminal
    #[default]
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
    /// Write a config for this board, with the sensors that are connected
    Init(InitArgs),
    /// Check a config without starting anything
    Check(CheckArgs),
    /// Look for what keeps a node from working, and say what to do about it
    Doctor(DoctorArgs),
    /// Readings of nodes
    Readings {
        /// What to do.
        #[command(subcommand)]
        command: ReadingsCommand,
    },
    /// The journal in which readings wait until everybody has them
    Outbox {
        /// What to do.
        #[command(subcommand)]
        command: OutboxCommand,
    },
    /// Sensors: what there is, what is connected, what it says
    Sensor {
        /// What to do.
        #[command(subcommand)]
        command: SensorCommand,
    },
    /// Nodes: who is there and how each fares
    Node {
        /// What to do.
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Tools of nodes
    Tool {
        /// What to do.
        #[command(subcommand)]
        command: ToolCommand,
    },
    /// Those who sign calls of tools
    Caller {
        /// What to do.
        #[command(subcommand)]
        command: CallerCommand,
    },
    /// The config as it is meant
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Plugins: what they are and how they fare
    Plugin {
        /// What to do.
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Topics of the bus, and who subscribes to them in which order
    Hooks(HooksArgs),
    /// What the node and its plugins count
    Metrics(MetricsArgs),
    /// Have the node on this machine read its config again
    Reload,
    /// Print the version
    Version,
    /// Print the manual page, or write all of them
    Man(ManArgs),
    /// Print the script with which a shell completes this command line
    Completions(CompletionsArgs),
    /// Run a component for a node
    #[command(name = "__component", hide = true)]
    Component {
        /// The plugin's folder.
        folder: PathBuf,
        /// Where native code is kept.
        cache: PathBuf,
        /// Keys whose signatures count.
        keys: Vec<String>,
    },
    /// A command that a plugin offers, or a program `sedge-NAME` on the PATH
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// Where manual pages go.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Write all pages into this folder, a file each
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Which script.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// What to do with the config.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the config with all that is laid over it; secrets are masked
    Show(ShowArgs),
    /// Print the value of one key, such as sensor.kitchen.every
    Get {
        /// The key.
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Print the JSON Schema of the config, for editors
    Schema,
}

/// How to show the config.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Say of each key where its value comes from
    #[arg(long)]
    pub sources: bool,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// List plugins with their states
    List,
    /// Describe a plugin
    Info(PluginName),
    /// Check plugins without running them
    Check {
        /// A plugin's folder, or a folder of plugins [default: all that are found]
        #[arg(value_name = "PATH")]
        path: Option<PathBuf>,
    },
    /// Install a plugin from a directory, an archive, git, or PyPI
    Install(InstallArgs),
    /// Remove a plugin that was installed
    Remove(RemoveArgs),
    /// Bring installed plugins to what their sources have now
    Upgrade(UpgradeArgs),
    /// Write a plugin to begin with, that builds and passes its own test
    New(NewPluginArgs),
    /// Write the list of a plugin's files, to be signed with minisign
    Sums {
        /// The plugin's folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Switch a plugin, sensor, processor or destination on, in the config
    Enable(PluginName),
    /// Switch a plugin, sensor, processor or destination off, in the config
    Disable(PluginName),
}

/// Into which folder of plugins.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// The user's own plugins [default, but for root]
    #[arg(long, conflicts_with_all = ["system", "to"])]
    pub user: bool,
    /// The machine's plugins: /usr/local/lib/sedge/plugins [default for root]
    #[arg(long, conflicts_with = "to")]
    pub system: bool,
    /// Another folder of plugins, such as `plugins` beside the config
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// What to install.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Sources: DIR, FILE.tar.gz[@SHA256], https://HOST/FILE.tgz[@SHA256], https://HOST/REPOSITORY.git[#REV], \
git@HOST:PATH, file:///PATH.git, pypi:NAME[==VERSION]."
)]
pub struct InstallArgs {
    /// Where it is from
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Into which folder.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Link a directory instead of copying it, to work on it
    #[arg(long, conflicts_with = "dry_run")]
    pub link: bool,
    /// Do all but that
    #[arg(long)]
    pub dry_run: bool,
    /// Do not start it once to see that it loads
    #[arg(long)]
    pub no_start: bool,
}

/// What to upgrade.
#[derive(Debug, Clone, Args)]
pub struct UpgradeArgs {
    /// Only these [default: all that were installed]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// In which folder.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Accept what a new version asks for beyond what was accepted
    #[arg(long, requires = "names")]
    pub grant: bool,
    /// Replace what was changed by hand
    #[arg(long)]
    pub force: bool,
    /// Do all but that
    #[arg(long)]
    pub dry_run: bool,
    /// Do not start it once to see that it loads
    #[arg(long)]
    pub no_start: bool,
}

/// What to remove.
#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// From which folder.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// What a new plugin is.
#[derive(Debug, Clone, Args)]
pub struct NewPluginArgs {
    /// What it is called
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it does
    #[arg(long, value_enum)]
    pub kind: PluginKind,
    /// What it is written in
    #[arg(long, value_enum)]
    pub lang: PluginLanguage,
    /// The folder in which its own is made [default: this one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// A clone of Sedge, whose SDK it takes [default: the one around, else crates.io]
    #[arg(long, value_name = "CLONE")]
    pub sdk: Option<PathBuf>,
}

/// What a new plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PluginKind {
    /// Measures something
    Sensor,
    /// Offers a tool
    Tool,
    /// Is a step of the path of a reading
    Processor,
}

/// What a new plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PluginLanguage {
    /// Rust, as a process
    Rust,
    /// Python
    Python,
    /// Rust, as a WebAssembly component
    Wasm,
}

/// Which plugin.
#[derive(Debug, Clone, Args)]
pub struct PluginName {
    /// Its name, or the id of an instance
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Which topics.
#[derive(Debug, Clone, Args)]
pub struct HooksArgs {
    /// Only this one
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
}

/// Which metrics.
#[derive(Debug, Clone, Args)]
pub struct MetricsArgs {
    /// Only those of this plugin
    #[arg(value_name = "PLUGIN")]
    pub plugin: Option<String>,
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

/// What to write into a first config.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "On a terminal it asks for what is not given; --yes takes the defaults. Elsewhere it never asks. --node is the \
node's id [default: the host name; where every new board is called so, one made of the board's serial number]. --broker is the \
broker, such as mqtts://broker.lan [default: mqtt://127.0.0.1:1883]. The file is -o, or -c, else /etc/sedge/sedge.toml where \
that may be written, else ./sedge.toml. A password never stands in it: it goes to credentials/mqtt-password beside it."
)]
pub struct InitArgs {
    /// Where to write it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What it begins with: edge is a node at a broker, ha is one for Home Assistant, full explains more as comments
    #[arg(long, value_enum, default_value_t = Template::Edge, value_name = "NAME")]
    pub template: Template,
    /// How often sensors are read [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub every: Option<Every>,
    /// The user that the broker knows
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file with the user's password in it
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Do not look for buses and sensors
    #[arg(long)]
    pub no_scan: bool,
    /// Take sensors too that were only guessed by their address, but where an EEPROM may be
    #[arg(long, conflicts_with = "no_scan")]
    pub guesses: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Replace a config that has settings in it; it is kept as FILE.old
    #[arg(long)]
    pub force: bool,
    /// Print what would be written
    #[arg(long)]
    pub dry_run: bool,
    /// Look below another root
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// What a first config begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A node at a broker
    #[default]
    Edge,
    /// A node for Home Assistant
    Ha,
    /// A node at a broker; more is explained, as comments
    Full,
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
    /// Print the latest reading of each sensor of the node on this machine, also where it does not run
    Last {
        /// Only this sensor
        #[arg(value_name = "SENSOR")]
        sensor: Option<String>,
    },
    /// Print past readings of the node on this machine, or what they sum up to
    Query(QueryArgs),
    /// Write past readings of the node on this machine for other programs
    Export(ExportArgs),
}

/// Of which time.
#[derive(Debug, Clone, Args)]
pub struct TimeArgs {
    /// From when on: a time such as 2026-11-20T17:00:00Z, a day, or so long ago, such as 1h
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Until when, and not at it
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Which past readings.
#[derive(Debug, Clone, Args)]
pub struct QueryArgs {
    /// Only these sensors
    #[arg(value_name = "SENSOR")]
    pub sensors: Vec<String>,
    /// Of which time.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Sum up: mean, min, max, first, last, count or sum, with the time of a row, such as mean:1m
    #[arg(long, value_name = "FUNCTION:DURATION")]
    pub agg: Option<String>,
    /// Only this field; may be given several times
    #[arg(long = "field", value_name = "FIELD")]
    pub fields: Vec<String>,
    /// Only the newest, at most so many
    #[arg(short = 'n', long, value_name = "N", value_parser = at_most_a_million)]
    pub limit: Option<usize>,
}

/// Which past readings, in which form, to where.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Only these sensors
    #[arg(value_name = "SENSOR")]
    pub sensors: Vec<String>,
    /// The form
    #[arg(short, long, value_enum)]
    pub format: Format,
    /// Of which time.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Only this field; may be given several times
    #[arg(long = "field", value_name = "FIELD")]
    pub fields: Vec<String>,
    /// Where to write them [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Comma-separated values, a row per field
    Csv,
    /// A JSON object per line, as on MQTT
    Ndjson,
    /// SenML (RFC 8428) in JSON
    Senml,
}

/// What to do with the journal of readings.
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// What it holds, for whom, and what is lost
    Status,
    /// Print what stands in it
    Inspect {
        /// From this position on [default: the newest]
        #[arg(long, value_name = "POSITION")]
        from: Option<u64>,
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", default_value = "20", value_parser = at_most_a_million)]
        count: usize,
    },
    /// Read all of it, and tell what is damaged; ends with 1 where something is
    Verify,
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
    /// List the kinds that a config may name, or tell all about one
    Kinds {
        /// Only this one, with its settings and an example
        #[arg(value_name = "KIND")]
        kind: Option<String>,
    },
    /// Look for devices, and write the config for them
    Scan(ScanArgs),
    /// Read a sensor of the config: the latest reading of the node on this machine, else the device itself
    Read(ReadArgs),
    /// Record what a device and its driver say to each other, as a file that can be played again
    Record(RecordArgs),
}

/// Which sensor to record, how long, and to where.
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    /// Its id in the config
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How long
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "60s")]
    pub lasts: Every,
    /// Where to write it [default: NAME.cassette]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    /// Simulate all buses
    #[arg(long)]
    pub sim: bool,
}

/// Where to look for devices.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Each I2C address is asked for one byte, as `i2cdetect -r` does, and for the id of the kinds that can be there; \
nothing is set up or reset. That is safe for nearly all chips; a few are confused by it (some touch and battery chips, \
chips on a bus of a display or a camera): do not scan a bus that you know nothing of. Some chips answer only after a command \
and stay unseen. In the grid: a number answers, UU belongs to a driver of the kernel, ?? failed, -- is nobody."
)]
pub struct ScanArgs {
    /// Only this bus: a name of the config, or a device such as /dev/i2c-1
    #[arg(long, value_name = "BUS")]
    pub bus: Option<String>,
    /// Look below another root
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// Which sensor to read.
#[derive(Debug, Clone, Args)]
pub struct ReadArgs {
    /// Its id in the config
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Go on until told to stop
    #[arg(short, long)]
    pub watch: bool,
    /// End after so many readings
    #[arg(short = 'n', long, value_name = "N", requires = "watch")]
    pub count: Option<u64>,
}

impl ReadArgs {
    /// How many readings are wanted; none for no end.
    pub fn left(&self) -> Option<u64> {
        if self.watch { self.count } else { Some(1) }
    }
}

/// How to look for trouble.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Look below another root
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes that the broker knows
    List,
    /// Describe a node
    Info {
        /// Its id
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Say whether nodes are well; exit code 3 where some are not, 1 where none is
    Status {
        /// Only this one
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
    /// Print what happens to nodes, as it does
    Watch,
    /// Take back all that a node has left at the broker
    Decommission(Decommission),
    /// Have this board join a site: its id, certificate and config, by a token of `sedge site`
    Join(JoinArgs),
}

/// Which site, and by which token.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The id is that of --node, else of the config, else the host name or, where it is one that every new board has, from the \
serial number. What is written lies beside the config (-c, else /etc/sedge/sedge.toml): site/, credentials/mqtt-key, \
conf.d/50-site.toml, and conf.d/6*-site-*.toml with what the site has for this board. Nothing counts before all of it was checked."
)]
pub struct JoinArgs {
    /// The broker, such as broker.local, or mqtts://broker.local:8883
    #[arg(value_name = "BROKER")]
    pub broker: String,
    /// The token; `-` for standard input
    #[arg(long, value_name = "TOKEN", required_unless_present = "token_file", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// The file with the token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How long to wait for network, broker and registrar, such as 10m at a first boot
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20s")]
    pub wait: Every,
    /// Join though this board has joined already; its key stays, unless the token brings one
    #[arg(long)]
    pub again: bool,
    /// Write what the token brings without trying it at the broker; for a token of one board
    #[arg(long)]
    pub offline: bool,
    /// Leave the service alone [default: it is restarted where it runs or is switched on]
    #[arg(long)]
    pub no_restart: bool,
}

/// Which node is no more.
#[derive(Debug, Clone, Args)]
pub struct Decommission {
    /// Its id
    #[arg(value_name = "NODE")]
    pub name: String,
    /// It is meant
    #[arg(long)]
    pub yes: bool,
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
    /// Who called which tool of the node on this machine, and what came of it
    Audit(AuditArgs),
}

/// Which lines of the audit log.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// Only those of so long, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<Every>,
    /// The last so many [default: 50, or all with --since]
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<usize>,
}

/// What to do with callers.
#[derive(Debug, Subcommand)]
pub enum CallerCommand {
    /// Make a key pair: the private half as a file, the public half as a section for the config of nodes
    New(NewCallerArgs),
}

/// Who it is, and where its key goes.
#[derive(Debug, Clone, Args)]
pub struct NewCallerArgs {
    /// What it is called in the config of nodes
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where to write the private key [default: NAME.key]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
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
    /// Sign the call as this caller of the node's config
    #[arg(long, value_name = "NAME", requires = "key", conflicts_with = "local")]
    pub sign_as: Option<String>,
    /// The file with the caller's private key
    #[arg(long, value_name = "FILE", requires = "sign_as")]
    pub key: Option<PathBuf>,
}

fn at_most_a_million(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "write a number")?;
    if (1..=1_000_000).contains(&number) { Ok(number) } else { Err("from 1 to 1000000".into()) }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as sensor.kitchen.every=5s")?;
    Ok((key.trim().into(), value.trim().into()))
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
