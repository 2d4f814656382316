//! The account of readings that were lost: told when it begins, at most every half minute while it goes on, and when it
//! has ended. So neither the log nor the broker drowns in complaints about one cause.
//!
//! What is lost stands in the journal's ledger; here it is made an event, which waits until the broker has taken it. It must not
//! cost more readings: the account has a place of its own in the [`Outbox`](crate::outbox::Outbox).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sedge_plugin::clock::rfc3339;
use sedge_plugin::journal::{Cause, Loss};
use sedge_plugin::{Boot, Cursor, Id};
use serde_json::{Value as Json, json};

use crate::connection::Sleep;

/// The time between two reports.
const BETWEEN: Duration = Duration::from_secs(30);

/// Losses that one event lists; its count is of all.
const MAX_LISTED: usize = 100;

/// What there is to tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Report {
    /// So many since the last report; and all that people were not told yet.
    More(u64, Vec<Loss>),
    /// No more since the last report; so many were it.
    Ended(u64),
}

/// Tells what is lost, for ever.
pub(crate) async fn account(cursor: Cursor, sleep: Sleep, tell: impl Fn(Report)) {
    let mut seen = Seen::default();
    loop {
        cursor.losing().await;
        let mut all = 0;
        loop {
            let untold = cursor.untold();
            let new = seen.report(&untold);
            if new == 0 {
                break;
            }
            all += new;
            tell(Report::More(new, untold));
            sleep(BETWEEN).await;
        }
        if all > 0 {
            tell(Report::Ended(all));
        }
        // What the broker has not taken yet still waits to be sent; it is no news.
        while !cursor.untold().is_empty() && seen.more(&cursor.untold()) == 0 {
            sleep(BETWEEN).await;
        }
    }
}

/// How much of each loss was reported.
#[derive(Default)]
struct Seen(HashMap<(Option<Id>, Option<Boot>, Cause), u64>);

impl Seen {
    /// How many more there are than were reported.
    fn more(&self, losses: &[Loss]) -> u64 {
        let reported = |loss: &Loss| {
            let key = (loss.sensor.clone(), loss.boot, loss.cause);
            self.0.get(&key).copied().unwrap_or_default().max(loss.told)
        };
        losses.iter().map(|loss| loss.count.saturating_sub(reported(loss))).sum()
    }

    /// The same, and they are reported now. What was told is forgotten.
    fn report(&mut self, losses: &[Loss]) -> u64 {
        let more = self.more(losses);
        let key = |loss: &Loss| (loss.sensor.clone(), loss.boot, loss.cause);
        self.0 = losses.iter().map(|loss| (key(loss), loss.count)).collect();
        more
    }
}

/// What is not told yet, cause by cause.
fn by_cause(losses: &[Loss]) -> BTreeMap<Cause, u64> {
    let mut causes = BTreeMap::new();
    for loss in losses {
        *causes.entry(loss.cause).or_default() += loss.count - loss.told.min(loss.count);
    }
    causes
}

/// So many of these were not told yet.
pub(crate) fn count(losses: &[Loss]) -> u64 {
    by_cause(losses).values().sum()
}

/// The causes, for people.
pub(crate) fn causes(losses: &[Loss]) -> String {
    let causes = by_cause(losses).into_iter();
    causes.map(|(cause, count)| format!("{count} {}", cause.text())).collect::<Vec<_>>().join("; ")
}

/// The losses, for machines. `seqs` are runs, first and last; `count` and `seqs` are of all that this reader has lost of that
/// sensor for that cause, `new` is what was not told before.
pub(crate) fn data(losses: &[Loss]) -> Json {
    let loss = |loss: &Loss| {
        json!({
            "sensor": loss.sensor,
            "boot": loss.boot.map(|boot| boot.to_string()),
            "cause": loss.cause.word(),
            "count": loss.count,
            "new": loss.count - loss.told.min(loss.count),
            "seqs": loss.seqs,
            "from": loss.from_ms.map(rfc3339),
            "to": loss.to_ms.map(rfc3339),
        })
    };
    Json::Array(losses.iter().take(MAX_LISTED).map(loss).collect())
}

#[cfg(test)]
mod tests {
    use sedge_plugin::journal::Journal;
    use sedge_plugin::testing::MemoryJournal;
    use sedge_plugin::{Frame, Reading, Taken};
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    fn reading(seq: u64) -> Reading {
        let taken = Taken { up_ms: 0, wall_ms: None };
        Reading {
            sensor: Id::new("air").unwrap(),
            boot: Boot(1),
            seq,
            taken,
            frame: Frame::default(),
            origin: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn losses_are_told_when_they_begin_every_half_minute_and_when_they_end() {
        let journal = MemoryJournal::new(1);
        let cursor = Cursor::new(journal.cursor(&Id::new("mqtt").unwrap()));
        let (sink, mut reports) = mpsc::channel(100);
        let start = Instant::now();
        let broker = cursor.clone();
        let tell = move |report| {
            let (new, ended) = match &report {
                Report::More(new, losses) => {
                    assert_eq!(count(losses), *new);
                    broker.told(losses);
                    (*new, false)
                }
                Report::Ended(all) => (*all, true),
            };
            sink.try_send((start.elapsed().as_secs(), new, ended)).unwrap();
        };
        let sleep: Sleep = Box::new(|time| Box::pin(tokio::time::sleep(time)));
        tokio::spawn(account(cursor, sleep, tell));

        let mut seq = 0;
        let mut put = |many: u64| {
            (0..many).for_each(|_| {
                seq += 1;
                journal.put(reading(seq))
            })
        };
        put(2);
        assert_eq!(reports.recv().await, Some((0, 1, false)));
        put(70);
        tokio::time::sleep(Duration::from_secs(20)).await;
        put(30);
        assert_eq!(reports.recv().await, Some((30, 100, false)));
        assert_eq!(reports.recv().await, Some((60, 101, true)));
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(reports.try_recv().is_err(), "nothing is lost, nothing is told");
        put(1);
        assert_eq!(reports.recv().await, Some((1060, 1, false)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_has_taken_yet_is_not_told_again_until_there_is_more() {
        let journal = MemoryJournal::new(1);
        let cursor = Cursor::new(journal.cursor(&Id::new("mqtt").unwrap()));
        let (sink, mut reports) = mpsc::channel(100);
        let sleep: Sleep = Box::new(|time| Box::pin(tokio::time::sleep(time)));
        tokio::spawn(account(cursor, sleep, move |report| sink.try_send(report).unwrap()));
        (1..=3).for_each(|seq| journal.put(reading(seq)));
        let more = |report: Option<Report>| match report {
            Some(Report::More(new, losses)) => Some((new, count(&losses))),
            _ => None,
        };
        assert_eq!(more(reports.recv().await), Some((2, 2)));
        assert_eq!(reports.recv().await, Some(Report::Ended(2)));
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(reports.try_recv().is_err());
        journal.put(reading(4));
        assert_eq!(more(reports.recv().await), Some((1, 3)), "one more, and all that was not told");
    }
}
