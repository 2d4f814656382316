//! Who answers where: no two enabled sensors at one place of a bus, nor before and behind a multiplexer.
//!
//! A channel of a multiplexer is joined to the bus that it is on, its trunk, so what is on the trunk hears what is meant
//! for a device behind it. Of two claims the second in the file is at fault. It must not change an instance.

use std::collections::BTreeMap;

use sedge_plugin::schema::child_pointer;

use crate::address::{Form, Written, hex, names};
use crate::bus::BusKeys;
use crate::catalogue::{Catalogue, Kind, Section};
use crate::conflicts::claimed_at;
use crate::instance::{Instance, Read};
use crate::mux;
use crate::report::Report;
use crate::sensor::SensorKeys;

/// Finds two enabled sensors at one place of one bus.
pub(crate) fn shared(report: &mut Report<'_>, catalogue: &Catalogue, sensors: &[Read<SensorKeys>]) {
    let mut owners: BTreeMap<(&str, Result<&Written, &str>), &Instance> = BTreeMap::new();
    for Read { instance, keys, .. } in sensors.iter().filter(|read| read.keys.enabled) {
        let Some(bus) = keys.bus.as_deref() else { continue };
        let kind = catalogue.find(Section::Sensor, &keys.kind);
        let form = kind.and_then(Form::of);
        // A mistyped address claims nothing, and is not the only one either.
        let is_only = matches!(form, Some(Form::Name))
            && !report.document.has(&child_pointer(&instance.pointer, "address"));
        let seat = match &keys.address {
            Some(address) => Ok(address),
            None if is_only => Err(keys.kind.as_str()),
            None => continue,
        };
        let Some(owner) = owners.get(&(bus, seat)) else {
            owners.insert((bus, seat), instance);
            continue;
        };
        let (here, there) = (claimed_at(report, instance, "address"), claimed_at(report, owner, "address"));
        match (seat, kind) {
            (Ok(address), _) => {
                let what = form.unwrap_or(Form::I2c(&[])).words(address);
                let message = format!("{what} of bus `{bus}` is taken by `{}`", owner.title());
                report.conflict(instance, here, &message, there, "it is taken");
            }
            (Err(only), kind) => {
                let message = format!(
                    "without an address this is the only `{only}` of bus `{bus}`, and so is `{}`",
                    owner.title()
                );
                let diagnostic = report.conflict(instance, here, &message, there, "the other one is");
                diagnostic.help(
                    kind.map_or_else(String::new, |kind: &Kind| {
                        format!("say which is which, {}", names(kind))
                    }),
                );
            }
        }
    }
}

/// Something that answers at an I2C address of a bus.
struct Claim<'a> {
    instance: &'a Instance,
    bus: &'a str,
    number: i64,
}

impl Claim<'_> {
    fn is_sensor(&self) -> bool {
        self.instance.section == Section::Sensor
    }
}

/// Finds what answers before a multiplexer at the address of something behind it, or of the multiplexer.
pub(crate) fn before_and_behind(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    buses: &[Read<BusKeys>],
    sensors: &[Read<SensorKeys>],
) {
    let chips = buses.iter().filter_map(|bus| {
        let number = mux::chip(report, catalogue, bus)?;
        Some(Claim { instance: &bus.instance, bus: bus.keys.parent.as_deref()?, number })
    });
    let sensors = sensors.iter().filter(|read| read.keys.enabled).filter_map(|read| {
        let kind = catalogue.find(Section::Sensor, &read.keys.kind)?;
        let (Form::I2c(_), Written::Number(number)) = (Form::of(kind)?, read.keys.address.as_ref()?) else {
            return None;
        };
        Some(Claim { instance: &read.instance, bus: read.keys.bus.as_deref()?, number: *number })
    });
    let mut claims: Vec<Claim<'_>> = chips.chain(sensors).collect();
    claims.sort_by_key(|claim| claim.instance.key.start);
    let mut first: BTreeMap<(&str, i64), &Claim<'_>> = BTreeMap::new();
    for claim in &claims {
        first.entry((claim.bus, claim.number)).or_insert(claim);
    }
    for claim in &claims {
        let chain = mux::chain(buses, claim.bus);
        // What is in a circle is on no trunk.
        let chain = if mux::is_circle(&chain) { Vec::new() } else { chain };
        for bus in chain {
            let name = bus.instance.name.as_str();
            let Some(other) = first.get(&(name, claim.number)) else { continue };
            // Two sensors side by side are told of elsewhere, and two channels side by side share their chip.
            if name != claim.bus || claim.is_sensor() != other.is_sensor() {
                clash(report, claim, other);
            }
        }
    }
}

fn clash(report: &mut Report<'_>, one: &Claim<'_>, other: &Claim<'_>) {
    let is_first = one.instance.key.start < other.instance.key.start;
    let (first, second) = if is_first { (one, other) } else { (other, one) };
    let says = |claim: &Claim<'_>| match claim.is_sensor() {
        true => format!("`{}` on `{}`", claim.instance.title(), claim.bus),
        false => format!("the multiplexer of `{}` on `{}`", claim.instance.title(), claim.bus),
    };
    let message = format!("{} and {} would both answer at {}", says(second), says(first), hex(second.number));
    let place = |claim: &Claim<'_>| claimed_at(report, claim.instance, "address");
    let (here, there) = (place(second), place(first));
    let diagnostic = report.conflict(second.instance, here, &message, there, "the other one is");
    diagnostic.help("what is on the trunk of a multiplexer hears all that is meant for its channels");
}
