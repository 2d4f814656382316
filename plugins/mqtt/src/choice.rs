//! Which of several brokers is connected to: the first one that takes us, until it breaks.
//!
//! Nothing leads back to a better one while another one works: what an operator wants least is a connection that is cut
//! for tidiness. After a break the list is tried from its beginning.

use crate::settings::Broker;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Choice {
    brokers: Vec<Broker>,
    current: usize,
    fallback: Broker,
}

impl Choice {
    pub(crate) fn new(brokers: Vec<Broker>) -> Self {
        Self { brokers, current: 0, fallback: Broker::default() }
    }

    pub(crate) fn current(&self) -> &Broker {
        self.brokers.get(self.current).unwrap_or(&self.fallback)
    }

    /// The present one failed. Whether there is one left that was not tried in this round.
    pub(crate) fn next(&mut self) -> bool {
        self.current = (self.current + 1) % self.brokers.len().max(1);
        self.current != 0
    }

    /// The present one broke after it was good. False: nobody was tried in this round.
    pub(crate) fn begin_again(&mut self) -> bool {
        self.current = 0;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_tried_in_order_and_from_the_first_after_a_break() {
        let mut choice = Choice::new(vec![Broker::at("a", 1), Broker::at("b", 1), Broker::at("c", 1)]);
        assert_eq!(choice.current().host, "a");
        assert!(choice.next() && choice.current().host == "b");
        assert!(choice.next() && choice.current().host == "c");
        assert!(!choice.next() && choice.current().host == "a", "a round is over");
        assert!(choice.next() && !choice.begin_again());
        assert_eq!(choice.current().host, "a");
    }
}
