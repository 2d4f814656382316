//! Makes sensors of a look at the board. Pure: no kernel, no clock.

use std::collections::BTreeSet;
use std::time::Duration;

use sedge_plugin::prelude::*;

use super::probe::{Disk, Network, Snapshot};

const MEBIBYTE: f64 = (1 << 20) as f64;

const PERCENT: Field = Field::new("", Unit::Percent).precision(1).range(0.0, 100.0);
const MEBIBYTES: Field = Field::new("", Unit::Mebibyte).class("data_size").precision(0);
const RATE: Field = Field::new("", Unit::BytePerSecond).class("data_rate").precision(0);
const COUNTER: Field =
    Field::new("", Unit::Byte).class("data_size").precision(0).kind(FieldKind::TotalIncreasing);

const fn named(name: &'static str, field: Field) -> Field {
    Field { name, ..field }
}

const UPTIME: Field =
    Field::new("uptime", Unit::Second).class("duration").precision(0).kind(FieldKind::TotalIncreasing);

/// With swap, and without its last field where there is none.
const BOARD: &[Field] = &[
    named("cpu_usage", PERCENT),
    Field::new("load_1", Unit::None),
    Field::new("load_5", Unit::None),
    Field::new("load_15", Unit::None),
    named("memory_used", PERCENT),
    named("memory_available", MEBIBYTES),
    UPTIME,
    named("swap_used", PERCENT),
];
const DISK: &[Field] = &[named("used", PERCENT), named("free", MEBIBYTES)];
const NETWORK: &[Field] =
    &[named("rx_rate", RATE), named("tx_rate", RATE), named("rx_total", COUNTER), named("tx_total", COUNTER)];
const THERMOMETER: &[Field] = &[Field::new("temperature", Unit::Celsius).class("temperature").precision(1)];
const SUPPLY: &[Field] = &[Field::new("under_voltage", Unit::None).kind(FieldKind::State)];

/// A sensor and what it says now.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: Id,
    pub(super) place: String,
    pub(super) fields: &'static [Field],
    pub(super) frame: Frame,
}

/// The sensors of a board. `before` is how long ago the last look was, and the networks that it saw.
pub(super) fn parts(
    base: &Id,
    up: Duration,
    now: &Snapshot,
    before: Option<(Duration, Vec<Network>)>,
) -> Vec<Part> {
    let part = |group: &str, name: &str, place: &str, fields, frame| {
        let id = Id::sanitized(&format!("{base}-{group}-{name}"), base.as_str());
        Part { id, place: place.into(), fields, frame }
    };
    let mut parts = vec![board(base, up, now)];
    for disk in real_disks(&now.disks) {
        let name = if disk.mount == "/" { "root" } else { disk.mount.trim_start_matches('/') };
        parts.push(part("disk", name, &disk.mount, DISK, disk_frame(disk)));
    }
    for network in now.networks.iter().filter(|network| is_real(&network.name)) {
        let former = before.as_ref().and_then(|(ago, networks)| {
            let former = networks.iter().find(|former| former.name == network.name)?;
            Some((*ago, former))
        });
        parts.push(part("net", &network.name, &network.name, NETWORK, network_frame(network, former)));
    }
    for thermometer in &now.temperatures {
        let mut frame = Frame::default();
        push(&mut frame, "temperature", thermometer.celsius, "unreadable");
        parts.push(part("temp", &thermometer.name, &thermometer.name, THERMOMETER, frame));
    }
    if let Some(low) = now.under_voltage {
        let mut frame = Frame::default();
        frame.push("under_voltage", low);
        let id = Id::sanitized(&format!("{base}-supply"), base.as_str());
        parts.push(Part { id, place: "supply".into(), fields: SUPPLY, frame });
    }
    // Ids are short, and cut to length two of them can be one: the first keeps it.
    let mut seen = BTreeSet::new();
    parts.retain(|part| seen.insert(part.id.clone()));
    parts
}

fn board(base: &Id, up: Duration, now: &Snapshot) -> Part {
    let mut frame = Frame::default();
    push(&mut frame, "cpu_usage", now.cpu, "first");
    for (i, field) in ["load_1", "load_5", "load_15"].into_iter().enumerate() {
        push(&mut frame, field, now.load.map(|load| load[i]), "unreadable");
    }
    let memory = now.memory;
    let used = percent(memory.total.saturating_sub(memory.available), memory.total);
    push(&mut frame, "memory_used", used, "unreadable");
    frame.push("memory_available", memory.available as f64 / MEBIBYTE);
    frame.push("uptime", up.as_secs() as f64);
    let swap = percent(memory.swap_used, memory.swap_total);
    if let Some(swap) = swap {
        frame.push("swap_used", swap);
    }
    let fields = if swap.is_some() { BOARD } else { &BOARD[..BOARD.len() - 1] };
    Part { id: base.clone(), place: "board".into(), fields, frame }
}

fn disk_frame(disk: &Disk) -> Frame {
    let mut frame = Frame::default();
    push(&mut frame, "used", percent(disk.total.saturating_sub(disk.available), disk.total), "unreadable");
    frame.push("free", disk.available as f64 / MEBIBYTE);
    frame
}

fn network_frame(now: &Network, former: Option<(Duration, &Network)>) -> Frame {
    let mut frame = Frame::default();
    let mut rate = |field, count: fn(&Network) -> u64| match former {
        None => frame.missing(field, "first"),
        Some((ago, _)) if ago.is_zero() => frame.missing(field, "first"),
        // The interface went and came back, and counts from zero.
        Some((_, former)) if count(former) > count(now) => frame.missing(field, "counter_reset"),
        Some((ago, former)) => frame.push(field, (count(now) - count(former)) as f64 / ago.as_secs_f64()),
    };
    rate("rx_rate", |network| network.received);
    rate("tx_rate", |network| network.transmitted);
    frame.push("rx_total", now.received as f64);
    frame.push("tx_total", now.transmitted as f64);
    frame
}

fn push(frame: &mut Frame, field: &'static str, value: Option<impl Into<Value>>, otherwise: &'static str) {
    match value {
        Some(value) => frame.push(field, value),
        None => frame.missing(field, otherwise),
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

/// The file systems that can fill up, each device once, at its shortest mount point.
fn real_disks(disks: &[Disk]) -> Vec<&Disk> {
    let mut real: Vec<&Disk> = disks.iter().filter(|disk| disk.total > 0 && can_fill_up(disk)).collect();
    real.sort_by_key(|disk| (disk.mount.len(), &disk.mount));
    let mut devices = BTreeSet::new();
    real.retain(|disk| disk.device.is_empty() || devices.insert(&disk.device));
    real
}

fn can_fill_up(disk: &Disk) -> bool {
    let image = matches!(disk.filesystem.as_str(), "squashfs" | "erofs" | "iso9660");
    let in_memory = matches!(disk.filesystem.as_str(), "tmpfs" | "devtmpfs" | "ramfs");
    // The root of a container is an overlay, and it is the only disk that it has.
    let copy = disk.filesystem == "overlay" && disk.mount != "/";
    !image && !in_memory && !copy && !disk.device.starts_with("/dev/loop")
}

/// Not the machine talking to itself or to its containers.
fn is_real(interface: &str) -> bool {
    let inner = ["veth", "docker", "br-", "virbr", "ifb", "dummy"];
    interface != "lo" && !inner.iter().any(|prefix| interface.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{Memory, Temperature};

    fn disk(mount: &str, device: &str, filesystem: &str) -> Disk {
        let (total, available) = (100 << 20, 25 << 20);
        Disk { mount: mount.into(), device: device.into(), filesystem: filesystem.into(), total, available }
    }

    fn network(name: &str, received: u64, transmitted: u64) -> Network {
        Network { name: name.into(), received, transmitted }
    }

    fn look(now: &Snapshot, before: Option<(Duration, Vec<Network>)>) -> Vec<Part> {
        parts(&Id::new("system").unwrap(), Duration::from_secs(90), now, before)
    }

    fn ids(parts: &[Part]) -> Vec<&str> {
        parts.iter().map(|part| part.id.as_str()).collect()
    }

    #[test]
    fn a_disk_is_shown_once_and_what_cannot_fill_up_is_not() {
        let disks = vec![
            disk("/var/lib/bind", "/dev/mmcblk0p2", "ext4"),
            disk("/", "/dev/mmcblk0p2", "ext4"),
            disk("/boot/firmware", "/dev/mmcblk0p1", "vfat"),
            disk("/run", "tmpfs", "tmpfs"),
            disk("/snap/core/1", "/dev/loop3", "squashfs"),
            disk("/var/lib/docker/overlay2/x/merged", "overlay", "overlay"),
        ];
        let parts = look(&Snapshot { disks, ..Snapshot::default() }, None);
        assert_eq!(ids(&parts), ["system", "system-disk-root", "system-disk-boot-firmware"]);
        assert_eq!(parts[1].frame.get("used"), Some(&Value::Number(75.0)));
        assert_eq!(parts[1].frame.get("free"), Some(&Value::Number(25.0)));

        let container = Snapshot { disks: vec![disk("/", "overlay", "overlay")], ..Snapshot::default() };
        assert_eq!(ids(&look(&container, None)), ["system", "system-disk-root"]);
    }

    #[test]
    fn the_machine_talking_to_itself_is_no_network() {
        let names = ["lo", "eth0", "veth12ab", "docker0", "br-1f", "ifb0", "wlan0"];
        let networks = names.map(|name| network(name, 1, 1)).to_vec();
        let parts = look(&Snapshot { networks, ..Snapshot::default() }, None);
        assert_eq!(ids(&parts), ["system", "system-net-eth0", "system-net-wlan0"]);
    }

    #[test]
    fn a_counter_that_began_again_gives_no_rate() {
        let now = Snapshot { networks: vec![network("eth0", 50, 300)], ..Snapshot::default() };
        let before = Some((Duration::from_secs(10), vec![network("eth0", 100, 100)]));
        let frame = &look(&now, before)[1].frame;
        assert_eq!(frame.samples[0].value, Err("counter_reset".into()));
        assert_eq!(frame.get("tx_rate"), Some(&Value::Number(20.0)));
    }

    #[test]
    fn every_part_says_exactly_its_fields() {
        let now = Snapshot {
            cpu: Some(12.5),
            load: Some([0.1, 0.2, 0.3]),
            memory: Memory { total: 4 << 30, available: 1 << 30, swap_total: 1 << 30, swap_used: 0 },
            disks: vec![disk("/", "/dev/sda", "ext4")],
            networks: vec![network("eth0", 1, 1)],
            temperatures: vec![Temperature { name: "cpu_thermal temp1".into(), celsius: Some(48.3) }],
            under_voltage: None,
        };
        for snapshot in [now, Snapshot::default()] {
            for part in look(&snapshot, None) {
                let fields: Vec<&str> = part.fields.iter().map(|field| field.name).collect();
                let said: Vec<&str> = part.frame.samples.iter().map(|sample| sample.field.as_ref()).collect();
                assert_eq!(said, fields, "{}", part.id);
                assert!(fields.iter().all(|field| Name::new(field).is_ok()));
            }
        }
    }

    #[test]
    fn a_thermometer_has_a_legal_id_and_two_that_become_one_are_one() {
        let named = |name: &str| Temperature { name: name.into(), celsius: None };
        let long = "nvme Composite Samsung SSD 980 PRO 1TB";
        let temperatures = vec![named("cpu_thermal temp1"), named(long), named(&format!("{long} b"))];
        let parts = look(&Snapshot { temperatures, ..Snapshot::default() }, None);
        assert_eq!(
            ids(&parts),
            ["system", "system-temp-cpu-thermal-temp1", "system-temp-nvme-composite-sams"]
        );
        assert_eq!(parts[1].frame.samples[0].value, Err("unreadable".into()));
    }

    #[test]
    fn the_supply_is_a_sensor_where_the_board_says_how_it_is() {
        let parts = look(&Snapshot { under_voltage: Some(true), ..Snapshot::default() }, None);
        assert_eq!(ids(&parts), ["system", "system-supply"]);
        assert_eq!(parts[1].frame.samples[0].value, Ok(true.into()));
    }
}
