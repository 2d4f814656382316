//! A config in several layers.

use std::path::Path;

use sedge_config::{Address, Layer, Outcome, Severity};

use super::{catalogue, golden, lines};

pub(crate) fn file(name: &str, text: &str) -> Layer {
    Layer::File { name: name.into(), text: text.into() }
}

fn plugin(name: &str, text: &str) -> Layer {
    Layer::Plugin { plugin: name.into(), name: format!("plugins/{name}.toml"), text: text.into() }
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn environment(variables: &[(&str, &str)]) -> Layer {
    Layer::Environment(pairs(variables))
}

fn flags(flags: &[(&str, &str)]) -> Layer {
    Layer::Flags(pairs(flags))
}

pub(crate) fn parse(layers: &[Layer]) -> Outcome {
    sedge_config::parse_layers(layers, &catalogue::catalogue())
}

const MAIN: &str = "mqtt.embedded = true\n[bus.b]\nkind = 'sim'\n[sensor.pi-kitchen]\nkind = 'bme280'\nbus = 'b'\n\
    every = '10s'\n[plugin.system]\nevery = '1s'\n";

/// What one variable makes of a config.
fn with(name: &str, value: &str) -> Outcome {
    parse(&[file("sedge.toml", MAIN), environment(&[(name, value)])])
}

fn errors(outcome: &Outcome) -> Vec<String> {
    let errors = outcome.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    errors.map(|diagnostic| diagnostic.one_line()).collect()
}

#[test]
fn the_later_layer_wins_and_tables_grow_together() {
    let outcome = parse(&[
        file("sedge.toml", MAIN),
        file(
            "conf.d/10-a.toml",
            "[sensor.pi-kitchen]\nevery = '20s'\nmode = 'forced'\n[node.labels]\na = '1'",
        ),
        file("conf.d/20-b.toml", "sensor.pi-kitchen.every = '30s'\nnode.labels.b = '2'"),
        plugin("system", "enabled = false"),
        environment(&[
            ("SEDGE__SENSOR__PI_KITCHEN__ADDRESS", "0x77"),
            ("SEDGE__NODE__ID", "env"),
            ("HOME", "/"),
        ]),
        flags(&[("node.id", "first"), ("node.id", "flag")]),
    ]);
    assert_eq!(lines(&outcome), [""; 0]);
    let config = outcome.config.expect("no mistake");
    let sensor = &config.sensors[0];
    assert_eq!((sensor.every.0.as_secs(), &sensor.address), (30, &Some(Address::Number(0x77))));
    assert_eq!(sensor.settings["mode"], "forced");
    assert_eq!(config.node.labels.len(), 2);
    assert_eq!(config.node.id.as_ref().map(|id| id.as_str()), Some("flag"));
    assert!(!config.plugins[0].enabled, "the file of the plugin says so");
    assert_eq!(config.plugins[0].settings["every"], "1s", "and leaves the rest");
}

#[test]
fn an_array_is_replaced() {
    let list = |paths: &str| format!("mqtt.embedded = true\nplugins.paths = {paths}");
    let outcome = parse(&[file("a", &list("['/a', '/b']")), file("b", "plugins.paths = ['/c']")]);
    assert_eq!(outcome.config.expect("no mistake").plugin_paths, [Path::new("/c")]);
}

#[test]
fn a_variable_matches_what_is_there_with_a_hyphen() {
    let outcome = with("SEDGE__SENSOR__PI_KITCHEN__EVERY", "5s");
    assert_eq!(lines(&outcome), [""; 0]);
    assert_eq!(outcome.config.expect("no mistake").sensors[0].every.0.as_secs(), 5);
}

#[test]
fn a_variable_for_what_is_not_there_makes_an_id_with_hyphens_and_a_key_of_the_schema() {
    let outcome = parse(&[
        file("sedge.toml", ""),
        environment(&[
            ("SEDGE__MQTT__KEEP_ALIVE", "30s"),
            ("SEDGE__MQTT__EMBEDDED", "true"),
            ("SEDGE__SENSOR__THE_CPU__KIND", "cpu"),
            ("SEDGE__SENSOR__THE_CPU__EVERY", "3s"),
        ]),
    ]);
    assert_eq!(lines(&outcome), [""; 0]);
    let config = outcome.config.expect("no mistake");
    assert_eq!(config.mqtt.keep_alive.0.as_secs(), 30);
    assert_eq!((config.sensors[0].id.as_str(), config.sensors[0].every.0.as_secs()), ("the-cpu", 3));
}

#[test]
fn a_variable_that_can_be_two_things_is_an_error_that_names_both() {
    let labels = "mqtt.embedded = true\nnode.labels = { a-b = 'x', a_b = 'y' }";
    let outcome = parse(&[file("sedge.toml", labels), environment(&[("SEDGE__NODE__LABELS__A_B", "z")])]);
    assert_eq!(
        lines(&outcome),
        ["environment: SEDGE__NODE__LABELS__A_B: this can be `node.labels.a-b` and `node.labels.a_b`; \
          give one of them another name, or set it in a file or by a flag"]
    );
    let twice = parse(&[environment(&[("SEDGE__NODE__ID", "a"), ("SEDGE__node__id", "b")])]);
    assert!(
        errors(&twice)[0].contains("SEDGE__node__id: `SEDGE__NODE__ID` sets the same"),
        "{:?}",
        lines(&twice)
    );
    assert!(twice.config.is_none(), "which of them the node is called is not known");
}

#[test]
fn a_value_of_a_variable_is_what_the_schema_expects() {
    for (name, value, pointer, meant) in [
        ("SEDGE__NODE__ID", "007", "/node/id", serde_json::json!("007")),
        ("SEDGE__NODE__ID", "7", "/node/id", "7".into()),
        ("SEDGE__NODE__ID", "true", "/node/id", "true".into()),
        ("SEDGE__NODE__ID", "inf", "/node/id", "inf".into()),
        ("SEDGE__NODE__ID", "\"quoted\"", "/node/id", "quoted".into()),
        ("SEDGE__NODE__LABELS__ROOM", "12", "/node/labels/room", "12".into()),
        ("SEDGE__NODE__LABELS", "{ a = 'b' }", "/node/labels/a", "b".into()),
        ("SEDGE__MQTT__EMBEDDED", "true", "/mqtt/embedded", true.into()),
        ("SEDGE__MQTT__QUEUE", "100", "/mqtt/queue", 100.into()),
        ("SEDGE__SENSOR__PI_KITCHEN__ADDRESS", "0x77", "/sensor/pi-kitchen/address", 0x77.into()),
        ("SEDGE__SENSOR__PI_KITCHEN__OFFSET", "-0.5", "/sensor/pi-kitchen/offset", (-0.5).into()),
        ("SEDGE__SENSOR__PI_KITCHEN__MODE", "forced", "/sensor/pi-kitchen/mode", "forced".into()),
        ("SEDGE__PLUGIN__SYSTEM__EVERY", "2s", "/plugin/system/every", "2s".into()),
        ("SEDGE__PLUGINS__PATHS", "['/x']", "/plugins/paths/0", "/x".into()),
    ] {
        let outcome = with(name, value);
        assert_eq!(errors(&outcome), [""; 0], "{name}={value}");
        assert_eq!(outcome.effective.pointer(pointer), Some(&meant), "{name}={value}");
    }
}

#[test]
fn a_value_that_cannot_be_is_told_with_the_name_of_the_variable_or_the_flag() {
    for (name, value, told) in [
        (
            "SEDGE__SENSOR__PI_KITCHEN__EVERY",
            "5",
            "environment: SEDGE__SENSOR__PI_KITCHEN__EVERY: `5` is not a duration",
        ),
        (
            "SEDGE__MQTT__QUEUE",
            "1",
            "environment: SEDGE__MQTT__QUEUE: 1 is out of range, expected 64 to 1000000",
        ),
        (
            "SEDGE__MQTT__QUEUE",
            "x",
            "environment: SEDGE__MQTT__QUEUE: expected an integer, found the string `x`",
        ),
        (
            "SEDGE__NDOE__ID",
            "x",
            "environment: SEDGE__NDOE__ID: unknown section `ndoe`; did you mean `node`?",
        ),
        (
            "SEDGE__MQTT__KEEP_ALIV",
            "x",
            "environment: SEDGE__MQTT__KEEP_ALIV: unknown key `keep_aliv`; did you mean `keep_alive`?",
        ),
        (
            "SEDGE__",
            "x",
            "environment: SEDGE__: this names no setting; such as SEDGE__SENSOR__KITCHEN__EVERY",
        ),
    ] {
        let found = errors(&with(name, value));
        assert!(found.len() == 1 && found[0].starts_with(told), "{found:?}");
    }
    let flag = |key: &str, value: &str| errors(&parse(&[file("sedge.toml", MAIN), flags(&[(key, value)])]));
    let found = flag("sensor.pi-kitchen.every", "5");
    assert!(found[0].starts_with("--set sensor.pi-kitchen.every: `5` is not a duration"), "{found:?}");
    for key in ["", "a..b", "a = 1\nb", "a = 0 #", "a b"] {
        assert!(flag(key, "1")[0].contains("this is no key; such as --set sensor.kitchen.every=5s"), "{key}");
    }
}

#[test]
fn what_begins_with_one_underscore_is_not_ours() {
    let outcome = with("SEDGE_LOG", "debug");
    assert_eq!(lines(&outcome), [""; 0]);
}

#[test]
fn the_order_of_the_environment_does_not_matter() {
    let variables = [
        ("SEDGE__SENSOR__A__OFFSET", "1"),
        ("SEDGE__SENSOR__A__BUS", "b"),
        ("SEDGE__SENSOR__A__MODE", "forced"),
        ("SEDGE__SENSOR__A__KIND", "bme280"),
        ("SEDGE__SENSOR__A__ADDRESS", "0x77"),
    ];
    let mut reversed = variables;
    reversed.reverse();
    let [one, other] = [variables, reversed].map(|v| parse(&[file("sedge.toml", MAIN), environment(&v)]));
    assert_eq!(lines(&one), [""; 0]);
    assert_eq!(one, other);
}

#[test]
fn all_files_that_are_no_toml_are_told_at_once_and_are_fatal() {
    let broken = |name: &str| file(name, "[a\n");
    for layers in [
        vec![broken("sedge.toml")],
        vec![file("sedge.toml", MAIN), broken("conf.d/1.toml")],
        vec![file("sedge.toml", MAIN), plugin("system", "x = ")],
    ] {
        let outcome = parse(&layers);
        assert!(outcome.config.is_none() && outcome.diagnostics.iter().any(|d| d.fatal), "{layers:?}");
    }
    let outcome = parse(&[
        broken("sedge.toml"),
        file("conf.d/1.toml", "[sensor.a]\nbus = 'not-read'\nevry = 1\n[processor.p]\nkind = 'smoth'"),
        plugin("system", "x = "),
        environment(&[("SEDGE__NDOE__ID", "x")]),
    ]);
    let found = lines(&outcome);
    assert_eq!(found.len(), 4, "what may follow from the unread file is left out: {found:#?}");
    for (line, start) in found.iter().zip([
        "sedge.toml:1:3: this is not TOML",
        "conf.d/1.toml:5:8: unknown kind `smoth`",
        "plugins/system.toml:1:5: this is not TOML",
        "environment: SEDGE__NDOE__ID: unknown section",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn no_layer_at_all_is_an_empty_file() {
    assert_eq!(parse(&[]).config, Some(sedge_config::Config::default()));
}

#[test]
fn a_mistake_in_any_layer_is_shown_where_it_is() {
    let outcome = parse(&[
        file(
            "sedge.toml",
            "[mqtt]\nembedded = true\n\n[bus.b]\nkind = 'sim'\n\n[sensor.a]\nkind = 'sht3x'\nbus = 'b'\n",
        ),
        file(
            "conf.d/20-site.toml",
            "# The site.\n[sensor.b]\nkind = 'sht3x'\nbus = 'b'\n\n[sensor.c]\nkind = 'cpu'\nevry = '1s'\n",
        ),
        file("conf.d/30-bus.toml", "bus.b.sed = 1\n"),
        plugin("systm", "every = '1s'\n"),
        plugin("system", "# Settings of `system`.\nevery = 1\n"),
        environment(&[
            ("SEDGE__SENSOR__D__KIND", "bme820"),
            ("SEDGE__PLUGIN__WEATHER__PIN", "77777"),
            ("SEDGE__PLUGIN__WEATHER__API_TKEN", "hunter2"),
        ]),
        flags(&[("sensor.a.address", "0x46"), ("plugin.weather.pin", "77778")]),
    ]);
    let shown = golden::shown(&outcome);
    assert!(!shown.contains("7777") && !shown.contains("hunter2"), "{shown}");
    golden::compare("layers.txt", &shown);
}

/// The files of the layered example.
pub(crate) fn example() -> [Layer; 3] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/layers");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
    [
        file("sedge.toml", &read("sedge.toml")),
        file("conf.d/20-site.toml", &read("conf.d/20-site.toml")),
        plugin("system", &read("plugins/system.toml")),
    ]
}

#[test]
fn the_layered_example_has_no_mistake() {
    let outcome = parse(&example());
    assert_eq!(lines(&outcome), [""; 0]);
    let config = outcome.config.expect("no mistake");
    assert_eq!((config.sensors[0].every.0.as_secs(), config.guards.len()), (60, 1));
}
