//! The log: lines on standard error.
//!
//! `SEDGE_LOG=debug`, or by module: `SEDGE_LOG=info,sedge_mqtt=trace`.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::cli::{Cli, Colour, Command, Global};

/// What libraries say at these levels is no operator's matter.
const QUIET: &str = "kameo=warn,rustls=error,mqtt5=error,mqtt5_protocol=error";

/// Installs the log. A second call changes nothing.
pub(crate) fn install(cli: &Cli) {
    let global = &cli.global;
    // Between the lines that a command prints for a person there is no place for lines of information.
    let usual = match &cli.command {
        // It tells itself what could not be read.
        Command::Run(args) if args.once => LevelFilter::OFF,
        Command::Run(_) => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => usual,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let asked = std::env::var("SEDGE_LOG").unwrap_or_default();
    let filter = format!("{},{QUIET},{asked}", level.to_string().to_lowercase());
    let filter = filter.trim_end_matches(',').parse().unwrap_or_else(|_| Targets::new().with_default(level));
    // The journal puts its own time in front of every line.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(coloured(global, std::io::stderr().is_terminal()))
        .with_target(global.verbose > 0);
    let layer = if journal { layer.without_time().boxed() } else { layer.boxed() };
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

/// Whether to print colours to something that is, or is not, a terminal.
pub(crate) fn coloured(global: &Global, terminal: bool) -> bool {
    match global.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
    }
}
