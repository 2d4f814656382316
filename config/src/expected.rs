//! What the file can have at a path: which keys, and which values fit.
//!
//! A schema says it, or several: the keys that all instances of a section have, and those of the kind. It must not say
//! what is wrong: that is for the sections, when everything is there.

use sedge_plugin::schema::{MistakeKind, Schema, child_pointer};
use serde_json::{Map, Value};

use crate::address::Form;
use crate::bus::BusKeys;
use crate::caller::CallerKeys;
use crate::calls::Calls;
use crate::catalogue::{Catalogue, Kind, Section};
use crate::destination::DestinationKeys;
use crate::gpio::GpioKeys;
use crate::guard::GuardKeys;
use crate::instance::{common_schema, properties};
use crate::mqtt::Keys as MqttKeys;
use crate::node::Node;
use crate::outbox::Keys as OutboxKeys;
use crate::outside;
use crate::plugin::PluginKeys;
use crate::plugins::Plugins;
use crate::processor::ProcessorKeys;
use crate::remote::RemoteKeys;
use crate::sensor::SensorKeys;

/// How deep references and alternatives are followed.
const DEEPEST: usize = 16;

/// The keys that all instances of a section have.
pub(crate) fn section_schema(section: Section) -> Value {
    match section {
        Section::Bus => common_schema::<BusKeys>(),
        Section::Sensor => common_schema::<SensorKeys>(),
        Section::Gpio => common_schema::<GpioKeys>(),
        Section::Plugin => common_schema::<PluginKeys>(),
        Section::Processor => common_schema::<ProcessorKeys>(),
        Section::Destination => common_schema::<DestinationKeys>(),
        Section::Remote => common_schema::<RemoteKeys>(),
        Section::Guard => common_schema::<GuardKeys>(),
        Section::Caller => common_schema::<CallerKeys>(),
    }
}

/// The keys that all instances of a section have, as those of one kind have them.
pub(crate) fn kind_schema(section: Section, kind: &Kind) -> Value {
    let mut schema = section_schema(section);
    if kind.outside.is_some() {
        outside::join(&mut schema);
    }
    if section != Section::Sensor {
        return schema;
    }
    if let Some(keys) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        match Form::of(kind) {
            Some(form) => keys.insert("address".into(), form.schema()),
            None => keys.remove("address"),
        };
    }
    schema
}

/// The sections that there is one of, each with its schema.
pub(crate) fn single_sections() -> [(&'static str, Value); 5] {
    [
        ("node", schemars::schema_for!(Node).to_value()),
        ("mqtt", schemars::schema_for!(MqttKeys).to_value()),
        ("outbox", schemars::schema_for!(OutboxKeys).to_value()),
        ("calls", schemars::schema_for!(Calls).to_value()),
        ("plugins", schemars::schema_for!(Plugins).to_value()),
    ]
}

/// Schemas of which each may have a say.
#[derive(Debug, Default)]
pub(crate) struct Expected(Vec<Part>);

#[derive(Debug, Clone)]
struct Part {
    definitions: Value,
    node: Value,
}

/// How well a value fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Of the wrong type.
    Not,
    /// Of the right type, and wrong.
    Nearly,
    /// Nothing is known about it.
    Unknown,
    /// Right.
    Well,
}

impl Expected {
    /// What can stand at `path` in a document that says so far what `document` does.
    pub(crate) fn at(catalogue: &Catalogue, document: &Value, path: &[&str]) -> Self {
        match path {
            ["config_version"] => Self::of(&serde_json::json!({ "type": "integer" })),
            [single, rest @ ..]
                if let Some((_, schema)) = single_sections().iter().find(|(s, _)| s == single) =>
            {
                rest.iter().fold(Self::of(schema), |expected, key| expected.step(key))
            }
            [word, id, rest @ ..] => match Section::of_word(word) {
                Some(section) => {
                    let instance = Self::instance(catalogue, document, section, id);
                    rest.iter().fold(instance, |expected, key| expected.step(key))
                }
                None => Self::default(),
            },
            _ => Self::default(),
        }
    }

    fn instance(catalogue: &Catalogue, document: &Value, section: Section, id: &str) -> Self {
        let pointer = child_pointer(&format!("/{section}"), id);
        let written = document.pointer(&pointer).and_then(|instance| instance.get("kind"));
        let implied = (section == Section::Plugin).then_some(id);
        let kind = written.and_then(Value::as_str).or(implied);
        let kind = kind.and_then(|kind| catalogue.find(section, kind));
        let schema = kind.map_or_else(|| section_schema(section), |kind| kind_schema(section, kind));
        let mut parts = Self::of(&schema);
        if let Some(kind) = kind {
            let mut settings = Self::of(&kind.schema);
            // What all instances have is not for the kind to say.
            let common = parts.keys();
            for part in &mut settings.0 {
                if let Some(properties) = part.node.get_mut("properties").and_then(Value::as_object_mut) {
                    common.iter().for_each(|key| drop(properties.remove(key)));
                }
            }
            parts.0.extend(settings.0);
        }
        parts
    }

    fn of(schema: &Value) -> Self {
        let definitions = schema.get("$defs").cloned().unwrap_or_else(|| Value::Object(Map::new()));
        Self(expanded(&definitions, schema, DEEPEST))
    }

    /// The keys that are named.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            self.0.iter().flat_map(|part| properties(&part.node)).map(str::to_owned).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// The keys that must be there.
    pub(crate) fn requires(&self, key: &str) -> bool {
        let mut required = self.0.iter().filter_map(|part| part.node["required"].as_array()).flatten();
        required.any(|required| required == key)
    }

    /// What can stand under a key.
    pub(crate) fn step(&self, key: &str) -> Self {
        let under = |part: &Part| {
            let named = part.node.get("properties").and_then(|properties| properties.get(key));
            let other = || part.node.get("additionalProperties").filter(|other| other.is_object());
            let node = named.or_else(other)?;
            Some(expanded(&part.definitions, node, DEEPEST))
        };
        Self(self.0.iter().filter_map(under).flatten().collect())
    }

    /// What stands there when nothing is written.
    pub(crate) fn default_value(&self) -> Option<&Value> {
        self.0.iter().find_map(|part| part.node.get("default")).filter(|default| !default.is_null())
    }

    /// How well a value fits.
    pub(crate) fn fit(&self, value: &Value) -> Fit {
        self.0.iter().map(|part| part.fit(value)).max().unwrap_or(Fit::Unknown)
    }

    /// Whether it is a secret. What nothing is known about may be one.
    pub(crate) fn may_be_secret(&self) -> bool {
        let is_true = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
        let is_secret =
            |part: &Part| is_true(part.node.get("writeOnly")) || part.node["format"] == "password";
        self.0.is_empty() || self.0.iter().any(is_secret)
    }
}

impl Part {
    fn fit(&self, value: &Value) -> Fit {
        let mut schema = self.node.clone();
        if let Some(object) = schema.as_object_mut() {
            object.insert("$defs".into(), self.definitions.clone());
        }
        let Ok(schema) = Schema::compile(&schema) else { return Fit::Unknown };
        let mistakes = schema.check(value);
        let is_of_type = |mistake: &MistakeKind| {
            !matches!(mistake, MistakeKind::WrongType { .. } | MistakeKind::NoShape | MistakeKind::Refused)
        };
        match mistakes.first() {
            None => Fit::Well,
            Some(_) if mistakes.iter().all(|mistake| is_of_type(&mistake.kind)) => Fit::Nearly,
            Some(_) => Fit::Not,
        }
    }
}

/// A schema and all that it refers to.
fn expanded(definitions: &Value, node: &Value, depth: usize) -> Vec<Part> {
    let mut parts = vec![Part { definitions: definitions.clone(), node: node.clone() }];
    let Some(depth) = depth.checked_sub(1) else { return parts };
    let named = node.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    let referred = named.and_then(|name| definitions.pointer(&format!("/{name}")));
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| node.get(key)?.as_array()).flatten();
    for more in referred.into_iter().chain(lists) {
        parts.extend(expanded(definitions, more, depth));
    }
    parts
}
