//! What passes between the node and the broker, looked into: which readings the broker has acknowledged.
//!
//! A broker that is killed takes along what it has acknowledged and not delivered. That is no loss of the node's, and this is
//! how the two are told apart.
//!
//! ```
//! use sedge_faults::packet::Packet;
//! use sedge_faults::tap::{Direction, Line, Tap};
//! let tap = Tap::new("sedge/v1/n");
//! let mut line = Line::default();
//! tap.see(&mut line, Direction::Up, &Packet::subscribe(1, &["sedge/v1/n/tool/+/call"]));
//! assert_eq!(tap.filters(), ["sedge/v1/n/tool/+/call"]);
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::frames::said;
use crate::packet::{CONNACK, CONNECT, PUBACK, PUBLISH, Packet, SUBSCRIBE};
use crate::tally::Tally;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the broker.
    Up,
    /// To the node.
    Down,
}

/// What is known of one connection.
#[derive(Debug, Default)]
pub struct Line {
    v5: bool,
    topics: BTreeMap<u16, String>,
    /// What waits for its acknowledgement, by packet id.
    flying: BTreeMap<u16, (String, Vec<u8>)>,
}

/// What was acknowledged, over all connections.
#[derive(Debug)]
pub struct Tap {
    stem: String,
    state: Mutex<State>,
    changes: watch::Sender<Count>,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    filters: BTreeSet<String>,
}

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// The node asked for a connection.
    pub attempts: u64,
    /// The broker took one.
    pub connections: u64,
    /// The broker took a message with readings.
    pub acknowledged: u64,
}

impl Tap {
    /// Looks for the readings of the node whose topics begin so.
    pub fn new(stem: &str) -> Self {
        Self { stem: stem.into(), state: Mutex::default(), changes: watch::Sender::default() }
    }

    /// Takes note of a packet.
    pub fn see(&self, line: &mut Line, direction: Direction, packet: &Packet) {
        match (direction, packet.kind()) {
            (Direction::Up, CONNECT) => {
                *line = Line { v5: packet.is_v5(), ..Line::default() };
                self.changes.send_modify(|count| count.attempts += 1);
            }
            (Direction::Up, SUBSCRIBE) => self.state().filters.extend(packet.filters(line.v5)),
            (Direction::Up, PUBLISH) => line.publish(packet),
            (Direction::Down, CONNACK) => self.changes.send_modify(|count| count.connections += 1),
            (Direction::Down, PUBACK) => {
                let message = packet.id().and_then(|id| line.flying.remove(&id));
                if let Some((topic, payload)) = message.filter(|_| packet.is_taken()) {
                    self.acknowledged(&topic, &payload);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&self, topic: &str, payload: &[u8]) {
        let said = said(&self.stem, topic, payload);
        let is_news = matches!(said, crate::frames::Said::Readings(..));
        self.state().tally.message(said);
        if is_news {
            self.changes.send_modify(|count| count.acknowledged += 1);
        }
    }

    /// What was acknowledged so far.
    pub fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    /// What was subscribed to so far.
    pub fn filters(&self) -> Vec<String> {
        self.state().filters.iter().cloned().collect()
    }

    /// Counts as they change.
    pub fn changes(&self) -> watch::Receiver<Count> {
        self.changes.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn publish(&mut self, packet: &Packet) {
        let Some(publish) = packet.publish(self.v5) else { return };
        let topic = match (publish.topic, publish.alias) {
            ("", Some(alias)) => self.topics.get(&alias).cloned().unwrap_or_default(),
            (topic, alias) => {
                if let Some(alias) = alias {
                    self.topics.insert(alias, topic.into());
                }
                topic.into()
            }
        };
        if let Some(id) = publish.id {
            self.flying.insert(id, (topic, publish.payload.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload;

    fn reading(seq: u64) -> Vec<u8> {
        let fields = payload::fields("s1", seq);
        serde_json::json!({"ts": null, "seq": seq, "boot": "0000002a", "fields": fields})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_reading_counts_when_its_own_packet_is_acknowledged_and_not_before() {
        let (tap, mut line) = (Tap::new("sedge/v1/n"), Line::default());
        for (id, seq) in [(5, 1), (6, 2)] {
            let message = Packet::message(id, "sedge/v1/n/reading/s1", &reading(seq), false);
            tap.see(&mut line, Direction::Up, &message);
        }
        assert_eq!(tap.tally().distinct(), 0);
        tap.see(&mut line, Direction::Down, &Packet::puback(6));
        let tally = tap.tally();
        let (_, seen) = tally.streams.first_key_value().unwrap();
        assert_eq!(seen.readings.keys().copied().collect::<Vec<_>>(), [2]);
        // Not authorized.
        tap.see(&mut line, Direction::Down, &Packet { head: 0x40, body: vec![0, 5, 0x87] });
        assert_eq!((tap.tally().distinct(), tap.changes().borrow().acknowledged), (1, 1));
    }
}
