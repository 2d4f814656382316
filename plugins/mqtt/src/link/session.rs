//! What is under way on a connection: packet ids, aliases, the bytes to be written. No I/O, no clock.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::alias::{Alias, Aliases};
use super::{Message, Qos};
use crate::packet::{self, Version};

/// Bytes beyond which nothing more is taken to be written.
const MAX_WAITING_BYTES: usize = 512 * 1024;

/// Subscriptions that may wait for their answer.
const MAX_ASKED: usize = 64;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Session {
    version: Version,
    aliases: Aliases,
    /// To be written.
    pub(super) out: Vec<u8>,
    /// How much of that was written.
    pub(super) sent: usize,
    last_id: u16,
    /// Publishes that wait for their acknowledgement, by packet id.
    flying: HashMap<u16, u64>,
    /// Subscriptions that wait for their answer.
    asked: BTreeSet<u16>,
    /// Publishes with QoS 0 that wait to be written.
    bare: VecDeque<u64>,
}

impl Session {
    pub(super) fn new(version: Version, aliases: u16) -> Self {
        Self {
            version,
            aliases: Aliases::new(aliases),
            out: Vec::new(),
            sent: 0,
            last_id: 0,
            flying: HashMap::new(),
            asked: BTreeSet::new(),
            bare: VecDeque::new(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.out.len() - self.sent < MAX_WAITING_BYTES
    }

    pub(super) fn publish(&mut self, token: u64, message: &Message) -> bool {
        let id = match message.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => match self.free_id() {
                Some(id) => Some(id),
                None => return false,
            },
        };
        // What is retained is published once, and what has a response topic rarely twice.
        let often = !message.retain && message.response_topic.is_none() && message.correlation.is_none();
        let (topic, alias) = match if often { self.aliases.of(&message.topic) } else { Alias::None } {
            Alias::None => (message.topic.as_str(), None),
            Alias::New(number) => (message.topic.as_str(), Some(number)),
            Alias::Known(number) => ("", Some(number)),
        };
        let publish = packet::Publish {
            topic,
            alias,
            id,
            retain: message.retain,
            payload: &message.payload,
            content_type: message.content_type,
            response_topic: message.response_topic.as_deref(),
            correlation: message.correlation.as_deref(),
            expiry: message.expiry,
        };
        packet::publish(&mut self.out, self.version, &publish);
        match id {
            Some(id) => drop(self.flying.insert(id, token)),
            None => self.bare.push_back(token),
        }
        true
    }

    pub(super) fn subscribe(&mut self, filter: &str, as_published: bool) -> bool {
        let id = self.free_id().filter(|_| self.asked.len() < MAX_ASKED);
        let Some(id) = id else { return false };
        self.asked.insert(id);
        packet::subscribe(&mut self.out, self.version, id, filter, as_published);
        true
    }

    pub(super) fn unsubscribe(&mut self, filter: &str) {
        // Nothing waits for the answer: its id may be used again.
        if let Some(id) = self.free_id() {
            packet::unsubscribe(&mut self.out, self.version, id, filter);
        }
    }

    /// The token of a publish that was answered.
    pub(super) fn answered(&mut self, id: u16) -> Option<u64> {
        self.flying.remove(&id)
    }

    /// Whether that was a subscription of ours.
    pub(super) fn subscribed(&mut self, id: u16) -> bool {
        self.asked.remove(&id)
    }

    /// All of `out` was written: the tokens of what needs no other answer.
    pub(super) fn written(&mut self) -> impl Iterator<Item = u64> + '_ {
        self.out.clear();
        if self.out.capacity() > MAX_WAITING_BYTES {
            self.out = Vec::new();
        }
        self.sent = 0;
        self.bare.drain(..)
    }

    /// Takes no room for what was written already.
    pub(super) fn forget_sent(&mut self) {
        if self.sent > MAX_WAITING_BYTES / 8 {
            self.out.drain(..std::mem::take(&mut self.sent));
        }
    }

    fn free_id(&mut self) -> Option<u16> {
        let busy = self.flying.len() + self.asked.len();
        for _ in 0..=busy {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.flying.contains_key(&self.last_id) && !self.asked.contains(&self.last_id) {
                return Some(self.last_id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str) -> Message {
        Message { topic: topic.into(), payload: b"{}".into(), ..Message::default() }
    }

    #[test]
    fn an_id_is_not_used_again_before_its_answer() {
        let mut session = Session::new(Version::V5, 0);
        assert!(session.publish(7, &message("a")) && session.subscribe("b", true));
        session.last_id = u16::MAX;
        assert!(session.publish(8, &message("a")));
        assert_eq!((session.answered(1), session.answered(2), session.answered(3)), (Some(7), None, Some(8)));
        assert!(session.subscribed(2) && !session.subscribed(2));
        assert_eq!(session.answered(1), None, "only once");
    }

    #[test]
    fn an_alias_saves_the_topic_of_a_reading() {
        let topic = "sedge/v1/pi-kitchen/reading/kitchen";
        let bytes = |aliases| {
            let mut session = Session::new(Version::V5, aliases);
            (0..100).for_each(|token| assert!(session.publish(token, &message(topic))));
            session.out.len()
        };
        assert_eq!(bytes(0) - bytes(10), 99 * topic.len() - 100 * 3);
    }

    #[test]
    fn without_an_answer_to_wait_for_it_is_answered_when_it_was_written() {
        let mut session = Session::new(Version::V3, 10);
        let bare = Message { qos: Qos::AtMostOnce, ..message("a") };
        assert!(session.publish(1, &bare) && session.publish(2, &message("a")) && session.publish(3, &bare));
        assert_eq!(session.written().collect::<Vec<_>>(), [1, 3]);
        assert!(session.out.is_empty());
    }
}
