//! Buses that are on another bus: the channels of a multiplexer.
//!
//! Where a channel is on is a setting of its kind, `bus`; which kinds of buses it can be on the catalogue says. Buses
//! that are on each other in a circle are on nothing. It must not look at sensors.

use sedge_plugin::schema::child_pointer;
use serde_json::Value;

use crate::address::hex;
use crate::bus::BusKeys;
use crate::catalogue::{Catalogue, Section};
use crate::conflicts::{bus_place, check_bus, find_bus, shared};
use crate::expected::Expected;
use crate::instance::Read;
use crate::report::{Report, Scope};

/// The name of the bus that a bus is on.
pub(crate) fn parent(catalogue: &Catalogue, bus: &Read<BusKeys>) -> Option<String> {
    catalogue.find(Section::Bus, &bus.keys.kind).filter(|kind| !kind.buses.is_empty())?;
    bus.settings.get("bus")?.as_str().map(str::to_owned)
}

/// The bus that is called `name`, the one that it is on, and so on; each once.
pub(crate) fn chain<'b>(buses: &'b [Read<BusKeys>], name: &str) -> Vec<&'b Read<BusKeys>> {
    let mut chain: Vec<&Read<BusKeys>> = Vec::new();
    let mut next = find_bus(buses, name);
    while let Some(bus) = next.filter(|bus| chain.iter().all(|&other| !std::ptr::eq(other, *bus))) {
        chain.push(bus);
        next = bus.keys.parent.as_deref().and_then(|parent| find_bus(buses, parent));
    }
    chain
}

/// Whether a chain has no end.
pub(crate) fn is_circle(chain: &[&Read<BusKeys>]) -> bool {
    let parent = chain.last().and_then(|last| last.keys.parent.as_ref());
    parent.is_some_and(|parent| chain.iter().any(|bus| bus.instance.name == *parent))
}

/// Checks what buses are on, and that no two are the same channel.
pub(crate) fn check(report: &mut Report<'_>, catalogue: &Catalogue, buses: &[Read<BusKeys>]) {
    for bus in buses {
        let Some(parent) = bus.keys.parent.as_deref() else { continue };
        if parent == bus.instance.name {
            let message = format!("the bus `{parent}` cannot be on itself");
            let help = "the name of the bus that the multiplexer is on";
            report
                .error(Scope::Instance(&bus.instance), bus_place(report, &bus.instance), &message)
                .help(help);
            continue;
        }
        let kind = catalogue.find(Section::Bus, &bus.keys.kind);
        check_bus(report, catalogue, buses, &bus.instance, parent, kind);
        check_circle(report, buses, bus);
    }
    let claims = buses.iter().filter_map(|bus| {
        let parent = bus.keys.parent.as_deref()?;
        let channel = setting(report, catalogue, bus, "channel")?;
        let channel = format!("channel {channel}");
        let what = match chip(report, catalogue, bus) {
            Some(chip) => format!("{channel} of the multiplexer at {}", hex(chip)),
            None => channel,
        };
        Some((&bus.instance, parent, what))
    });
    let claims: Vec<_> = claims.collect();
    shared(report, claims.into_iter(), "channel");
}

/// A circle is told of once, where its first bus stands.
fn check_circle(report: &mut Report<'_>, buses: &[Read<BusKeys>], bus: &Read<BusKeys>) {
    let circle = chain(buses, &bus.instance.name);
    let is_closed = circle.last().is_some_and(|last| last.keys.parent.as_ref() == Some(&bus.instance.name));
    if !is_closed || circle.iter().any(|other| other.instance.key.start < bus.instance.key.start) {
        return;
    }
    let names = circle.iter().chain([&bus]).map(|bus| format!("`{}`", bus.instance.name));
    let path = names.collect::<Vec<_>>().join(" → ");
    let message = format!("these buses are on each other in a circle: {path}");
    let place = bus_place(report, &bus.instance);
    report
        .error(Scope::Instance(&bus.instance), place, &message)
        .help("put one of them on a bus that is no multiplexer");
}

/// The I2C address of the multiplexer that a bus is a channel of.
pub(crate) fn chip(report: &Report<'_>, catalogue: &Catalogue, bus: &Read<BusKeys>) -> Option<i64> {
    bus.keys.parent.as_ref()?;
    setting(report, catalogue, bus, "address")?.as_i64()
}

/// A setting of a bus, or its default. Nothing where it is wrong.
fn setting(report: &Report<'_>, catalogue: &Catalogue, bus: &Read<BusKeys>, key: &str) -> Option<Value> {
    if report.document.has(&child_pointer(&bus.instance.pointer, key)) {
        return bus.settings.get(key).cloned();
    }
    let path = [Section::Bus.word(), &bus.instance.name, key];
    Expected::at(catalogue, &report.document.value, &path).default_value().cloned()
}
