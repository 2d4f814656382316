//! The broker's files: its config, who may do what, its certificate, and the list of certificates that count no more.
//!
//! A file is dropped into `conf.d`; `mosquitto.conf` is never changed. The rules are `deploy/mosquitto/sedge.acl` with a few lines
//! after it: what boards may that have not joined yet, what each operator may, and who was shut out: the list keeps whoever is on it
//! from coming back, the rules from doing anything.
//!
//! Both count when Mosquitto has been started anew. It would read them at SIGHUP as well; but 2.0.11 (bookworm) then uses memory that
//! it has given back, and dies, where a client that has a session is away and names come from certificates. Seen; 2.0.21 (trixie)
//! stands. A start costs a second, loses nothing that is on the disk, and ends connections of those who were shut out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sedge_token::{JOINING, TOOL};

use crate::authority::{Authority, AuthorityError};
use crate::files::{self, Owner};
use crate::ledger::Ledger;
use crate::places::Places;

const CONFIG: &str = include_str!("../../mosquitto/site.conf");
const RULES: &str = include_str!("../../mosquitto/sedge.acl");
/// The user as whom Mosquitto runs.
const USER: &str = "mosquitto";

/// Where the broker's files are.
pub struct Broker {
    /// What it reads.
    pub folder: PathBuf,
    /// Its config.
    pub config: PathBuf,
    /// It is the Mosquitto of this machine; else somebody carries the files to where it is.
    pub here: bool,
}

impl Broker {
    /// In Mosquitto's own folder; else in the site's, for a broker that is kept otherwise.
    pub fn at(places: &Places, in_mosquitto: bool) -> Self {
        match in_mosquitto {
            true => Self {
                folder: places.mosquitto().join("sedge-site"),
                config: places.mosquitto().join("conf.d/sedge-site.conf"),
                here: true,
            },
            false => {
                let folder = places.site().join("mosquitto");
                Self { config: folder.join("sedge-site.conf"), folder, here: false }
            }
        }
    }

    /// Where they are now.
    pub fn found(places: &Places) -> Self {
        let usual = Self::at(places, true);
        if usual.folder.is_dir() { usual } else { Self::at(places, false) }
    }

    /// Its certificate is written with this.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    /// A file of its folder; says whether it changed.
    pub fn keep(&self, name: &str, text: &str, mode: u32) -> io::Result<bool> {
        files::folder(&self.folder, 0o750, Owner::user(USER))?;
        files::keep(&self.folder.join(name), text.as_bytes(), mode, Owner::user(USER))
    }

    /// Its config; says whether it changed.
    pub fn keep_config(&self, port: u16) -> io::Result<bool> {
        let folder = self.folder.display().to_string();
        let text = CONFIG.replace("/etc/mosquitto/sedge-site", &folder);
        let text = text.replacen("listener 8883", &format!("listener {port}"), 1);
        if let Some(above) = self.config.parent() {
            files::folder(above, 0o755, Owner::default())?;
        }
        files::keep(&self.config, text.as_bytes(), 0o644, Owner::default())
    }

    /// Rules and list; says whether either changed.
    pub fn keep_rules(&self, ledger: &Ledger, authority: &Authority) -> Result<bool, AuthorityError> {
        let failed =
            |error: io::Error| AuthorityError::Unusable(format!("{}: {error}", self.folder.display()));
        // A signature is another each time: the number says whether the list is. What stands before PEM is passed over.
        let number = format!("# List {} of this site\n", ledger.list);
        let known = files::read(&self.folder.join("ca.crl")).is_ok_and(|text| text.starts_with(&number));
        if !known {
            let list = authority.revoked(&ledger.revoked, ledger.list)?;
            self.keep("ca.crl", &format!("{number}{list}"), 0o640).map_err(failed)?;
        }
        Ok(self.keep("acl", &rules(ledger), 0o600).map_err(failed)? || !known)
    }
}

/// Who may do what at this site.
pub fn rules(ledger: &Ledger) -> String {
    let mut text = format!("{RULES}\n# What follows is written by `sedge site`.\n");
    let mut user = |name: &str, lines: &[String]| {
        text.push_str(&format!("\nuser {name}\n"));
        lines.iter().for_each(|line| text.push_str(&format!("topic {line}\n")));
    };
    // The rules for nodes hold for every name; these are no nodes.
    let is_no_node = |name: &str| {
        vec![
            format!("deny sedge/v1/{name}/#"),
            format!("deny sedge/v1/_reply/+/{name}/#"),
            "deny homeassistant/#".to_owned(),
        ]
    };
    let registrar = ledger.site.registrar.as_ref().map(|registrar| {
        [format!("read sedge/v1/{registrar}/status"), format!("write sedge/v1/{registrar}/tool/{TOOL}/call")]
    });
    let joining: Vec<String> =
        is_no_node(JOINING).into_iter().chain(registrar.into_iter().flatten()).collect();
    user(JOINING, &joining);
    // From where one looks, and clears what a board has left that is gone. No other right is lost by it: the authority's key is there.
    let own =
        ledger.site.registrar.iter().filter(|id| ledger.nodes.get(*id).is_some_and(|node| !node.revoked));
    for id in own {
        user(id.as_str(), &["readwrite sedge/v1/#".into(), "readwrite homeassistant/device/#".into()]);
    }
    for (name, person) in ledger.people.iter().filter(|(_, person)| !person.revoked) {
        let mut lines = is_no_node(name.as_str());
        lines.push("read sedge/v1/#".into());
        if !person.read_only {
            lines.push("write sedge/v1/+/tool/+/call".into());
        }
        user(name.as_str(), &lines);
    }
    let nodes = ledger.nodes.iter().filter(|(_, node)| node.revoked).map(|(id, _)| id);
    let people = ledger.people.iter().filter(|(_, person)| person.revoked).map(|(id, _)| id);
    for id in nodes.chain(people) {
        user(id.as_str(), &["deny #".into()]);
    }
    text
}

/// What of Mosquitto's config does not go with ours: each with its file and line.
pub fn conflicts(places: &Places, port: u16) -> io::Result<Vec<String>> {
    let mut others = vec![places.mosquitto().join("mosquitto.conf")];
    let folder = places.mosquitto().join("conf.d");
    if let Ok(entries) = fs::read_dir(&folder) {
        others.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
    }
    let ours = Broker::at(places, true).config;
    let is_config = |file: &&PathBuf| file.extension().is_some_and(|e| e == "conf") && **file != ours;
    let mut lines = Vec::new();
    for file in others.iter().filter(is_config) {
        match files::read(file) {
            Ok(text) => lines.extend(words(file, &text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let apart = lines.iter().any(|(_, key, value)| key == "per_listener_settings" && value == "true");
    let clashes = lines.into_iter().filter(|(_, key, value)| match key.as_str() {
        "listener" | "port" => !apart || value.split_whitespace().next() == Some(&port.to_string()),
        "acl_file" | "password_file" | "allow_anonymous" => !apart,
        _ => false,
    });
    Ok(clashes.map(|(at, key, value)| format!("{at}: {key} {value}")).collect())
}

fn words(file: &Path, text: &str) -> Vec<(String, String, String)> {
    let lines = text.lines().enumerate().filter_map(|(at, line)| {
        let (key, value) = line.trim().split_once(char::is_whitespace)?;
        let at = format!("{}:{}", file.display(), at + 1);
        (!key.starts_with('#')).then(|| (at, key.to_owned(), value.trim().to_owned()))
    });
    lines.collect()
}

#[cfg(test)]
#[path = "mosquitto_tests.rs"]
mod tests;
