//! Whether the buses of the config are there, for this user, and as fast as their sensors can bear.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sedge_config::Bus;
use sedge_hal::{SysfsKind, scan};

use super::owner::{Want, group};
use super::{Finding, Patient, under};
use crate::buses::device_named;

/// The places of the boot config of a Raspberry Pi.
const BOOT: [&str; 2] = ["boot/firmware/config.txt", "boot/config.txt"];
/// What most chips can bear, in hertz.
const FAST: u32 = 400_000;
/// What a chip that stretches the clock needs on a BCM2835, whose adapter does not wait for it.
const STRETCHED: u32 = 50_000;
/// The clock where the device tree says nothing.
const USUAL: u32 = 100_000;
/// Kinds that stretch the clock.
const STRETCHING: [&str; 3] = ["ccs811", "scd30", "sen5x"];

/// The boot config of a Raspberry Pi, where this is one.
pub(crate) fn boot_config(root: &Path) -> Option<PathBuf> {
    BOOT.iter().map(|path| root.join(path)).find(|path| path.exists())
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let mut found: Vec<Finding> = patient.config.buses.iter().filter_map(|bus| one(patient, bus)).collect();
    let has_i2c = patient.config.buses.iter().any(|bus| bus.kind == "i2c");
    if !has_i2c && patient.file.is_none() {
        let nodes = scan::nodes(&patient.path("/dev"), "i2c-");
        found.push(match nodes.is_empty() {
            true => Finding::warn("i2c", "there is no /dev/i2c-*", enable_i2c(&patient.root)),
            false => {
                let names: Vec<String> = nodes.iter().map(|node| node.display().to_string()).collect();
                Finding::ok(
                    "i2c",
                    format!("there are: {}; `sedge sensor scan` shows who is on them", names.join(", ")),
                )
            }
        });
    }
    found
}

fn name(bus: &Bus) -> String {
    format!("bus {}", bus.id)
}

fn one(patient: &Patient, bus: &Bus) -> Option<Finding> {
    let name = name(bus);
    if let Some(fault) = &bus.fault {
        return Some(Finding::fail(&name, fault, "correct its section; `sedge check` shows where"));
    }
    let device = device_named(bus).map(|device| under(&patient.root, &device));
    Some(match (bus.kind.as_str(), device) {
        ("sim", _) => Finding::ok(&name, "simulated"),
        ("replay", _) => {
            let file = bus.settings.get("file").and_then(serde_json::Value::as_str).unwrap_or_default();
            let file = patient.folder.join(file);
            match file.is_file() {
                true => Finding::ok(&name, format!("replays {}", file.display())),
                false => Finding::fail(
                    &name,
                    format!("{} is not there", file.display()),
                    "correct `file` in its section; `sedge sensor record` makes one",
                ),
            }
        }
        ("i2c", Some(device)) => opened(patient, &name, &device, "i2c", &enable_i2c(&patient.root)),
        ("gpio", Some(device)) => {
            let remedy = "name a chip that is there (`sedge sensor scan` lists them); on a Raspberry Pi 5 with an old kernel the header is gpiochip4";
            opened(patient, &name, &device, "gpio", remedy)
        }
        ("spi", Some(device)) => {
            let folder = device.parent().unwrap_or(Path::new("/dev"));
            let stem = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let nodes = scan::nodes(folder, &format!("{stem}."));
            match nodes.first() {
                Some(node) => opened(patient, &name, node, "spi", ""),
                None => Finding::fail(
                    &name,
                    format!("{}.* is not there", device.display()),
                    enable(&patient.root, "spi", "SPI"),
                ),
            }
        }
        ("pwm", Some(device)) => match device.exists() {
            true => Finding::ok(&name, format!("{} is there", device.display())),
            false => Finding::fail(
                &name,
                format!("{} is not there", device.display()),
                format!("put `dtoverlay=pwm` into {} and reboot", boot_shown(&patient.root)),
            ),
        },
        _ => return None,
    })
}

/// Opens a device node and lets it go at once; where a service is to open it, judges whether its user may.
fn opened(patient: &Patient, name: &str, device: &Path, group: &str, remedy: &str) -> Finding {
    let shown = device.display();
    if let Some(owner) = patient.service.owner()
        && let Ok(at) = std::fs::metadata(device)
        && !owner.may(&at, Want::ReadWrite)
    {
        let remedy = if at.gid() == 0 {
            "`sudo udevadm control --reload && sudo udevadm trigger`: a rule gives it to its group, and root has it still".into()
        } else if self::group(&patient.root, group).is_none_or(|gid| gid != at.gid()) {
            format!(
                "it belongs to another group than `{group}`: `ls -l {shown}`, and look for a rule in /etc/udev/rules.d/"
            )
        } else {
            "`sudo systemd-sysusers && sudo systemctl restart sedge`".into()
        };
        return Finding::fail(name, format!("{shown} may not be opened by {}", patient.who()), remedy);
    }
    match OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Finding::ok(name, format!("{shown} can be opened")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::fail(name, format!("{shown} is not there"), remedy)
        }
        // Whether the service may was judged above.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && patient.service.owner().is_some() => {
            Finding::ok(name, format!("{shown} is there for {}", patient.who()))
        }
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPERM as i32) => Finding::fail(
            name,
            format!("{shown} is refused by the device policy of the service or container that this runs in"),
            format!("run this outside of it; give a container `--device {shown}`"),
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::fail(
            name,
            format!("{shown} may not be opened by this user"),
            format!("`sudo usermod -aG {group} $USER`, and log in again"),
        ),
        Err(error) => Finding::fail(name, format!("{shown} cannot be opened: {error}"), "see `dmesg`"),
    }
}

fn boot_shown(root: &Path) -> String {
    boot_config(root).map_or("/boot/firmware/config.txt".into(), |path| path.display().to_string())
}

fn enable(root: &Path, parameter: &str, title: &str) -> String {
    format!(
        "run `sudo raspi-config` (Interface Options, {title}), or put `dtparam={parameter}=on` into {}, and reboot",
        boot_shown(root)
    )
}

/// What is missing for I2C, from the bottom up.
pub(crate) fn enable_i2c(root: &Path) -> String {
    let boot = boot_config(root).and_then(|path| std::fs::read_to_string(path).ok());
    let is_on = boot.as_deref().map(|text| is_on(text, "i2c_arm") || is_on(text, "i2c"));
    let nodes = scan::nodes(&root.join("dev"), "i2c-");
    let modules = std::fs::read_to_string(root.join("proc/modules")).unwrap_or_default();
    let is_loaded = !nodes.is_empty() || modules.lines().any(|line| line.starts_with("i2c_dev "));
    let model = std::fs::read_to_string(root.join("proc/device-tree/model")).unwrap_or_default();
    // It switches the bus on and loads the module, now and at every start.
    let has_tool = root.join("usr/bin/raspi-config").exists();
    let is_pi = has_tool || (model.contains("Raspberry Pi") && is_on != Some(true));
    match (is_on, is_loaded) {
        (on, loaded) if is_pi && nodes.is_empty() && !(on == Some(true) && loaded) => {
            "run `sudo raspi-config nonint do_i2c 0`".into()
        }
        (Some(false), _) => enable(root, "i2c_arm", "I2C"),
        (_, false) => {
            "load the module: `sudo modprobe i2c-dev`, and for every start `echo i2c-dev | sudo tee /etc/modules-load.d/i2c-dev.conf`".into()
        }
        (_, true) if nodes.is_empty() => "the adapter is missing: see `dmesg | grep i2c`".into(),
        _ => {
            let names: Vec<String> = nodes.iter().map(|node| node.display().to_string()).collect();
            format!("name one that is there: {}", names.join(", "))
        }
    }
}

/// Whether a `dtparam` is on: `dtparam=i2c_arm=on,i2c_arm_baudrate=50000`.
fn is_on(text: &str, parameter: &str) -> bool {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("dtparam="));
    let pairs =
        lines.flat_map(|line| line.split(',')).map(|pair| pair.split_once('=').unwrap_or((pair, "on")));
    let last = pairs.filter(|(key, _)| key.trim() == parameter).fold(None, |_, pair| Some(pair));
    last.is_some_and(|(_, value)| ["on", "true", "yes", "1"].contains(&value.trim()))
}

/// How fast the I2C buses are.
pub(super) fn clocks(patient: &Patient) -> Vec<Finding> {
    let buses = patient.config.buses.iter().filter(|bus| bus.kind == "i2c");
    buses.filter_map(|bus| clock(patient, bus)).collect()
}

fn clock(patient: &Patient, bus: &Bus) -> Option<Finding> {
    let device = device_named(bus)?;
    let adapter = format!("/sys/class/i2c-adapter/{}", device.file_name()?.to_str()?);
    patient.path(&adapter).exists().then_some(())?;
    let bytes = std::fs::read(patient.path(&format!("{adapter}/of_node/clock-frequency"))).ok();
    let told = bytes.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    let hertz = told.unwrap_or(USUAL);
    let is_pi = patient.text(&format!("{adapter}/name")).is_some_and(|name| name.starts_with("bcm2835"));
    let sensors = patient.config.sensors.iter().filter(|sensor| {
        sensor.enabled
            && STRETCHING.contains(&sensor.kind.as_str())
            && on(patient, sensor.bus.as_deref(), bus)
    });
    let stretching: Vec<String> =
        sensors.map(|sensor| format!("`{}` ({})", sensor.id, sensor.kind)).collect();
    let shown = match told {
        Some(hertz) => format!("{} kHz", hertz / 1000),
        None => format!("{} kHz (the default; the device tree names none)", hertz / 1000),
    };
    let boot = boot_shown(&patient.root);
    Some(if is_pi && !stretching.is_empty() && hertz > STRETCHED {
        Finding::warn(
            &name(bus),
            format!(
                "its clock is {shown}, and {} stretches it, which this adapter does not wait for: bytes get lost",
                stretching.join(", ")
            ),
            format!(
                "put `dtparam=i2c_arm_baudrate=50000` (or less) into {boot} and reboot, or use `dtoverlay=i2c-gpio` for that sensor"
            ),
        )
    } else if hertz > FAST {
        Finding::warn(
            &name(bus),
            format!("its clock is {shown}: most chips bear 400 kHz at most"),
            format!("put `dtparam=i2c_arm_baudrate=100000` into {boot} and reboot"),
        )
    } else {
        Finding::ok(&name(bus), format!("its clock is {shown}"))
    })
}

/// Whether a bus is that one, or a channel on it.
fn on(patient: &Patient, name: Option<&str>, bus: &Bus) -> bool {
    let mut next = name;
    // A circle is a mistake that the config tells.
    for _ in 0..8 {
        match next {
            Some(name) if name == bus.id.as_str() => return true,
            Some(name) => {
                let section = patient.config.buses.iter().find(|other| other.id.as_str() == name);
                next = section.and_then(|section| section.parent.as_deref());
            }
            None => return false,
        }
    }
    false
}

/// Where the kernel shows the devices of a bus; none for one that it does not drive.
pub(super) fn folder_of(patient: &Patient, bus: &Bus) -> Option<PathBuf> {
    let kind = SysfsKind::of(&bus.kind)?;
    let written = bus.settings.get("path").and_then(serde_json::Value::as_str).map(PathBuf::from);
    Some(written.unwrap_or_else(|| under(&patient.root, kind.folder())))
}

/// Whether the folders are there in which the kernel shows what it drives.
pub(super) fn folders(patient: &Patient) -> Vec<Finding> {
    let folder = |bus: &Bus| {
        let folder = folder_of(patient, bus)?;
        let remedy = match bus.kind.as_str() {
            "w1" => format!(
                "enable 1-Wire: put `dtoverlay=w1-gpio` into {} and reboot",
                boot_shown(&patient.root)
            ),
            "iio" => "load the driver of the device; for a DHT22 `dtoverlay=dht11,gpiopin=4`".into(),
            _ => "this machine shows no sensors of its own; remove the bus from the config".to_owned(),
        };
        Some(match scan::shown(&bus.kind, &folder) {
            Ok(all) if all.is_empty() => {
                let remedy = match bus.kind.as_str() {
                    "w1" => "check the wiring and the pull-up of 4.7 kΩ between data and 3.3 V".to_owned(),
                    _ => remedy,
                };
                Finding::warn(
                    &name(bus),
                    format!("{} is there, and no device in it", folder.display()),
                    remedy,
                )
            }
            Ok(all) => {
                let names: Vec<String> = all.iter().map(|shown| shown.folder.clone()).collect();
                Finding::ok(&name(bus), format!("{}: {}", folder.display(), names.join(", ")))
            }
            Err(error) => Finding::fail(&name(bus), format!("{}: {error}", folder.display()), remedy),
        })
    };
    patient.config.buses.iter().filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_on_as_the_last_line_says_that_is_no_comment() {
        assert!(is_on("dtparam=i2c_arm=on", "i2c_arm"));
        assert!(is_on("dtparam=spi=on,i2c_arm=on,i2c_arm_baudrate=1000\n", "i2c_arm"));
        assert!(is_on("  dtparam=i2c_arm", "i2c_arm"));
        for text in
            ["#dtparam=i2c_arm=on", "dtparam=i2c_arm=off", "dtparam=i2c_arm=on\ndtparam=i2c_arm=off", ""]
        {
            assert!(!is_on(text, "i2c_arm"), "{text}");
        }
    }
}
