//! What never happens, whatever the bytes are.

use std::path::Path;

use proptest::prelude::*;
use sedge_host::parse;

/// Reads; what is said lies within the text and on one line.
fn survives(manifest: &[u8]) {
    let text = String::from_utf8_lossy(manifest);
    let Err(mistakes) = parse(Path::new("/nowhere/pump"), manifest) else { return };
    assert!(!mistakes.is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for mistake in mistakes {
        let at = mistake.at.expect("a place");
        let line = lines.get(at.line - 1).unwrap_or_else(|| panic!("{mistake:?} of {text:?}"));
        assert!(at.column <= line.chars().count() + 1, "{mistake:?} of {text:?}");
        assert!(!mistake.to_string().contains(char::is_control), "{mistake:?} of {text:?}");
    }
}

fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "manifest = 1",
        "manifest = 9",
        "manifest = -1",
        "[plugin]",
        "[entry]",
        "[settings]",
        "[[tool]]",
        "[tool]",
        "[tool.input]",
        "[plugin.\"ü\\n\"]",
        "name = 'pump'",
        "name = 'pump_set'",
        "name = \"\\u0000\"",
        "version = '1'",
        "version = inf",
        "description = \"\"\"",
        "description = 'x'",
        "category = 'tol'",
        "tags = ['a', 1]",
        "needs = ['ß']",
        "requires = [{ device = 'x' }, {}, 7]",
        "activation = 'on-demand'",
        "command = ['x']",
        "command = [[]]",
        "wasm = '../x'",
        "wasm = \"x\\u0000\"",
        "schema = 's.json'",
        "schema = { type = 'object', if = {} }",
        "input.a.b.c = 1",
        "input = { '$ref' = '#' }",
        "x = 99999999999999999999",
        "x.y = nan",
        "x.y.z = 1979-05-27",
        "\u{feff}",
        "\r",
        "\"",
        "[",
        "= 7",
        "# ü",
        "{",
        "a = [[[[[[",
    ];
    prop::sample::select(pieces.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes);
    }

    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        survives(text.as_bytes());
    }

    #[test]
    fn random_manifests_never_panic(pieces in prop::collection::vec(piece(), 0..20)) {
        survives(pieces.join("\n").as_bytes());
    }

    #[test]
    fn a_mutated_manifest_never_panics(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut manifest = include_bytes!("../golden/pump/plugin.toml").to_vec();
        for (at, byte) in cuts {
            let at = at.index(manifest.len());
            manifest[at] = byte;
        }
        survives(&manifest);
    }
}

#[test]
fn what_nests_without_end_is_a_mistake() {
    for (open, shut) in [("a.", ""), ("[", "]"), ("{a=", "}")] {
        let depth = 60_000 / (open.len() + shut.len());
        survives(format!("x = {}1{}", open.repeat(depth), shut.repeat(depth)).as_bytes());
        survives(format!("{}b = 1", open.repeat(depth)).as_bytes());
        survives(format!("[{}b]\nx = 1", open.repeat(depth)).as_bytes());
    }
    let schema = format!("manifest = 1\n[settings.schema]\n{}x = 1", "items.".repeat(60));
    survives(schema.as_bytes());
}
