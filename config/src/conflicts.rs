//! What instances claim twice, and what they refer to that is not there.
//!
//! Of two claims the second in the file is at fault, so that adding a section never breaks one that worked. It must not
//! change an instance.

use std::collections::BTreeMap;
use std::ops::Range;

use sedge_plugin::schema::{child_pointer, nearest};

use crate::bus::{BusKeys, Need};
use crate::catalogue::{Catalogue, Section};
use crate::gpio::GpioKeys;
use crate::instance::{Instance, Read};
use crate::report::{Report, Scope};
use crate::sensor::{SensorKeys, hex};

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
        let plugin = catalogue.find(Section::Plugin, id).filter(|_| instance.section != Section::Plugin);
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

/// Checks that the bus of a component is there and can serve it.
pub(crate) fn check_bus(
    report: &mut Report<'_>,
    buses: &[Read<BusKeys>],
    instance: &Instance,
    name: &str,
    need: Option<Need>,
) {
    let span = bus_place(report, instance);
    let scope = Scope::Instance(instance);
    let fits = |bus: &&Read<BusKeys>| need.is_none_or(|need| need.is_met_by(&bus.keys.kind));
    let Some(bus) = find_bus(buses, name) else {
        let names = buses.iter().filter(fits).map(|bus| bus.instance.id.as_str());
        let help = match nearest(name, names) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("add a section `[bus.{name}]`"),
        };
        report.error(scope, span, &format!("there is no bus `{name}`")).help(help);
        return;
    };
    if let Some(need) = need.filter(|need| !need.is_met_by(&bus.keys.kind)) {
        let (needed, found) = (need.word(), bus.keys.kind.as_str());
        let message = format!("this needs a bus of kind `{needed}`, but `{name}` is of kind `{found}`");
        let candidates: Vec<&str> = buses.iter().filter(fits).map(|bus| bus.instance.id.as_str()).collect();
        let diagnostic = report.conflict(instance, span, &message, bus.instance.key.clone(), "the bus is");
        if !candidates.is_empty() {
            diagnostic.help(format!("buses that serve it: {}", candidates.join(", ")));
        }
    }
}

/// The bus that is called `name`, even if the name is illegal: then it is at fault, and not who refers to it.
pub(crate) fn find_bus<'a>(buses: &'a [Read<BusKeys>], name: &str) -> Option<&'a Read<BusKeys>> {
    buses.iter().find(|bus| bus.instance.name == name)
}

pub(crate) fn bus_place(report: &Report<'_>, instance: &Instance) -> Range<usize> {
    report.document.place(&child_pointer(&instance.pointer, "bus")).value
}

/// Finds two enabled sensors at one address of one bus.
pub(crate) fn shared_addresses(report: &mut Report<'_>, sensors: &[Read<SensorKeys>]) {
    let claims = sensors.iter().filter(|read| read.keys.enabled).filter_map(|read| {
        let (bus, address) = (read.keys.bus.as_deref()?, read.keys.address?);
        Some((&read.instance, bus, format!("address {}", hex(address))))
    });
    shared(report, claims, "address");
}

/// Finds two enabled components on one line of one bus.
pub(crate) fn shared_lines(report: &mut Report<'_>, gpios: &[Read<GpioKeys>]) {
    let claims = gpios.iter().filter(|read| read.keys.enabled).filter_map(|read| {
        let (bus, line) = (read.keys.bus.as_deref()?, read.keys.line?);
        Some((&read.instance, bus, format!("line {line}")))
    });
    shared(report, claims, "line");
}

fn shared<'a>(
    report: &mut Report<'_>,
    claims: impl Iterator<Item = (&'a Instance, &'a str, String)>,
    key: &str,
) {
    let mut owners: BTreeMap<(&str, String), &Instance> = BTreeMap::new();
    for (instance, bus, what) in claims {
        // An address that the kind implies has no place of its own: the instance's name stands for it.
        let place = |report: &Report<'_>, instance: &Instance| {
            let pointer = child_pointer(&instance.pointer, key);
            let written = report.document.has(&pointer);
            if written { report.document.place(&pointer).value } else { instance.key.clone() }
        };
        match owners.get(&(bus, what.clone())) {
            Some(owner) => {
                let message = format!("{what} of bus `{bus}` is taken by `{}`", owner.title());
                let (here, there) = (place(report, instance), place(report, owner));
                report.conflict(instance, here, &message, there, "it is taken");
            }
            None => {
                owners.insert((bus, what), instance);
            }
        }
    }
}
