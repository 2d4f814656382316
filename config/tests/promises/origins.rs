//! Where each setting is from.

use serde_json::json;

use super::layers::{file, pairs, parse};
use sedge_config::Layer;

#[test]
fn each_setting_says_where_it_is_from() {
    let outcome = parse(&[
        file(
            "sedge.toml",
            "[mqtt]\nembedded = true\npassword = 'hunter2'\nusername = 'me'\n[bus.b]\nkind = 'sim'\n[sensor.kitchen]\nkind = 'bme280'\nbus = 'b'\n[processor.p]\nkind = 'limit'\n",
        ),
        file(
            "conf.d/20-site.toml",
            "\n\n[sensor.kitchen]\n  every = '1m'\n[plugin.weather]\npin = '77777'\n",
        ),
        Layer::Environment(pairs(&[("SEDGE__SENSOR__KITCHEN__OFFSET", "0.5")])),
        Layer::Flags(pairs(&[("sensor.kitchen.mode", "forced"), ("node.labels.\"a b\"", "c")])),
    ]);
    let told: Vec<String> =
        outcome.origins.iter().map(|o| format!("{} = {} # {}", o.path, o.value, o.source)).collect();
    assert_eq!(
        told,
        [
            "config_version = 1 # default",
            "node.labels.\"a b\" = \"c\" # --set",
            "mqtt.backlog_rate = 1000 # default",
            "mqtt.base = \"sedge/v1\" # default",
            "mqtt.discovery = true # default",
            "mqtt.discovery_prefix = \"homeassistant\" # default",
            "mqtt.embedded = true # sedge.toml:2:1",
            "mqtt.encoding = \"json\" # default",
            "mqtt.keep_alive = \"15s\" # default",
            "mqtt.listen = \"127.0.0.1:1883\" # default",
            "mqtt.password = \"***\" # sedge.toml:3:1",
            "mqtt.protocol = \"5\" # default",
            "mqtt.qos = 1 # default",
            "mqtt.queue = 10000 # default",
            "mqtt.receive_maximum = 32 # default",
            "mqtt.session_expiry = \"30s\" # default",
            "mqtt.username = \"me\" # sedge.toml:4:1",
            "outbox.commit = \"1s\" # default",
            "outbox.keep_every = 10 # default",
            "outbox.max_bytes = \"256MiB\" # default",
            "outbox.policy = \"drop_oldest\" # default",
            "outbox.storage = \"disk\" # default",
            "calls.allow_unsigned = [] # default",
            "calls.per_caller = \"60/min\" # default",
            "calls.signed = \"off\" # default",
            "calls.unsigned = \"600/min\" # default",
            "plugins.keys = [] # default",
            "plugins.paths = [] # default",
            "plugins.require = \"none\" # default",
            "bus.b.kind = \"sim\" # sedge.toml:6:1",
            "sensor.kitchen.address = 118 # default",
            "sensor.kitchen.bus = \"b\" # sedge.toml:9:1",
            "sensor.kitchen.enabled = true # default",
            "sensor.kitchen.every = \"1m\" # conf.d/20-site.toml:4:3",
            "sensor.kitchen.kind = \"bme280\" # sedge.toml:8:1",
            "sensor.kitchen.mode = \"forced\" # --set",
            "sensor.kitchen.offset = 0.5 # environment SEDGE__SENSOR__KITCHEN__OFFSET",
            "plugin.weather.enabled = true # default",
            "plugin.weather.pin = \"***\" # conf.d/20-site.toml:6:1",
            "processor.p.enabled = true # default",
            "processor.p.kind = \"limit\" # sedge.toml:11:1",
            "processor.p.max = 100.0 # default",
            "processor.p.priority = 100 # default",
        ]
    );
}

#[test]
fn the_effective_config_is_one_object_with_defaults_and_without_secrets() {
    let outcome = parse(&[file(
        "sedge.toml",
        "mqtt.url = 'mqtt://me:hunter2@h'\n[sensor.s]\nkind = 'cpu'\n[plugin.weather]\nenabled = false\npin = '77777'",
    )]);
    assert_eq!(
        outcome.effective,
        json!({
            "config_version": 1,
            "node": { "labels": {} },
            "mqtt": {
                "url": "mqtt://me:***@h", "embedded": false, "listen": "127.0.0.1:1883", "base": "sedge/v1",
                "keep_alive": "15s", "queue": 10000, "protocol": "5", "receive_maximum": 32, "session_expiry": "30s",
                "qos": 1, "backlog_rate": 1000, "encoding": "json", "discovery": true, "discovery_prefix": "homeassistant"
            },
            "outbox": {
                "class": {}, "commit": "1s", "keep_every": 10, "max_bytes": "256MiB", "policy": "drop_oldest",
                "storage": "disk"
            },
            "calls": { "signed": "off", "allow_unsigned": [], "per_caller": "60/min", "unsigned": "600/min" },
            "plugins": { "keys": [], "paths": [], "require": "none" },
            "sensor": { "s": { "kind": "cpu", "every": "10s", "enabled": true } },
            "plugin": { "weather": { "enabled": false, "pin": "***" } },
        })
    );
}

#[test]
fn what_a_variable_says_about_nothing_known_is_not_shown() {
    let variables = [("SEDGE__WEATHR__PIN", "77777"), ("SEDGE__PLUGIN__NONE__PIN", "77778")];
    let outcome = parse(&[Layer::Environment(pairs(&variables))]);
    let mut shown = format!("{outcome:?}");
    outcome.diagnostics.iter().for_each(|diagnostic| shown.push_str(&diagnostic.render(false)));
    assert!(!shown.contains("7777"), "{shown}");
}
