//! Where the native code of a component comes from: the plugin's own `compiled/`, our cache, or the compiler.
//!
//! Nobody checks machine code, so it matters who made it. What lies in `compiled/` is used only where the installation vouches for
//! it by its hash. What this machine has compiled lies in a directory into which only this user and root can write, under the
//! hash of the component, the version of wasmtime and its settings, with its own hash in its head: a worn SD card must not run. A
//! node has no compiler in it; `sedge-compile` is a program of its own, so that what its author has thought up for the compiler
//! meets a process without a socket, and with limits.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sedge_plugin::PluginError;
use sha2::{Digest, Sha256};

use super::ComponentOptions;
use super::load::Vouched;
use super::settings::{Target, artefact_name, fingerprint};

/// The largest component, in bytes.
pub const MAX_COMPONENT: u64 = 16 * 1024 * 1024;

/// The largest artefact, in bytes.
const MAX_ARTEFACT: u64 = 128 * 1024 * 1024;

/// The folder of a plugin that has artefacts.
pub const COMPILED: &str = "compiled";

/// The native code of a component for a target.
pub(super) fn find(options: &ComponentOptions, target: Target) -> Result<Vouched, PluginError> {
    if let Some(artefact) = shipped(options, target) {
        return Ok(artefact);
    }
    let file = options.folder.join(&options.file);
    let component = read(&file, MAX_COMPONENT)
        .map_err(|error| PluginError::failed(format!("{} cannot be read: {error}", file.display())))?;
    let name = format!("{}-{target}-{}.cwasm", hex(&hash(&component)), fingerprint());
    let cached = options.cache.join(name);
    if let Some(artefact) = from_cache(&options.cache, &cached) {
        return Ok(artefact);
    }
    let Some(compiler) = &options.compiler else {
        return Err(PluginError::unmet(no_code(options, target)));
    };
    let artefact = compile(compiler, &component, target)
        .map_err(|error| PluginError::failed(format!("{} cannot be compiled: {error}", file.display())))?;
    if let Err(error) = keep(&options.cache, &cached, &artefact) {
        tracing::warn!(%error, file = %cached.display(), "What was compiled cannot be kept, and is compiled again at the next start.");
    }
    Ok(Vouched(artefact))
}

fn no_code(options: &ComponentOptions, target: Target) -> String {
    let folder = options.folder.display();
    format!(
        "there is no native code of {} for this machine ({target}, wasmtime {}), and no compiler: put `sedge-compile` \
         beside `sedge`, or run `sedge-compile {folder} --target {target}` where there is one, and install the plugin \
         again with its `{COMPILED}`",
        options.folder.join(&options.file).display(),
        fingerprint(),
    )
}

/// What the plugin has brought along, if the installation vouches for it.
fn shipped(options: &ComponentOptions, target: Target) -> Option<Vouched> {
    let path = options.folder.join(COMPILED).join(artefact_name(target));
    let bytes = match read(&path, MAX_ARTEFACT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, file = %path.display(), "Native code of a plugin cannot be read.");
            return None;
        }
    };
    // Hashed here, and these very bytes are loaded.
    if (options.trusted)(&path, &hash(&bytes)) {
        return Some(Vouched(bytes));
    }
    tracing::warn!(file = %path.display(), "Nobody vouches for this native code of a plugin, so it is not used.");
    None
}

/// What this machine has compiled before.
fn from_cache(folder: &Path, path: &Path) -> Option<Vouched> {
    let folder = fs::symlink_metadata(folder).ok()?;
    if !folder.is_dir() || !is_ours(&folder) {
        tracing::warn!(file = %path.display(), "Others can write into this cache, so it is not used.");
        return None;
    }
    let file = open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || !is_ours(&metadata) {
        tracing::warn!(file = %path.display(), "Others can write into this file of the cache, so it is not used.");
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_ARTEFACT).read_to_end(&mut bytes).ok()?;
    match unseal(bytes) {
        Some(artefact) => Some(Vouched(artefact)),
        None => {
            tracing::warn!(file = %path.display(), "A file of the cache has changed since it was written; it is made anew.");
            None
        }
    }
}

/// Only this user, or root, can write into it.
fn is_ours(metadata: &fs::Metadata) -> bool {
    let us = nix::unistd::geteuid().as_raw();
    (metadata.uid() == us || metadata.uid() == 0) && metadata.mode() & 0o022 == 0
}

/// An artefact with its hash before it.
fn seal(artefact: &[u8]) -> Vec<u8> {
    [&hash(artefact), artefact].concat()
}

fn unseal(mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let kept: [u8; 32] = sealed.get(..32)?.try_into().ok()?;
    let artefact = sealed.split_off(32);
    (hash(&artefact) == kept).then_some(artefact)
}

fn keep(folder: &Path, path: &Path, artefact: &[u8]) -> std::io::Result<()> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = folder.join(format!(".{}-{number}.new", std::process::id()));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).and_then(|mut file| {
            file.write_all(&seal(artefact))?;
            file.sync_all()?;
            fs::rename(&new, path)
        });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Has a component compiled, in a process of its own: the component goes in, the artefact comes out.
fn compile(compiler: &Path, component: &[u8], target: Target) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", compiler.display());
    let mut child = Command::new(compiler)
        .args(["--native", &target.to_string()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // It reads all before it writes anything. It may end before it has read all; then it says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(component));
    let mut artefact = Vec::new();
    let mut said = Vec::new();
    let read = child.stdout.take().map(|stdout| stdout.take(MAX_ARTEFACT).read_to_end(&mut artefact));
    let _ = child.stderr.take().map(|stderr| stderr.take(4096).read_to_end(&mut said));
    let status = child.wait().map_err(failed)?;
    read.transpose().map_err(failed)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&said);
        let said = said.trim();
        return Err(if said.is_empty() {
            format!("the compiler ended with {status}")
        } else {
            said.to_owned()
        });
    }
    Ok(artefact)
}

/// The compiler: beside the program that runs, or in one of the folders of a `PATH`.
#[must_use]
pub fn find_compiler(program: &Path, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let beside = program.parent().map(Path::to_owned);
    let path = path.map(std::env::split_paths).into_iter().flatten().filter(|folder| folder.is_absolute());
    let is_program = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
    };
    beside.into_iter().chain(path).map(|folder| folder.join("sedge-compile")).find(is_program)
}

/// Opens what is a file, and not a link to one.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("this is no file"));
    }
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("it has more than {} MiB", most / (1024 * 1024))));
    }
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_since_it_was_sealed_is_not_unsealed() {
        let sealed = seal(b"code");
        assert_eq!(unseal(sealed.clone()).unwrap(), b"code");
        for at in 0..sealed.len() {
            let mut sealed = sealed.clone();
            sealed[at] ^= 1;
            assert_eq!(unseal(sealed), None, "byte {at}");
        }
        assert_eq!(unseal(sealed[..20].to_vec()), None);
        assert_eq!(unseal(Vec::new()), None);
    }
}
