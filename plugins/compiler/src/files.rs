//! From a file or a plugin's folder to the files that a node loads.

use std::fs;
use std::path::{Path, PathBuf};

use sedge_host::manifest::MANIFEST_FILE;
use sedge_host::wasm::{COMPILED, MAX_COMPONENT, Target, artefact_name};
use sha2::{Digest, Sha256};

use crate::{Error, component, native};

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The component.
    pub component: PathBuf,
    /// Its native code, one per target.
    pub artefacts: Vec<PathBuf>,
}

/// Makes of a plugin's folder, or of a `.wasm` file, a component and native code for these targets: `NAME.wasm`,
/// `compiled/TARGET-FINGERPRINT.cwasm`, and their hashes in `compiled/SHA256SUMS`.
///
/// # Errors
/// What cannot be read, made or written. Nothing is written before all is made.
pub fn build(from: &Path, output: Option<&Path>, targets: &[Target]) -> Result<Made, Error> {
    let file = if from.is_dir() { from.join(entry_of(from)?) } else { from.to_owned() };
    let folder = match output {
        Some(output) => output.to_owned(),
        None if from.is_dir() => from.to_owned(),
        None => file.parent().map_or_else(|| ".".into(), Path::to_owned),
    };
    let name = match output {
        Some(output) if output.join(MANIFEST_FILE).exists() => entry_of(output)?.into(),
        _ => file.file_name().map(PathBuf::from).unwrap_or_default(),
    };
    let read = fs::metadata(&file).and_then(|metadata| match metadata.len() {
        length if length > MAX_COMPONENT => Err(std::io::Error::other("it is larger than 16 MiB")),
        _ => fs::read(&file),
    });
    let wasm = read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound if from.is_dir() => {
            let hint = "there is none yet. Build it (`cargo build --release --target wasm32-unknown-unknown`), and run \
                        `sedge-compile target/wasm32-unknown-unknown/release/NAME.wasm --output` with this folder";
            Error::File { file: file.display().to_string(), error: hint.into() }
        }
        _ => at(&file)(error),
    })?;
    let of = |error: Error| match error {
        error @ Error::File { .. } => error,
        error => Error::File { file: file.display().to_string(), error: error.to_string() },
    };
    let made = component(&wasm).map_err(of)?;
    let natives = targets.iter().map(|target| native(&made, *target).map(|code| (*target, code)));
    let natives: Vec<(Target, Vec<u8>)> = natives.collect::<Result<_, _>>().map_err(of)?;

    let compiled = folder.join(COMPILED);
    fs::create_dir_all(&compiled).map_err(at(&compiled))?;
    let to = folder.join(&name);
    if made != wasm || to != file {
        write(&to, &made)?;
    }
    let mut artefacts = Vec::new();
    for (target, code) in natives {
        let path = compiled.join(artefact_name(target));
        write(&path, &code)?;
        artefacts.push(path);
    }
    sums(&compiled)?;
    Ok(Made { component: to, artefacts })
}

/// The component that a plugin's manifest names. It need not be there yet, so the manifest is not checked any further.
fn entry_of(folder: &Path) -> Result<String, Error> {
    let manifest = folder.join(MANIFEST_FILE);
    let text = fs::read_to_string(&manifest).map_err(at(&manifest))?;
    let failed = |error: String| Error::File { file: manifest.display().to_string(), error };
    let table = toml::de::DeTable::parse(&text).map_err(|error| failed(error.to_string()))?;
    let entry = table.get_ref().get("entry").and_then(|entry| entry.get_ref().as_table());
    let name = entry.and_then(|entry| entry.get("wasm")).and_then(|name| name.get_ref().as_str());
    let name = name.ok_or_else(|| failed("it names no component: `[entry] wasm = \"NAME.wasm\"`".into()))?;
    if Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Ok(name.to_owned());
    }
    Err(failed(format!("`{name}` is not a file below the plugin's folder")))
}

/// The hashes of all artefacts there, as `sha256sum -c` reads them.
fn sums(folder: &Path) -> Result<(), Error> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.extension().is_none_or(|extension| extension != "cwasm") {
            continue;
        }
        let hash = Sha256::digest(fs::read(&path).map_err(at(&path))?);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        lines.push(format!("{name}\0{hash}  {name}\n"));
    }
    lines.sort();
    let text: String = lines.iter().filter_map(|line| line.split_once('\0')).map(|(_, line)| line).collect();
    write(&folder.join("SHA256SUMS"), text.as_bytes())
}

/// Whole, or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(new);
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map_err(at(path))
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let file = path.display().to_string();
    move |error| Error::File { file: file.clone(), error: error.to_string() }
}
