//! Whether the time is right: readings carry it, and TLS needs it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Finding, Patient};

/// What sets the clock, by a file that it keeps while it runs.
const OTHERS: [(&str, &str); 4] = [
    ("/run/chrony/chronyd.pid", "chrony; `chronyc tracking` tells how well"),
    ("/run/chronyd.pid", "chrony; `chronyc tracking` tells how well"),
    ("/run/ntpd.pid", "ntpd; `ntpq -p` tells how well"),
    ("/run/openntpd.pid", "openntpd; `ntpctl -s status` tells how well"),
];
/// June 2025: no program of ours is older.
const EARLIEST: Duration = Duration::from_secs(1_750_000_000);

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let remedy = "`sudo timedatectl set-ntp true`, and see that the network is there; a board without a battery starts with an old time";
    // What was written last, the time cannot be before.
    let latest =
        ["/var/lib/systemd/timesync/clock", "/var/lib/systemd/timers"].map(|path| patient.path(path));
    let files = latest.iter().chain(&patient.file);
    let latest = files.filter_map(|file| std::fs::metadata(file).ok()?.modified().ok()).max();
    let now = SystemTime::now();
    let behind =
        latest.is_some_and(|latest| latest.duration_since(now).is_ok_and(|by| by > Duration::from_secs(60)));
    vec![if now < UNIX_EPOCH + EARLIEST || behind {
        Finding::fail("clock", "the time is wrong: it lies in the past", remedy)
    } else if patient.path("/run/systemd/timesync/synchronized").exists() {
        Finding::ok("clock", "synchronised (systemd-timesyncd)")
    } else if let Some((_, who)) = OTHERS.iter().find(|(file, _)| patient.path(file).exists()) {
        Finding::ok("clock", format!("kept by {who}"))
    } else {
        Finding::warn("clock", "nobody seems to synchronise it; the time looks plausible", remedy)
    }]
}
