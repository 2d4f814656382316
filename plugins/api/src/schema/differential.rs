//! The subset agrees with a complete validator, the `jsonschema` crate, on random schemas and values.
//!
//! Left out on purpose: numbers such as `1.0`, which only JSON Schema calls integers, and the formats that only we check.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Schema;

/// Few words, so that keys, constants and values often meet.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "mode", "é~/"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4..8_i64).prop_map(Value::from),
        (-4..8_i64).prop_map(|n| json!(n as f64 + 0.5)),
        word().prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn type_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["null", "boolean", "integer", "number", "string", "array", "object"])
}

/// One keyword without schemas inside.
fn plain_keyword() -> BoxedStrategy<(&'static str, Value)> {
    let count = || 0..4_u64;
    let number =
        || prop_oneof![(-3..6_i64).prop_map(Value::from), (-3..6_i64).prop_map(|n| json!(n as f64 + 0.5))];
    prop_oneof![
        4 => type_name().prop_map(|name| ("type", json!(name))),
        2 => prop::collection::btree_set(type_name(), 1..4).prop_map(|names| ("type", json!(names))),
        1 => prop::collection::vec(value(), 1..4).prop_map(|values| ("enum", json!(values))),
        1 => value().prop_map(|value| ("const", value)),
        1 => prop::collection::btree_set(word(), 0..3).prop_map(|keys| ("required", json!(keys))),
        1 => (prop::sample::select(vec!["minItems", "maxItems", "minLength", "maxLength"]), count())
            .prop_map(|(keyword, n)| (keyword, json!(n))),
        1 => (prop::sample::select(vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), number()),
        1 => prop::sample::select(vec![json!(2), json!(0.5), json!(3)]).prop_map(|n| ("multipleOf", n)),
        1 => any::<bool>().prop_map(|unique| ("uniqueItems", json!(unique))),
        1 => Just(("description", json!("Said to people."))),
        1 => Just(("format", json!("hostname"))),
        1 => Just(("x-unit", json!("Cel"))),
    ]
    .boxed()
}

fn object(keywords: Vec<(&'static str, Value)>) -> Value {
    Value::Object(
        keywords.into_iter().map(|(keyword, value)| (keyword.to_owned(), value)).collect::<Map<_, _>>(),
    )
}

/// One schema; `references` are those that it may use.
fn node(references: Vec<&'static str>) -> BoxedStrategy<Value> {
    let reference = prop::sample::select(references);
    let leaf = prop_oneof![
        6 => prop::collection::vec(plain_keyword(), 0..3).prop_map(object),
        1 => any::<bool>().prop_map(Value::from),
        2 => (reference.clone(), prop::collection::vec(plain_keyword(), 0..2)).prop_map(|(to, mut beside)| {
            beside.push(("$ref", json!(to)));
            object(beside)
        }),
        1 => reference.prop_map(|to| json!({ "allOf": [{ "$ref": to }] })),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let nodes = || prop::collection::vec(inner.clone(), 1..4);
        let keyword = prop_oneof![
            3 => prop::collection::btree_map(word(), inner.clone(), 0..4).prop_map(|map| ("properties", json!(map))),
            2 => inner.clone().prop_map(|node| ("additionalProperties", node)),
            2 => inner.clone().prop_map(|node| ("items", node)),
            1 => nodes().prop_map(|nodes| ("anyOf", json!(nodes))),
            1 => nodes().prop_map(|nodes| ("oneOf", json!(nodes))),
        ];
        (prop::collection::vec(keyword, 1..3), prop::collection::vec(plain_keyword(), 0..3)).prop_map(|(mut all, plain)| {
            all.extend(plain);
            object(all)
        })
    })
    .boxed()
}

/// A schema with definitions. They refer to later ones only, so that none is endless; `items` goes back to the root.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop::collection::vec(plain_keyword(), 0..3).prop_map(object);
    (node(vec!["#/$defs/A", "#/$defs/B~1"]), node(vec!["#/$defs/B~1"]), leaf).prop_map(|(root, a, b)| {
        let definitions = json!({ "A": a, "B/": b, "Tree": { "items": { "$ref": "#" } } });
        match root {
            Value::Object(mut root) => {
                root.insert("$defs".into(), definitions);
                Value::Object(root)
            }
            _ => json!({ "allOf": [{ "$ref": "#/$defs/Tree" }], "$defs": definitions }),
        }
    })
}

const KEYWORDS: [&str; 21] = [
    "type",
    "enum",
    "const",
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "format",
    "$defs",
    "writeOnly",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_subset_agrees_with_a_complete_validator(schema in schema(), values in prop::collection::vec(value(), 1..12)) {
        let oracle = jsonschema::draft202012::new(&schema).expect("the oracle takes every schema of the subset");
        let ours = Schema::compile(&schema).expect("so do we");
        for value in values {
            let mistakes = ours.check(&value);
            prop_assert_eq!(mistakes.is_empty(), oracle.is_valid(&value), "{}\n{}\n{:?}", schema, value, mistakes);
            for mistake in mistakes {
                prop_assert!(!mistake.to_string().is_empty());
                prop_assert!(value.pointer(&mistake.pointer).is_some(), "{} in {}", mistake.pointer, value);
            }
        }
    }

    #[test]
    fn a_malformed_schema_is_refused_or_used_but_never_panics(
        keywords in prop::collection::btree_map(prop::sample::select(KEYWORDS.to_vec()), value(), 1..4),
        value in value(),
    ) {
        if let Ok(schema) = Schema::compile(&json!(keywords)) {
            prop_assert!(schema.check(&value).iter().all(|mistake| !mistake.to_string().is_empty()));
        }
    }
}
