//! `sedge sensor kinds [NAME]`: what a config may name.

use sedge_config::Section;
use sedge_host::Declaration;
use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::schema::nearest;
use sedge_plugin::{Attachment, Field, Operation, SensorKind};
use serde_json::{Map, Value as Json, json};

use super::example;
use super::hardware::kinds as all;
use crate::cli::Global;
use crate::exit::Failure;
use crate::shelf::{Shelf, section_of, usable};
use crate::show::{say, table};

/// Lists the kinds of sensors, or describes one.
pub fn kinds(global: &Global, name: Option<&str>) -> Result<(), Failure> {
    let shelf = super::config::shelf(global);
    let outside = |name: &str| shelf.kind(Section::Sensor, name).map(|(_, declaration)| declaration);
    let built_in = |kind: &&'static SensorKind| shelf.named(kind.kind).is_none();
    if let Some(name) = name {
        return match outside(name) {
            Some(declaration) if global.json => say(json!([outside_json(declaration)])),
            Some(declaration) => outside_described(declaration),
            None => {
                let kind = named(name, &shelf)?;
                if global.json { say(json!([to_json(kind)])) } else { describe(kind) }
            }
        };
    }
    let kinds: Vec<_> = all().into_iter().filter(built_in).collect();
    let on_disk = shelf.usable().map(|(_, declaration)| declaration);
    let on_disk: Vec<_> = on_disk.filter(|it| section_of(it) == Section::Sensor).collect();
    if global.json {
        let on_disk = on_disk.into_iter().map(outside_json);
        return say(kinds.into_iter().map(to_json).chain(on_disk).collect::<Json>());
    }
    let mut rows = vec![["KIND", "BUS", "ADDRESSES", "WHAT IT IS", "FIELDS"].map(str::to_owned).to_vec()];
    rows.extend(kinds.iter().map(|kind| {
        vec![kind.kind.into(), kind.bus().into(), addresses(kind), kind.title.into(), fields(kind)]
    }));
    rows.extend(on_disk.into_iter().map(outside_row));
    table(&rows)
}

fn named(name: &str, shelf: &Shelf) -> Result<&'static SensorKind, Failure> {
    let kinds = all();
    if let Some(Err(why)) = shelf.named(name).map(usable) {
        return Err(Failure::Failed(format!("the plugin `{name}` cannot be used: {why}")));
    }
    kinds.iter().copied().find(|kind| kind.kind == name).ok_or_else(|| {
        let on_disk = shelf.usable().map(|(_, declaration)| declaration.info.name.as_str());
        let near = nearest(name, kinds.iter().map(|kind| kind.kind).chain(on_disk));
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

/// The bus and the addresses of a kind on disk.
fn outside_seat(declaration: &Declaration) -> (&str, String) {
    let sensor = declaration.sensor.as_ref();
    let bus = sensor.and_then(|sensor| sensor.bus.as_deref()).unwrap_or("-");
    (bus, sensor.map(|sensor| ranges(&sensor.addresses)).unwrap_or_default())
}

fn outside_row(declaration: &Declaration) -> Vec<String> {
    let (bus, addresses) = outside_seat(declaration);
    let fields = declaration.sensor.iter().flat_map(|sensor| &sensor.fields);
    let fields: Vec<String> = fields
        .map(|(name, field)| match field.unit.symbol() {
            "" => name.to_string(),
            unit => format!("{name} ({unit})"),
        })
        .collect();
    let info = &declaration.info;
    vec![info.name.clone(), bus.into(), addresses, info.description.clone(), fields.join(", ")]
}

fn outside_described(declaration: &Declaration) -> Result<(), Failure> {
    let info = &declaration.info;
    say(format_args!("{} {}: {}", info.name, info.version, info.description))?;
    match outside_seat(declaration) {
        ("-", _) => say("\na plugin on disk, on no bus")?,
        (bus, addresses) => say(format_args!("\na plugin on disk, on a bus of kind {bus}, at {addresses}"))?,
    }
    say("\nfields")?;
    let row = |(name, field): (&sedge_plugin::Name, &sedge_host::DeclaredField)| {
        let range = match (field.min, field.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            _ => String::new(),
        };
        vec![format!("  {name}"), field.unit.symbol().to_owned(), range]
    };
    let fields = declaration.sensor.iter().flat_map(|sensor| &sensor.fields);
    table(&fields.map(row).collect::<Vec<_>>())?;
    let settings = settings(&declaration.settings.as_ref().map(|schema| schema.value()).unwrap_or_default());
    say(if settings.is_empty() { "\nno settings of its own" } else { "\nsettings" })?;
    table(&settings)?;
    say(format_args!("\nexample\n\n{}", outside_example(declaration).trim_end()))
}

fn outside_example(declaration: &Declaration) -> String {
    let name = &declaration.info.name;
    match outside_seat(declaration) {
        ("-", _) => format!("[sensor.my-{name}]\nkind = \"{name}\"\n"),
        (bus, _) => {
            let id = if bus == "i2c" { "i2c-1" } else { bus };
            let section = example::bus_section(id, bus);
            format!("{section}\n[sensor.my-{name}]\nkind = \"{name}\"\nbus = \"{id}\"\n")
        }
    }
}

fn outside_json(declaration: &Declaration) -> Json {
    let sensor = declaration.sensor.as_ref();
    json!({
        "kind": declaration.info.name,
        "title": declaration.info.description,
        "version": declaration.info.version,
        "bus": sensor.and_then(|sensor| sensor.bus.as_deref()),
        "addresses": sensor.map(|sensor| sensor.addresses.clone()).unwrap_or_default(),
        "fields": sensor.map(|sensor| json!(sensor.fields)).unwrap_or_default(),
        "settings": declaration.settings.as_ref().map(|schema| schema.value()).unwrap_or_default(),
        "example": outside_example(declaration),
        "outside": true,
    })
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
