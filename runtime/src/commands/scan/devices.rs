//! What the kernel drives itself: 1-Wire, IIO, hwmon.

use std::path::{Path, PathBuf};

use sedge_config::Address;
use sedge_hal::SysfsKind;
use sedge_hal::scan::{self, Shown};
use sedge_plugin::{Attachment, SensorKind};
use serde_json::{Value as Json, json};

use crate::commands::hardware::{Hardware, kinds};

/// The classes, as the config calls their buses.
const CLASSES: [&str; 3] = ["w1", "iio", "hwmon"];

/// A device that the kernel shows.
#[derive(Clone)]
pub struct Device {
    /// The kind of its bus.
    pub class: &'static str,
    /// The name of its bus in the config, where that has one.
    pub bus: Option<String>,
    /// What the kernel calls it.
    pub shown: Shown,
    /// What the config would call it.
    pub address: String,
    /// The kinds of sensors that read it, those that name it first.
    pub kinds: Vec<&'static SensorKind>,
    /// Whose it is.
    pub sensors: Vec<String>,
}

impl Device {
    /// Its row.
    pub(super) fn row(&self) -> Vec<String> {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.kind).collect();
        let what = match self.class {
            "w1" => format!("family {}", self.shown.what),
            _ => self.shown.what.clone(),
        };
        let whose: Vec<String> = self.sensors.iter().map(|id| format!("[sensor.{id}]")).collect();
        let kinds = if kinds.is_empty() { "no kind of sensor reads it".into() } else { kinds.join(" or ") };
        let whose = if whose.is_empty() { "-".to_owned() } else { whose.join(" ") };
        vec![format!("  {}", self.shown.folder), what, whose, kinds]
    }

    /// For a program.
    pub(super) fn json(&self) -> Json {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.kind).collect();
        json!({
            "name": self.shown.folder, "what": self.shown.what, "address": self.address, "kinds": kinds,
            "sensors": self.sensors,
        })
    }
}

/// The devices of each class that there is, by the heading of the class.
pub(super) fn devices(
    hardware: &Hardware,
    only: Option<&str>,
    root: &Path,
) -> Vec<(String, Result<Vec<Device>, String>)> {
    let mut all = Vec::new();
    for class in CLASSES {
        let sections = hardware.config.buses.iter().filter(|bus| bus.kind == class);
        let sections = sections.filter(|bus| only.is_none_or(|only| bus.id.as_str() == only));
        let mut places: Vec<(Option<String>, PathBuf)> = sections
            .map(|bus| {
                let path = bus.settings.get("path").and_then(Json::as_str);
                (Some(bus.id.to_string()), path.map_or_else(|| usual(class, root), PathBuf::from))
            })
            .collect();
        if places.is_empty() && only.is_none() && usual(class, root).exists() {
            places.push((None, usual(class, root)));
        }
        for (bus, folder) in places {
            let heading = format!("{} ({})", bus.as_deref().unwrap_or(class), folder.display());
            let shown = scan::shown(class, &folder).map_err(|error| {
                format!("{error}; enable it, as `sedge doctor` says, or remove the bus from the config")
            });
            all.push((heading, shown.map(|shown| known(hardware, class, bus.as_deref(), &shown))));
        }
    }
    all
}

fn usual(class: &str, root: &Path) -> PathBuf {
    let folder = SysfsKind::of(class).map_or(Path::new("/sys"), SysfsKind::folder);
    root.join(folder.strip_prefix("/").unwrap_or(folder))
}

fn known(hardware: &Hardware, class: &'static str, bus: Option<&str>, all: &[Shown]) -> Vec<Device> {
    let device = |shown: &Shown| {
        // A folder's number may be another after the next start, so its name is used where there is no second one.
        let unique = class != "w1" && all.iter().filter(|other| other.what == shown.what).count() == 1;
        let address = if unique { shown.what.clone() } else { shown.folder.clone() };
        let reads = |kind: &&SensorKind| match kind.attachment {
            Attachment::Files { place, .. } => {
                place.bus == class && (place.names.is_empty() || place.names.contains(&shown.what.as_str()))
            }
            _ => false,
        };
        let mut kinds: Vec<&'static SensorKind> = kinds().into_iter().filter(reads).collect();
        kinds.sort_by_key(|kind| is_general(kind));
        let is_its = |sensor: &&sedge_config::Sensor| match &sensor.address {
            Some(Address::Name(name)) => *name == shown.folder || *name == shown.what,
            // The only one of its kind.
            _ => kinds.iter().any(|kind| kind.kind == sensor.kind),
        };
        let sensors =
            bus.map(|bus| hardware.on(bus).filter(is_its).map(|sensor| sensor.id.to_string()).collect());
        Device {
            class,
            bus: bus.map(str::to_owned),
            shown: shown.clone(),
            address,
            kinds,
            sensors: sensors.unwrap_or_default(),
        }
    };
    all.iter().map(device).collect()
}

/// Whether a kind reads whatever the kernel shows of its class.
pub(crate) fn is_general(kind: &SensorKind) -> bool {
    matches!(kind.attachment, Attachment::Files { place, .. } if place.names.is_empty())
}
