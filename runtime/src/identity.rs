//! The id that a new board gets.
//!
//! Forty boards from one image are all called `raspberrypi`, and two nodes of one id throw each other out of the broker. So
//! the host name is taken only where somebody chose it; else something that the board was made with.
//!
//! | the first that is there | id |
//! |---|---|
//! | a host name that somebody chose | `kitchen` |
//! | the serial number in the device tree | `pi-` and its last 8 digits |
//! | the machine id, hashed: it is not to be told to others | `pi-` and 8 digits |
//! | the host name, whatever it is | `raspberrypi` |
//!
//! It gives the same id each time, and must not write anything: whoever asks writes it into a config.

use std::path::Path;

use sedge_plugin::Id;

/// Names that an installer gives, not a person; also with a number behind, as in `raspberrypi-2`.
const GENERIC: [&str; 22] = [
    "alarmpi",
    "alpine",
    "archlinux",
    "armbian",
    "bananapi",
    "buildroot",
    "changeme",
    "debian",
    "dietpi",
    "fedora",
    "host",
    "linux",
    "localhost",
    "node",
    "openwrt",
    "orangepi",
    "pi",
    "radxa",
    "raspberry",
    "raspberrypi",
    "raspbian",
    "ubuntu",
];
/// So much of a number is taken.
const DIGITS: usize = 8;

/// An id, and why it is that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// The id.
    pub id: Id,
    /// To be read after the id: `the host name`.
    pub reason: String,
}

/// The id for a new node on the board whose files are below `root`.
pub fn fresh_id(root: &Path) -> Id {
    fresh(root).id
}

/// As [`fresh_id`], with the reason.
pub fn fresh(root: &Path) -> Fresh {
    let host = host_name(root);
    if !is_generic(&host) {
        return Fresh { id: Id::from_host(&host), reason: "the host name".into() };
    }
    let shown = if host.is_empty() {
        "there is no host name".into()
    } else {
        format!("every new board is called `{host}`")
    };
    if let Some(digits) = serial(root) {
        let id = Id::sanitized(&format!("pi-{digits}"), "node");
        return Fresh { id, reason: format!("from the board's serial number: {shown}") };
    }
    if let Some(digits) = machine(root) {
        let id = Id::sanitized(&format!("pi-{digits}"), "node");
        return Fresh { id, reason: format!("from the machine id: {shown}") };
    }
    let reason = "the host name; nothing here tells this board from others, so choose one yourself";
    Fresh { id: Id::from_host(&host), reason: reason.into() }
}

/// The host's name; empty where it has none.
pub fn host_name(root: &Path) -> String {
    let files = ["proc/sys/kernel/hostname", "etc/hostname"];
    let names = files.iter().filter_map(|file| std::fs::read_to_string(root.join(file)).ok());
    names.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()).unwrap_or_default()
}

/// Whether a host name says nothing of which board it is.
pub fn is_generic(host: &str) -> bool {
    let label = host.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let stem = label.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    label.is_empty() || label == "(none)" || GENERIC.contains(&stem) || GENERIC.contains(&label.as_str())
}

fn serial(root: &Path) -> Option<String> {
    let tree = std::fs::read_to_string(root.join("proc/device-tree/serial-number")).ok();
    let cpu = || {
        let text = std::fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Serial"))?;
        Some(line.trim_matches([' ', '\t', ':']).to_owned())
    };
    last_digits(&tree.or_else(cpu)?)
}

/// The end of a number that is one: not all zeros, as emulated boards say.
fn last_digits(number: &str) -> Option<String> {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_alphanumeric).collect();
    let end: String = digits[digits.len().checked_sub(DIGITS)?..].iter().collect();
    end.chars().any(|c| c != '0').then(|| end.to_ascii_lowercase())
}

fn machine(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("etc/machine-id")).ok()?;
    let id = text.trim();
    let is_one = id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit());
    is_one.then(|| format!("{:08x}", sedge_plugin::fnv1a(format!("sedge {id}").as_bytes()) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A board with these files.
    struct Board(std::path::PathBuf);

    impl Board {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("sedge-identity-{name}-{}", std::process::id()));
            for (file, text) in files {
                let path = root.join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Board {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const HOST: &str = "proc/sys/kernel/hostname";
    const SERIAL: &str = "proc/device-tree/serial-number";
    const MACHINE: (&str, &str) = ("etc/machine-id", "0123456789abcdef0123456789abcdef\n");

    #[test]
    fn a_name_that_somebody_chose_is_the_id() {
        let board =
            Board::new("chosen", &[(HOST, "Kitchen_2.lan\n"), (SERIAL, "10000000abcdef12\0"), MACHINE]);
        assert_eq!(
            fresh(&board.0),
            Fresh { id: Id::new("kitchen-2").unwrap(), reason: "the host name".into() }
        );
    }

    #[test]
    fn boards_of_one_image_get_ids_of_their_own() {
        for host in [
            "raspberrypi\n",
            "raspberrypi.local",
            "raspberrypi-2",
            "RaspberryPi2",
            "DietPi",
            "localhost",
            "(none)",
            "",
        ] {
            let board = Board::new("image", &[(HOST, host), (SERIAL, "10000000ABCDEF12\0"), MACHINE]);
            let Fresh { id, reason } = fresh(&board.0);
            assert_eq!(id.as_str(), "pi-abcdef12", "{host}");
            assert!(reason.contains("serial number"), "{reason}");
            drop(board);
            let board = Board::new("image", &[(HOST, host), (SERIAL, "0000000000000000\0"), MACHINE]);
            let id = fresh_id(&board.0);
            assert!(id.as_str().len() == 11 && id.as_str().starts_with("pi-"), "{id}");
            assert!(!MACHINE.1.contains(&id.as_str()[3..]), "the machine id itself is nobody's business");
            assert_eq!(id, fresh_id(&board.0), "the same each time");
        }
    }

    #[test]
    fn a_board_that_tells_nothing_of_itself_gets_an_id_all_the_same() {
        let board = Board::new("nothing", &[(HOST, "raspberrypi"), ("etc/machine-id", "uninitialized\n")]);
        let Fresh { id, reason } = fresh(&board.0);
        assert!(id.as_str() == "raspberrypi" && reason.contains("choose one yourself"), "{id}: {reason}");
    }
}
