//! What the kernel says of the board, as plain numbers.
//!
//! Only what is wanted is asked for: a list of all processes costs a hundred times as much as all of this.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sysinfo::{Components, DiskRefreshKind, Disks, Error, MemoryRefreshKind, Networks};

/// A look at the board.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// How busy the processors were since the look before, in percent of all of them; none at the first look.
    pub cpu: Option<f32>,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Memory.
    pub memory: Memory,
    /// File systems.
    pub disks: Vec<Disk>,
    /// Network interfaces.
    pub networks: Vec<Network>,
    /// Thermometers.
    pub temperatures: Vec<Temperature>,
    /// Whether the supply's voltage was too low since the kernel last asked the firmware, every two seconds; none where the
    /// board does not say so (a Raspberry Pi does).
    pub under_voltage: Option<bool>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What programs can still have.
    pub available: u64,
    /// All of the swap space; zero where there is none.
    pub swap_total: u64,
    /// Swap space in use.
    pub swap_used: u64,
}

/// A file system that is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// What is mounted: `/dev/mmcblk0p2`.
    pub device: String,
    /// Its kind: `ext4`.
    pub filesystem: String,
    /// Its size in bytes.
    pub total: u64,
    /// What can still be written, in bytes.
    pub available: u64,
}

/// A network interface, with its counters since it appeared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Its name: `eth0`.
    pub name: String,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub transmitted: u64,
}

/// A thermometer of the board.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Temperature {
    /// Its name: `cpu_thermal temp1`.
    pub name: String,
    /// °C; none when it could not be read.
    pub celsius: Option<f32>,
}

/// Asks the kernel. Keeps what it needs for the next time.
#[derive(Default)]
pub(super) struct Probe {
    state: Option<State>,
}

struct State {
    system: sysinfo::System,
    disks: Disks,
    networks: Networks,
    components: Components,
}

impl State {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            system: sysinfo::System::new()?,
            disks: Disks::new()?,
            networks: Networks::new()?,
            components: Components::new()?,
        })
    }
}

impl Probe {
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, String> {
        let first = self.state.is_none();
        let state = match &mut self.state {
            Some(state) => state,
            empty => {
                empty.insert(State::new().map_err(|error| format!("the kernel tells nothing: {error}"))?)
            }
        };
        state.system.refresh_cpu_usage();
        state.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram().with_swap());
        state.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        state.networks.refresh(true);
        state.components.refresh(true);

        let State { system, disks, networks, components } = state;
        Ok(Snapshot {
            cpu: (!first).then(|| system.global_cpu_usage()),
            load: sysinfo::System::load_average().ok().map(|load| [load.one, load.five, load.fifteen]),
            memory: Memory {
                total: system.total_memory(),
                available: system.available_memory(),
                swap_total: system.total_swap(),
                swap_used: system.used_swap(),
            },
            disks: disks.iter().map(disk).collect(),
            networks: networks
                .iter()
                .map(|(name, data)| Network {
                    name: text(name),
                    received: data.total_received(),
                    transmitted: data.total_transmitted(),
                })
                .collect(),
            temperatures: components
                .iter()
                .map(|c| Temperature {
                    name: c.label().into(),
                    celsius: c.temperature().filter(|t| t.is_finite()),
                })
                .collect(),
            under_voltage: under_voltage(Path::new("/sys/class/hwmon")),
        })
    }
}

/// What the Pi's firmware says by the kernel's driver `raspberrypi-hwmon`, which calls itself `rpi_volt`.
fn under_voltage(monitors: &Path) -> Option<bool> {
    let read = |file: PathBuf| std::fs::read_to_string(file).ok();
    let mut monitors = std::fs::read_dir(monitors).ok()?.flatten().map(|entry| entry.path());
    let supply =
        monitors.find(|path| read(path.join("name")).is_some_and(|name| name.trim() == "rpi_volt"))?;
    match read(supply.join("in0_lcrit_alarm"))?.trim() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn disk(disk: &sysinfo::Disk) -> Disk {
    Disk {
        mount: text(disk.mount_point().as_os_str()),
        device: text(disk.name()),
        filesystem: text(disk.file_system()),
        total: disk.total_space(),
        available: disk.available_space(),
    }
}

fn text(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory_and_says_how_busy_it_is_from_the_second_look_on() {
        let mut probe = Probe::default();
        let first = probe.snapshot().unwrap();
        assert!(first.memory.total > first.memory.available && first.memory.available > 0, "{first:?}");
        assert_eq!(first.cpu, None);
        let second = probe.snapshot().unwrap();
        assert!(second.cpu.is_some_and(|percent| (0.0..=100.0).contains(&percent)), "{second:?}");
        assert!(probe.state.is_some_and(|state| state.system.processes().is_empty()));
    }

    #[test]
    fn a_supply_that_is_too_weak_is_known_where_the_board_says_so() {
        let folder = std::env::temp_dir().join(format!("sedge-hwmon-{}", std::process::id()));
        assert_eq!(under_voltage(&folder), None);
        for (monitor, name) in [("hwmon0", "cpu_thermal\n"), ("hwmon1", "rpi_volt\n")] {
            std::fs::create_dir_all(folder.join(monitor)).unwrap();
            std::fs::write(folder.join(monitor).join("name"), name).unwrap();
        }
        assert_eq!(under_voltage(&folder), None, "an alarm that cannot be read");
        for (alarm, expected) in [("0\n", Some(false)), ("1\n", Some(true)), ("?\n", None)] {
            std::fs::write(folder.join("hwmon1/in0_lcrit_alarm"), alarm).unwrap();
            assert_eq!(under_voltage(&folder), expected);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
