//! Archives and directories, taken over file by file.
//!
//! Nothing of an archive is believed: a path may lead out, a link may point anywhere, a few bytes may unpack to a full disk. It
//! must not write outside of the folder that it is given, or make anything but folders and plain files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType, PaxExtensions};

use super::InstallError;
use super::tree::{COMPILED, MAX_BYTES, MAX_FILES, is_plain_name};

/// What tar adds to the files themselves: headers and padding.
const OVERHEAD: u64 = MAX_FILES as u64 * 2048;

/// Bytes of a path in an archive.
const LONGEST: u64 = 4096;

/// Bytes of what an archive says of its next file besides.
const EXTENSION: u64 = 64 * 1024;

/// Characters of a path that are shown.
const SHOWN: usize = 100;

/// What a cache says of itself, after <https://bford.info/cachedir/>: the folder that cargo builds in does.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// Unpacks a `.tar.gz` or `.tar` into an empty folder. `goes_on` is asked at each file.
pub(super) fn archive(
    file: &Path,
    shown: &str,
    into: &Path,
    goes_on: &dyn Fn() -> bool,
) -> Result<(), InstallError> {
    let io = InstallError::io("read", file);
    let mut start = [0; 2];
    let mut opened = File::open(file).map_err(io)?;
    let read = opened.read(&mut start).and_then(|n| io::Seek::rewind(&mut opened).map(|()| n));
    let read = read.map_err(InstallError::io("read", file))?;
    let is_gzip = read == 2 && start == [0x1f, 0x8b];
    let bytes: Box<dyn Read> = match is_gzip {
        true => Box::new(MultiGzDecoder::new(BufReader::new(opened))),
        false => Box::new(BufReader::new(opened)),
    };
    let refuse = |why: String| InstallError::refused(shown, why);
    let broken = |error: io::Error| match error.get_ref().and_then(|inner| inner.downcast_ref::<TooLarge>()) {
        Some(large) => refuse(large.to_string()),
        None => refuse(format!("this is no whole .tar.gz, .tgz or .tar: {error}")),
    };
    let mut archive = Archive::new(Bounded { bytes, left: MAX_BYTES + OVERHEAD });
    let (mut files, mut long) = (0, None);
    // Raw: the names that stand before their files are read here, where they are bounded.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        if !goes_on() {
            return Err(InstallError::Cancelled);
        }
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XGlobalHeader => continue,
            // The file behind it is a link, and refused.
            EntryType::GNULongLink => continue,
            EntryType::GNULongName => {
                let mut name = extension(&mut entry, LONGEST).map_err(broken)?.map_err(&refuse)?;
                name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                long = Some(name);
                continue;
            }
            EntryType::XHeader => {
                let said = extension(&mut entry, EXTENSION).map_err(broken)?.map_err(&refuse)?;
                long = path_of(&said).map_err(&refuse)?.or(long);
                continue;
            }
            _ => {}
        }
        let raw = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let name: String = String::from_utf8_lossy(&raw).chars().take(SHOWN).collect();
        let name = if name.len() < raw.len() { format!("{name}…") } else { name };
        let say = |why: &str| refuse(format!("`{}` {why}", name.escape_debug()));
        let parts = parts(std::str::from_utf8(&raw).ok()).map_err(say)?;
        let path = parts.iter().fold(into.to_path_buf(), |path, part| path.join(part));
        files += 1;
        if files > MAX_FILES {
            return Err(refuse(format!("there are more than {MAX_FILES} files in it")));
        }
        match kind {
            EntryType::Directory => {
                fs::create_dir_all(&path).map_err(|error| say(&format!("cannot be a folder: {error}")))?;
            }
            EntryType::Regular | EntryType::Continuous => {
                let mode = entry.header().mode().unwrap_or(0o644);
                if mode & 0o6000 != 0 {
                    return Err(say("runs as another user (setuid): take that from it"));
                }
                if parts.is_empty() {
                    return Err(say("has no name"));
                }
                let folder = path.parent().unwrap_or(into);
                fs::create_dir_all(folder).map_err(|error| say(&format!("cannot be written: {error}")))?;
                let mut out = create(&path, mode & 0o111 != 0).map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => say("stands in it twice"),
                    _ => say(&format!("cannot be written: {error}")),
                })?;
                let size = entry.size();
                let copied = io::copy(&mut entry, &mut out).map_err(broken)?;
                if copied < size {
                    return Err(refuse(
                        "this is no whole .tar.gz, .tgz or .tar: it ends within a file".into(),
                    ));
                }
            }
            EntryType::Symlink | EntryType::Link => {
                return Err(say("is a link: put the file itself there"));
            }
            _ => return Err(say("is neither a file nor a folder")),
        }
    }
    Ok(())
}

/// What an archive says of its next file: not read where it is longer than anybody needs.
fn extension(entry: &mut impl Read, most: u64) -> io::Result<Result<Vec<u8>, String>> {
    let mut said = Vec::new();
    entry.take(most + 1).read_to_end(&mut said)?;
    if said.len() as u64 > most {
        return Ok(Err(format!("what it says of a file is longer than {most} bytes")));
    }
    Ok(Ok(said))
}

/// The path in an extension of pax.
fn path_of(said: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut path = None;
    for extension in PaxExtensions::new(said) {
        let extension = extension.map_err(|error| format!("an extension cannot be read: {error}"))?;
        match extension.key_bytes() {
            b"path" if extension.value_bytes().len() as u64 > LONGEST => {
                return Err(format!("what it says of a file is longer than {LONGEST} bytes"));
            }
            b"path" => path = Some(extension.value_bytes().to_vec()),
            b"size" => return Err("a file in it has its size in an extension: write it as plain tar".into()),
            _ => {}
        }
    }
    Ok(path)
}

/// The steps of a path that stays where it is.
fn parts(path: Option<&str>) -> Result<Vec<&str>, &'static str> {
    const OUT: &str = "leads out of the plugin's folder";
    const ODD: &str = "has a name that is not plain text in UTF-8";
    let path = path.ok_or(ODD)?;
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => {
                parts.push(part.to_str().filter(|part| is_plain_name(part)).ok_or(ODD)?);
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(OUT),
        }
    }
    if parts.len() > 33 { Err("lies too deep") } else { Ok(parts) }
}

/// Copies a directory. Not with it go what others make anew: `.git`, virtual environments, caches that say that they are;
/// but what the manifest starts, also where it lies in such a cache.
pub(super) fn directory(from: &Path, into: &Path, goes_on: &dyn Fn() -> bool) -> Result<(), InstallError> {
    let mut left = (MAX_FILES, MAX_BYTES);
    Copy { root: from, is_left_out: is_made_anew, goes_on }.folder(from, into, &mut left)?;
    for file in started(from) {
        let (here, there) = (from.join(&file), into.join(&file));
        if there.exists() || !here.is_file() {
            continue;
        }
        let folder = there.parent().unwrap_or(into);
        fs::create_dir_all(folder).map_err(InstallError::io("write", folder))?;
        one(from, &here, &there, &mut left)?;
    }
    Ok(())
}

/// Copies a plugin that was staged before, but for its environment.
pub(super) fn staged(from: &Path, into: &Path, goes_on: &dyn Fn() -> bool) -> Result<(), InstallError> {
    let is_left_out = |root: &Path, folder: &Path| folder == root.join(super::venv::VENV);
    Copy { root: from, is_left_out, goes_on }.folder(from, into, &mut (MAX_FILES, MAX_BYTES))
}

struct Copy<'a> {
    root: &'a Path,
    is_left_out: fn(&Path, &Path) -> bool,
    goes_on: &'a dyn Fn() -> bool,
}

impl Copy<'_> {
    fn folder(&self, from: &Path, into: &Path, left: &mut (usize, u64)) -> Result<(), InstallError> {
        fs::create_dir_all(into).map_err(InstallError::io("write", into))?;
        for entry in fs::read_dir(from).map_err(InstallError::io("read", from))? {
            if !(self.goes_on)() {
                return Err(InstallError::Cancelled);
            }
            let entry = entry.map_err(InstallError::io("read", from))?;
            let (here, there) = (entry.path(), into.join(entry.file_name()));
            let kind = entry.file_type().map_err(InstallError::io("read", &here))?;
            if !kind.is_dir() {
                one(self.root, &here, &there, left)?;
            } else if !(self.is_left_out)(self.root, &here) {
                self.folder(&here, &there, left)?;
            }
        }
        Ok(())
    }
}

fn one(root: &Path, here: &Path, there: &Path, left: &mut (usize, u64)) -> Result<(), InstallError> {
    let name = here.strip_prefix(root).unwrap_or(here).to_string_lossy().into_owned();
    let refuse =
        |why: &str| Err(InstallError::refused(root.display(), format!("`{}` {why}", name.escape_debug())));
    let metadata = fs::symlink_metadata(here).map_err(InstallError::io("read", here))?;
    if metadata.is_symlink() {
        return refuse("is a link: put the file itself there");
    }
    if !metadata.is_file() {
        return refuse("is neither a file nor a folder");
    }
    let mode = metadata.permissions().mode();
    if mode & 0o6000 != 0 {
        return refuse("runs as another user (setuid): take that from it");
    }
    if left.0 == 0 || left.1 < metadata.len() {
        let most = format!("{MAX_FILES} files or {} MiB", MAX_BYTES >> 20);
        return Err(InstallError::refused(root.display(), format!("there are more than {most} in it")));
    }
    *left = (left.0 - 1, left.1 - metadata.len());
    let write = || -> io::Result<()> {
        let mut out = create(there, mode & 0o111 != 0)?;
        io::copy(&mut File::open(here)?.take(metadata.len()), &mut out).map(drop)
    };
    write().map_err(InstallError::io("copy", here))
}

/// Whether somebody makes this folder by himself where it is missing.
fn is_made_anew(_: &Path, folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    name == ".git"
        || name == COMPILED
        || ["pyvenv.cfg", CACHE_TAG].iter().any(|file| folder.join(file).exists())
}

/// What the manifest of a folder starts, as far as it lies in it.
fn started(folder: &Path) -> Vec<String> {
    let file = folder.join(crate::manifest::MANIFEST_FILE);
    if !fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
        return Vec::new();
    }
    let mut text = String::new();
    let most = crate::manifest::MAX_MANIFEST as u64;
    if File::open(file).and_then(|file| file.take(most).read_to_string(&mut text)).is_err() {
        return Vec::new();
    }
    let Ok(table) = toml::de::DeTable::parse(&text) else { return Vec::new() };
    let Some(entry) = table.get_ref().get("entry").and_then(|entry| entry.get_ref().as_table()) else {
        return Vec::new();
    };
    let command = entry.get("command").and_then(|words| words.get_ref().as_array());
    let words = command.into_iter().flat_map(|words| words.iter()).chain(entry.get("wasm"));
    let words = words.filter_map(|word| word.get_ref().as_str());
    words.filter(|word| parts(Some(word)).is_ok_and(|parts| parts.len() > 1)).map(str::to_owned).collect()
}

fn create(path: &Path, is_program: bool) -> io::Result<File> {
    let mode = if is_program { 0o755 } else { 0o644 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[derive(Debug, thiserror::Error)]
#[error("it unpacks to more than {} MiB", MAX_BYTES >> 20)]
struct TooLarge;

/// Fails where there is more, rather than to end quietly.
struct Bounded {
    bytes: Box<dyn Read>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TooLarge))?;
        Ok(read)
    }
}
