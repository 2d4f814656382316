//! A new plugin is whole: its manifest is right, it builds, and it passes its own test.

use sedge_host::install::{Kind, Language, NewError, create};

use super::*;

const KINDS: [(Kind, &str); 3] =
    [(Kind::Sensor, "sensor"), (Kind::Tool, "tool"), (Kind::Processor, "processor")];

fn clone() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[test]
fn every_new_plugin_has_a_manifest_without_mistakes_and_nothing_left_to_fill_in() {
    let at = Folder::new();
    for (kind, word) in KINDS {
        for (language, lang) in [(Language::Python, "py"), (Language::Rust, "rs"), (Language::Wasm, "wasm")] {
            let name = format!("water-{word}-{lang}");
            let folder = create(kind, language, &name, &at.0, Some(&clone())).unwrap();
            if language == Language::Wasm {
                fs::write(folder.join(format!("{name}.wasm")), "").unwrap();
            }
            let declaration = sedge_host::read(&folder).unwrap();
            assert_eq!(declaration.info.name, name);
            let mut all = BTreeMap::new();
            walk(&folder, &folder, &mut all);
            for (file, bytes) in all.iter().filter(|(file, _)| !file.contains("sedge_sdk")) {
                let text = String::from_utf8_lossy(bytes);
                assert!(
                    !text.contains("{{") || file.ends_with(".py") && !text.contains("{{t"),
                    "{name}/{file}: {text}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_written_over_and_no_name_breaks_the_code() {
    let at = Folder::new();
    let new = |name: &str| create(Kind::Tool, Language::Python, name, &at.0, None);
    new("pump").unwrap();
    at.write("pump/main.py", "mine");
    assert!(matches!(new("pump"), Err(NewError::Exists(_))));
    assert_eq!(fs::read_to_string(at.path("pump/main.py")).unwrap(), "mine");
    for name in ["../pump", "Pump", "", "2pump", "self", "serde-json"] {
        assert!(matches!(new(name), Err(NewError::Name(_))), "{name}");
    }
}

#[test]
fn a_new_python_plugin_passes_its_own_test_and_can_be_installed() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("SEDGE_REQUIRE_PYTHON").is_none(), "there is no python3");
        skipped("there is no python3");
        return;
    }
    let bench = Bench::new();
    // One of the names is that of a class of the SDK.
    for ((kind, _), name) in KINDS.into_iter().zip(["attic-load", "plugin", "minus"]) {
        let folder = create(kind, Language::Python, name, &bench.at.path("work"), None).unwrap();
        run(&folder, &["python3", "-W", "error", "-m", "unittest"]).unwrap();
        bench.install(format!("./work/{name}")).unwrap();
    }
}

#[test]
fn a_new_rust_plugin_builds_and_passes_its_own_test() {
    let set = |variable: &str| std::env::var_os(variable).is_some();
    let all = set("SEDGE_TEST_TEMPLATES");
    if !all && !set("SEDGE_REQUIRE_WASM") {
        skipped("it builds crates, for minutes; SEDGE_TEST_TEMPLATES=1 asks for it");
        return;
    }
    let at = Folder::new();
    // They depend on the same crates, which are built once.
    let target = at.path("target").display().to_string();
    let cargo = |folder: &Path, words: &[&str]| {
        let rest = ["--offline", "--quiet", "--target-dir", &target];
        let words = [&["cargo"][..], words, &rest].concat();
        run(folder, &words).unwrap()
    };
    for ((kind, _), name) in KINDS.into_iter().zip(["attic-probe", "plugin", "minus"]) {
        for (language, below) in [(Language::Wasm, "wasm"), (Language::Rust, "rust")] {
            let folder = create(kind, language, name, &at.path(below), Some(&clone())).unwrap();
            cargo(&folder, &["test"]);
            if language == Language::Wasm {
                cargo(&folder, &["build", "--target", "wasm32-unknown-unknown"]);
            }
            if !all {
                return;
            }
        }
    }
}
