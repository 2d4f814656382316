//! What several destinations are built of. No destination itself.

pub(super) mod backlog;
pub(super) mod lines;
pub(super) mod losses;
pub(super) mod pump;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sedge_plugin::metrics::Counter;
use sedge_plugin::prelude::*;

/// The time that a destination gives those who read, at its end: less than a teardown may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// What comes of `work`, if it comes in time.
pub(super) async fn within<T>(ctx: &Context, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(ctx.sleep(time)));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// What each destination counts of itself.
pub(super) struct Counters {
    pub(super) sent: Counter,
    pub(super) dropped: Counter,
    pub(super) failed: Counter,
}

impl Counters {
    /// `sent` is the word for what arrives: `written`, `sent`.
    pub(super) fn new(ctx: &Context, sent: &str, help: &'static str) -> Result<Self, PluginError> {
        let counter = |name: &str, help| {
            let name = Name::new(name).map_err(|error| PluginError::failed(error.to_string()))?;
            ctx.counter(name, help).map_err(|error| PluginError::failed(error.to_string()))
        };
        Ok(Self {
            sent: counter(sent, help)?,
            dropped: counter("dropped", "Readings that were given up.")?,
            failed: counter("failed", "Attempts that failed.")?,
        })
    }
}

/// The losses that a test's node was told: how much it matters, and how many.
#[cfg(test)]
pub(super) fn told(node: &sedge_plugin::testing::TestNode) -> Vec<(sedge_plugin::topics::Severity, u64)> {
    let events = node.published::<topics::EventRaised>().into_iter();
    let lost = events.filter(|event| event.kind.as_str() == "readings_lost");
    lost.map(|event| (event.severity, event.data["count"].as_u64().unwrap_or(0))).collect()
}

/// Readings of a test.
#[cfg(test)]
pub(super) mod testing {
    use std::sync::Arc;

    use sedge_plugin::prelude::*;

    pub(crate) const WALL_MS: i64 = 1_795_195_704_123;

    pub(crate) fn frame(fields: &[(&'static str, Value)]) -> Frame {
        let mut frame = Frame::default();
        for (field, value) in fields {
            frame.push(*field, value.clone());
        }
        frame
    }

    pub(crate) fn reading(seq: u64, frame: Frame) -> Reading {
        let taken = Taken { up_ms: 5000, wall_ms: Some(WALL_MS) };
        Reading { sensor: Id::new("air").unwrap(), boot: Boot(0x9f3c_21ab), seq, taken, frame, origin: None }
    }

    /// A reading of one field, which says which one it is.
    pub(crate) fn nth(seq: u32) -> Arc<Reading> {
        Arc::new(reading(seq.into(), frame(&[("level", seq.into())])))
    }
}
