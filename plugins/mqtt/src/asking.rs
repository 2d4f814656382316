//! Subscriptions that a broker did not grant, and when they are asked for again: a cluster that is choosing a leader grants
//! nothing, and does a moment later.
//!
//! A SUBACK is known by its place: what was asked for first is answered first. So nothing is asked for here while
//! other answers are awaited, and nobody else asks while this awaits some. It never asks by itself.

use std::collections::VecDeque;
use std::time::Duration;

use sedge_plugin::BoxFuture;

/// So soon it is asked again; twice as late each time, up to the longest.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// See the [module](self).
pub(crate) struct Asking {
    /// When it is time to ask again.
    pub(crate) time: BoxFuture<'static, ()>,
    refused: Vec<String>,
    asked: VecDeque<String>,
    pause: Duration,
}

impl Default for Asking {
    fn default() -> Self {
        let time = Box::pin(std::future::pending());
        Self { time, refused: Vec::new(), asked: VecDeque::new(), pause: FIRST }
    }
}

impl Asking {
    /// A subscription was not granted; how long to wait, where that is not under way yet.
    #[must_use]
    pub(crate) fn refused(&mut self, filter: String) -> Option<Duration> {
        self.refused.push(filter);
        if self.refused.len() > 1 {
            return None;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        Some(pause)
    }

    /// What is to be asked for now that the time has come.
    pub(crate) fn again(&mut self) -> Vec<String> {
        self.time = Box::pin(std::future::pending());
        self.asked.extend(self.refused.iter().cloned());
        std::mem::take(&mut self.refused)
    }

    /// Which one the broker has answered; none where nothing was asked for again.
    pub(crate) fn answered(&mut self) -> Option<String> {
        self.asked.pop_front()
    }

    /// Whether answers are awaited.
    pub(crate) fn is_open(&self) -> bool {
        !self.asked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_again_ever_later_and_each_answer_has_its_subscription() {
        let mut asking = Asking::default();
        assert_eq!(asking.refused("a".into()), Some(FIRST));
        assert_eq!(asking.refused("b".into()), None, "one pause is enough");
        assert_eq!(asking.again(), ["a", "b"]);
        assert!(asking.is_open());
        assert_eq!(asking.answered().as_deref(), Some("a"));
        assert_eq!(asking.refused("a".into()), Some(FIRST * 2));
        assert_eq!(asking.answered().as_deref(), Some("b"));
        assert!(!asking.is_open() && asking.answered().is_none());
        assert_eq!(asking.again(), ["a"]);
        let longest = (0..20).filter_map(|_| {
            let pause = asking.refused("a".into());
            asking.again();
            pause
        });
        assert_eq!(longest.max(), Some(LONGEST));
    }
}
