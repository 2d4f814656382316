//! Files that are there as a whole or not at all, also after a power cut.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

/// Bytes of a file that is read here.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// Whose a file is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owner(Option<Uid>, Option<Gid>);

impl Owner {
    /// A user with its group. Where there is none of that name, or where we are not root, whoever writes it.
    pub fn user(name: &str) -> Self {
        match User::from_name(name) {
            Ok(Some(user)) if Uid::effective().is_root() => Self(Some(user.uid), Some(user.gid)),
            _ => Self::default(),
        }
    }

    /// A group, and the user who writes it.
    pub fn group(name: &str) -> Self {
        match Group::from_name(name) {
            Ok(Some(group)) if Uid::effective().is_root() => Self(None, Some(group.gid)),
            _ => Self::default(),
        }
    }

    /// Whoever called sudo; else whoever writes it.
    pub fn behind_sudo() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        match (number("SUDO_UID"), number("SUDO_GID")) {
            (Some(user), Some(group)) if Uid::effective().is_root() => {
                Self(Some(user.into()), Some(group.into()))
            }
            _ => Self::default(),
        }
    }

    /// Gives a folder away. Not through a link: whoever may write above it could have put one there meanwhile.
    pub fn takes(self, folder: &Path) -> io::Result<()> {
        match self {
            Self(None, None) => Ok(()),
            Self(user, group) => {
                std::os::unix::fs::lchown(folder, user.map(Uid::as_raw), group.map(Gid::as_raw))
            }
        }
    }

    /// Whoever owns the folder.
    fn of(folder: &Path) -> io::Result<Self> {
        let at = fs::metadata(folder)?;
        let foreign = Uid::effective().is_root();
        Ok(if foreign { Self(Some(at.uid().into()), Some(at.gid().into())) } else { Self::default() })
    }
}

/// Writes a file by way of another that takes its place.
pub fn write(file: &Path, text: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.new"));
    // One that a power cut has left.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    out.write_all(text)?;
    // Not at all where there is nothing to change: the service's filter refuses the call itself.
    if let Owner(Some(_), _) | Owner(_, Some(_)) = owner {
        nix::unistd::fchown(&out, owner.0, owner.1)?;
    }
    out.set_permissions(fs::Permissions::from_mode(mode))?;
    out.sync_all()?;
    fs::rename(&beside, file)?;
    File::open(folder)?.sync_all()
}

/// As [`write()`], for whoever owns the folder. Says whether anything changed.
pub fn write_as_folder(file: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    write(file, text, mode, Owner::of(file.parent().unwrap_or(Path::new("/")))?)
}

/// As [`write()`], unless it stands there already. Says whether anything changed.
pub fn keep(file: &Path, text: &[u8], mode: u32, owner: Owner) -> io::Result<bool> {
    if fs::read(file).is_ok_and(|now| now == text) {
        return Ok(false);
    }
    write(file, text, mode, owner)?;
    Ok(true)
}

/// Makes a folder, and those above it. One that is there stays as it is.
pub fn folder(folder: &Path, mode: u32, owner: Owner) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(above)?;
    }
    DirBuilder::new().mode(mode).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
    if let Owner(Some(_), _) | Owner(_, Some(_)) = owner {
        nix::unistd::chown(folder, owner.0, owner.1)?;
    }
    Ok(())
}

/// Reads a text that should be small.
pub fn read(file: &Path) -> io::Result<String> {
    read_of(file, MOST_BYTES)
}

/// The same, with so many bytes at most.
pub fn read_of(file: &Path, most: u64) -> io::Result<String> {
    let at = fs::metadata(file)?;
    if !at.is_file() || at.len() > most {
        return Err(io::Error::other("not a file of a size that it should have"));
    }
    fs::read_to_string(file)
}
