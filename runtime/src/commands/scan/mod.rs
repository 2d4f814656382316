//! `sedge sensor scan`: who is there, what it probably is, and the config for it.
//!
//! Each address of an I2C bus is asked for one byte, and for the id of the kinds that can be there; no driver is opened.
//! What the node on this machine reads is left alone: another answer in between would spoil its readings.

mod around;
mod devices;
mod suggest;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sedge_config::Bus as Section;
use sedge_hal::scan::{self, Care, Found, GpioChip};
use sedge_plugin::{Id, SensorError, State};
use serde_json::{Value as Json, json};

use super::hardware::{Hardware, address, kinds};
use super::local;
use crate::buses::device_named;
use crate::cli::{Global, ScanArgs};
use crate::control::{Ask, Local};
use crate::exit::Failure;
use crate::load::{Loaded, find, load};
use crate::show::{complain, say};

pub use around::{Around, around};
pub use devices::Device;
pub(crate) use devices::is_general;
pub(crate) use suggest::is_new;
pub use suggest::{Names, toml, toml_every};
pub use view::{grid, rows};

/// So long may the look at one bus take.
const PATIENCE: Duration = Duration::from_secs(15);

/// An I2C bus, as it was found.
pub struct Look {
    /// Its name in the config.
    pub bus: String,
    /// Where it is: `/dev/i2c-1`; `channel 3 of 0x70 on i2c-1`.
    pub place: String,
    /// Whether the config has it.
    pub configured: bool,
    /// Who is there, or why nobody could be asked.
    pub found: Result<Vec<Found>, String>,
    /// Whom the config expects.
    pub expected: Vec<Expected>,
    /// The multiplexers that the config has on it, each with the names of its channels' buses.
    pub multiplexers: Vec<(u8, Vec<String>)>,
    /// What the kernel drives there, by address.
    pub kernel: BTreeMap<u8, String>,
}

/// A sensor of the config.
pub struct Expected {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its address.
    pub address: u8,
    /// Whether the node reads it now: then it was not asked.
    pub read: bool,
}

impl Expected {
    /// Whom a config expects on a bus.
    pub fn on(hardware: &Hardware, bus: &str, running: Option<&Running>) -> Vec<Self> {
        let expected = |sensor: &sedge_config::Sensor| {
            let (id, kind) = (sensor.id.to_string(), sensor.kind.clone());
            let read = running.is_some_and(|node| node.reads.contains(&id));
            Some(Self { address: address(sensor)?, id, kind, read })
        };
        hardware.on(bus).filter_map(expected).collect()
    }
}

/// The node on this machine.
pub struct Running {
    /// Its id.
    pub node: Id,
    /// The sensors that it reads.
    pub reads: BTreeSet<String>,
}

/// Looks around.
pub async fn scan(global: &Global, args: &ScanArgs) -> Result<(), Failure> {
    let scene = Scene::find(global, args)?;
    let running = running(global, scene.file.is_some()).await;
    let mut notes = scene.notes.clone();
    let only = scene.only.as_deref();
    let looks =
        look(&scene.hardware, only, running.as_ref(), &scene.root, scene.configured, &mut notes).await;
    let devices = devices::devices(&scene.hardware, only, &scene.root);
    let dev = scene.root.join("dev");
    let (spi, chips) = match only {
        None => (scan::nodes(&dev, "spidev"), scan::gpio_chips(&dev)),
        Some(_) => Default::default(),
    };
    if let Some(Running { node, .. }) = &running {
        let left = looks.iter().flat_map(|look| &look.expected).filter(|sensor| sensor.read).count();
        let left = if left == 0 { "" } else { "; the sensors that it reads were left alone" };
        notes.push(format!(
            "node `{node}` runs on this machine; the kernel lets it and this scan take turns{left}"
        ));
    }
    if looks.is_empty() && only.is_none() {
        let remedy = super::doctor::enable_i2c(&scene.root);
        notes.push(format!("there is no I2C bus; {remedy}; `sedge doctor` tells more"));
    }
    let toml = toml(&looks, &devices, scene.names);
    if global.json {
        say(json(&looks, &devices, &spi, &chips, &toml, &notes))?;
    } else {
        print(&looks, &devices, &spi, &chips, &scene.hardware)?;
        if !toml.is_empty() {
            let file = scene.file.as_deref().unwrap_or(Path::new("sedge.toml"));
            say(format_args!("# to be added to {}:\n\n{}", file.display(), toml.trim_end()))?;
        }
        notes.iter().for_each(|note| complain(format_args!("note: {note}")));
    }
    let failed = looks.iter().any(|look| look.found.is_err()) || devices.iter().any(|(_, all)| all.is_err());
    if failed && only.is_some() { Err(Failure::FailedShown) } else { Ok(()) }
}

/// What there is to look at.
struct Scene {
    root: PathBuf,
    file: Option<PathBuf>,
    /// Whether the buses are those of the config.
    configured: bool,
    hardware: Hardware,
    names: Names,
    /// The name of the only bus that is looked at.
    only: Option<String>,
    notes: Vec<String>,
}

impl Scene {
    fn find(global: &Global, args: &ScanArgs) -> Result<Self, Failure> {
        let root = args.root.clone();
        let mut notes = Vec::new();
        let mut loaded = match find(global.config.as_deref()) {
            None => None,
            Some(file) => match load(global) {
                Ok(loaded) if loaded.config.is_some() => Some(loaded),
                Ok(_) => {
                    notes.push(format!(
                        "{0} has a fatal mistake, and was passed over; `sedge check {0}` tells which",
                        file.display()
                    ));
                    None
                }
                // One that is named is meant.
                Err(error) if global.config.is_some() => return Err(error),
                Err(error) => {
                    notes.push(format!("the config was passed over: {error}"));
                    None
                }
            },
        };
        let file = loaded.as_ref().and_then(|loaded| loaded.file.clone());
        let names = Names::of(loaded.as_ref().map(|loaded| &*loaded.effective).unwrap_or(&Json::Null));
        let mut configured = file.is_some();
        let only = match (&args.bus, &loaded) {
            (None, None) => {
                loaded = Some(made_up(&scan::nodes(&root.join("dev"), "i2c-")));
                None
            }
            (None, Some(_)) => None,
            (Some(bus), _) => {
                let (name, other) = named(bus, &root, loaded.as_ref())?;
                if other.is_some() {
                    (loaded, configured) = (other, false);
                }
                Some(name)
            }
        };
        let loaded = loaded.unwrap_or_else(|| made_up(&[]));
        let folder = loaded.folder();
        let config = loaded.config.unwrap_or_default();
        Ok(Self { root, file, configured, hardware: Hardware::open(config, folder), names, only, notes })
    }
}

/// A config that has these buses and nothing else.
fn made_up(devices: &[PathBuf]) -> Loaded {
    let section = |device: &PathBuf| {
        let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("[bus.{name}]\nkind = \"i2c\"\ndevice = \"{}\"\n", device.display())
    };
    Loaded::new("what is there", devices.iter().map(section).collect())
}

/// The name of the bus that is meant. One that the config does not have is made up, in a config of its own.
fn named(bus: &str, root: &Path, loaded: Option<&Loaded>) -> Result<(String, Option<Loaded>), Failure> {
    let sections = loaded.iter().filter_map(|loaded| loaded.config.as_ref()).flat_map(|config| &config.buses);
    let is_meant = |section: &&Section| {
        section.id.as_str() == bus || device_named(section).is_some_and(|device| device == Path::new(bus))
    };
    if let Some(section) = sections.clone().find(is_meant) {
        return Ok((section.id.to_string(), None));
    }
    let device = match bus {
        path if path.starts_with('/') => PathBuf::from(path),
        number if number.chars().all(|c| c.is_ascii_digit()) => {
            root.join("dev").join(format!("i2c-{number}"))
        }
        name => root.join("dev").join(name),
    };
    let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.starts_with("i2c-") || !device.exists() {
        let names: Vec<&str> = sections.map(|section| section.id.as_str()).collect();
        let there = scan::nodes(&root.join("dev"), "i2c-");
        let there = there.iter().map(|path| path.display().to_string());
        let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).chain(there).collect();
        let known =
            if all.is_empty() { "there is none".into() } else { format!("there are: {}", all.join(", ")) };
        return Err(Failure::Failed(format!(
            "there is no I2C bus `{bus}`; {known}; `sedge doctor` tells what is missing"
        )));
    }
    Ok((name, Some(made_up(&[device]))))
}

/// The node on this machine, where this user may ask it.
async fn running(global: &Global, configured: bool) -> Option<Running> {
    let node = match configured {
        true => local::node(global).ok()?,
        false => crate::control::find(None).ok()?,
    };
    Running::at(&node).await
}

impl Running {
    /// What a node reads, where this user may ask it.
    pub(crate) async fn at(node: &Local) -> Option<Self> {
        let plugins =
            tokio::time::timeout(Duration::from_secs(2), node.ask(&Ask::Plugins)).await.ok()?.ok()?;
        let active = [State::Running, State::Degraded, State::Starting].map(State::word);
        let reads = plugins
            .as_array()
            .into_iter()
            .flatten()
            .filter(|plugin| plugin["state"].as_str().is_some_and(|state| active.contains(&state)));
        let reads = reads.filter_map(|plugin| plugin["id"].as_str().map(str::to_owned)).collect();
        Some(Running { node: node.node(), reads })
    }
}

/// Looks at the I2C buses, each after the one that it is on.
pub async fn look(
    hardware: &Hardware,
    only: Option<&str>,
    running: Option<&Running>,
    root: &Path,
    configured: bool,
    notes: &mut Vec<String>,
) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::new();
    let above: Vec<&Section> =
        only.and_then(|only| hardware.section(only)).map(|only| hardware.parents(only)).unwrap_or_default();
    let is_only = |name: &str| only.is_none_or(|only| name == only);
    // What answers on the trunk answers on each channel too, so the trunk is asked in any case.
    let wanted =
        |section: &&Section| is_only(section.id.as_str()) || above.iter().any(|bus| bus.id == section.id);
    for section in hardware.i2c().into_iter().filter(wanted) {
        let parents = hardware.parents(section);
        let name = section.id.as_str();
        if let (Some(node), Some(trunk)) = (running, parents.last()) {
            notes.push(format!(
                "`{name}` is behind a multiplexer on `{}`, whose channels node `{}` switches; stop the node to look there",
                trunk.id, node.node
            ));
            continue;
        }
        let multiplexers = hardware.multiplexers(name);
        let expected = Expected::on(hardware, name, running);
        let mut care: BTreeMap<u8, Care> =
            multiplexers.iter().map(|(address, _)| (*address, Care::Byte)).collect();
        care.extend(expected.iter().filter(|sensor| sensor.read).map(|sensor| (sensor.address, Care::Leave)));
        for parent in &parents {
            let trunk = looks.iter().find(|look| look.bus == parent.id.as_str());
            let there = trunk.and_then(|trunk| trunk.found.as_ref().ok()).into_iter().flatten();
            care.extend(there.map(|found| (found.address, Care::Leave)));
            care.extend(
                hardware.multiplexers(parent.id.as_str()).into_iter().map(|mux| (mux.0, Care::Leave)),
            );
        }
        let part =
            if running.is_none() { multiplexers.iter().map(|mux| mux.0).collect() } else { Vec::new() };
        let found = ask(hardware, name, care, part).await;
        looks.push(Look {
            bus: name.into(),
            place: place(section, &parents),
            configured,
            found,
            expected,
            multiplexers,
            kernel: kernel(section, root),
        });
    }
    looks.retain(|look| is_only(&look.bus));
    looks
}

/// Asks all addresses. The channels of the multiplexers in `part` are cut off first: what is behind them is not here.
async fn ask(
    hardware: &Hardware,
    bus: &str,
    care: BTreeMap<u8, Care>,
    part: Vec<u8>,
) -> Result<Vec<Found>, String> {
    let bus = hardware.bus(bus)?;
    let asked = bus.with_ways(move |ways| {
        for address in part {
            // One that is not there is seen below.
            let _ = ways(address).and_then(|mut multiplexer| multiplexer.write(&[0]));
        }
        let care = |address| care.get(&address).copied().unwrap_or(Care::Identify);
        Ok(scan::i2c(ways, &kinds(), &care)?)
    });
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(found) => found.map_err(|error: SensorError| error.to_string()),
        Err(_) => Err("it hangs: a device holds the bus; switch its supply off and on".into()),
    }
}

fn place(section: &Section, parents: &[&Section]) -> String {
    let setting = |key: &str| section.settings.get(key).and_then(Json::as_u64);
    match (parents.first(), device_named(section)) {
        (Some(parent), _) => {
            let (address, channel) =
                (setting("address").unwrap_or(0x70), setting("channel").unwrap_or_default());
            format!("channel {channel} of {address:#04x} on {}", parent.id)
        }
        (None, Some(device)) => device.display().to_string(),
        (None, None) => section.kind.clone(),
    }
}

/// What the kernel drives on an adapter, by address: `rtc-ds1307`.
fn kernel(section: &Section, root: &Path) -> BTreeMap<u8, String> {
    let device = device_named(section).filter(|_| section.kind == "i2c");
    let number = device.and_then(|device| device.to_str()?.rsplit_once("i2c-").map(|(_, n)| n.to_owned()));
    let Some(number) = number else { return BTreeMap::new() };
    let devices = std::fs::read_dir(root.join("sys/bus/i2c/devices")).into_iter().flatten().flatten();
    let named = devices.filter_map(|device| {
        let name = device.file_name().into_string().ok()?;
        let (bus, address) = name.split_once('-')?;
        let address = u8::from_str_radix(address.get(2..)?, 16).ok().filter(|_| bus == number)?;
        let name = std::fs::read_to_string(device.path().join("name")).ok()?;
        Some((address, name.trim().to_owned()))
    });
    named.collect()
}

/// The devices of each class, by the heading of the class.
pub type Devices = Vec<(String, Result<Vec<Device>, String>)>;

fn print(
    looks: &[Look],
    devices: &Devices,
    spi: &[PathBuf],
    chips: &[GpioChip],
    hardware: &Hardware,
) -> Result<(), Failure> {
    for look in looks {
        say(format_args!("{} ({})", look.bus, look.place))?;
        match &look.found {
            Ok(_) => {
                say(grid(look).trim_end_matches('\n'))?;
                crate::show::table(&rows(look))?;
            }
            Err(why) => say(format_args!("  not scanned: {why}"))?,
        }
        say("")?;
    }
    for (bus, all) in devices {
        say(bus)?;
        match all {
            Ok(all) if all.is_empty() => say("  nothing")?,
            Ok(all) => crate::show::table(&all.iter().map(Device::row).collect::<Vec<_>>())?,
            Err(why) => say(format_args!("  not scanned: {why}"))?,
        }
        say("")?;
    }
    if !spi.is_empty() {
        say("SPI (what sits there cannot be asked)")?;
        crate::show::table(&spi.iter().map(|node| view::spi(node, hardware)).collect::<Vec<_>>())?;
        say("")?;
    }
    if !chips.is_empty() {
        say("GPIO")?;
        let row = |chip: &GpioChip| {
            vec![format!("  {}", chip.path.display()), chip.label.clone(), format!("{} lines", chip.lines)]
        };
        crate::show::table(&chips.iter().map(row).collect::<Vec<_>>())?;
        say("")?;
    }
    Ok(())
}

fn json(
    looks: &[Look],
    devices: &Devices,
    spi: &[PathBuf],
    chips: &[GpioChip],
    toml: &str,
    notes: &[String],
) -> Json {
    let device = |(bus, all): &(String, Result<Vec<Device>, String>)| {
        let found: Json = all.iter().flatten().map(Device::json).collect();
        json!({ "bus": bus, "error": all.as_ref().err(), "found": found })
    };
    let chip = |chip: &GpioChip| json!({ "device": chip.path, "label": chip.label, "lines": chip.lines });
    json!({
        "i2c": looks.iter().map(view::json).collect::<Json>(),
        "devices": devices.iter().map(device).collect::<Json>(),
        "spi": spi,
        "gpio": chips.iter().map(chip).collect::<Json>(),
        "toml": toml,
        "notes": notes,
    })
}
