//! What never happens, whatever the text is.

use proptest::prelude::*;
use sedge_config::{Layer, Outcome};

use super::layers::{self, file};
use super::parse;

/// All that is ever shown.
fn shown(outcome: &Outcome) -> String {
    let mut shown = format!("{outcome:?}{}", serde_json::to_string(&outcome.diagnostics).expect("JSON"));
    shown.push_str(&serde_json::to_string(&outcome.config).expect("JSON"));
    shown.push_str(&serde_json::to_string(&outcome.origins).expect("JSON"));
    shown.push_str(&outcome.effective.to_string());
    for diagnostic in &outcome.diagnostics {
        shown.push_str(&diagnostic.render(false));
        shown.push_str(&diagnostic.one_line());
    }
    shown
}

/// Reads and renders; what is said lies within the text.
fn survives(text: &str) -> Outcome {
    let outcome = parse(text);
    let lines: Vec<&str> = text.split('\n').collect();
    for diagnostic in &outcome.diagnostics {
        let line =
            lines.get(diagnostic.line - 1).unwrap_or_else(|| panic!("line {} of {text:?}", diagnostic.line));
        assert!(diagnostic.column <= line.chars().count() + 1, "{diagnostic:?} of {text:?}");
        assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?} of {text:?}");
        assert!(!diagnostic.one_line().contains('\n'));
        assert!(!diagnostic.render(false).is_empty());
        assert!(!diagnostic.render(true).is_empty());
    }
    assert_eq!(
        outcome.config.is_none(),
        outcome.diagnostics.iter().any(|diagnostic| diagnostic.fatal),
        "{text:?}"
    );
    outcome
}

/// Pieces of a config, so that random files come close to right ones.
pub(crate) fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[node]",
        "[mqtt]",
        "[bus.b]",
        "[bus.b.c]",
        "[sensor.s]",
        "[sensor.\"ü\\n\"]",
        "[gpio.g]",
        "[plugin.system]",
        "[[sensor]]",
        "kind = 'sim'",
        "kind = 'bme280'",
        "kind = 'relay'",
        "bus = 'b'",
        "bus = 'ß'",
        "line = 7",
        "address = 0x76",
        "address = -9223372036854775808",
        "address = '28-0316a2794cff'",
        "address = '../\u{1b}'",
        "address = 3",
        "[bus.m]",
        "kind = 'tca9548a'",
        "bus = 'm'",
        "channel = 0",
        "kind = 'ds18b20'",
        "kind = 'max31855'",
        "kind = 'power'",
        "power = 'g'",
        "bus.a = { kind = 'tca9548a', bus = 'm', channel = 1 }",
        "every = '1s'",
        "every = 9",
        "enabled = 'yes'",
        "mode = 'forcd'",
        "offset = nan",
        "offset = [{}]",
        "url = 'mqtt://u:p@h'",
        "url = 'x://'",
        "password = 'hunter2'",
        "password = \"\"\"",
        "config_version = 1",
        "config_version = 9",
        "id = ''",
        "labels = { a = 1 }",
        "sensor.x = { kind = 'cpu' }",
        "= 7",
        "\u{feff}",
        "\r",
        "\"",
        "[",
        "x.y.z = 1",
        "x.y = 2",
        "# ü",
        "\t",
        "[processor.p]",
        "[destination.d]",
        "[guard.g]",
        "[plugins]",
        "kind = 'limit'",
        "process = ['p', 'q', 'p']",
        "sensors = ['s', 't']",
        "tools = ['x_*', 7]",
        "at_most = 1",
        "only_if = \"\\u00fc = \\n ?\"",
        "only_if = 'a >'",
        "paths = 7",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics_and_is_never_misplaced(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn random_bytes_read_as_text_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_configs_never_panic_and_are_never_misplaced(pieces in prop::collection::vec(piece(), 0..20)) {
        survives(&pieces.join("\n"));
    }

    #[test]
    fn a_password_is_in_no_output(
        before in prop::collection::vec(piece(), 0..8),
        key in prop::sample::select(vec![
            "password = \"hunter2\"", "password = [\"hunter2\"]", "password = hunter2", "password = 'hunter2", "passwrd = 'hunter2'",
            "url = 'mqtt://me:hunter2@h:x'", "url = 'mqtts://me:hunter2@h'", "api_token = { x = 'hunter2' }", "\"password\" = '''\nhunter2'''",
        ]),
        after in prop::collection::vec(piece(), 0..8),
    ) {
        let text = [before, vec!["[mqtt]".into(), key.into()], after].concat().join("\n");
        let outcome = survives(&text);
        let shown = shown(&outcome);
        prop_assert!(!shown.contains("hunter2"), "{}", shown);
    }

    #[test]
    fn random_layers_never_panic_and_are_never_misplaced(
        files in prop::collection::vec(prop::collection::vec(piece(), 0..6), 1..4),
        settings in prop::collection::vec(file_of_plugin(), 0..3),
        variables in prop::collection::vec((name(), value()), 0..6),
        flags in prop::collection::vec((key(), value()), 0..4),
    ) {
        let files = files.iter().enumerate();
        let mut layers: Vec<_> = files.map(|(at, text)| file(&format!("{at}.toml"), &text.join("\n"))).collect();
        layers.extend(settings);
        layers.extend([Layer::Environment(variables), Layer::Flags(flags)]);
        let outcome = layers::parse(&layers);
        prop_assert_eq!(outcome.config.is_none(), outcome.diagnostics.iter().any(|diagnostic| diagnostic.fatal));
        for diagnostic in &outcome.diagnostics {
            prop_assert!(!diagnostic.one_line().contains('\n'));
            prop_assert!(!diagnostic.render(false).is_empty() && !diagnostic.render(true).is_empty());
        }
        prop_assert_eq!(&outcome, &layers::parse(&layers), "the same every time");
    }

    #[test]
    fn the_password_of_a_variable_or_a_flag_is_in_no_output(
        before in prop::collection::vec(piece(), 0..6),
        (name, key) in prop::sample::select(vec![
            ("SEDGE__MQTT__PASSWORD", "mqtt.password"),
            ("SEDGE__MQTT__PASSWRD", "mqtt.passwrd"),
            ("SEDGE__PLUGIN__WEATHER__PIN", "plugin.weather.pin"),
            ("SEDGE__PLUGIN__WEATHER__API_TOKEN__X", "plugin.weather.api_token.x"),
            ("SEDGE__PLUGIN__WEATHER__API_TKEN", "plugin.weather.api_tken"),
            ("SEDGE__PLUGIN__WETHER__PIN", "plugin.wether.pin"),
            ("SEDGE__WHATEVER", "whatever"),
            ("SEDGE__MQTT__URL", "mqtt.url"),
        ]),
        of_url in prop::sample::select(vec!["mqtt://me:hunter2@h", "mqtt://me:hunter2@h:x", "mqtt://:hunter2@h"]),
        of_key in prop::sample::select(vec!["hunter2\nhunter2", "['hunter2']", "{ a = 'hunter2' }", "'hunter2", "hunter2"]),
    ) {
        let value = if key == "mqtt.url" { of_url } else { of_key };
        let given = |name: &str| vec![(name.to_owned(), value.to_owned())];
        for layer in [Layer::Environment(given(name)), Layer::Flags(given(key))] {
            let shown = shown(&layers::parse(&[file("sedge.toml", &before.join("\n")), layer]));
            prop_assert!(!shown.contains("hunter2"), "{}", shown);
        }
    }
}

fn file_of_plugin() -> impl Strategy<Value = Layer> {
    let names = prop::sample::select(vec!["system", "weather", "systm", "A b", ""]);
    (names, prop::collection::vec(piece(), 0..4)).prop_map(|(plugin, pieces)| Layer::Plugin {
        plugin: plugin.into(),
        name: format!("plugins/{plugin}.toml"),
        text: pieces.join("\n"),
    })
}

fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "NODE", "ID", "MQTT", "SENSOR", "S", "KIND", "EVERY", "PLUGIN", "SYSTEM", "LABELS", "", "_", "ü",
        "GUARD", "G", "ONLY_IF", "TOOLS", "X", "\n",
    ]);
    prop::collection::vec(part, 0..5).prop_map(|parts| format!("SEDGE__{}", parts.join("__")))
}

fn key() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "node.id",
        "node",
        "sensor.s.every",
        "sensor.\"ü\\n\".kind",
        "mqtt.queue",
        "x",
        "",
        "a = 1",
        "guard.g.only_if",
        "plugin.system",
        "\n",
    ]);
    prop_oneof![key.prop_map(str::to_owned), any::<String>()]
}

fn value() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "1",
        "5s",
        "true",
        "",
        "[1, 'a']",
        "{ a = 1 }",
        "inf",
        "'x'",
        "1\nb = 2",
        "x ? y",
        "\"ü\" = 1",
        "limit",
        "sim",
        "1979-05-27",
        "# no",
        "[",
        "'''",
    ]);
    prop_oneof![value.prop_map(str::to_owned), any::<String>()]
}

#[test]
fn a_plugins_own_secret_is_in_no_output() {
    let text =
        "mqtt.embedded = true\n[plugin.weather]\napi_token = ['hunter2']\npin = 77777\napi_tken = 'hunter2'";
    let outcome = survives(text);
    assert_eq!(outcome.diagnostics.len(), 3);
    let shown = shown(&outcome);
    assert!(!shown.contains("hunter2") && !shown.contains("77777"), "{shown}");
}

#[test]
fn a_byte_order_mark_and_foreign_line_ends_do_not_move_the_place() {
    for text in ["\u{feff}[node]\nidd = 'a'", "[node]\r\nidd = 'a'"] {
        let outcome = survives(text);
        let first = outcome.diagnostics.iter().find(|diagnostic| diagnostic.fatal).expect("a mistake");
        assert_eq!((first.line, first.column), (2, 1), "{text:?}");
        assert_eq!(&text[first.span.clone()], "idd");
    }
}
