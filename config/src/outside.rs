//! What only the section of a plugin from outside has: `grant`, `limits`, `sandbox`.
//!
//! A grant is checked against what the manifest asks for, since what was not asked for does nothing; and against what
//! is there: its bus, and who else claims the same device or line. Of two claims the second in the file is at fault.
//! It must not know how a plugin is run, nor widen a grant.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use sedge_plugin::grant::{Grants, Requests};
use sedge_plugin::schema::{child_pointer, nearest};
use sedge_plugin::{Every, Size};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::{Form, Written, hex};
use crate::bus::BusKeys;
use crate::catalogue::{Catalogue, Section};
use crate::conflicts::{claimed_at, find_bus};
use crate::gpio::GpioKeys;
use crate::instance::{Instance, Read};
use crate::report::{Report, Scope};
use crate::sensor::SensorKeys;

/// The least memory that anything runs in, and the most that a limit says.
const MEMORY: [Size; 2] = [Size(1 << 20), Size(16 << 30)];

/// The least that a welcome fits in, and the most that is ever buffered for one message.
const MESSAGE: [Size; 2] = [Size(16 << 10), Size(16 << 20)];

/// The shortest and the longest start.
const START: [Every; 2] = [Every::secs(1), Every::secs(600)];

/// The kinds of buses that have I2C devices, and those that have lines.
const I2C: &[&str] = &["i2c", "tca9548a", "sim", "replay"];
const GPIO: &[&str] = &["gpio", "sim"];

/// How far a plugin from outside may go.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Outside {
    /// What it is granted of what its manifest asks for, such as `{ hosts = ["api.example.org"] }`. Without it: nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub grant: Grants,
    /// What it must stay within.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// Where a WebAssembly component runs: without it in the node, with "process" in a process of its own.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "Sandbox")]
    pub sandbox: Option<Sandbox>,
}

/// What a plugin from outside must stay within. What is not said is for the node to choose.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory, such as "64MiB".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Size")]
    pub memory: Option<Size>,
    /// How much of one processor it may use, such as 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.01, max = 64))]
    pub cpu: Option<f64>,
    /// Until it must be ready, such as "10s".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Every")]
    pub start: Option<Every>,
    /// The largest message to and from it, such as "1MiB".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Size")]
    pub message: Option<Size>,
}

/// Where a WebAssembly component runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// In a process of its own, which the system limits too.
    Process,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The keys as a JSON Schema.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(Outside).to_value()
}

/// Adds the keys to those of a section.
pub(crate) fn join(section: &mut Value) {
    for part in ["properties", "$defs"] {
        let Value::Object(more) = schema()[part].take() else { continue };
        let Some(section) = section.as_object_mut() else { return };
        let here = section.entry(part).or_insert_with(|| Value::Object(Default::default()));
        here.as_object_mut().into_iter().for_each(|here| here.extend(more.clone()));
    }
}

/// Checks what no schema can say of one instance.
pub(crate) fn check<K>(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    buses: &[Read<BusKeys>],
    read: &Read<K>,
    kind: &str,
) {
    let Read { instance, outside: Some(outside), .. } = read else { return };
    let Some(traits) = catalogue.find(instance.section, kind).and_then(|kind| kind.outside.as_ref()) else {
        return;
    };
    let mut check = Check { report, instance };
    check.limits(&outside.limits);
    if outside.sandbox.is_some() && !traits.wasm {
        let span = check.place("sandbox");
        let scope = Scope::Instance(instance);
        let message = format!("`{kind}` is no WebAssembly component: it runs in a process of its own anyway");
        check.report.error(scope, span, &message).help("remove it");
    }
    check.devices(buses, &traits.requests, &outside.grant);
    check.lines(buses, &traits.requests, &outside.grant);
    check.rest(&traits.requests, &outside.grant);
}

struct Check<'r, 'a> {
    report: &'r mut Report<'a>,
    instance: &'r Instance,
}

impl Check<'_, '_> {
    fn pointer(&self, path: &str) -> String {
        path.split('/').fold(self.instance.pointer.clone(), |at, key| child_pointer(&at, key))
    }

    fn place(&self, path: &str) -> Range<usize> {
        self.report.document.place(&self.pointer(path)).value
    }

    fn error(&mut self, path: &str, message: &str, help: &str) {
        let span = self.place(path);
        self.report.error(Scope::Instance(self.instance), span, message).help(help);
    }

    fn limits(&mut self, limits: &Limits) {
        let sizes = [("memory", limits.memory, MEMORY), ("message", limits.message, MESSAGE)];
        for (key, size, [least, most]) in sizes {
            if let Some(size) = size.filter(|size| *size < least || *size > most) {
                let what = if size < least { "little" } else { "much" };
                let path = format!("limits/{key}");
                self.error(&path, &format!("{size} is too {what}"), &format!("{least} to {most}"));
            }
        }
        let [least, most] = START;
        if let Some(start) = limits.start.filter(|start| start.0 < least.0 || start.0 > most.0) {
            let what = if start.0 < least.0 { "short" } else { "long" };
            self.error("limits/start", &format!("{start} is too {what}"), &format!("{least} to {most}"));
        }
    }

    fn devices(&mut self, buses: &[Read<BusKeys>], requests: &Requests, grants: &Grants) {
        for (label, grant) in &grants.i2c {
            let path = format!("grant/i2c/{label}");
            let Some(addresses) = requests.i2c.get(label) else {
                self.unasked(&path, "I2C device", label, requests.i2c.keys());
                continue;
            };
            if !addresses.contains(&grant.address) {
                let all: Vec<String> = addresses.iter().map(|&address| hex(address.into())).collect();
                let message = format!("`{label}` cannot be at {}", hex(grant.address.into()));
                let help = format!("its manifest asks for {}", all.join(", "));
                self.error(&format!("{path}/address"), &message, &help);
            }
            self.bus(buses, &path, &grant.bus, I2C, "I2C devices");
        }
    }

    fn lines(&mut self, buses: &[Read<BusKeys>], requests: &Requests, grants: &Grants) {
        for (label, grant) in &grants.gpio {
            let path = format!("grant/gpio/{label}");
            if requests.gpio.contains_key(label) {
                self.bus(buses, &path, &grant.bus, GPIO, "GPIO lines");
            } else {
                self.unasked(&path, "GPIO line", label, requests.gpio.keys());
            }
        }
    }

    fn bus(&mut self, buses: &[Read<BusKeys>], path: &str, name: &str, kinds: &[&str], what: &str) {
        let path = format!("{path}/bus");
        let fits = |bus: &&Read<BusKeys>| kinds.contains(&bus.keys.kind.as_str());
        let span = self.place(&path);
        match find_bus(buses, name) {
            Some(bus) if fits(&bus) => {}
            Some(bus) => {
                let message = format!("`{name}` is of kind `{}`, which has no {what}", bus.keys.kind);
                let there = bus.instance.key.clone();
                self.report.conflict(self.instance, span, &message, there, "the bus is");
            }
            None => {
                let all = buses.iter().filter(fits).map(|bus| bus.instance.id.as_str());
                let help = match nearest(name, all) {
                    Some(word) => format!("did you mean `{word}`?"),
                    None => format!("add a section `[bus.{name}]`"),
                };
                self.error(&path, &format!("there is no bus `{name}`"), &help);
            }
        }
    }

    /// Tools, topics, hosts, and what is granted by a flag.
    fn rest(&mut self, requests: &Requests, grants: &Grants) {
        let sets = [
            ("tools", "tool", &grants.tools, &requests.tools),
            ("topics", "topic", &grants.topics, &requests.topics),
            ("hosts", "host", &grants.hosts, &requests.hosts),
        ];
        for (key, what, granted, asked) in sets {
            for one in granted {
                // Either may be a pattern; what is held is the narrower one.
                let serves = |asked: &String| {
                    asked == one || sedge_plugin::glob(one, asked) || sedge_plugin::glob(asked, one)
                };
                if !asked.iter().any(serves) {
                    let path = format!("grant/{key}/{}", self.position(key, one));
                    self.unasked(&path, what, one, asked.iter());
                }
            }
        }
        let flags = [("data", grants.data, requests.data), ("config", grants.config, requests.config)];
        for (key, granted, asked) in flags {
            if granted && !asked {
                let span = self.place(&format!("grant/{key}"));
                let message = format!("the plugin does not ask for `{key}`: it does not get it");
                self.report.warning(span, &message).help("remove it");
            }
        }
    }

    /// At which place of its array a text stands.
    fn position(&self, key: &str, text: &str) -> usize {
        let array = self.report.document.value.pointer(&self.pointer(&format!("grant/{key}")));
        let array = array.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        array.iter().position(|value| value == text).unwrap_or_default()
    }

    /// What was not asked for does nothing: it may be a misspelt word, or left from an older version.
    fn unasked<'n>(&mut self, path: &str, what: &str, name: &str, asked: impl Iterator<Item = &'n String>) {
        let asked: Vec<&str> = asked.map(String::as_str).collect();
        let place = self.report.document.place(&self.pointer(path));
        // A label is wrong as a word, a text in a list as a value.
        let is_label = path.starts_with("grant/i2c/") || path.starts_with("grant/gpio/");
        let span = if is_label { place.key } else { place.value };
        let message = format!("the plugin does not ask for the {what} `{name}`: it does not get it");
        let help = match (nearest(name, asked.iter().copied()), asked.is_empty()) {
            (_, true) => format!("it asks for no {what}"),
            (Some(word), _) => format!("did you mean `{word}`? it asks for {}", asked.join(", ")),
            (None, _) => format!("it asks for {}", asked.join(", ")),
        };
        self.report.warning(span, &message).help(help);
    }
}

/// What an instance has: a device, a line. Where it says so is what a message shows.
struct Claim<'i> {
    instance: &'i Instance,
    bus: &'i str,
    number: i64,
    /// As people call it: `address 0x76`, `line 17`.
    what: String,
    place: Range<usize>,
    granted: bool,
}

/// Instances of plugins from outside that are switched on.
pub(crate) type Granted<'i> = Vec<(&'i Instance, &'i Outside)>;

/// Finds devices and lines that are granted and that somebody else has too.
pub(crate) fn shared(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    sensors: &[Read<SensorKeys>],
    gpios: &[Read<GpioKeys>],
    granted: &Granted<'_>,
) {
    let sensors = sensors.iter().filter(|read| read.keys.enabled).filter_map(|read| {
        let kind = catalogue.find(Section::Sensor, &read.keys.kind)?;
        let (Form::I2c(_), Written::Number(number)) = (Form::of(kind)?, read.keys.address.as_ref()?) else {
            return None;
        };
        let place = claimed_at(report, &read.instance, "address");
        let (bus, what) = (read.keys.bus.as_deref()?, format!("address {}", hex(*number)));
        Some(Claim { instance: &read.instance, bus, number: *number, what, place, granted: false })
    });
    let devices = granted.iter().flat_map(|(instance, outside)| {
        outside.grant.i2c.iter().map(|(label, grant)| {
            let (number, bus) = (i64::from(grant.address), grant.bus.as_str());
            let place = granted_at(report, instance, "i2c", label);
            Claim { instance, bus, number, what: format!("address {}", hex(number)), place, granted: true }
        })
    });
    let devices: Vec<Claim<'_>> = sensors.chain(devices).collect();
    let gpios = gpios.iter().filter(|read| read.keys.enabled).filter_map(|read| {
        let (bus, line) = (read.keys.bus.as_deref()?, read.keys.line?);
        let place = claimed_at(report, &read.instance, "line");
        let (number, what) = (i64::from(line), format!("line {line}"));
        Some(Claim { instance: &read.instance, bus, number, what, place, granted: false })
    });
    let lines = granted.iter().flat_map(|(instance, outside)| {
        outside.grant.gpio.iter().map(|(label, grant)| {
            let (number, bus) = (i64::from(grant.line), grant.bus.as_str());
            let place = granted_at(report, instance, "gpio", label);
            Claim { instance, bus, number, what: format!("line {number}"), place, granted: true }
        })
    });
    let lines: Vec<Claim<'_>> = gpios.chain(lines).collect();
    for claims in [devices, lines] {
        tell(report, claims);
    }
}

fn granted_at(report: &Report<'_>, instance: &Instance, what: &str, label: &str) -> Range<usize> {
    let path = [what, label]
        .into_iter()
        .fold(child_pointer(&instance.pointer, "grant"), |at, key| child_pointer(&at, key));
    report.document.place(&path).key
}

fn tell(report: &mut Report<'_>, mut claims: Vec<Claim<'_>>) {
    claims.sort_by_key(|claim| (claim.instance.key.start, claim.place.start));
    let mut owners: BTreeMap<(&str, i64), &Claim<'_>> = BTreeMap::new();
    for claim in &claims {
        let Some(owner) = owners.get(&(claim.bus, claim.number)) else {
            owners.insert((claim.bus, claim.number), claim);
            continue;
        };
        // Two that are granted nothing are told of elsewhere; one's own device may have two names.
        if (claim.granted || owner.granted) && owner.instance.pointer != claim.instance.pointer {
            let (what, bus) = (&claim.what, claim.bus);
            let message = format!("{what} of bus `{bus}` is taken by `{}`", owner.instance.title());
            let there = owner.place.clone();
            report.conflict(claim.instance, claim.place.clone(), &message, there, "it is taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_checked_and_described() {
        let schema = schema();
        sedge_plugin::schema::Schema::compile(&schema).expect("the schema is within the subset");
        for (key, property) in schema["properties"].as_object().expect("properties") {
            assert!(property["description"].is_string(), "`{key}` says what it is for");
            assert!(property.get("default").is_none(), "`{key}` is nowhere where it is not written");
        }
    }
}
