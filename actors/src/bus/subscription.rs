//! A subscription that is held by hand.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sedge_plugin::Id;
use sedge_plugin::topic::{Observe, Topic};

use super::{Bell, Bus, Queue};

/// Hears the messages of a topic until it is dropped.
pub struct Subscription<T: Topic<Kind = Observe>> {
    pub(super) bus: Bus,
    pub(super) owner: Id,
    pub(super) order: u64,
    pub(super) queue: Arc<Queue<T::Message>>,
    pub(super) bell: Arc<Bell>,
    pub(super) dropped: Arc<AtomicU64>,
}

impl<T: Topic<Kind = Observe>> Subscription<T> {
    /// The oldest message that waits.
    pub fn take(&mut self) -> Option<Arc<T::Message>> {
        self.queue.take()
    }

    /// The next message. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Arc<T::Message> {
        loop {
            if let Some(message) = self.queue.take() {
                return message;
            }
            poll_fn(|cx| self.bell.poll(cx, || !self.queue.is_empty())).await;
        }
    }

    /// How many messages the full queue did not take.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl<T: Topic<Kind = Observe>> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.bus.update(|table| table.remove(&self.owner, Some(self.order)));
    }
}
