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
/// Messages that may wait when one about progress is added.
const MAX_PROGRESS: usize = 16;

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
    Discovery,
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

    /// Whether the broker has what is retained at a topic as it is now.
    pub(crate) fn has(&self, rank: Rank, topic: &str) -> bool {
        let key = (rank, topic.to_owned());
        let flies = |flying: &Flying| matches!(flying, Flying::State(other, _) if *other == key);
        !self.dirty.contains(&key) && !self.flying.values().any(flies)
    }

    /// Publishes the state of some ranks once more.
    pub(crate) fn again(&mut self, ranks: &[Rank]) {
        self.dirty.extend(self.states.keys().filter(|key| ranks.contains(&key.0)).cloned());
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

    /// Adds how far a call is, in its place before the result. A courtesy: where other things wait, it is left out.
    pub(crate) fn progress(&mut self, message: Message) {
        if self.messages.len() < MAX_PROGRESS && message.size() <= MAX_PACKET_BYTES {
            self.messages.push_back(Waiting { message, strikes: 0 });
        }
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
mod tests;
