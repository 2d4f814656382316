//! The config for what was found and is in no config yet.

use std::collections::{BTreeMap, BTreeSet};

use sedge_config::Section;
use sedge_hal::scan::{Found, Presence};
use sedge_plugin::Every;
use serde_json::Value as Json;

use super::{Device, Look, devices::is_general};
use crate::catalogue::catalogue;
use crate::commands::example;

/// The names that are taken.
pub struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// Those of a config, as it is in effect; null where there is none.
    pub fn of(effective: &Json) -> Self {
        let sections = Section::ALL.iter().filter_map(|section| effective[section.word()].as_object());
        let mut taken: BTreeSet<String> = sections.flat_map(|section| section.keys().cloned()).collect();
        let catalogue = catalogue();
        // A plugin has its name without a section too.
        let plugins = catalogue.kinds.iter().filter(|kind| kind.section == Section::Plugin);
        taken.extend(plugins.map(|kind| kind.name.clone()));
        taken.extend(catalogue.reserved.iter().map(|(name, _)| name.clone()));
        Self { taken }
    }

    /// A name that is free from now on no more.
    fn take(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|n| format!("{wanted}-{n}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        names.find(|name| self.taken.insert(name.clone())).unwrap_or_default()
    }
}

/// Sections for what was found and has none.
pub fn toml(looks: &[Look], devices: &[(String, Result<Vec<Device>, String>)], mut names: Names) -> String {
    toml_every(looks, devices, &mut names, example::EVERY)
}

/// As [`toml`], read so often.
pub fn toml_every(
    looks: &[Look],
    devices: &[(String, Result<Vec<Device>, String>)],
    names: &mut Names,
    every: Every,
) -> String {
    let mut text = String::new();
    for look in looks {
        let found = look.found.iter().flatten().filter(|found| is_new(look, found));
        let found: Vec<&Found> = found.collect();
        if found.is_empty() {
            continue;
        }
        let bus = if look.configured { look.bus.clone() } else { names.take(&look.bus) };
        if !look.configured {
            text.push_str(&example::bus_section(&bus, "i2c"));
            if look.place != format!("/dev/{bus}") {
                text.push_str(&format!("device = {}\n", example::toml(&look.place.as_str().into())));
            }
            text.push('\n');
        }
        found.into_iter().for_each(|found| chip(&mut text, names, &bus, found, every));
    }
    let mut buses: BTreeMap<&str, String> = BTreeMap::new();
    for device in devices.iter().flat_map(|(_, all)| all.iter().flatten()) {
        // What the kernel measures on the board itself, `[plugin.system]` tells already.
        let kind = device.kinds.first().filter(|kind| device.sensors.is_empty() && !is_general(kind));
        let Some(kind) = kind else { continue };
        let bus = match &device.bus {
            Some(bus) => bus.clone(),
            None => buses
                .entry(device.class)
                .or_insert_with(|| {
                    let name = names.take(device.class);
                    text.push_str(&format!("{}\n", example::bus_section(&name, device.class)));
                    name
                })
                .clone(),
        };
        let id = names.take(kind.kind);
        let address = example::toml(&device.address.as_str().into());
        text.push_str(&format!("{}\n", example::sensor_every(kind, &id, &bus, &address, every)));
    }
    text
}

/// Whether the config knows nothing of it, and a section can be written for it.
pub(crate) fn is_new(look: &Look, found: &Found) -> bool {
    found.presence == Presence::Answers
        && look.expected.iter().all(|sensor| sensor.address != found.address)
        && look.multiplexers.iter().all(|(address, _)| *address != found.address)
        && (found.multiplexer || !found.certain.is_empty() || !found.possible.is_empty())
}

fn chip(text: &mut String, names: &mut Names, bus: &str, found: &Found, every: Every) {
    let address = format!("{:#04x}", found.address);
    if found.multiplexer {
        let name = names.take(&format!("mux-{:02x}-0", found.address));
        text.push_str(&format!(
            "# one section for each channel that is in use, 0 to 7; then scan again\n[bus.{name}]\nkind = \"tca9548a\"\nbus = \"{bus}\"\naddress = {address}\nchannel = 0\n\n"
        ));
        return;
    }
    let mut kinds = found.certain.iter().chain(&found.possible);
    let Some(kind) = kinds.next() else { return };
    let others: Vec<&str> = kinds.map(|kind| kind.kind).collect();
    match (found.certain.is_empty(), others.is_empty()) {
        (true, true) => text.push_str("# a guess, by the address alone\n"),
        (_, false) => text.push_str(&format!("# a guess; it may be {} as well\n", others.join(" or "))),
        (false, true) => {}
    }
    let id = names.take(kind.kind);
    text.push_str(&format!("{}\n", example::sensor_every(kind, &id, bus, &address, every)));
}
