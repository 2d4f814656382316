//! The bounded queue of one observe subscription, and the bell that wakes the one who drains it.
//!
//! A message is put in with one lock-free push; whoever drains takes many at a time. That makes a delivery cost what a
//! channel's send costs. A queue never blocks the sender unless its subscriber asked for [`Overflow::Wait`], and it
//! counts what it could not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;
use sedge_plugin::topic::{Options, Overflow};
use tokio::sync::Notify;

/// Wakes the task that drains the queues of one subscriber.
#[derive(Default)]
pub(crate) struct Bell {
    waker: AtomicWaker,
}

impl Bell {
    /// Ready when `any` says so; else the task is woken by the next message.
    pub(crate) fn poll(&self, cx: &mut Context<'_>, any: impl Fn() -> bool) -> Poll<()> {
        if any() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // A message may have come between the look and the registration.
        if any() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn ring(&self) {
        self.waker.wake();
    }
}

/// Counts a message that was not put in, also where its sender was dropped while it waited.
struct Loss<'a>(Option<&'a AtomicU64>);

impl Drop for Loss<'_> {
    fn drop(&mut self) {
        if let Some(dropped) = self.0 {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What waits for one subscriber of one topic.
pub(crate) struct Queue<M> {
    ring: ArrayQueue<Arc<M>>,
    bell: Arc<Bell>,
    overflow: Overflow,
    patience: Duration,
    dropped: Arc<AtomicU64>,
    room: Notify,
}

impl<M> Queue<M> {
    pub(crate) fn new(options: &Options, bell: Arc<Bell>, dropped: Arc<AtomicU64>) -> Self {
        Self {
            ring: ArrayQueue::new(options.capacity.max(1)),
            bell,
            overflow: options.overflow,
            patience: options.deadline,
            dropped,
            room: Notify::new(),
        }
    }

    /// Puts a message in, without waiting. Hands it back where the queue is full and its subscriber wants the sender
    /// to wait.
    pub(crate) fn offer(&self, message: Arc<M>) -> Result<(), Arc<M>> {
        let lost = match self.overflow {
            Overflow::DropOldest => self.ring.force_push(message).is_some(),
            Overflow::DropNewest => self.ring.push(message).is_err(),
            Overflow::Wait => {
                self.ring.push(message)?;
                false
            }
        };
        if lost {
            self.lose();
        }
        self.bell.ring();
        Ok(())
    }

    /// Waits for room, as long as the subscription's deadline; then the message is dropped and counted.
    pub(crate) async fn wait(&self, mut message: Arc<M>) {
        let kept = message.clone();
        let mut loss = Loss(Some(&self.dropped));
        let put = async {
            loop {
                // Registered before the try, so that room made in between is not missed.
                let room = self.room.notified();
                match self.offer(message) {
                    Ok(()) => return,
                    Err(back) => message = back,
                }
                room.await;
            }
        };
        // A sender is woken when half the queue is free, not for each place: its last try may find one of those.
        if tokio::time::timeout(self.patience, put).await.is_ok() || self.offer(kept).is_ok() {
            loss.0 = None;
        }
    }

    /// Counts a message that was not put in.
    pub(crate) fn lose(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the oldest message.
    pub(crate) fn take(&self) -> Option<Arc<M>> {
        let message = self.ring.pop();
        if message.is_some() && self.overflow == Overflow::Wait && self.ring.len() <= self.ring.capacity() / 2
        {
            self.room.notify_one();
        }
        message
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

/// What nobody will take any more, as when its plugin broke, is counted.
impl<M> Drop for Queue<M> {
    fn drop(&mut self) {
        self.dropped.fetch_add(self.ring.len() as u64, Ordering::Relaxed);
    }
}
