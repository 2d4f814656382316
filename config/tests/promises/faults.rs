//! A mistake stays where it is.

use sedge_config::Address;

use super::{lines, parse};

const BROKER: &str = "mqtt.embedded = true\n";

fn fault(text: &str) -> String {
    let outcome = parse(&format!("{BROKER}{text}"));
    let config = outcome.config.unwrap_or_else(|| panic!("not fatal: {text}"));
    let sensors = config.sensors.into_iter().map(|sensor| sensor.fault);
    sensors.chain(config.gpios.into_iter().map(|gpio| gpio.fault)).flatten().next().unwrap_or_default()
}

#[test]
fn a_mistake_in_the_node_the_broker_or_the_top_level_is_fatal() {
    for text in [
        "[node]\nid = 'Pi_Kitchen'",
        "[node]\nlabels = { a = 1 }",
        "node = 7",
        "[mqtt]\nurl = 'http://h'",
        "[mqtt]\nurl = 'mqtt://h'\nembedded = true",
        "[mqtt]\nbase = 'a/#'",
        "[mqtt]\nkeep_alive = '1s'",
        "[mqtt]\nqueue = 0",
        "[mqtt]\npassword = 'x'",
        "[mqtt]\nurl = 'mqtt://a:b@h'\nusername = 'a'",
        "[mqtt]\nusername = 'a'\npassword = 'x'\npassword_file = 'f'",
        "[mqtt]\nembedded = true\nlisten = '1883'",
        "[mqtt]\nurl = 'mqtt://h'\nurls = ['mqtt://i']",
        "[mqtt]\nurls = ['mqtt://h', 'mqtt//i']",
        "[mqtt]\nurls = ['mqtt://h', 'mqtt://a:b@i']",
        "[mqtt]\nurls = []",
        "[mqtt]\nurls = ['mqtt://h']\nembedded = true",
        "[mqtt]\nprotocol = '4'",
        "[mqtt]\nreceive_maximum = 0",
        "[mqtt]\nsession_expiry = '2d'",
        "[mqtt]\nusername = 'a'\nusername_file = 'f'",
        "[mqtt]\nurl = 'mqtts://h'\ncert_file = 'f'",
        "[mqtt]\nurl = 'mqtts://h'\nkey_file = 'f'",
        "sensor = 7",
        "[[sensor]]",
        "config_version = 0",
        "config_version = '1'",
        "x = ",
    ] {
        let outcome = parse(text);
        assert!(outcome.config.is_none() && outcome.diagnostics.iter().any(|d| d.fatal), "{text}");
    }
}

#[test]
fn a_password_that_anybody_on_the_way_can_read_is_warned_of() {
    let told = |url: &str| {
        let outcome = parse(&format!("[mqtt]\nurl = '{url}'\nusername = 'a'\npassword = 'b'"));
        assert!(outcome.config.is_some(), "{url}");
        lines(&outcome).iter().any(|line| line.contains("unencrypted"))
    };
    for url in ["mqtt://broker.example.com", "ws://8.8.8.8/mqtt"] {
        assert!(told(url), "{url}");
    }
    for url in ["mqtts://broker.example.com", "wss://8.8.8.8", "mqtt://broker.local", "mqtt://192.168.1.2"] {
        assert!(!told(url), "{url}");
    }
}

#[test]
fn files_for_tls_without_tls_are_warned_of() {
    let outcome = parse("[mqtt]\nurl = 'mqtt://h'\nca_file = '/ca.pem'");
    assert!(lines(&outcome)[0].contains("`ca_file` has no effect without TLS"));
    assert!(lines(&parse("[mqtt]\nurl = 'mqtts://h'\nca_file = '/ca.pem'")).is_empty());
}

#[test]
fn a_section_that_is_no_part_of_a_node_is_a_mistake_and_stops_nothing() {
    for text in ["[sensors.kitchen]", "debug = true"] {
        let outcome = parse(text);
        assert!(outcome.config.is_some() && outcome.has_errors(), "{text}");
    }
}

#[test]
fn a_plugin_without_a_section_of_its_own_is_told_where_its_settings_stand() {
    let outcome = parse("[plugin.mqtt]\nenabled = false");
    let told = outcome.diagnostics.iter().map(|d| d.one_line()).collect::<String>();
    assert!(told.contains("`mqtt` has no section of its own; its settings stand in `[mqtt]`"), "{told}");
}

#[test]
fn an_illegal_id_takes_nothing_from_a_legal_one() {
    let outcome = parse("[bus.b]\nkind = 'sim'\n[bus.A]\nkind = 'sim'\n[bus.a]\nkind = 'sim'");
    let config = outcome.config.unwrap();
    let fault =
        |id: &str| config.buses.iter().find(|bus| bus.id.as_str() == id).map(|bus| bus.fault.is_some());
    assert_eq!((fault("a"), fault("b")), (Some(false), Some(false)));
}

#[test]
fn a_newer_file_is_refused_with_the_remedy_alone() {
    let outcome = parse("config_version = 2\n[quantum.x]\ny = 1");
    assert_eq!(
        lines(&outcome),
        [
            "sedge.toml:1:18: config_version 2 is newer than this node, which reads 1; upgrade sedge, or go back to a config of its version"
        ]
    );
    assert!(outcome.config.is_none());
    assert!(parse("config_version = 1\nmqtt.embedded = true").config.is_some());
}

#[test]
fn a_mistake_in_one_sensor_leaves_the_others_running() {
    let text = "bus.b.kind = 'sim'\nsensor.good = { kind = 'cpu' }\n\
        sensor.bad = { kind = 'bme280', bus = 'b', every = 'soon', offset = 'x', enabled = true }";
    let outcome = parse(&format!("{BROKER}{text}"));
    let config = outcome.config.expect("not fatal");
    assert_eq!(config.sensors[0].fault, None);
    let bad = &config.sensors[1];
    let fault = bad.fault.as_deref().unwrap_or_default();
    assert!(fault.starts_with("sedge.toml:4:52: `soon` is not a duration"), "{fault}");
    assert!(fault.ends_with("(and 1 more)"), "{fault}");
    assert_eq!(
        (bad.kind.as_str(), &bad.address),
        ("bme280", &Some(Address::Number(0x76))),
        "the rest is known"
    );
}

#[test]
fn a_sensor_on_a_misconfigured_bus_says_so() {
    let fault = fault("[bus.b]\nkind = 'i2c'\ndevce = 'x'\n[sensor.s]\nkind = 'sht3x'\nbus = 'b'");
    assert_eq!(fault, "sedge.toml:7:7: bus `b` is misconfigured (line 4)");
}

#[test]
fn of_two_claims_the_second_in_the_file_is_at_fault() {
    let text = "bus.b.kind = 'sim'\n[sensor.z]\nkind = 'sht3x'\nbus = 'b'\n[sensor.a]\nkind = 'sht3x'\nbus = 'b'\naddress = 0x44";
    let outcome = parse(&format!("{BROKER}{text}"));
    assert_eq!(
        lines(&outcome),
        ["sedge.toml:9:11: address 0x44 of bus `b` is taken by `[sensor.z]`; it is taken at 3:9"]
    );
    let config = outcome.config.expect("not fatal");
    assert_eq!(config.sensors[0].fault, None);
    assert!(config.sensors[1].fault.is_some());

    let text = "[sensor.x]\nkind = 'cpu'\n[bus.x]\nkind = 'sim'";
    assert_eq!(
        lines(&parse(&format!("{BROKER}{text}"))),
        ["sedge.toml:4:6: the id `x` is taken by `[sensor.x]`; it is taken at 2:9; choose another id"]
    );

    let relays = "bus.g.kind = 'gpio'\n[gpio.a]\nkind = 'relay'\nbus = 'g'\nline = 17\n[gpio.b]\nkind = 'button'\nbus = 'g'\nline = 17";
    assert!(fault(relays).contains("line 17 of bus `g` is taken by `[gpio.a]`"));
}

#[test]
fn a_disabled_sensor_claims_nothing() {
    let text = "bus.b.kind = 'sim'\nsensor.a = { kind = 'sht3x', bus = 'b', enabled = false }\nsensor.c = { kind = 'sht3x', bus = 'b' }";
    assert_eq!(fault(text), "");
}

#[test]
fn a_mistyped_address_claims_none() {
    let text = "bus.b.kind = 'sim'\nsensor.a = { kind = 'sht3x', bus = 'b', address = '0x45' }\nsensor.c = { kind = 'sht3x', bus = 'b' }";
    assert_eq!(lines(&parse(&format!("{BROKER}{text}"))).len(), 1, "not a conflict too");
}

#[test]
fn an_id_is_given_once() {
    let outcome = parse(&format!(
        "{BROKER}[bus.x]\nkind = 'sim'\n[sensor.x]\nkind = 'cpu'\n[gpio.X]\nkind = 'relay'\nbus = 'x'\nline = 1\n\
         [sensor.mqtt]\nkind = 'cpu'\n[plugin.system]\n[sensor.system]\nkind = 'cpu'"
    ));
    assert_eq!(
        lines(&outcome),
        [
            "sedge.toml:4:9: the id `x` is taken by `[bus.x]`; it is taken at 2:6; choose another id",
            "sedge.toml:6:7: the id `X` has `X` at character 1; an id has lower-case letters, digits and `-`, and starts with a letter or digit; call it `x`",
            "sedge.toml:6:7: the id `x` is taken by `[bus.x]`; it is taken at 2:6; choose another id",
            "sedge.toml:10:9: the id `mqtt` is taken by what `[mqtt]` sets up; choose another id",
            "sedge.toml:13:9: the id `system` is taken by the plugin `system`; choose another id",
        ]
    );
    let config = outcome.config.expect("not fatal");
    assert!(
        config.sensors.is_empty() && config.gpios.is_empty(),
        "they could not be told apart from the owners"
    );
    assert_eq!((config.buses.len(), config.plugins.len()), (1, 1));
}

#[test]
fn an_illegal_id_is_shown_under_the_nearest_legal_one() {
    let config = parse(&format!("{BROKER}[sensor.Living_Room]\nkind = 'cpu'")).config.expect("not fatal");
    assert_eq!(config.sensors[0].id.as_str(), "living-room");
    assert!(config.sensors[0].fault.as_deref().is_some_and(|fault| fault.contains("call it `living-room`")));
}

#[test]
fn a_bus_that_is_not_there_or_does_not_serve_is_named() {
    let with = |text: &str| {
        fault(&format!("bus.i2c-1.kind = 'i2c'\nbus.gpio0.kind = 'gpio'\nbus.s.kind = 'sim'\n{text}"))
    };
    for (text, words) in [
        ("sensor.a = { kind = 'sht3x', bus = 'i2c_1' }", "there is no bus `i2c_1`; did you mean `i2c-1`?"),
        ("sensor.a = { kind = 'sht3x', bus = 'spi' }", "add a section `[bus.spi]`"),
        ("sensor.a = { kind = 'sht3x' }", "missing key `bus`"),
        (
            "sensor.a = { kind = 'sht3x', bus = 'gpio0' }",
            "needs a bus of kind `i2c` or `tca9548a`, but `gpio0` is of kind `gpio`",
        ),
        ("gpio.a = { kind = 'relay', bus = 'i2c-1', line = 1 }", "buses that serve it: gpio0, s"),
    ] {
        assert!(with(text).contains(words), "{}", with(text));
    }
    for text in [
        "sensor.a = { kind = 'sht3x', bus = 's' }",
        "gpio.a = { kind = 'relay', bus = 's', line = 1 }",
        "sensor.a = { kind = 'cpu' }",
    ] {
        assert_eq!(with(text), "");
    }
}

#[test]
fn an_address_is_one_that_the_kind_can_have() {
    let with = |address: &str| {
        fault(&format!(
            "bus.s.kind = 'sim'\nsensor.a = {{ kind = 'bme280', bus = 's', address = {address} }}"
        ))
    };
    assert!(with("0x75").contains("0x75 is no address of a `bme280`; a `bme280` can have 0x76, 0x77"));
    assert!(with("0x78").contains("0x78 is not a 7-bit I2C address"));
    assert!(with("-1").contains("-1 is not a 7-bit I2C address"));
    assert!(with("'0x76'").contains("expected an integer, found the string `0x76`"));
    assert_eq!(with("0x77"), "");
    assert!(fault("sensor.a = { kind = 'cpu', address = 0x76 }").contains("a `cpu` takes no address"));
}

#[test]
fn a_kind_whose_schema_cannot_be_checked_does_not_run() {
    let outcome = parse(&format!("{BROKER}[plugin.strange]"));
    let fault = outcome.config.expect("not fatal").plugins[0].fault.clone().unwrap_or_default();
    assert!(
        fault.contains("cannot be checked: the keyword `pattern` at `/properties/name` is not supported"),
        "{fault}"
    );
}
