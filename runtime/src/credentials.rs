//! Secrets that stand in files: the broker's user and password, the key of a certificate.
//!
//! A file is named by its path, or as `credential:NAME`: what systemd keeps for the service, so that no other process can read
//! it. Looked for in this order:
//!
//! | where | whose it is |
//! |---|---|
//! | `$CREDENTIALS_DIRECTORY/NAME` | of a unit that says `LoadCredential=NAME:FILE` |
//! | `$CREDENTIALS_DIRECTORY/sedge_NAME` | of the packaged unit, `LoadCredential=sedge:/etc/sedge/credentials`: systemd names the files of a folder so, and passes over links |
//! | `/etc/sedge/credentials/NAME` | the same files, for root outside of the service, as in `sudo sedge check` |
//!
//! Where the config names no user or password, the credentials `mqtt-username` and `mqtt-password` are them.
//!
//! No message here has what stands in a file.

use std::env::var_os;
use std::path::{Path, PathBuf};

use sedge_config::Mqtt;
use sedge_plugin::Secret;

use crate::exit::Failure;

/// Bytes of a file with a user or a password.
const MOST_BYTES: u64 = 64 * 1024;

/// What the packaged service gets from systemd lies here.
const KEPT: &str = "/etc/sedge/credentials";

/// As whom to connect.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
}

/// The login of a config, read from where it is.
pub(crate) fn login(mqtt: &Mqtt) -> Result<Login, Failure> {
    let username = match (&mqtt.username, &mqtt.username_file) {
        (Some(username), _) => Some(username.clone()),
        (None, Some(file)) => Some(read("username_file", &path(file)?)?),
        (None, None) => left("mqtt-username")?,
    };
    let password = match (&mqtt.password, &mqtt.password_file) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(Secret::new(read("password_file", &path(file)?)?)),
        // Where it is nobody's, it is not sent.
        (None, None) if username.is_some() => left("mqtt-password")?.map(Secret::new),
        (None, None) => None,
    };
    Ok(Login { username, password })
}

/// Whether the config names credentials that this process cannot see: it is the service that gets them.
pub(crate) fn are_elsewhere(mqtt: &Mqtt) -> bool {
    let files = [&mqtt.username_file, &mqtt.password_file, &mqtt.ca_file, &mqtt.cert_file, &mqtt.key_file];
    let named = |file: &PathBuf| file.to_str().is_some_and(|file| file.starts_with("credential:"));
    let places = Places::of_this_process();
    places.given.is_none() && !places.may_look() && files.into_iter().flatten().any(named)
}

/// Where a file is.
pub(crate) fn path(file: &Path) -> Result<PathBuf, Failure> {
    Places::of_this_process().resolved(file)
}

/// A credential that nobody named; none where it is not there.
fn left(name: &str) -> Result<Option<String>, Failure> {
    Places::of_this_process().find(name).map(|file| read(name, &file)).transpose()
}

/// The folders in which credentials may be.
#[derive(Debug)]
struct Places {
    /// What systemd has made for this process.
    given: Option<PathBuf>,
    /// Where the packaged service gets them from; root's alone.
    kept: PathBuf,
}

impl Places {
    fn of_this_process() -> Self {
        Self { given: var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from), kept: KEPT.into() }
    }

    /// Whether this process may see what is kept.
    fn may_look(&self) -> bool {
        std::fs::read_dir(&self.kept).is_ok()
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let given =
            self.given.iter().flat_map(|folder| [folder.join(name), folder.join(format!("sedge_{name}"))]);
        let given = given.into_iter().find(|file| file.exists());
        // A link here is as if it were not there: it would do for root, and not for the service.
        given.or_else(|| {
            Some(self.kept.join(name)).filter(|file| file.symlink_metadata().is_ok_and(|at| at.is_file()))
        })
    }

    fn resolved(&self, file: &Path) -> Result<PathBuf, Failure> {
        let Some(name) = file.to_str().and_then(|file| file.strip_prefix("credential:")) else {
            return Ok(file.into());
        };
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(Failure::Config(format!("[mqtt] `credential:{name}`: not the name of a credential")));
        }
        self.find(name).ok_or_else(|| {
            let file = self.kept.join(name);
            let file = file.display();
            Failure::Config(match (&self.given, self.may_look()) {
                (Some(_), _) => format!(
                    "[mqtt] `credential:{name}`: systemd has not given it to this process; make the file {file} (no link, \
                     readable by root alone) and restart the service, or write `LoadCredential={name}:FILE` into the unit"
                ),
                (None, true) => format!("[mqtt] `credential:{name}`: there is no file {file}; make it, readable by root alone (systemd passes over a link)"),
                (None, false) => format!(
                    "[mqtt] `credential:{name}`: this process may not see it: systemd has given it no credentials \
                     (`LoadCredential={name}:FILE` in a unit), and {KEPT} is root's; use sudo, or an operator's config: -c FOLDER/sedge.toml"
                ),
            })
        })
    }
}

fn read(key: &str, file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let at = std::fs::metadata(file);
    if at.is_ok_and(|at| !at.is_file() || at.len() > MOST_BYTES) {
        return Err(Failure::Config(format!("[mqtt] {key} {shown}: not a file with such a thing in it")));
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Config(format!("[mqtt] {key} {shown}: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_found_where_systemd_has_put_it() {
        let folder = tempfile::tempdir().unwrap();
        let [given, kept] = ["given", "kept"].map(|name| folder.path().join(name));
        let file = |path: PathBuf| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "secret\n").unwrap();
            path
        };
        let in_service = Places { given: Some(given.clone()), kept: kept.clone() };
        let path = |places: &Places, file: &str| places.resolved(Path::new(file));
        assert_eq!(path(&in_service, "/etc/key"), Ok("/etc/key".into()));
        // From the last place to the first: each goes before those that were there already.
        for found in [kept.join("mqtt-key"), given.join("sedge_mqtt-key"), given.join("mqtt-key")] {
            let found = file(found);
            assert_eq!(path(&in_service, "credential:mqtt-key"), Ok(found));
        }
        std::os::unix::fs::symlink("mqtt-key", kept.join("linked")).unwrap();
        assert!(path(&in_service, "credential:linked").is_err(), "systemd passes over it");
        for wrong in ["credential:", "credential:../shadow", "credential:a/b"] {
            assert!(path(&in_service, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn where_a_credential_is_missing_it_is_said_which_file_to_make() {
        let folder = tempfile::tempdir().unwrap();
        let missing = |given: Option<PathBuf>, kept: PathBuf| {
            let file = kept.join("mqtt-key").display().to_string();
            let error = Places { given, kept }.resolved(Path::new("credential:mqtt-key")).unwrap_err();
            assert_eq!(error.code(), 78);
            (error.to_string(), file)
        };
        for given in [Some(folder.path().into()), None] {
            let (error, file) = missing(given, folder.path().into());
            assert!(error.contains(&file), "{error}");
        }
        let (error, _) = missing(None, folder.path().join("nobody"));
        assert!(
            error.contains("use sudo, or an operator's config: -c FOLDER/sedge.toml")
                && error.contains("LoadCredential=mqtt-key"),
            "{error}"
        );
    }

    #[test]
    fn what_is_in_the_file_is_in_no_message() {
        let error = read("password_file", Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(error.contains("password_file /no/such/file"), "{error}");
    }
}
