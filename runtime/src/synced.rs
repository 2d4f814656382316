//! Tells everybody when the wall time of this machine became known.
//!
//! A board without a battery starts without it. Readings of that time were sent with `ts: null` and `up_ms`; who got them adds
//! `offset_ms` of the event `clock_synced` to `up_ms`, and has their true time. What is still in the journal gets it by itself.
//!
//! It must not tell of a time that was known from the start: there is nothing to correct then.

use std::sync::Arc;
use std::time::Duration;

use sedge_actors::NodeHandle;
use sedge_plugin::topics::{Event, Severity};
use sedge_plugin::{Clock, Name};
use serde_json::json;
use tracing::info;

use crate::outbox::Outbox;

/// How often the clock is looked at until it is known.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until the wall time is known, corrects what the outbox has, and raises `clock_synced`. Returns at once where the time is
/// known.
pub async fn tell_of_time(clock: Arc<dyn Clock>, node: NodeHandle, outbox: Option<Outbox>) {
    if clock.wall_ms().is_some() {
        return;
    }
    info!("The wall time is not known yet: readings are without it until it is.");
    let offset_ms = loop {
        tokio::time::sleep(LOOK).await;
        let taken = clock.taken();
        let up = i64::try_from(taken.up_ms).unwrap_or(i64::MAX);
        if let Some(wall) = taken.wall_ms {
            break wall.saturating_sub(up);
        }
    };
    if let Some(outbox) = outbox {
        outbox.learn_time();
    }
    info!("The wall time is known.");
    if let Ok(kind) = Name::new("clock_synced") {
        let data = json!({ "boot": node.directory().node.boot, "offset_ms": offset_ms });
        let text = "the wall time is known; add offset_ms to the up_ms of readings without one".into();
        node.raise(Event { kind, severity: Severity::Info, text, data }).await;
    }
}
