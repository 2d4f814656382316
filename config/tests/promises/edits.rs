//! A text is changed in one word.

use proptest::prelude::*;
use sedge_config::Section;
use sedge_config::edit::{EditError, set_enabled};
use toml::Table;

#[test]
fn comments_and_layout_stay() {
    let text = "# The node.\n[sensor.kitchen]  # above the sink\nkind   = 'cpu'\nenabled = true   # for now\n\n# The end.\n";
    let changed = set_enabled(text, Section::Sensor, "kitchen", false).expect("there");
    assert_eq!(changed, text.replace("enabled = true ", "enabled = false "));
    assert_eq!(set_enabled(&changed, Section::Sensor, "kitchen", true).as_deref(), Ok(text));
}

#[test]
fn each_way_to_write_a_section_is_understood() {
    for (text, changed) in [
        ("sensor.a.kind = 'cpu'\n", "sensor.a.kind = 'cpu'\nsensor.a.enabled = false\n"),
        ("sensor.a = { kind = 'cpu' }\n", "sensor.a = { kind = 'cpu' , enabled = false }\n"),
        ("[sensor]\na.kind = 'cpu'\n", "[sensor]\na.kind = 'cpu'\na.enabled = false\n"),
        ("sensor = { a = {} }", "sensor = { a = { enabled = false } }"),
        ("[sensor.a.x]\ny = 1\n", "[sensor.a]\nenabled = false\n[sensor.a.x]\ny = 1\n"),
        ("[sensor.a]\nenabled = 'yes'", "[sensor.a]\nenabled = false"),
    ] {
        let found = set_enabled(text, Section::Sensor, "a", false).expect(text);
        let parsed = |text: &str| text.parse::<Table>().expect("valid TOML");
        assert_eq!(parsed(&found), parsed(changed), "{found}");
    }
}

#[test]
fn a_plugin_without_a_section_gets_one() {
    for (text, changed) in [
        ("", "[plugin.system]\nenabled = false\n"),
        ("[mqtt]\nembedded = true\n", "[mqtt]\nembedded = true\n\n[plugin.system]\nenabled = false\n"),
        (
            "[plugin.x]\n# Here.\n[mqtt]\n",
            "[plugin.x]\n# Here.\n[mqtt]\n\n[plugin.system]\nenabled = false\n",
        ),
    ] {
        assert_eq!(set_enabled(text, Section::Plugin, "system", false).as_deref(), Ok(changed), "{text}");
    }
    for text in ["plugin.x.y = 1\n", "plugin = { x = {} }\n", "plugin = {}", "[plugin]\nx = {}\n"] {
        let changed = set_enabled(text, Section::Plugin, "system", false).expect(text);
        let table: Table = changed.parse().expect("valid TOML");
        assert_eq!(table["plugin"]["system"]["enabled"].as_bool(), Some(false), "{changed}");
    }
}

#[test]
fn what_cannot_be_switched_says_why() {
    let why = |text, section, id| set_enabled(text, section, id, false).expect_err("refused").to_string();
    assert_eq!(why("", Section::Sensor, "a"), "there is no section `[sensor.a]`");
    assert_eq!(why("[bus.a]", Section::Bus, "a"), "a `[bus.…]` has no `enabled`");
    assert_eq!(why("\n x = ", Section::Sensor, "a"), "line 2, column 6: this is not TOML");
    assert_eq!(why("sensor = 7", Section::Sensor, "a"), "`sensor` is not a table");
    assert_eq!(why("sensor.a = 7", Section::Sensor, "a"), "`sensor.a` is not a table");
    assert!(why("", Section::Plugin, "A b").starts_with("the name `A b` has `A` at character 1"));
    assert!(matches!(set_enabled("", Section::Plugin, "", true), Err(EditError::Name(_))));
}

/// Sections in several forms, and other things.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "# A comment.\n",
        "\n",
        "[plugin.a]\nevery = '1s' # often\n",
        "[plugin.b]\n",
        "[sensor.s]\nenabled = true# tight\n",
        "[sensor.s.deep]\nx = [1,\n2]\n",
        "[sensor]\nt = { kind = 'cpu',enabled=false }\n",
        "[node]\nlabels.x = \"y\"\n",
        "[[list]]\nx = 1\n",
        "[guard.g]\ntools = [ 'a' , ]\r\n",
        "[x.y.z]\nw = 0x10\n",
        "[plugin]\n",
        "[plugin.a.more]\nq = '''\n'''\n",
    ]);
    let top = prop::sample::select(vec!["", "plugin.c.x = 1\n", "sensor.u = {}\n", "config_version = 1\n"]);
    (top, prop::collection::vec(piece, 0..8)).prop_map(|(top, pieces)| format!("{top}{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_else_parses_the_same_and_a_second_time_changes_nothing(
        text in pieces(),
        section in prop::sample::select(vec![Section::Plugin, Section::Sensor, Section::Guard]),
        id in prop::sample::select(vec!["a", "b", "c", "s", "t", "u", "g", "new"]),
        enabled: bool,
    ) {
        let Ok(before) = text.parse::<Table>() else { return Ok(()) };
        let word = section.word();
        let is_there = before.get(word).is_some_and(|section| section.get(id).is_some());
        match set_enabled(&text, section, id, enabled) {
            Ok(changed) => {
                prop_assert!(is_there || section == Section::Plugin);
                let mut after: Table = changed.parse().expect("valid TOML");
                let instance = after[word][id].as_table_mut().expect("a table");
                prop_assert_eq!(instance.remove("enabled"), Some(enabled.into()));
                if !is_there {
                    prop_assert!(instance.is_empty());
                    after[word].as_table_mut().expect("a table").remove(id);
                }
                let mut before = before;
                if let Some(old) = before.get_mut(word).and_then(|s| s.get_mut(id)).and_then(|i| i.as_table_mut()) {
                    old.remove("enabled");
                }
                if after[word].as_table().is_some_and(|t| t.is_empty()) && !before.contains_key(word) {
                    after.remove(word);
                }
                prop_assert_eq!(&before, &after, "{}", changed);
                prop_assert_eq!(text.matches('#').count(), changed.matches('#').count(), "comments: {}", changed);
                prop_assert_eq!(set_enabled(&changed, section, id, enabled), Ok(changed.clone()));
            }
            Err(error) => prop_assert!(!is_there && section != Section::Plugin, "{}: {}", error, text),
        }
    }
}
