//! The buses of a node: opened once, kept over reloads, let go when the config has them no more.
//!
//! It must not know a plugin: it makes hardware of settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use sedge_config::Bus as Section;
use sedge_hal::{Bus, Cassette, Fault, Hop, I2cOptions, Lines, PwmChip, Seat, SimBus, SysfsKind};
use sedge_plugin::{Clock, Every, Id};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Below it a slow chip cannot answer; above it a device that stretches the clock passes for a thread that hangs.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of a bus of kind `i2c`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct I2cSettings {
    /// The device node; without it: made from the bus's name, `/dev/i2c-1` for `[bus.i2c-1]`.
    pub device: Option<String>,
    /// How long a transfer may take before the kernel gives it up, 10ms to 2s: what a device holds up, it holds up so long.
    /// It holds for whoever else uses the adapter as well.
    pub timeout: Every,
    /// Whether a bus that is held may be reset by taking it from the kernel's driver and giving it back; needs root.
    pub rebind: bool,
}

impl Default for I2cSettings {
    fn default() -> Self {
        let I2cOptions { timeout, rebind } = I2cOptions::default();
        Self { device: None, timeout: Every(timeout), rebind }
    }
}

/// Settings of a bus of the kinds `spi`, `gpio` and `pwm`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSettings {
    /// The device node; without it: made from the bus's name, `/dev/gpiochip0` for `[bus.gpio0]`, `/dev/spidev0` (and then the
    /// sensor's address) for `[bus.spi0]`.
    pub device: Option<String>,
}

/// Settings of a bus of kind `tca9548a`: a channel of a multiplexer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MuxSettings {
    /// The bus that the multiplexer is on.
    pub bus: String,
    /// The multiplexer's address, 0x70 to 0x77.
    #[serde(default = "first_mux")]
    #[schemars(range(min = 0x70, max = 0x77))]
    pub address: u8,
    /// The channel, 0 to 7.
    #[schemars(range(min = 0, max = 7))]
    pub channel: u8,
}

fn first_mux() -> u8 {
    0x70
}

/// Settings of a bus of the kinds `w1`, `iio` and `hwmon`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FolderSettings {
    /// Where the kernel shows the devices, such as "/sys/bus/w1/devices"; it is known.
    pub path: Option<String>,
}

/// Settings of a bus of kind `replay`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaySettings {
    /// The cassette, as `sedge sensor record` wrote it.
    pub file: String,
    /// Whether it ends with the cassette, instead of beginning again.
    #[serde(default)]
    pub once: bool,
}

/// Settings of a bus of kind `sim`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimSettings {
    /// What is to go wrong.
    pub faults: Vec<Script>,
}

/// A fault of a simulated device.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Which device: its address on the bus.
    pub address: u8,
    /// What is wrong with it.
    pub fault: Wrong,
    /// When it begins, after the start of the bus.
    pub after: Every,
    /// How long it lasts.
    pub lasts: Every,
}

/// What can be wrong with a simulated device.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// It does not answer.
    Nack,
    /// It stops answering in the middle.
    Refuse,
    /// It holds the clock until the kernel gives up.
    Timeout,
    /// It holds the data line low: the bus is dead.
    StuckLow,
    /// Its bytes arrive changed.
    Corrupt,
    /// Another chip answers.
    Stranger,
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Nack => Self::Nack,
            Wrong::Refuse => Self::Refuse,
            Wrong::Timeout => Self::Timeout,
            Wrong::StuckLow => Self::StuckLow,
            Wrong::Corrupt => Self::Corrupt,
            Wrong::Stranger => Self::Stranger,
        }
    }
}

/// A kind of bus: its word in the config, the schema of its settings, and what kinds of buses it can itself be on.
pub struct BusKind {
    /// The word in the config.
    pub name: &'static str,
    /// JSON Schema of its settings.
    pub schema: fn() -> Json,
    /// The kinds of buses that it can be on.
    pub buses: &'static [&'static str],
}

const fn kind<T: JsonSchema>(name: &'static str) -> BusKind {
    BusKind { name, schema: || schemars::schema_for!(T).to_value(), buses: &[] }
}

/// The kinds of a `[bus.NAME]` section.
pub const BUSES: &[BusKind] = &[
    kind::<I2cSettings>("i2c"),
    BusKind { buses: &["i2c", "tca9548a", "sim"], ..kind::<MuxSettings>("tca9548a") },
    kind::<DeviceSettings>("spi"),
    kind::<FolderSettings>("w1"),
    kind::<FolderSettings>("iio"),
    kind::<FolderSettings>("hwmon"),
    kind::<DeviceSettings>("gpio"),
    kind::<DeviceSettings>("pwm"),
    kind::<SimSettings>("sim"),
    kind::<ReplaySettings>("replay"),
];

/// The kinds of buses that serve a kind of sensor, whose own is `own`.
pub fn serving(own: &str) -> Vec<String> {
    let own = match own {
        "i2c" => vec!["i2c", "tca9548a"],
        own => vec![own],
    };
    own.into_iter().chain(["sim", "replay"]).map(String::from).collect()
}

/// A bus that was opened.
#[derive(Clone)]
pub enum Opened {
    /// Devices are on it, and a thread serves them.
    Bus(Bus),
    /// What a device once said stands for it.
    Replay(Arc<Cassette>, Bus),
    /// Lines of a chip.
    Gpio(Lines),
    /// Hardware that makes pulses.
    Pwm(PwmChip),
    /// A simulation of all of that.
    Sim(SimBus, Bus),
}

/// A bus as it was opened, with the fingerprint of what the config said.
struct Known {
    fingerprint: u64,
    kind: String,
    opened: Result<Opened, String>,
    /// The devices on a simulated bus: one that goes on must not be made anew under its driver.
    simulated: BTreeMap<Id, u64>,
}

/// The buses of a node.
pub struct Buses {
    clock: Arc<dyn Clock>,
    /// Where the config lies: what a relative path is below.
    folder: PathBuf,
    known: BTreeMap<String, Known>,
}

impl Buses {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>, folder: PathBuf) -> Self {
        Self { clock, folder, known: BTreeMap::new() }
    }

    /// Opens those that are new or have changed, and lets go of those that are gone.
    pub fn open(&mut self, sections: &[Section]) {
        let mut before = std::mem::take(&mut self.known);
        let mut devices: BTreeMap<PathBuf, Id> = BTreeMap::new();
        // A bus on another one comes after it; a circle is a mistake that the config has told.
        let depth = |section: &Section| ancestors(sections, section).len();
        let mut sections_by_depth: Vec<&Section> = sections.iter().collect();
        sections_by_depth.sort_by_key(|section| depth(section));
        for section in sections_by_depth {
            let device = device_named(section);
            let taken = device.and_then(|device| devices.insert(device, section.id.clone()));
            let parent = section.parent.as_ref().and_then(|parent| self.known.get(parent));
            let fingerprint = combined(section.fingerprint(), parent.map_or(0, |parent| parent.fingerprint));
            // What could not be opened is tried again: what was in the way may be gone.
            let known = before.remove(section.id.as_str()).filter(|known| known.fingerprint == fingerprint);
            let known = known.filter(|known| known.opened.is_ok());
            let known = match (taken, known) {
                (Some(other), _) => {
                    let why = format!("bus `{other}` has the same device as bus `{}`", section.id);
                    Known::new(fingerprint, section, Err(why))
                }
                (None, Some(known)) => known,
                (None, None) => Known::new(fingerprint, section, self.opened(section)),
            };
            self.known.insert(section.id.to_string(), known);
        }
    }

    /// A bus, or why it could not be opened.
    ///
    /// # Errors
    /// There is none of that name, or it could not be opened.
    pub fn get(&self, name: &str) -> Result<&Opened, String> {
        match self.known.get(name) {
            Some(known) => known.opened.as_ref().map_err(Clone::clone),
            None => Err(format!("there is no bus `{name}`")),
        }
    }

    /// All of them, each with why it could not be opened.
    pub(crate) fn all(&self) -> BTreeMap<String, Result<Opened, String>> {
        self.known.iter().map(|(name, known)| (name.clone(), known.opened.clone())).collect()
    }

    /// The threads that are to be looked after, each with the name and the kind of its bus, and what the config says of it.
    pub fn threads(&self) -> impl Iterator<Item = (Id, &str, Bus, u64)> {
        self.known.iter().filter_map(|(name, known)| {
            // The thread of a channel is that of the bus that its multiplexer is on.
            let bus = match known.opened.as_ref().ok()? {
                Opened::Bus(bus) if known.kind != "tca9548a" => bus.clone(),
                Opened::Sim(_, bus) | Opened::Replay(_, bus) => bus.clone(),
                Opened::Bus(_) | Opened::Gpio(_) | Opened::Pwm(_) => return None,
            };
            Some((Id::new(name).ok()?, known.kind.as_str(), bus, known.fingerprint))
        })
    }

    /// What the config says of an instance and of its bus, as a number.
    pub fn fingerprint(&self, own: u64, bus: &str) -> u64 {
        combined(own, self.known.get(bus).map_or(0, |known| known.fingerprint))
    }

    /// Whether it is a simulated one.
    pub(crate) fn is_simulated(&self, bus: &str) -> bool {
        matches!(self.get(bus), Ok(Opened::Sim(..)))
    }

    /// Puts a simulated device on its bus, where that is simulated and it is not there already.
    pub fn simulate(
        &mut self,
        bus: &str,
        id: &Id,
        seat: &Seat,
        kind: &sedge_plugin::SensorKind,
        fingerprint: u64,
    ) {
        let Some(Known { opened: Ok(Opened::Sim(sim, _)), simulated, .. }) = self.known.get_mut(bus) else {
            return;
        };
        if simulated.insert(id.clone(), fingerprint) != Some(fingerprint) {
            sim.simulate(id, seat, kind);
        }
    }

    fn opened(&self, section: &Section) -> Result<Opened, String> {
        if let Some(fault) = &section.fault {
            return Err(format!("its bus `{}` is at fault: {fault}", section.id));
        }
        let threads = |error: std::io::Error| format!("no thread for bus `{}`: {error}", section.id);
        let clock = self.clock.clone();
        let bus = match section.kind.as_str() {
            "sim" => {
                let sim = SimBus::new(section.id.as_str(), clock);
                for Script { address, fault, after, lasts } in settings::<SimSettings>(section)?.faults {
                    sim.schedule(&Seat::Number(address), fault.into(), after.0, lasts.0);
                }
                let bus = sim.bus().map_err(threads)?;
                return Ok(Opened::Sim(sim, bus));
            }
            "gpio" => return Ok(Opened::Gpio(sedge_hal::lines(&device(section)?))),
            "pwm" => return Ok(Opened::Pwm(sedge_hal::pwm_chip(&device(section)?))),
            "tca9548a" => {
                let MuxSettings { bus, address, channel } = settings(section)?;
                return match self.get(&bus)? {
                    Opened::Bus(bus) => Ok(Opened::Bus(bus.channel(Hop { address, channel }))),
                    Opened::Sim(sim, bus) => {
                        let bus = bus.channel(Hop { address, channel });
                        Ok(Opened::Sim(sim.channel(address, channel), bus))
                    }
                    _ => Err(format!("`{bus}` is no I2C bus")),
                };
            }
            "spi" => sedge_hal::spi_bus(&device(section)?, clock),
            "i2c" => {
                let I2cSettings { timeout, rebind, .. } = settings(section)?;
                if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&timeout.0) {
                    return Err(format!("bus `{}`: timeout = \"{timeout}\": 10ms to 2s", section.id));
                }
                sedge_hal::i2c_bus(&device(section)?, I2cOptions { timeout: timeout.0, rebind }, clock)
            }
            "replay" => {
                let ReplaySettings { file, once } = settings(section)?;
                let cassette = Cassette::load(&self.folder.join(file)).map_err(|error| error.to_string())?;
                let cassette = Arc::new(cassette);
                let bus = sedge_hal::replay_bus(section.id.as_str(), cassette.clone(), once, clock);
                return Ok(Opened::Replay(cassette, bus.map_err(threads)?));
            }
            other => {
                let Some(kind) = SysfsKind::of(other) else {
                    return Err(format!("there is no kind of bus `{other}`"));
                };
                let path = settings::<FolderSettings>(section)?.path;
                let folder = path.map_or_else(|| kind.folder().to_owned(), PathBuf::from);
                sedge_hal::sysfs_bus(section.id.as_str(), kind, &folder, clock)
            }
        };
        bus.map(Opened::Bus).map_err(threads)
    }
}

impl Known {
    fn new(fingerprint: u64, section: &Section, opened: Result<Opened, String>) -> Self {
        // What sits on it is started anew when the reason why it cannot run changes.
        let why = opened.as_ref().err().map_or(0, |why| sedge_plugin::fnv1a(why.as_bytes()));
        let fingerprint = if why == 0 { fingerprint } else { combined(fingerprint, why) };
        Self { fingerprint, kind: section.kind.clone(), opened, simulated: BTreeMap::new() }
    }
}

fn combined(own: u64, of_bus: u64) -> u64 {
    sedge_plugin::fnv1a(format!("{own:x} {of_bus:x}").as_bytes())
}

/// The buses that a bus is on, nearest first; ends where they go in a circle.
fn ancestors<'a>(sections: &'a [Section], section: &'a Section) -> Vec<&'a Section> {
    let mut all: Vec<&Section> = Vec::new();
    let mut next = section.parent.as_deref();
    while let Some(parent) = next.and_then(|name| sections.iter().find(|bus| bus.id.as_str() == name)) {
        if all.iter().any(|known| known.id == parent.id) {
            break;
        }
        all.push(parent);
        next = parent.parent.as_deref();
    }
    all
}

/// The device of a bus that is one, where its settings can be read.
pub(crate) fn device_named(section: &Section) -> Option<PathBuf> {
    match section.kind.as_str() {
        "i2c" | "spi" | "gpio" | "pwm" => device(section).ok(),
        _ => None,
    }
}

fn device(section: &Section) -> Result<PathBuf, String> {
    let written = match section.kind.as_str() {
        "i2c" => settings::<I2cSettings>(section)?.device,
        _ => settings::<DeviceSettings>(section)?.device,
    };
    Ok(written.map_or_else(|| device_of(&section.id, &section.kind), PathBuf::from))
}

/// `/dev/i2c-1` for a bus called `i2c-1`; `/dev/gpiochip0` for one called `gpio0`.
fn device_of(bus: &Id, kind: &str) -> PathBuf {
    let number = bus.as_str().trim_start_matches(|c: char| !c.is_ascii_digit());
    match kind {
        "gpio" if !number.is_empty() => format!("/dev/gpiochip{number}").into(),
        "spi" if !number.is_empty() => format!("/dev/spidev{number}").into(),
        "pwm" if !number.is_empty() => format!("/sys/class/pwm/pwmchip{number}").into(),
        _ => Path::new("/dev").join(bus.as_str()),
    }
}

/// The config was checked against the schema of the kind, so what is wrong here is a hole in the schema.
fn settings<T: DeserializeOwned>(section: &Section) -> Result<T, String> {
    let settings = match section.settings.clone().into_value() {
        Json::Null => Json::Object(Default::default()),
        settings => settings,
    };
    serde_json::from_value(settings).map_err(|error| format!("settings: {error}"))
}

/// The same config with every bus simulated. A channel of a multiplexer stays one, of a simulated bus.
pub fn simulated(mut config: sedge_config::Config) -> sedge_config::Config {
    for bus in config.buses.iter_mut().filter(|bus| bus.parent.is_none() && bus.kind != "sim") {
        bus.kind = "sim".into();
        bus.settings = Default::default();
    }
    config
}
