//! Hands a destination outside the readings of the journal: all of them, in order, until they have arrived.
//!
//! A batch is done when the plugin says so; what fails is handed over again, after a pause that grows. The plugin's place in
//! the journal outlives it: what it had not taken when it ended it gets at its next start, some of it perhaps twice.
//!
//! It must not hold up the plugin's tools: it is a task beside its handlers.

use std::collections::BTreeSet;
use std::time::Duration;

use sedge_plugin::journal::Entry;
use sedge_plugin::topics::Deliver;
use sedge_plugin::{Context, Cursor, Id, Progress};
use sedge_protocol::Call;
use sedge_protocol::topics::Shape;
use serde_json::Value as Json;
use tracing::warn;

use super::session::Caller;

/// Readings of a batch.
const MOST: usize = 100;
/// How long a plugin has for a batch.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// The pause after the first failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// See the [module](self).
pub(super) struct Feed {
    pub(super) ctx: Context,
    pub(super) caller: Caller,
    pub(super) cursor: Cursor,
    /// Only the readings of these; none for all.
    pub(super) sensors: Option<BTreeSet<Id>>,
    /// Bytes that a batch may have.
    pub(super) bytes: usize,
}

impl Feed {
    /// Returns when the plugin has ended.
    pub(super) async fn run(self) {
        let mut next = 0;
        loop {
            self.tell_of_losses();
            let head = self.cursor.head();
            let Some(open) = self.cursor.pending(next..head).into_iter().next() else {
                self.cursor.grown(head).await;
                continue;
            };
            let start = open.start;
            let batch = self.cursor.read(open, MOST).await;
            if batch.next <= start {
                self.cursor.grown(head).await;
                continue;
            }
            let wanted =
                |entry: &Entry| self.sensors.as_ref().is_none_or(|only| only.contains(&entry.reading.sensor));
            let (wanted, others): (Vec<Entry>, Vec<Entry>) = batch.entries.into_iter().partition(wanted);
            self.done(&others);
            let mut rest = wanted.as_slice();
            while !rest.is_empty() {
                let (readings, count) = self.some(rest);
                if !self.deliver(readings).await {
                    return;
                }
                self.done(&rest[..count]);
                rest = &rest[count..];
            }
            next = batch.next;
        }
    }

    /// As many as a message may have, at least one.
    fn some(&self, entries: &[Entry]) -> (Vec<Json>, usize) {
        let (mut readings, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            let reading = Deliver::encode(&entry.reading);
            bytes += reading.to_string().len() + 1;
            if bytes > self.bytes && !readings.is_empty() {
                break;
            }
            readings.push(reading);
        }
        let count = readings.len();
        (readings, count)
    }

    /// Hands a batch over, again and again. False where the plugin has ended.
    async fn deliver(&self, readings: Vec<Json>) -> bool {
        let mut pause = PAUSES.0;
        let mut failed = false;
        loop {
            let call = Call::Deliver { readings: readings.clone() };
            match self.caller.call(call, LIMIT, Progress::default()).await {
                Ok(_) => {
                    if failed {
                        self.ctx.degraded(None);
                    }
                    return true;
                }
                Err(_) if self.caller.is_over() => return false,
                Err(error) => {
                    failed = true;
                    self.ctx.degraded(Some(format!("it does not take its readings, which wait: {error}")));
                    self.ctx.sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    fn done(&self, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.cursor.done(entry.position..entry.position + 1));
    }

    fn tell_of_losses(&self) {
        let untold = self.cursor.untold();
        for loss in &untold {
            let (lost, why) = (loss.count.saturating_sub(loss.told), loss.cause.text());
            warn!(plugin = %self.ctx.id(), sensor = loss.sensor.as_ref().map(Id::as_str), lost, why, "Readings are lost for it.");
        }
        self.cursor.told(&untold);
    }
}
