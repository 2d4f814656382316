//! `sedge sensor kinds`: what a config may name.

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::{Field, SensorKind};
use sedge_plugins::sensors::KINDS;
use serde_json::{Value as Json, json};

use crate::cli::Global;
use crate::exit::Failure;
use crate::show::say;

/// Lists the kinds of sensors.
pub fn kinds(global: &Global) -> Result<(), Failure> {
    if global.json {
        say(KINDS.iter().map(to_json).collect::<Json>())?;
        return Ok(());
    }
    for kind in KINDS {
        say(format_args!("{:<10} {:<22} {}", kind.kind, addresses(kind), kind.title))?;
        say(format_args!("{:<10} {}", "", kind.fields.iter().map(field).collect::<Vec<_>>().join(", ")))?;
    }
    Ok(())
}

fn addresses(kind: &SensorKind) -> String {
    kind.addresses.iter().map(|address| format!("{address:#04x}")).collect::<Vec<_>>().join(" ")
}

fn field(field: &Field) -> String {
    match field.unit.symbol() {
        "" => field.name.into(),
        unit => format!("{} ({unit})", field.name),
    }
}

fn to_json(kind: &SensorKind) -> Json {
    let fields: serde_json::Map<String, Json> =
        kind.fields.iter().map(|field| (field.name.into(), json!(FieldDescriptor::from(field)))).collect();
    json!({
        "kind": kind.kind,
        "title": kind.title,
        "addresses": kind.addresses,
        "fields": fields,
        "settings": (kind.schema)(),
    })
}
