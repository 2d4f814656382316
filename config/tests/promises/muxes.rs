//! Buses that are on another bus.

use super::{lines, parse};

const TRUNK: &str = "mqtt.embedded = true
bus.i2c-1.kind = 'i2c'
bus.gpio0.kind = 'gpio'
bus.shelf = { kind = 'tca9548a', bus = 'i2c-1', channel = 3 }
";

fn told(text: &str) -> Vec<String> {
    lines(&parse(&format!("{TRUNK}{text}")))
}

fn told_once(text: &str, words: &str) {
    let told = told(text);
    assert!(told.len() == 1 && told[0].contains(words), "{text}: {told:#?}");
}

/// What keeps each bus and sensor from running.
fn faults(text: &str) -> Vec<(String, String)> {
    let config = parse(&format!("{TRUNK}{text}")).config.expect("not fatal");
    let buses = config.buses.into_iter().map(|bus| (bus.id, bus.fault));
    let all = buses.chain(config.sensors.into_iter().map(|sensor| (sensor.id, sensor.fault)));
    all.filter_map(|(id, fault)| Some((id.to_string(), fault?))).collect()
}

#[test]
fn a_channel_says_what_it_is_on_and_serves_as_a_bus() {
    let text = "bus.deep = { kind = 'tca9548a', bus = 'shelf', address = 0x71, channel = 0 }
sensor.a = { kind = 'bme280', bus = 'i2c-1' }
sensor.b = { kind = 'sht3x', bus = 'shelf' }
sensor.c = { kind = 'sht3x', bus = 'deep', address = 0x45 }";
    let outcome = parse(&format!("{TRUNK}{text}"));
    assert_eq!(lines(&outcome), [""; 0]);
    let buses = outcome.config.expect("no mistake").buses;
    let parents: Vec<_> = buses.iter().map(|bus| (bus.id.as_str(), bus.parent.as_deref())).collect();
    assert_eq!(
        parents,
        [("i2c-1", None), ("gpio0", None), ("shelf", Some("i2c-1")), ("deep", Some("shelf"))]
    );
    assert_eq!(buses[2].settings["bus"], "i2c-1", "it stays a setting");
}

#[test]
fn what_a_channel_is_on_is_there_and_another_one_and_can_be_it() {
    let on = |bus: &str| format!("bus.x = {{ kind = 'tca9548a', bus = '{bus}', channel = 0 }}");
    told_once(&on("i2c-2"), ":5:36: there is no bus `i2c-2`; did you mean `i2c-1`?");
    told_once(&on("x"), "the bus `x` cannot be on itself; the name of the bus that the multiplexer is on");
    told_once(
        &on("gpio0"),
        "this needs a bus of kind `i2c` or `tca9548a`, but `gpio0` is of kind `gpio`; the bus is at 3:5; buses that serve it: i2c-1, shelf",
    );
    told_once(
        "bus.x = { kind = 'tca9548a', bus = 7, channel = 0 }",
        "expected a string, found the integer 7",
    );
    told_once("bus.x = { kind = 'tca9548a', channel = 0 }", "missing key `bus`");
}

#[test]
fn a_circle_is_named_once_and_stops_all_that_is_on_it() {
    let text = "bus.a = { kind = 'tca9548a', bus = 'b', channel = 0 }
bus.b = { kind = 'tca9548a', bus = 'c', channel = 0 }
bus.c = { kind = 'tca9548a', bus = 'a', channel = 0 }
bus.d = { kind = 'tca9548a', bus = 'b', channel = 1 }
sensor.s = { kind = 'sht3x', bus = 'd' }
sensor.well = { kind = 'sht3x', bus = 'shelf' }";
    let told = told(text);
    let path = ":5:36: these buses are on each other in a circle: `a` → `b` → `c` → `a`";
    assert!(told.len() == 1 && told[0].contains(path), "{told:#?}");
    let faulty: Vec<String> = faults(text).into_iter().map(|(id, _)| id).collect();
    assert_eq!(faulty, ["a", "b", "c", "d", "s"]);
}

#[test]
fn what_is_behind_a_misconfigured_bus_says_so() {
    let text = "[bus.bad]\nkind = 'i2c'\ndevce = 'x'
[bus.far]\nkind = 'tca9548a'\nbus = 'bad'\nchannel = 0
[sensor.s]\nkind = 'sht3x'\nbus = 'far'";
    let faults = faults(text);
    let says: Vec<(&str, &str)> =
        faults.iter().skip(1).map(|(id, why)| (id.as_str(), why.as_str())).collect();
    assert_eq!(
        says,
        [
            ("far", "sedge.toml:10:7: bus `bad` is misconfigured (line 7)"),
            ("s", "sedge.toml:14:7: bus `bad` is misconfigured (line 7)"),
        ]
    );
}

#[test]
fn one_channel_is_one_bus() {
    let other = |settings: &str| format!("bus.x = {{ kind = 'tca9548a', bus = 'i2c-1', {settings} }}");
    told_once(
        &other("channel = 3, address = 0x70"),
        ":5:55: channel 3 of the multiplexer at 0x70 of bus `i2c-1` is taken by `[bus.shelf]`; it is taken at 4:59",
    );
    for settings in ["channel = 4", "channel = 3, address = 0x71"] {
        assert_eq!(told(&other(settings)), [""; 0], "{settings}");
    }
    told_once(&other("channel = '3'"), "expected an integer");
}

#[test]
fn nothing_on_the_trunk_answers_for_what_is_behind_a_channel() {
    let pair = |one: &str, other: &str| {
        format!(
            "sensor.a = {{ kind = 'sht3x', bus = '{one}' }}\nsensor.b = {{ kind = 'sht3x', bus = '{other}' }}"
        )
    };
    told_once(
        &pair("i2c-1", "shelf"),
        ":6:8: `[sensor.b]` on `shelf` and `[sensor.a]` on `i2c-1` would both answer at 0x44; the other one is at 5:8; what is on the trunk",
    );
    told_once(
        &pair("shelf", "i2c-1"),
        ":6:8: `[sensor.b]` on `i2c-1` and `[sensor.a]` on `shelf` would both",
    );
    let more = "bus.deep = { kind = 'tca9548a', bus = 'shelf', address = 0x71, channel = 0 }
bus.wall = { kind = 'tca9548a', bus = 'i2c-1', channel = 4 }\n";
    told_once(
        &format!("{more}{}", pair("deep", "i2c-1")),
        "on `i2c-1` and `[sensor.a]` on `deep` would both",
    );
    told_once(
        &format!("{more}{}", pair("deep", "shelf")),
        "on `shelf` and `[sensor.a]` on `deep` would both",
    );
    assert_eq!(told(&format!("{more}{}", pair("wall", "shelf"))), [""; 0], "two channels");
    let disabled = pair("i2c-1", "shelf").replacen(" }", ", enabled = false }", 1);
    assert_eq!(told(&disabled), [""; 0]);
}

#[test]
fn a_multiplexer_answers_at_its_own_address() {
    let at = |bus: &str| format!("sensor.a = {{ kind = 'shtc3', bus = '{bus}' }}");
    let words =
        "`[sensor.a]` on `i2c-1` and the multiplexer of `[bus.shelf]` on `i2c-1` would both answer at 0x70";
    told_once(&at("i2c-1"), words);
    told_once(&at("shelf"), "`[sensor.a]` on `shelf` and the multiplexer of `[bus.shelf]` on `i2c-1`");
    told_once(
        "bus.deep = { kind = 'tca9548a', bus = 'shelf', channel = 0 }",
        "the multiplexer of `[bus.deep]` on `shelf` and the multiplexer of `[bus.shelf]` on `i2c-1`",
    );
}
