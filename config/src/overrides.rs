//! Settings that are given outside of files: variables of the environment, and flags.
//!
//! A variable can neither have a `-` nor a type. So its parts match whatever is there with `-` or `_`, and its value is
//! TOML where that is what the schema expects, else a text. It must not show a value: a variable often is a secret.

use std::collections::BTreeMap;
use std::ops::Range;

use sedge_plugin::schema::{child_pointer, looks_secret};
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::catalogue::{Catalogue, Section};
use crate::document::{Document, Given as Written};
use crate::expected::{Expected, Fit, single_sections};
use crate::layer::Merged;
use crate::secret::may_be_secret;
use crate::source::{From, Given};
use crate::top;

/// What our variables begin with.
const PREFIX: &str = "SEDGE__";

/// More parts than any setting has.
const MOST_PARTS: usize = 32;

/// Something that is wrong with a variable or a flag.
pub(crate) struct Notice {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
    pub(crate) fatal: bool,
}

/// Lays our variables over what is there.
pub(crate) fn environment(merged: &mut Merged, catalogue: &Catalogue, variables: &[(String, String)]) {
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // The environment has no order. What a value can be depends on the kind, so that comes first.
    ours.sort_by_key(|(name, _)| (!name.to_lowercase().ends_with("__kind"), name.as_str()));
    let mut set: BTreeMap<Vec<String>, &str> = BTreeMap::new();
    for (name, value) in ours {
        let text = format!("{name}={value}");
        let given =
            |secret| From::Variable(Given { name: name.clone(), value: name.len() + 1..text.len(), secret });
        let parts = parts(name);
        let fatal = matches!(parts.first(), Some((part, _)) if single_sections().iter().any(|(word, _)| word == part));
        let path = resolve(&merged.document.value, catalogue, &parts);
        let secret = may_be_secret(&name.to_lowercase());
        let path = match path {
            Ok(path) if !set.contains_key(&path) => path,
            wrong => {
                let base = merged.sources.add("environment", &text, given(true));
                let (message, help) = match wrong {
                    Ok(path) => (
                        format!("`{}` sets the same", set[&path]),
                        format!("keep one of `{}` and `{name}`", set[&path]),
                    ),
                    Err(wrong) => wrong,
                };
                let span = base..base + name.len();
                merged.notices.push(Notice { span, message, help, fatal });
                continue;
            }
        };
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let expected = Expected::at(catalogue, &merged.document.value, &words);
        let secret = secret || expected.may_be_secret() || words.iter().any(|word| looks_secret(word));
        let base = merged.sources.add("environment", &text, given(secret));
        let places = parts.iter().map(|(_, span)| base + span.start..base + span.end);
        let path_with_places: Vec<_> = path.iter().cloned().zip(places).collect();
        lay(merged, &expected, &path_with_places, value, base + name.len() + 1, secret);
        set.insert(path, name);
    }
}

/// The parts of a name in lower case, and where they stand.
fn parts(name: &str) -> Vec<(String, Range<usize>)> {
    let mut at = PREFIX.len();
    let rest = name.get(at..).unwrap_or_default();
    let part = |part: &str| {
        let span = at..at + part.len();
        at = span.end + "__".len();
        (part.to_lowercase(), span)
    };
    rest.split("__").map(part).collect()
}

/// The keys that the parts of a name mean.
fn resolve(
    document: &Value,
    catalogue: &Catalogue,
    parts: &[(String, Range<usize>)],
) -> Result<Vec<String>, (String, String)> {
    if parts.len() > MOST_PARTS || parts.iter().any(|(part, _)| part.is_empty()) {
        let help = format!("such as {PREFIX}SENSOR__KITCHEN__EVERY");
        return Err(("this names no setting".into(), help));
    }
    let mut path: Vec<String> = Vec::new();
    let mut here = Some(document);
    for (part, _) in parts {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let there = here.and_then(Value::as_object);
        let there = matching(part, there.into_iter().flatten().map(|(key, _)| key.clone()));
        let known = match words.as_slice() {
            [] => top::known().map(str::to_owned).collect(),
            words => Expected::at(catalogue, document, words).keys(),
        };
        let candidates = if there.is_empty() { matching(part, known.into_iter()) } else { there };
        let is_id = path.len() == 1 && Section::of_word(&path[0]).is_some();
        let key = match candidates.as_slice() {
            [] if is_id => part.replace('_', "-"),
            [] => part.clone(),
            [one] => one.clone(),
            [one, other, ..] => {
                let [one, other] = [one, other].map(|key| [words.join(".").as_str(), key].join("."));
                let help = "give one of them another name, or set it in a file or by a flag".into();
                return Err((format!("this can be `{one}` and `{other}`"), help));
            }
        };
        here = here.and_then(|value| value.get(&key));
        path.push(key);
    }
    Ok(path)
}

fn matching(part: &str, keys: impl Iterator<Item = String>) -> Vec<String> {
    let plain = |key: &str| key.to_lowercase().replace('-', "_");
    let part = plain(part);
    keys.filter(|key| plain(key) == part).collect()
}

/// Lays flags over what is there.
pub(crate) fn flags(merged: &mut Merged, catalogue: &Catalogue, flags: &[(String, String)]) {
    const BEFORE: &str = "--set ";
    for (key, value) in flags {
        let text = format!("{BEFORE}{key}={value}");
        let value_at = BEFORE.len() + key.len() + 1;
        let path = dotted(key);
        let words: Vec<&str> = path.iter().flatten().map(|(word, _)| word.as_str()).collect();
        let expected = Expected::at(catalogue, &merged.document.value, &words);
        let secret =
            path.is_none() || expected.may_be_secret() || words.iter().any(|word| may_be_secret(word));
        let name = format!("--set {key}");
        let given = Given { name: name.clone(), value: value_at..text.len(), secret };
        let base = merged.sources.add(&name, &text, From::Flag(given));
        let Some(path) = path else {
            merged.notices.push(Notice {
                span: base + BEFORE.len()..base + BEFORE.len() + key.len(),
                message: "this is no key".into(),
                help: "such as --set sensor.kitchen.every=5s".into(),
                fatal: true,
            });
            continue;
        };
        let shift = base + BEFORE.len();
        let path: Vec<_> =
            path.into_iter().map(|(word, span)| (word, span.start + shift..span.end + shift)).collect();
        lay(merged, &expected, &path, value, base + value_at, secret);
    }
}

/// The parts of a dotted TOML key, and where they stand.
fn dotted(key: &str) -> Option<Vec<(String, Range<usize>)>> {
    let line = format!("{key} = 0");
    let table = DeTable::parse(&line).ok().filter(|_| !key.contains('\n'))?;
    let mut path = Vec::new();
    let mut here = table.get_ref();
    while path.len() < MOST_PARTS {
        let mut entries = here.iter();
        let (word, value) = entries.next().filter(|_| here.len() == 1)?;
        path.push((word.get_ref().to_string(), word.span()));
        match value.get_ref() {
            DeValue::Table(table) => here = table,
            // It is the one that was added here, and not one of the key's own.
            _ => return (value.span() == (line.len() - 1..line.len())).then_some(path),
        }
    }
    None
}

/// Lays one value over what is there.
fn lay(
    merged: &mut Merged,
    expected: &Expected,
    path: &[(String, Range<usize>)],
    raw: &str,
    at: usize,
    secret: bool,
) {
    const BEFORE: &str = "v = ";
    let pointer = path.iter().fold(String::new(), |at, (key, _)| child_pointer(&at, key));
    let text = Document::one(path, Written::Text(raw, at..at + raw.len()));
    let line = format!("{BEFORE}{raw}");
    let table = DeTable::parse(&line).ok().filter(|table| table.get_ref().len() == 1);
    let value = table.as_ref().and_then(|table| table.get_ref().get("v"));
    // A time is a text here, and better as it was written.
    let toml = value.filter(|value| !matches!(value.get_ref(), DeValue::Datetime(_)));
    let toml = toml.map(|value| Document::one(path, Written::Toml(value, at - BEFORE.len())));
    let fit = |document: &Document| {
        let value = document.value.pointer(&pointer).filter(|_| document.problems.is_empty());
        value.map_or(Fit::Not, |value| expected.fit(value))
    };
    // Of two that fit nothing it is the text: a duration without a unit is no number.
    let toml = toml.filter(|toml| fit(toml) >= fit(&text) && fit(toml) > Fit::Not);
    merged.secrets.extend(secret.then_some(pointer));
    merged.document.merge(toml.unwrap_or(text));
}
