//! The file as one JSON value, with the place of each key and value in the text.
//!
//! JSON, because settings are checked by JSON Schema and handed to plugins as JSON; places, because a mistake names its
//! line and column. It must not judge: what a key means is for the sections.

use std::collections::BTreeMap;
use std::ops::Range;

use sedge_plugin::schema::child_pointer;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// Where a key and its value stand, in bytes. A table's value is its header, `[sensor.kitchen]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Place {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// A value that JSON cannot hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    pub(crate) pointer: String,
    pub(crate) message: String,
}

#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) value: Value,
    /// By JSON pointer. The root has none.
    places: BTreeMap<String, Place>,
    pub(crate) problems: Vec<Problem>,
}

impl Document {
    pub(crate) fn new(table: &DeTable<'_>) -> Self {
        let mut document = Self::default();
        document.value = document.table(table, "");
        document
    }

    pub(crate) fn place(&self, pointer: &str) -> Place {
        self.places.get(pointer).cloned().unwrap_or_default()
    }

    /// Whether something is written at `pointer`.
    pub(crate) fn has(&self, pointer: &str) -> bool {
        self.places.contains_key(pointer)
    }

    /// All places, to find those of secrets.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(pointer, place)| (pointer.as_str(), place))
    }

    fn table(&mut self, table: &DeTable<'_>, pointer: &str) -> Value {
        let mut object = Map::new();
        for (key, value) in table {
            let at = child_pointer(pointer, key.get_ref());
            self.places.insert(at.clone(), Place { key: key.span(), value: value.span() });
            object.insert(key.get_ref().to_string(), self.value(value, &at));
        }
        Value::Object(object)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, pointer: &str) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(boolean) => Value::from(*boolean),
            DeValue::Datetime(time) => Value::from(time.to_string()),
            DeValue::Integer(integer) => match number(integer) {
                Some(number) => number.into(),
                None => self.problem(pointer, "this integer does not fit into 64 bits".into()),
            },
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                _ => self.problem(pointer, format!("{} is not a finite number", float.as_str())),
            },
            DeValue::Array(array) => {
                let elements = array.iter().enumerate().map(|(i, element)| {
                    let at = child_pointer(pointer, &i.to_string());
                    self.places.insert(at.clone(), Place { key: element.span(), value: element.span() });
                    self.value(element, &at)
                });
                Value::Array(elements.collect())
            }
            DeValue::Table(table) => self.table(table, pointer),
        }
    }

    fn problem(&mut self, pointer: &str, message: String) -> Value {
        self.problems.push(Problem { pointer: pointer.into(), message });
        Value::Null
    }
}

fn number(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(text: &str) -> Document {
        Document::new(DeTable::parse(text).expect("valid TOML").get_ref())
    }

    #[test]
    fn every_kind_of_value_becomes_json() {
        let document = document("a = 0x76\nb = [1.5, true]\nc = 1979-05-27T07:32:00Z\nd.e = 'x'\nf = -1_000");
        assert_eq!(
            document.value,
            json!({ "a": 0x76, "b": [1.5, true], "c": "1979-05-27T07:32:00Z", "d": { "e": "x" }, "f": -1000 })
        );
    }

    #[test]
    fn a_key_and_its_value_have_places_and_a_table_has_its_header() {
        let text = "[sensor.\"a/b\"]\nkind = \"x\"\nlist = [ 1,\n22 ]";
        let document = document(text);
        let key = |pointer: &str| &text[document.place(pointer).key];
        let value = |pointer: &str| &text[document.place(pointer).value];
        assert_eq!((key("/sensor/a~1b"), value("/sensor/a~1b")), ("\"a/b\"", "[sensor.\"a/b\"]"));
        assert_eq!((key("/sensor/a~1b/kind"), value("/sensor/a~1b/kind")), ("kind", "\"x\""));
        assert_eq!(value("/sensor/a~1b/list/1"), "22");
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_a_problem() {
        let document = document("a = [inf, -nan, 1e999]\nb = 9223372036854775808");
        let messages: Vec<_> =
            document.problems.iter().map(|p| (p.pointer.as_str(), p.message.as_str())).collect();
        assert_eq!(
            messages,
            [
                ("/a/0", "inf is not a finite number"),
                ("/a/1", "-nan is not a finite number"),
                ("/a/2", "1e999 is not a finite number"),
                ("/b", "this integer does not fit into 64 bits"),
            ]
        );
    }
}
