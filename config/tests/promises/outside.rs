//! The sections of plugins from outside: what they are granted, and what is said of it.

use std::path::PathBuf;

use sedge_config::{Catalogue, Kind, Layer, Outcome, Require, Sandbox, Section, Traits};
use serde_json::{Value, json};

fn catalogue() -> Catalogue {
    let requests = json!({
        "i2c": { "pump": [0x20, 0x21] },
        "gpio": { "valve": "out" },
        "hosts": ["api.example.org"],
        "tools": ["relay_set"],
        "data": true,
    });
    let kind = |section, name: &str, wasm| Kind {
        section,
        name: name.into(),
        schema: json!({ "type": "object", "properties": { "site": { "type": "string" } }, "additionalProperties": false }),
        addresses: Vec::new(),
        buses: Vec::new(),
        outside: Some(Traits { requests: serde_json::from_value(requests.clone()).expect("requests"), wasm }),
    };
    let mut catalogue = super::catalogue::catalogue();
    let attic = Kind {
        addresses: vec![0x76, 0x77],
        buses: ["i2c", "tca9548a", "sim", "replay"].map(String::from).into(),
        ..kind(Section::Sensor, "weatherbox", true)
    };
    catalogue.kinds.extend([
        kind(Section::Plugin, "irrigation", false),
        kind(Section::Processor, "despike", true),
        kind(Section::Destination, "sqlite", false),
        attic,
    ]);
    catalogue.broken.push(("torn".into(), "plugins/torn/plugin.toml:3:1: unknown key `nam`".into()));
    catalogue
}

fn parse(text: &str) -> Outcome {
    let text = format!("mqtt.embedded = true\nbus.i2c-1.kind = 'i2c'\nbus.gpio0.kind = 'gpio'\n{text}");
    sedge_config::parse("sedge.toml", &text, &catalogue())
}

fn said(text: &str) -> Vec<String> {
    parse(text).diagnostics.iter().map(sedge_config::Diagnostic::one_line).collect()
}

#[test]
fn what_is_granted_reaches_the_instance_of_every_section() {
    let outcome = parse(
        "[plugin.garden]\nkind = 'irrigation'\nsite = 'north'\nsandbox.x = 1\n\
         [plugin.irrigation]\ngrant = { i2c.pump = { bus = 'i2c-1', address = 0x21 }, hosts = ['*.example.org'], data = true }\n\
         limits = { memory = '64MiB', cpu = 0.5, start = '20s', message = '256KiB' }\n\
         [sensor.attic]\nkind = 'weatherbox'\nbus = 'i2c-1'\nsandbox = 'process'\n\
         [processor.despike]\nkind = 'despike'\ngrant.data = true\n[destination.db]\nkind = 'sqlite'\ngrant.data = true\n",
    );
    let said: Vec<String> = outcome.diagnostics.iter().map(sedge_config::Diagnostic::one_line).collect();
    assert_eq!(
        said,
        [
            "sedge.toml:7:1: expected `process`, found a table (object) — Where a WebAssembly component runs: without it in the node, with \"process\" in a process of its own."
        ],
        "{said:?}"
    );
    let config = outcome.config.expect("a config");
    assert!(config.plugins[0].fault.is_some());
    assert_eq!(config.plugins[0].settings["site"], "north");
    let plugin = &config.plugins[1];
    let outside = plugin.outside.as_ref().expect("it is from outside");
    assert_eq!((plugin.fault.as_ref(), outside.grant.i2c["pump"].address), (None, 0x21));
    assert_eq!(outside.limits.memory.map(|size| size.0), Some(64 << 20));
    assert_eq!(outside.limits.cpu, Some(0.5));
    let attic = config.sensors[0].outside.as_ref().expect("it is from outside");
    assert_eq!(attic.sandbox, Some(Sandbox::Process));
    assert!(config.processors[0].outside.as_ref().is_some_and(|outside| outside.grant.data));
    assert!(config.destinations[0].outside.as_ref().is_some_and(|outside| outside.grant.data));
}

#[test]
fn nothing_that_is_compiled_in_has_grants() {
    let said = said("bus.b.kind = 'sim'\n[sensor.s]\nkind = 'bme280'\nbus = 'b'\ngrant.data = true\n");
    assert!(said[0].starts_with("sedge.toml:8:1: unknown key `grant`"), "{said:?}");
}

#[test]
fn a_grant_that_nobody_asked_for_is_told_with_what_is_asked_for() {
    let said = said(
        "[plugin.irrigation]\ngrant.i2c.pmp = { bus = 'i2c-1', address = 0x20 }\ngrant.hosts = ['api.example.org', 'evil.example.net']\n\
         grant.gpio.lamp = { bus = 'gpio0', line = 4 }\ngrant.config = true\ngrant.topics = ['deliver']\n",
    );
    assert_eq!(
        said,
        [
            "sedge.toml:5:11: the plugin does not ask for the I2C device `pmp`: it does not get it; did you mean `pump`? it asks for pump",
            "sedge.toml:6:35: the plugin does not ask for the host `evil.example.net`: it does not get it; it asks for api.example.org",
            "sedge.toml:7:12: the plugin does not ask for the GPIO line `lamp`: it does not get it; it asks for valve",
            "sedge.toml:8:16: the plugin does not ask for `config`: it does not get it; remove it",
            "sedge.toml:9:17: the plugin does not ask for the topic `deliver`: it does not get it; it asks for no topic",
        ]
    );
    let outcome = parse("[plugin.irrigation]\ngrant.config = true\n");
    assert!(!outcome.has_errors(), "it runs all the same");
}

#[test]
fn hardware_that_is_not_there_or_not_the_plugins_is_refused() {
    let cases = [
        (
            "grant.i2c.pump = { bus = 'i2c-2', address = 0x20 }",
            "5:26: there is no bus `i2c-2`; did you mean `i2c-1`?",
        ),
        (
            "grant.i2c.pump = { bus = 'gpio0', address = 0x20 }",
            "5:26: `gpio0` is of kind `gpio`, which has no I2C devices",
        ),
        (
            "grant.i2c.pump = { bus = 'i2c-1', address = 0x30 }",
            "5:45: `pump` cannot be at 0x30; its manifest asks for 0x20, 0x21",
        ),
        (
            "grant.gpio.valve = { bus = 'i2c-1', line = 3 }",
            "5:28: `i2c-1` is of kind `i2c`, which has no GPIO lines",
        ),
        ("grant.i2c.pump = { bus = 'i2c-1' }", "5:18: missing key `address`"),
        ("limits.memory = '1KiB'", "5:17: 1KiB is too little; 1MiB to 16GiB"),
        ("limits.start = '1h'", "5:16: 1h is too long; 1s to 10m"),
        ("limits.cpu = 0", "5:14: 0 is out of range, expected 0.01 to 64"),
        ("limits.memry = '1MiB'", "5:8: unknown key `memry`; did you mean `memory`?"),
        ("sandbox = 'process'", "5:11: `irrigation` is no WebAssembly component"),
        (
            "sit = 'x'",
            "5:1: unknown key `sit`; did you mean `site`? allowed: enabled, kind, grant, limits, sandbox, site",
        ),
    ];
    for (line, expected) in cases {
        let said = said(&format!("[plugin.irrigation]\n{line}\n"));
        assert!(said[0].starts_with(&format!("sedge.toml:{expected}")), "{line}: {said:?}");
    }
}

#[test]
fn two_never_share_a_device_or_a_line() {
    let grant =
        "grant = { i2c.pump = { bus = 'i2c-1', address = 0x20 }, gpio.valve = { bus = 'gpio0', line = 7 } }";
    let two = format!("[plugin.irrigation]\n{grant}\n[plugin.b]\nkind = 'irrigation'\n{grant}\n");
    let outcome = parse(&two);
    let said: Vec<String> = outcome.diagnostics.iter().map(sedge_config::Diagnostic::one_line).collect();
    assert!(said[0].contains("address 0x20 of bus `i2c-1` is taken by `[plugin.irrigation]`"), "{said:?}");
    assert!(said[1].contains("line 7 of bus `gpio0` is taken by `[plugin.irrigation]`"), "{said:?}");
    let config = outcome.config.expect("a config");
    assert!(config.plugins[0].fault.is_none() && config.plugins[1].fault.is_some());

    let disabled = two.replace("kind = 'irrigation'", "kind = 'irrigation'\nenabled = false");
    assert_eq!(parse(&disabled).diagnostics, []);
    let relay = "[gpio.lamp]\nkind = 'relay'\nbus = 'gpio0'\nline = 7\n[plugin.irrigation]\ngrant.gpio.valve = { bus = 'gpio0', line = 7 }\n";
    assert!(self::said(relay)[0].contains("line 7 of bus `gpio0` is taken by `[gpio.lamp]`"));
}

#[test]
fn a_broken_plugin_is_at_fault_with_its_first_mistake_and_nothing_else_is() {
    let outcome = parse("[plugin.torn]\nx = 1\n[sensor.s]\nkind = 'torn'\n[plugin.irrigation]\n");
    let config = outcome.config.expect("a config");
    let fault = config.plugins[0].fault.as_deref().expect("a fault");
    assert!(
        fault.ends_with("the plugin `torn` cannot be used; plugins/torn/plugin.toml:3:1: unknown key `nam`"),
        "{fault}"
    );
    assert!(config.sensors[0].fault.as_deref().is_some_and(|fault| fault.contains("cannot be used")));
    assert_eq!(config.plugins[1].fault, None);
}

#[test]
fn a_plugin_on_disk_takes_no_id_unless_a_section_names_it() {
    assert_eq!(
        said("bus.b.kind = 'sim'\n[sensor.irrigation]\nkind = 'bme280'\nbus = 'b'\n"),
        [] as [&str; 0]
    );
}

#[test]
fn a_changed_grant_or_limit_restarts_the_instance() {
    let mark = |line: &str| {
        parse(&format!("[plugin.irrigation]\n{line}\n")).config.expect("a config").plugins[0].fingerprint()
    };
    let all =
        ["", "grant.data = true", "limits.memory = '2MiB'", "grant.hosts = ['api.example.org']"].map(mark);
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
    }
}

#[test]
fn what_is_required_of_plugins_is_read_and_a_slip_is_taken_for_the_strictest() {
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let required = |text: &str| {
        let outcome = parse(text);
        let config = outcome.config.clone().expect("a config");
        (config.plugin_require, config.plugin_keys.len(), outcome.diagnostics.len())
    };
    assert_eq!(required(""), (Require::None, 0, 0));
    assert_eq!(required("plugins.require = 'locked'"), (Require::Locked, 0, 0));
    assert_eq!(
        required(&format!("plugins = {{ require = 'signed', keys = ['{key}'] }}")),
        (Require::Signed, 1, 0)
    );
    assert_eq!(required("plugins.require = 'signd'"), (Require::Signed, 0, 1));
    assert_eq!(required("plugins = { require = 'signed', keys = ['RWQ'] }"), (Require::Signed, 0, 2));
    let layers = [Layer::File { name: "sedge.toml".into(), text: "plugins.paths = ['/srv/a', 'b']".into() }];
    assert_eq!(sedge_config::plugin_paths(&layers), [PathBuf::from("/srv/a"), PathBuf::from("b")]);
}

#[test]
fn the_schema_and_the_effective_config_know_the_words() {
    let schema = sedge_config::schema(&catalogue());
    let keys = &schema["$defs"]["plugin.irrigation"]["properties"];
    for key in ["grant", "limits", "sandbox", "site", "enabled"] {
        assert!(keys.get(key).is_some(), "{key}: {keys}");
    }
    assert_eq!(schema["$defs"]["plugin.system"]["properties"].get("grant"), None);
    let valid = |text: &str| {
        let value: Value =
            serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("JSON");
        jsonschema::is_valid(&schema, &value)
    };
    assert!(valid(
        "[plugin.irrigation]\ngrant = { i2c.pump = { bus = 'i2c-1', address = 32 }, data = true }\nlimits.memory = '1MiB'"
    ));
    assert!(!valid("[plugin.irrigation]\ngrant = { i2c.pump = { bus = 'i2c-1' } }"));
    assert!(!valid("[plugin.irrigation]\nsandbox = 'none'"));
    let effective = parse("[plugin.irrigation]\nlimits.memory = '1MiB'\n").effective;
    assert_eq!(effective["plugin"]["irrigation"], json!({ "enabled": true, "limits": { "memory": "1MiB" } }));
}
