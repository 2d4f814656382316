//! `[sensor.ID]`: a device that is read at a cadence.

use std::time::Duration;

use schemars::JsonSchema;
use sedge_plugin::schema::child_pointer;
use sedge_plugin::{Every, Id};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalogue::{Catalogue, Section};
use crate::fingerprint::{fingerprint, nanos};
use crate::instance::{CommonKeys, Read};
use crate::report::{Fault, Report, Scope};
use crate::secret::Settings;

/// The shortest cadence: below it a slow bus does nothing else.
const SHORTEST: Duration = Duration::from_millis(100);

/// The 7-bit addresses that I2C does not reserve.
const ADDRESSES: std::ops::RangeInclusive<i64> = 0x08..=0x77;

/// A sensor. When it has a fault, what is wrong stands at its default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensor {
    /// Its id in topics.
    pub id: Id,
    /// Which driver.
    pub kind: String,
    /// The name of its bus. A kind without I2C addresses may do without one.
    pub bus: Option<String>,
    /// Its I2C address; nothing for a kind that takes none.
    pub address: Option<u8>,
    /// How often it is read.
    pub every: Every,
    /// Processors of its own, which its readings go through in this order before those that are for all sensors.
    pub process: Option<Vec<Id>>,
    /// Whether it runs.
    pub enabled: bool,
    /// What the kind defines.
    pub settings: Settings,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Sensor {
    pub(crate) fn new(fault: Fault, read: Read<SensorKeys>) -> Self {
        let Read { instance, keys, settings } = read;
        let ids = |names: Vec<String>| names.iter().filter_map(|name| Id::new(name).ok()).collect();
        Self {
            id: instance.id,
            kind: keys.kind,
            bus: keys.bus,
            address: keys.address.and_then(|address| u8::try_from(address).ok()),
            every: keys.every,
            process: keys.process.map(ids),
            enabled: keys.enabled,
            settings,
            fault: fault.text,
            mark: fault.mark,
        }
    }

    /// A number that changes when anything here does, secrets included; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, kind, bus, address, every, process, enabled, settings, fault: _, mark } = self;
        fingerprint(&json!([id, kind, bus, address, nanos(*every), process, enabled, **settings, mark]))
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
    /// 7-bit I2C address, such as 0x76.
    pub(crate) address: Option<i64>,
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
    let span = place(report, "address");
    let Some(kind) = catalogue.find(Section::Sensor, &keys.kind) else {
        keys.address = keys.address.filter(|address| ADDRESSES.contains(address));
        return;
    };
    if kind.addresses.is_empty() {
        if keys.address.take().is_some() {
            report.error(scope, span, &format!("a `{}` takes no address", kind.name)).help("remove it");
        }
        return;
    }
    if keys.bus.is_none() && !report.document.has(&child_pointer(&instance.pointer, "bus")) {
        let header = report.document.place(&instance.pointer).value;
        let help = "the name of the bus that it is on, such as `bus = \"i2c-1\"`";
        report.error(scope, header, "missing key `bus`").help(help);
    }
    let wrong = match keys.address {
        None => None,
        Some(address) if !ADDRESSES.contains(&address) => Some("is not a 7-bit I2C address".to_owned()),
        Some(address) if kind.addresses.iter().any(|&a| i64::from(a) == address) => None,
        Some(_) => Some(format!("is no address of a `{}`", kind.name)),
    };
    match wrong {
        Some(wrong) => {
            let address = hex(keys.address.take().unwrap_or_default());
            let possible: Vec<String> = kind.addresses.iter().map(|&a| hex(a.into())).collect();
            let help = format!("a `{}` can have {}", kind.name, possible.join(", "));
            report.error(scope, span, &format!("{address} {wrong}")).help(help);
        }
        None if report.document.has(&child_pointer(&instance.pointer, "address")) => {}
        None => keys.address = kind.addresses.first().map(|&address| address.into()),
    }
}

pub(crate) fn hex(address: i64) -> String {
    if address < 0 { address.to_string() } else { format!("0x{address:02x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<SensorKeys>();
    }

    #[test]
    fn an_address_is_written_as_in_a_datasheet() {
        assert_eq!([hex(0x76), hex(8), hex(-1), hex(300)], ["0x76", "0x08", "-1", "0x12c"]);
    }
}
