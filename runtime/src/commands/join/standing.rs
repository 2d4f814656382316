//! The files of a board that has joined, beside its config.
//!
//! | file | what |
//! |---|---|
//! | `site/ca.crt` | whom it trusts |
//! | `site/node.crt` | its certificate |
//! | `credentials/mqtt-key` | its key, for root alone; systemd hands it to the service. Made first, and kept |
//! | `conf.d/60-site-all.toml`, … | what the site has for it |
//! | `conf.d/50-site.toml` | its id and its broker; written last: with it the board has joined |
//! | `site/.joining/` | while it asks; taken away with all that is in it |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sedge_config::BrokerUrl;
use sedge_plugin::Id;
use sedge_token::{JoinAnswer, NodeKey, Token, pem};

use crate::exit::Failure;
use crate::load::Changes;

/// Where the service's config lies; there its credentials are found by their names.
const SYSTEM: &str = "/etc/sedge";
const KEY: &str = "mqtt-key";
/// What a board without a config begins with.
const MAIN: &str =
    "# This node's config. What it was given when it joined its site is in conf.d/.\nconfig_version = 1\n";
/// Public, to be read by the service's user.
const OPEN: u32 = 0o644;
const SECRET: u32 = 0o600;

/// How far a board is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not joined, or not to the end.
    Apart,
    /// It has joined the site of the token.
    Joined,
    /// It has joined another.
    Elsewhere,
}

/// See the [module](self).
pub(super) struct Standing {
    file: PathBuf,
    folder: PathBuf,
}

/// However it ends, what was there while it asked goes; after a power cut, the next time.
impl Drop for Standing {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.site(".joining"));
    }
}

/// What is to be written, in its order.
pub(super) struct Plan {
    /// What becomes of the config.
    pub(super) changes: Changes,
    files: Vec<(PathBuf, String, u32)>,
    gone: Vec<PathBuf>,
}

impl Standing {
    /// Beside that config.
    pub(super) fn at(file: &Path) -> Result<Self, Failure> {
        let file = std::path::absolute(file).map_err(|error| failed(file, &error))?;
        let folder = file.parent().map(PathBuf::from).unwrap_or_default();
        Ok(Self { file, folder })
    }

    pub(super) fn config(&self) -> &Path {
        &self.file
    }

    pub(super) fn site_file(&self) -> PathBuf {
        self.folder.join("conf.d/50-site.toml")
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("credentials").join(KEY)
    }

    fn site(&self, name: &str) -> PathBuf {
        self.folder.join("site").join(name)
    }

    /// The main file, where there is none yet.
    pub(super) fn main_file(&self) -> Changes {
        let missing = !self.file.exists();
        missing.then(|| (self.file.clone(), Some(MAIN.to_owned()))).into_iter().collect()
    }

    pub(super) fn state(&self, token: &Token) -> State {
        if !self.site_file().exists() {
            return State::Apart;
        }
        let read = |file: PathBuf| fs::read_to_string(file).unwrap_or_default();
        let key = NodeKey::from_pem(&read(self.key_file()));
        let certificate = pem::decode("CERTIFICATE", &read(self.site("node.crt")));
        match (key, certificate) {
            (Ok(key), Some(certificate)) if key.is_in(&certificate) => {
                let ours = pem::decode("CERTIFICATE", &read(self.site("ca.crt")));
                if ours.as_ref() == Some(&token.authority) { State::Joined } else { State::Elsewhere }
            }
            _ => State::Apart,
        }
    }

    /// Makes the folders, which is where somebody learns that he is not root.
    pub(super) fn prepare(&self) -> Result<(), Failure> {
        let folders = [
            ("", 0o755),
            ("conf.d", 0o755),
            ("site", 0o755),
            ("credentials", 0o700),
            ("site/.joining", 0o700),
        ];
        for (name, mode) in folders {
            let folder = self.folder.join(name);
            let made = match folder.is_dir() {
                true => Ok(()),
                // The mode once more: root's umask may be 077, and the service is not root.
                false => DirBuilder::new()
                    .recursive(true)
                    .mode(mode)
                    .create(&folder)
                    .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(mode))),
            };
            made.map_err(|error| failed(&folder, &error))?;
        }
        Ok(())
    }

    /// The board's key: the one that is there, also of a try that was cut short; else a new one.
    pub(super) fn key(&self) -> Result<NodeKey, Failure> {
        let file = self.key_file();
        match fs::read_to_string(&file) {
            Ok(text) => NodeKey::from_pem(&text).map_err(|error| {
                Failure::Failed(format!("{}: {error}; take it away to have a new one made", file.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = NodeKey::generate().map_err(|error| Failure::Failed(error.to_string()))?;
                write(&file, &key.to_pem(), SECRET)?;
                Ok(key)
            }
            Err(error) => Err(failed(&file, &error)),
        }
    }

    /// Files to connect with while it asks: authority, certificate, key.
    pub(super) fn joining(
        &self,
        authority: &[u8],
        certificate: &str,
        key: &str,
    ) -> Result<[PathBuf; 3], Failure> {
        let authority = pem::encode("CERTIFICATE", authority);
        let texts = [("ca.crt", authority.as_str()), ("x.crt", certificate), ("x.key", key)];
        for (name, text) in texts {
            write(&self.site(".joining").join(name), text, SECRET)?;
        }
        Ok(texts.map(|(name, _)| self.site(".joining").join(name)))
    }

    /// What is to be written.
    pub(super) fn plan(
        &self,
        token: &Token,
        broker: &BrokerUrl,
        id: &Id,
        answer: &JoinAnswer,
        key: &NodeKey,
    ) -> Result<Plan, Failure> {
        let mut changes = self.main_file();
        let mut files: Vec<_> = changes
            .iter()
            .map(|(file, text)| (file.clone(), text.clone().unwrap_or_default(), OPEN))
            .collect();
        files.push((self.site("ca.crt"), pem::encode("CERTIFICATE", &token.authority), OPEN));
        files.push((self.key_file(), key.to_pem(), SECRET));
        files.push((self.site("node.crt"), answer.certificate.clone(), OPEN));
        let folder = self.folder.join("conf.d");
        for (at, fragment) in answer.config.iter().enumerate() {
            let file = folder.join(format!("6{at}-site-{}.toml", fragment.name));
            let text = format!(
                "# Given by the site when this board joined it; `sedge node join --again` writes it anew.\n{}",
                fragment.text
            );
            changes.insert(file.clone(), Some(text.clone()));
            files.push((file, text, OPEN));
        }
        let gone = self.given_before(&folder)?.into_iter().filter(|file| !changes.contains_key(file));
        let gone: Vec<PathBuf> = gone.collect();
        changes.extend(gone.iter().map(|file| (file.clone(), None)));
        let last = self.site_text(broker, id, &key.client_id(id.as_str()));
        changes.insert(self.site_file(), Some(last.clone()));
        files.push((self.site_file(), last, OPEN));
        Ok(Plan { changes, files, gone })
    }

    /// What the site gave before.
    fn given_before(&self, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed(folder, &error))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let given = |name: &String| {
            let rest =
                name.strip_prefix('6').and_then(|rest| rest.strip_prefix(|c: char| c.is_ascii_digit()));
            rest.is_some_and(|rest| rest.starts_with("-site-") && rest.ends_with(".toml"))
        };
        Ok(names.filter(given).map(|name| folder.join(name)).collect())
    }

    fn site_text(&self, broker: &BrokerUrl, id: &Id, client: &str) -> String {
        let here = self.folder == Path::new(SYSTEM);
        let key = if here { format!("credential:{KEY}") } else { self.key_file().display().to_string() };
        let quoted = |text: String| toml_text(&text);
        format!(
            "# Written by `sedge node join`; `sedge node join --again` writes it anew.\n[node]\nid = {}\n\n\
             [mqtt]\nurl = {}\n# The broker takes the name from the certificate.\nusername = {}\n# Nobody else knows it: who connects with another's throws that one off.\nclient_id = {}\nca_file = {}\ncert_file = {}\nkey_file = {}\n",
            quoted(id.to_string()),
            quoted(broker.to_string()),
            quoted(id.to_string()),
            quoted(client.to_owned()),
            quoted(self.site("ca.crt").display().to_string()),
            quoted(self.site("node.crt").display().to_string()),
            quoted(key),
        )
    }
}

impl Plan {
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(file, _, _)| file.as_path())
    }

    /// Writes all of it; what says that the board has joined comes last.
    pub(super) fn write(&self) -> Result<(), Failure> {
        let (last, before) =
            self.files.split_last().map_or((None, &[][..]), |(last, before)| (Some(last), before));
        for (file, text, mode) in before {
            write(file, text, *mode)?;
        }
        for file in &self.gone {
            fs::remove_file(file).map_err(|error| failed(file, &error))?;
        }
        last.map_or(Ok(()), |(file, text, mode)| write(file, text, *mode))
    }
}

/// A text of TOML. Only control characters and two others need care.
fn toml_text(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// By way of another file that takes its place, and on the disk before it counts.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    if fs::read_to_string(file).is_ok_and(|now| now == text) {
        return Ok(());
    }
    let written = || -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("/"));
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let beside = folder.join(format!(".{name}.new"));
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(SECRET).open(&beside)?;
        out.write_all(text.as_bytes())?;
        out.set_permissions(fs::Permissions::from_mode(mode))?;
        out.sync_all()?;
        fs::rename(&beside, file)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error| failed(file, &error))
}

fn failed(file: &Path, error: &io::Error) -> Failure {
    let file = file.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::Failed(format!("{file}: {error}; run it with sudo")),
        _ => Failure::Failed(format!("{file}: {error}")),
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
