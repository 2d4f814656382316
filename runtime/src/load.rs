//! Finds, reads and checks the config.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use sedge_config::{Config, Diagnostic, Severity};

use crate::catalogue::catalogue;
use crate::cli::Global;
use crate::exit::Failure;
use crate::log::coloured;

/// Mistakes that are shown to a person at once.
const MOST_SHOWN: usize = 20;
/// Where a config is looked for when none is named.
const PLACES: [&str; 2] = ["sedge.toml", "/etc/sedge/sedge.toml"];

/// A config file and what it says.
#[derive(Debug)]
pub struct Loaded {
    /// The file, as it is named to people.
    pub file: String,
    /// Its text.
    pub text: String,
    /// What it says; none where a mistake is fatal.
    pub config: Option<Config>,
    /// Its mistakes.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Checks a text.
    pub fn new(file: &str, text: String) -> Self {
        let outcome = sedge_config::parse(file, &text, &catalogue());
        Self { file: file.into(), text, config: outcome.config, diagnostics: outcome.diagnostics }
    }

    /// How many mistakes and how many warnings there are.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        (errors, self.diagnostics.len() - errors)
    }

    /// Shows all mistakes on standard error, each with its line of the file.
    #[expect(clippy::print_stderr, reason = "this is what tells a person")]
    pub fn show(&self, global: &Global) {
        let colour = coloured(global, std::io::stderr().is_terminal());
        for diagnostic in self.diagnostics.iter().take(MOST_SHOWN) {
            eprintln!("{}\n", diagnostic.render(&self.text, colour).trim_end());
        }
        if self.diagnostics.len() > MOST_SHOWN {
            eprintln!(
                "and {} more; `sedge check --json` tells them all",
                self.diagnostics.len() - MOST_SHOWN
            );
        }
    }
}

/// The config that is named, or the first that is found.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(file) => Some(file.into()),
        None => PLACES.iter().map(PathBuf::from).find(|file| file.exists()),
    }
}

/// Reads the config that is named, or the first that is found.
pub fn load(named: Option<&Path>) -> Result<Loaded, Failure> {
    let file = find(named).ok_or_else(|| {
        Failure::Config(format!(
            "there is no config: neither {} nor {}; name one with -c FILE, or look at `sedge demo`",
            PLACES[0], PLACES[1]
        ))
    })?;
    let shown = file.display().to_string();
    match std::fs::read(&file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Loaded::new(&shown, text)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count() + 1;
                Err(Failure::Config(format!(
                    "{shown}:{line}: not a text: TOML is UTF-8, and this line is not"
                )))
            }
        },
        Err(error) => Err(Failure::Config(format!("cannot read {shown}: {error}"))),
    }
}
