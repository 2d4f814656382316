//! The account of readings that were lost: told when it begins, at most every half minute while it goes on, and when it
//! has ended. So neither the log nor the broker drowns in complaints about one cause.
//!
//! It must not cost more readings: the account has a place of its own in the [`Outbox`](crate::outbox::Outbox).

use std::ops::AddAssign;
use std::time::Duration;

use crate::connection::{Line, Sleep};

/// The time between two reports.
const BETWEEN: Duration = Duration::from_secs(30);

/// Readings that will not arrive, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The queue was full.
    pub(crate) dropped: u64,
    /// The broker refused them.
    pub(crate) refused: u64,
    /// More bytes than a packet may have.
    pub(crate) too_large: u64,
    /// The connection broke with each of them, again and again.
    pub(crate) put_aside: u64,
    /// What the broker said last.
    pub(crate) reason: Option<&'static str>,
}

impl Lost {
    pub(crate) fn total(&self) -> u64 {
        self.dropped + self.refused + self.too_large + self.put_aside
    }

    /// The causes, for people.
    pub(crate) fn causes(&self) -> String {
        let reason = self.reason.unwrap_or("no reason given");
        let causes = [
            (self.dropped, "more waited than there is room for".to_owned()),
            (self.refused, format!("refused by the broker: {reason}")),
            (self.too_large, "too large".into()),
            (self.put_aside, "put aside, because the connection broke with them".into()),
        ];
        let there = causes.into_iter().filter(|(count, _)| *count > 0);
        there.map(|(count, cause)| format!("{count} {cause}")).collect::<Vec<_>>().join("; ")
    }
}

impl AddAssign for Lost {
    fn add_assign(&mut self, more: Self) {
        self.dropped += more.dropped;
        self.refused += more.refused;
        self.too_large += more.too_large;
        self.put_aside += more.put_aside;
        self.reason = more.reason.or(self.reason);
    }
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// Since the last report.
    More(Lost),
    /// No more since the last report; these were all.
    Ended(Lost),
}

/// Tells what is lost, for ever.
pub(crate) async fn account(line: Line, sleep: Sleep, tell: impl Fn(Report)) {
    loop {
        line.losing().await;
        let mut all = Lost::default();
        loop {
            let lost = line.take_lost();
            if lost.total() == 0 {
                break;
            }
            all += lost;
            tell(Report::More(lost));
            sleep(BETWEEN).await;
        }
        if all.total() > 0 {
            tell(Report::Ended(all));
        }
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::Id;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use crate::wire::{Base, Topics};

    #[tokio::test(start_paused = true)]
    async fn losses_are_told_when_they_begin_every_half_minute_and_when_they_end() {
        let topics = Topics::new(Base::new("sedge/v1").unwrap(), Id::new("pi").unwrap());
        let line = Line::new(1, topics);
        let (sink, mut reports) = mpsc::channel(100);
        let start = Instant::now();
        let tell = move |report| sink.try_send((start.elapsed().as_secs(), report)).unwrap();
        let sleep: Sleep = Box::new(|time| Box::pin(tokio::time::sleep(time)));
        tokio::spawn(account(line.clone(), sleep, tell));

        let sensor = Id::new("air").unwrap();
        let lose = || line.reading(&sensor, b"{}".to_vec(), Duration::ZERO);
        lose();
        lose();
        let more = |dropped| Report::More(Lost { dropped, ..Lost::default() });
        assert_eq!(reports.recv().await, Some((0, more(1))));
        (0..70).for_each(|_| lose());
        tokio::time::sleep(Duration::from_secs(20)).await;
        (0..30).for_each(|_| lose());
        assert_eq!(reports.recv().await, Some((30, more(100))));
        let all = Lost { dropped: 101, ..Lost::default() };
        assert_eq!(reports.recv().await, Some((60, Report::Ended(all))));
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(reports.try_recv().is_err(), "nothing is lost, nothing is told");
        lose();
        assert_eq!(reports.recv().await, Some((1060, more(1))));
    }
}
