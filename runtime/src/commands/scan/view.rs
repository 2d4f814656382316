//! How a bus looks to a person and to a program.

use std::fmt::Write;
use std::path::Path;

use sedge_hal::scan::{ADDRESSES, Found, Presence};
use sedge_plugin::SensorKind;
use serde_json::{Value as Json, json};

use super::{Expected, Look};
use crate::buses::device_named;
use crate::commands::hardware::{Hardware, kinds};

/// A map of the addresses, as `i2cdetect` draws it: `UU` is the kernel's, `--` nobody, `??` failed.
pub fn grid(look: &Look) -> String {
    let mut text = String::from("     0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f\n");
    for row in 0..8_u8 {
        let cells = (0..16_u8).map(|column| format!(" {}", cell(look, row << 4 | column)));
        let line = format!("{row}0:{}", cells.collect::<String>());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn cell(look: &Look, address: u8) -> String {
    if !ADDRESSES.contains(&address) {
        return "  ".into();
    }
    match at(look, address).map(|found| &found.presence) {
        Some(Presence::Answers) => format!("{address:02x}"),
        Some(Presence::Kernel) => "UU".into(),
        Some(Presence::Failed(_)) => "??".into(),
        None if look.expected.iter().any(|sensor| sensor.read && sensor.address == address) => {
            format!("{address:02x}")
        }
        None => "--".into(),
    }
}

fn at(look: &Look, address: u8) -> Option<&Found> {
    look.found.as_ref().ok()?.iter().find(|found| found.address == address)
}

/// A row for each address at which somebody is or should be: the address, whose it is, what is there.
pub fn rows(look: &Look) -> Vec<Vec<String>> {
    let found = look.found.iter().flatten();
    let silent = look.expected.iter().filter(|sensor| at(look, sensor.address).is_none());
    let mut rows: Vec<(u8, String, String)> =
        found.map(|found| (found.address, whose(look, found.address), what(look, found))).collect();
    rows.extend(silent.map(|sensor| {
        let what = match sensor.read {
            true => format!("{}, read by the node now", sensor.kind),
            false => format!(
                "nobody answers where a {} is expected; some chips do so only after a command: `sedge sensor read {}` tells",
                sensor.kind, sensor.id
            ),
        };
        (sensor.address, whose(look, sensor.address), what)
    }));
    let missing = look.multiplexers.iter().filter(|mux| at(look, mux.0).is_none());
    rows.extend(missing.map(|(address, _)| {
        (*address, whose(look, *address), "nobody answers where a multiplexer is expected".into())
    }));
    rows.sort();
    let row = |(address, whose, what)| vec![format!("  {address:#04x}"), whose, what];
    rows.into_iter().map(row).collect()
}

fn expected(look: &Look, address: u8) -> impl Iterator<Item = &Expected> {
    look.expected.iter().filter(move |sensor| sensor.address == address)
}

fn whose(look: &Look, address: u8) -> String {
    let sensors = expected(look, address).map(|sensor| format!("[sensor.{}]", sensor.id));
    let channels = look.multiplexers.iter().filter(|multiplexer| multiplexer.0 == address);
    let buses = channels.flat_map(|(_, buses)| buses).map(|bus| format!("[bus.{bus}]"));
    let all: Vec<String> = sensors.chain(buses).collect();
    match at(look, address).map(|found| &found.presence) {
        _ if !all.is_empty() => all.join(" "),
        Some(Presence::Kernel) => "kernel".into(),
        _ => "new".into(),
    }
}

fn names(kinds: &[&SensorKind]) -> String {
    kinds.iter().map(|kind| kind.kind).collect::<Vec<_>>().join(" or ")
}

fn what(look: &Look, found: &Found) -> String {
    let address = found.address;
    match &found.presence {
        Presence::Kernel => match look.kernel.get(&address) {
            Some(name) => format!("a driver of the kernel has it: {name}"),
            None => "a driver of the kernel has it".into(),
        },
        Presence::Failed(error) => error.to_string(),
        Presence::Answers => {
            if look.multiplexers.iter().any(|multiplexer| multiplexer.0 == address) {
                return "a multiplexer".into();
            }
            let kinds = &found.certain;
            let said = match (&kinds[..], &found.possible[..]) {
                _ if found.multiplexer => "tca9548a: a multiplexer".into(),
                ([kind], _) => format!("{}: {}", kind.kind, kind.title),
                ([], []) => unknown(address),
                ([], possible) => format!("{}, by the address alone", names(possible)),
                (several, _) => names(several),
            };
            let all: Vec<&SensorKind> = found.certain.iter().chain(&found.possible).copied().collect();
            let other =
                expected(look, address).find(|sensor| all.iter().all(|kind| kind.kind != sensor.kind));
            match other {
                Some(other) => format!("{said}; but the config says {}", other.kind),
                None => said,
            }
        }
    }
}

fn unknown(address: u8) -> String {
    let here: Vec<&SensorKind> =
        kinds().into_iter().filter(|kind| kind.addresses().contains(&address)).collect();
    match here.is_empty() {
        true => "unknown: no kind of sensor can have this address".into(),
        false => format!("unknown: it has not the id of {}", names(&here)),
    }
}

/// A row for a device node of SPI.
pub fn spi(node: &Path, hardware: &Hardware) -> Vec<String> {
    let path = node.display().to_string();
    let sensors = hardware.config.sensors.iter().filter(|sensor| {
        let section = sensor.bus.as_deref().and_then(|bus| hardware.section(bus));
        let device = section.filter(|section| section.kind == "spi").and_then(device_named);
        let select = sensor.address.as_ref().map_or("0x00".into(), ToString::to_string);
        let select = u8::from_str_radix(select.trim_start_matches("0x"), 16).unwrap_or_default();
        device.is_some_and(|device| path == format!("{}.{select}", device.display()))
    });
    let whose: Vec<String> = sensors.map(|sensor| format!("[sensor.{}]", sensor.id)).collect();
    vec![format!("  {path}"), whose.join(" ")]
}

/// A bus for a program.
pub fn json(look: &Look) -> Json {
    let found = look.found.iter().flatten().map(|found| {
        let (state, why) = match &found.presence {
            Presence::Answers => ("answers", None),
            Presence::Kernel => ("kernel", look.kernel.get(&found.address).cloned()),
            Presence::Failed(error) => ("failed", Some(error.to_string())),
        };
        let kind = |certain: bool| move |kind: &&SensorKind| json!({ "kind": kind.kind, "certain": certain });
        let kinds: Json =
            found.certain.iter().map(kind(true)).chain(found.possible.iter().map(kind(false))).collect();
        let sensors: Vec<&str> = expected(look, found.address).map(|sensor| sensor.id.as_str()).collect();
        let multiplexer =
            found.multiplexer || look.multiplexers.iter().any(|multiplexer| multiplexer.0 == found.address);
        json!({
            "address": found.address, "state": state, "why": why, "kinds": kinds, "sensors": sensors,
            "multiplexer": multiplexer,
        })
    });
    let expected = look.expected.iter().map(|sensor| {
        let answers = at(look, sensor.address).is_some();
        json!({ "id": sensor.id, "kind": sensor.kind, "address": sensor.address, "answers": answers, "read_by_node": sensor.read })
    });
    json!({
        "bus": look.bus, "place": look.place, "error": look.found.as_ref().err(),
        "found": found.collect::<Json>(), "sensors": expected.collect::<Json>(),
    })
}
