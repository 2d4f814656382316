//! What the node says over MQTT, kept as it comes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, Publish, QoS};
use serde_json::{Value as Json, json};

/// Where the node's topics are.
const NODE: &str = "sedge/v1/virtual-pi";

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Its number.
    pub seq: u64,
    /// Which start of the node numbered it.
    pub boot: String,
    /// What was read.
    pub fields: Json,
}

/// What was heard so far.
#[derive(Debug, Default)]
pub struct Heard {
    /// Whether the node is there; none before it was heard of.
    pub online: Option<bool>,
    /// Readings by sensor, in the order in which they came.
    pub readings: BTreeMap<String, Vec<Reading>>,
    /// The latest health by component.
    pub health: BTreeMap<String, Json>,
    /// The latest result by tool.
    pub results: BTreeMap<String, Json>,
    /// The latest of our own marks that came back.
    pub mark: u64,
}

impl Heard {
    fn take(&mut self, message: &Publish) {
        let place = message.topic.strip_prefix(NODE).unwrap_or_default();
        let levels: Vec<&str> = place.split('/').skip(1).collect();
        let payload = || serde_json::from_slice::<Json>(&message.payload).unwrap_or_default();
        match levels[..] {
            ["status"] => self.online = Some(&message.payload[..] == b"online"),
            ["reading", sensor] => {
                let payload = payload();
                let seq = payload["seq"].as_u64().unwrap_or_default();
                let boot = payload["boot"].as_str().unwrap_or_default().into();
                let reading = Reading { seq, boot, fields: payload["fields"].clone() };
                self.readings.entry(sensor.into()).or_default().push(reading);
            }
            ["health", component] => drop(self.health.insert(component.into(), payload())),
            ["tool", tool, "result"] => drop(self.results.insert(tool.into(), payload())),
            ["mark"] => self.mark = payload().as_u64().unwrap_or_default(),
            _ => {}
        }
    }

    /// How many readings of a sensor came.
    pub fn count(&self, sensor: &str) -> usize {
        self.readings.get(sensor).map_or(0, Vec::len)
    }

    /// The readings of a sensor from the `since`th on.
    pub fn since(&self, sensor: &str, since: usize) -> &[Reading] {
        self.readings.get(sensor).and_then(|all| all.get(since..)).unwrap_or_default()
    }

    /// The state of a component and why it is so.
    pub fn state(&self, component: &str) -> Option<(&str, &str)> {
        let health = self.health.get(component)?;
        Some((health["state"].as_str()?, health["reason"].as_str().unwrap_or_default()))
    }
}

/// A subscription to everything that the node says.
pub struct Watch {
    client: Client,
    connection: Connection,
    /// What was heard so far.
    pub heard: Heard,
}

impl Watch {
    /// Subscribes at a broker, `HOST:PORT`.
    ///
    /// # Errors
    /// When that is not an address.
    pub fn open(broker: &str) -> Result<Self, String> {
        let (host, port) = broker.rsplit_once(':').ok_or("the broker is HOST:PORT")?;
        let port = port.parse().map_err(|_| format!("`{port}` is no port"))?;
        let mut options = MqttOptions::new("prove", host, port);
        options.set_keep_alive(Duration::from_secs(30));
        let (client, connection) = Client::new(options, 16);
        client.subscribe(format!("{NODE}/#"), QoS::AtLeastOnce).map_err(|error| error.to_string())?;
        Ok(Self { client, connection, heard: Heard::default() })
    }

    /// Listens until something is found in what was heard, or for so long.
    ///
    /// # Errors
    /// That it was not found, or that the node or the broker is gone.
    pub fn until<T>(
        &mut self,
        patience: Duration,
        mut found: impl FnMut(&Heard) -> Option<T>,
    ) -> Result<T, String> {
        let end = Instant::now() + patience;
        loop {
            if let Some(found) = found(&self.heard) {
                return Ok(found);
            }
            if self.heard.online == Some(false) {
                return Err("the node is gone".into());
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.connection.recv_timeout(left) {
                Ok(Ok(Event::Incoming(Packet::Publish(message)))) => self.heard.take(&message),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(format!("the broker is gone: {error}")),
                Err(_) => return Err(format!("not within {} s", patience.as_secs())),
            }
        }
    }

    /// Takes in what was said while nobody listened here: a mark of our own comes back behind it.
    ///
    /// # Errors
    /// When it does not, or when the node or the broker is gone.
    pub fn catch_up(&mut self) -> Result<(), String> {
        let mark = self.heard.mark + 1;
        let sent = self.client.publish(format!("{NODE}/mark"), QoS::AtLeastOnce, false, mark.to_string());
        sent.map_err(|error| error.to_string())?;
        self.until(PATIENCE, |heard| (heard.mark >= mark).then_some(()))
    }

    /// Calls a tool and waits for what becomes of it.
    ///
    /// # Errors
    /// When there is no result in time.
    pub fn call(&mut self, tool: &str, args: &Json, patience: Duration) -> Result<Json, String> {
        self.send(tool, args)?;
        self.until(patience, |heard| heard.results.get(tool).cloned())
    }

    /// Calls a tool and does not wait.
    ///
    /// # Errors
    /// When the broker is gone.
    pub fn send(&mut self, tool: &str, args: &Json) -> Result<(), String> {
        self.heard.results.remove(tool);
        let call = json!({ "args": args }).to_string();
        let topic = format!("{NODE}/tool/{tool}/call");
        self.client.publish(topic, QoS::AtLeastOnce, false, call).map_err(|error| error.to_string())
    }

    /// Waits until a node that was ended is there again.
    ///
    /// # Errors
    /// When it does not come.
    pub fn back(&mut self, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        loop {
            self.heard.online = None;
            let left = end.saturating_duration_since(Instant::now());
            match self.until(left, |heard| heard.online) {
                Err(why) if self.heard.online.is_none() || left.is_zero() => return Err(why),
                Ok(true) => return Ok(()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(messages: &[(&str, &str)]) -> Heard {
        let mut heard = Heard::default();
        for (topic, payload) in messages {
            heard.take(&Publish::new(format!("{NODE}/{topic}"), QoS::AtMostOnce, *payload));
        }
        heard
    }

    #[test]
    fn readings_are_kept_and_of_health_the_latest() {
        let heard = heard(&[
            ("reading/air", r#"{"seq":1,"boot":"b","fields":{"temperature":21.5}}"#),
            ("reading/air", r#"{"seq":2,"boot":"b","fields":{"temperature":21.6}}"#),
            ("health/air", r#"{"state":"running"}"#),
            ("health/air", r#"{"state":"backing_off","reason":"no answer"}"#),
            ("status", "online"),
        ]);
        assert_eq!((heard.count("air"), heard.since("air", 1)[0].seq), (2, 2));
        assert_eq!(heard.state("air"), Some(("backing_off", "no answer")));
        assert_eq!(heard.online, Some(true));
    }

    #[test]
    fn what_is_not_of_the_contract_is_passed_over() {
        let heard = heard(&[("reading/air", "not json"), ("toaster", ""), ("status", "offline")]);
        assert_eq!((heard.online, heard.state("air")), (Some(false), None));
    }
}
