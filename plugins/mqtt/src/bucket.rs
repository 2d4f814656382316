//! Caps on how often somebody may call. Pure: time is told to it.
//!
//! A bucket lets so many through at once as its rate has, and then as many as its rate has per time. Callers without a key
//! name themselves, so their names are as many as they like: only so many get a bucket of their own, and all others share one.

use std::collections::HashMap;
use std::time::Duration;

use sedge_plugin::Rate;

/// Callers that have a bucket of their own.
const MAX_CALLERS: usize = 64;

/// What became of one more call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// It may be run.
    Taken,
    /// It is one too many, the first after one that was not.
    FirstTooMany,
    /// It is one too many, as the one before.
    TooMany,
}

/// The calls of one caller.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// When it will be full again.
    full: Duration,
    spilling: bool,
}

impl Bucket {
    /// One more call, at `now`.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration) -> Take {
        let each = rate.per / rate.most.max(1);
        let full = self.full.max(now) + each;
        if full > now + rate.per {
            let before = std::mem::replace(&mut self.spilling, true);
            return if before { Take::TooMany } else { Take::FirstTooMany };
        }
        (self.full, self.spilling) = (full, false);
        Take::Taken
    }

    fn is_full(&self, now: Duration) -> bool {
        self.full <= now
    }
}

/// The calls of all callers.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    own: HashMap<String, Bucket>,
    others: Bucket,
}

impl Buckets {
    /// One more call of a caller, at `now`.
    pub(crate) fn take(&mut self, caller: &str, rate: Rate, now: Duration) -> Take {
        if let Some(bucket) = self.own.get_mut(caller) {
            return bucket.take(rate, now);
        }
        if self.own.len() >= MAX_CALLERS {
            // A full one says nothing: whose it was gets a full one again.
            self.own.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.own.len() >= MAX_CALLERS {
            return self.others.take(rate, now);
        }
        self.own.entry(caller.into()).or_default().take(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate::per_minute(3);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn so_many_come_through_at_once_and_then_as_many_as_the_rate_has() {
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, at(100)), Take::Taken);
        }
        assert_eq!(bucket.take(RATE, at(100)), Take::FirstTooMany);
        assert_eq!(bucket.take(RATE, at(119)), Take::TooMany);
        assert_eq!(bucket.take(RATE, at(120)), Take::Taken, "a third of a minute later");
        assert_eq!(bucket.take(RATE, at(121)), Take::FirstTooMany, "another burst");
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, at(1000)), Take::Taken);
        }
    }

    #[test]
    fn callers_do_not_take_from_each_other_and_names_without_end_cost_nothing() {
        let mut buckets = Buckets::default();
        for n in 0..MAX_CALLERS {
            assert_eq!(buckets.take(&format!("c{n}"), RATE, at(1)), Take::Taken);
        }
        let taken = (0..1000).filter(|n| buckets.take(&format!("x{n}"), RATE, at(1)) == Take::Taken);
        assert_eq!(taken.count(), 3, "all others share one");
        assert_eq!(buckets.own.len(), MAX_CALLERS);
        assert_eq!(buckets.take("c0", RATE, at(1)), Take::Taken);
        assert_eq!(buckets.take("late", RATE, at(60)), Take::Taken, "those that were silent made room");
        assert!(buckets.own.len() < MAX_CALLERS);
    }

    proptest! {
        #[test]
        fn never_more_than_twice_the_rate_within_its_time(steps in prop::collection::vec(0_u64..30, 1..200)) {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if bucket.take(RATE, at(now)) == Take::Taken {
                    taken.push(now);
                }
            }
            for &start in &taken {
                let within = taken.iter().filter(|&&at| (start..start + 60).contains(&at)).count();
                prop_assert!(within <= 6, "{within}");
            }
        }
    }
}
