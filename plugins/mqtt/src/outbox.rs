//! What waits to be published, and what waits for its acknowledgement. Pure: no clock, no connection.
//!
//! Handed out in this order:
//! - *state* (retained): only the latest value of a topic counts; all of it is published again after every connect,
//!   in the order of [`Rank`];
//! - *messages* (results, events): in order, a few; then refusals, which have a queue of their own, so that a caller
//!   who asks too often pushes out nobody's result;
//! - *readings*, from the journal: those that are news, one by one; then those that were there before the connection, to
//!   `backlog/`, many in one message and only so many a second, so that the news keep their way.
//!
//! What was handed out and not acknowledged when a connection ends goes back to the head of its line; readings are read from
//! the journal again, which is where they are kept. Nothing is done but by acknowledgement, because no broker would take it, or
//! because the connection broke with it alone again and again: one message must not keep a node off the broker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use sedge_plugin::Id;
use sedge_plugin::journal::{Batch, Entry, Loss};

use crate::link::{JSON, MAX_PACKET_BYTES, Message, Qos};
use crate::wire::{self, AsFrame, Topics};

/// Results and events that may wait; as many refusals.
const MAX_MESSAGES: usize = 256;
/// Messages that may wait when one about progress is added.
const MAX_PROGRESS: usize = 16;

/// Retained topics: far more than a node has components.
const MAX_STATES: usize = 4096;

/// Readings in one message of the backlog.
const MAX_BATCH: usize = 100;

/// Bytes of one message of the backlog; only a reading that is larger itself makes a larger one.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// Readings that are asked for at a time: the news, and the backlog.
const MOST_NEWS: usize = 256;
const MOST_BACKLOG: usize = 1000;

/// Messages of the backlog that may be on their way: far larger than others, and the news need room beside them.
const MOST_LOTS: usize = 10;

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

/// Readings of one sensor that go in one message.
#[derive(Debug)]
struct Lot {
    sensor: Id,
    entries: Vec<Entry>,
    payload: Vec<u8>,
}

#[derive(Debug)]
enum Flying {
    State(Key, u64),
    Message(Waiting),
    Refusal(Waiting),
    Note(Message, Vec<Loss>),
    Live(Entry),
    Backlog(Id, Vec<Entry>),
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
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Publish(u64, Message),
    /// It is too large for this broker, and gone; with the readings that were in it.
    TooLarge(Message, Refused, Vec<Entry>),
    Nothing,
}

/// What was answered.
#[derive(Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) topic: String,
    /// Set where it was readings.
    pub(crate) sensor: Option<Id>,
    /// The readings.
    pub(crate) entries: Vec<Entry>,
    /// What people were told of.
    pub(crate) told: Vec<Loss>,
}

/// What is to be read from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) range: Range<u64>,
    pub(crate) most: usize,
    pub(crate) news: bool,
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Outbox {
    topics: Topics,
    /// Of readings that are news.
    qos: Qos,
    /// The largest packet that the broker takes, as far as is known.
    limit: usize,
    states: BTreeMap<Key, State>,
    /// The states that the broker does not have as they are now.
    dirty: BTreeSet<Key>,
    messages: VecDeque<Waiting>,
    refusals: VecDeque<Waiting>,
    /// The account of what is lost.
    note: Option<(Message, Vec<Loss>)>,
    live: VecDeque<Entry>,
    /// Where the news go on in the journal.
    live_next: u64,
    /// What of the backlog was not read yet, in order.
    open: VecDeque<Range<u64>>,
    lots: VecDeque<Lot>,
    /// Readings of the backlog that may go now; none where there is no limit.
    allowance: Option<usize>,
    /// Readings with which connections broke, and how often.
    strikes: BTreeMap<u64, u8>,
    flying: BTreeMap<u64, Flying>,
    last: u64,
    /// Whether messages were dropped since all of them were last handed out.
    overflowed: bool,
}

impl Outbox {
    /// Empty.
    pub(crate) fn new(topics: Topics, qos: Qos) -> Self {
        Self {
            topics,
            qos,
            limit: MAX_PACKET_BYTES,
            states: BTreeMap::new(),
            dirty: BTreeSet::new(),
            messages: VecDeque::new(),
            refusals: VecDeque::new(),
            note: None,
            live: VecDeque::new(),
            live_next: 0,
            open: VecDeque::new(),
            lots: VecDeque::new(),
            allowance: None,
            strikes: BTreeMap::new(),
            flying: BTreeMap::new(),
            last: 0,
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

    /// Sets the account of what is lost, and what it tells of; one that still waits is replaced.
    pub(crate) fn note(&mut self, message: Message, losses: Vec<Loss>) {
        self.note = Some((message, losses));
    }

    /// The largest packet that the broker takes, as far as is known.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// There is a connection. What is in the journal from `live` on is news, and `open` is the backlog.
    pub(crate) fn connected(&mut self, limit: usize, live: u64, open: Vec<Range<u64>>) {
        self.limit = limit;
        self.live_next = live;
        self.open = open.into();
    }

    /// This is the backlog by now; what is on its way stays there.
    pub(crate) fn reopen(&mut self, open: Vec<Range<u64>>) {
        let flying = self.flying.values().flat_map(|flying| match flying {
            Flying::Live(entry) => std::slice::from_ref(entry),
            Flying::Backlog(_, entries) => entries,
            _ => &[],
        });
        let held = flying.chain(&self.live).chain(self.lots.iter().flat_map(|lot| &lot.entries));
        let held: BTreeSet<u64> = held.map(|entry| entry.position).collect();
        self.open.clear();
        for Range { mut start, end } in open {
            for &position in held.range(start..end) {
                if start < position {
                    self.open.push_back(start..position);
                }
                start = position + 1;
            }
            if start < end {
                self.open.push_back(start..end);
            }
        }
    }

    /// Where the news go on.
    pub(crate) fn live_next(&self) -> u64 {
        self.live_next
    }

    /// What to read from the journal, whose next reading will stand at `head`.
    pub(crate) fn wish(&self, head: u64) -> Option<Wish> {
        // Before the last of them has gone, so that reading and sending go on side by side.
        if self.live.len() <= MOST_NEWS / 2 && self.live_next < head {
            return Some(Wish { range: self.live_next..head, most: MOST_NEWS, news: true });
        }
        let range = self.open.front().filter(|_| self.lots.len() <= MOST_LOTS / 2)?.clone();
        Some(Wish { range, most: MOST_BACKLOG, news: false })
    }

    /// What was wished for.
    pub(crate) fn feed(&mut self, wish: &Wish, batch: Batch) {
        if wish.news {
            self.live_next = batch.next.max(self.live_next);
            self.live.extend(batch.entries);
            return;
        }
        if let Some(front) = self.open.front_mut().filter(|front| front.start == wish.range.start) {
            front.start = batch.next;
            if front.start >= front.end {
                self.open.pop_front();
            }
        }
        let mut of: BTreeMap<Id, Vec<Entry>> = BTreeMap::new();
        for entry in batch.entries {
            of.entry(entry.reading.sensor.clone()).or_default().push(entry);
        }
        for (sensor, entries) in of {
            self.pack(&sensor, entries);
        }
    }

    /// Lets so many readings of the backlog go; none for no limit.
    pub(crate) fn allow(&mut self, readings: Option<usize>) {
        self.allowance = readings;
    }

    /// Whether something of the backlog waits, and may not go yet.
    pub(crate) fn is_held_back(&self) -> bool {
        self.allowance == Some(0) && !(self.lots.is_empty() && self.open.is_empty())
    }

    /// Puts readings of a sensor into as few messages as they fit in.
    fn pack(&mut self, sensor: &Id, entries: Vec<Entry>) {
        let room = MAX_BATCH_BYTES.min(self.limit.saturating_sub(self.topics.backlog(sensor).len() + 64));
        let mut lot: Option<Lot> = None;
        for entry in entries {
            let payload = wire::json(&AsFrame(&entry.reading));
            let suspect = self.is_suspect(entry.position);
            // The closing bracket takes the place of a comma.
            let fits = |lot: &mut Lot| {
                !suspect && lot.payload.len() + payload.len() < room && lot.entries.len() < MAX_BATCH
            };
            if let Some(full) = lot.take_if(|lot| !fits(lot)) {
                self.lots.push_back(full);
            }
            let lot_now = lot.get_or_insert_with(|| Lot {
                sensor: sensor.clone(),
                entries: Vec::new(),
                payload: Vec::new(),
            });
            lot_now.payload.push(if lot_now.entries.is_empty() { b'[' } else { b',' });
            lot_now.payload.extend_from_slice(&payload);
            lot_now.entries.push(entry);
            if suspect {
                self.lots.extend(lot.take());
            }
        }
        self.lots.extend(lot);
    }

    fn is_suspect(&self, position: u64) -> bool {
        self.strikes.get(&position).is_some_and(|&strikes| strikes >= SUSPECT)
    }

    /// What to publish next, with the token for [`answered`](Self::answered).
    pub(crate) fn next(&mut self) -> Next {
        // What flies alone has nothing beside it.
        if self.flying.len() == 1 && self.flying.values().any(|flying| self.flies_alone(flying)) {
            return Next::Nothing;
        }
        let Some((message, flying)) = self.head() else { return Next::Nothing };
        if let Err(refused) = check(message.size(), self.limit) {
            let entries = match flying {
                Flying::Live(entry) => vec![entry],
                Flying::Backlog(_, entries) => entries,
                _ => Vec::new(),
            };
            return Next::TooLarge(message, refused, entries);
        }
        self.last += 1;
        self.flying.insert(self.last, flying);
        Next::Publish(self.last, message)
    }

    fn flies_alone(&self, flying: &Flying) -> bool {
        match flying {
            Flying::State(..) | Flying::Note(..) => false,
            Flying::Message(waiting) | Flying::Refusal(waiting) => waiting.strikes >= SUSPECT,
            Flying::Live(entry) => self.is_suspect(entry.position),
            Flying::Backlog(_, entries) => entries.iter().any(|entry| self.is_suspect(entry.position)),
        }
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
        if let Some((message, losses)) = self.note.take() {
            return Some((message.clone(), Flying::Note(message, losses)));
        }
        // A suspect has its turn first, or the news would never leave it alone.
        let suspect =
            self.lots.front().is_some_and(|lot| lot.entries.iter().any(|e| self.is_suspect(e.position)));
        if suspect && !alone {
            return None;
        }
        if let Some(entry) = self.live.pop_front_if(|_| !suspect) {
            let topic = self.topics.reading(&entry.reading.sensor);
            let payload = wire::json(&AsFrame(&entry.reading));
            let message = Message { topic, payload, qos: self.qos, content_type: JSON, ..Message::default() };
            return Some((message, Flying::Live(entry)));
        }
        if self.allowance == Some(0) || self.flying_lots() >= MOST_LOTS {
            return None;
        }
        let Lot { sensor, entries, mut payload } = self.lots.pop_front()?;
        self.allowance = self.allowance.map(|left| left.saturating_sub(entries.len()));
        payload.push(b']');
        let topic = self.topics.backlog(&sensor);
        Some((
            Message { topic, payload, content_type: JSON, ..Message::default() },
            Flying::Backlog(sensor, entries),
        ))
    }

    fn flying_lots(&self) -> usize {
        self.flying.values().filter(|flying| matches!(flying, Flying::Backlog(..))).count()
    }

    fn dirty_state(&mut self) -> Option<(Message, Flying)> {
        loop {
            let key = self.dirty.pop_first()?;
            let Some(state) = self.states.get(&key) else { continue };
            let (topic, payload) = (key.1.clone(), state.payload.clone());
            let content_type = JSON.filter(|_| key.0 != Rank::Status && !payload.is_empty());
            let message = Message { topic, payload, retain: true, content_type, ..Message::default() };
            let version = state.version;
            return Some((message, Flying::State(key, version)));
        }
    }

    /// How many wait for their acknowledgement.
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    /// The broker has answered: this one is done, taken or not.
    pub(crate) fn answered(&mut self, token: u64) -> Option<Answered> {
        let done = |topic| Answered { topic, sensor: None, entries: Vec::new(), told: Vec::new() };
        Some(match self.flying.remove(&token)? {
            Flying::Message(waiting) | Flying::Refusal(waiting) => done(waiting.message.topic),
            Flying::Note(message, told) => Answered { told, ..done(message.topic) },
            Flying::Live(entry) => {
                self.strikes.remove(&entry.position);
                let sensor = entry.reading.sensor.clone();
                let topic = self.topics.reading(&sensor);
                Answered { sensor: Some(sensor), entries: vec![entry], ..done(topic) }
            }
            Flying::Backlog(sensor, entries) => {
                for entry in &entries {
                    self.strikes.remove(&entry.position);
                }
                let topic = self.topics.backlog(&sensor);
                Answered { sensor: Some(sensor), entries, ..done(topic) }
            }
            Flying::State(key, version) => {
                let gone = |state: &State| state.version == version && state.payload.is_empty();
                if self.states.get(&key).is_some_and(gone) {
                    self.states.remove(&key);
                }
                done(key.1)
            }
        })
    }

    /// The connection has ended: what it did not acknowledge is to be published again, in order, and all state. Where it broke
    /// soon after it began, each of them is a suspect. Gives the topics of those that were put aside, and the readings among
    /// them.
    pub(crate) fn returned(&mut self, soon: bool) -> (BTreeSet<String>, Vec<Entry>) {
        let mut aside = (BTreeSet::new(), Vec::new());
        let flown = std::mem::take(&mut self.flying);
        if !soon {
            self.strikes.clear();
        }
        for (_, flying) in flown.into_iter().rev() {
            let (queue, mut waiting) = match flying {
                Flying::State(..) => continue,
                Flying::Note(message, losses) => {
                    self.note.get_or_insert((message, losses));
                    continue;
                }
                Flying::Message(waiting) => (&mut self.messages, waiting),
                Flying::Refusal(waiting) => (&mut self.refusals, waiting),
                Flying::Live(entry) => {
                    self.strike(soon, vec![entry], &mut aside);
                    continue;
                }
                Flying::Backlog(_, entries) => {
                    self.strike(soon, entries, &mut aside);
                    continue;
                }
            };
            waiting.strikes = if soon { waiting.strikes + 1 } else { 0 };
            if waiting.strikes >= POISON {
                aside.0.insert(waiting.message.topic);
            } else {
                queue.push_front(waiting);
            }
        }
        // They are read again: what was not done is the backlog of the next connection.
        self.live.clear();
        self.lots.clear();
        self.open.clear();
        self.dirty = self.states.keys().cloned().collect();
        aside
    }

    fn strike(&mut self, soon: bool, entries: Vec<Entry>, aside: &mut (BTreeSet<String>, Vec<Entry>)) {
        for entry in entries.into_iter().filter(|_| soon) {
            let strikes = self.strikes.entry(entry.position).or_default();
            *strikes += 1;
            if *strikes >= POISON {
                self.strikes.remove(&entry.position);
                aside.0.insert(self.topics.reading(&entry.reading.sensor));
                aside.1.push(entry);
            }
        }
    }

    /// Whether nothing waits here, neither to be sent nor for its acknowledgement; the backlog aside where that is kept.
    pub(crate) fn is_empty(&self, backlog_is_kept: bool) -> bool {
        self.dirty.is_empty()
            && self.messages.is_empty()
            && self.refusals.is_empty()
            && self.note.is_none()
            && self.live.is_empty()
            && (backlog_is_kept || self.lots.is_empty() && self.open.is_empty())
            && self.flying.is_empty()
    }
}

fn check(bytes: usize, limit: usize) -> Result<(), Refused> {
    if bytes > limit { Err(Refused::TooLarge { bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
