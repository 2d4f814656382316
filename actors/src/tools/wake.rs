//! How a call wakes a plugin that is started on demand, and how long nobody has called.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Between the calls of a plugin's tools and its keeper.
#[derive(Default)]
pub(crate) struct Wake {
    bell: Notify,
    running: AtomicUsize,
    /// When the last call began or ended, in milliseconds of the clock.
    last: AtomicU64,
}

/// A call that runs, or waits for the plugin.
pub(crate) struct Running(Arc<Wake>);

impl Wake {
    /// Waits until somebody calls.
    pub(crate) async fn called(&self) {
        self.bell.notified().await;
    }

    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// What was rung so far was heard.
    pub(crate) fn forget(&self) {
        pin!(self.bell.notified()).enable();
    }

    pub(crate) fn begin(self: &Arc<Self>, now: Duration) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        // A call whose caller gives up has no end; then its beginning counts.
        self.called_at(now);
        Running(self.clone())
    }

    fn called_at(&self, now: Duration) {
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// How long nobody has called; none while somebody does.
    pub(crate) fn idle_for(&self, now: Duration) -> Option<Duration> {
        let idle = now.saturating_sub(Duration::from_millis(self.last.load(Ordering::SeqCst)));
        (self.running.load(Ordering::SeqCst) == 0).then_some(idle)
    }
}

impl Running {
    pub(crate) fn end(self, now: Duration) {
        self.0.called_at(now);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
