//! What waits to be published, and what waits for its acknowledgement. Pure: no clock, no connection.
//!
//! Three kinds, handed out in this order:
//! - *state* (retained): only the latest value of a topic counts; all of it is published again after every connect,
//!   in the order of [`Rank`];
//! - *messages* (results, events): in order, a few;
//! - *readings*: in order, the oldest dropped when there are too many.
//!
//! What was handed out and not acknowledged when a connection ends goes back to the head of its line. Nothing leaves
//! the outbox but by acknowledgement, by the drop of the oldest (counted), or because no broker would take it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::link::{MAX_PACKET_BYTES, Message};

/// Results and events that may wait.
const MAX_MESSAGES: usize = 256;

/// Bytes of readings that may wait, whatever their number.
const MAX_READING_BYTES: usize = 16 * 1024 * 1024;

/// Retained topics: far more than a node has components.
const MAX_STATES: usize = 4096;

/// The order in which state is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Status,
    Info,
    Sensor,
    Tool,
    Health,
}

type Key = (Rank, String);

#[derive(Debug)]
struct State {
    payload: Vec<u8>,
    version: u64,
}

#[derive(Debug)]
enum Flying {
    State(Key, u64),
    Message(Message),
    Reading(Message),
}

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{bytes} bytes are more than the {limit} that one message may have")]
    TooLarge { bytes: usize, limit: usize },
    #[error("there are {MAX_STATES} retained topics already")]
    TooMany,
}

/// What [`Outbox::next`] hands out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Publish(u64, Message),
    /// It is too large for this broker, and gone.
    TooLarge(String, Refused),
    Nothing,
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Outbox {
    capacity: usize,
    states: BTreeMap<Key, State>,
    /// The states that the broker does not have as they are now.
    dirty: BTreeSet<Key>,
    messages: VecDeque<Message>,
    readings: VecDeque<Message>,
    reading_bytes: usize,
    flying: BTreeMap<u64, Flying>,
    last: u64,
    dropped: u64,
    /// Whether messages were dropped since all of them were last handed out.
    overflowed: bool,
}

impl Outbox {
    /// With room for that many readings.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            states: BTreeMap::new(),
            dirty: BTreeSet::new(),
            messages: VecDeque::new(),
            readings: VecDeque::new(),
            reading_bytes: 0,
            flying: BTreeMap::new(),
            last: 0,
            dropped: 0,
            overflowed: false,
        }
    }

    /// Sets what is retained at a topic; nothing (empty) takes it back.
    pub(crate) fn state(&mut self, rank: Rank, topic: String, payload: Vec<u8>) -> Result<(), Refused> {
        check(topic.len() + payload.len() + 64, MAX_PACKET_BYTES)?;
        let key = (rank, topic);
        match self.states.get(&key) {
            Some(state) if state.payload == payload => return Ok(()),
            None if self.states.len() >= MAX_STATES => return Err(Refused::TooMany),
            _ => {}
        }
        self.last += 1;
        self.states.insert(key.clone(), State { payload, version: self.last });
        self.dirty.insert(key);
        Ok(())
    }

    /// The topics of a rank at which something is retained.
    pub(crate) fn topics(&self, rank: Rank) -> Vec<String> {
        let present = self.states.iter().filter(|((r, _), state)| *r == rank && !state.payload.is_empty());
        present.map(|((_, topic), _)| topic.clone()).collect()
    }

    /// Adds a result or an event. True when it is the first one for which an older one had to go.
    pub(crate) fn message(&mut self, message: Message) -> Result<bool, Refused> {
        check(message.size(), MAX_PACKET_BYTES)?;
        let full = self.messages.len() >= MAX_MESSAGES;
        if full {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
        Ok(full && !std::mem::replace(&mut self.overflowed, true))
    }

    /// Adds a reading. True when it is the first one for which an older one had to go.
    pub(crate) fn reading(&mut self, message: Message) -> Result<bool, Refused> {
        check(message.size(), MAX_PACKET_BYTES)?;
        let before = self.dropped;
        self.reading_bytes += message.size();
        self.readings.push_back(message);
        while self.readings.len() > self.capacity || self.reading_bytes > MAX_READING_BYTES {
            let Some(oldest) = self.readings.pop_front() else { break };
            self.reading_bytes -= oldest.size();
            self.dropped += 1;
        }
        Ok(before == 0 && self.dropped > 0)
    }

    /// The readings that were dropped since this was asked last.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// What to publish next, with the token for [`answered`](Self::answered).
    pub(crate) fn next(&mut self, limit: usize) -> Next {
        let message = if let Some(key) = self.dirty.pop_first() {
            let Some(state) = self.states.get(&key) else { return self.next(limit) };
            let (topic, payload) = (key.1.clone(), state.payload.clone());
            let json = key.0 != Rank::Status && !payload.is_empty();
            let message = Message { topic, payload, retain: true, json, ..Message::default() };
            let version = state.version;
            (message, Flying::State(key, version))
        } else if let Some(message) = self.messages.pop_front() {
            self.overflowed &= !self.messages.is_empty();
            (message.clone(), Flying::Message(message))
        } else if let Some(message) = self.readings.pop_front() {
            self.reading_bytes -= message.size();
            (message.clone(), Flying::Reading(message))
        } else {
            return Next::Nothing;
        };
        let (message, flying) = message;
        if let Err(refused) = check(message.size(), limit) {
            return Next::TooLarge(message.topic, refused);
        }
        self.last += 1;
        self.flying.insert(self.last, flying);
        Next::Publish(self.last, message)
    }

    /// How many wait for their acknowledgement.
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    /// The broker has answered: this one is done. Gives its topic.
    pub(crate) fn answered(&mut self, token: u64) -> Option<String> {
        match self.flying.remove(&token)? {
            Flying::Message(message) | Flying::Reading(message) => Some(message.topic),
            Flying::State(key, version) => {
                let gone = |state: &State| state.version == version && state.payload.is_empty();
                if self.states.get(&key).is_some_and(gone) {
                    self.states.remove(&key);
                }
                Some(key.1)
            }
        }
    }

    /// The connection has ended: what it did not acknowledge is to be published again, in order, and all state.
    pub(crate) fn returned(&mut self) {
        for (_, flying) in std::mem::take(&mut self.flying).into_iter().rev() {
            match flying {
                Flying::State(..) => {}
                Flying::Message(message) => self.messages.push_front(message),
                Flying::Reading(message) => {
                    self.reading_bytes += message.size();
                    self.readings.push_front(message);
                }
            }
        }
        self.dirty = self.states.keys().cloned().collect();
    }

    /// Whether nothing waits, neither to be sent nor for its acknowledgement.
    pub(crate) fn is_empty(&self) -> bool {
        self.dirty.is_empty()
            && self.messages.is_empty()
            && self.readings.is_empty()
            && self.flying.is_empty()
    }
}

fn check(bytes: usize, limit: usize) -> Result<(), Refused> {
    if bytes > limit { Err(Refused::TooLarge { bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message { topic: format!("r/{text}"), payload: text.into(), ..Message::default() }
    }

    fn outbox(readings: std::ops::Range<usize>) -> Outbox {
        let mut outbox = Outbox::new(10);
        for n in readings {
            outbox.reading(message(&n.to_string())).unwrap();
        }
        outbox
    }

    fn sent(outbox: &mut Outbox) -> Option<(u64, String)> {
        match outbox.next(MAX_PACKET_BYTES) {
            Next::Publish(token, message) => Some((token, String::from_utf8(message.payload).unwrap())),
            _ => None,
        }
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| sent(outbox)).map(|(_, text)| text).collect()
    }

    #[test]
    fn the_oldest_readings_go_first_when_there_are_too_many_and_are_counted() {
        let mut outbox = outbox(0..13);
        assert_eq!(outbox.take_dropped(), 3);
        assert_eq!(outbox.take_dropped(), 0);
        assert_eq!(drain(&mut outbox), (3..13).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_drop_is_told_once() {
        let mut outbox = outbox(0..10);
        assert_eq!(outbox.reading(message("10")), Ok(true));
        assert_eq!(outbox.reading(message("11")), Ok(false));
        outbox.take_dropped();
        assert_eq!(outbox.reading(message("12")), Ok(true));
    }

    #[test]
    fn what_was_not_acknowledged_comes_again_in_order_before_what_is_newer() {
        let mut outbox = outbox(0..5);
        let tokens: Vec<u64> = (0..4).map(|_| sent(&mut outbox).unwrap().0).collect();
        assert_eq!(outbox.answered(tokens[1]), Some("r/1".into()));
        outbox.reading(message("5")).unwrap();
        outbox.returned();
        assert_eq!(drain(&mut outbox), ["0", "2", "3", "4", "5"]);
    }

    #[test]
    fn a_full_outbox_keeps_what_comes_back_until_something_newer_comes() {
        let mut outbox = outbox(0..10);
        (0..5).for_each(|_| drop(sent(&mut outbox)));
        for n in 10..15 {
            outbox.reading(message(&n.to_string())).unwrap();
        }
        outbox.returned();
        assert_eq!((outbox.readings.len(), outbox.take_dropped()), (15, 0));
        outbox.reading(message("15")).unwrap();
        assert_eq!((outbox.readings.len(), outbox.take_dropped()), (10, 6));
    }

    #[test]
    fn many_large_readings_are_bounded_by_their_bytes() {
        let mut outbox = Outbox::new(usize::MAX);
        let large = || Message { payload: vec![0; 200 * 1024], ..message("x") };
        (0..100).for_each(|_| _ = outbox.reading(large()).unwrap());
        assert!(outbox.reading_bytes <= MAX_READING_BYTES);
        assert!(outbox.take_dropped() > 0);
    }

    #[test]
    fn state_is_published_by_rank_and_only_its_latest_value() {
        let mut outbox = outbox(0..1);
        for (rank, topic, payload) in [
            (Rank::Health, "h", "well"),
            (Rank::Sensor, "s", "old"),
            (Rank::Info, "i", "info"),
            (Rank::Status, "st", "online"),
            (Rank::Tool, "t", "tool"),
            (Rank::Sensor, "s", "new"),
        ] {
            outbox.state(rank, topic.into(), payload.into()).unwrap();
        }
        outbox.message(message("event")).unwrap();
        let order = ["online", "info", "new", "tool", "well", "event", "0"];
        assert_eq!(drain(&mut outbox), order);
        outbox.returned();
        assert_eq!(drain(&mut outbox), order, "all of it again after the next connect");
    }

    #[test]
    fn state_that_did_not_change_is_not_published_again() {
        let mut outbox = Outbox::new(10);
        outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
        let (token, _) = sent(&mut outbox).unwrap();
        outbox.answered(token);
        outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
        assert!(outbox.is_empty());
    }

    #[test]
    fn state_that_was_taken_back_is_forgotten_once_the_broker_knows() {
        let mut outbox = Outbox::new(10);
        outbox.state(Rank::Sensor, "s".into(), "a".into()).unwrap();
        sent(&mut outbox).unwrap();
        outbox.state(Rank::Sensor, "s".into(), Vec::new()).unwrap();
        assert_eq!(outbox.topics(Rank::Sensor), Vec::<String>::new());
        outbox.returned();
        let (token, text) = sent(&mut outbox).unwrap();
        assert_eq!(text, "");
        outbox.answered(token);
        assert!(outbox.states.is_empty());
    }

    #[test]
    fn what_is_too_large_is_refused_and_holds_nothing_up() {
        let mut outbox = outbox(0..1);
        let large = Message { payload: vec![0; MAX_PACKET_BYTES], ..message("x") };
        assert!(matches!(outbox.reading(large.clone()), Err(Refused::TooLarge { .. })));
        assert!(outbox.message(large.clone()).is_err());
        assert!(outbox.state(Rank::Info, "i".into(), large.payload).is_err());

        let mut outbox = Outbox::new(10);
        outbox.reading(Message { payload: vec![0; 2000], ..message("x") }).unwrap();
        outbox.reading(message("1")).unwrap();
        assert!(matches!(outbox.next(1000), Next::TooLarge(..)), "for a broker that takes less");
        assert!(matches!(outbox.next(1000), Next::Publish(..)));
    }

    #[test]
    fn there_is_a_bound_on_everything() {
        let mut outbox = Outbox::new(1);
        for n in 0..2 * MAX_STATES {
            let _ = outbox.state(Rank::Sensor, n.to_string(), vec![1]);
            outbox.message(message("m")).unwrap();
        }
        assert_eq!((outbox.states.len(), outbox.messages.len()), (MAX_STATES, MAX_MESSAGES));
    }
}
