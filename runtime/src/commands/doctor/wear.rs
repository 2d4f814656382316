//! What outlives a power cut, and what wears an SD card.

use std::path::Path;

use sedge_config::Storage;

use super::{Finding, Patient};

/// Where the settings of the system's log are, the weakest first.
const FOLDERS: [&str; 4] = [
    "/usr/lib/systemd/journald.conf.d",
    "/usr/local/lib/systemd/journald.conf.d",
    "/run/systemd/journald.conf.d",
    "/etc/systemd/journald.conf.d",
];

/// The mount that a folder is on: its device, its type, its options.
pub(super) fn mount(patient: &Patient, folder: &Path) -> Option<(String, String, String)> {
    let mounts = patient.text("/proc/mounts")?;
    let mount = |line: &str| {
        let mut words = line.split(' ').map(|word| word.replace("\\040", " "));
        let (device, at, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let depth = Path::new(&at).components().count();
        folder.starts_with(&at).then_some((depth, (device, kind, options)))
    };
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, mount)| mount)
}

/// Whether the node's data is gone after the next boot.
pub(super) fn kept(patient: &Patient, folder: &Path) -> Option<Finding> {
    let (device, kind, _) = mount(patient, folder)?;
    let in_memory = ["tmpfs", "ramfs"].contains(&kind.as_str());
    if !in_memory && device != "overlayroot" || patient.config.outbox.storage == Storage::Memory {
        return None;
    }
    let how = if in_memory { format!("is in memory ({kind})") } else { "is on an overlay in memory".into() };
    Some(Finding::warn(
        "data",
        format!("{} {how}: readings that wait for the broker do not outlive a power cut", folder.display()),
        "mount something that stays there; or say that it is meant with `storage = \"memory\"` in `[outbox]`",
    ))
}

/// Whether the system's log fills the card.
pub(super) fn log(patient: &Patient) -> Vec<Finding> {
    let is_card = |device: &str| {
        device.starts_with("/dev/mmcblk")
            || device == "/dev/root" && patient.path("/sys/class/block/mmcblk0").exists()
    };
    if !mount(patient, Path::new("/var/log/journal")).is_some_and(|(device, ..)| is_card(&device)) {
        return Vec::new();
    }
    let mut texts: Vec<String> = patient.text("/etc/systemd/journald.conf").into_iter().collect();
    for folder in FOLDERS {
        let entries = std::fs::read_dir(patient.path(folder)).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.sort();
        let files = files.iter().filter(|file| file.extension().is_some_and(|end| end == "conf"));
        texts.extend(files.filter_map(|file| std::fs::read_to_string(file).ok()));
    }
    let last = |key: &str| {
        let lines = texts.iter().flat_map(|text| text.lines());
        let values = lines.filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        values.map(|value| value.trim().to_owned()).next_back().filter(|value| !value.is_empty())
    };
    let storage = last("Storage").unwrap_or_else(|| "auto".into());
    let persists = match storage.as_str() {
        "persistent" => true,
        "auto" => patient.path("/var/log/journal").exists(),
        _ => false,
    };
    vec![match (persists, last("SystemMaxUse")) {
        (false, _) => Finding::ok("log", "the system's log is in memory"),
        (true, Some(limit)) => {
            Finding::ok("log", format!("the system's log is on the card, at most {limit}"))
        }
        (true, None) => Finding::warn(
            "log",
            "the system's log is on the card, and may become a tenth of it: that is most of what is written here",
            "`printf '[Journal]\\nSystemMaxUse=50M\\n' | sudo tee /etc/systemd/journald.conf.d/50-card.conf`, or `Storage=volatile` \
             to keep it in memory; then `sudo systemctl restart systemd-journald`",
        ),
    }]
}
