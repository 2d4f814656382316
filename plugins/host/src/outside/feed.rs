//! Hands a destination outside the readings of the journal: all of them, in order, until they have arrived.
//!
//! A batch is done when the plugin says so; what fails is handed over again, after a pause that grows, and after a few times in
//! smaller parts. A single reading that the plugin refuses while it takes another one is given up, so that it does not hold up
//! all others for ever; while the plugin takes none, none is given up. The plugin's place in the journal outlives it: what it
//! had not taken when it ended it gets at its next start, some of it perhaps twice.
//!
//! It must not hold up the plugin's tools: it is a task beside its handlers.

use std::collections::BTreeSet;
use std::time::Duration;

use sedge_plugin::journal::{Cause, Entry};
use sedge_plugin::topics::Deliver;
use sedge_plugin::{Context, Cursor, Id, Progress};
use sedge_protocol::topics::Shape;
use sedge_protocol::{Call, ToPlugin};
use serde_json::Value as Json;
use tracing::warn;

use super::session::Caller;

/// Readings of a batch.
const MOST: usize = 100;
/// How long a plugin has for a batch.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// How often a batch is handed over whole.
const TRIES: u32 = 5;
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

/// How it went on.
enum Handed {
    /// They have arrived.
    Over,
    /// It has not taken them.
    Refused,
    /// It has ended.
    Ended,
}

/// How many it is handed at once, and how long it is left alone after a failure.
struct Pace {
    most: usize,
    tries: u32,
    pause: Duration,
    failing: bool,
}

impl Pace {
    const FULL: Self = Self { most: MOST, tries: 0, pause: PAUSES.0, failing: false };

    /// Fewer at once, where it does not take so many.
    fn fails(&mut self, count: usize) {
        self.tries += 1;
        if self.tries >= TRIES || self.most < MOST {
            self.most = count.div_ceil(2);
        }
    }

    /// More at once, up to the most.
    fn goes_well(&mut self) {
        *self = Self { most: (self.most * 2).min(MOST), ..Self::FULL };
    }
}

/// A reading that is to be handed over.
struct Held {
    entry: Entry,
    json: Json,
    bytes: usize,
}

impl Feed {
    /// Returns when the plugin has ended.
    pub(super) async fn run(self) {
        let (mut next, mut pace) = (0, Pace::FULL);
        loop {
            self.tell_of_losses();
            let head = self.cursor.head();
            let Some((entries, until)) = self.read(next, head).await else {
                self.cursor.grown(head).await;
                continue;
            };
            let held: Vec<Held> = entries.into_iter().filter_map(|entry| self.hold(entry)).collect();
            match self.hand_over(&held, &mut pace).await {
                // Those that are left are read again, with those that have come meanwhile.
                Some(left) => next = left.first().map_or(until, |held| held.entry.position),
                None => return,
            }
        }
    }

    /// What is there for it, so many at most, and where it goes on.
    async fn read(&self, next: u64, head: u64) -> Option<(Vec<Entry>, u64)> {
        let (mut entries, mut until) = (Vec::new(), None);
        for open in self.cursor.pending(next..head) {
            let (start, room) = (open.start, MOST.saturating_sub(entries.len()));
            if room == 0 {
                break;
            }
            let batch = self.cursor.read(open, room).await;
            if batch.next <= start {
                break;
            }
            until = Some(batch.next);
            entries.extend(batch.entries);
        }
        Some((entries, until?))
    }

    /// A reading that it is to get; another one is nothing to wait for.
    fn hold(&self, entry: Entry) -> Option<Held> {
        if self.sensors.as_ref().is_some_and(|only| !only.contains(&entry.reading.sensor)) {
            self.done(&entry);
            return None;
        }
        let json = Deliver::encode(&entry.reading);
        let bytes = json.to_string().len() + 1;
        let held = Held { entry, json, bytes };
        if bytes > self.bytes
            && self
                .caller
                .check(&ToPlugin::Call { id: u64::MAX, call: call(std::slice::from_ref(&held)) })
                .is_err()
        {
            self.cursor.give_up(&held.entry, Cause::TooLarge);
            return None;
        }
        Some(held)
    }

    /// Hands all of them over; says which are left, to be tried again. None where the plugin has ended.
    async fn hand_over<'a>(&self, held: &'a [Held], pace: &mut Pace) -> Option<&'a [Held]> {
        let mut rest = held;
        while !rest.is_empty() {
            let some = self.some(&rest[..pace.most.min(rest.len())]);
            match self.deliver(some, pace).await {
                Handed::Ended => return None,
                Handed::Over => {
                    some.iter().for_each(|held| self.done(&held.entry));
                    rest = &rest[some.len()..];
                    pace.goes_well();
                }
                Handed::Refused if some.len() > 1 || pace.tries < TRIES => pace.fails(some.len()),
                Handed::Refused => match rest {
                    // Whether it is the reading or the plugin, another one tells.
                    [one, other, left @ ..] => match self.deliver(std::slice::from_ref(other), pace).await {
                        Handed::Ended => return None,
                        Handed::Refused => {}
                        Handed::Over => {
                            self.done(&other.entry);
                            match self.deliver(std::slice::from_ref(one), pace).await {
                                Handed::Ended => return None,
                                Handed::Over => self.done(&one.entry),
                                Handed::Refused => self.cursor.give_up(&one.entry, Cause::Rejected),
                            }
                            self.tell_of_losses();
                            pace.goes_well();
                            rest = left;
                        }
                    },
                    alone => return Some(alone),
                },
            }
        }
        if std::mem::take(&mut pace.failing) {
            self.ctx.degraded(None);
        }
        Some(rest)
    }

    /// As many as a message may have, at least one.
    fn some<'a>(&self, held: &'a [Held]) -> &'a [Held] {
        let mut bytes = 0;
        let count = held.iter().take_while(|held| {
            bytes += held.bytes;
            bytes <= self.bytes
        });
        &held[..count.count().max(1)]
    }

    /// Hands a batch over, once; after a failure there is a pause.
    async fn deliver(&self, held: &[Held], pace: &mut Pace) -> Handed {
        match self.caller.call(call(held), LIMIT, Progress::default()).await {
            Ok(_) => {
                if std::mem::take(&mut pace.failing) {
                    self.ctx.degraded(None);
                }
                Handed::Over
            }
            Err(_) if self.caller.is_over() => Handed::Ended,
            Err(error) => {
                pace.failing = true;
                self.ctx.degraded(Some(format!("it does not take its readings, which wait: {error}")));
                self.ctx.sleep(pace.pause).await;
                pace.pause = (pace.pause * 2).min(PAUSES.1);
                Handed::Refused
            }
        }
    }

    fn done(&self, entry: &Entry) {
        self.cursor.done(entry.position..entry.position + 1);
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

fn call(held: &[Held]) -> Call {
    Call::Deliver { readings: held.iter().map(|held| held.json.clone()).collect() }
}
