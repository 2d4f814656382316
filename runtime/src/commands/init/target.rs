//! Where the config goes, and how: whole or not at all, over nothing that is the user's.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use sedge_plugin::Secret;

use super::text::Login;
use crate::cli::{Global, InitArgs};
use crate::exit::Failure;
use crate::place;

/// Where a packaged node has its config, below the root.
const SYSTEM: &str = "etc/sedge";
/// Whom the config of a packaged node is readable for.
const GROUP: &str = "sedge";
/// The name of the file with the broker's password, below the config's folder: systemd makes a credential of it.
const PASSWORD: &str = "credentials/mqtt-password";
/// Bytes of a file with a password.
const MOST_BYTES: u64 = 64 * 1024;
/// Former configs that are kept.
const MOST_KEPT: u32 = 100;

/// A config that is to be written.
pub(super) struct Target {
    pub(super) file: PathBuf,
    /// What a person should know about the choice.
    pub(super) notes: Vec<String>,
    root: PathBuf,
}

impl Target {
    /// The file that is named, else that of the service where this user may write it, else one here.
    pub(super) fn choose(global: &Global, args: &InitArgs) -> Result<Self, Failure> {
        let mut notes = Vec::new();
        let file = match (&args.output, &global.config) {
            (Some(output), Some(config)) if output != config => {
                return Err(Failure::Usage("-o and -c name two files; keep one of them".into()));
            }
            (Some(file), _) | (None, Some(file)) => file.clone(),
            (None, None) => {
                let folder = args.root.join(SYSTEM);
                if folder.is_dir() && place::is_writable(&folder) {
                    folder.join("sedge.toml")
                } else {
                    if folder.is_dir() {
                        notes.push(format!(
                            "the service reads {}, which this user may not write; run this with `sudo` to write that",
                            folder.join("sedge.toml").display()
                        ));
                    }
                    PathBuf::from("sedge.toml")
                }
            }
        };
        // A link stays one: what it leads to is replaced.
        let file = fs::canonicalize(&file).or_else(|_| std::path::absolute(&file)).unwrap_or(file);
        Ok(Self { file, notes, root: args.root.clone() })
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    fn is_system(&self) -> bool {
        self.folder() == self.root.join(SYSTEM)
    }

    /// Whether there is nothing of the user's that would be lost.
    pub(super) fn is_free(&self, force: bool) -> Result<(), Failure> {
        let shown = self.file.display();
        match fs::read(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::Failed(format!("cannot read {shown}: {error}"))),
            Ok(bytes) if force || says_nothing(&String::from_utf8_lossy(&bytes)) => {}
            Ok(_) => {
                return Err(Failure::Failed(format!(
                    "{shown} is there and has settings in it; look at what would be written with --dry-run, write another file \
                     with -o FILE, or replace it with --force, which keeps it as {shown}.old"
                )));
            }
        }
        let folder = self.folder();
        if !folder.is_dir() {
            return Err(Failure::Failed(format!("there is no folder {}; make it first", folder.display())));
        }
        if !place::is_writable(folder) {
            return Err(Failure::Failed(format!(
                "{} may not be written by this user; run this with `sudo`, or write elsewhere with -o FILE",
                folder.display()
            )));
        }
        Ok(())
    }

    /// Where a password is found by the node.
    pub(super) fn password_place(&self, from: &Option<PathBuf>, given: bool) -> Login {
        match from {
            _ if !given => Login::Nothing,
            _ if self.is_system() => Login::Credential(self.folder().join(PASSWORD)),
            Some(file) => Login::Theirs(std::path::absolute(file).unwrap_or_else(|_| file.clone())),
            None => Login::File(self.folder().join(PASSWORD)),
        }
    }

    /// Writes it, and the password before it; gives where the former config is kept.
    pub(super) fn write(
        &self,
        text: &str,
        password: Option<&Secret>,
        force: bool,
    ) -> Result<Option<PathBuf>, Failure> {
        let failed = |file: &Path, error: io::Error| {
            Failure::Failed(format!("cannot write {}: {error}; nothing was changed", file.display()))
        };
        if let Some(password) = password {
            let file = self.folder().join(PASSWORD);
            write_password(&file, password).map_err(|error| failed(&file, error))?;
        }
        let group = if self.is_system() { self.group() } else { None };
        let made = Temporary::new(&self.file, text).and_then(|made| made.give(group).map(|()| made));
        let temporary = made.map_err(|error| failed(&self.file, error))?;
        let kept = if force { self.keep().map_err(|error| failed(&self.file, error))? } else { None };
        temporary.take_place(&self.file).map_err(|error| failed(&self.file, error))?;
        Ok(kept)
    }

    /// Keeps what is there under another name; never over one that was kept before.
    fn keep(&self) -> io::Result<Option<PathBuf>> {
        match fs::read(&self.file) {
            Ok(bytes) if says_nothing(&String::from_utf8_lossy(&bytes)) => return Ok(None),
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
        for number in 0..MOST_KEPT {
            let end = if number == 0 { ".old".into() } else { format!(".old-{}", number + 1) };
            let mut name = self.file.clone().into_os_string();
            name.push(end);
            match fs::hard_link(&self.file, &name) {
                Ok(()) => return Ok(Some(name.into())),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // A file system without links, such as that of the boot partition.
                Err(_) if !Path::new(&name).exists() => {
                    fs::copy(&self.file, &name)?;
                    return Ok(Some(name.into()));
                }
                Err(_) => {}
            }
        }
        Err(io::Error::other(format!("there are {MOST_KEPT} former ones (*.old…) beside it; remove some")))
    }

    /// The number of the group that the service runs in, where there is one.
    fn group(&self) -> Option<u32> {
        let groups = fs::read_to_string(self.root.join("etc/group")).ok()?;
        let mut fields =
            groups.lines().find_map(|line| line.strip_prefix(GROUP)?.strip_prefix(':'))?.split(':');
        fields.nth(1)?.parse().ok()
    }

    /// Commands, and what each is for.
    pub(super) fn next_steps(&self) -> Vec<Vec<String>> {
        let units = ["usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system"];
        let service =
            self.is_system() && units.iter().any(|at| self.root.join(at).join("sedge.service").exists());
        let file = self.file.display();
        let is_found = self.is_system() && self.root == Path::new("/");
        let (sudo, named) = (
            if service { "sudo " } else { "" },
            if is_found { String::new() } else { format!(" -c {file}") },
        );
        let start = if service { "sudo systemctl restart sedge".into() } else { format!("sedge run{named}") };
        let row = |command: String, what: &str| vec![format!("  {command}"), what.to_owned()];
        vec![
            row(start, "starts the node with it"),
            row(format!("{sudo}sedge readings tail{named}"), "prints readings as they come"),
            row(format!("{sudo}sedge doctor{named}"), "says what is amiss, and what to do about it"),
            row(format!("{sudo}sedge check{named}"), "finds mistakes, after you have changed the file"),
        ]
    }
}

/// Whether a config has nothing in it that somebody wrote: that of the package is comments and its version.
fn says_nothing(text: &str) -> bool {
    let is_version = |line: &str| {
        let value = line.strip_prefix("config_version").and_then(|rest| rest.trim_start().strip_prefix('='));
        let value = value.map(|value| value.split('#').next().unwrap_or_default().trim());
        value.is_some_and(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()))
    };
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || is_version(line))
}

/// Reads a password from a file; its line's end is none of it.
pub(super) fn password(file: &Path) -> Result<Secret, Failure> {
    let wrong = |why: String| Failure::Usage(format!("--password-file {}: {why}", file.display()));
    let mut text = String::new();
    let open = fs::File::open(file).map_err(|error| wrong(error.to_string()))?;
    open.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        Err(wrong("there is no password in it".into()))
    } else {
        Ok(Secret::new(text.to_owned()))
    }
}

fn write_password(file: &Path, password: &Secret) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    Temporary::new(file, &format!("{}\n", password.expose()))?.take_place(file)
}

/// A file that is complete before it has its name. Removed where it never gets that.
struct Temporary {
    path: PathBuf,
    file: fs::File,
}

impl Temporary {
    /// Readable for its owner alone.
    fn new(target: &Path, text: &str) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = target.with_file_name(format!(".{name}.{}", std::process::id()));
        // One that a former process of that number left.
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut temporary = Self { path, file };
        temporary.file.write_all(text.as_bytes())?;
        Ok(temporary)
    }

    /// Readable for a group, or for all where there is none, or where it may not be given to that.
    fn give(&self, group: Option<u32>) -> io::Result<()> {
        let given = group.is_some_and(|group| fchown(&self.file, None, Some(group)).is_ok());
        self.file.set_permissions(fs::Permissions::from_mode(if given { 0o640 } else { 0o644 }))
    }

    fn take_place(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        // That it has the name now is in the folder.
        target.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It has another name by now, unless something failed.
        let _ = fs::remove_file(&self.path);
    }
}
