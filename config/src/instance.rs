//! One table of `[bus.…]`, `[sensor.…]` or another section that holds instances.
//!
//! The keys that all instances of a section have are told apart from the settings of their kind, and each part is
//! checked by its own schema. A key with a mistake is left out, so that the rest of the instance is still known and
//! whoever shows it as failed can say what it is. It must not look at other instances.

use std::ops::Range;

use schemars::JsonSchema;
use sedge_plugin::Id;
use sedge_plugin::schema::{child_pointer, nearest};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::catalogue::{Catalogue, Kind, Section};
use crate::document::is_within;
use crate::outside::{self, Outside};
use crate::report::{Report, Scope};
use crate::secret::Settings;

/// Where an instance stands and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) section: Section,
    /// Its name in the file, legal or not.
    pub(crate) name: String,
    /// The legal form of its name; the name itself if that is legal.
    pub(crate) id: Id,
    pub(crate) pointer: String,
    /// Where the name stands.
    pub(crate) key: Range<usize>,
}

impl Instance {
    /// `[sensor.kitchen]`, for people.
    pub(crate) fn title(&self) -> String {
        format!("[{}.{}]", self.section, self.id)
    }
}

/// An instance that was read: its common keys and the settings of its kind.
#[derive(Clone)]
pub(crate) struct Read<K> {
    pub(crate) instance: Instance,
    pub(crate) keys: K,
    pub(crate) settings: Settings,
    /// Of a plugin from outside.
    pub(crate) outside: Option<Outside>,
}

impl<K> Read<K> {
    /// What it is granted, where it is a plugin from outside.
    pub(crate) fn granted(&self) -> Option<(&Instance, &Outside)> {
        Some((&self.instance, self.outside.as_ref()?))
    }
}

/// The keys that all instances of a section have.
pub(crate) trait CommonKeys: DeserializeOwned + JsonSchema + Default {
    const SECTION: Section;
    /// The kind of an instance of that name; empty where it should say one and does not, nothing where there are none.
    fn kind<'a>(&'a self, name: &'a str) -> Option<&'a str>;
}

/// The names and rules of the keys that all instances of a section have.
pub(crate) fn common_schema<K: CommonKeys>() -> Value {
    schemars::schema_for!(K).to_value()
}

/// The names of the properties of a schema.
pub(crate) fn properties(schema: &Value) -> Vec<&str> {
    schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Reads all instances of a section, in the order of the file.
pub(crate) fn read_all<K: CommonKeys>(report: &mut Report<'_>, catalogue: &Catalogue) -> Vec<Read<K>> {
    let section = format!("/{}", K::SECTION);
    let document = report.document;
    let Some(Value::Object(instances)) = document.value.pointer(&section) else { return Vec::new() };
    let mut all: Vec<Read<K>> = instances
        .iter()
        .map(|(name, value)| read(report, catalogue, instance(report, K::SECTION, name), value))
        .collect();
    all.sort_by_key(|read| read.instance.key.start);
    all
}

fn instance(report: &Report<'_>, section: Section, name: &str) -> Instance {
    let pointer = child_pointer(&format!("/{section}"), name);
    let id = Id::new(name).unwrap_or_else(|_| Id::sanitized(name, section.word()));
    Instance { section, name: name.into(), id, key: report.document.place(&pointer).key, pointer }
}

fn read<K: CommonKeys>(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    instance: Instance,
    value: &Value,
) -> Read<K> {
    let scope = Scope::Instance(&instance);
    if let Err(error) = Id::new(&instance.name) {
        let help = format!("call it `{}`", instance.id);
        report.error(scope, instance.key.clone(), &format!("the id {error}")).help(help);
    }
    report.problems_within(scope, &instance.pointer);
    let Value::Object(table) = value else {
        let span = report.document.place(&instance.pointer).value;
        report.error(scope, span, &format!("expected a table: write `{}`", instance.title()));
        return Read { instance, keys: K::default(), settings: Settings::default(), outside: None };
    };
    let schema = common_schema::<K>();
    let mut common = properties(&schema);
    let (keys, settings): (Map<_, _>, Map<_, _>) =
        table.clone().into_iter().partition(|(key, _)| common.contains(&key.as_str()));
    let (keys, mut settings) = (Value::Object(keys), Value::Object(settings));
    let checked = report.check(scope, &instance.pointer, &schema, &keys, &[]);
    let keys: K = serde_json::from_value(checked.rest_of(&keys)).unwrap_or_default();
    let mut secrets = Vec::new();
    let nothing_else = json!({ "type": "object", "additionalProperties": false });
    let (kind, rules) = match keys.kind(&instance.name) {
        None => (None, Some(&nothing_else)),
        // A missing or mistyped kind has its mistake already.
        Some("") => (None, None),
        Some(kind) => {
            let kind = find_kind(report, catalogue, &instance, kind);
            (kind, kind.map(|kind| &kind.schema))
        }
    };
    let mut outside = None;
    let more = outside::schema();
    if kind.is_some_and(|kind| kind.outside.is_some()) {
        let names = properties(&more);
        let (own, rest): (Map<_, _>, Map<_, _>) = settings
            .as_object()
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .partition(|(key, _)| names.contains(&key.as_str()));
        let own = Value::Object(own);
        let checked = report.check(scope, &instance.pointer, &more, &own, &[]);
        outside = Some(serde_json::from_value(checked.rest_of(&own)).unwrap_or_default());
        settings = Value::Object(rest);
        common.extend(names);
    }
    if let Some(rules) = rules {
        let checked = report.check(scope, &instance.pointer, rules, &settings, &common);
        settings = checked.rest_of(&settings);
        secrets = checked.secrets;
    }
    let here = report.secrets().iter().filter(|secret| is_within(secret, &instance.pointer));
    secrets.extend(here.filter_map(|secret| secret.strip_prefix(&instance.pointer)).map(str::to_owned));
    Read { instance, keys, settings: Settings::new(settings, secrets), outside }
}

fn find_kind<'c>(
    report: &mut Report<'_>,
    catalogue: &'c Catalogue,
    instance: &Instance,
    kind: &str,
) -> Option<&'c Kind> {
    let section = instance.section;
    let said = child_pointer(&instance.pointer, "kind");
    let (what, span) = match report.document.has(&said) {
        true => ("kind", report.document.place(&said).value),
        false => ("plugin", instance.key.clone()),
    };
    if let Some(kind) = catalogue.find(section, kind) {
        return Some(kind);
    }
    if let Some((_, why)) = catalogue.broken.iter().find(|(name, _)| name == kind) {
        report
            .error(Scope::Instance(instance), span, &format!("the plugin `{kind}` cannot be used"))
            .help(why);
        return None;
    }
    if let Some((_, place)) = catalogue.reserved.iter().find(|(id, _)| id == kind && what == "plugin") {
        let message = format!("`{kind}` has no section of its own");
        report
            .error(Scope::Instance(instance), span, &message)
            .help(format!("its settings stand in `{place}`"));
        return None;
    }
    let known: Vec<&str> = catalogue.names(section).map(|kind| kind.name.as_str()).collect();
    let mut sections = Section::ALL.into_iter();
    let elsewhere = sections.find(|&section| catalogue.find(section, kind).is_some());
    let help = match (nearest(kind, known.iter().copied()), elsewhere) {
        (_, Some(section)) => format!("`{kind}` belongs into `[{section}.…]`"),
        (Some(word), None) => format!("did you mean `{word}`? known: {}", known.join(", ")),
        (None, None) if known.is_empty() => format!("this node knows no {what} for `[{section}.…]`"),
        (None, None) => format!("known: {}", known.join(", ")),
    };
    report.error(Scope::Instance(instance), span, &format!("unknown {what} `{kind}`")).help(help);
    report.is_certain();
    None
}

#[cfg(test)]
pub(crate) fn assert_keys_are_checkable<K: CommonKeys>() {
    let schema = schemars::schema_for!(K).to_value();
    sedge_plugin::schema::Schema::compile(&schema).expect("the schema is within the subset");
    let properties = schema["properties"].as_object().expect("properties");
    for (key, property) in properties {
        assert!(property["description"].is_string(), "`{key}` says what it is for");
    }
}
