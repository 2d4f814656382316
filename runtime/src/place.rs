//! Where a node keeps things: its data, and the socket at which it is asked.
//!
//! | what | where, the first that fits |
//! |---|---|
//! | data | `[node] data`; `$STATE_DIRECTORY`; `/var/lib/sedge`; `$XDG_DATA_HOME/sedge` or `~/.local/share/sedge` |
//! | what plugins need | `compiled/` and `python/` (the SDK) in the data; `$XDG_DATA_HOME/sedge` where there is none |
//! | socket | `$RUNTIME_DIRECTORY`; `/run/sedge`; `$XDG_RUNTIME_DIR/sedge`; `/tmp/sedge-UID` |
//! | plugins | `plugins/` beside the config; `$XDG_DATA_HOME/sedge/plugins`; `/usr/local/lib/sedge/plugins`; `/usr/lib/sedge/plugins` |
//!
//! Data has a folder per node, because two nodes may run on one machine; a folder that the config names is one node's.

use std::env::var_os;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sedge_plugin::Id;

/// The folder for a node's data; none where there is no place for it.
pub(crate) fn data(configured: Option<&Path>, node: &Id) -> Option<PathBuf> {
    if let Some(folder) = configured {
        return Some(std::path::absolute(folder).unwrap_or_else(|_| folder.into()));
    }
    let system = PathBuf::from("/var/lib/sedge");
    let state = first_of("STATE_DIRECTORY");
    let folder = state.or_else(|| is_writable(&system).then_some(system)).or_else(user_data)?;
    Some(folder.join(node.as_str()))
}

/// The folders in which the data of a node may be, whoever runs it.
pub(crate) fn all_data(configured: Option<&Path>, node: &Id) -> Vec<PathBuf> {
    if let Some(folder) = configured {
        return vec![folder.into()];
    }
    let system = Some(PathBuf::from("/var/lib/sedge"));
    let folders = [first_of("STATE_DIRECTORY"), system, user_data()].into_iter().flatten();
    folders.map(|folder| folder.join(node.as_str())).collect()
}

/// The first of the folders that systemd names in a variable.
fn first_of(variable: &str) -> Option<PathBuf> {
    let folders = var_os(variable)?;
    std::env::split_paths(&folders).next().filter(|folder| !folder.as_os_str().is_empty())
}

/// The folder for what belongs to the user.
pub(crate) fn user_data() -> Option<PathBuf> {
    let home = || var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let folder = var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    folder.or_else(home).map(|folder| folder.join("sedge"))
}

/// The folders in which the sockets of nodes may be, in the order in which they are tried.
pub(crate) fn socket_folders() -> Vec<PathBuf> {
    let given = first_of("RUNTIME_DIRECTORY");
    let user = var_os("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("sedge"));
    // Anybody may make a folder there: one that is another's is none of ours.
    let own = uid().map(|uid| (PathBuf::from(format!("/tmp/sedge-{uid}")), uid));
    let own = own.filter(|(folder, uid)| {
        fs::symlink_metadata(folder).is_ok_and(|at| at.uid() == *uid) || !folder.exists()
    });
    let own = own.map(|(folder, _)| folder);
    given.into_iter().chain([PathBuf::from("/run/sedge")]).chain(user).chain(own).collect()
}

/// Whether a node may have its socket where this user may not look.
pub(crate) fn is_barred() -> bool {
    let barred = |folder: &PathBuf| {
        fs::read_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    socket_folders().iter().any(barred)
}

/// The folder in which a node makes its socket: made where it may be, and nobody else's.
pub(crate) fn own_socket_folder() -> io::Result<PathBuf> {
    for folder in socket_folders() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(&folder);
        if made.is_ok() && is_writable(&folder) && fs::metadata(&folder)?.uid() == uid().unwrap_or_default() {
            return Ok(folder);
        }
    }
    Err(io::Error::other("there is no folder for it"))
}

/// Whether this process may make files there.
pub(crate) fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!(".sedge-{}", std::process::id()));
    let made = fs::File::create(&probe).is_ok();
    made && fs::remove_file(&probe).is_ok()
}

fn uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|process| process.uid())
}
