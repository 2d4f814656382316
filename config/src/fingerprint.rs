//! Tells whether something changed, for a reload that touches only what did.
//!
//! A number instead of a comparison, because it can be kept, shown and sent without the secrets that it depends on. It
//! must not depend on where something stands, on the order of keys, or on the machine.

use sedge_plugin::{Every, fnv1a};
use serde_json::Value;

/// The number of a value.
pub(crate) fn fingerprint(value: &Value) -> u64 {
    let mut text = String::new();
    write(value, &mut text);
    fnv1a(text.as_bytes())
}

/// Everything that tells two durations apart.
pub(crate) fn nanos(every: Every) -> u64 {
    u64::try_from(every.0.as_nanos()).unwrap_or(u64::MAX)
}

/// JSON with sorted keys: what is unequal looks unequal.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (key, value) in entries {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(array) => {
            text.push('[');
            for value in array {
                write(value, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_has_another_number() {
        let values = [
            json!([]),
            json!([[]]),
            json!({}),
            json!({ "a": 1 }),
            json!({ "a": 1.0 }),
            json!({ "a": "1" }),
            json!({ "a": null }),
            json!({ "a": { "b": 1 } }),
            json!({ "a": {}, "b": 1 }),
            json!({ "a": {}, "b": 2 }),
            json!(["a", "b"]),
            json!(["a\",\"b"]),
        ];
        let mut numbers: Vec<u64> = values.iter().map(fingerprint).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), values.len());
    }
}
