//! Asks systemd for patience with a start that takes long and goes on.
//!
//! Why: a journal of hundreds of megabytes on a slow card takes minutes to open, and each plugin whose device does not answer
//! takes seconds. A start that does nothing at all is not one that takes long: it gets no more time than the unit gives it.

use std::sync::Arc;
use std::time::Duration;

use nix::libc::c_long;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::notify::{Notifier, Say};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(10);

/// So much time more, from each look that saw it go on.
const MORE: Duration = Duration::from_secs(60);

/// The longest start.
const MOST: Duration = Duration::from_secs(15 * 60);

/// Less than this in one look is no work: looking takes some itself.
const IDLE_USEC: i64 = 20_000;

/// Until it is ended.
pub(super) async fn extend(notifier: Arc<Notifier>) {
    let mut done = Work::so_far();
    for _ in 0..MOST.as_secs() / EVERY.as_secs() {
        tokio::time::sleep(EVERY).await;
        let now = Work::so_far();
        if now.is_beyond(&done) {
            notifier.tell(&[Say::ExtendTimeout(MORE)]);
        }
        done = now;
    }
}

/// What this process has done.
struct Work {
    usec: i64,
    /// Blocks that were read from a disk or written to it.
    blocks: c_long,
}

impl Work {
    fn so_far() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Self { usec: 0, blocks: 0 } };
        let usec = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Self { usec, blocks: usage.block_reads() + usage.block_writes() }
    }

    fn is_beyond(&self, before: &Self) -> bool {
        self.blocks > before.blocks || self.usec - before.usec > IDLE_USEC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_does_nothing_does_not_go_on() {
        let work = |usec, blocks| Work { usec, blocks };
        assert!(!work(1000, 7).is_beyond(&work(0, 7)), "looking alone is no work");
        assert!(work(900_000, 7).is_beyond(&work(0, 7)));
        assert!(work(0, 8).is_beyond(&work(0, 7)));
    }
}
