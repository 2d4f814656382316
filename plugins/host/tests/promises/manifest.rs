//! What a manifest may say, and what becomes of it.

use sedge_host::{Entry, parse, read};
use sedge_plugin::{Activation, Category, Requirement, Tool};
use serde_json::{Value, json};

use super::{Folder, lines, manifest_of};

const FULL: &str = r#"
manifest = 1

[plugin]
name = "pump"
version = "1.2.0"
description = "Drives a pump."
author = "A. Grower"
category = "tool"
tags = ["water"]
needs = ["tank"]
requires = [{ device = "/dev/gpiochip0" }, { program = "python3" }, { library = "libx.so" }, { module = "i2c_dev" }]
activation = "on-demand"

[entry]
command = ["python3", "main.py"]

[settings]
schema = "schema/settings.json"

[[tool]]
name = "pump_set"
description = "Switches the pump."
[tool.input]
type = "object"
properties.on.type = "boolean"

[[tool]]
name = "pump_stop"
description = "Stops it."
"#;

/// The one line that is said of a manifest, with what is added to a plain one.
fn said(more: &str) -> String {
    let folder = Folder::new();
    let path = folder.path("pump");
    let mistakes = parse(&path, (manifest_of("pump") + more).as_bytes()).expect_err("a mistake");
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    lines(&folder.0, &mistakes).concat()
}

#[test]
fn everything_that_a_manifest_says_is_read() {
    let folder = Folder::new();
    folder.write("pump/plugin.toml", FULL);
    let schema = json!({ "type": "object", "properties": { "line": { "type": "integer" } } });
    folder.write("pump/schema/settings.json", schema.to_string());
    let pump = read(&folder.path("pump")).expect("no mistakes");
    assert_eq!(pump.entry, Some(Entry::Command(vec!["python3".into(), "main.py".into()])));
    assert_eq!(pump.info.settings, None, "a list needs no schema");
    let tools: Vec<Tool> = pump.tools.iter().cloned().map(Tool::from).collect();
    assert_eq!(tools[0].input_schema.pointer("/properties/on/type"), Some(&json!("boolean")));
    assert_eq!(
        (tools[1].name.as_str(), &tools[1].input_schema["additionalProperties"]),
        ("pump_stop", &json!(false))
    );
    let info = pump.into_info();
    assert_eq!(
        (info.name.as_str(), info.version.as_str(), info.author.as_str()),
        ("pump", "1.2.0", "A. Grower")
    );
    assert_eq!((info.category, info.activation), (Category::Tool, Activation::OnDemand));
    assert_eq!((info.tags, info.needs), (vec!["water".to_owned()], vec!["tank".to_owned()]));
    assert_eq!(info.requires.len(), 4);
    assert_eq!(info.requires[3], Requirement::Module("i2c_dev".to_owned()));
    assert_eq!(info.settings, Some(schema));
}

#[test]
fn a_newer_manifest_says_what_to_do_and_nothing_else() {
    let folder = Folder::new();
    let text = "manifest = 2\nplugins = []\n[entry]\nruby = 7";
    let mistakes = parse(&folder.path("pump"), text.as_bytes()).expect_err("a mistake");
    assert_eq!(
        lines(&folder.0, &mistakes),
        ["pump/plugin.toml:1:12: manifest 2 is newer than this node, which reads 1; upgrade sedge"]
    );
}

#[test]
fn a_manifest_needs_one_entry_of_one_kind() {
    assert!(
        said("[entry]").ends_with("plugin.toml:6:1: expected exactly one of `command`, `wasm`, found none")
    );
    assert!(said("[entry]\ncommand = ['']").contains("expected the name of a program"));
    assert!(said("[entry]\nstdio = true").ends_with(":7:9: expected a `command` beside it, found none"));
    assert!(said("[entry]\nwasm = 'no.wasm'").contains(":7:8: `no.wasm` cannot be read"));
    let folder = Folder::new();
    folder.write("pump/x.wasm", "");
    let text = manifest_of("pump") + "[entry]\nwasm = 'x.wasm'";
    let pump = parse(&folder.path("pump"), text.as_bytes()).expect("no mistakes");
    assert_eq!(pump.entry, Some(Entry::Wasm("x.wasm".into())));
    let text = manifest_of("pump") + "[entry]\ncommand = ['./run']\nstdio = true";
    let pump = parse(&folder.path("pump"), text.as_bytes()).expect("no mistakes");
    assert_eq!((pump.entry, pump.stdio), (Some(Entry::Command(vec!["./run".into()])), true));
}

#[test]
fn no_file_outside_of_the_plugins_folder_is_read() {
    let folder = Folder::new();
    let outside = folder.write("secret.json", "{}");
    folder.plugin("pump");
    for path in ["../secret.json", "/etc/passwd", "a/../../secret.json", "", "/"] {
        let said = said(&format!("[settings]\nschema = '{path}'"));
        assert!(said.contains("expected a file in the plugin's folder, without `..`"), "{path}: {said}");
    }
    #[cfg(unix)]
    for (link, manifest) in [("pump/a.json", "a.json"), ("pump/b", "b/secret.json")] {
        let target = if link.ends_with("json") { outside.clone() } else { folder.0.clone() };
        std::os::unix::fs::symlink(target, folder.path(link)).expect("a link");
        folder.write("pump/plugin.toml", manifest_of("pump") + &format!("[settings]\nschema = '{manifest}'"));
        let said = lines(&folder.0, &read(&folder.path("pump")).expect_err("a mistake")).concat();
        assert!(said.contains("symbolic link that leads out of the plugin's folder"), "{said}");
    }
    #[cfg(unix)]
    {
        std::fs::create_dir(folder.path("tank")).expect("a folder");
        std::os::unix::fs::symlink(outside, folder.path("tank/plugin.toml")).expect("a link");
        let said = lines(&folder.0, &read(&folder.path("tank")).expect_err("a mistake")).concat();
        assert!(said.contains("leads out of the plugin's folder"), "{said}");
    }
}

#[test]
fn a_schema_that_a_node_cannot_honour_is_a_mistake_of_its_plugin() {
    let folder = Folder::new();
    folder.write("pump/plugin.toml", manifest_of("pump") + "[settings]\nschema = 's.json'");
    for (schema, expected) in [
        (
            "{\n  \"type\": \"object\",\n  \"if\": {} }",
            "pump/s.json:3:9: this schema cannot be used: the keyword `if`",
        ),
        ("{\n  \"type\": \"strin\" }", "pump/s.json:2:11: this schema cannot be used"),
        ("{\n  \"type\": ", "pump/s.json:2:10: this is not JSON: EOF"),
        ("{ \"type\": \"string\" }", "pump/s.json:1:1: this schema describes no table"),
        ("\u{fffd}", "pump/s.json:1:1: this is not JSON"),
        ("7", "pump/s.json:1:1: this schema cannot be used"),
    ] {
        folder.write("pump/s.json", schema);
        let said = lines(&folder.0, &read(&folder.path("pump")).expect_err("a mistake"));
        assert!(said.len() == 1 && said[0].starts_with(expected), "{schema}: {said:?}");
    }
    let said = said("[settings.schema]\ntype = 'object'\nproperties.a.pattern = 'x'");
    assert!(
        said.starts_with("pump/plugin.toml:8:24: this schema cannot be used: the keyword `pattern`"),
        "{said}"
    );
}

#[test]
fn nothing_that_is_too_large_is_read() {
    let folder = Folder::new();
    folder.write("pump/plugin.toml", manifest_of("pump") + &"#".repeat(64 * 1024));
    let said = lines(&folder.0, &read(&folder.path("pump")).expect_err("a mistake"));
    assert_eq!(said, ["pump/plugin.toml:1:1: this file is larger than 64 KiB"]);
    folder.write("pump/plugin.toml", manifest_of("pump") + "[settings]\nschema = 's.json'");
    folder.write("pump/s.json", "{}".to_owned() + &" ".repeat(256 * 1024));
    let said = lines(&folder.0, &read(&folder.path("pump")).expect_err("a mistake"));
    assert_eq!(said, ["pump/s.json:1:1: this file is larger than 256 KiB"]);
}

#[test]
fn a_description_cannot_steer_a_terminal() {
    let folder = Folder::new();
    let text = manifest_of("pump").replace("Is pump", "\\u001b[2JIs pump");
    let mistakes = parse(&folder.path("pump"), text.as_bytes()).expect_err("a mistake");
    assert_eq!(
        lines(&folder.0, &mistakes),
        ["pump/plugin.toml:5:15: expected one line of text, found the control character '\\u{1b}'"]
    );
}

#[test]
fn the_schema_for_editors_has_the_keys_of_the_contract() {
    let schema: Value = serde_json::from_str(sedge_host::manifest::MANIFEST_SCHEMA).expect("JSON");
    let folder = Folder::new();
    let info = parse(&folder.path("pump"), manifest_of("pump").as_bytes()).expect("no mistakes").info;
    let keys = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>());
    let info = serde_json::to_value(info).expect("JSON");
    assert_eq!(keys(&schema["properties"]["plugin"]["properties"]), keys(&info));
    let words = |values: Value| values.as_array().cloned().unwrap_or_default();
    let properties = &schema["properties"]["plugin"]["properties"];
    for word in words(properties["category"]["enum"].clone()) {
        let category: Category = serde_json::from_value(word.clone()).expect("a category");
        assert_eq!(word, category.word());
    }
    for word in words(properties["activation"]["enum"].clone()) {
        assert!(serde_json::from_value::<Activation>(word).is_ok());
    }
}
