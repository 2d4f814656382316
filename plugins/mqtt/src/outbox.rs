//! What waits to be published, and what waits for its acknowledgement. Pure: no clock, no connection.
//!
//! Handed out in this order:
//! - *state* (retained): only the latest value of a topic counts; all of it is published again after every connect,
//!   in the order of [`Rank`];
//! - *messages* (results, events): in order, a few; then refusals, which have a queue of their own, so that a caller
//!   who asks too often pushes out nobody's result;
//! - *readings*: in order, the oldest dropped when there are too many. Those that were there before the connection go
//!   to `backlog/`, many in one message, and after those that are news.
//!
//! What was handed out and not acknowledged when a connection ends goes back to the head of its line. Nothing leaves
//! the outbox but by acknowledgement, by the drop of the oldest (counted), because no broker would take it, or because
//! the connection broke with it alone again and again: one message must not keep a node off the broker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sedge_plugin::Id;

use crate::link::{MAX_PACKET_BYTES, Message};
use crate::lost::Lost;
use crate::wire::Topics;

/// Results and events that may wait; as many refusals.
const MAX_MESSAGES: usize = 256;

/// Bytes of readings that may wait, whatever their number.
const MAX_READING_BYTES: usize = 16 * 1024 * 1024;

/// Retained topics: far more than a node has components.
const MAX_STATES: usize = 4096;

/// Readings in one message of the backlog.
const MAX_BATCH: usize = 100;

/// Bytes of one message of the backlog; only a reading that is larger itself makes a larger one.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// Readings that are no older when the first connection is made are news.
const NEWS: Duration = Duration::from_secs(5);

/// After so many connections that broke with it, a message is sent with nothing beside it.
const SUSPECT: u8 = 2;

/// After so many, it is put aside.
const POISON: u8 = 3;

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
struct Waiting {
    message: Message,
    strikes: u8,
}

#[derive(Debug)]
struct Reading {
    sensor: Id,
    payload: Vec<u8>,
    /// Since when it waits.
    since: Duration,
    order: u64,
    strikes: u8,
}

#[derive(Debug)]
enum Flying {
    State(Key, u64),
    Message(Waiting),
    Refusal(Waiting),
    Live(Reading),
    Backlog(Vec<Reading>),
}

impl Flying {
    fn is_suspect(&self) -> bool {
        let strikes = match self {
            Self::State(..) => 0,
            Self::Message(waiting) | Self::Refusal(waiting) => waiting.strikes,
            Self::Live(reading) => reading.strikes,
            Self::Backlog(readings) => readings.iter().map(|reading| reading.strikes).max().unwrap_or(0),
        };
        strikes >= SUSPECT
    }
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
    /// It is too large for this broker, and gone. A reading among these is counted.
    TooLarge(Message, Refused),
    Nothing,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) topic: String,
    /// Set where it was a reading.
    pub(crate) sensor: Option<Id>,
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Outbox {
    topics: Topics,
    capacity: usize,
    /// The largest packet that the broker takes, as far as is known.
    limit: usize,
    /// Whether there was a connection yet.
    was_connected: bool,
    states: BTreeMap<Key, State>,
    /// The states that the broker does not have as they are now.
    dirty: BTreeSet<Key>,
    messages: VecDeque<Waiting>,
    refusals: VecDeque<Waiting>,
    /// The account of what is lost.
    note: Option<Message>,
    live: VecDeque<Reading>,
    /// By sensor, each in order. No queue is empty.
    backlog: BTreeMap<Id, VecDeque<Reading>>,
    readings: usize,
    reading_bytes: usize,
    flying: BTreeMap<u64, Flying>,
    last: u64,
    lost: Lost,
    /// Whether messages were dropped since all of them were last handed out.
    overflowed: bool,
}

impl Outbox {
    /// With room for that many readings.
    pub(crate) fn new(capacity: usize, topics: Topics) -> Self {
        Self {
            topics,
            capacity,
            limit: MAX_PACKET_BYTES,
            was_connected: false,
            states: BTreeMap::new(),
            dirty: BTreeSet::new(),
            messages: VecDeque::new(),
            refusals: VecDeque::new(),
            note: None,
            live: VecDeque::new(),
            backlog: BTreeMap::new(),
            readings: 0,
            reading_bytes: 0,
            flying: BTreeMap::new(),
            last: 0,
            lost: Lost::default(),
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

    /// The broker has something at a topic: takes it back where it is not of this node as it is now. True then.
    pub(crate) fn exorcise(&mut self, rank: Rank, topic: String) -> bool {
        let ghost = !self.states.contains_key(&(rank, topic.clone()));
        ghost && self.state(rank, topic, Vec::new()).is_ok()
    }

    /// Whether the broker has all state.
    pub(crate) fn is_settled(&self) -> bool {
        self.dirty.is_empty() && !self.flying.values().any(|flying| matches!(flying, Flying::State(..)))
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
        self.messages.push_back(Waiting { message, strikes: 0 });
        Ok(full && !std::mem::replace(&mut self.overflowed, true))
    }

    /// Adds an answer that costs nothing to give again; the oldest of its kind goes where there are too many.
    pub(crate) fn refusal(&mut self, message: Message) -> Result<(), Refused> {
        check(message.size(), MAX_PACKET_BYTES)?;
        if self.refusals.len() >= MAX_MESSAGES {
            self.refusals.pop_front();
        }
        self.refusals.push_back(Waiting { message, strikes: 0 });
        Ok(())
    }

    /// Sets the account of what is lost. It is told whether the one before still waits: that one is replaced.
    pub(crate) fn note(&mut self, note: impl FnOnce(bool) -> Message) {
        self.note = Some(note(self.note.is_some()));
    }

    /// Adds a reading, at a time.
    pub(crate) fn reading(&mut self, sensor: &Id, payload: Vec<u8>, now: Duration) {
        // As it would be alone in the backlog.
        if self.topics.backlog(sensor).len() + payload.len() + 66 > MAX_PACKET_BYTES {
            self.lost.too_large += 1;
            return;
        }
        self.last += 1;
        let sensor = sensor.clone();
        let reading = Reading { sensor, payload, since: now, order: self.last, strikes: 0 };
        self.readings += 1;
        self.reading_bytes += reading.payload.len();
        self.live.push_back(reading);
        while self.readings > self.capacity || self.reading_bytes > MAX_READING_BYTES {
            let oldest = self.oldest();
            let dropped = match oldest {
                Some(sensor) => self.pop_backlog(&sensor),
                None => self.live.pop_front(),
            };
            let Some(dropped) = dropped else { break };
            self.count_out(&dropped);
            self.lost.dropped += 1;
        }
    }

    /// What was lost since this was asked last.
    pub(crate) fn take_lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    /// Whether something was lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.total() > 0
    }

    /// The largest packet that the broker takes, as far as is known.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// There is a connection: the readings that wait are not news any more, unless the node has just started.
    pub(crate) fn connected(&mut self, limit: usize, now: Duration) {
        self.limit = limit;
        let first = !std::mem::replace(&mut self.was_connected, true);
        let oldest = self.live.front().map_or(now, |reading| reading.since);
        if first && self.backlog.is_empty() && now.saturating_sub(oldest) < NEWS {
            return;
        }
        for reading in self.live.drain(..) {
            self.backlog.entry(reading.sensor.clone()).or_default().push_back(reading);
        }
    }

    /// What to publish next, with the token for [`answered`](Self::answered).
    pub(crate) fn next(&mut self) -> Next {
        if self.flying.values().any(Flying::is_suspect) {
            return Next::Nothing;
        }
        let Some((message, flying)) = self.head() else { return Next::Nothing };
        if let Err(refused) = check(message.size(), self.limit) {
            self.lost.too_large += match &flying {
                Flying::Live(_) => 1,
                Flying::Backlog(readings) => readings.len() as u64,
                _ => 0,
            };
            return Next::TooLarge(message, refused);
        }
        self.last += 1;
        self.flying.insert(self.last, flying);
        Next::Publish(self.last, message)
    }

    fn head(&mut self) -> Option<(Message, Flying)> {
        if let Some(state) = self.dirty_state() {
            return Some(state);
        }
        // A suspect goes alone.
        let alone = self.flying.is_empty();
        let free = |strikes: u8| alone || strikes < SUSPECT;
        if let Some(front) = self.messages.front() {
            free(front.strikes).then_some(())?;
            let waiting = self.messages.pop_front()?;
            self.overflowed &= !self.messages.is_empty();
            return Some((waiting.message.clone(), Flying::Message(waiting)));
        }
        if let Some(front) = self.refusals.front() {
            free(front.strikes).then_some(())?;
            let waiting = self.refusals.pop_front()?;
            return Some((waiting.message.clone(), Flying::Refusal(waiting)));
        }
        if let Some(message) = self.note.take() {
            return Some((message.clone(), Flying::Message(Waiting { message, strikes: 0 })));
        }
        if let Some(reading) = self.live.pop_front() {
            self.count_out(&reading);
            let (topic, payload) = (self.topics.reading(&reading.sensor), reading.payload.clone());
            let message = Message { topic, payload, json: true, ..Message::default() };
            return Some((message, Flying::Live(reading)));
        }
        let sensor = self.oldest()?;
        free(self.backlog.get(&sensor)?.front()?.strikes).then_some(())?;
        Some(self.batch(&sensor))
    }

    fn dirty_state(&mut self) -> Option<(Message, Flying)> {
        loop {
            let key = self.dirty.pop_first()?;
            let Some(state) = self.states.get(&key) else { continue };
            let (topic, payload) = (key.1.clone(), state.payload.clone());
            let json = key.0 != Rank::Status && !payload.is_empty();
            let message = Message { topic, payload, retain: true, json, ..Message::default() };
            let version = state.version;
            return Some((message, Flying::State(key, version)));
        }
    }

    /// The oldest readings of a sensor, as one message.
    fn batch(&mut self, sensor: &Id) -> (Message, Flying) {
        let topic = self.topics.backlog(sensor);
        let room = MAX_BATCH_BYTES.min(self.limit.saturating_sub(topic.len() + 64));
        let mut payload = vec![b'['];
        let mut readings: Vec<Reading> = Vec::new();
        while let Some(front) = self.backlog.get(sensor).and_then(VecDeque::front) {
            // The closing bracket takes the place of a comma.
            let fits = payload.len() + front.payload.len() < room && readings.len() < MAX_BATCH;
            let company = readings.first().is_none_or(|first| first.strikes.max(front.strikes) < SUSPECT);
            if !(readings.is_empty() || fits && company) {
                break;
            }
            let Some(reading) = self.pop_backlog(sensor) else { break };
            self.count_out(&reading);
            if !readings.is_empty() {
                payload.push(b',');
            }
            payload.extend_from_slice(&reading.payload);
            readings.push(reading);
        }
        payload.push(b']');
        (Message { topic, payload, json: true, ..Message::default() }, Flying::Backlog(readings))
    }

    /// The sensor with the oldest reading of the backlog.
    fn oldest(&self) -> Option<Id> {
        let fronts = self.backlog.iter().filter_map(|(sensor, queue)| Some((queue.front()?.order, sensor)));
        fronts.min().map(|(_, sensor)| sensor.clone())
    }

    fn pop_backlog(&mut self, sensor: &Id) -> Option<Reading> {
        let queue = self.backlog.get_mut(sensor)?;
        let reading = queue.pop_front();
        if queue.is_empty() {
            self.backlog.remove(sensor);
        }
        reading
    }

    fn count_out(&mut self, reading: &Reading) {
        self.readings -= 1;
        self.reading_bytes -= reading.payload.len();
    }

    /// How many wait for their acknowledgement.
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    /// The broker has answered: this one is done, and lost where it was a reading that the broker refused.
    pub(crate) fn answered(&mut self, token: u64, refused: Option<&'static str>) -> Option<Answered> {
        let (topic, sensor, readings) = match self.flying.remove(&token)? {
            Flying::Message(waiting) | Flying::Refusal(waiting) => (waiting.message.topic, None, 0),
            Flying::Live(reading) => (self.topics.reading(&reading.sensor), Some(reading.sensor), 1),
            Flying::Backlog(readings) => {
                let count = readings.len() as u64;
                let sensor = readings.into_iter().next()?.sensor;
                (self.topics.backlog(&sensor), Some(sensor), count)
            }
            Flying::State(key, version) => {
                let gone = |state: &State| state.version == version && state.payload.is_empty();
                if self.states.get(&key).is_some_and(gone) {
                    self.states.remove(&key);
                }
                (key.1, None, 0)
            }
        };
        if refused.is_some() && readings > 0 {
            self.lost += Lost { refused: readings, reason: refused, ..Lost::default() };
        }
        Some(Answered { topic, sensor })
    }

    /// The connection has ended: what it did not acknowledge is to be published again, in order, and all state. Where
    /// it broke soon after it began, each of them is a suspect. Gives the topics of those that were put aside.
    pub(crate) fn returned(&mut self, soon: bool) -> BTreeSet<String> {
        let mut aside = BTreeSet::new();
        let mut mixed = BTreeSet::new();
        let strike = |strikes: &mut u8| {
            *strikes = if soon { *strikes + 1 } else { 0 };
            *strikes >= POISON
        };
        for (_, flying) in std::mem::take(&mut self.flying).into_iter().rev() {
            let (queue, mut waiting) = match flying {
                Flying::State(..) => continue,
                Flying::Message(waiting) => (&mut self.messages, waiting),
                Flying::Refusal(waiting) => (&mut self.refusals, waiting),
                Flying::Live(reading) => {
                    mixed.extend(self.returned_reading(reading, strike, &mut aside));
                    continue;
                }
                Flying::Backlog(readings) => {
                    for reading in readings {
                        mixed.extend(self.returned_reading(reading, strike, &mut aside));
                    }
                    continue;
                }
            };
            if strike(&mut waiting.strikes) {
                aside.insert(waiting.message.topic);
            } else {
                queue.push_front(waiting);
            }
        }
        for sensor in mixed {
            if let Some(queue) = self.backlog.get_mut(&sensor) {
                queue.make_contiguous().sort_by_key(|reading| reading.order);
            }
        }
        self.dirty = self.states.keys().cloned().collect();
        aside
    }

    fn returned_reading(
        &mut self,
        mut reading: Reading,
        strike: impl Fn(&mut u8) -> bool,
        aside: &mut BTreeSet<String>,
    ) -> Option<Id> {
        if strike(&mut reading.strikes) {
            aside.insert(self.topics.reading(&reading.sensor));
            self.lost.put_aside += 1;
            return None;
        }
        self.readings += 1;
        self.reading_bytes += reading.payload.len();
        let sensor = reading.sensor.clone();
        self.backlog.entry(sensor.clone()).or_default().push_front(reading);
        Some(sensor)
    }

    /// Whether nothing waits, neither to be sent nor for its acknowledgement.
    pub(crate) fn is_empty(&self) -> bool {
        self.dirty.is_empty()
            && self.messages.is_empty()
            && self.refusals.is_empty()
            && self.note.is_none()
            && self.readings == 0
            && self.flying.is_empty()
    }
}

fn check(bytes: usize, limit: usize) -> Result<(), Refused> {
    if bytes > limit { Err(Refused::TooLarge { bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Base;

    fn message(text: &str) -> Message {
        Message { topic: format!("r/{text}"), payload: text.into(), ..Message::default() }
    }

    fn empty(capacity: usize) -> Outbox {
        Outbox::new(capacity, Topics::new(Base::new("b").unwrap(), id("pi")))
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn read(outbox: &mut Outbox, sensor: &str, n: usize) {
        outbox.reading(&id(sensor), n.to_string().into(), Duration::ZERO);
    }

    fn outbox(readings: std::ops::Range<usize>) -> Outbox {
        let mut outbox = empty(10);
        readings.for_each(|n| read(&mut outbox, "air", n));
        outbox
    }

    fn sent(outbox: &mut Outbox) -> Option<(u64, String)> {
        match outbox.next() {
            Next::Publish(token, message) => Some((token, String::from_utf8(message.payload).unwrap())),
            _ => None,
        }
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| sent(outbox)).map(|(_, text)| text).collect()
    }

    /// The connection ends, and there is another one.
    fn again(outbox: &mut Outbox, soon: bool) -> BTreeSet<String> {
        let aside = outbox.returned(soon);
        outbox.connected(MAX_PACKET_BYTES, Duration::ZERO);
        aside
    }

    #[test]
    fn the_oldest_readings_go_first_when_there_are_too_many_and_are_counted() {
        let mut outbox = outbox(0..13);
        assert_eq!(outbox.take_lost(), Lost { dropped: 3, ..Lost::default() });
        assert!(!outbox.has_lost());
        assert_eq!(drain(&mut outbox), (3..13).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn of_an_old_backlog_and_news_the_backlog_is_dropped_first() {
        let mut outbox = outbox(0..10);
        outbox.connected(MAX_PACKET_BYTES, NEWS);
        (10..15).for_each(|n| read(&mut outbox, "air", n));
        assert_eq!(outbox.take_lost().dropped, 5);
        assert_eq!(drain(&mut outbox), ["10", "11", "12", "13", "14", "[5,6,7,8,9]"]);
    }

    #[test]
    fn what_was_not_acknowledged_comes_again_as_backlog_in_order() {
        let mut outbox = outbox(0..5);
        outbox.connected(MAX_PACKET_BYTES, Duration::ZERO);
        let tokens: Vec<u64> = (0..4).map(|_| sent(&mut outbox).unwrap().0).collect();
        let answered = outbox.answered(tokens[1], None).unwrap();
        assert_eq!((answered.topic.as_str(), answered.sensor), ("b/pi/reading/air", Some(id("air"))));
        read(&mut outbox, "air", 5);
        again(&mut outbox, false);
        let Next::Publish(_, message) = outbox.next() else { panic!("nothing") };
        assert_eq!((message.topic.as_str(), message.retain), ("b/pi/backlog/air", false));
        assert_eq!(message.payload, b"[0,2,3,4,5]");
        again(&mut outbox, false);
        read(&mut outbox, "air", 6);
        assert_eq!(drain(&mut outbox), ["6", "[0,2,3,4,5]"], "news does not wait for it");
    }

    #[test]
    fn the_backlog_has_messages_of_each_sensor_of_a_hundred_readings_and_64_kib_at_most() {
        let mut outbox = empty(1000);
        for n in 0..150 {
            read(&mut outbox, "air", n);
            read(&mut outbox, "door", n);
        }
        (0..3).for_each(|_| outbox.reading(&id("text"), vec![b'1'; 30 * 1024], Duration::ZERO));
        outbox.reading(&id("text"), vec![b'1'; 100 * 1024], Duration::ZERO);
        outbox.connected(MAX_PACKET_BYTES, NEWS);
        let mut batches = Vec::new();
        while let Next::Publish(_, message) = outbox.next() {
            let array: Vec<serde_json::Value> = match message.topic.contains("text") {
                true => message.payload.split(|b| *b == b',').map(|_| serde_json::Value::Null).collect(),
                false => serde_json::from_slice(&message.payload).unwrap(),
            };
            assert!(message.payload.len() <= MAX_BATCH_BYTES || array.len() == 1);
            batches.push((message.topic.strip_prefix("b/pi/backlog/").unwrap().to_owned(), array.len()));
        }
        let expected =
            [("air", 100), ("door", 100), ("air", 50), ("door", 50), ("text", 2), ("text", 1), ("text", 1)];
        assert_eq!(batches, expected.map(|(sensor, count)| (sensor.to_owned(), count)));
    }

    #[test]
    fn readings_from_before_the_first_connection_are_news_where_the_node_has_just_started() {
        let mut young = outbox(0..2);
        young.connected(MAX_PACKET_BYTES, NEWS - Duration::from_millis(1));
        assert_eq!(drain(&mut young), ["0", "1"]);
        let mut old = outbox(0..2);
        old.connected(MAX_PACKET_BYTES, NEWS);
        assert_eq!(drain(&mut old), ["[0,1]"]);
    }

    #[test]
    fn a_full_outbox_keeps_what_comes_back_until_something_newer_comes() {
        let mut outbox = outbox(0..10);
        (0..5).for_each(|_| drop(sent(&mut outbox)));
        (10..15).for_each(|n| read(&mut outbox, "air", n));
        again(&mut outbox, false);
        assert_eq!((outbox.readings, outbox.take_lost().dropped), (15, 0));
        read(&mut outbox, "air", 15);
        assert_eq!((outbox.readings, outbox.take_lost().dropped), (10, 6));
    }

    #[test]
    fn many_large_readings_are_bounded_by_their_bytes() {
        let mut outbox = empty(usize::MAX);
        (0..100).for_each(|_| outbox.reading(&id("air"), vec![0; 200 * 1024], Duration::ZERO));
        assert!(outbox.reading_bytes <= MAX_READING_BYTES);
        assert!(outbox.take_lost().dropped > 0);
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
        let order = ["online", "info", "new", "tool", "well", "event"];
        outbox.connected(MAX_PACKET_BYTES, Duration::ZERO);
        assert_eq!(drain(&mut outbox), [&order[..], &["0"]].concat());
        again(&mut outbox, false);
        assert_eq!(drain(&mut outbox), [&order[..], &["[0]"]].concat(), "all of it after the next connect");
    }

    #[test]
    fn state_that_did_not_change_is_not_published_again() {
        let mut outbox = empty(10);
        outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
        let (token, _) = sent(&mut outbox).unwrap();
        assert!(!outbox.is_settled());
        outbox.answered(token, None);
        outbox.state(Rank::Info, "i".into(), "a".into()).unwrap();
        assert!(outbox.is_empty() && outbox.is_settled());
    }

    #[test]
    fn state_that_was_taken_back_is_forgotten_once_the_broker_knows() {
        let mut outbox = empty(10);
        outbox.state(Rank::Sensor, "s".into(), "a".into()).unwrap();
        sent(&mut outbox).unwrap();
        outbox.state(Rank::Sensor, "s".into(), Vec::new()).unwrap();
        assert_eq!(outbox.topics(Rank::Sensor), Vec::<String>::new());
        again(&mut outbox, false);
        let (token, text) = sent(&mut outbox).unwrap();
        assert_eq!(text, "");
        outbox.answered(token, None);
        assert!(outbox.states.is_empty());
    }

    #[test]
    fn only_what_is_not_of_the_node_is_exorcised() {
        let mut outbox = empty(10);
        outbox.state(Rank::Sensor, "s".into(), "a".into()).unwrap();
        assert!(!outbox.exorcise(Rank::Sensor, "s".into()));
        assert!(outbox.exorcise(Rank::Sensor, "ghost".into()));
        assert!(!outbox.exorcise(Rank::Sensor, "ghost".into()), "once");
        assert_eq!(drain(&mut outbox), ["", "a"]);
    }

    #[test]
    fn what_is_too_large_is_refused_and_holds_nothing_up() {
        let mut outbox = outbox(0..1);
        let large = Message { payload: vec![0; MAX_PACKET_BYTES], ..message("x") };
        outbox.reading(&id("air"), large.payload.clone(), Duration::ZERO);
        assert_eq!(outbox.take_lost(), Lost { too_large: 1, ..Lost::default() });
        assert!(outbox.message(large.clone()).is_err());
        assert!(outbox.state(Rank::Info, "i".into(), large.payload).is_err());

        for backlog in [false, true] {
            let mut outbox = empty(10);
            outbox.reading(&id("air"), vec![b'0'; 2000], Duration::ZERO);
            read(&mut outbox, "air", 1);
            outbox.connected(1000, if backlog { NEWS } else { Duration::ZERO });
            assert!(matches!(outbox.next(), Next::TooLarge(..)), "for a broker that takes less");
            assert_eq!(outbox.take_lost(), Lost { too_large: 1, ..Lost::default() });
            assert!(matches!(outbox.next(), Next::Publish(..)));
        }
    }

    #[test]
    fn readings_that_the_broker_refuses_are_counted_with_what_it_said() {
        let mut outbox = outbox(0..4);
        let (token, _) = sent(&mut outbox).unwrap();
        outbox.answered(token, Some("not authorized"));
        outbox.connected(MAX_PACKET_BYTES, NEWS);
        let Some((token, _)) = sent(&mut outbox) else { panic!("nothing") };
        outbox.answered(token, Some("not authorized"));
        let lost = outbox.take_lost();
        assert_eq!((lost.refused, lost.reason), (4, Some("not authorized")));
    }

    #[test]
    fn the_message_that_breaks_each_connection_is_put_aside_and_no_other() {
        let mut outbox = outbox(0..3);
        for text in ["a", "poison", "b"] {
            outbox.message(message(text)).unwrap();
        }
        // The broker acknowledges nothing of what it got before the poison, and goes.
        let mut aside = Vec::new();
        let mut arrived = BTreeSet::new();
        for _ in 0..10 {
            while let Some((token, text)) = sent(&mut outbox) {
                if text == "poison" {
                    break;
                }
                if outbox.flying() == 1 && !text.contains("poison") {
                    outbox.answered(token, None);
                    arrived.insert(text);
                }
            }
            aside.extend(again(&mut outbox, true));
        }
        assert_eq!(aside, ["r/poison"]);
        assert!(outbox.is_empty(), "{arrived:?}");
        assert!(arrived.contains("a") && arrived.contains("b"));
        assert!(!outbox.has_lost());
    }

    #[test]
    fn a_message_that_was_under_way_when_steady_connections_broke_is_never_put_aside() {
        let mut outbox = outbox(0..3);
        outbox.message(message("a")).unwrap();
        for _ in 0..10 {
            assert!(!drain(&mut outbox).is_empty());
            assert!(again(&mut outbox, false).is_empty());
        }
        assert_eq!(drain(&mut outbox), ["a", "[0,1,2]"]);
    }

    #[test]
    fn refusals_push_out_no_results() {
        let mut outbox = empty(1);
        outbox.message(message("result")).unwrap();
        (0..2 * MAX_MESSAGES).for_each(|n| outbox.refusal(message(&n.to_string())).unwrap());
        assert_eq!(outbox.refusals.len(), MAX_MESSAGES);
        assert_eq!(drain(&mut outbox)[0], "result");
    }

    #[test]
    fn the_account_of_what_is_lost_has_a_place_of_its_own() {
        let mut outbox = outbox(0..10);
        (0..MAX_MESSAGES).for_each(|_| _ = outbox.message(message("m")).unwrap());
        outbox.note(|waits| message(if waits { "wrong" } else { "first" }));
        outbox.note(|waits| message(if waits { "second" } else { "wrong" }));
        assert_eq!((outbox.messages.len(), outbox.readings, outbox.take_lost()), (256, 10, Lost::default()));
        assert_eq!(drain(&mut outbox)[MAX_MESSAGES..MAX_MESSAGES + 2], ["second", "0"]);
    }

    #[test]
    fn there_is_a_bound_on_everything() {
        let mut outbox = empty(1);
        for n in 0..2 * MAX_STATES {
            let _ = outbox.state(Rank::Sensor, n.to_string(), vec![1]);
            outbox.message(message("m")).unwrap();
            outbox.refusal(message("m")).unwrap();
            read(&mut outbox, "air", n);
        }
        assert_eq!((outbox.states.len(), outbox.messages.len()), (MAX_STATES, MAX_MESSAGES));
        assert_eq!((outbox.refusals.len(), outbox.readings), (MAX_MESSAGES, 1));
    }
}
