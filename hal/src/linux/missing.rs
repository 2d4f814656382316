//! What a person can do when a device node is not there, or may not be opened.
//!
//! A node is refused in two ways, and each has a remedy of its own: EACCES comes of the owner and the mode of the node, EPERM
//! of the device policy of a systemd unit or a container, which knows nothing of groups. A unit that allows `char-i2c` allows
//! nothing while the kernel has no such device, and looks it up when it starts: so a bus that was enabled later is refused
//! until the service starts again.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;

/// A kind of device node.
pub(super) struct Nodes {
    /// How their paths begin.
    pub(super) prefix: &'static str,
    /// What to do when one is missing.
    pub(super) enable: &'static str,
    /// Who may open them.
    pub(super) group: &'static str,
}

impl Nodes {
    /// Says why `path` could not be opened, what to do, and which others exist.
    pub(super) fn explain(&self, path: &Path, error: &io::Error) -> String {
        let shown = path.display();
        let Self { prefix, enable, group } = self;
        let kernel = format!("{}*", prefix.rsplit('/').next().unwrap_or(prefix));
        match error.kind() {
            io::ErrorKind::NotFound => {
                let existing = match existing(prefix) {
                    found if found.is_empty() => "there is none of its kind".into(),
                    found => format!("there are: {}", found.join(", ")),
                };
                format!("{shown} does not exist; {existing}. {enable}")
            }
            io::ErrorKind::PermissionDenied if is_policy(error) => format!(
                "{shown} is refused by the device policy of the service or container that this runs in. \
                 Run `sudo systemctl restart sedge`: a unit that has `DeviceAllow=` looks its devices up when it starts, and \
                 does not see a bus that was enabled later; a container needs `--device {shown}`."
            ),
            io::ErrorKind::PermissionDenied if is_roots(path) => format!(
                "{shown} may not be opened: it belongs to root alone, as no udev rule gives it to the group `{group}`. \
                 Run `sudo systemd-sysusers && sudo udevadm trigger` where Sedge's package is installed, or add a rule \
                 such as `KERNEL==\"{kernel}\", GROUP=\"{group}\", MODE=\"0660\"` to /etc/udev/rules.d/."
            ),
            io::ErrorKind::PermissionDenied => format!(
                "{shown} may not be opened: this user is not in the group `{group}`. \
                 Run `sudo usermod -aG {group} $USER` and log in again; for the service `sudo systemd-sysusers && \
                 sudo systemctl restart sedge`."
            ),
            _ => format!("{shown} cannot be opened: {error}"),
        }
    }
}

/// Whether it was not the owner or the mode of the node.
fn is_policy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EPERM as i32)
}

/// Whether no group but root's has the node.
fn is_roots(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|at| at.gid() == 0)
}

fn existing(prefix: &str) -> Vec<String> {
    let (folder, start) = prefix.rsplit_once('/').unwrap_or((".", prefix));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<String> =
        names.filter(|name| name.starts_with(start)).map(|name| format!("{folder}/{name}")).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUS: Nodes = Nodes { prefix: "/sys/devices/system/cpu/cpu0", enable: "Buy one.", group: "i2c" };

    #[test]
    fn a_missing_node_says_what_to_do_and_which_others_exist() {
        let text = CPUS.explain(Path::new("/dev/i2c-1"), &io::ErrorKind::NotFound.into());
        assert_eq!(text, "/dev/i2c-1 does not exist; there are: /sys/devices/system/cpu/cpu0. Buy one.");
        let none = Nodes { prefix: "/nowhere/i2c-", ..CPUS };
        assert!(none.explain(Path::new("x"), &io::ErrorKind::NotFound.into()).contains("there is none"));
    }

    #[test]
    fn a_node_that_may_not_be_opened_names_who_refuses_it_and_the_remedy() {
        let says = |path: &str, errno: Errno| {
            CPUS.explain(Path::new(path), &io::Error::from_raw_os_error(errno as i32))
        };
        let group = says("/nowhere/i2c-1", Errno::EACCES);
        assert!(group.contains("not in the group `i2c`") && group.contains("usermod -aG i2c"), "{group}");
        assert!(group.contains("sudo systemd-sysusers && sudo systemctl restart sedge"), "{group}");
        // Of /dev/null the group is root's.
        let rule = says("/dev/null", Errno::EACCES);
        assert!(rule.contains("root alone") && rule.contains("GROUP=\"i2c\""), "{rule}");
        let policy = says("/dev/null", Errno::EPERM);
        assert!(
            policy.contains("device policy") && policy.contains("sudo systemctl restart sedge"),
            "{policy}"
        );
        assert!(!policy.contains("group"), "no group helps: {policy}");
    }
}
