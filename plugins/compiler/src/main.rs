//! `sedge-compile`: makes of a plugin's WebAssembly what a node loads.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::sys::resource::{Resource, setrlimit};
use sedge_compile::{Target, build, native};
use sedge_host::wasm::MAX_COMPONENT;

const USAGE: &str = "\
Makes of a plugin's WebAssembly what a node loads.

Usage: sedge-compile PLUGIN_FOLDER|FILE.wasm [--target TARGET]… [--output FOLDER]

It writes the component, and its native code into `compiled/`, beside it or into FOLDER.
TARGET: host (unless said otherwise), x86_64, aarch64, armv7, armv6, pulley32, pulley64, or all.
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(said) => {
            let _ = std::io::stdout().write_all(&said);
            ExitCode::SUCCESS
        }
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<Vec<u8>, String> {
    if let [first, target] = &*arguments
        && first == "--native"
    {
        return pipe(target.parse()?);
    }
    let mut from = None;
    let mut output = None;
    let mut targets = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (word, mut value) = match argument.split_once('=') {
            Some((word, value)) if word.starts_with("--") => (word.to_owned(), Some(value.to_owned())),
            _ => (argument, None),
        };
        let mut value = || {
            value
                .take()
                .or_else(|| arguments.next())
                .ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))
        };
        match &*word {
            "-h" | "--help" => return Ok(USAGE.into()),
            "-V" | "--version" => {
                let fingerprint = sedge_host::wasm::fingerprint();
                return Ok(
                    format!("sedge-compile {} (wasmtime {fingerprint})\n", env!("CARGO_PKG_VERSION")).into()
                );
            }
            "--target" => match &*value()? {
                "all" => targets.extend(Target::ALL),
                target => targets.push(target.parse()?),
            },
            "--output" => output = Some(PathBuf::from(value()?)),
            _ if word.starts_with('-') || from.is_some() => {
                return Err(format!("what is {word}?\n\n{USAGE}"));
            }
            _ => from = Some(PathBuf::from(&word)),
        }
    }
    let from = from.ok_or(USAGE)?;
    targets.sort_unstable();
    targets.dedup();
    if targets.is_empty() {
        targets.push(Target::host());
    }
    let made = build(&from, output.as_deref(), &targets).map_err(|error| error.to_string())?;
    let files = std::iter::once(made.component).chain(made.artefacts);
    Ok(files.map(|file| format!("{}\n", file.display())).collect::<String>().into_bytes())
}

/// A component comes in, its native code goes out: what a node asks for. It may be anybody's, so there is an end to it.
fn pipe(target: Target) -> Result<Vec<u8>, String> {
    let limits = [(Resource::RLIMIT_CPU, 300), (Resource::RLIMIT_AS, 3 << 29), (Resource::RLIMIT_CORE, 0)];
    for (resource, most) in limits {
        setrlimit(resource, most, most).map_err(|error| format!("no limit could be set: {error}"))?;
    }
    let mut component = Vec::new();
    std::io::stdin()
        .take(MAX_COMPONENT)
        .read_to_end(&mut component)
        .map_err(|error| format!("the component cannot be read: {error}"))?;
    native(&component, target).map_err(|error| error.to_string())
}
