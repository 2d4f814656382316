//! What a reload may leave alone.

use sedge_config::Config;

use super::parse;

const TEXT: &str = "[node]
id = 'a'
[mqtt]
url = 'mqtt://me:hunter2@h'
[bus.b]
kind = 'sim'
seed = 1
[sensor.s]
kind = 'bme280'
bus = 'b'
offset = 1
process = ['p']
[gpio.g]
kind = 'relay'
bus = 'b'
line = 1
[plugin.weather]
pin = '1'
[processor.p]
kind = 'limit'
max = 1
[destination.d]
kind = 'file'
path = 'x'
[guard.u]
tools = ['a']
only_if = 'x > 1'
[calls]
signed = 'all'
[caller.c]
key = 'ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw='
tools = ['a']
";

/// All numbers, each with what it is of.
fn numbers(config: &Config) -> Vec<(&'static str, u64)> {
    vec![
        ("node", config.node.fingerprint()),
        ("mqtt", config.mqtt.fingerprint()),
        ("bus", config.buses[0].fingerprint()),
        ("sensor", config.sensors[0].fingerprint()),
        ("gpio", config.gpios[0].fingerprint()),
        ("plugin", config.plugins[0].fingerprint()),
        ("processor", config.processors[0].fingerprint()),
        ("destination", config.destinations[0].fingerprint()),
        ("guard", config.guards[0].fingerprint()),
        ("calls", config.calls.fingerprint()),
        ("caller", config.callers[0].fingerprint()),
    ]
}

/// What differs between two texts.
fn changed(before: &str, after: &str) -> Vec<&'static str> {
    let read = |text: &str| numbers(&parse(text).config.unwrap_or_else(|| panic!("not fatal: {text}")));
    let (before, after) = (read(before), read(after));
    before.iter().zip(&after).filter(|(one, other)| one != other).map(|(one, _)| one.0).collect()
}

#[test]
fn a_change_is_seen_in_what_it_is_of_and_nowhere_else() {
    for (from, to, what) in [
        ("id = 'a'", "id = 'b'", "node"),
        ("id = 'a'", "id = 'a'\ndata = '/x'", "node"),
        ("id = 'a'", "id = 'a'\nlabels = { x = 'y' }", "node"),
        ("@h'", "@i'", "mqtt"),
        ("hunter2", "hunter3", "mqtt"),
        ("@h'", "@h'\nqueue = 64", "mqtt"),
        ("@h'", "@h'\nkeep_alive = '16s'", "mqtt"),
        ("@h'", "@h'\ndiscovery = false", "mqtt"),
        ("@h'", "@h'\ndiscovery_prefix = 'ha'", "mqtt"),
        ("seed = 1", "seed = 2", "bus"),
        ("offset = 1", "offset = 1.5", "sensor"),
        ("offset = 1", "offset = 1\nevery = '11s'", "sensor"),
        ("offset = 1", "offset = 1\nenabled = false", "sensor"),
        ("offset = 1", "offset = 1\naddress = 0x77", "sensor"),
        ("offset = 1", "offset = 1\npower = 'rail'", "sensor"),
        ("['p']", "[]", "sensor"),
        ("line = 1", "line = 2", "gpio"),
        ("pin = '1'", "pin = '2'", "plugin"),
        ("max = 1", "max = 2", "processor"),
        ("max = 1", "max = 1\npriority = 101", "processor"),
        ("max = 1", "max = 1\nsensors = ['s']", "processor"),
        ("signed = 'all'", "signed = 'actuate'", "calls"),
        ("signed = 'all'", "signed = 'all'\nunsigned = '1/s'", "calls"),
        ("0iw='", "0iw='\nrate = '1/s'", "caller"),
        ("path = 'x'", "path = 'y'", "destination"),
        ("path = 'x'", "path = 'x'\nsensors = []", "destination"),
        ("tools = ['a']", "tools = ['b']", "guard"),
        ("x > 1", "x > 2", "guard"),
        ("x > 1'", "x > 1'\nmax_age = '6m'", "guard"),
        ("x > 1'", "x > 1'\nallow = []", "guard"),
        ("x > 1'", "x > 1'\ndeny = ['a']", "guard"),
        ("x > 1'", "x > 1'\ndry_run = true", "guard"),
        ("x > 1'", "x > 1'\ncooldown = '1s'", "guard"),
        ("x > 1'", "x > 1'\nat_most = 1\nper = '1s'", "guard"),
    ] {
        assert!(TEXT.contains(from), "{from}");
        assert_eq!(changed(TEXT, &TEXT.replacen(from, to, 1)), [what], "{from} -> {to}");
    }
}

#[test]
fn what_is_only_moved_is_the_same() {
    let mut sections: Vec<String> =
        TEXT.split("\n[").map(|section| format!("[{}\n", section.trim_matches('['))).collect();
    sections.reverse();
    let moved = format!("# Moved.\n\n{}", sections.concat());
    assert_ne!(moved, TEXT);
    assert_eq!(changed(TEXT, &moved), [""; 0]);
}

#[test]
fn a_fault_counts_by_what_it_says_and_not_by_where_it_stands() {
    let faulty = TEXT.replace("seed = 1", "sed = 1").replace("line = 1", "line = 'x'");
    assert_eq!(
        changed(&faulty, &format!("\n\n{faulty}")),
        [""; 0],
        "the sensor's fault names the line of the bus"
    );
    assert_eq!(changed(TEXT, &faulty), ["bus", "sensor", "gpio"]);
    assert_eq!(changed(&faulty, &faulty.replace("sed = 1", "sd = 1")), ["bus", "sensor"]);
    assert_eq!(changed(&faulty, &faulty.replace("'x'\n[plugin", "'y'\n[plugin")), ["gpio"]);
    let two = |line: &str| format!("{TEXT}{line}[gpio.g2]\nkind = 'relay'\nbus = 'b'\nline = 1");
    let of = |text: &str| parse(text).config.expect("not fatal").gpios[1].clone();
    let (here, there) = (of(&two("")), of(&two("\n")));
    assert!(here.fault.is_some() && here.fault != there.fault, "another line");
    assert_eq!(here.fingerprint(), there.fingerprint());
}
