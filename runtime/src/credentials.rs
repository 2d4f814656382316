//! Secrets that stand in files: the broker's user and password, the key of a certificate.
//!
//! A file is named by its path, or as `credential:NAME`: what systemd keeps for the service (`LoadCredential=NAME:…`,
//! `LoadCredentialEncrypted=`), so that no other process can read it. Where the config names no user or password, the
//! credentials `mqtt-username` and `mqtt-password` are them.
//!
//! No message here has what stands in a file.

use std::env::var_os;
use std::path::{Path, PathBuf};

use sedge_config::Mqtt;
use sedge_plugin::Secret;

use crate::exit::Failure;

/// Bytes of a file with a user or a password.
const MOST_BYTES: u64 = 64 * 1024;

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

/// Whether the config names credentials that this process has not: it is the service that gets them.
pub(crate) fn are_elsewhere(mqtt: &Mqtt) -> bool {
    let files = [&mqtt.username_file, &mqtt.password_file, &mqtt.ca_file, &mqtt.cert_file, &mqtt.key_file];
    let named = |file: &&Path| file.to_str().is_some_and(|file| file.starts_with("credential:"));
    var_os("CREDENTIALS_DIRECTORY").is_none()
        && files.into_iter().flatten().map(PathBuf::as_path).any(|f| named(&f))
}

/// Where a file is.
pub(crate) fn path(file: &Path) -> Result<PathBuf, Failure> {
    resolved(file, var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
}

fn resolved(file: &Path, folder: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let Some(name) = file.to_str().and_then(|file| file.strip_prefix("credential:")) else {
        return Ok(file.into());
    };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(Failure::Config(format!("[mqtt] `credential:{name}`: not the name of a credential")));
    }
    let told = || {
        Failure::Config(format!(
            "[mqtt] `credential:{name}`: systemd has given this process no credentials; write `LoadCredential={name}:FILE` into the service"
        ))
    };
    folder.map(|folder| folder.join(name)).ok_or_else(told)
}

/// A credential that nobody named; none where it is not there.
fn left(name: &str) -> Result<Option<String>, Failure> {
    let file = var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(name));
    file.filter(|file| file.exists()).map(|file| read(name, &file)).transpose()
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
        let folder = || Some(PathBuf::from("/run/credentials/sedge"));
        let path = |file: &str, folder| resolved(Path::new(file), folder);
        assert_eq!(path("/etc/key", None), Ok("/etc/key".into()));
        assert_eq!(path("credential:mqtt-key", folder()), Ok("/run/credentials/sedge/mqtt-key".into()));
        for wrong in ["credential:", "credential:../shadow", "credential:a/b"] {
            assert!(path(wrong, folder()).is_err(), "{wrong}");
        }
        let error = path("credential:mqtt-key", None).unwrap_err().to_string();
        assert!(error.contains("LoadCredential=mqtt-key"), "{error}");
    }

    #[test]
    fn what_is_in_the_file_is_in_no_message() {
        let error = read("password_file", Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(error.contains("password_file /no/such/file"), "{error}");
    }
}
