//! Who has joined and which tokens there are: one file, which the registrar and `sedge site` both change, one at a time.
//!
//! Whoever opens it has it alone until it is dropped (a lock that the kernel takes back when a process ends).
//! It is written as a whole, by way of another file; a power cut costs the change, never the rest.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use sedge_plugin::Id;
use sedge_plugin::clock::rfc3339;
use sedge_token::{Facts, KeptSecret};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::files;
use crate::places::Places;

/// Nodes of a site.
pub const MOST_NODES: usize = 2000;
/// Tokens that are remembered.
pub const MOST_TOKENS: usize = 500;
/// People and programs.
pub const MOST_PEOPLE: usize = 500;
/// Bytes of the ledger: all nodes with all facts in letters of four bytes, twice. One that cannot be read revokes nobody.
const MOST_LEDGER: u64 = 96 * 1024 * 1024;
/// How long whoever has it may take: Mosquitto is started anew meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the log, before it is laid aside.
const MOST_LOG: u64 = 1024 * 1024;

/// What the site is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Where boards find the broker.
    pub hosts: Vec<String>,
    /// At which port.
    pub port: u16,
    /// The node on which the registrar runs.
    pub registrar: Option<Id>,
}

/// A token for many boards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// What proofs are checked with.
    pub kept: KeptSecret,
    /// The number of the certificate in it.
    pub serial: String,
    /// What its boards belong to.
    pub group: Option<Id>,
    /// How many boards may join.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Until when, in milliseconds since 1970.
    pub expires_ms: i64,
    /// Shut out.
    pub revoked: bool,
}

impl TokenRow {
    /// Whether a board can still join by it.
    pub fn counts(&self, now_ms: Option<i64>) -> bool {
        !self.revoked && self.used < self.uses && now_ms.is_none_or(|now| now < self.expires_ms)
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// The number of its certificate.
    pub serial: String,
    /// The public half of its key, base64url; none where the key was made here, and gone with its token.
    pub key: Option<String>,
    /// Its certificate, PEM; with a key: what is answered when it asks again.
    pub certificate: Option<String>,
    /// What it belongs to.
    pub group: Option<Id>,
    /// When it came, as far as known.
    pub since_ms: Option<i64>,
    /// The name of its token, or `site` where it was made by hand.
    pub by: String,
    /// What it said of itself.
    pub facts: Facts,
    /// Shut out.
    pub revoked: bool,
}

/// A person or a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRow {
    /// The number of the certificate.
    pub serial: String,
    /// Calls no tool.
    pub read_only: bool,
    /// Shut out.
    pub revoked: bool,
}

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// What the site is.
    pub site: Site,
    /// By name.
    pub tokens: BTreeMap<String, TokenRow>,
    /// By id.
    pub nodes: BTreeMap<Id, NodeRow>,
    /// By name.
    pub people: BTreeMap<Id, PersonRow>,
    /// The numbers of the certificates that count no more.
    pub revoked: Vec<String>,
    /// How often that list was changed.
    pub list: u64,
    /// The broker may not know of the last change yet: the command was stopped before it was started anew.
    pub untold: bool,
}

impl Ledger {
    /// Puts a certificate on the list.
    pub fn revoke(&mut self, serial: &str) {
        if !self.revoked.iter().any(|known| known == serial) {
            self.revoked.push(serial.into());
            self.list += 1;
        }
    }

    /// Whether a name is somebody's, and whose.
    pub fn has(&self, id: &Id) -> Option<&'static str> {
        if self.nodes.contains_key(id) {
            return Some("a node");
        }
        self.people.contains_key(id).then_some("an operator")
    }
}

#[expect(clippy::disallowed_methods, reason = "it waits for another program, which knows no clock of ours")]
fn alone(mut file: File, path: &Path, patience: Duration) -> io::Result<Flock<File>> {
    let end = Instant::now() + patience;
    loop {
        let error;
        (file, error) = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err(back) => back,
        };
        if error != Errno::EWOULDBLOCK && error != Errno::EINTR {
            return Err(error.into());
        }
        if Instant::now() >= end {
            let text = format!(
                "another program has held {} for {} s: a `sedge site` or the registrar; `lslocks` says which. The registrar lets go at: systemctl stop sedge",
                path.display(),
                patience.as_secs()
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The ledger while it is ours alone.
pub struct Open {
    /// What it says.
    pub ledger: Ledger,
    folder: PathBuf,
    _lock: Flock<File>,
}

impl Open {
    /// Waits until nobody else has it, but not for ever: the folder is the service's, and whoever has taken that over must not keep
    /// an operator from shutting it out.
    pub fn wait(places: &Places) -> io::Result<Self> {
        let folder = places.state();
        let lock = folder.join("lock");
        if !lock.exists() {
            files::write_as_folder(&lock, b"", 0o600)?;
        }
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(&lock)?;
        let lock = alone(file, &lock, PATIENCE)?;
        let ledger = match files::read_of(&folder.join("ledger.json"), MOST_LEDGER) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                io::Error::other(format!("{}: {error}", folder.join("ledger.json").display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ledger::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { ledger, folder, _lock: lock })
    }

    /// Writes it. Only what is written counts.
    pub fn save(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.ledger).map_err(io::Error::other)?;
        files::write_as_folder(&self.folder.join("ledger.json"), &text, 0o640)
    }

    /// Adds a line to the log of what was done.
    pub fn log(&self, now_ms: Option<i64>, what: &str, about: &str, text: &str) -> io::Result<()> {
        let file = self.folder.join("log.ndjson");
        if fs::metadata(&file).is_ok_and(|at| at.len() > MOST_LOG) {
            fs::rename(&file, self.folder.join("log.1.ndjson"))?;
        }
        if !file.exists() {
            files::write_as_folder(&file, b"", 0o640)?;
        }
        // The folder is the service's, and whoever writes here may be root: not where a link leads.
        let mut out =
            OpenOptions::new().append(true).mode(0o640).custom_flags(libc::O_NOFOLLOW).open(&file)?;
        let line = json!({ "ts": now_ms.map(rfc3339), "what": what, "about": about, "text": text });
        writeln!(out, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_somebody_holds_for_ever_is_waited_for_a_while_and_then_named() {
        let file = std::env::temp_dir().join(format!("sedge-site-lock-{}", std::process::id()));
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(&file).unwrap();
        let held = Flock::lock(open(), FlockArg::LockExclusiveNonblock).unwrap();
        let error = alone(open(), &file, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("another program has held"), "{error}");
        drop(held);
        assert!(alone(open(), &file, Duration::from_secs(60)).is_ok());
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_ledger_of_a_former_version_is_read() {
        let ledger: Ledger = serde_json::from_str("{\"revoked\": [\"07\"], \"list\": 1}").unwrap();
        assert!(!ledger.untold && ledger.list == 1);
    }
}
