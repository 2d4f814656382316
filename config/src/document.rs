//! The file as one JSON value, with the place of each key and value in the text.
//!
//! JSON, because settings are checked by JSON Schema and handed to plugins as JSON; places, because a mistake names its
//! line and column. Several files become one by [`Document::merge`]: tables grow together, all else is replaced, and
//! everything keeps its place. It must not judge: what a key means is for the sections.

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

pub(crate) struct Document {
    pub(crate) value: Value,
    /// By JSON pointer. The root has none.
    places: BTreeMap<String, Place>,
    pub(crate) problems: Vec<Problem>,
    /// What is added to the offsets of the text that is read.
    base: usize,
}

impl Default for Document {
    fn default() -> Self {
        Self { value: Value::Object(Map::new()), places: BTreeMap::new(), problems: Vec::new(), base: 0 }
    }
}

impl Document {
    /// Reads a text that begins at `base`.
    pub(crate) fn new(table: &DeTable<'_>, base: usize) -> Self {
        let mut document = Self { base, ..Self::default() };
        document.value = document.table(table, "");
        document
    }

    /// Reads a text whose whole content stands within tables, `path`, that it does not name itself.
    pub(crate) fn within(path: &[&str], table: &DeTable<'_>, base: usize) -> Self {
        let mut document = Self { base, ..Self::default() };
        let steps: Vec<_> = path.iter().map(|key| ((*key).to_owned(), base..base)).collect();
        let pointer = document.tables(&steps);
        let value = document.table(table, &pointer);
        document.nest(path.iter().copied(), value);
        document
    }

    /// One value that stands at a path, whose keys have places of their own.
    pub(crate) fn one(path: &[(String, Range<usize>)], value: Given<'_>) -> Self {
        let mut document = Self::default();
        let pointer = document.tables(path);
        let (value, place) = match value {
            Given::Text(text, place) => (Value::from(text), place),
            Given::Toml(value, base) => {
                document.base = base;
                (document.value(value, &pointer), document.shifted(value.span()))
            }
        };
        if let Some(at) = document.places.get_mut(&pointer) {
            at.value = place;
        }
        document.nest(path.iter().map(|(key, _)| key.as_str()), value);
        document
    }

    fn tables(&mut self, path: &[(String, Range<usize>)]) -> String {
        path.iter().fold(String::new(), |parent, (key, span)| {
            let at = child_pointer(&parent, key);
            self.places.insert(at.clone(), Place { key: span.clone(), value: span.clone() });
            at
        })
    }

    fn nest<'k>(&mut self, path: impl DoubleEndedIterator<Item = &'k str>, value: Value) {
        self.value =
            path.rev().fold(value, |value, key| Value::Object(Map::from_iter([(key.into(), value)])));
    }

    /// Lays another document over this one: its tables are added to, all else is replaced. A table stays where it
    /// stands first.
    pub(crate) fn merge(&mut self, over: Self) {
        let mut merged = std::mem::take(&mut self.value);
        self.lay(&mut merged, over.value, &over.places, "");
        self.value = merged;
        self.problems.extend(over.problems);
    }

    fn lay(&mut self, under: &mut Value, over: Value, places: &BTreeMap<String, Place>, pointer: &str) {
        let (Value::Object(under), Value::Object(over)) = (under, over) else { return };
        for (key, value) in over {
            let at = child_pointer(pointer, &key);
            match under.get_mut(&key) {
                Some(table) if table.is_object() && value.is_object() => self.lay(table, value, places, &at),
                replaced => {
                    let is_within = |pointer: &str| is_within(pointer, &at);
                    if replaced.is_some() {
                        self.places.retain(|pointer, _| !is_within(pointer));
                        self.problems.retain(|problem| !is_within(&problem.pointer));
                    }
                    let new = places.range(at.clone()..).take_while(|(pointer, _)| pointer.starts_with(&at));
                    let new = new.filter(|(pointer, _)| is_within(pointer));
                    self.places.extend(new.map(|(pointer, place)| (pointer.clone(), place.clone())));
                    under.insert(key, value);
                }
            }
        }
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
            let place = Place { key: self.shifted(key.span()), value: self.shifted(value.span()) };
            self.places.insert(at.clone(), place);
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
                    let place = self.shifted(element.span());
                    self.places.insert(at.clone(), Place { key: place.clone(), value: place });
                    self.value(element, &at)
                });
                Value::Array(elements.collect())
            }
            DeValue::Table(table) => self.table(table, pointer),
        }
    }

    fn shifted(&self, span: Range<usize>) -> Range<usize> {
        span.start + self.base..span.end + self.base
    }

    fn problem(&mut self, pointer: &str, message: String) -> Value {
        self.problems.push(Problem { pointer: pointer.into(), message });
        Value::Null
    }
}

/// A value that stands outside of a file, and where.
pub(crate) enum Given<'a> {
    /// A text without quotes.
    Text(&'a str, Range<usize>),
    /// A TOML value, and what is added to its offsets.
    Toml(&'a Spanned<DeValue<'a>>, usize),
}

/// Whether one pointer leads to what another one does, or into it.
pub(crate) fn is_within(pointer: &str, parent: &str) -> bool {
    pointer.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn number(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(text: &str) -> Document {
        Document::new(DeTable::parse(text).expect("valid TOML").get_ref(), 0)
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

    #[test]
    fn tables_grow_together_and_all_else_is_replaced() {
        let under = "[a]\nx = 1\nlist = [1, 2, 3]\nbad = inf\n[b]\ny = 1";
        let over = "[a]\nz = 3\nlist = [{ q = 4 }]\nbad = 1\n[b.y]\nc = 2";
        let mut document = document(under);
        let base = under.len() + 1;
        document.merge(Document::new(DeTable::parse(over).expect("valid TOML").get_ref(), base));
        assert_eq!(
            document.value,
            json!({ "a": { "x": 1, "z": 3, "list": [{ "q": 4 }], "bad": 1 }, "b": { "y": { "c": 2 } } })
        );
        assert_eq!(document.problems, [], "what was replaced is no problem");
        let both = [under, over].join("\n");
        let value = |pointer: &str| &both[document.place(pointer).value];
        assert_eq!(document.place("/a").value, 0..3, "a table stays where it stands first");
        assert_eq!((value("/a/x"), value("/a/z"), value("/a/list/0/q")), ("1", "3", "4"));
        assert_eq!(value("/b/y"), "[b.y]");
        assert!(!document.has("/a/list/1"), "places of what was replaced are gone");
    }

    #[test]
    fn a_text_can_stand_within_tables_that_it_does_not_name() {
        let table = DeTable::parse("every = '1s'").expect("valid TOML");
        let document = Document::within(&["plugin", "system"], table.get_ref(), 100);
        assert_eq!(document.value, json!({ "plugin": { "system": { "every": "1s" } } }));
        assert_eq!(document.place("/plugin/system").key, 100..100);
        assert_eq!(document.place("/plugin/system/every").key, 100..105);
    }
}
