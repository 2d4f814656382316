//! JSON Schemas that a manifest names: those of its settings and of its tools' arguments.
//!
//! A schema is checked when its plugin is read, so that a node never meets one that it cannot honour. It must not be
//! kept as a tree: a list of plugins shows none of them.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use sedge_plugin::schema::{MistakeKind, Schema, SchemaError, child_pointer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{MAX_SCHEMA, text};
use crate::mistake::Mistake;

/// No more mistakes of one schema are told.
const MOST_FAULTS: usize = 10;

/// A checked JSON Schema, kept as its text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaText(Box<RawValue>);

impl SchemaText {
    /// Of a schema that is known to be one.
    pub(crate) fn of(schema: &Value) -> Option<Self> {
        to_raw_value(schema).ok().map(Self)
    }

    /// The schema.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(self.as_str()).unwrap_or_default()
    }

    /// Its text, without spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl fmt::Debug for SchemaText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for SchemaText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// What is wrong with a schema, and where in it, as a JSON pointer.
pub(super) struct Fault {
    pub(super) pointer: String,
    pub(super) message: String,
}

/// Keeps a schema that describes a table and is within the subset, or says all that is wrong.
pub(super) fn checked(schema: &Value) -> Result<SchemaText, Vec<Fault>> {
    let faults = faults(schema);
    if !faults.is_empty() {
        return Err(faults);
    }
    let fault =
        || vec![Fault { pointer: String::new(), message: "this schema cannot be written as JSON".into() }];
    SchemaText::of(schema).ok_or_else(fault)
}

/// Reads a schema from a file.
pub(super) fn read(path: &Path) -> Result<SchemaText, Vec<Mistake>> {
    let text = text::read(path, MAX_SCHEMA).map_err(|mistake| vec![mistake])?;
    let mistake = |at: usize, message: String| Mistake::in_text(path, &text, &(at..at), message);
    let schema = serde_json::from_str(&text).map_err(|error| {
        let before = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
        let at = before.sum::<usize>() + error.column().saturating_sub(1);
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        vec![mistake(at, format!("this is not JSON: {message}"))]
    })?;
    checked(&schema).map_err(|faults| {
        faults.into_iter().map(|fault| mistake(offset(&text, &fault.pointer), fault.message)).collect()
    })
}

fn faults(schema: &Value) -> Vec<Fault> {
    let mut rest = schema.clone();
    let mut faults = Vec::new();
    loop {
        let error = match Schema::compile(&rest) {
            Ok(schema) => {
                faults.extend((faults.is_empty() && !takes_a_table(&schema)).then(|| Fault {
                    pointer: String::new(),
                    message: "this schema describes no table; expected `\"type\": \"object\"`".into(),
                }));
                return faults;
            }
            Err(error) => error,
        };
        // Compiling stops at the first mistake; without an unknown keyword it goes on to the next one.
        let more = match &error {
            SchemaError::UnknownKeyword { pointer, keyword } => {
                rest.pointer_mut(pointer).and_then(Value::as_object_mut).and_then(|node| node.remove(keyword))
            }
            _ => None,
        };
        faults.push(Fault {
            pointer: pointer(&error),
            message: format!("this schema cannot be used: {error}"),
        });
        if more.is_none() || faults.len() == MOST_FAULTS {
            return faults;
        }
    }
}

fn takes_a_table(schema: &Schema) -> bool {
    let mistakes = schema.check(&Value::Object(serde_json::Map::new()));
    // An empty table may lack a key, or fit none of several shapes for want of one.
    let is_refused =
        |kind: &MistakeKind| matches!(kind, MistakeKind::WrongType { .. } | MistakeKind::Refused);
    !mistakes.iter().any(|mistake| mistake.pointer.is_empty() && is_refused(&mistake.kind))
}

fn pointer(error: &SchemaError) -> String {
    match error {
        SchemaError::UnknownKeyword { pointer, keyword } => child_pointer(pointer, keyword),
        SchemaError::Malformed { pointer, .. }
        | SchemaError::UnknownReference { pointer, .. }
        | SchemaError::TooDeep { pointer } => pointer.clone(),
        SchemaError::EndlessReference { definition } | SchemaError::TooLarge { definition } => {
            if definition == "#" { String::new() } else { child_pointer("/$defs", definition) }
        }
    }
}

/// Where a JSON pointer leads in a text, in bytes; the start where it leads nowhere.
pub(super) fn offset(text: &str, pointer: &str) -> usize {
    let mut slice = text;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = match serde_json::from_str::<HashMap<String, &RawValue>>(slice) {
            Ok(object) => object.get(&step).copied(),
            Err(_) => serde_json::from_str::<Vec<&RawValue>>(slice)
                .ok()
                .and_then(|array| array.get(step.parse::<usize>().ok()?).copied()),
        };
        let Some(next) = next else { break };
        slice = next.get();
    }
    // A borrowed raw value is a part of the text that it was read from.
    (slice.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_is_found_in_the_text() {
        let text = " { \"a\" : [ 1, {\"b/c\": \"here\"} ] }";
        assert_eq!(&text[offset(text, "/a/1/b~1c")..][..6], "\"here\"");
        assert_eq!(&text[offset(text, "/a/1/nothing")..][..2], "{\"", "as near as can be");
        assert_eq!(offset("no JSON", "/a"), 0);
    }

    #[test]
    fn all_unknown_keywords_of_a_schema_are_told() {
        let schema = json!({ "type": "object", "if": {}, "properties": { "a": { "pattern": "x" }, "b": { "type": "strin" } } });
        let faults: Vec<_> = faults(&schema).into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(faults, ["/if", "/properties/a/pattern", "/properties/b/type"]);
    }

    #[test]
    fn a_schema_that_no_table_can_fit_is_refused() {
        for schema in [json!({ "type": "string" }), json!(false), json!({ "anyOf": [{ "type": "null" }] })] {
            assert_eq!(faults(&schema).len(), 1, "{schema}");
        }
        let tagged = |tag: &str| json!({ "type": "object", "required": ["a"], "properties": { "a": { "const": tag } } });
        let shapes = json!({ "oneOf": [tagged("x"), tagged("y")] });
        for schema in [tagged("x"), shapes, json!({}), json!(true)] {
            assert_eq!(faults(&schema).len(), 0, "{schema}");
        }
    }
}
