//! TOML as one JSON value, with the place of each key and value at hand.
//!
//! JSON, because that is what schemas check. The places are not collected but looked up: most manifests have no mistake.
//! It must not judge: what a key means is for the rules.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

/// Further errors mostly follow from the first ones.
const MOST_ERRORS: usize = 10;

/// A parsed text.
pub(super) struct Document<'t> {
    table: Spanned<DeTable<'t>>,
    pub(super) value: Value,
    /// What JSON cannot hold.
    pub(super) problems: Vec<(Range<usize>, String)>,
}

/// Where a key and its value stand, in bytes. A table's value is its header, `[plugin]`.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

impl<'t> Document<'t> {
    /// Reads a text, or says where it is no TOML.
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<(Range<usize>, String)>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().take(MOST_ERRORS).map(|error| explained(text, error)).collect());
        }
        let mut problems = Vec::new();
        let value = object(table.get_ref(), &mut problems);
        Ok(Self { table, value, problems })
    }

    /// Where a JSON pointer leads; the start of the text for the root, and where nothing is written.
    pub(super) fn place(&self, pointer: &str) -> Place {
        let mut steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        let Some(first) = steps.next() else { return Place::default() };
        let Some((mut place, mut value)) = entry(self.table.get_ref(), &first) else {
            return Place::default();
        };
        for step in steps {
            (place, value) = match value.get_ref() {
                DeValue::Table(table) => match entry(table, &step) {
                    Some(found) => found,
                    None => break,
                },
                DeValue::Array(array) => match step.parse().ok().and_then(|at: usize| array.get(at)) {
                    Some(element) => (Place { key: element.span(), value: element.span() }, element),
                    None => break,
                },
                _ => break,
            };
        }
        place
    }
}

fn entry<'a, 't>(table: &'a DeTable<'t>, key: &str) -> Option<(Place, &'a Spanned<DeValue<'t>>)> {
    let (key, value) = table.get_key_value(key)?;
    Some((Place { key: key.span(), value: value.span() }, value))
}

fn object(table: &DeTable<'_>, problems: &mut Vec<(Range<usize>, String)>) -> Value {
    let entries = table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value, problems)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn json(value: &Spanned<DeValue<'_>>, problems: &mut Vec<(Range<usize>, String)>) -> Value {
    let mut refuse = |message: String| {
        problems.push((value.span(), message));
        Value::Null
    };
    match value.get_ref() {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(boolean) => Value::from(*boolean),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => number.into(),
            Err(_) => refuse("this integer does not fit into 64 bits".into()),
        },
        DeValue::Float(float) => match float.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => number.into(),
            _ => refuse(format!("{} is not a finite number", float.as_str())),
        },
        DeValue::Array(array) => array.iter().map(|element| json(element, problems)).collect(),
        DeValue::Table(table) => object(table, problems),
    }
}

fn explained(text: &str, error: &Error) -> (Range<usize>, String) {
    let span = error.span().unwrap_or_default();
    let message = match (error.message(), text.get(span.clone())) {
        ("duplicate key", Some(key)) => format!("`{}` stands here twice; keep one of them", key.trim()),
        (message, _) => format!("this is not TOML: {message}{}", unquoted(text, span.start)),
    };
    (span, message)
}

/// What to do about `name = pump`.
fn unquoted(text: &str, at: usize) -> String {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let Some((key, value)) = text.get(start..).and_then(|rest| rest.lines().next()?.split_once('=')) else {
        return String::new();
    };
    let word = value.split('#').next().unwrap_or_default().trim();
    let is_text = word.starts_with(char::is_alphabetic) && !word.contains(['"', '\'']);
    if is_text { format!("; a text needs quotes: {} = \"{word}\"", key.trim()) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_becomes_json_and_has_its_place() {
        let text = "a = 0x76\n[b.'c/d']\ne = [1.5, true]\n[[tool]]\nx = 1\n[[tool]]\ny = 1979-05-27";
        let document = Document::parse(text).unwrap_or_else(|_| unreachable!());
        assert_eq!(
            document.value,
            json!({ "a": 0x76, "b": { "c/d": { "e": [1.5, true] } }, "tool": [{ "x": 1 }, { "y": "1979-05-27" }] })
        );
        let value = |pointer: &str| &text[document.place(pointer).value];
        assert_eq!((value("/a"), value("/b/c~1d"), value("/b/c~1d/e/1")), ("0x76", "[b.'c/d']", "true"));
        assert_eq!((value("/tool/1"), document.place("/tool/1").value.start), ("[[tool]]", 50));
        assert_eq!(&text[document.place("/tool/1/y").key], "y");
        assert_eq!(document.place("/nothing"), Place::default());
    }

    #[test]
    fn what_json_cannot_hold_is_a_problem() {
        let document = Document::parse("a = [inf, 9223372036854775808]").unwrap_or_else(|_| unreachable!());
        assert_eq!(
            document.problems,
            [
                (5..8, "inf is not a finite number".into()),
                (10..29, "this integer does not fit into 64 bits".into())
            ]
        );
    }
}
