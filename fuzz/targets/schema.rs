//! Any JSON as a schema, and any JSON checked against it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_plugin::schema::Schema;
use serde_json::Value;

fuzz_target!(|pair: (&str, &str)| {
    let (Ok(schema), Ok(value)) = (serde_json::from_str::<Value>(pair.0), serde_json::from_str::<Value>(pair.1)) else {
        return;
    };
    if let Ok(schema) = Schema::compile(&schema) {
        for mistake in schema.check(&value) {
            let _ = mistake.to_string();
        }
    }
});
