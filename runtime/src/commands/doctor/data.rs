//! Whether there is a place for what the node keeps.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use sedge_config::Storage;
use sedge_plugin::Size;

use super::{Finding, Patient, wear};
use crate::place;

/// Less than this many bytes left is little, and less than a tenth of that nothing.
const LITTLE: u64 = 200 * 1024 * 1024;

/// Where the service keeps what it keeps.
const STATE: &str = "/var/lib/sedge";

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let configured = patient.config.node.data.as_deref();
    let folder = match (configured, patient.service.owner()) {
        (None, Some(_)) => Some(patient.path(STATE).join(patient.id.as_str())),
        _ => place::data(configured, &patient.id),
    };
    let Some(folder) = folder else {
        return vec![Finding::warn(
            "data",
            "there is no place for what plugins keep",
            "set `data` in `[node]`, or make /var/lib/sedge for the user that runs the node",
        )];
    };
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    // It is made when it is needed.
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else { return Vec::new() };
    let shown = folder.display();
    let mut found = vec![if is_read_only(patient, there) {
        Finding::fail(
            "data",
            format!("{shown} is on a file system that is mounted read-only"),
            "`sudo mount -o remount,rw /`; after a power cut see `dmesg` for errors of the card; else set `data` in `[node]`",
        )
    } else if !patient.may_fill(there) {
        let remedy = match patient.service.owner() {
            Some(owner) => format!("`sudo chown -R {0}:{0} {1}`", owner.name, there.display()),
            None => format!(
                "`sudo chown -R $USER {}`, run this as the user that runs the node, or set `data` in `[node]`",
                there.display()
            ),
        };
        Finding::fail("data", format!("{shown} may not be written by {}", patient.who()), remedy)
    } else {
        Finding::ok("data", format!("{shown} can be written"))
    }];
    found.extend(wear::kept(patient, there));
    if let Ok(space) = statvfs(there) {
        // Of 32 bits on some boards.
        #[allow(clippy::useless_conversion)]
        let bytes = |blocks: nix::libc::fsblkcnt_t| u64::from(blocks) * u64::from(space.fragment_size());
        let (free, all) = (bytes(space.blocks_available()), bytes(space.blocks()));
        let what = format!("{} of {} MB are free at {shown}", free / 1_000_000, all / 1_000_000);
        let remedy = "make room: `sudo journalctl --vacuum-size=50M`, `sudo apt clean`";
        found.push(match free {
            free if free < LITTLE / 10 => Finding::fail("disk", what, remedy),
            free if free < LITTLE => Finding::warn("disk", what, remedy),
            _ => Finding::ok("disk", what),
        });
        found.extend(outbox(patient, &folder.join("outbox"), free));
    }
    found
}

/// Whether the journal of readings can be written, and become as large as it may.
fn outbox(patient: &Patient, folder: &Path, free: u64) -> Option<Finding> {
    let outbox = &patient.config.outbox;
    if outbox.storage == Storage::Memory {
        let what = "readings are kept in memory: a restart loses what was not sent";
        return Some(Finding::ok("outbox", what));
    }
    let shown = folder.display();
    if folder.exists() && !patient.may_fill(folder) {
        let remedy = match patient.service.owner() {
            Some(owner) => format!("`sudo chown -R {0}:{0} {shown}`", owner.name),
            None => "run this as the user that runs the node; if that is you, see who owns the folder".into(),
        };
        let what = format!(
            "{shown} may not be written by {}: readings would be kept in memory alone",
            patient.who()
        );
        return Some(Finding::fail("outbox", what, remedy));
    }
    let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let used: u64 = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let wanted = outbox.max_bytes.0.saturating_sub(used);
    let (max, free) = (outbox.max_bytes, free / 1_000_000);
    Some(if wanted > free * 1_000_000 {
        Finding::warn(
            "outbox",
            format!("the journal may become {max}, and {free} MB are free: a full disk comes first"),
            format!(
                "make room, or set `max_bytes` of `[outbox]` to what there is, such as \"{}\"",
                Size(64 << 20)
            ),
        )
    } else {
        Finding::ok("outbox", format!("{shown}: there is room for {max} of readings"))
    })
}

/// Whether the file system that a folder is on is mounted so: the mount with the longest path above it, of those the last.
fn is_read_only(patient: &Patient, folder: &Path) -> bool {
    wear::mount(patient, folder)
        .is_some_and(|(_, _, options)| options.split(',').any(|option| option == "ro"))
}
