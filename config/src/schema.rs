//! The JSON Schema of a whole `sedge.toml`, for editors and other tools.
//!
//! Each kind of a section is a definition of its own that joins the keys of the section with those of the kind, so that
//! an editor completes what fits the `kind` that stands there. It refuses nothing that this crate's own check accepts,
//! but sees less: not what two sections say about each other.

use serde_json::{Map, Value, json};

use crate::catalogue::{Catalogue, Kind, Section};
use crate::expected::{kind_schema, section_schema, single_sections};
use crate::guard::TOOL_PATTERN;
use crate::instance::properties;
use crate::top::CONFIG_VERSION;

/// Not a time in ISO 8601, as JSON Schema has it, but `10s` or `1h 30m`.
const DURATION: &str = "^[^:-]*[0-9][ ]*[A-Za-zµμ][^:]*$";

/// What a section's name can be.
const ID: &str = "^[a-z0-9][a-z0-9-]{0,30}$";

/// What the kernel can call a device.
const NAME: &str = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$";

/// The schema of a file that uses what the catalogue has, in draft 2020-12.
#[must_use]
pub fn schema(catalogue: &Catalogue) -> Value {
    let mut definitions = Map::new();
    let mut sections = Map::new();
    let version = json!({ "const": CONFIG_VERSION, "description": "The form of the file." });
    sections.insert("config_version".into(), version);
    for (word, schema) in single_sections() {
        sections.insert(word.into(), hoisted(&mut definitions, word, schema));
    }
    for section in Section::ALL {
        sections.insert(section.word().into(), instances(&mut definitions, catalogue, section));
    }
    if let Some(id) = sections.get_mut("node").and_then(|node| node.pointer_mut("/properties/id")) {
        set(id, "pattern", ID.into());
    }
    let mut whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sedge.toml",
        "description": "What a Sedge node is told.",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
        "$defs": definitions,
    });
    for_editors(&mut whole);
    whole
}

/// All instances of a section.
fn instances(definitions: &mut Map<String, Value>, catalogue: &Catalogue, section: Section) -> Value {
    let mut all = Vec::new();
    let mut named = Map::new();
    for kind in catalogue.names(section) {
        let name = format!("{section}.{}", kind.name);
        let definition = instance(definitions, section, kind, &name);
        definitions.insert(name.clone(), definition);
        let reference = json!({ "$ref": reference(&name) });
        // A plugin's name is its kind; only one of another name has to say which it is.
        if section == Section::Plugin {
            named.insert(kind.name.clone(), reference.clone());
            all.push(json!({ "allOf": [reference], "required": ["kind"] }));
        } else {
            all.push(reference);
        }
    }
    let other = match section {
        Section::Guard => {
            let guard = guard(hoisted(definitions, "guard", section_schema(section)));
            definitions.insert("guard".into(), guard);
            json!({ "$ref": reference("guard") })
        }
        Section::Caller => {
            let mut caller = hoisted(definitions, "caller", section_schema(section));
            set(&mut caller, "additionalProperties", json!(false));
            if let Some(tool) = caller.pointer_mut("/properties/tools/items") {
                set(tool, "pattern", TOOL_PATTERN.into());
            }
            definitions.insert("caller".into(), caller);
            json!({ "$ref": reference("caller") })
        }
        Section::Remote => {
            let mut remote = hoisted(definitions, "remote", section_schema(section));
            set(&mut remote, "additionalProperties", json!(false));
            definitions.insert("remote".into(), remote);
            json!({ "$ref": reference("remote") })
        }
        _ if all.is_empty() => json!(false),
        _ => json!({ "anyOf": all }),
    };
    json!({
        "type": "object",
        "properties": named,
        "additionalProperties": other,
        "propertyNames": { "pattern": ID },
    })
}

/// One instance of a kind: the keys of its section, and those of the kind.
fn instance(definitions: &mut Map<String, Value>, section: Section, kind: &Kind, name: &str) -> Value {
    let mut common = hoisted(definitions, name, kind_schema(section, kind));
    let what = kind.schema.get("description").cloned();
    if let Some(says) = common.pointer_mut("/properties/kind") {
        set(says, "const", kind.name.as_str().into());
        says.as_object_mut().map(|says| says.remove("default"));
    }
    let mut required = common["required"].as_array().cloned().unwrap_or_default();
    if section == Section::Sensor && kind.needs_bus() {
        required.push("bus".into());
    }
    if let Some(address) = common.pointer_mut("/properties/address").filter(|key| key["type"] == "string") {
        set(address, "pattern", NAME.into());
    }
    let mut whole = hoisted(definitions, &format!("{name}.settings"), kind.schema.clone());
    // Where a part of the kind's schema allows no other keys, those of the section stand beside them.
    let names: Vec<String> = properties(&common).into_iter().map(str::to_owned).collect();
    widen(&mut whole, &names, definitions, 8);
    required.extend(whole["required"].as_array().into_iter().flatten().cloned());
    let mut keys = whole["properties"].as_object().cloned().unwrap_or_default();
    keys.extend(common["properties"].as_object().cloned().unwrap_or_default());
    set(&mut whole, "type", "object".into());
    set(&mut whole, "properties", keys.into());
    set(&mut whole, "required", required.into());
    if let Some(what) = what {
        set(&mut whole, "description", what);
    }
    whole
}

/// Lets keys of the section stand beside those of the kind.
fn widen(schema: &mut Value, names: &[String], definitions: &Map<String, Value>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    // What is referred to may be used elsewhere too, where no keys stand beside it: this is another one.
    let referred = schema.get("$ref").and_then(Value::as_str);
    let referred = referred.and_then(|name| name.strip_prefix("#/$defs/"));
    if let Some(definition) =
        referred.and_then(|name| definitions.get(&name.replace("~1", "/").replace("~0", "~")))
    {
        let mut definition = definition.clone();
        for (key, value) in schema.as_object().into_iter().flatten().filter(|(key, _)| *key != "$ref") {
            set(&mut definition, key, value.clone());
        }
        *schema = definition;
    }
    for list in ["allOf", "anyOf", "oneOf"] {
        let parts = schema.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        parts.for_each(|part| widen(part, names, definitions, depth));
    }
    let Some(schema) = schema.as_object_mut().filter(|schema| schema.contains_key("additionalProperties"))
    else {
        return;
    };
    let keys = schema.entry("properties").or_insert_with(|| json!({}));
    names.iter().for_each(|name| set(keys, name, json!(true)));
}

/// What a guard's keys say about each other.
fn guard(mut guard: Value) -> Value {
    set(&mut guard, "dependentRequired", json!({ "at_most": ["per"], "per": ["at_most"] }));
    set(&mut guard, "additionalProperties", json!(false));
    if let Some(tool) = guard.pointer_mut("/properties/tools/items") {
        set(tool, "pattern", TOOL_PATTERN.into());
    }
    guard
}

/// A schema whose definitions stand with those of all others, under a name of their own.
fn hoisted(definitions: &mut Map<String, Value>, name: &str, mut schema: Value) -> Value {
    rename(&mut schema, name);
    let Some(object) = schema.as_object_mut() else { return schema };
    for key in ["$schema", "$id", "title"] {
        object.remove(key);
    }
    if let Some(Value::Object(own)) = object.remove("$defs") {
        definitions.extend(own.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
    }
    schema
}

/// Points references at the new names.
fn rename(value: &mut Value, name: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(to) if key == "$ref" => {
                        let moved = to.strip_prefix("#/$defs/").map(|to| reference(name) + "." + to);
                        *to = moved.or_else(|| (to == "#").then(|| reference(name))).unwrap_or(to.clone());
                    }
                    // Data, not schemas.
                    _ if ["default", "const", "enum", "examples"].contains(&key.as_str()) => {}
                    value => rename(value, name),
                }
            }
        }
        Value::Array(array) => array.iter_mut().for_each(|value| rename(value, name)),
        _ => {}
    }
}

fn reference(name: &str) -> String {
    format!("#/$defs/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// TOML has no null, and our durations are not those of JSON Schema.
fn for_editors(value: &mut Value) {
    let Value::Object(object) = value else {
        if let Value::Array(array) = value {
            array.iter_mut().for_each(for_editors);
        }
        return;
    };
    if object.get("format").is_some_and(|format| format == "duration") {
        object.remove("format");
        object.insert("pattern".into(), DURATION.into());
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".into(), one);
        }
    }
    for (key, value) in object {
        if !["default", "const", "enum", "examples"].contains(&key.as_str()) {
            for_editors(value);
        }
    }
}

fn set(value: &mut Value, key: &str, new: Value) {
    if let Value::Object(object) = value {
        object.insert(key.into(), new);
    }
}
