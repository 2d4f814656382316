//! The files of a plugin, and what they hash to.
//!
//! The text is that of `sha256sum`, sorted by name, so that anybody can check it; a plugin's hash is the hash of that text. What
//! a machine makes by itself is not among them: the virtual environment, which has a hash of its own, and what Python compiles,
//! which is not used.
//!
//! It must not follow a link: what is no plain file is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::venv::VENV;

/// Files of a plugin.
pub const MAX_FILES: usize = 10_000;

/// Bytes of all files of a plugin.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Folders within each other.
const MAX_DEPTH: usize = 32;

/// Files of a virtual environment.
const MAX_MADE: usize = 200_000;

/// What Python writes beside a module.
pub(super) const COMPILED: &str = "__pycache__";

/// What each file hashes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(pub(super) BTreeMap<String, String>);

/// Why a folder cannot be a plugin's.
#[derive(Debug)]
pub(super) enum Unfit {
    /// One of its files, and what is wrong with it.
    File(String, String),
    /// All of it.
    All(String),
    /// It cannot be read.
    Io(io::Error),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, why) => write!(f, "`{}` {why}", path.escape_debug()),
            Self::All(why) => f.write_str(why),
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Sums {
    /// Of all files in a folder.
    pub(super) fn of(folder: &Path) -> Result<Self, Unfit> {
        let mut sums = Self::default();
        for file in files(folder)? {
            let sum = sum(&folder.join(&file))?;
            sums.0.insert(file, sum);
        }
        Ok(sums)
    }

    /// As `sha256sum` writes it.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (file, sum)| {
            let _ = writeln!(text, "{sum}  {file}");
            text
        })
    }

    /// As `sha256sum` reads it; none where it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut sums = BTreeMap::new();
        for line in text.lines() {
            let (sum, rest) = line.split_at_checked(64)?;
            let file = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
            let is_sum = sum.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if !is_sum || sums.insert(file.trim_start_matches("./").to_owned(), sum.to_owned()).is_some() {
                return None;
            }
        }
        Some(Self(sums))
    }

    /// One hash for all.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.text().as_bytes()))
    }

    /// What differs from `before`: files that are others, are new, or are gone.
    #[must_use]
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let changed = self.0.iter().filter_map(|(file, sum)| match before.0.get(file) {
            Some(had) if had == sum => None,
            Some(_) => Some(file.clone()),
            None => Some(format!("{file} (new)")),
        });
        let gone = before.0.keys().filter(|file| !self.0.contains_key(*file));
        changed.chain(gone.map(|file| format!("{file} (gone)"))).collect()
    }
}

/// The first three of some files, and how many more there are.
pub(super) fn first_three(files: &[String]) -> String {
    let more = files.len().saturating_sub(3);
    let first: Vec<_> = files.iter().take(3).map(|file| file.escape_debug().to_string()).collect();
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash of one file.
pub(super) fn sum(file: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(file)?.take(MAX_BYTES);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// All files of a plugin, by their paths below its folder, sorted. Each is a plain file without special rights.
pub(super) fn files(folder: &Path) -> Result<Vec<String>, Unfit> {
    let mut walk = Walk { files: Vec::new(), bytes: 0 };
    walk.folder(folder, "", 0)?;
    walk.files.sort();
    Ok(walk.files)
}

/// What a folder hashes to that a machine has made, links and all; none where there is none. It is not a plugin's files, so it is
/// bounded otherwise.
pub(super) fn made(folder: &Path) -> Result<Option<String>, Unfit> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(metadata) if !metadata.is_dir() => return Err(Unfit::File(VENV.into(), "is no folder".into())),
        Ok(_) => {}
    }
    let (mut lines, mut left) = (Vec::new(), vec![(folder.to_path_buf(), 0)]);
    while let Some((next, depth)) = left.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let below = path.strip_prefix(folder).unwrap_or(&path).as_os_str().as_encoded_bytes();
            let below = format!("{}", below.escape_ascii());
            if kind.is_dir() {
                if depth == MAX_DEPTH {
                    return Err(Unfit::File(below, format!("lies deeper than {MAX_DEPTH} folders")));
                }
                left.push((path, depth + 1));
                continue;
            }
            let said = if kind.is_symlink() {
                format!("link {}", fs::read_link(&path)?.as_os_str().as_encoded_bytes().escape_ascii())
            } else if kind.is_file() {
                sum(&path)?
            } else {
                return Err(Unfit::File(below, "is neither a file nor a folder".into()));
            };
            lines.push(format!("{below} {said}\n"));
            if lines.len() > MAX_MADE {
                return Err(Unfit::All(format!("there are more than {MAX_MADE} files in {VENV}")));
            }
        }
    }
    lines.sort();
    Ok(Some(hex(&Sha256::digest(lines.concat()))))
}

/// Where below a folder there is what Python has compiled, which no list of files has; also told
/// of a folder that is too large to be a plugin's.
pub(super) fn compiled(folder: &Path) -> io::Result<Option<String>> {
    let (mut left, mut seen) = (vec![(folder.to_path_buf(), String::new())], 0);
    while let Some((next, below)) = left.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{below}{name}");
            seen += 1;
            if name == COMPILED || seen > 2 * MAX_FILES {
                return Ok(Some(path));
            }
            if entry.file_type()?.is_dir() && !(below.is_empty() && name == VENV) {
                left.push((entry.path(), format!("{path}/")));
            }
        }
    }
    Ok(None)
}

struct Walk {
    files: Vec<String>,
    bytes: u64,
}

impl Walk {
    fn folder(&mut self, folder: &Path, below: &str, depth: usize) -> Result<(), Unfit> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_plain_name(name)) else {
                let path = format!("{below}{}", name.to_string_lossy());
                return Err(Unfit::File(path, "has a name that is not plain text in UTF-8".into()));
            };
            let path = format!("{below}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let is_made_here = name == COMPILED || (below.is_empty() && name == VENV);
                if !is_made_here {
                    if depth == MAX_DEPTH {
                        return Err(Unfit::File(path, format!("lies deeper than {MAX_DEPTH} folders")));
                    }
                    self.folder(&entry.path(), &format!("{path}/"), depth + 1)?;
                }
                continue;
            }
            let metadata = entry.metadata()?;
            if let Some(why) = unfit(&metadata) {
                return Err(Unfit::File(path, why.into()));
            }
            self.bytes = self.bytes.saturating_add(metadata.len());
            self.files.push(path);
            if self.files.len() > MAX_FILES {
                return Err(Unfit::All(format!("there are more than {MAX_FILES} files")));
            }
            if self.bytes > MAX_BYTES {
                return Err(Unfit::All(format!("its files have more than {} MiB", MAX_BYTES >> 20)));
            }
        }
        Ok(())
    }
}

/// What keeps a file from being one of a plugin.
fn unfit(metadata: &fs::Metadata) -> Option<&'static str> {
    if metadata.is_symlink() {
        Some("is a link: put the file itself there")
    } else if !metadata.is_file() {
        Some("is neither a file nor a folder")
    } else if metadata.permissions().mode() & 0o6000 != 0 {
        Some("runs as another user (setuid): take that from it")
    } else {
        None
    }
}

/// Whether a list of files can hold it, and a terminal show it.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.chars().any(|c| c.is_control() || c == '\\' || c == '/')
}
