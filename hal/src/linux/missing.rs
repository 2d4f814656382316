//! What a person can do when a device node is not there.

use std::io;
use std::path::Path;

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
        match error.kind() {
            io::ErrorKind::NotFound => {
                let existing = match existing(prefix) {
                    found if found.is_empty() => "there is none of its kind".into(),
                    found => format!("there are: {}", found.join(", ")),
                };
                format!("{shown} does not exist; {existing}. {enable}")
            }
            io::ErrorKind::PermissionDenied => format!(
                "{shown} may not be opened: this user is not in the group `{group}`. \
                 Run `sudo usermod -aG {group} $USER` and log in again, or restart the service."
            ),
            _ => format!("{shown} cannot be opened: {error}"),
        }
    }
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
    fn a_node_that_may_not_be_opened_names_the_group() {
        let text = CPUS.explain(Path::new("/dev/i2c-1"), &io::ErrorKind::PermissionDenied.into());
        assert!(text.contains("usermod -aG i2c"), "{text}");
    }
}
