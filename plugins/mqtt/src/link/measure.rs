//! How many messages a second go through a link to Mosquitto, beside a bare loop of rumqttc's in the same run:
//!
//! `cargo test --release -p sedge-mqtt --lib -- --ignored --nocapture measure`

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use super::*;

const MESSAGES: u64 = 50_000;
const TOPIC: &str = "sedge/v1/pi-kitchen/reading/kitchen";

struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mosquitto(port: u16) -> Mosquitto {
    let child =
        Command::new("/usr/sbin/mosquitto").args(["-p", &port.to_string()]).stderr(Stdio::null()).spawn();
    Mosquitto(child.expect("mosquitto"))
}

async fn ours(port: u16, version: Version, qos: Qos) -> f64 {
    let options = crate::Settings::at("127.0.0.1", port).link(format!("ours-{qos:?}"));
    let mut link = Link::open(&LinkOptions { version, ..options });
    let LinkEvent::Up(limits) = link.next().await else { panic!("up") };
    let message = Message {
        topic: TOPIC.into(),
        payload: vec![b'x'; 100],
        qos,
        content_type: JSON,
        ..Message::default()
    };
    let (begun, mut sent, mut answered) = (Instant::now(), 0, 0);
    while answered < MESSAGES {
        while sent < MESSAGES && sent - answered < limits.window as u64 && link.publish(sent, message.clone())
        {
            sent += 1;
        }
        if let LinkEvent::Answered(..) = link.next().await {
            answered += 1;
        }
    }
    MESSAGES as f64 / begun.elapsed().as_secs_f64()
}

async fn bare(port: u16, qos: QoS) -> f64 {
    let mut options = MqttOptions::new(format!("bare-{qos:?}"), "127.0.0.1", port);
    options.set_outgoing_inflight_upper_limit(50);
    let (client, mut eventloop) = AsyncClient::new(options, 50);
    while !matches!(eventloop.poll().await.expect("up"), Event::Incoming(Packet::ConnAck(_))) {}
    let begun = Instant::now();
    tokio::spawn(async move {
        for _ in 0..MESSAGES {
            client.publish(TOPIC, qos, false, vec![b'x'; 100]).await.expect("taken");
        }
        std::future::pending::<()>().await;
    });
    let mut done = 0;
    while done < MESSAGES {
        match eventloop.poll().await.expect("open") {
            Event::Incoming(Packet::PubAck(_)) if qos == QoS::AtLeastOnce => done += 1,
            Event::Outgoing(rumqttc::Outgoing::Publish(_)) if qos == QoS::AtMostOnce => done += 1,
            _ => {}
        }
    }
    MESSAGES as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; see the module"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
async fn measure() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _broker = mosquitto(port);
    for _ in 0..50 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for round in 1..=3 {
        let (theirs0, theirs1) = (bare(port, QoS::AtMostOnce).await, bare(port, QoS::AtLeastOnce).await);
        for version in [Version::V5, Version::V3] {
            let (ours0, ours1) =
                (ours(port, version, Qos::AtMostOnce).await, ours(port, version, Qos::AtLeastOnce).await);
            println!(
                "{round}: MQTT {version}: QoS 0 {ours0:.0}/s ({:.2} of rumqttc's {theirs0:.0}), QoS 1 {ours1:.0}/s ({:.2} of {theirs1:.0})",
                ours0 / theirs0,
                ours1 / theirs1
            );
        }
    }
}
