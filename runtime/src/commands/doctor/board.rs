//! Whether the board has enough of what it runs on: current and memory.

use super::{Finding, Patient};

const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";
/// Less than this much memory left, in kilobytes, is little.
const LITTLE: u64 = 64 * 1024;

/// What the firmware of a Raspberry Pi says of its supply. Other boards say nothing.
pub(super) fn power(patient: &Patient) -> Vec<Finding> {
    let supply = "use the supply that came with the board (5.1 V, 3 A; a Pi 5 5 A) and a short, thick cable; take devices off its USB";
    let cool = "give it a heat sink or a fan";
    if let Some(text) = patient.text(THROTTLED) {
        let bits = u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_default();
        let has = |bit: u32| bits >> bit & 1 == 1;
        let found = [
            (has(0), Finding::fail("power", "under-voltage now", supply)),
            (has(16) && !has(0), Finding::warn("power", "there was under-voltage since the start", supply)),
            (has(2) || has(1), Finding::warn("power", "the processor is slowed down now", cool)),
            (has(3), Finding::warn("power", "it is so warm that it will be slowed down", cool)),
            (
                (has(17) || has(18) || has(19)) && !(has(1) || has(2) || has(3)),
                Finding::warn("power", "the processor was slowed down since the start", cool),
            ),
        ];
        let found: Vec<Finding> =
            found.into_iter().filter_map(|(is, finding)| is.then_some(finding)).collect();
        return if found.is_empty() {
            vec![Finding::ok("power", "no under-voltage, not slowed down")]
        } else {
            found
        };
    }
    let hwmon = sedge_hal::scan::shown("hwmon", &patient.path("/sys/class/hwmon")).unwrap_or_default();
    let Some(volt) = hwmon.iter().find(|shown| shown.what == "rpi_volt") else { return Vec::new() };
    let alarm = patient.text(&format!("/sys/class/hwmon/{}/in0_lcrit_alarm", volt.folder));
    match alarm.as_deref() {
        Some("0") => vec![Finding::ok("power", "no under-voltage")],
        Some(_) => vec![Finding::fail("power", "under-voltage", supply)],
        None => Vec::new(),
    }
}

pub(super) fn memory(patient: &Patient) -> Vec<Finding> {
    let Some(text) = patient.text("/proc/meminfo") else { return Vec::new() };
    let kilobytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    let (Some(total), Some(available)) = (kilobytes("MemTotal"), kilobytes("MemAvailable")) else {
        return Vec::new();
    };
    let what = format!("{} of {} MB are free", available / 1024, total / 1024);
    vec![if available < LITTLE.min(total / 5) {
        Finding::warn("memory", what, "see with `ps aux --sort=-rss | head` what takes it")
    } else {
        Finding::ok("memory", what)
    }]
}
