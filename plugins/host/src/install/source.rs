//! Where a plugin comes from: what is typed, and what stands in the lock file.
//!
//! | source | written as |
//! |---|---|
//! | a directory | `./pump`, `dir:/srv/pump` |
//! | an archive | `pump.tar.gz`, `pump.tar@SHA256`, `https://example.org/pump.tgz@SHA256` |
//! | git | `https://example.org/pump.git#v1`, `git@example.org:pump`, `file:///srv/pump.git`, `git+URL` |
//! | PyPI | `pypi:sedge-pump`, `pypi:sedge-pump==1.2` |
//!
//! It must not fetch anything.

use std::fmt;
use std::path::{Path, PathBuf};

use super::InstallError;

/// How an archive is called.
const ARCHIVES: [&str; 3] = [".tar.gz", ".tgz", ".tar"];

/// How a URL may begin that is given to `git`.
const GIT: [&str; 5] = ["https://", "http://", "ssh://", "git://", "file://"];

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory, which is copied.
    Directory(PathBuf),
    /// An archive.
    Archive {
        /// A path, or a URL.
        at: String,
        /// What its bytes must hash to, in lower-case hexadecimal digits.
        sha256: Option<String>,
    },
    /// A git repository.
    Git {
        /// As `git` takes it.
        url: String,
        /// A branch, a tag or a commit; the repository's own choice where there is none.
        rev: Option<String>,
    },
    /// A package of a Python package index.
    Pypi {
        /// Its name.
        name: String,
        /// Its version; the newest where there is none.
        version: Option<String>,
    },
}

impl Source {
    /// Understands what was typed. Relative paths are below `here`.
    ///
    /// # Errors
    /// What it cannot be, with what it may be.
    pub fn parse(text: &str, here: &Path) -> Result<Self, InstallError> {
        let wrong = |why: &str| Err(InstallError::Source(format!("`{}`: {why}", shown(text))));
        if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
            return wrong("expected a directory, an archive, the URL of a git repository, or pypi:NAME");
        }
        if let Some(package) = text.strip_prefix("pypi:") {
            return pypi(package);
        }
        if let Some(path) = text.strip_prefix("dir:") {
            return Ok(Self::Directory(here.join(path)));
        }
        if let Some(url) = text.strip_prefix("git+") {
            return git(url);
        }
        let (path, sha256) = match text.rsplit_once('@') {
            Some((path, digits)) if is_archive(path) => {
                match digest(digits.strip_prefix("sha256:").unwrap_or(digits)) {
                    Some(sha256) => (path, Some(sha256)),
                    None => return wrong("expected the 64 hexadecimal digits of a SHA-256 behind the `@`"),
                }
            }
            _ => (text, None),
        };
        let is_web = path.starts_with("https://") || path.starts_with("http://");
        if is_web && is_archive(path) {
            if path.starts_with("http://") && sha256.is_none() && !is_loopback(path) {
                return wrong(
                    "over plain http anybody on the way may change it: use https, or append @SHA256",
                );
            }
            return Ok(Self::Archive { at: path.into(), sha256 });
        }
        let there = here.join(path);
        if there.is_dir() {
            return Ok(Self::Directory(there.canonicalize().map_err(InstallError::io("read", &there))?));
        }
        if there.is_file() {
            if path.ends_with(".zip") {
                return wrong("zip archives are not read: use .tar.gz, .tgz or .tar");
            }
            let there = there.canonicalize().map_err(InstallError::io("read", &there))?;
            return Ok(Self::Archive { at: there.to_string_lossy().into_owned(), sha256 });
        }
        let is_remote = GIT.iter().any(|scheme| text.starts_with(scheme)) || is_scp_like(text);
        if is_remote {
            return git(text);
        }
        wrong("there is no such directory or file; for git give a URL such as https://HOST/PATH.git")
    }

    /// As it stands in the lock file, and is shown: without a password.
    #[must_use]
    pub fn kept(&self) -> String {
        shown(&self.to_string())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Archive { at, sha256: None } => f.write_str(at),
            Self::Archive { at, sha256: Some(sha256) } => write!(f, "{at}@{sha256}"),
            Self::Git { url, rev: None } => write!(f, "git+{url}"),
            Self::Git { url, rev: Some(rev) } => write!(f, "git+{url}#{rev}"),
            Self::Pypi { name, version: None } => write!(f, "pypi:{name}"),
            Self::Pypi { name, version: Some(version) } => write!(f, "pypi:{name}=={version}"),
        }
    }
}

fn git(text: &str) -> Result<Source, InstallError> {
    let (url, rev) = match text.rsplit_once('#') {
        Some((url, rev)) => (url, Some(rev.to_owned())),
        None => (text, None),
    };
    let is_known =
        GIT.iter().any(|scheme| url.starts_with(scheme)) || is_scp_like(url) || url.starts_with('/');
    let wrong = |why: &str| Err(InstallError::Source(format!("`{}`: {why}", shown(text))));
    if !is_known || url.starts_with('-') {
        return wrong("git is asked over https, ssh, git, file, and http");
    }
    let legal = |rev: &str| !rev.is_empty() && !rev.starts_with('-') && !rev.contains(char::is_whitespace);
    if rev.as_deref().is_some_and(|rev| !legal(rev)) {
        return wrong("expected a branch, a tag or a commit behind the `#`");
    }
    let is_pinned = rev.as_deref().is_some_and(|rev| rev.len() == 40 && is_hex(rev));
    let is_bare = url.starts_with("http://") || url.starts_with("git://");
    if is_bare && !is_pinned && !is_loopback(url) {
        return wrong(
            "anybody on the way may change it: use https or ssh, or append #COMMIT with all its digits",
        );
    }
    Ok(Source::Git { url: url.into(), rev })
}

fn pypi(package: &str) -> Result<Source, InstallError> {
    let (name, version) = match package.split_once("==") {
        Some((name, version)) => (name, Some(version.to_owned())),
        None => (package, None),
    };
    let is_word = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= 100
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !is_word(name, "-_.") || version.as_deref().is_some_and(|version| !is_word(version, "-_.+!")) {
        let why = "expected pypi:NAME or pypi:NAME==VERSION";
        return Err(InstallError::Source(format!("`pypi:{package}`: {why}")));
    }
    Ok(Source::Pypi { name: name.into(), version })
}

fn is_archive(text: &str) -> bool {
    ARCHIVES.iter().any(|end| text.ends_with(end))
}

/// `git@example.org:pump`.
fn is_scp_like(text: &str) -> bool {
    let Some((host, path)) = text.split_once(':') else { return false };
    let Some((user, host)) = host.split_once('@') else { return false };
    let is_plain = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    is_plain(user) && is_plain(host) && !path.is_empty() && !path.starts_with("//") && !path.starts_with('-')
}

fn is_loopback(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let name = if host.starts_with('[') { host.split_inclusive(']').next() } else { host.split(':').next() };
    matches!(name, Some("127.0.0.1" | "localhost" | "[::1]"))
}

fn is_hex(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit())
}

fn digest(text: &str) -> Option<String> {
    (text.len() == 64 && is_hex(text)).then(|| text.to_ascii_lowercase())
}

/// Without what stands between `//` and `@`, but for a mere user of ssh.
pub(super) fn shown(text: &str) -> String {
    let hidden = |scheme: &str| {
        let (before, rest) = text.split_once(scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let (_, host) = host.rsplit_once('@')?;
        Some(format!("{before}{scheme}{host}{path}"))
    };
    hidden("https://").or_else(|| hidden("http://")).unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, String> {
        let source = Source::parse(text, Path::new("/nowhere")).map_err(|error| error.to_string())?;
        assert_eq!(Source::parse(&source.to_string(), Path::new("/")).ok().as_ref(), Some(&source), "{text}");
        Ok(source.to_string())
    }

    #[test]
    fn what_is_typed_is_understood_and_read_again_from_what_is_kept() {
        let hash = "AB".repeat(32);
        let commit = "0".repeat(40);
        for (text, expected) in [
            ("pypi:sedge-pump==1.2".to_owned(), "pypi:sedge-pump==1.2".to_owned()),
            ("https://e.org/pump.git#v1".into(), "git+https://e.org/pump.git#v1".into()),
            ("https://e.org/pump".into(), "git+https://e.org/pump".into()),
            ("git@e.org:pump".into(), "git+git@e.org:pump".into()),
            ("file:///srv/pump.git".into(), "git+file:///srv/pump.git".into()),
            ("https://e.org/pump.tgz".into(), "https://e.org/pump.tgz".into()),
            (
                format!("http://e.org/pump.tar@{hash}"),
                format!("http://e.org/pump.tar@{}", hash.to_lowercase()),
            ),
            (format!("http://e.org/pump#{commit}"), format!("git+http://e.org/pump#{commit}")),
            ("http://127.0.0.1:8080/pump".into(), "git+http://127.0.0.1:8080/pump".into()),
            ("dir:/srv/pump".into(), "dir:/srv/pump".into()),
        ] {
            assert_eq!(of(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_could_harm_is_no_source() {
        for text in [
            "",
            "--upload-pack=x",
            "git+--x",
            "ext::sh -c x",
            "git+ext::sh",
            "https://e.org/x#--y",
            "pypi:-r",
            "pypi:a b",
            "pypi:a==1;x",
            "http://e.org/pump.tgz",
            "http://e.org/pump",
            "git://e.org/pump",
            "https://e.org/p.tgz@12",
            "pump",
            "a@-b:c",
            "http://127.0.0.1@evil.org/pump",
        ] {
            assert!(of(text).is_err(), "{text}: {:?}", of(text));
        }
    }

    #[test]
    fn a_password_is_not_kept() {
        assert_eq!(shown("git+https://me:s3cret@e.org/p#x"), "git+https://e.org/p#x");
        assert_eq!(shown("ssh://git@e.org/p"), "ssh://git@e.org/p");
        assert_eq!(shown("https://e.org/a@b"), "https://e.org/a@b");
    }
}
