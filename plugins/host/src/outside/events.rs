//! Messages of observed topics, until the plugin outside can take them.
//!
//! A plugin is sent no more of them than it has granted; what it cannot take waits, so many at most, and then the oldest goes:
//! who observes wants to know how things are. Nobody who fires a topic waits for it.

use std::collections::VecDeque;

use sedge_protocol::ToPlugin;

/// Events that wait.
pub(super) const MOST: usize = 256;

/// The most credit that can be saved up.
const MOST_CREDIT: u32 = 100_000;

/// See the [module](self).
pub(super) struct Events {
    waiting: VecDeque<ToPlugin>,
    credit: u32,
}

impl Events {
    pub(super) fn new(credit: u32) -> Self {
        Self { waiting: VecDeque::new(), credit: credit.min(MOST_CREDIT) }
    }

    /// One more. False where another one went for it.
    pub(super) fn push(&mut self, event: ToPlugin) -> bool {
        self.waiting.push_back(event);
        let fits = self.waiting.len() <= MOST;
        if !fits {
            self.waiting.pop_front();
        }
        fits
    }

    /// It can take so many more.
    pub(super) fn grant(&mut self, more: u32) {
        self.credit = self.credit.saturating_add(more).min(MOST_CREDIT);
    }

    /// Whether there is one that it can take.
    pub(super) fn has(&self) -> bool {
        self.credit > 0 && !self.waiting.is_empty()
    }

    /// The oldest, if it can take one.
    pub(super) fn take(&mut self) -> Option<ToPlugin> {
        let left = self.credit.checked_sub(1)?;
        let event = self.waiting.pop_front()?;
        self.credit = left;
        Some(event)
    }
}
