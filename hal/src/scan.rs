//! Who is there: what answers on an I2C bus, and what the kernel shows of its own.
//!
//! As gentle as it can be: an address is asked for one byte, as `i2cdetect -r` does, never with a quick-write, which can
//! lock a chip or write to it. Only where a kind could be is its identity read, which writes the number of a register; not
//! where another chip would take that for something to be done.
//!
//! ```
//! # use std::sync::Arc;
//! # use sedge_hal::{SimBus, SystemClock, scan};
//! # use sedge_plugin::sim::RegisterFile;
//! let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
//! bus.attach(0x48, Box::new(RegisterFile::new(&[])));
//! let found = scan::i2c(&mut |address| Ok(bus.device(address)), &[], &|_| scan::Care::Identify).unwrap();
//! assert_eq!(found.iter().map(|found| found.address).collect::<Vec<_>>(), [0x48]);
//! ```
//!
//! It must not open a driver: that may reset a chip that somebody else reads.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use sedge_plugin::{Attachment, BusError, I2cDevice, Identity, SensorError, SensorKind};

/// The addresses that are looked at: the others are reserved.
pub const ADDRESSES: RangeInclusive<u8> = 0x08..=0x77;
/// The addresses that a multiplexer can have.
const MUXES: RangeInclusive<u8> = 0x70..=0x77;
/// Where chips are that take the first byte for the levels of their pins, as a PCF8574 does, which may switch something.
const PINS: [RangeInclusive<u8>; 2] = [0x20..=0x27, 0x38..=0x3F];
/// Where chips are that take a second byte for data: small EEPROMs, an MCP4725.
const STORES: [RangeInclusive<u8>; 2] = [0x50..=0x57, 0x60..=0x67];
/// Where EEPROMs are: what is written there stays.
const EEPROMS: RangeInclusive<u8> = 0x50..=0x57;
/// From so many transfers that time out on, that is the bus's doing or its adapter's way, and not a device's.
const HELD_FROM: usize = 8;

/// The way to the device at an address of a bus, or of a channel of a multiplexer on it.
pub type Ways<'a> = dyn FnMut(u8) -> Result<I2cDevice, BusError> + 'a;

/// What an address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Somebody answers.
    Answers,
    /// A driver of the kernel owns the address.
    Kernel,
    /// Asking failed in another way than by silence.
    Failed(BusError),
}

/// Who is at an address.
#[derive(Clone)]
pub struct Found {
    /// The address, 7 bits.
    pub address: u8,
    /// What it says.
    pub presence: Presence,
    /// Kinds whose identity fits.
    pub certain: Vec<&'static SensorKind>,
    /// Kinds that can have this address and that no identity tells from others, the likeliest first; none where a kind is
    /// certain.
    pub possible: Vec<&'static SensorKind>,
    /// It behaves as a TCA9548A does.
    pub multiplexer: bool,
}

impl Found {
    /// Whether a driver that writes could spoil what is there for good: it may be an EEPROM, as on every board with an id.
    pub fn may_store(&self) -> bool {
        self.certain.is_empty() && EEPROMS.contains(&self.address)
    }
}

/// How far an address may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// For a byte, and for its identity.
    Identify,
    /// For a byte: what is there is known, and a multiplexer takes a register's number for channels.
    Byte,
    /// Not at all: somebody talks to it now.
    Leave,
}

/// Looks at all addresses of a bus for those of `kinds`, each as far as `care` says.
///
/// # Errors
/// [`BusError::Gone`] where the bus cannot be opened, [`BusError::Timeout`] where somebody holds it. Some adapters, as a
/// CP2112, say of an empty address that it timed out; so a bus on which anybody answers is not one that is held.
pub fn i2c(
    ways: &mut Ways<'_>,
    kinds: &[&'static SensorKind],
    care: &dyn Fn(u8) -> Care,
) -> Result<Vec<Found>, BusError> {
    let mut all = Vec::new();
    for address in ADDRESSES {
        all.extend(at(ways, address, kinds, care(address))?);
    }
    let timed_out = |found: &Found| found.presence == Presence::Failed(BusError::Timeout);
    // What is left alone is well: somebody reads it.
    let nobody =
        ADDRESSES.into_iter().all(|address| care(address) != Care::Leave) && all.iter().all(timed_out);
    match all.iter().filter(|found| timed_out(found)).count() {
        count if count >= HELD_FROM && nobody => Err(BusError::Timeout),
        count if count >= HELD_FROM => Ok(all.into_iter().filter(|found| !timed_out(found)).collect()),
        _ => Ok(all),
    }
}

/// Looks at one address; none where nobody is there.
///
/// # Errors
/// [`BusError::Gone`] where the bus cannot be opened.
pub fn at(
    ways: &mut Ways<'_>,
    address: u8,
    kinds: &[&'static SensorKind],
    care: Care,
) -> Result<Option<Found>, BusError> {
    if care == Care::Leave {
        return Ok(None);
    }
    let only = |presence| Found { address, presence, certain: vec![], possible: vec![], multiplexer: false };
    let mut device = match ways(address) {
        Ok(device) => device,
        Err(BusError::Busy) => return Ok(Some(only(Presence::Kernel))),
        Err(gone @ BusError::Gone(_)) => return Err(gone),
        Err(other) => return Ok(Some(only(Presence::Failed(other)))),
    };
    let mut byte = [0];
    let answers = match device.read(&mut byte) {
        Ok(()) => true,
        // Some chips answer a read only when they have something to say; their identity may be had all the same.
        Err(BusError::NoAnswer | BusError::Refused) => false,
        Err(BusError::Busy) => return Ok(Some(only(Presence::Kernel))),
        Err(gone @ BusError::Gone(_)) => return Err(gone),
        Err(other) => return Ok(Some(only(Presence::Failed(other)))),
    };
    let here: Vec<&'static SensorKind> =
        kinds.iter().copied().filter(|kind| kind.addresses().contains(&address)).collect();
    if care == Care::Byte {
        return Ok(answers.then(|| only(Presence::Answers)));
    }
    let multiplexer = answers && MUXES.contains(&address) && is_multiplexer(&mut device, byte[0]);
    if multiplexer {
        return Ok(Some(Found { multiplexer, ..only(Presence::Answers) }));
    }
    let identity = |kind: &SensorKind| identity(kind).filter(|identity| may_ask(address, identity));
    // Kinds that ask the same are asked for once.
    let mut asked: BTreeMap<(&[u8], u8), Option<u32>> = BTreeMap::new();
    let mut fits = |identity: &Identity| {
        let answer = asked.entry((identity.register, identity.bytes)).or_insert_with(|| {
            let all = Identity { mask: u32::MAX, value: 0, ..*identity };
            match all.check(&mut device) {
                Ok(()) => Some(0),
                Err(SensorError::WrongDevice { found, .. }) => Some(found),
                Err(_) => None,
            }
        });
        answer.is_some_and(|answer| answer & identity.mask == identity.value & identity.mask)
    };
    let certain: Vec<_> =
        here.iter().copied().filter(|kind| identity(kind).is_some_and(|id| fits(&id))).collect();
    if !answers && certain.is_empty() {
        return Ok(None);
    }
    let mut possible = match certain.is_empty() {
        true => here.into_iter().filter(|kind| identity(kind).is_none()).collect(),
        false => Vec::new(),
    };
    // The fewer places a kind can be at, the more this one says.
    possible.sort_by_key(|kind: &&SensorKind| kind.addresses().len());
    Ok(Some(Found { certain, possible, ..only(Presence::Answers) }))
}

fn identity(kind: &SensorKind) -> Option<Identity> {
    match kind.attachment {
        Attachment::I2c { identity, .. } => identity,
        _ => None,
    }
}

/// Whether what is written for it does no harm to another chip that may be there.
fn may_ask(address: u8, identity: &Identity) -> bool {
    let within = |ranges: &[RangeInclusive<u8>]| ranges.iter().any(|range| range.contains(&address));
    !within(&PINS) && (identity.register.len() < 2 || !within(&STORES))
}

/// A multiplexer reads back what was written to it last. It is given back the channels that it had.
fn is_multiplexer(device: &mut I2cDevice, before: u8) -> bool {
    let mut says = |byte: u8| {
        let mut back = [!byte];
        device.write_read(&[byte], &mut back).is_ok() && back[0] == byte
    };
    // No channel at first: those behind it are not to be connected all at once.
    let same = says(0) && says(1 << (before.trailing_zeros() & 7)) && says(0);
    if same {
        let _ = device.write(&[before]);
    }
    same
}

/// A device that the kernel drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name of its folder: `28-0316a2794cff`, `iio:device0`, `hwmon0`.
    pub folder: String,
    /// What it is: on 1-Wire its family, such as `28`, else what its file `name` says.
    pub what: String,
}

/// The devices of a class that the kernel shows in `folder`. `class` is the kind of bus: `w1`, `iio` or `hwmon`.
///
/// # Errors
/// When there is no such folder, or it cannot be read.
pub fn shown(class: &str, folder: &Path) -> io::Result<Vec<Shown>> {
    let device = |path: PathBuf| {
        let folder = path.file_name()?.to_str()?.to_owned();
        let what = match class {
            // The bus master is there too, and has no family.
            "w1" => folder.split_once('-').filter(|(family, _)| family.len() == 2)?.0.to_owned(),
            _ => fs::read_to_string(path.join("name")).ok()?.trim().to_owned(),
        };
        Some(Shown { folder, what })
    };
    let mut all: Vec<Shown> =
        fs::read_dir(folder)?.flatten().filter_map(|entry| device(entry.path())).collect();
    all.sort_by_key(|shown| natural(&shown.folder));
    Ok(all)
}

/// The device nodes in `folder` whose names begin with `prefix` and go on with a number.
pub fn nodes(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let fits = |name: &String| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut names: Vec<String> = names.filter(fits).collect();
    names.sort_by_key(|name| natural(name));
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// So that `i2c-10` comes after `i2c-2`.
fn natural(name: &str) -> (String, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.to_owned(), name[stem.len()..].parse().unwrap_or_default())
}

/// A GPIO chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpioChip {
    /// Its device node.
    pub path: PathBuf,
    /// What the driver calls it: `pinctrl-bcm2711`.
    pub label: String,
    /// How many lines it has.
    pub lines: u32,
}

#[cfg(not(target_os = "linux"))]
mod chips {
    use super::{GpioChip, Path};
    use crate::LineError;

    /// There are none.
    pub fn gpio_chips(_: &Path) -> Vec<GpioChip> {
        Vec::new()
    }

    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn line_user(path: &Path, _: u32) -> Result<Option<String>, LineError> {
        Err(LineError::Gone(format!("{}: this system has no such devices", path.display())))
    }
}

#[cfg(target_os = "linux")]
pub use crate::linux::{gpio_chips, line_user};
#[cfg(not(target_os = "linux"))]
pub use chips::{gpio_chips, line_user};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sedge_plugin::device::NoDelay;
    use sedge_plugin::prelude::*;
    use sedge_plugin::sim::RegisterFile;

    use super::*;
    use crate::{SimBus, SystemClock};

    /// A kind at 0x48, with or without an identity.
    struct Marked;
    struct Plain;

    macro_rules! kind {
        ($name:ident, $word:literal, $identity:expr) => {
            impl Sensor for $name {
                const KIND: &'static str = $word;
                const TITLE: &'static str = $word;
                const ADDRESSES: &'static [u8] = &[0x20, 0x48, 0x70];
                const IDENTITY: Option<Identity> = $identity;
                const FIELDS: &'static [Field] = &[];
                type Device = I2cDevice;
                type Config = NoSettings;
                fn open(_: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
                    Ok(Self)
                }
                fn read(&mut self, _: &mut Frame) -> Result<(), SensorError> {
                    Ok(())
                }
                fn simulate(_: u64) -> Box<dyn I2cModel> {
                    Box::new(RegisterFile::new(&[]))
                }
            }
        };
    }
    kind!(Marked, "marked", Some(Identity::word(&[0x0F], 0x0117).mask(0x0FFF)));
    kind!(Plain, "plain", None);
    static MARKED: SensorKind = SensorKind::i2c::<Marked>();
    static PLAIN: SensorKind = SensorKind::i2c::<Plain>();
    const KINDS: [&SensorKind; 2] = [&MARKED, &PLAIN];

    fn bus() -> SimBus {
        SimBus::new("test", Arc::new(SystemClock))
    }

    fn words(kinds: &[&'static SensorKind]) -> Vec<&'static str> {
        kinds.iter().map(|kind| kind.kind).collect()
    }

    fn guesses(bus: &SimBus, address: u8) -> Option<(Vec<&'static str>, Vec<&'static str>)> {
        let found = at(&mut |address| Ok(bus.device(address)), address, &KINDS, Care::Identify).unwrap()?;
        Some((words(&found.certain), words(&found.possible)))
    }

    #[test]
    fn a_kind_whose_identity_fits_is_certain_and_one_without_is_possible() {
        let bus = bus();
        assert_eq!(guesses(&bus, 0x48), None, "nobody");
        bus.attach(0x48, Box::new(RegisterFile::new(&[(0x0F, &[0x31, 0x17])])));
        assert_eq!(guesses(&bus, 0x48), Some((vec!["marked"], vec![])));
        bus.attach(0x48, Box::new(RegisterFile::new(&[(0x0F, &[0x01, 0x18])])));
        assert_eq!(guesses(&bus, 0x48), Some((vec![], vec!["plain"])));
        bus.attach(0x49, Box::new(RegisterFile::new(&[])));
        assert_eq!(guesses(&bus, 0x49), Some((vec![], vec![])), "no kind has that address");
    }

    /// Answers a read only after a command, as Sensirion's do.
    struct Shy(bool);

    impl I2cModel for Shy {
        fn write(&mut self, _: &[u8], _: std::time::Duration) -> Result<(), BusError> {
            self.0 = true;
            Ok(())
        }
        fn read(&mut self, buffer: &mut [u8], _: std::time::Duration) -> Result<(), BusError> {
            if !std::mem::take(&mut self.0) {
                return Err(BusError::NoAnswer);
            }
            buffer.copy_from_slice(&[0x01, 0x17]);
            Ok(())
        }
    }

    #[test]
    fn a_chip_that_is_silent_until_it_is_asked_is_found_by_its_identity() {
        let bus = bus();
        bus.attach(0x48, Box::new(Shy(false)));
        assert_eq!(guesses(&bus, 0x48), Some((vec!["marked"], vec![])));
    }

    #[test]
    fn nothing_is_written_where_it_could_switch_something() {
        /// As a PCF8574: what is written are its pins.
        struct Pins(u8);
        impl I2cModel for Pins {
            fn write(&mut self, bytes: &[u8], _: std::time::Duration) -> Result<(), BusError> {
                self.0 = *bytes.last().unwrap_or(&self.0);
                Ok(())
            }
            fn read(&mut self, buffer: &mut [u8], _: std::time::Duration) -> Result<(), BusError> {
                buffer.fill(self.0);
                Ok(())
            }
        }
        let bus = bus();
        bus.attach(0x20, Box::new(Pins(0xFF)));
        assert_eq!(guesses(&bus, 0x20), Some((vec![], vec!["marked", "plain"])), "both are possible");
        let mut pins = [0];
        bus.device(0x20).read(&mut pins).unwrap();
        assert_eq!(pins, [0xFF]);
    }

    #[test]
    fn a_multiplexer_is_known_and_keeps_its_channels() {
        let bus = bus();
        drop(bus.channel(0x70, 3));
        bus.device(0x70).write(&[0b1000]).unwrap();
        let found =
            at(&mut |address| Ok(bus.device(address)), 0x70, &KINDS, Care::Identify).unwrap().unwrap();
        assert!(found.multiplexer && found.possible.is_empty());
        let mut channels = [0];
        bus.device(0x70).read(&mut channels).unwrap();
        assert_eq!(channels, [0b1000]);
        // A chip that reads as zero whatever is written is none.
        bus.attach(0x71, Box::new(RegisterFile::new(&[])));
        let found =
            at(&mut |address| Ok(bus.device(address)), 0x71, &KINDS, Care::Identify).unwrap().unwrap();
        assert!(!found.multiplexer);
    }

    #[test]
    fn what_the_kernel_owns_is_marked_and_a_bus_that_is_held_is_told_apart_from_an_adapter_that_cannot_tell()
    {
        let mut owned = |address| match address {
            0x68 => Err(BusError::Busy),
            _ => Ok(bus().device(address)),
        };
        let found = i2c(&mut owned, &KINDS, &|_| Care::Identify).unwrap();
        assert_eq!((found[0].address, &found[0].presence, found.len()), (0x68, &Presence::Kernel, 1));

        let mut held = |address| {
            let bus = bus();
            bus.fault(&crate::Seat::Number(address), crate::Fault::StuckLow, crate::Cure::Hand);
            Ok(I2cDevice::new(address, bus, NoDelay))
        };
        assert_eq!(i2c(&mut held, &KINDS, &|_| Care::Identify).err(), Some(BusError::Timeout));
        let mut vague = |address| {
            let bus = bus();
            bus.attach(0x48, Box::new(RegisterFile::new(&[])));
            if address != 0x48 {
                bus.fault(&crate::Seat::Number(address), crate::Fault::Timeout, crate::Cure::Hand);
            }
            Ok(I2cDevice::new(address, bus, NoDelay))
        };
        let found = i2c(&mut vague, &KINDS, &|_| Care::Identify).unwrap();
        assert_eq!(found.iter().map(|found| found.address).collect::<Vec<_>>(), [0x48]);
        let care = |address| if address == 0x48 { Care::Leave } else { Care::Identify };
        assert_eq!(i2c(&mut vague, &KINDS, &care).map(|found| found.len()), Ok(0), "somebody reads that one");
        let mut gone = |_| Err(BusError::Gone("no bus".into()));
        assert_eq!(i2c(&mut gone, &KINDS, &|_| Care::Identify).err(), Some(BusError::Gone("no bus".into())));
    }

    #[test]
    fn the_kernels_devices_are_listed_in_the_order_of_their_numbers() {
        let root = std::env::temp_dir().join(format!("sedge-scan-{}", std::process::id()));
        for name in ["i2c-10", "i2c-2", "i2c-x", "spidev0.0"] {
            fs::create_dir_all(&root).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        let names: Vec<_> =
            nodes(&root, "i2c-").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["i2c-2", "i2c-10"]);
        for (device, name) in [("hwmon0", "cpu_thermal\n"), ("hwmon1", "rpi_volt\n")] {
            fs::create_dir_all(root.join(device)).unwrap();
            fs::write(root.join(device).join("name"), name).unwrap();
        }
        let all = shown("hwmon", &root).unwrap();
        assert_eq!(all[1], Shown { folder: "hwmon1".into(), what: "rpi_volt".into() });
        fs::create_dir_all(root.join("28-0316a2794cff")).unwrap();
        fs::create_dir_all(root.join("w1_bus_master1")).unwrap();
        let w1 = shown("w1", &root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(w1, [Shown { folder: "28-0316a2794cff".into(), what: "28".into() }]);
        assert!(shown("w1", Path::new("/nowhere")).is_err());
    }
}
