//! Looking for devices, reading one, the catalogue of kinds, and the doctor.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge --test promises hardware` writes `plugins/builtin/SENSORS.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rumqttc::v5::mqttbytes::QoS;
use sedge::commands::scan::{Expected, Look, Names, grid, rows, toml};
use sedge::commands::{example, hardware, sensor};
use sedge::load::Loaded;
use sedge_hal::{SimBus, SystemClock, scan};
use sedge_plugin::sim::RegisterFile;
use sedge_plugin::testing::block_on;
use sedge_plugin::{Id, SensorKind};
use sedge_plugins::sensors::{KINDS, kind};
use serde_json::{Value as Json, json};

use super::brokers::{Broker, Kind};
use super::clients::V5;
use super::program::{Config, Running, code, json, run, stderr, stdout};

const KITCHEN: &str = r#"
[node]
id = "pi-test"
[bus.i2c-1]
kind = "sim"
[bus.shelf]
kind = "tca9548a"
bus = "i2c-1"
channel = 3
[sensor.kitchen]
kind = "bmp280"
bus = "i2c-1"
[sensor.low]
kind = "bmp280"
bus = "shelf"
address = 0x77
[bus.gpio0]
kind = "sim"
[gpio.lamp]
kind = "relay"
bus = "gpio0"
line = 4
"#;

const EMPTY: &str = "     0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f
00:                         -- -- -- -- -- -- -- --
10: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --
20: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --
30: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --
40: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --
50: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --
60: -- -- -- -- -- -- -- -- -- -- -- -- -- -- -- --
70: -- -- -- -- -- -- -- --
";

/// The last row of the map.
fn with_last(row: &str) -> String {
    EMPTY.replace("70: -- -- -- -- -- -- -- --", row)
}

/// An empty root, so that nothing of this machine is seen.
fn nowhere(config: &Config) -> String {
    std::fs::create_dir_all(config.path("root")).unwrap();
    config.path("root")
}

#[tokio::test]
async fn a_scan_draws_each_bus_and_what_is_behind_its_multiplexer() {
    let config = Config::new(KITCHEN);
    let (file, root) = (config.file(), nowhere(&config));
    let output = run(&["sensor", "scan", "-c", &file, "--root", &root]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let title = kind("bmp280").unwrap().title;
    let trunk = with_last("70: 70 -- -- -- -- -- 76 --");
    let shelf = with_last("70: -- -- -- -- -- -- -- 77");
    let expected = format!(
        "i2c-1 (sim)\n{trunk}  0x70  [bus.shelf]       a multiplexer\n  0x76  [sensor.kitchen]  bmp280: {title}\n\n\
         shelf (channel 3 of 0x70 on i2c-1)\n{shelf}  0x77  [sensor.low]  bmp280: {title}\n\n",
    );
    assert_eq!(stdout(&output), expected);

    let told =
        json(&run(&["sensor", "scan", "-c", &file, "--root", &root, "--bus", "shelf", "--json"]).await);
    assert_eq!(told["i2c"].as_array().unwrap().len(), 1, "only that bus: {told}");
    let found = &told["i2c"][0]["found"];
    assert_eq!(found[0]["kinds"], json!([{ "kind": "bmp280", "certain": true }]));
    assert_eq!((&found[0]["address"], &found[0]["sensors"]), (&json!(0x77), &json!(["low"])));
    assert_eq!(
        (found.as_array().unwrap().len(), &told["toml"]),
        (1, &json!("")),
        "what the trunk has is not here"
    );

    let output = run(&["sensor", "scan", "-c", &file, "--root", &root, "--bus", "i2c-9"]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("there are: i2c-1, shelf"), "{output:?}");
}

fn found(bus: &SimBus) -> Vec<scan::Found> {
    let kinds: Vec<&'static SensorKind> = hardware::kinds();
    scan::i2c(&mut |address| Ok(bus.device(address)), &kinds, &|_| scan::Care::Identify).unwrap()
}

fn look(bus: &SimBus, configured: bool) -> Look {
    Look {
        bus: "i2c-1".into(),
        place: "/dev/i2c-1".into(),
        configured,
        found: Ok(found(bus)),
        expected: Vec::new(),
        multiplexers: Vec::new(),
        kernel: BTreeMap::new(),
    }
}

/// Chips that no config has: two of one kind, one that is unknown, a multiplexer.
fn strangers() -> SimBus {
    let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
    let id = Id::new("any").unwrap();
    for address in [0x76, 0x77] {
        bus.simulate(&id, &sedge_hal::Seat::Number(address), kind("bmp280").unwrap());
    }
    bus.attach(0x0A, Box::new(RegisterFile::new(&[])));
    drop(bus.channel(0x72, 0));
    bus
}

#[test]
fn what_no_config_has_gets_a_section_that_passes_the_check() {
    let bus = strangers();
    let sections = |bus: &str| {
        format!(
            "# one section for each channel that is in use, 0 to 7; then scan again\n[bus.mux-72-0]\n\
             kind = \"tca9548a\"\nbus = \"{bus}\"\naddress = 0x72\nchannel = 0\n\n"
        )
    };
    let chip = |id: &str, address: &str| {
        format!("[sensor.{id}]\nkind = \"bmp280\"\nbus = \"i2c-1\"\naddress = {address}\nevery = \"10s\"\n\n")
    };
    let before = "[mqtt]\nembedded = true\n[bus.i2c-1]\nkind = \"i2c\"\n[sensor.bmp280]\nkind = \"bme280\"\nbus = \"i2c-1\"\naddress = 0x76\nenabled = false\n";
    let loaded = Loaded::new("before", before.into());
    let mine = toml(&[look(&bus, true)], &[], Names::of(&loaded.effective));
    assert_eq!(
        mine,
        format!("{}{}{}", sections("i2c-1"), chip("bmp280-2", "0x76"), chip("bmp280-3", "0x77")),
        "ids that are free"
    );
    let fresh = toml(&[look(&bus, false)], &[], Names::of(&Json::Null));
    assert!(fresh.starts_with("[bus.i2c-1]\nkind = \"i2c\"\n\n"), "{fresh}");
    assert!(fresh.contains("[sensor.bmp280]\n") && fresh.contains("[sensor.bmp280-2]\n"), "{fresh}");
    for (before, added) in [(before, mine), ("mqtt.embedded = true\n", fresh)] {
        let loaded = Loaded::new("after", format!("{before}\n{added}"));
        assert_eq!(loaded.diagnostics.iter().map(|d| d.one_line()).collect::<Vec<_>>(), [""; 0], "{added}");
    }
}

#[test]
fn a_row_says_what_it_knows_and_where_the_config_is_wrong() {
    let bus = strangers();
    let mut look = look(&bus, true);
    let expected =
        |id: &str, kind: &str, address| Expected { id: id.into(), kind: kind.into(), address, read: false };
    look.expected = vec![expected("kitchen", "bme280", 0x76), expected("gone", "bmp280", 0x20)];
    assert_eq!(
        grid(&look),
        with_last("70: -- -- 72 -- -- -- 76 77")
            .replace("00:                         -- -- --", "00:                         -- -- 0a")
    );
    let text: Vec<String> = rows(&look).iter().map(|row| row.join(" ").trim().to_owned()).collect();
    let title = kind("bmp280").unwrap().title;
    assert_eq!(
        text,
        [
            "0x0a new unknown: no kind of sensor can have this address".into(),
            "0x20 [sensor.gone] nobody answers where a bmp280 is expected; some chips do so only after a command: `sedge sensor read gone` tells".into(),
            "0x72 new tca9548a: a multiplexer".into(),
            format!("0x76 [sensor.kitchen] bmp280: {title}; but the config says bme280"),
            format!("0x77 new bmp280: {title}"),
        ]
    );
}

#[tokio::test]
async fn a_scan_lists_what_the_kernel_drives_and_writes_it_into_the_config() {
    let config = Config::new("mqtt.embedded = true\n");
    for (file, text) in [
        ("root/sys/bus/w1/devices/28-0316a2794cff/temperature", "21437\n"),
        ("root/sys/bus/w1/devices/w1_bus_master1/x", ""),
        ("root/sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
        ("root/dev/spidev0.1", ""),
    ] {
        config.write(file, text);
    }
    let output = run(&["sensor", "scan", "-c", &config.file(), "--root", &config.path("root")]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let text = stdout(&output);
    for part in ["28-0316a2794cff", "family 28", "hwmon0", "cpu_thermal", "spidev0.1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("w1_bus_master1"), "{text}");
    assert!(stderr(&output).contains("there is no I2C bus"), "says how to enable it: {output:?}");
    if kind("ds18b20").is_none() {
        return;
    }
    let added = text.split_once("node.toml:\n\n").unwrap().1;
    assert!(added.contains("[bus.w1]") && added.contains("address = \"28-0316a2794cff\""), "{added}");
    config.write("node.toml", &format!("mqtt.embedded = true\n{added}"));
    let output = run(&["check", "-c", &config.file()]).await;
    assert!(stdout(&output).ends_with("node.toml: ok\n"), "{output:?}");
}

#[tokio::test]
async fn a_sensor_is_read_by_itself_where_no_node_runs() {
    let config = Config::new(KITCHEN);
    let file = config.file();
    let output = run(&["sensor", "read", "kitchen", "-c", &file]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(
        stdout(&output).contains(" kitchen temperature=") && stdout(&output).contains("°C"),
        "{output:?}"
    );
    assert_eq!(stdout(&output).lines().count(), 1);
    let output =
        run(&["sensor", "read", "low", "-c", &file, "--json", "--set", "sensor.low.every=10ms", "-wn3"])
            .await;
    let lines: Vec<Json> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(lines[0]["sensor"], "low");
}

#[tokio::test]
async fn a_sensor_that_cannot_be_read_says_why_and_what_to_do() {
    let missing = KITCHEN.replacen("kind = \"sim\"", "kind = \"i2c\"\ndevice = \"/dev/i2c-99\"", 1);
    let config = Config::new(&missing);
    let file = config.file();
    for (name, parts) in [
        ("kitchen", &["/dev/i2c-99 does not exist", "sedge sensor scan --bus i2c-1"][..]),
        ("kitchn", &["did you mean `kitchen`?"]),
        ("bmp280", &["it is a kind; of that kind there is: kitchen, low"]),
    ] {
        let output = run(&["sensor", "read", name, "-c", &file]).await;
        assert_eq!(code(&output), 1, "{output:?}");
        parts.iter().for_each(|part| assert!(stderr(&output).contains(part), "{part}: {output:?}"));
    }
    let wrong = Config::new(&KITCHEN.replacen("kind = \"bmp280\"", "kind = \"bmp280\"\naddress = 0x20", 1));
    let output = run(&["sensor", "read", "kitchen", "-c", &wrong.file()]).await;
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("[sensor.kitchen]") && stderr(&output).contains("0x20"), "{output:?}");
}

#[tokio::test]
async fn a_chip_that_does_not_answer_and_one_that_is_another_are_told_apart() {
    let fault = |fault: &str| {
        let faults = format!(
            "kind = \"sim\"\nfaults = [{{ address = 0x76, fault = \"{fault}\", after = \"0s\", lasts = \"1h\" }}]"
        );
        Config::new(&KITCHEN.replacen("kind = \"sim\"", &faults, 1))
    };
    for (word, why, seen) in [
        ("nack", "no device answers", "nobody answers at 0x76 on i2c-1"),
        ("stranger", "another chip answers", "another chip than a bmp280 answers at 0x76 on i2c-1"),
    ] {
        let config = fault(word);
        nowhere(&config);
        let output = run(&["sensor", "read", "kitchen", "-c", &config.file(), "--json"]).await;
        assert_eq!(code(&output), 1, "{output:?}");
        let last = stderr(&output).lines().last().unwrap_or_default().to_owned();
        let error: Json = serde_json::from_str(&last).unwrap();
        let error = error["error"].as_str().unwrap();
        assert!(error.contains(why) && error.contains("sedge sensor scan --bus i2c-1"), "{error}");
        let (code, findings) = doctor(&config).await;
        assert_eq!((code, finding(&findings, "sensor kitchen", seen).0.as_str()), (1, "fail"));
    }
}

#[tokio::test]
async fn a_sensor_of_the_node_on_this_machine_is_asked_of_the_node() {
    let config = Config::new(&KITCHEN.replace(
        "kind = \"bmp280\"\nbus = \"i2c-1\"",
        "kind = \"bmp280\"\nbus = \"i2c-1\"\nevery = \"100ms\"",
    ));
    let file = config.file();
    let mut node = Running::logged(&["run", "-c", &file]);
    node.line_with("Runs.").await;
    let output = run(&["sensor", "read", "kitchen", "-c", &file]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains(" s ago)"), "with its age: {output:?}");
    let output = run(&["sensor", "read", "kitchen", "-c", &file, "--json", "-wn2"]).await;
    let lines: Vec<Json> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() == 2 && lines[0]["seq"].as_u64() < lines[1]["seq"].as_u64(), "{lines:?}");
    assert!(lines[0]["age_ms"].is_u64(), "{lines:?}");

    // A scan leaves alone what the node reads, and what is behind its multiplexer.
    let root = nowhere(&config);
    let output = run(&["sensor", "scan", "-c", &file, "--root", &root]).await;
    assert!(stdout(&output).contains("0x76  [sensor.kitchen]  bmp280, read by the node now"), "{output:?}");
    assert!(stderr(&output).contains("node `pi-test` runs on this machine"), "{output:?}");
    assert!(stderr(&output).contains("stop the node to look there"), "{output:?}");
    let findings = json(&run(&["doctor", "--json", "-c", &file, "--root", &root]).await);
    let (level, _) = finding(&findings, "node", "`pi-test` runs");
    assert_eq!(level, "ok");
    assert_eq!(finding(&findings, "sensor kitchen", "the node reads it").0, "ok");
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

#[test]
fn the_example_of_every_kind_passes_the_check() {
    for kind in KINDS {
        let text = example::of(kind);
        let loaded = Loaded::new(kind.kind, format!("mqtt.embedded = true\n{text}"));
        let told: Vec<String> = loaded.diagnostics.iter().map(|d| d.one_line()).collect();
        assert_eq!(told, [""; 0], "{text}");
        assert_eq!(loaded.config.unwrap().sensors.len(), 1);
    }
}

#[tokio::test]
async fn a_kind_is_told_with_all_that_a_config_needs() {
    let text = stdout(&run(&["sensor", "kinds", "bmp280"]).await);
    for part in
        ["0x76 0x77", "known by 0xd0, which reads 0x58", "temperature", "-40 to 85", "[sensor.bmp280]"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let all = json(&run(&["sensor", "kinds", "--json"]).await);
    assert_eq!(all.as_array().unwrap().len(), KINDS.len());
    for kind in all.as_array().unwrap() {
        for key in ["bus", "addresses", "fields", "settings", "operations", "example", "title"] {
            assert!(!kind[key].is_null(), "{key} of {kind}");
        }
    }
    let one = json(&run(&["sensor", "kinds", "bmp280", "--json"]).await);
    assert_eq!(one[0]["kind"], "bmp280");
    let wrong = run(&["sensor", "kinds", "bmp820"]).await;
    assert!(stderr(&wrong).contains("did you mean `bmp280`?") && code(&wrong) == 1, "{wrong:?}");
}

const PAGE: &str = "# The kinds of sensors

Written by a test (`SEDGE_GOLDEN=write cargo test -p sedge --test promises hardware`). `sedge sensor kinds NAME` tells all about one,
with its settings and an example; `sedge sensor scan` finds what is there. Fields are in the unit that stands behind them. A tool is
called `ID_tool`, such as `kitchen_heat`.

";

#[test]
fn the_page_of_sensors_has_every_kind() {
    let mut page =
        format!("{PAGE}| kind | what | bus | addresses | fields | tools |\n|---|---|---|---|---|---|\n");
    for kind in KINDS {
        let tools: Vec<&str> = kind.operations.iter().map(|operation| operation.name).collect();
        let cells = [
            format!("`{}`", kind.kind),
            kind.title.into(),
            kind.bus().into(),
            sensor::addresses(kind),
            sensor::fields(kind),
            tools.join(", "),
        ];
        page.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/builtin/SENSORS.md");
    if std::env::var("SEDGE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&file, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), page, "SEDGE_GOLDEN=write writes it anew");
}

#[test]
fn the_section_written_for_any_kind_of_chip_passes_the_check() {
    for kind in KINDS.iter().filter(|kind| !kind.addresses().is_empty()) {
        let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
        let seat = sedge_hal::Seat::Number(kind.addresses()[0]);
        bus.simulate(&Id::new("any").unwrap(), &seat, kind);
        let look = look(&bus, false);
        let is_it = |found: &scan::Found| found.certain.iter().any(|one| one.kind == kind.kind);
        let identity = match kind.attachment {
            sedge_plugin::Attachment::I2c { identity, .. } => identity,
            _ => None,
        };
        let asked = !matches!(kind.addresses()[0], 0x20..=0x27 | 0x38..=0x3F);
        if identity.is_some() && asked {
            assert!(look.found.iter().flatten().any(is_it), "{} is not known by its id", kind.kind);
        }
        let added = toml(&[look], &[], Names::of(&Json::Null));
        let loaded = Loaded::new(kind.kind, format!("mqtt.embedded = true\n{added}"));
        assert_eq!(loaded.diagnostics.iter().map(|d| d.one_line()).collect::<Vec<_>>(), [""; 0], "{added}");
    }
}

/// The level and the remedy of the finding about `check` that says `what`.
#[track_caller]
pub fn finding(findings: &Json, check: &str, what: &str) -> (String, String) {
    let is_it = |one: &&Json| one["check"] == check && one["what"].as_str().unwrap().contains(what);
    let found = findings.as_array().unwrap().iter().find(is_it);
    let found = found.unwrap_or_else(|| panic!("{check}: {what}: {findings:#}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("level"), text("remedy"))
}

const SICK: &str = r#"
[node]
id = "pi-sick"
data = "DATA"
[mqtt]
url = "mqtt://127.0.0.1:1"
[bus.i2c-1]
kind = "i2c"
[bus.i2c-3]
kind = "i2c"
[bus.w1]
kind = "w1"
path = "ROOT/sys/bus/w1/devices"
[bus.desk]
kind = "sim"
[sensor.air]
kind = "scd30"
bus = "i2c-1"
[sensor.lamp]
kind = "bmp280"
bus = "desk"
[bus.board]
kind = "hwmon"
path = "ROOT/sys/class/hwmon"
[sensor.cpu]
kind = "hwmon"
bus = "board"
address = "cpu_thermal"
[sensor.fan]
kind = "hwmon"
bus = "board"
address = "pwmfan"
"#;

/// A picture of a Raspberry Pi on which much is wrong.
fn sick() -> Config {
    let config = Config::new("");
    let root = config.path("root");
    let text = SICK.replace("ROOT", &root).replace("DATA", &config.path("data"));
    config.write("node.toml", &text);
    config.write("data/x", "");
    for (file, text) in [
        ("dev/i2c-1", ""),
        ("boot/firmware/config.txt", "dtparam=i2c_arm=on\n"),
        ("proc/modules", "i2c_dev 16384 0 - Live 0x0\n"),
        ("proc/meminfo", "MemTotal: 948304 kB\nMemFree: 1 kB\nMemAvailable: 20480 kB\n"),
        ("proc/mounts", "/dev/root / ext4 rw,noatime 0 0\n"),
        ("sys/devices/platform/soc/soc:firmware/get_throttled", "0x50005\n"),
        ("sys/class/i2c-adapter/i2c-1/name", "bcm2835 (i2c@7e804000)\n"),
        ("sys/class/i2c-adapter/i2c-1/of_node/clock-frequency", "\0\u{1}\u{6}\u{0}"),
        ("sys/bus/w1/devices/w1_bus_master1/x", ""),
        ("sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
        ("run/systemd/timesync/synchronized", ""),
    ] {
        config.write(&format!("root/{file}"), text);
    }
    config
}

async fn doctor(config: &Config) -> (i32, Json) {
    let output = run(&["doctor", "--json", "-c", &config.file(), "--root", &config.path("root")]).await;
    (code(&output), json(&output))
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let config = sick();
    let (code, findings) = doctor(&config).await;
    assert_eq!(code, 1);
    for (check, what, level, remedy) in [
        ("config", "4 sensors on 5 buses", "ok", ""),
        ("bus i2c-1", "can be opened", "ok", ""),
        ("bus i2c-3", "i2c-3 is not there", "fail", "name one that is there: "),
        (
            "bus i2c-1",
            "its clock is 67 kHz, and `air` (scd30) stretches it",
            "warn",
            "dtparam=i2c_arm_baudrate=50000",
        ),
        ("bus w1", "no device in it", "warn", "4.7 kΩ"),
        ("sensor lamp", "a bmp280 answers at 0x76 on desk, its id fits", "ok", ""),
        ("bus board", "hwmon0", "ok", ""),
        ("sensor cpu", "the kernel shows cpu_thermal on board", "ok", ""),
        ("sensor fan", "does not show pwmfan on board; it shows hwmon0", "fail", "correct `address`"),
        ("power", "under-voltage now", "fail", "5.1 V"),
        ("power", "slowed down now", "warn", "heat sink"),
        ("memory", "20 of 926 MB are free", "warn", "ps aux"),
        ("data", "can be written", "ok", ""),
        ("clock", "synchronised", "ok", ""),
        ("broker", "127.0.0.1:1", "fail", "listener 1883"),
    ] {
        let (found, said) = finding(&findings, check, what);
        assert!(found == level && said.contains(remedy), "{check}: {found}, {said}");
    }
    // Another test's node may run on this machine, which is told then.
    assert_ne!(finding(&findings, "node", "`pi-sick`").0, "fail");
}

#[tokio::test]
async fn the_doctor_finds_what_is_missing_for_i2c_from_the_bottom_up() {
    let config = sick();
    std::fs::remove_file(config.path("root/dev/i2c-1")).unwrap();
    config.write("root/proc/modules", "");
    let (_, findings) = doctor(&config).await;
    assert!(finding(&findings, "bus i2c-1", "is not there").1.contains("modprobe i2c-dev"), "{findings}");
    config.write("root/boot/firmware/config.txt", "#dtparam=i2c_arm=on\n");
    config.write("root/proc/mounts", &format!("/dev/root {} ext4 ro,noatime 0 0\n", config.path("data")));
    std::fs::remove_file(config.path("root/run/systemd/timesync/synchronized")).unwrap();
    let (_, findings) = doctor(&config).await;
    assert!(
        finding(&findings, "bus i2c-1", "is not there").1.contains("put `dtparam=i2c_arm=on` into"),
        "{findings}"
    );
    assert_eq!(finding(&findings, "data", "mounted read-only").0, "fail");
    assert_eq!(finding(&findings, "clock", "nobody seems to synchronise it").0, "warn");
}

#[tokio::test]
async fn the_doctor_of_a_healthy_node_ends_with_0() {
    let config = Config::new(KITCHEN);
    nowhere(&config);
    let output = run(&["doctor", "-c", &config.file(), "--root", &config.path("root")]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("ok    sensor kitchen"), "{output:?}");
    assert!(stdout(&output).ends_with(" 0 failed\n"), "{output:?}");
    config.write("node.toml", "[[[");
    let (code, findings) = doctor(&config).await;
    assert_eq!(
        (code, finding(&findings, "config", "mistake").0.as_str()),
        (1, "fail"),
        "a config that is none"
    );
}

/// A node without devices, at a broker.
fn at_broker(address: impl std::fmt::Display) -> Config {
    let config = Config::new(&format!("node.id = 'pi-test'\nmqtt.url = 'mqtt://{address}'\n"));
    nowhere(&config);
    config
}

#[tokio::test]
async fn the_doctor_tries_what_the_broker_lets_the_node_do() {
    for kind in [Kind::Embedded, Kind::Mosquitto] {
        let Some(broker) = Broker::start(kind).await else { continue };
        let config = at_broker(broker.address);
        let (_, findings) = doctor(&config).await;
        for (check, what) in [
            ("broker", "reached"),
            ("rights", "may publish below sedge/v1/pi-test"),
            ("rights", "may hear calls"),
        ] {
            assert_eq!(finding(&findings, check, what).0, "ok");
        }
        assert!(!findings.to_string().contains("is online"), "{findings}");
        let mut other = V5::connect(broker.address, "other").await;
        let status = "sedge/v1/pi-test/status";
        other.publish(status, "online", QoS::AtLeastOnce, true).await;
        other.subscribe(status, QoS::AtLeastOnce).await;
        other.message().await;
        let (code, findings) = doctor(&config).await;
        let (level, remedy) = finding(&findings, "id", "that is online, and none runs on this machine");
        assert!(code == 1 && level == "fail" && remedy.contains("another `id`"), "{findings}");
    }
}

#[tokio::test]
async fn the_doctor_tells_what_a_broker_refuses() {
    let rules = Config::new("topic read sedge/v1/#\ntopic readwrite sedge/v1/_reply/#\n");
    let Some(broker) = Broker::mosquitto(&format!("allow_anonymous true\nacl_file {}", rules.file())).await
    else {
        return;
    };
    let (code, findings) = doctor(&at_broker(broker.address)).await;
    let (level, remedy) = finding(&findings, "rights", "publishing below sedge/v1/pi-test: ");
    assert!(code == 1 && level == "fail" && remedy.contains("topic write sedge/v1/pi-test/#"), "{findings}");

    let closed = Broker::mosquitto("allow_anonymous false").await.unwrap();
    let (_, findings) = doctor(&at_broker(closed.address)).await;
    assert!(
        finding(&findings, "broker", "refused the login").1.contains("`username` and `password`"),
        "{findings}"
    );
}

#[tokio::test]
async fn the_doctor_waits_for_nobody_who_is_silent() {
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, findings) = doctor(&at_broker(silent.local_addr().unwrap())).await;
    assert_eq!((code, finding(&findings, "broker", "no answer within 2 s").0.as_str()), (1, "fail"));
}

#[test]
fn an_address_behind_a_multiplexer_is_found_by_the_bus_of_its_channel() {
    let sim = SimBus::new("i2c-1", Arc::new(SystemClock));
    let behind = sim.channel(0x70, 3);
    behind.attach(0x48, Box::new(RegisterFile::new(&[])));
    let bus = sim.bus().unwrap();
    let channel = bus.channel(sedge_hal::Hop { address: 0x70, channel: 3 });
    let addresses = |bus: &sedge_hal::Bus| {
        let found = block_on(bus.with_ways(|ways| Ok(scan::i2c(ways, &[], &|_| scan::Care::Byte)?))).unwrap();
        found.iter().map(|found| found.address).collect::<Vec<_>>()
    };
    assert_eq!((addresses(&bus), addresses(&channel)), (vec![0x70], vec![0x48, 0x70]));
}
