//! `sedge plugin new` and `sedge plugin sums`: for those who write plugins.

use std::path::{Path, PathBuf};

use sedge_host::install::{self, Kind, Language, NewError};
use serde_json::json;

use crate::cli::{Global, NewPluginArgs, PluginKind, PluginLanguage};
use crate::exit::Failure;
use crate::show::say;

/// Where a clone of Sedge has its SDK for Rust.
const SDK: &str = "plugins/sdk/rust/Cargo.toml";

/// Writes a plugin to begin with.
pub fn new(global: &Global, args: &NewPluginArgs) -> Result<(), Failure> {
    let kind = match args.kind {
        PluginKind::Sensor => Kind::Sensor,
        PluginKind::Tool => Kind::Tool,
        PluginKind::Processor => Kind::Processor,
    };
    let language = match args.lang {
        PluginLanguage::Rust => Language::Rust,
        PluginLanguage::Python => Language::Python,
        PluginLanguage::Wasm => Language::Wasm,
    };
    let below = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let clone = match &args.sdk {
        Some(clone) if !clone.join(SDK).is_file() => {
            let why = "expected a clone of Sedge";
            return Err(Failure::Usage(format!("--sdk {}: there is no {SDK}; {why}", clone.display())));
        }
        Some(clone) => Some(clone.canonicalize().unwrap_or_else(|_| clone.clone())),
        None => clone_near(&below),
    };
    let folder =
        install::create(kind, language, &args.name, &below, clone.as_deref()).map_err(
            |error| match error {
                NewError::Name(_) => Failure::Usage(error.to_string()),
                _ => Failure::Failed(error.to_string()),
            },
        )?;
    if global.json {
        return say(json!({ "name": args.name, "folder": folder }));
    }
    let test = if language == Language::Python { "python3 -m unittest" } else { "cargo test" };
    say(format_args!(
        "{} is there. Next:\n  cd {}\n  {test}\nREADME.md there says how it gets into a node.",
        folder.display(),
        folder.display()
    ))
}

/// The clone of Sedge that the new plugin, or this program, lies in.
fn clone_near(below: &Path) -> Option<PathBuf> {
    let starts = [std::path::absolute(below).ok(), std::env::current_exe().ok()];
    let found = starts.iter().flatten().flat_map(|start| start.ancestors());
    let mut clones = found.filter(|folder| folder.join(SDK).is_file());
    clones.next().map(Path::to_path_buf)
}

/// Writes the list of a plugin's files, to be signed.
pub fn sums(global: &Global, folder: &Path) -> Result<(), Failure> {
    let file = install::write_sums(folder).map_err(|error| Failure::Failed(error.to_string()))?;
    if global.json {
        return say(json!({ "file": file }));
    }
    say(format_args!(
        "{} is written. Sign it: minisign -Sm {} -x {}",
        file.display(),
        file.display(),
        folder.join(install::SIGNATURE_FILE).display()
    ))
}
