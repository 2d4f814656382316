//! A file without mistakes means what it says.

use std::time::Duration;

use sedge_config::Address;

use super::{lines, parse};

const EXAMPLE: &str = r#"
[node]
id = "pi-kitchen"
[mqtt]
url = "mqtt://broker.local:1883"
[bus.i2c-1]
kind = "i2c"
[sensor.kitchen]
kind = "bme280"
bus = "i2c-1"
address = 0x76
every = "10s"
[plugin.system]
enabled = true
every = "10s"
"#;

#[test]
fn the_first_example_of_the_readme_has_no_mistake() {
    let outcome = parse(EXAMPLE);
    assert_eq!(lines(&outcome), [""; 0]);
    let config = outcome.config.expect("no mistake");
    assert_eq!(config.node.id.as_ref().map(|id| id.as_str()), Some("pi-kitchen"));
    assert_eq!(config.mqtt.urls.first().map(ToString::to_string), Some("mqtt://broker.local:1883".into()));
    let [sensor] = config.sensors.as_slice() else { panic!("one sensor") };
    assert_eq!(
        (sensor.id.as_str(), sensor.kind.as_str(), sensor.bus.as_deref()),
        ("kitchen", "bme280", Some("i2c-1"))
    );
    assert_eq!(sensor.address, Some(Address::Number(0x76)));
    assert_eq!((sensor.every.0, &sensor.fault), (Duration::from_secs(10), &None));
    assert_eq!(config.plugins[0].settings["every"], "10s");
}

#[test]
fn what_is_left_out_has_its_default() {
    let outcome = parse("mqtt.embedded = true\nbus.b.kind = 'sim'\nsensor.s = { kind = 'sht3x', bus = 'b' }");
    assert_eq!(lines(&outcome), [""; 0]);
    let config = outcome.config.expect("no mistake");
    assert_eq!((config.mqtt.base.as_str(), config.mqtt.queue), ("sedge/v1", 10_000));
    assert_eq!(
        (config.mqtt.listen.to_string().as_str(), config.mqtt.keep_alive.0.as_secs()),
        ("127.0.0.1:1883", 15)
    );
    let sensor = &config.sensors[0];
    assert_eq!(sensor.address, Some(Address::Number(0x44)));
    assert_eq!((sensor.every.0.as_secs(), sensor.enabled), (10, true));
}

#[test]
fn an_empty_file_is_a_node_without_a_broker_and_says_so() {
    let outcome = parse("");
    assert_eq!(outcome.config, Some(sedge_config::Config::default()));
    assert!(!outcome.has_errors());
    assert!(lines(&outcome)[0].contains("no broker configured: readings stay on this node"));
}

#[test]
fn the_user_of_the_url_is_the_user() {
    let config = parse("mqtt.url = 'mqtt://me:p%40ss@h'").config.expect("no mistake");
    assert_eq!(config.mqtt.username.as_deref(), Some("me"));
    assert_eq!(config.mqtt.password.as_ref().map(|password| password.expose()), Some("p@ss"));
}

#[test]
fn instances_keep_the_order_of_the_file() {
    let config =
        parse("[sensor.b]\nkind='cpu'\n[sensor.c]\nkind='cpu'\n[sensor.a]\nkind='cpu'").config.expect("good");
    assert_eq!(config.sensors.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["b", "c", "a"]);
}

#[test]
fn diagnostics_are_json_for_tools() {
    let outcome = parse("mqtt.embedded = true\nsensor.s = { kind = 'cpu', evry = '1s' }");
    let json = serde_json::to_value(&outcome.diagnostics).expect("JSON");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["component"], "s");
    assert_eq!(
        (&json[0]["fatal"], &json[0]["line"], &json[0]["column"]),
        (&false.into(), &2.into(), &28.into())
    );
    assert_eq!(json[0]["message"], "unknown key `evry`");
}
