//! What the messages say, and what is refused.

use serde_json::{Value, json};

use super::*;

fn schema(schema: Value) -> Schema {
    Schema::compile(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn refused(schema: Value) -> String {
    Schema::compile(&schema).expect_err("should be refused").to_string()
}

/// All mistakes as `pointer: text`.
fn texts(schema: &Schema, value: Value) -> Vec<String> {
    schema.check(&value).iter().map(|mistake| format!("{}: {mistake}", mistake.pointer)).collect()
}

/// As schemars derives it, with what a sensor may have.
fn sensor() -> Schema {
    schema(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sensor",
        "type": "object",
        "properties": {
            "address": { "description": "7-bit I2C address\nof the sensor.\n\nMore.", "type": "integer", "minimum": 118, "maximum": 119 },
            "mode": { "$ref": "#/$defs/Mode", "description": "How it measures.", "default": "normal" },
            "standby": { "anyOf": [{ "$ref": "#/$defs/Mode" }, { "type": "null" }] },
            "every": { "type": "string", "format": "duration" },
            "name": { "type": ["string", "null"], "minLength": 1, "maxLength": 4 },
            "gain": { "type": "number", "format": "float", "exclusiveMinimum": 0 },
            "step": { "type": "integer", "format": "uint8", "multipleOf": 5 },
            "tags": { "type": "array", "items": { "type": "string" }, "uniqueItems": true, "maxItems": 2 },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "pin": { "type": "string", "maxLength": 4, "writeOnly": true },
            "password": { "type": "string" }
        },
        "required": ["address"],
        "additionalProperties": false,
        "$defs": {
            "Mode": { "oneOf": [
                { "enum": ["normal", "sleep"], "type": "string" },
                { "const": "forced", "description": "Once.", "type": "string" }
            ] }
        }
    }))
}

#[test]
fn a_valid_value_has_no_mistakes() {
    let value = json!({
        "address": 118, "mode": "forced", "standby": null, "every": "1h 30m", "name": "hall", "gain": 0.5,
        "step": 250, "tags": ["a", "b"], "labels": { "room": "kitchen" }, "pin": "1234"
    });
    assert_eq!(texts(&sensor(), value), [""; 0]);
}

#[test]
fn every_mistake_is_found_in_one_go_and_says_what_was_found_and_what_is_expected() {
    let value = json!({
        "adress": 118, "mode": "forcd", "standby": 3, "every": "10", "name": "kitchen", "gain": 0,
        "step": 256, "tags": ["a", "a", 7], "labels": { "a/b": true }
    });
    assert_eq!(
        texts(&sensor(), value),
        [
            "/adress: unknown key `adress`; did you mean `address`? allowed: address, every, gain, labels, mode, name, password, pin, standby, step, tags",
            "/every: `10` is not a duration; write a number with its unit, such as \"10s\", \"500ms\" or \"1h 30m\"",
            "/gain: 0 is out of range, expected more than 0",
            "/labels/a~1b: expected a string, found true",
            "/mode: expected one of `normal`, `sleep`, `forced`, found `forcd`; did you mean `forced`? — How it measures.",
            "/name: expected 1 to 4 characters, found 7",
            "/standby: expected one of `normal`, `sleep`, `forced`, found 3",
            "/step: 256 is out of range, expected 0 to 255",
            "/step: 256 is not a multiple of 5",
            "/tags: expected at most 2 elements, found 3",
            "/tags/1: `a` stands here twice",
            "/tags/2: expected a string, found the integer 7",
            ": missing key `address` — 7-bit I2C address of the sensor.",
        ]
    );
}

/// Every shape that a plugin's settings usually have.
#[derive(schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Settings {
    /// Documented variants.
    mode: Mode,
    maybe: Option<Mode>,
    alarm: Option<Alarm>,
    threshold: Threshold,
    labels: std::collections::BTreeMap<String, String>,
    calibration: [f32; 3],
    every: crate::Every,
    channel: u8,
    #[schemars(range(min = 1, max = 10))]
    samples: Option<u32>,
    anything: Value,
    letter: char,
}

#[derive(schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum Mode {
    /// Always.
    Normal,
    Sleep,
}

#[derive(schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum Alarm {
    High { above: f64 },
    Low { below: f64 },
}

#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum Threshold {
    One(u8),
    Several(Vec<u8>),
}

#[test]
fn what_schemars_derives_is_within_the_subset() {
    let schema = schema(schemars::schema_for!(Settings).to_value());
    let good = json!({
        "mode": "normal", "maybe": "sleep", "alarm": { "kind": "high", "above": 3 }, "threshold": [1, 2], "labels": {},
        "calibration": [1, 2.5, 3], "every": "10s", "channel": 7, "samples": 10, "anything": [{}], "letter": "x"
    });
    assert_eq!(texts(&schema, good), [""; 0]);
    let bad = json!({
        "mode": "norml", "maybe": "slep", "alarm": { "kind": "high", "above": "3" }, "threshold": [1, 256], "labels": {},
        "calibration": [1, 2], "every": "10", "channel": 256, "samples": 11, "anything": 1, "letter": "xy"
    });
    assert_eq!(
        texts(&schema, bad),
        [
            "/alarm/above: expected a number, found the string `3`",
            "/calibration: expected exactly 3 elements, found 2",
            "/channel: 256 is out of range, expected 0 to 255",
            "/every: `10` is not a duration; write a number with its unit, such as \"10s\", \"500ms\" or \"1h 30m\"",
            "/letter: expected exactly 1 character, found 2",
            "/maybe: expected one of `sleep`, `normal`, found `slep`; did you mean `sleep`?",
            "/mode: expected one of `sleep`, `normal`, found `norml`; did you mean `normal`? — Documented variants.",
            "/samples: 11 is out of range, expected 1 to 10",
            "/threshold/1: 256 is out of range, expected 0 to 255",
        ]
    );
}

#[test]
fn an_integer_with_a_fraction_part_is_refused_because_rust_would_refuse_it() {
    assert_eq!(
        texts(&schema(json!({ "type": "integer" })), json!(1.0)),
        [": expected an integer, found the number 1.0"]
    );
}

#[test]
fn a_tagged_enum_reports_the_mistakes_of_the_branch_that_was_meant() {
    let internal = schema(json!({ "oneOf": [
        { "type": "object", "properties": { "kind": { "const": "low" }, "below": { "type": "number" } }, "required": ["kind", "below"] },
        { "type": "object", "properties": { "kind": { "const": "high" }, "above": { "type": "number" } }, "required": ["kind", "above"] },
    ] }));
    assert_eq!(
        texts(&internal, json!({ "kind": "low", "below": "x" })),
        ["/below: expected a number, found the string `x`"]
    );
    assert_eq!(
        texts(&internal, json!({ "kind": "hihg" })),
        ["/kind: expected one of `low`, `high`, found `hihg`; did you mean `high`?"]
    );
    assert_eq!(texts(&internal, json!({})), [": missing key `kind` — one of low, high"]);
    assert_eq!(texts(&internal, json!(7)), [": expected a table (object), found the integer 7"]);

    let external = schema(json!({ "oneOf": [
        { "type": "string", "enum": ["off"] },
        { "type": "object", "properties": { "mean": { "type": "object", "properties": { "of": { "type": "integer" } } } }, "required": ["mean"], "additionalProperties": false },
        { "type": "object", "properties": { "limit": { "type": "number" } }, "required": ["limit"], "additionalProperties": false },
    ] }));
    assert_eq!(
        texts(&external, json!({ "mean": { "of": "x" } })),
        ["/mean/of: expected an integer, found the string `x`"]
    );
    assert_eq!(
        texts(&external, json!({ "limt": 3 })),
        ["/limt: unknown key `limt`; did you mean `limit`? allowed: limit, mean"]
    );
    assert_eq!(texts(&external, json!("of")), [": expected `off`, found `of`; did you mean `off`?"]);
}

#[test]
fn a_text_with_a_format_of_ours_says_how_it_is_written() {
    for (format, good, bad, hint) in [
        ("duration", "10s", "10", "10s"),
        ("size", "10MB", "10", "10MB"),
        ("rate", "60/min", "60", "60/min"),
        ("socket-address", "127.0.0.1:9464", "localhost", "127.0.0.1:9464"),
        ("sedge-id", "pi-kitchen", "Pi", "lower-case"),
        ("sedge-name", "pump_set", "pump-set", "lower-case"),
    ] {
        let schema = Schema::compile(&json!({ "type": "string", "format": format })).unwrap();
        assert!(schema.check(&json!(good)).is_empty(), "{format}");
        let text = schema.check(&json!(bad))[0].to_string();
        assert!(text.contains(bad) && text.contains(hint), "{text}");
    }
}

#[test]
fn a_secret_is_never_repeated() {
    for mistake in sensor().check(&json!({ "address": 118, "pin": "hunter2", "password": 7777 })) {
        assert!(mistake.secret, "{mistake:?}");
        let text = format!("{mistake} {mistake:?}");
        assert!(!text.contains("hunter2") && !text.contains("7777"), "{text}");
    }
    let value = json!({ "address": 118, "pin": "1234", "password": "x", "name": "hall" });
    assert_eq!(sensor().secrets(&value), ["/password", "/pin"]);
    assert!(looks_secret("MQTT_PASSWORD") && looks_secret("api-token") && !looks_secret("password_file"));
}

#[test]
fn an_unknown_keyword_refuses_the_schema_and_is_named() {
    assert_eq!(
        refused(json!({ "properties": { "a/b": { "pattern": "^x" } } })),
        "the keyword `pattern` at `/properties/a~1b` is not supported"
    );
    for keyword in
        ["prefixItems", "patternProperties", "not", "if", "$dynamicRef", "unevaluatedProperties", "Type"]
    {
        assert!(refused(json!({ keyword: {} })).contains(keyword));
    }
    assert!(refused(json!({ "items": { "$defs": {} } })).contains("$defs"));
    assert!(Schema::compile(&json!({ "x-unit": "Cel", "deprecated": true, "examples": [1] })).is_ok());
}

#[test]
fn a_keyword_with_a_senseless_value_refuses_the_schema() {
    for wrong in [
        json!(7),
        json!({ "type": "strin" }),
        json!({ "type": [] }),
        json!({ "enum": [] }),
        json!({ "anyOf": [] }),
        json!({ "properties": [] }),
        json!({ "required": [1] }),
        json!({ "minItems": -1 }),
        json!({ "maxLength": 1.5 }),
        json!({ "minimum": "1" }),
        json!({ "multipleOf": 0 }),
        json!({ "uniqueItems": 1 }),
        json!({ "description": 1 }),
        json!({ "$defs": [] }),
        json!({ "allOf": [{ "type": "string" }] }),
        json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] }),
    ] {
        assert!(matches!(Schema::compile(&wrong), Err(SchemaError::Malformed { .. })), "{wrong}");
    }
}

#[test]
fn only_local_references_are_followed() {
    for reference in ["http://example.com/x", "other.json#/$defs/a", "#/$defs/b", "#/properties/a", "#a"] {
        let schema = json!({ "$ref": reference, "$defs": { "a": {} } });
        assert!(matches!(Schema::compile(&schema), Err(SchemaError::UnknownReference { .. })), "{reference}");
    }
}

#[test]
fn a_recursive_definition_checks_a_tree_but_an_endless_one_is_refused() {
    let tree = schema(
        json!({ "type": "object", "properties": { "next": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] } } }),
    );
    assert_eq!(texts(&tree, json!({ "next": { "next": { "next": null } } })), [""; 0]);
    assert_eq!(
        texts(&tree, json!({ "next": { "next": 7 } })),
        ["/next/next: expected a table (object), found the integer 7"]
    );

    for endless in [
        json!({ "$ref": "#" }),
        json!({ "$defs": { "a": { "anyOf": [true, { "allOf": [{ "$ref": "#/$defs/b" }] }] }, "b": { "$ref": "#/$defs/a" } } }),
    ] {
        assert!(matches!(Schema::compile(&endless), Err(SchemaError::EndlessReference { .. })), "{endless}");
    }
}

#[test]
fn a_hostile_schema_or_value_costs_a_bounded_amount_of_work() {
    let deep = (0..=MAX_DEPTH).fold(json!(true), |inner, _| json!({ "items": inner }));
    assert!(matches!(Schema::compile(&deep), Err(SchemaError::TooDeep { .. })));

    let link = |i: usize| (format!("d{i}"), json!({ "$ref": format!("#/$defs/d{}", i + 1) }));
    let mut chain: serde_json::Map<_, _> = (0..10_000).map(link).collect();
    chain.insert("d10000".into(), json!(true));
    assert!(matches!(Schema::compile(&json!({ "$defs": chain })), Err(SchemaError::TooLarge { .. })));

    let double = |i: usize| {
        let next = json!({ "$ref": format!("#/$defs/d{}", i + 1) });
        (format!("d{i}"), json!({ "anyOf": [next, next] }))
    };
    let mut bomb: serde_json::Map<_, _> = (0..30).map(double).collect();
    bomb.insert("d30".into(), json!(true));
    assert!(matches!(Schema::compile(&json!({ "$defs": bomb })), Err(SchemaError::TooLarge { .. })));

    let fork = json!({ "items": { "$ref": "#" } });
    let forks = schema(json!({ "anyOf": [fork, fork], "type": "array" }));
    let nested = (0..60).fold(json!(7), |inner, _| json!([inner]));
    assert_eq!(forks.check(&nested).last().map(|mistake| &mistake.kind), Some(&MistakeKind::TooComplex));

    let unique = schema(json!({ "uniqueItems": true }));
    let many: Value = (0..100_000).collect();
    assert_eq!(texts(&unique, many), [": this is too complex to be checked"]);

    let tower = schema(json!({ "items": { "$ref": "#" } }));
    let high = (0..1000).fold(json!([]), |inner, _| json!([inner]));
    assert_eq!(texts(&tower, high), [": this is too complex to be checked"]);
}
