//! Home Assistant: every kind of sensor and every tool that comes with a node makes entities that it takes.

use std::collections::BTreeSet;
use std::path::Path;

use rumqttc::v5::mqttbytes::QoS;
use sedge::commands::example;
use sedge_plugins::sensors::KINDS;
use serde_json::{Value as Json, json};

use super::brokers::{Broker, Kind};
use super::clients::{V5, within};
use super::home_assistant;
use super::program::{Config, Running};

/// The document of that node, for `deploy/home-assistant/check.py`.
const FILE: &str = "../deploy/home-assistant/every-kind.json";

const GPIOS: &str = r#"
[bus.gpio0]
kind = "sim"
[gpio.pump]
kind = "relay"
bus = "gpio0"
line = 1
[gpio.door]
kind = "input"
bus = "gpio0"
line = 2
[gpio.meter]
kind = "counter"
bus = "gpio0"
line = 3
unit = "kWh"
class = "energy"
per_unit = 1000
[gpio.fan]
kind = "pwm"
bus = "gpio0"
line = 4
[gpio.rail]
kind = "power"
bus = "gpio0"
line = 5
"#;

/// A node with a sensor of every kind, each on a bus of its own.
fn config(broker: &Broker) -> Config {
    let mut text = format!("[node]\nid = \"pi-every\"\n[mqtt]\nurl = \"mqtt://{}\"\n{GPIOS}", broker.address);
    for kind in KINDS {
        let bus = format!("bus-{}", kind.kind);
        text.push_str(&example::bus_section(&bus, "sim"));
        text.push_str(&example::sensor(kind, kind.kind, &bus, ""));
        if matches!(kind.kind, "mcp23017" | "pcf8574") {
            text.push_str("outputs = [0, 2]\n");
        }
    }
    Config::new(&text)
}

/// What must be there: a field by its key, or the control that shows it.
fn expected() -> BTreeSet<String> {
    let controls = |kind: &str, field: &str| match (kind, field) {
        ("mcp23017" | "pcf8574", "p0" | "p2") => Some(format!("{kind}_set-{}", &field[1..])),
        ("pca9685", field) => {
            Some(format!("pca9685_set-{}", field.trim_matches(|c: char| !c.is_ascii_digit())))
        }
        _ => None,
    };
    let fields = KINDS.iter().flat_map(|kind| kind.fields.iter().map(|field| (kind.kind, field.name)));
    let mut keys: BTreeSet<String> = fields
        .map(|(kind, field)| controls(kind, field).unwrap_or_else(|| format!("{kind}-{field}")))
        .collect();
    let more = [
        "_started",
        "door-on",
        "fan_set",
        "meter-frequency",
        "meter-pulses",
        "meter-total",
        "pump_set",
        "pump_toggle",
        "rail-on",
        "rail_cycle",
        "rail_set",
        "ssd1306_clear",
        "ssd1306_text",
    ];
    keys.extend(more.map(str::to_owned));
    keys
}

#[tokio::test]
async fn every_kind_of_sensor_and_every_tool_is_something_that_home_assistant_takes() {
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let config = config(&broker);
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("homeassistant/#", QoS::AtLeastOnce).await;
    let _node = Running::start(&["run", "-c", &config.file()]);
    let expected = expected();
    let mut document = within(async {
        loop {
            let message = watcher.message().await;
            assert_eq!(message.topic, "homeassistant/device/sedge-pi-every/config");
            let document: Json = serde_json::from_slice(&message.payload).unwrap();
            let components = document["cmps"].as_object().unwrap();
            // What the board has is told a moment later.
            if components.keys().any(|key| key.starts_with("system-")) {
                break document;
            }
        }
    })
    .await;
    assert_eq!(home_assistant::mistakes(&document), [""; 0]);
    let components = document["cmps"].as_object_mut().unwrap();
    components.retain(|key, _| !key.starts_with("system"));
    let keys: BTreeSet<String> = components.keys().cloned().collect();
    assert_eq!(keys.symmetric_difference(&expected).collect::<Vec<_>>(), [""; 0]);

    // This machine is no part of it.
    document["dev"] = json!({ "ids": ["sedge-pi-every"], "name": "pi-every", "sw": "0.1.0" });
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var("SEDGE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&file, &text).unwrap();
    }
    let same = std::fs::read_to_string(&file).unwrap_or_default() == text;
    assert!(
        same,
        "{FILE} is another; SEDGE_GOLDEN=write writes it anew, and check.py beside it asks Home Assistant"
    );
}
