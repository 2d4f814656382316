//! What instances claim twice, and what they refer to that is not there.
//!
//! Of two claims the second in the file is at fault, so that adding a section never breaks one that worked. It must not
//! change an instance.

use std::collections::BTreeMap;
use std::ops::Range;

use sedge_plugin::schema::{child_pointer, nearest};

use crate::bus::BusKeys;
use crate::catalogue::{Catalogue, Kind, Section};
use crate::gpio::GpioKeys;
use crate::instance::{Instance, Read};
use crate::report::{Report, Scope};

/// Finds ids that are taken. Gives the pointers of the instances that have no id of their own.
pub(crate) fn taken_ids(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    mut instances: Vec<&Instance>,
) -> Vec<String> {
    // A legal id wins over one that was made legal.
    instances.sort_by_key(|instance| (instance.name != instance.id.as_str(), instance.key.start));
    let mut owners: BTreeMap<&str, &Instance> = BTreeMap::new();
    let mut losers = Vec::new();
    for instance in instances {
        let id = instance.id.as_str();
        // A plugin has its id even when no section names it.
        let plugin = catalogue.find(Section::Plugin, id).filter(|kind| kind.outside.is_none());
        let plugin = plugin.filter(|_| instance.section != Section::Plugin);
        let reserved = catalogue.reserved.iter().find(|(reserved, _)| reserved == id);
        if let Some((_, place)) = reserved.filter(|_| instance.section != Section::Plugin) {
            let message = format!("the id `{id}` is taken by what `{place}` sets up");
            report.error(Scope::Instance(instance), instance.key.clone(), &message).help("choose another id");
        } else if plugin.is_some() {
            let message = format!("the id `{id}` is taken by the plugin `{id}`");
            report.error(Scope::Instance(instance), instance.key.clone(), &message).help("choose another id");
        } else if let Some(owner) = owners.get(id) {
            let message = format!("the id `{id}` is taken by `{}`", owner.title());
            let (place, other, label) = (instance.key.clone(), owner.key.clone(), "it is taken");
            report.conflict(instance, place, &message, other, label).help("choose another id");
        } else {
            owners.insert(id, instance);
            continue;
        }
        losers.push(instance.pointer.clone());
    }
    losers
}

/// Checks that the bus of a component is there and can serve its kind. Of what is unknown nothing is said.
pub(crate) fn check_bus(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    buses: &[Read<BusKeys>],
    instance: &Instance,
    name: &str,
    kind: Option<&Kind>,
) {
    let span = bus_place(report, instance);
    let scope = Scope::Instance(instance);
    let known = kind.map(|kind| kind.buses.as_slice()).filter(|buses| !buses.is_empty());
    let fits = |bus: &&Read<BusKeys>| {
        let is_known = catalogue.find(Section::Bus, &bus.keys.kind).is_some();
        !is_known || known.is_none_or(|known| known.contains(&bus.keys.kind))
    };
    // Nothing is on itself.
    let candidates: Vec<&str> = buses
        .iter()
        .filter(|bus| fits(bus) && bus.instance.pointer != instance.pointer)
        .map(|bus| bus.instance.id.as_str())
        .collect();
    let Some(bus) = find_bus(buses, name) else {
        let help = match nearest(name, candidates) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("add a section `[bus.{name}]`"),
        };
        report.error(scope, span, &format!("there is no bus `{name}`")).help(help);
        return;
    };
    if let Some(kind) = kind.filter(|_| !fits(&bus)) {
        let (needed, found) = (bus_words(kind), bus.keys.kind.as_str());
        let message = format!("this needs a bus of kind {needed}, but `{name}` is of kind `{found}`");
        let diagnostic = report.conflict(instance, span, &message, bus.instance.key.clone(), "the bus is");
        if !candidates.is_empty() {
            diagnostic.help(format!("buses that serve it: {}", candidates.join(", ")));
        }
    }
}

/// The kinds of buses that serve a kind: "`i2c` or `tca9548a`".
fn bus_words(kind: &Kind) -> String {
    let mut words: Vec<String> = kind.real_buses().map(|bus| format!("`{bus}`")).collect();
    if words.is_empty() {
        words = kind.buses.iter().map(|bus| format!("`{bus}`")).collect();
    }
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) }
}

/// The bus that is called `name`, even if the name is illegal: then it is at fault, and not who refers to it.
pub(crate) fn find_bus<'a>(buses: &'a [Read<BusKeys>], name: &str) -> Option<&'a Read<BusKeys>> {
    buses.iter().find(|bus| bus.instance.name == name)
}

pub(crate) fn bus_place(report: &Report<'_>, instance: &Instance) -> Range<usize> {
    report.document.place(&child_pointer(&instance.pointer, "bus")).value
}

/// Finds two enabled components on one line of one bus.
pub(crate) fn shared_lines(report: &mut Report<'_>, gpios: &[Read<GpioKeys>]) {
    let claims = gpios.iter().filter(|read| read.keys.enabled).filter_map(|read| {
        let (bus, line) = (read.keys.bus.as_deref()?, read.keys.line?);
        Some((&read.instance, bus, format!("line {line}")))
    });
    shared(report, claims, "line");
}

/// Finds what two instances claim on one bus: each says who it is, on which bus, and what, written as `key`.
pub(crate) fn shared<'a>(
    report: &mut Report<'_>,
    claims: impl Iterator<Item = (&'a Instance, &'a str, String)>,
    key: &str,
) {
    let mut owners: BTreeMap<(&str, String), &Instance> = BTreeMap::new();
    for (instance, bus, what) in claims {
        match owners.get(&(bus, what.clone())) {
            Some(owner) => {
                let message = format!("{what} of bus `{bus}` is taken by `{}`", owner.title());
                let (here, there) = (claimed_at(report, instance, key), claimed_at(report, owner, key));
                report.conflict(instance, here, &message, there, "it is taken");
            }
            None => {
                owners.insert((bus, what), instance);
            }
        }
    }
}

/// Where an instance says `key`. What its kind implies has no place of its own: the instance's name stands for it.
pub(crate) fn claimed_at(report: &Report<'_>, instance: &Instance, key: &str) -> Range<usize> {
    let pointer = child_pointer(&instance.pointer, key);
    let written = report.document.has(&pointer);
    if written { report.document.place(&pointer).value } else { instance.key.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_stands_in_for_others_is_named_where_it_is_all_there_is() {
        let words = |buses: &[&str]| {
            let buses = buses.iter().map(|&bus| bus.into()).collect();
            let (section, name, schema) = (Section::Sensor, String::new(), serde_json::Value::Null);
            bus_words(&Kind { section, name, schema, addresses: Vec::new(), buses, outside: None })
        };
        assert_eq!(words(&["w1", "sim", "replay"]), "`w1`");
        assert_eq!(words(&["i2c", "tca9548a", "x", "sim"]), "`i2c`, `tca9548a` or `x`");
        assert_eq!(words(&["sim", "replay"]), "`sim` or `replay`");
    }
}
