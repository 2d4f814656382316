//! `sedge sensor kinds [NAME]`: what a config may name.

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::schema::nearest;
use sedge_plugin::{Attachment, Field, Operation, SensorKind};
use serde_json::{Map, Value as Json, json};

use super::example;
use super::hardware::kinds as all;
use crate::cli::Global;
use crate::exit::Failure;
use crate::show::{say, table};

/// Lists the kinds of sensors, or describes one.
pub fn kinds(global: &Global, name: Option<&str>) -> Result<(), Failure> {
    let kinds = match name {
        None => all(),
        Some(name) => vec![named(name)?],
    };
    if global.json {
        return say(kinds.into_iter().map(to_json).collect::<Json>());
    }
    if let (Some(_), [kind]) = (name, &kinds[..]) {
        return describe(kind);
    }
    let mut rows = vec![["KIND", "BUS", "ADDRESSES", "WHAT IT IS", "FIELDS"].map(str::to_owned).to_vec()];
    rows.extend(kinds.iter().map(|kind| {
        vec![kind.kind.into(), kind.bus().into(), addresses(kind), kind.title.into(), fields(kind)]
    }));
    table(&rows)
}

fn named(name: &str) -> Result<&'static SensorKind, Failure> {
    let kinds = all();
    kinds.iter().copied().find(|kind| kind.kind == name).ok_or_else(|| {
        let near = nearest(name, kinds.iter().map(|kind| kind.kind));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`sedge sensor kinds` lists them".into(),
        };
        Failure::Failed(format!("there is no kind of sensor `{name}`; {hint}"))
    })
}

/// `0x76 0x77`; `chip select 0`; what the kernel calls it.
pub fn addresses(kind: &SensorKind) -> String {
    match kind.attachment {
        Attachment::I2c { addresses, .. } => ranges(addresses),
        Attachment::Spi { .. } => "chip select".into(),
        Attachment::Files { place, .. } if place.names.is_empty() => "by name".into(),
        Attachment::Files { place, .. } if place.bus == "w1" => format!("{}-…", place.names.join("-…, ")),
        Attachment::Files { place, .. } => place.names.join(", "),
    }
}

/// `0x76 0x77`; more than four in a row as `0x48…0x4f`.
fn ranges(addresses: &[u8]) -> String {
    let runs = addresses.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let run = |run: &[u8]| match run {
        [first, .., last] if run.len() > 4 => format!("{first:#04x}…{last:#04x}"),
        few => few.iter().map(|address| format!("{address:#04x}")).collect::<Vec<_>>().join(" "),
    };
    runs.map(run).collect::<Vec<_>>().join(" ")
}

/// `temperature (°C), humidity (%)`.
pub fn fields(kind: &SensorKind) -> String {
    let field = |field: &Field| match field.unit.symbol() {
        "" => field.name.to_owned(),
        unit => format!("{} ({unit})", field.name),
    };
    kind.fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn describe(kind: &SensorKind) -> Result<(), Failure> {
    say(format_args!("{}: {}", kind.kind, kind.title))?;
    say(format_args!("\non a bus of kind {}, at {}", kind.bus(), addresses(kind)))?;
    if let Some(identity) = identity(kind) {
        say(format_args!("known by {identity}"))?;
    }
    say("\nfields")?;
    let range = |field: &Field| match field.range {
        Some((min, max)) => format!("{min} to {max}"),
        None => String::new(),
    };
    let row = |field: &Field| vec![format!("  {}", field.name), field.unit.symbol().into(), range(field)];
    table(&kind.fields.iter().map(row).collect::<Vec<_>>())?;
    let settings = settings(&(kind.schema)());
    say(if settings.is_empty() { "\nno settings of its own" } else { "\nsettings" })?;
    table(&settings)?;
    if !kind.operations.is_empty() {
        say("\ntools")?;
        let row =
            |operation: &Operation| vec![format!("  ID_{}", operation.name), operation.description.into()];
        table(&kind.operations.iter().map(row).collect::<Vec<_>>())?;
    }
    say(format_args!("\nexample\n\n{}", example::of(kind).trim_end()))
}

/// `register 0xd0, which reads 0x58`.
fn identity(kind: &SensorKind) -> Option<String> {
    let Attachment::I2c { identity: Some(identity), .. } = kind.attachment else { return None };
    let register: String = identity.register.iter().map(|byte| format!("{byte:02x}")).collect();
    let width = usize::from(identity.bytes) * 2 + 2;
    let all = u32::MAX >> (32 - u32::from(identity.bytes.clamp(1, 4)) * 8);
    let mask = match identity.mask & all == all {
        true => String::new(),
        false => format!(" in the bits {:#0width$x}", identity.mask & all),
    };
    Some(format!("0x{register}, which reads {:#0width$x}{mask}", identity.value))
}

/// Name, default and description of each setting.
fn settings(schema: &Json) -> Vec<Vec<String>> {
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|n| n == name));
    let row = |(name, schema): (&String, &Json)| {
        let default = match &schema["default"] {
            _ if required(name) => "required".into(),
            Json::Null => "-".into(),
            default => example::toml(default),
        };
        let said = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        vec![format!("  {name}"), default, said]
    };
    schema["properties"].as_object().map(|all| all.iter().map(row).collect()).unwrap_or_default()
}

fn to_json(kind: &SensorKind) -> Json {
    let fields: Map<String, Json> =
        kind.fields.iter().map(|field| (field.name.into(), json!(FieldDescriptor::from(field)))).collect();
    let identity = match kind.attachment {
        Attachment::I2c { identity: Some(id), .. } => {
            json!({ "register": id.register, "bytes": id.bytes, "mask": id.mask, "value": id.value })
        }
        _ => Json::Null,
    };
    let names = match kind.attachment {
        Attachment::Files { place, .. } => json!(place.names),
        _ => Json::Null,
    };
    let operation = |operation: &Operation| {
        json!({
            "name": operation.name, "title": operation.title, "description": operation.description,
            "input": (operation.input)(),
        })
    };
    json!({
        "kind": kind.kind,
        "title": kind.title,
        "bus": kind.bus(),
        "addresses": kind.addresses(),
        "names": names,
        "identity": identity,
        "fields": fields,
        "settings": (kind.schema)(),
        "operations": kind.operations.iter().map(operation).collect::<Json>(),
        "example": example::of(kind),
    })
}
