//! What never happens, whatever the text is.

use proptest::prelude::*;
use sedge_config::Outcome;

use super::parse;

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
        assert!(!diagnostic.render(text, false).is_empty());
        assert!(!diagnostic.render(text, true).is_empty());
    }
    assert_eq!(
        outcome.config.is_none(),
        outcome.diagnostics.iter().any(|diagnostic| diagnostic.fatal),
        "{text:?}"
    );
    outcome
}

/// Pieces of a config, so that random files come close to right ones.
fn piece() -> impl Strategy<Value = String> {
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
        let mut shown = format!("{:?}{}", outcome.config, serde_json::to_string(&outcome.diagnostics).expect("JSON"));
        for diagnostic in &outcome.diagnostics {
            shown.push_str(&diagnostic.render(&text, false));
            shown.push_str(&format!("{}{diagnostic:?}", diagnostic.one_line()));
        }
        prop_assert!(!shown.contains("hunter2"), "{}", shown);
    }
}

#[test]
fn a_plugins_own_secret_is_in_no_output() {
    let text =
        "mqtt.embedded = true\n[plugin.weather]\napi_token = ['hunter2']\npin = 77777\napi_tken = 'hunter2'";
    let outcome = survives(text);
    assert_eq!(outcome.diagnostics.len(), 3);
    let mut shown = format!("{outcome:?}");
    outcome.diagnostics.iter().for_each(|diagnostic| shown.push_str(&diagnostic.render(text, false)));
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
