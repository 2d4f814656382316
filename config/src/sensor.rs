//! `[sensor.ID]`: a device that is read at a cadence.

use std::time::Duration;

use schemars::JsonSchema;
use sedge_plugin::schema::child_pointer;
use sedge_plugin::{Every, Id};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::address::{Address, Form, Written};
use crate::catalogue::{Catalogue, Kind, Section};
use crate::fingerprint::{fingerprint, nanos};
use crate::instance::{CommonKeys, Read};
use crate::outside::Outside;
use crate::report::{Fault, Report, Scope};
use crate::secret::Settings;

/// The shortest cadence: below it a bus does nothing else.
const SHORTEST: Duration = Duration::from_millis(10);

/// A sensor. When it has a fault, what is wrong stands at its default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensor {
    /// Its id in topics.
    pub id: Id,
    /// Which driver.
    pub kind: String,
    /// The name of its bus; nothing for a kind that needs none.
    pub bus: Option<String>,
    /// Where it sits on its bus; nothing for a kind that takes no address, and for the only one of its kind among devices
    /// that the kernel drives.
    pub address: Option<Address>,
    /// What switches its supply, the id of a `[gpio.ID]` of kind `power`; it is switched off and on when nothing else
    /// brings the sensor back.
    pub power: Option<Id>,
    /// How often it is read.
    pub every: Every,
    /// Processors of its own, which its readings go through in this order before those that are for all sensors.
    pub process: Option<Vec<Id>>,
    /// Whether it runs.
    pub enabled: bool,
    /// What the kind defines.
    pub settings: Settings,
    /// Of a plugin from outside: how far it may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Sensor {
    pub(crate) fn new(fault: Fault, read: Read<SensorKeys>) -> Self {
        let Read { instance, keys, settings, outside } = read;
        let ids = |names: Vec<String>| names.iter().filter_map(|name| Id::new(name).ok()).collect();
        Self {
            id: instance.id,
            kind: keys.kind,
            bus: keys.bus,
            address: keys.address.and_then(Written::into_address),
            power: keys.power.and_then(|name| Id::new(&name).ok()),
            every: keys.every,
            process: keys.process.map(ids),
            enabled: keys.enabled,
            settings,
            outside,
            fault: fault.text,
            mark: fault.mark,
        }
    }

    /// A number that changes when anything here does, secrets included; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self {
            id,
            kind,
            bus,
            address,
            power,
            every,
            process,
            enabled,
            settings,
            outside,
            fault: _,
            mark,
        } = self;
        let every = nanos(*every);
        fingerprint(&json!([
            id, kind, bus, address, power, every, process, enabled, **settings, outside, mark
        ]))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["kind"]))]
pub(crate) struct SensorKeys {
    /// Which driver, such as "bme280".
    #[schemars(length(min = 1))]
    pub(crate) kind: String,
    /// The name of the bus that it is on.
    pub(crate) bus: Option<String>,
    /// Where it sits on its bus: a 7-bit I2C address such as 0x76, a chip select such as 0, or what the kernel calls it, such
    /// as "28-0316a2794cff".
    pub(crate) address: Option<Written>,
    /// What switches its supply, the id of a `[gpio.ID]` of kind `power`; it is switched off and on when nothing else
    /// brings the sensor back.
    pub(crate) power: Option<String>,
    /// How often it is read, such as "10s".
    pub(crate) every: Every,
    /// Processors of its own, which its readings go through in this order before those that are for all sensors.
    pub(crate) process: Option<Vec<String>>,
    /// Whether it runs.
    pub(crate) enabled: bool,
}

impl Default for SensorKeys {
    fn default() -> Self {
        Self {
            kind: String::new(),
            bus: None,
            address: None,
            power: None,
            every: Every::secs(10),
            process: None,
            enabled: true,
        }
    }
}

impl CommonKeys for SensorKeys {
    const SECTION: Section = Section::Sensor;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        Some(&self.kind)
    }
}

/// Checks what no schema can say: the cadence, the address against the kind, the bus where one is needed.
pub(crate) fn check(report: &mut Report<'_>, catalogue: &Catalogue, read: &mut Read<SensorKeys>) {
    let Read { instance, keys, .. } = read;
    let place =
        |report: &Report<'_>, key: &str| report.document.place(&child_pointer(&instance.pointer, key)).value;
    let scope = Scope::Instance(instance);
    if keys.every.0 < SHORTEST {
        let message = format!("every {} is too often", keys.every);
        let span = place(report, "every");
        report.error(scope, span, &message).help(format!("at most every {}", Every(SHORTEST)));
    }
    let Some(kind) = catalogue.find(Section::Sensor, &keys.kind) else {
        keys.address = keys.address.take().filter(Written::is_possible);
        return;
    };
    let is_written = |report: &Report<'_>, key| report.document.has(&child_pointer(&instance.pointer, key));
    if kind.needs_bus() && !is_written(report, "bus") {
        let header = report.document.place(&instance.pointer).value;
        let help = format!("the name of the bus that it is on, such as `bus = \"{}\"`", example(kind));
        report.error(scope, header, "missing key `bus`").help(help);
    }
    let span = place(report, "address");
    match (Form::of(kind), &keys.address) {
        (None, None) => {}
        (None, Some(_)) => {
            keys.address = None;
            report.error(scope, span, &format!("a `{}` takes no address", kind.name)).help("remove it");
        }
        (Some(form), Some(written)) => {
            if let Err(wrong) = form.check(kind, written) {
                keys.address = None;
                report.error(scope, span, &wrong.message).help(wrong.help);
            }
        }
        (Some(_), None) if is_written(report, "address") => {}
        (Some(form), None) => keys.address = form.implied(),
    }
}

/// What a bus that serves a kind is usually called.
fn example(kind: &Kind) -> &str {
    match kind.real_buses().next() {
        None | Some("i2c") => "i2c-1",
        Some("spi") => "spi0",
        Some(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<SensorKeys>();
    }
}
