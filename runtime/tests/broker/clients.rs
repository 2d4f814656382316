//! Two small clients, one for each version of the protocol: they connect, or the test fails; they never connect again.

use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet as Packet5, PublishProperties};
use rumqttc::{Outgoing, Packet as Packet3, v5};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Generous, for a loaded machine; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events that may wait for the test; then the client stops reading.
const SEEN: usize = 1024;

/// Waits for what must come.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have come by now")
}

/// What came.
#[derive(Debug)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
    pub qos: u8,
    pub properties: Option<PublishProperties>,
}

impl Message {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

#[derive(Debug)]
enum Event {
    Connected(bool),
    Subscribed,
    Published,
    Sent,
    Message(Message),
    Parted,
    Ended,
}

/// What both have in common: a task that polls, and what it saw.
struct Seen {
    events: mpsc::Receiver<Event>,
    messages: std::collections::VecDeque<Message>,
    task: JoinHandle<()>,
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// Waits for an event; messages that come meanwhile are kept.
    async fn until<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        within(async {
            loop {
                let event = self.events.recv().await.expect("the client has ended");
                if let Some(found) = wanted(&event) {
                    return found;
                }
                if let Event::Message(message) = event {
                    self.messages.push_back(message);
                }
            }
        })
        .await
    }

    async fn connected(&mut self) -> bool {
        self.until(|event| if let Event::Connected(present) = event { Some(*present) } else { None }).await
    }

    async fn published(&mut self, qos: QoS) {
        let sent_only = qos == QoS::AtMostOnce;
        self.until(|event| match event {
            Event::Sent if sent_only => Some(()),
            Event::Published => Some(()),
            _ => None,
        })
        .await;
    }

    async fn message(&mut self) -> Message {
        if let Some(message) = self.messages.pop_front() {
            return message;
        }
        within(async {
            loop {
                if let Event::Message(message) = self.events.recv().await.expect("the client has ended") {
                    return message;
                }
            }
        })
        .await
    }
}

/// A client of MQTT 5.
pub struct V5 {
    client: v5::AsyncClient,
    seen: Seen,
    pub session_present: bool,
}

impl V5 {
    pub async fn connect(address: SocketAddr, id: &str) -> Self {
        Self::start(Self::options(address, id)).await
    }

    pub async fn persistent(address: SocketAddr, id: &str, expiry: Duration, clean: bool) -> Self {
        let mut options = Self::options(address, id);
        options.set_clean_start(clean);
        options.set_session_expiry_interval(u32::try_from(expiry.as_secs()).ok());
        Self::start(options).await
    }

    pub async fn with_will(address: SocketAddr, id: &str, topic: &str, payload: &str) -> Self {
        let mut options = Self::options(address, id);
        options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, true, None));
        Self::start(options).await
    }

    fn options(address: SocketAddr, id: &str) -> v5::MqttOptions {
        let mut options = v5::MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_max_packet_size(Some(1024 * 1024));
        options.set_outgoing_inflight_upper_limit(50);
        options
    }

    pub async fn start(options: v5::MqttOptions) -> Self {
        let (client, mut eventloop) = v5::AsyncClient::new(options, 100);
        let (sender, events) = mpsc::channel(SEEN);
        let task = tokio::spawn(async move {
            loop {
                let event = match eventloop.poll().await {
                    Ok(v5::Event::Incoming(Packet5::ConnAck(ack))) => Event::Connected(ack.session_present),
                    Ok(v5::Event::Incoming(Packet5::SubAck(_))) => Event::Subscribed,
                    Ok(v5::Event::Incoming(Packet5::PubAck(_) | Packet5::PubComp(_))) => Event::Published,
                    Ok(v5::Event::Incoming(Packet5::Publish(publish))) => Event::Message(Message {
                        topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                        payload: publish.payload.to_vec(),
                        retain: publish.retain,
                        qos: publish.qos as u8,
                        properties: publish.properties,
                    }),
                    Ok(v5::Event::Outgoing(Outgoing::Publish(_))) => Event::Sent,
                    Ok(v5::Event::Outgoing(Outgoing::Disconnect)) => Event::Parted,
                    Ok(_) => continue,
                    Err(_) => return drop(sender.send(Event::Ended).await),
                };
                drop(sender.send(event).await);
            }
        });
        let mut seen = Seen { events, messages: Default::default(), task };
        let session_present = seen.connected().await;
        Self { client, seen, session_present }
    }

    pub async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.client.subscribe(filter, qos).await.unwrap();
        self.seen.until(|event| matches!(event, Event::Subscribed).then_some(())).await;
    }

    pub async fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) {
        self.client.publish(topic, qos, retain, payload.to_string()).await.unwrap();
        self.seen.published(qos).await;
    }

    pub async fn publish_bytes(&mut self, topic: &str, payload: Vec<u8>, retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).await.unwrap();
        self.seen.published(QoS::AtLeastOnce).await;
    }

    pub async fn publish_with(&mut self, topic: &str, payload: &str, properties: PublishProperties) {
        let (qos, payload) = (QoS::AtLeastOnce, payload.to_string());
        self.client.publish_with_properties(topic, qos, false, payload, properties).await.unwrap();
        self.seen.published(qos).await;
    }

    pub async fn message(&mut self) -> Message {
        self.seen.message().await
    }

    /// Parts with a DISCONNECT.
    pub async fn part(mut self) {
        self.client.disconnect().await.unwrap();
        self.seen.until(|event| matches!(event, Event::Parted).then_some(())).await;
    }

    /// The connection is closed without a word.
    pub fn cut(self) {}

    /// The broker has closed the connection.
    pub async fn ended(&mut self) {
        self.seen.until(|event| matches!(event, Event::Ended).then_some(())).await;
    }
}

/// A client of MQTT 3.1.1.
pub struct V3 {
    client: rumqttc::AsyncClient,
    seen: Seen,
    pub session_present: bool,
}

impl V3 {
    pub async fn connect(address: SocketAddr, id: &str) -> Self {
        Self::start(Self::options(address, id)).await
    }

    pub async fn persistent(address: SocketAddr, id: &str) -> Self {
        let mut options = Self::options(address, id);
        options.set_clean_session(false);
        Self::start(options).await
    }

    pub async fn with_will(address: SocketAddr, id: &str, topic: &str, payload: &str) -> Self {
        let mut options = Self::options(address, id);
        options.set_last_will(rumqttc::LastWill::new(topic, payload, rumqttc::QoS::AtLeastOnce, true));
        Self::start(options).await
    }

    fn options(address: SocketAddr, id: &str) -> rumqttc::MqttOptions {
        let mut options = rumqttc::MqttOptions::new(id, address.ip().to_string(), address.port());
        options.set_max_packet_size(1024 * 1024, 1024 * 1024);
        options
    }

    async fn start(options: rumqttc::MqttOptions) -> Self {
        let (client, mut eventloop) = rumqttc::AsyncClient::new(options, 100);
        let (sender, events) = mpsc::channel(SEEN);
        let task = tokio::spawn(async move {
            loop {
                let event = match eventloop.poll().await {
                    Ok(rumqttc::Event::Incoming(Packet3::ConnAck(ack))) => {
                        Event::Connected(ack.session_present)
                    }
                    Ok(rumqttc::Event::Incoming(Packet3::SubAck(_))) => Event::Subscribed,
                    Ok(rumqttc::Event::Incoming(Packet3::PubAck(_) | Packet3::PubComp(_))) => {
                        Event::Published
                    }
                    Ok(rumqttc::Event::Incoming(Packet3::Publish(publish))) => Event::Message(Message {
                        topic: publish.topic,
                        payload: publish.payload.to_vec(),
                        retain: publish.retain,
                        qos: publish.qos as u8,
                        properties: None,
                    }),
                    Ok(rumqttc::Event::Outgoing(Outgoing::Publish(_))) => Event::Sent,
                    Ok(rumqttc::Event::Outgoing(Outgoing::Disconnect)) => Event::Parted,
                    Ok(_) => continue,
                    Err(_) => return drop(sender.send(Event::Ended).await),
                };
                drop(sender.send(event).await);
            }
        });
        let mut seen = Seen { events, messages: Default::default(), task };
        let session_present = seen.connected().await;
        Self { client, seen, session_present }
    }

    pub async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.client.subscribe(filter, old(qos)).await.unwrap();
        self.seen.until(|event| matches!(event, Event::Subscribed).then_some(())).await;
    }

    pub async fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) {
        self.client.publish(topic, old(qos), retain, payload.to_string()).await.unwrap();
        self.seen.published(qos).await;
    }

    pub async fn message(&mut self) -> Message {
        self.seen.message().await
    }

    /// Parts with a DISCONNECT.
    pub async fn part(mut self) {
        self.client.disconnect().await.unwrap();
        self.seen.until(|event| matches!(event, Event::Parted).then_some(())).await;
    }

    /// The connection is closed without a word.
    pub fn cut(self) {}
}

fn old(qos: QoS) -> rumqttc::QoS {
    match qos {
        QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
        QoS::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        QoS::ExactlyOnce => rumqttc::QoS::ExactlyOnce,
    }
}
