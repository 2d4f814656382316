use super::clients::V5;
use super::program::{Running, json, run};

#[tokio::test]
async fn the_demo_shows_readings_says_what_to_paste_and_ends_cleanly() {
    let mut demo = Running::start(&["demo", "--port", "0"]);
    let head = demo.line_with("MQTT broker").await;
    let url = head
        .split_whitespace()
        .find(|word| word.starts_with("mqtt://"))
        .unwrap()
        .trim_end_matches('.')
        .to_owned();
    let address = url.trim_start_matches("mqtt://").parse().unwrap();
    demo.line_with("mosquitto_sub -h 127.0.0.1 -p").await;
    let paste = demo.line_with("tool call relay_set on=true --broker").await;

    let mut watcher = V5::connect(address, "watcher").await;
    watcher.subscribe("sedge/v1/+/reading/kitchen", rumqttc::v5::mqttbytes::QoS::AtLeastOnce).await;
    let reading = watcher.message().await;
    let fields = serde_json::from_slice::<serde_json::Value>(&reading.payload).unwrap()["fields"].clone();
    for field in ["temperature", "humidity", "pressure"] {
        assert!(fields[field].is_number(), "{fields}");
    }

    // What it told to paste, pasted.
    let words: Vec<&str> = paste.split_whitespace().skip(1).collect();
    let output = run(&[&words[..], &["--json"]].concat()).await;
    assert_eq!(json(&output)["result"]["on"], true, "{output:?}");
    demo.line_with("relay on=on").await;

    let mut status = V5::connect(address, "status").await;
    status.subscribe("sedge/v1/+/status", rumqttc::v5::mqttbytes::QoS::AtLeastOnce).await;
    assert_eq!(&status.message().await.payload[..], b"online");
    demo.signal("INT").await;
    assert_eq!(&status.message().await.payload[..], b"offline");
    assert_eq!(demo.ended().await, 0);
}

#[tokio::test]
async fn the_demo_takes_a_free_port_where_its_own_is_taken_and_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut demo = Running::start(&["demo", "--port", &port]);
    let head = demo.line_with("MQTT broker").await;
    assert!(head.contains(&format!("(port {port} is taken)")), "{head}");
    demo.signal("TERM").await;
    assert_eq!(demo.ended().await, 0);
}
