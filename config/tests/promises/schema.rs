//! The schema of the whole file says what the check does.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use sedge_config::{Catalogue, Kind, Layer, Section};
use serde_json::{Value, json};

use super::{catalogue, lines};

/// What the examples use, too.
fn whole_catalogue() -> Catalogue {
    let mut catalogue = catalogue::catalogue();
    let kind = |section, name: &str, addresses: &[u8], schema: Value| Kind {
        section,
        name: name.into(),
        schema,
        addresses: addresses.into(),
        buses: addresses
            .iter()
            .flat_map(|_| ["i2c".to_owned(), "tca9548a".to_owned(), "sim".to_owned()])
            .collect(),
        outside: None,
    };
    let none = json!({ "type": "object", "additionalProperties": false });
    catalogue.kinds.extend([
        kind(Section::Sensor, "tmp117", &[0x48], none.clone()),
        kind(Section::Sensor, "bh1750", &[0x23], none),
        kind(
            Section::Processor,
            "derive",
            &[],
            // A definition of the same name stands in another kind.
            json!({
                "type": "object",
                "properties": { "to": { "$ref": "#/$defs/To" } },
                "required": ["to"],
                "additionalProperties": false,
                "$defs": { "To": { "description": "A field.", "type": "string" } },
            }),
        ),
        kind(
            Section::Destination,
            "http",
            &[],
            json!({
                "description": "Posts readings.",
                "$ref": "#/$defs/To",
                "$defs": { "To": {
                    "type": "object",
                    "oneOf": [
                        { "properties": { "host": { "type": "string" } }, "required": ["host"], "additionalProperties": false },
                        { "properties": { "url": { "type": "string" } }, "required": ["url"], "additionalProperties": false },
                    ],
                } },
            }),
        ),
    ]);
    catalogue
}

fn json_of(text: &str) -> Value {
    let table: toml::Table = text.parse().expect("valid TOML");
    serde_json::to_value(table).expect("JSON")
}

fn validator() -> jsonschema::Validator {
    let schema = sedge_config::schema(&whole_catalogue());
    jsonschema::draft202012::meta::validate(&schema).expect("a valid schema");
    jsonschema::draft202012::new(&schema).expect("a schema that can be used")
}

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(validator);

fn errors(value: &Value) -> Vec<String> {
    VALIDATOR.iter_errors(value).map(|error| error.to_string()).collect()
}

#[test]
fn every_example_is_valid() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files = vec![examples.join("layers/sedge.toml")];
    for entry in std::fs::read_dir(&examples).expect("a folder") {
        let path = entry.expect("an entry").path();
        files.extend(path.extension().is_some_and(|extension| extension == "toml").then_some(path));
    }
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("the file");
        assert_eq!(errors(&json_of(&text)), [""; 0], "{}", file.display());
        let outcome = sedge_config::parse("sedge.toml", &text, &whole_catalogue());
        assert_eq!(lines(&outcome), [""; 0], "{}", file.display());
    }
}

#[test]
fn what_is_in_effect_is_valid_too() {
    let effective = |layers: &[Layer]| sedge_config::parse_layers(layers, &whole_catalogue()).effective;
    assert_eq!(errors(&effective(&[super::layers::file("sedge.toml", GOOD)])), [""; 0]);
    assert_eq!(errors(&effective(&super::layers::example())), [""; 0]);
}

const GOOD: &str = "mqtt = { embedded = true, keep_alive = '1m 30s' }
bus.b = { kind = 'sim', seed = 1 }
sensor.k = { kind = 'bme280', bus = 'b', address = 0x77, mode = 'forced', process = ['p'] }
sensor.c = { kind = 'cpu', every = '500ms', power = 'rail' }
sensor.t = { kind = 'max31855', bus = 'b', address = 15 }
sensor.w = { kind = 'ds18b20', bus = 'b', address = '28-0316a2794cff' }
gpio.g = { kind = 'relay', bus = 'b', line = 1, inverted = true }
gpio.rail = { kind = 'power', bus = 'b', line = 2 }
plugin.system = { every = '10s' }
plugin.weather = { enabled = false }
plugin.near = { kind = 'weather', api_token = 'x' }
processor.p = { kind = 'limit', max = 1.5, sensors = ['k'], priority = 101 }
processor.d = { kind = 'derive', to = 'x' }
destination.f = { kind = 'file', path = 'x' }
destination.h = { kind = 'http', url = 'x', enabled = false, sensors = [] }
guard.u = { tools = ['pump_*'], allow = ['cli'], at_most = 1, per = '1h', only_if = 'a > 1' }
plugins.paths = ['/x']
node = { id = 'a', data = '/x', labels = { 'a b' = 'c' } }
";

/// Whether the schema and the crate's own check accept a text.
fn accepted(text: &str) -> (bool, bool) {
    let outcome = sedge_config::parse("sedge.toml", text, &whole_catalogue());
    (VALIDATOR.is_valid(&json_of(text)), !outcome.has_errors())
}

#[test]
fn what_is_right_is_so_for_both() {
    let outcome = sedge_config::parse("sedge.toml", GOOD, &whole_catalogue());
    assert_eq!(lines(&outcome), [""; 0]);
    let errors: Vec<String> = VALIDATOR.iter_errors(&json_of(GOOD)).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
fn what_is_wrong_is_so_for_both() {
    for (from, to) in [
        ("embedded = true", "embedded = 1"),
        ("embedded = true", "embeded = true"),
        ("'1m 30s'", "'90'"),
        ("'1m 30s'", "'-5s'"),
        ("'1m 30s'", "'10:00:00'"),
        ("seed = 1", "seed = -1"),
        ("seed = 1", "sed = 1"),
        ("kind = 'sim'", "kind = 'sin'"),
        ("kind = 'sim', ", ""),
        ("bus = 'b', address", "address"),
        ("0x77", "0x78"),
        ("0x77", "'0x77'"),
        ("address = 15", "address = 16"),
        ("address = 15", "address = -1"),
        ("address = 15", "address = '15'"),
        ("bus = 'b', address = 15", "address = 15"),
        ("'28-0316a2794cff'", "28"),
        ("'28-0316a2794cff'", "''"),
        ("'28-0316a2794cff'", "'28/x'"),
        ("'28-0316a2794cff'", "\"28\\u007f\""),
        ("'28-0316a2794cff'", "true"),
        ("bus = 'b', address = '28", "address = '28"),
        ("'rail' }", "7 }"),
        ("'forced'", "'forcd'"),
        ("['p']", "'p'"),
        ("'cpu'", "'cpu', address = 1"),
        ("'cpu'", "'cpu', mode = 'forced'"),
        ("line = 1", "line = 1024"),
        ("line = 1, ", ""),
        ("inverted = true", "inverted = 'yes'"),
        ("kind = 'weather', api_token", "api_token"),
        ("kind = 'weather', api_token = 'x'", "kind = 'system', api_token = 'x'"),
        ("plugin.weather = {", "plugin.weather = { kind = 'system',"),
        ("max = 1.5", "max = 'x'"),
        ("priority = 101", "priority = 'first'"),
        ("priority = 101", "priority = 99"),
        ("priority = 101", "priority = 1000"),
        ("['k']", "[7]"),
        ("to = 'x'", "to = 1"),
        ("to = 'x'", "enabled = true"),
        ("path = 'x'", "url = 'x'"),
        ("url = 'x'", "url = 'x', host = 'y'"),
        ("url = 'x'", "url = 'x', more = 1"),
        ("['pump_*']", "[]"),
        ("['pump_*']", "['pump-1']"),
        ("tools = ['pump_*'], ", ""),
        ("at_most = 1, ", ""),
        ("per = '1h', ", ""),
        ("at_most = 1", "at_most = 0"),
        ("allow = ['cli']", "alow = ['cli']"),
        ("['/x']", "'/x'"),
        ("id = 'a'", "id = 'A b'"),
        ("'c' }", "7 }"),
        ("sensor.c", "sensor.C_d"),
        ("sensor.c", "sensors.c"),
        ("mqtt =", "config_version = 2\nmqtt ="),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let text = GOOD.replacen(from, to, 1);
        assert_eq!(accepted(&text), (false, false), "{from} -> {to}");
    }
}

#[test]
fn descriptions_and_defaults_are_kept_and_nothing_is_null() {
    let schema = sedge_config::schema(&whole_catalogue());
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    assert_eq!(at("/$defs/sensor.bme280/properties/kind/const"), "bme280");
    assert_eq!(at("/$defs/sensor.bme280/properties/every/default"), "10s");
    assert_eq!(at("/$defs/sensor.bme280/properties/mode/description"), "How it measures.");
    assert_eq!(at("/$defs/sensor.bme280/properties/address/enum"), json!([0x76, 0x77]));
    assert_eq!(at("/$defs/sensor.max31855/properties/address/default"), 0);
    assert_eq!(at("/$defs/sensor.max31855/properties/address/maximum"), 15);
    assert_eq!(at("/$defs/sensor.ds18b20/properties/address/type"), "string");
    assert_eq!(at("/$defs/sensor.cpu/properties/power/type"), "string");
    assert_eq!(at("/$defs/destination.http/description"), "Posts readings.");
    assert_eq!(at("/$defs/processor.derive.settings.To/description"), "A field.");
    assert_eq!(at("/properties/mqtt/properties/queue/default"), 10_000);
    assert_eq!(at("/properties/mqtt/properties/password/writeOnly"), true);
    let text = schema.to_string();
    assert!(!text.contains("null") && !text.contains("\"duration\""), "{text}");
}

#[test]
fn every_reference_leads_somewhere() {
    let schema = sedge_config::schema(&whole_catalogue());
    fn references(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                all.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|value| references(value, all));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, all)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    references(&schema, &mut all);
    assert!(all.len() > 10);
    for reference in all {
        let pointer = reference.strip_prefix('#').expect("a local one");
        assert!(schema.pointer(pointer).is_some(), "{reference}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_schema_refuses_nothing_that_the_check_accepts(
        pieces in prop::collection::vec(super::never::piece(), 0..8),
        kept in prop::collection::vec(any::<bool>(), GOOD.lines().count()),
    ) {
        let kept: Vec<&str> = GOOD.lines().zip(kept).filter(|(_, kept)| *kept).map(|(line, _)| line).collect();
        let text = [kept.join("\n"), pieces.join("\n")].join("\n");
        let outcome = sedge_config::parse("sedge.toml", &text, &whole_catalogue());
        if !outcome.has_errors() && let Ok(table) = text.parse::<toml::Table>() {
            let value = serde_json::to_value(table).expect("JSON");
            prop_assert!(VALIDATOR.is_valid(&value), "{}", text);
        }
    }
}
