//! Devices that the kernel drives and shows as folders: 1-Wire, IIO and hwmon.
//!
//! A read of such a file talks to the device (a DS18B20 takes 750 ms over it), so they have a bus with a thread like others.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use sedge_plugin::device::Files;
use sedge_plugin::{BusError, Clock, FileDevice, Sysfs};

use crate::bus::{Adapter, Bus};

/// A file of a driver is not longer: the kernel gives a page.
const LONGEST: u64 = 4096;

/// What the kernel drives, by where it shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SysfsKind {
    /// 1-Wire.
    W1,
    /// Industrial I/O: converters, DHT22.
    Iio,
    /// Hardware monitoring: temperatures, fans, supplies.
    Hwmon,
}

impl SysfsKind {
    /// The kind that the config calls so.
    pub fn of(word: &str) -> Option<Self> {
        [Self::W1, Self::Iio, Self::Hwmon].into_iter().find(|kind| kind.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::Iio => "iio",
            Self::Hwmon => "hwmon",
        }
    }

    /// Where the kernel shows them.
    pub fn folder(self) -> &'static Path {
        Path::new(match self {
            Self::W1 => "/sys/bus/w1/devices",
            Self::Iio => "/sys/bus/iio/devices",
            Self::Hwmon => "/sys/class/hwmon",
        })
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::W1 => {
                "Enable 1-Wire: run `sudo raspi-config` (Interface Options, 1-Wire), or put `dtoverlay=w1-gpio` into \
                 /boot/firmware/config.txt and reboot."
            }
            Self::Iio => {
                "Load the driver of the device; for a DHT22 put `dtoverlay=dht11,gpiopin=4` into \
                 /boot/firmware/config.txt and reboot."
            }
            Self::Hwmon => "This machine shows no sensors of its own.",
        }
    }
}

/// The devices of a kind, below `folder`; [`SysfsKind::folder`], but in tests.
///
/// # Errors
/// When the system gives no more threads.
pub fn sysfs_bus(name: &str, kind: SysfsKind, folder: &Path, clock: Arc<dyn Clock>) -> io::Result<Bus> {
    let folder = folder.to_owned();
    Bus::new(name, clock, move || Class { kind, folder: folder.clone() })
}

struct Class {
    kind: SysfsKind,
    folder: PathBuf,
}

/// A device as the kernel shows it.
struct Shown {
    folder: PathBuf,
    /// Of the folder: `28-0316a2794cff`, `hwmon0`.
    name: String,
    /// What it is: its family on 1-Wire, else what its file `name` says.
    what: String,
}

impl Class {
    fn shown(&self) -> Result<Vec<Shown>, BusError> {
        let entries = fs::read_dir(&self.folder).map_err(|error| {
            BusError::Gone(format!("{}: {error}. {}", self.folder.display(), self.kind.remedy()).into())
        })?;
        let mut all: Vec<Shown> = entries.flatten().filter_map(|entry| self.device(entry.path())).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn device(&self, folder: PathBuf) -> Option<Shown> {
        let name = folder.file_name()?.to_str()?.to_owned();
        let what = match self.kind {
            SysfsKind::W1 => name.split_once('-')?.0.to_owned(),
            SysfsKind::Iio | SysfsKind::Hwmon => read(&folder.join("name")).ok()?,
        };
        Some(Shown { folder, name, what })
    }
}

impl Adapter for Class {
    fn files(&mut self, name: Option<&str>, place: Sysfs) -> Result<FileDevice, BusError> {
        if place.bus != self.kind.word() {
            return Err(BusError::Other(format!("this is no bus of kind `{}`", place.bus).into()));
        }
        let all = self.shown()?;
        let fits = |shown: &&Shown| place.names.is_empty() || place.names.contains(&shown.what.as_str());
        let named = |shown: &&Shown| name.is_none_or(|name| shown.name == name || shown.what == name);
        let mut found = all.iter().filter(fits).filter(named);
        let (first, second) = (found.next(), found.next());
        let list = || {
            let names: Vec<String> =
                all.iter().filter(fits).map(|shown| format!("{} ({})", shown.name, shown.what)).collect();
            if names.is_empty() { "none that fits".into() } else { names.join(", ") }
        };
        let wanted = name.map_or_else(|| "a device of this kind".into(), |name| format!("`{name}`"));
        match (first, second) {
            (Some(shown), None) => Ok(FileDevice::new(&shown.name, Folder { folder: shown.folder.clone() })),
            (Some(_), Some(_)) => Err(BusError::Absent(
                format!("more than one device fits; say which by `address = \"…\"`: {}", list()).into(),
            )),
            (None, _) => {
                let text = format!("the kernel shows no {wanted} in {}: {}", self.folder.display(), list());
                Err(BusError::Absent(text.replace("no a ", "no ").into()))
            }
        }
    }
}

struct Folder {
    folder: PathBuf,
}

impl Files for Folder {
    fn read(&mut self, file: &str) -> Result<String, BusError> {
        if file.contains('/') {
            return Err(BusError::Other(format!("`{file}` is no name of a file").into()));
        }
        let path = self.folder.join(file);
        read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if !self.folder.exists() => absent(&self.folder),
            io::ErrorKind::NotFound => BusError::Other(format!("there is no file `{file}`").into()),
            _ => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ETIMEDOUT) => BusError::Timeout,
                Some(Errno::ENODEV | Errno::ENXIO | Errno::EREMOTEIO) => BusError::NoAnswer,
                Some(Errno::EIO) => BusError::Other("input/output error (a disturbed or loose wire)".into()),
                _ => BusError::Other(format!("{}: {error}", path.display()).into()),
            },
        })
    }

    fn names(&mut self) -> Result<Vec<String>, BusError> {
        let entries = fs::read_dir(&self.folder).map_err(|_| absent(&self.folder))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.collect())
    }
}

fn absent(folder: &Path) -> BusError {
    BusError::Absent(format!("the kernel shows no device {} any more", folder.display()).into())
}

/// A file, without the end of its line.
fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end_matches(['\n', '\0']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPERATURE: Sysfs = Sysfs { bus: "w1", names: &["28", "10"] };

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("sedge-{name}-{}", std::process::id()));
            for (file, text) in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }
        fn class(&self, kind: SysfsKind) -> Class {
            Class { kind, folder: self.0.clone() }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_only_one_of_a_kind_needs_no_name_and_of_two_both_are_named() {
        let one = Tree::new("w1-one", &[("28-01/temperature", "21437\n"), ("w1_bus_master1/x", "")]);
        let mut device = one.class(SysfsKind::W1).files(None, TEMPERATURE).unwrap();
        assert_eq!(device.number("temperature"), Ok(21437.0));
        assert_eq!(device.name(), "28-01");

        let two = Tree::new("w1-two", &[("28-01/temperature", "1"), ("28-02/temperature", "2")]);
        let mut class = two.class(SysfsKind::W1);
        let text = class.files(None, TEMPERATURE).err().unwrap().to_string();
        assert!(text.contains("28-01") && text.contains("28-02"), "{text}");
        assert_eq!(class.files(Some("28-02"), TEMPERATURE).unwrap().number("temperature"), Ok(2.0));
        let text = class.files(Some("28-03"), TEMPERATURE).err().unwrap().to_string();
        assert!(text.contains("no `28-03`") && text.contains("28-01"), "{text}");
        let other = Sysfs { bus: "w1", names: &["26"] };
        assert!(matches!(class.files(Some("28-01"), other), Err(BusError::Absent(_))), "another family");
    }

    #[test]
    fn a_device_is_found_by_its_folder_and_by_what_it_is() {
        let files =
            [("hwmon0/name", "cpu_thermal\n"), ("hwmon1/name", "tmp105\n"), ("hwmon1/temp1_input", "1\n")];
        let tree = Tree::new("hwmon", &files);
        let any = Sysfs { bus: "hwmon", names: &[] };
        for name in ["hwmon1", "tmp105"] {
            assert_eq!(tree.class(SysfsKind::Hwmon).files(Some(name), any).unwrap().name(), "hwmon1");
        }
    }

    #[test]
    fn a_class_that_the_kernel_does_not_have_says_how_to_enable_it() {
        let mut class = Class { kind: SysfsKind::W1, folder: "/nowhere/w1".into() };
        let error = class.files(None, TEMPERATURE).err().unwrap();
        assert!(matches!(&error, BusError::Gone(text) if text.contains("dtoverlay=w1-gpio")), "{error}");
    }

    #[test]
    fn a_device_that_went_is_absent_and_a_file_that_is_not_there_is_named() {
        let tree = Tree::new("w1-gone", &[("28-01/temperature", "1")]);
        let mut device = tree.class(SysfsKind::W1).files(None, TEMPERATURE).unwrap();
        let error = device.read("w1_slave").unwrap_err();
        assert!(matches!(&error, BusError::Other(text) if text.contains("w1_slave")), "{error}");
        assert!(device.read("../28-01/temperature").is_err());
        fs::remove_dir_all(tree.0.join("28-01")).unwrap();
        assert!(matches!(device.read("temperature"), Err(BusError::Absent(_))));
    }
}
