//! Where sensors sit, what serves them and what switches their supply.

use sedge_config::{Address, Layer};

use super::layers::{file, pairs};
use super::{catalogue, lines, parse};

const HARDWARE: &str = "mqtt.embedded = true
bus.i2c-1.kind = 'i2c'
bus.spi0.kind = 'spi'
bus.w1.kind = 'w1'
bus.gpio0.kind = 'gpio'
gpio.rail = { kind = 'power', bus = 'gpio0', line = 22 }
gpio.lamp = { kind = 'relay', bus = 'gpio0', line = 23 }
";

fn told(text: &str) -> Vec<String> {
    lines(&parse(&format!("{HARDWARE}{text}")))
}

fn told_once(text: &str, words: &str) {
    let told = told(text);
    assert!(told.len() == 1 && told[0].contains(words), "{text}: {told:#?}");
}

#[test]
fn an_address_is_what_the_kind_sits_on() {
    let text = "sensor.a = { kind = 'bme280', bus = 'i2c-1' }
sensor.b = { kind = 'max31855', bus = 'spi0' }
sensor.c = { kind = 'max31855', bus = 'spi0', address = 15 }
sensor.d = { kind = 'ds18b20', bus = 'w1' }
sensor.e = { kind = 'ds18b20', bus = 'w1', address = '28-0316a2794cff' }
sensor.f = { kind = 'cpu' }";
    let outcome = parse(&format!("{HARDWARE}{text}"));
    assert_eq!(lines(&outcome), [""; 0]);
    let sensors = outcome.config.expect("no mistake").sensors;
    let addresses: Vec<_> = sensors.iter().map(|sensor| sensor.address.clone()).collect();
    let number = |number| Some(Address::Number(number));
    let name = Some(Address::Name("28-0316a2794cff".into()));
    assert_eq!(addresses, [number(0x76), number(0), number(15), None, name, None]);
    let shown = |at: &str| outcome.effective.pointer(&format!("/sensor/{at}/address")).cloned();
    assert_eq!((shown("a"), shown("b"), shown("d")), (Some(0x76.into()), Some(0.into()), None));
    let json = serde_json::to_value(&sensors).expect("JSON");
    assert_eq!((&json[0]["address"], &json[4]["address"]), (&0x76.into(), &"28-0316a2794cff".into()));
}

#[test]
fn a_wrong_address_is_told_what_it_should_be() {
    let spi =
        |address: &str| format!("sensor.a = {{ kind = 'max31855', bus = 'spi0', address = {address} }}");
    told_once(&spi("16"), ":8:57: 16 is no chip select; expected 0 to 15, such as `address = 0`");
    told_once(&spi("-1"), "-1 is no chip select");
    told_once(&spi("'ce0'"), "expected an integer, found the string `ce0`; expected 0 to 15");
    let w1 = |address: &str| format!("sensor.a = {{ kind = 'ds18b20', bus = 'w1', address = {address} }}");
    let help = "; such as `address = \"28-0316a2794cff\"`; `ls /sys/bus/w1/devices` shows what is there";
    told_once(&w1("40"), &format!("expected a string, found the integer 40{help}"));
    told_once(&w1("''"), &format!("an empty text is no address{help}"));
    told_once(&w1("'28/x'"), "the address `28/x` has `/`, which no device has");
    told_once(&w1("\"28\\u001b[0m\""), "has `\\u{1b}`, which no device has");
    told_once(&w1("'..'"), "`..` is no device");
    told_once(&w1(&format!("'{}'", "x".repeat(65))), "an address has at most 64 bytes, this one 65");
    told_once(&w1("true"), "expected an integer or a string, found true");
    let hwmon = "bus.h.kind = 'hwmon'\nsensor.a = { kind = 'hwmon', bus = 'h', address = 0 }";
    told_once(
        hwmon,
        "such as `address = \"cpu_thermal\"`; `cat /sys/class/hwmon/*/name` shows what is there",
    );
    told_once(
        "sensor.a = { kind = 'bme280', bus = 'i2c-1', address = '0x76' }",
        "expected an integer, found the string `0x76`; a `bme280` can have 0x76, 0x77",
    );
}

#[test]
fn a_variable_is_of_the_type_that_the_kind_takes() {
    let with = |kind: &str, bus: &str, address: &str| {
        let text = format!("{HARDWARE}sensor.a = {{ kind = '{kind}', bus = '{bus}' }}");
        let variable = Layer::Environment(pairs(&[("SEDGE__SENSOR__A__ADDRESS", address)]));
        let outcome =
            sedge_config::parse_layers(&[file("sedge.toml", &text), variable], &catalogue::catalogue());
        assert_eq!(lines(&outcome), [""; 0], "{kind}");
        outcome.config.expect("no mistake").sensors[0].address.clone()
    };
    assert_eq!(with("bme280", "i2c-1", "0x77"), Some(Address::Number(0x77)));
    assert_eq!(with("max31855", "spi0", "1"), Some(Address::Number(1)));
    assert_eq!(with("ds18b20", "w1", "28-1"), Some(Address::Name("28-1".into())));
    assert_eq!(with("ds18b20", "w1", "28"), Some(Address::Name("28".into())));
}

#[test]
fn a_kind_that_sits_on_a_bus_names_one_that_serves_it() {
    told_once(
        "[sensor.a]\nkind = 'ds18b20'",
        "missing key `bus`; the name of the bus that it is on, such as `bus = \"w1\"`",
    );
    told_once("[sensor.a]\nkind = 'max31855'", "such as `bus = \"spi0\"`");
    told_once(
        "sensor.a = { kind = 'max31855', bus = 'i2c-1' }",
        "this needs a bus of kind `spi`, but `i2c-1` is of kind `i2c`; the bus is at 2:5; buses that serve it: spi0",
    );
    told_once(
        "gpio.x = { kind = 'pwm', bus = 'w1', line = 1 }",
        "a bus of kind `gpio` or `pwm`, but `w1` is",
    );
    told_once("gpio.x = { kind = 'rely', bus = 'w1', line = 1 }", "unknown kind `rely`");
    assert_eq!(told("bus.p.kind = 'pwm'\ngpio.x = { kind = 'pwm', bus = 'p', line = 1 }"), [""; 0]);
}

#[test]
fn two_enabled_sensors_do_not_share_a_place() {
    let two = |one: &str, other: &str| format!("sensor.a = {{ {one} }}\nsensor.b = {{ {other} }}");
    let spi = "kind = 'max31855', bus = 'spi0'";
    told_once(&two(spi, spi), "chip select 0 of bus `spi0` is taken by `[sensor.a]`; it is taken at 8:8");
    assert_eq!(told(&two(spi, &format!("{spi}, address = 1"))), [""; 0]);
    let w1 = "kind = 'ds18b20', bus = 'w1'";
    let named = format!("{w1}, address = '28-1'");
    told_once(&two(&named, &named), "address `28-1` of bus `w1` is taken by `[sensor.a]`");
    told_once(
        &two(w1, w1),
        ":9:8: without an address this is the only `ds18b20` of bus `w1`, and so is `[sensor.a]`; the other one is at 8:8; say which is which, such as `address = \"28-",
    );
    assert_eq!(told(&two(w1, &format!("{w1}, enabled = false"))), [""; 0]);
    assert_eq!(told(&two(&named, &format!("{w1}, address = '28-2'"))), [""; 0]);
    assert_eq!(told(&two(w1, &format!("{w1}, address = 7"))).len(), 1, "a mistyped address claims nothing");
}

#[test]
fn a_supply_is_switched_by_what_is_made_for_it() {
    let with = |power: &str| format!("sensor.a = {{ kind = 'bme280', bus = 'i2c-1', power = {power} }}");
    let outcome = parse(&format!("{HARDWARE}{}", with("'rail'")));
    assert_eq!(lines(&outcome), [""; 0]);
    let sensor = &outcome.config.expect("no mistake").sensors[0];
    assert_eq!(sensor.power.as_ref().map(|id| id.as_str()), Some("rail"));
    told_once(&with("'rial'"), ":8:54: there is no `[gpio.rial]`; did you mean `rail`?");
    told_once(&with("'xyz'"), "there is no `[gpio.xyz]`; add a section `[gpio.xyz]` of kind `power`");
    told_once(&with("'i2c-1'"), "there is no `[gpio.i2c-1]`");
    told_once(
        &with("'lamp'"),
        "`lamp` is of kind `relay`, which switches no supply; `power` does; it is at 7:6; those that do: rail",
    );
    told_once(&with("7"), "expected a string, found the integer 7");
    let unknown = format!("gpio.x = {{ kind = 'powr', bus = 'gpio0', line = 1 }}\n{}", with("'x'"));
    told_once(&unknown, "unknown kind `powr`");
}

#[test]
fn ten_milliseconds_are_the_shortest_cadence() {
    let every = |every: &str| format!("sensor.a = {{ kind = 'cpu', every = '{every}' }}");
    assert_eq!(told(&every("10ms")), [""; 0]);
    told_once(&every("9ms"), "every 9ms is too often; at most every 10ms");
}
