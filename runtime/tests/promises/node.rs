use rumqttc::v5::mqttbytes::QoS;
use serde_json::{Value as Json, json};

use super::brokers::{Broker, Kind};
use super::clients::{V3, V5};
use super::program::{Config, Running, code, json, run, stderr, stdout};

const AT_LEAST_ONCE: QoS = QoS::AtLeastOnce;

fn config(broker: &Broker, more: &str) -> Config {
    Config::new(&format!(
        r#"
[node]
id = "pi-test"
[mqtt]
url = "mqtt://{}"
[bus.i2c-1]
kind = "sim"
[bus.gpio0]
kind = "sim"
[sensor.kitchen]
kind = "bme280"
bus = "i2c-1"
address = 0x76
every = "100ms"
[gpio.lamp]
kind = "relay"
bus = "gpio0"
line = 4
{more}
"#,
        broker.address
    ))
}

fn parsed(payload: &[u8]) -> Json {
    serde_json::from_slice(payload).unwrap()
}

/// Waits until the node has said that it is online.
async fn online(watcher: &mut V5) {
    watcher.subscribe("sedge/v1/pi-test/status", AT_LEAST_ONCE).await;
    while &watcher.message().await.payload[..] != b"online" {}
}

/// Each promise is kept with both brokers.
async fn brokers() -> Vec<Broker> {
    let mut brokers = Vec::new();
    for kind in [Kind::Embedded, Kind::Mosquitto] {
        brokers.extend(Broker::start(kind).await);
    }
    brokers
}

#[tokio::test]
async fn ten_lines_of_toml_put_a_sensor_on_mqtt() {
    for broker in brokers().await {
        let config = config(&broker, "");
        let node = Running::start(&["run", "-c", &config.file()]);
        let mut watcher = V5::connect(broker.address, "watcher").await;
        watcher.subscribe("sedge/v1/pi-test/reading/kitchen", AT_LEAST_ONCE).await;
        let mut seqs = Vec::new();
        while seqs.len() < 5 {
            seqs.push(parsed(&watcher.message().await.payload)["seq"].as_u64().unwrap());
        }
        assert!(seqs.is_sorted_by(|a, b| a + 1 == *b), "no hole: {seqs:?}");

        let mut described = V5::connect(broker.address, "described").await;
        described.subscribe("sedge/v1/pi-test/sensor/kitchen", AT_LEAST_ONCE).await;
        let described = parsed(&described.message().await.payload);
        assert_eq!((&described["type"], &described["where"]), (&json!("bme280"), &json!("i2c-1/0x76")));
        assert_eq!(described["fields"]["temperature"]["unit"], "°C");
        node.signal("TERM").await;
        assert_eq!(node.ended().await, 0);
    }
}

#[tokio::test]
async fn a_clean_stop_is_offline_and_a_killed_node_is_too() {
    for broker in brokers().await {
        let config = config(&broker, "");
        for signal in ["TERM", "KILL"] {
            let node = Running::start(&["run", "-c", &config.file()]);
            let mut watcher = V5::connect(broker.address, "watcher").await;
            online(&mut watcher).await;
            node.signal(signal).await;
            assert_eq!(&watcher.message().await.payload[..], b"offline", "{signal}");
            drop(node);
        }
    }
}

#[tokio::test]
async fn a_tool_is_called_from_the_command_line_and_with_plain_json() {
    for broker in brokers().await {
        let config = config(&broker, "");
        let node = Running::start(&["run", "-c", &config.file()]);
        let mut watcher = V5::connect(broker.address, "watcher").await;
        online(&mut watcher).await;

        let call = |args: &'static [&'static str]| {
            let file = config.file();
            async move { run(&[args, &["-c", &file, "--json"]].concat()).await }
        };
        let tools = json(&call(&["tool", "list"]).await);
        let names: Vec<_> =
            tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["lamp_set", "lamp_toggle", "readings_query"]);
        assert_eq!(json(&call(&["tool", "info", "lamp_set"]).await)["node"], "pi-test");
        let output = call(&["tool", "call", "lamp_set", "on=true"]).await;
        assert_eq!((code(&output), &json(&output)["result"]), (0, &json!({ "on": true })));
        let output = call(&["tool", "call", "pi-test/lamp_set", "onn=true"]).await;
        assert_eq!((code(&output), &json(&output)["error"]["code"]), (1, &json!("bad_args")));
        let message = json(&output)["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("onn") && message.contains("did you mean `on`"), "{message}");

        // As mosquitto_pub, Home Assistant and MQTT 3.1.1 do it: no properties, the result on a topic of its own.
        let mut plain = V3::connect(broker.address, "plain").await;
        plain.subscribe("sedge/v1/pi-test/tool/+/result", AT_LEAST_ONCE).await;
        plain.publish("sedge/v1/pi-test/tool/lamp_toggle/call", r#"{"args":{}}"#, AT_LEAST_ONCE, false).await;
        let result = parsed(&plain.message().await.payload);
        assert_eq!((&result["ok"], &result["result"]), (&json!(true), &json!({ "on": false })));
        node.signal("TERM").await;
        assert_eq!(node.ended().await, 0);
    }
}

#[tokio::test]
async fn readings_tail_follows_a_node() {
    for broker in brokers().await {
        let config = config(&broker, "");
        let node = Running::start(&["run", "-c", &config.file()]);
        let file = config.file();
        let output = run(&["readings", "tail", "kitchen", "-n", "3", "-c", &file]).await;
        let lines = stdout(&output);
        assert_eq!(lines.lines().count(), 3);
        assert!(lines.lines().all(|line| line.contains("pi-test/kitchen temperature=")), "{lines}");
        let output = run(&["readings", "tail", "--json", "-n", "2", "-c", &file, "pi-test/kitchen"]).await;
        for line in stdout(&output).lines() {
            assert!(parsed(line.as_bytes())["fields"]["pressure"].is_number(), "{line}");
        }
        node.signal("TERM").await;
        assert_eq!(node.ended().await, 0);
    }
}

/// As a site's broker does it: a node may write, and read nothing; the broker does not say so.
#[tokio::test]
async fn where_the_broker_shows_nothing_readings_are_those_of_this_machine() {
    let dir = Config::new("");
    dir.write(
        "acl",
        "topic write sedge/v1/#\ntopic read sedge/v1/_reply/#\ntopic read sedge/v1/+/tool/+/call\n",
    );
    let lines = format!("allow_anonymous true\nacl_file {}", dir.path("acl"));
    let Some(broker) = Broker::mosquitto(&lines).await else { return };
    let config = config(&broker, "");
    let mut node = Running::logged(&["run", "-c", &config.file()]);
    node.line_with("Runs.").await;
    let output = run(&["readings", "tail", "-n", "2", "-c", &config.file()]).await;
    assert_eq!(stdout(&output).matches("pi-test/kitchen humidity=").count(), 2, "{output:?}");
    assert!(stderr(&output).contains("the broker shows this user no node"), "{output:?}");
    let output = run(&["node", "list", "-c", &config.file()]).await;
    assert_eq!((code(&output), stdout(&output)), (0, String::new()));
    assert!(stderr(&output).contains("this user may see none; then use an operator's config"), "{output:?}");
    node.signal("TERM").await;
}

#[tokio::test]
async fn a_reader_who_leaves_ends_a_command_quietly() {
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let config = config(&broker, "");
    let node = Running::start(&["run", "-c", &config.file()]);
    let mut tail = Running::start(&["readings", "tail", "-c", &config.file()]);
    tail.line_with("kitchen").await;
    assert_eq!(tail.unread().await, 0);
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn a_signal_that_comes_twice_at_once_is_one_wish() {
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let config = config(&broker, "");
    let node = Running::start(&["run", "-c", &config.file()]);
    let mut watcher = V5::connect(broker.address, "watcher").await;
    online(&mut watcher).await;
    node.signal("TERM").await;
    node.signal("TERM").await;
    assert_eq!(&watcher.message().await.payload[..], b"offline");
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn the_command_line_overrides_broker_and_node() {
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let config = Config::new("[node]\nid = \"a\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n");
    let url = format!("mqtt://{}", broker.address);
    let node = Running::start(&["run", "-c", &config.file(), "--broker", &url, "--node", "b"]);
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/+/status", AT_LEAST_ONCE).await;
    assert_eq!(watcher.message().await.topic, "sedge/v1/b/status");
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn what_is_wrong_in_one_section_fails_that_instance_and_the_rest_runs() {
    let broker = Broker::start(Kind::Embedded).await.unwrap();
    let config = config(
        &broker,
        r#"
[sensor.attic]
kind = "bme280"
bus = "i2c-1"
address = 0x77
evry = "1s"
[bus.i2c-9]
kind = "i2c"
device = "/dev/i2c-99"
[sensor.cellar]
kind = "bme280"
bus = "i2c-9"
[sensor.twin]
kind = "bme280"
bus = "i2c-1"
address = 0x76
"#,
    );
    let node = Running::start(&["run", "-c", &config.file()]);
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi-test/health/+", AT_LEAST_ONCE).await;
    let mut states = std::collections::BTreeMap::new();
    let told = |states: &std::collections::BTreeMap<String, Json>, id: &str, state: &str| {
        states.get(id).is_some_and(|health| health["state"] == state)
    };
    while !(told(&states, "kitchen", "running")
        && told(&states, "attic", "failed")
        && told(&states, "cellar", "skipped")
        && told(&states, "twin", "failed"))
    {
        let message = watcher.message().await;
        let id = message.topic.rsplit('/').next().unwrap().to_owned();
        states.insert(id, parsed(&message.payload));
    }
    let reason = |id: &str| states[id]["reason"].as_str().unwrap().to_owned();
    assert!(reason("attic").contains("evry") && reason("attic").contains("`every`"), "{}", reason("attic"));
    assert!(reason("cellar").contains("/dev/i2c-99"), "{}", reason("cellar"));
    assert!(reason("twin").contains("0x76") && reason("twin").contains("kitchen"), "{}", reason("twin"));
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn an_embedded_broker_serves_a_board_that_stands_alone() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = Config::new(&format!(
        "[node]\nid = \"alone\"\n[mqtt]\nembedded = true\nlisten = \"{free}\"\n[plugin.system]\nevery = \"1s\"\n"
    ));
    let mut node = Running::logged(&["run", "-c", &config.file()]);
    node.line_with("The embedded broker listens.").await;
    let output = run(&["readings", "tail", "-n", "1", "-c", &config.file()]).await;
    assert!(stdout(&output).contains("alone/system"), "{output:?}");
    node.signal("INT").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn a_reload_is_told_on_mqtt_and_what_is_gone_is_taken_back() {
    for broker in brokers().await {
        let config = config(&broker, "");
        let node = Running::start(&["run", "-c", &config.file()]);
        let mut watcher = V5::connect(broker.address, "watcher").await;
        online(&mut watcher).await;
        watcher.subscribe("sedge/v1/pi-test/event/+", AT_LEAST_ONCE).await;
        let good = config.read("node.toml");
        config.write("node.toml", &good.replace("every", "evry"));
        node.signal("HUP").await;
        let event = parsed(&watcher.message().await.payload);
        assert_eq!((&event["type"], &event["severity"]), (&json!("config_refused"), &json!("error")));
        assert!(event["text"].as_str().unwrap().contains("did you mean `every`"), "{event}");

        let (before, _) = good.split_once("[gpio.lamp]").unwrap();
        config.write("node.toml", before);
        let mut gone = V5::connect(broker.address, "gone").await;
        for topic in ["tool/lamp_set", "sensor/lamp", "health/lamp"] {
            gone.subscribe(&format!("sedge/v1/pi-test/{topic}"), AT_LEAST_ONCE).await;
            assert!(!gone.message().await.payload.is_empty(), "{topic} is there");
        }
        node.signal("HUP").await;
        let event = parsed(&watcher.message().await.payload);
        assert_eq!((&event["type"], &event["data"]["stopped"]), (&json!("config_applied"), &json!(["lamp"])));
        let mut left = std::collections::BTreeSet::from(["tool/lamp_set", "sensor/lamp", "health/lamp"]);
        while !left.is_empty() {
            let message = gone.message().await;
            if message.payload.is_empty() {
                left.retain(|name| !message.topic.ends_with(name));
            }
        }
    }
}
