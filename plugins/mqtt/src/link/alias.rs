//! Numbers that stand for topics on one connection (MQTT 5), so that a topic which is published often is sent once.
//!
//! The least recently used topic makes room, and only after it was not used for a while: with more topics in turn than
//! there are numbers each would otherwise push the next one out, and the numbers would cost bytes instead of saving them.

use std::collections::HashMap;

/// Topics beyond these gain little.
const MOST: u16 = 64;

/// A topic keeps its number for so many rounds through all numbers.
const ROUNDS: u64 = 8;

/// What is known to the broker.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    most: u16,
    numbers: HashMap<String, (u16, u64)>,
    used: u64,
}

/// How a topic is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alias {
    /// As it is.
    None,
    /// With a number that stands for it from now on.
    New(u16),
    /// As a number.
    Known(u16),
}

impl Aliases {
    /// The broker keeps so many.
    pub(super) fn new(most: u16) -> Self {
        Self { most: most.min(MOST), ..Self::default() }
    }

    /// How to send a topic that is published often.
    pub(super) fn of(&mut self, topic: &str) -> Alias {
        if self.most == 0 {
            return Alias::None;
        }
        self.used += 1;
        if let Some((number, used)) = self.numbers.get_mut(topic) {
            *used = self.used;
            return Alias::Known(*number);
        }
        let number = match u16::try_from(self.numbers.len() + 1) {
            Ok(number) if number <= self.most => number,
            _ => match self.spare() {
                Some(number) => number,
                None => return Alias::None,
            },
        };
        self.numbers.insert(topic.into(), (number, self.used));
        Alias::New(number)
    }

    /// The number of the topic that was not used for longest, where that is long.
    fn spare(&mut self) -> Option<u16> {
        let (topic, (number, used)) = self.numbers.iter().min_by_key(|(_, (_, used))| *used)?;
        let (topic, number, idle) = (topic.clone(), *number, self.used - used);
        if idle <= ROUNDS * u64::from(self.most) {
            return None;
        }
        self.numbers.remove(&topic);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_sent_once_and_its_number_after_that() {
        let mut aliases = Aliases::new(2);
        assert_eq!(aliases.of("a"), Alias::New(1));
        assert_eq!(aliases.of("a"), Alias::Known(1));
        assert_eq!(aliases.of("b"), Alias::New(2));
        assert_eq!(aliases.of("c"), Alias::None);
        assert_eq!(aliases.of("a"), Alias::Known(1));
        assert_eq!(Aliases::new(0).of("a"), Alias::None);
    }

    #[test]
    fn a_topic_that_is_not_used_any_more_makes_room() {
        let mut aliases = Aliases::new(2);
        assert_eq!((aliases.of("a"), aliases.of("b")), (Alias::New(1), Alias::New(2)));
        let fresh = (0..100).map(|_| (aliases.of("b"), aliases.of("c"))).find(|(_, c)| *c != Alias::None);
        assert_eq!(fresh, Some((Alias::Known(2), Alias::New(1))));
        assert_eq!(aliases.of("c"), Alias::Known(1));
    }

    #[test]
    fn more_topics_in_turn_than_numbers_cost_nothing() {
        let mut aliases = Aliases::new(10);
        let topics: Vec<String> = (0..12).map(|number| format!("topic/{number}")).collect();
        let known =
            (0..1000).flat_map(|_| &topics).filter(|t| matches!(aliases.of(t), Alias::Known(_))).count();
        assert!(known > 9_900, "{known} of 12000");
    }
}
