//! The config as it is meant: what is written, and the defaults of what is not; each with where it is from.
//!
//! For people who ask why a value is what it is, and for plugins that may read the config. It must not show a secret.

use sedge_plugin::schema::child_pointer;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::catalogue::{Catalogue, Section};
use crate::document::Document;
use crate::expected::{Expected, single_sections};
use crate::secret::masked;
use crate::source::Sources;
use crate::top::CONFIG_VERSION;

/// One setting, and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    /// `sensor.kitchen.every`
    pub path: String,
    /// What it is; `***` for a secret.
    pub value: Value,
    /// `sedge.toml:12:1`, `environment SEDGE__SENSOR__KITCHEN__EVERY`, `--set`, or `default`.
    pub source: String,
}

/// The whole config as one object, as a file would have it, with defaults and without secrets.
pub(crate) fn effective(document: &Document, catalogue: &Catalogue, secrets: &[String]) -> Value {
    let mut whole = document.value.clone();
    let Some(top) = whole.as_object_mut() else { return whole };
    top.entry("config_version").or_insert(CONFIG_VERSION.into());
    for (word, _) in single_sections() {
        let table = top.entry(word).or_insert_with(|| Value::Object(Map::new()));
        fill(table, &Expected::at(catalogue, &document.value, &[word]));
    }
    for section in Section::ALL {
        let Some(instances) = top.get_mut(section.word()).and_then(Value::as_object_mut) else { continue };
        for (id, instance) in instances {
            fill(instance, &Expected::at(catalogue, &document.value, &[section.word(), id]));
        }
    }
    masked(&whole, secrets)
}

/// Adds the defaults of what is not written.
fn fill(value: &mut Value, expected: &Expected) {
    let Some(object) = value.as_object_mut() else { return };
    for key in expected.keys() {
        let under = expected.step(&key);
        match object.get_mut(&key) {
            Some(value) => fill(value, &under),
            None if expected.requires(&key) => {}
            None => object.extend(under.default_value().map(|default| (key, default.clone()))),
        }
    }
}

/// All settings of an effective config: the node's own first, then the instances, section by section, in the order of
/// the file.
pub(crate) fn origins(effective: &Value, document: &Document, sources: &Sources) -> Vec<Origin> {
    let mut origins = Vec::new();
    let mut add = |path: &[&str]| {
        let pointer = path.iter().fold(String::new(), |at, key| child_pointer(&at, key));
        if let Some(value) = effective.pointer(&pointer) {
            flatten(&mut origins, value, &pointer, &dotted(path), document, sources);
        }
    };
    let singles: Vec<&str> =
        ["config_version"].into_iter().chain(single_sections().map(|(word, _)| word)).collect();
    singles.iter().for_each(|single| add(&[single]));
    for section in Section::ALL {
        let Some(instances) = effective.get(section.word()).and_then(Value::as_object) else { continue };
        let pointer = |id: &str| child_pointer(&format!("/{section}"), id);
        let mut ids: Vec<&String> = instances.keys().collect();
        ids.sort_by_key(|id| document.place(&pointer(id)).key.start);
        ids.iter().for_each(|id| add(&[section.word(), id]));
    }
    let strange = effective.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let strange = strange.filter(|key| !singles.contains(key) && Section::of_word(key).is_none());
    strange.for_each(|key| add(&[key]));
    origins
}

fn flatten(
    origins: &mut Vec<Origin>,
    value: &Value,
    pointer: &str,
    path: &str,
    document: &Document,
    sources: &Sources,
) {
    if let Value::Object(object) = value {
        for (key, value) in object {
            let (pointer, path) = (child_pointer(pointer, key), [path, &dotted(&[key])].join("."));
            flatten(origins, value, &pointer, &path, document, sources);
        }
        return;
    }
    let source = match document.has(pointer) {
        true => {
            let place = document.place(pointer).key;
            sources.at(place.start).located(&place)
        }
        false => "default".into(),
    };
    origins.push(Origin { path: path.into(), value: value.clone(), source });
}

/// A dotted TOML key.
fn dotted(path: &[&str]) -> String {
    let is_bare = |key: &str| {
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let keys =
        path.iter().map(|key| if is_bare(key) { (*key).into() } else { Value::from(*key).to_string() });
    keys.collect::<Vec<String>>().join(".")
}
