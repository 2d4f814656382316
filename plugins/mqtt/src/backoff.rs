//! How long to wait before the next attempt to connect: longer each time, and never the same on two nodes.
//!
//! Full jitter: the wait is drawn evenly between nothing and the ceiling, and the ceiling doubles. A fleet whose
//! broker comes back would otherwise arrive at the same moment.
//!
//! The random source is a seed of the caller's, so that a test knows what it draws. It must not be used for secrets.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
/// A broker that is back is found within this and the time that a connection takes.
const LONGEST: Duration = Duration::from_secs(4);
/// So late at most is asked again what a person must mend.
const SLOWEST: Duration = Duration::from_secs(60);
/// A node that was cut off again and again waits so long at most, where that may be an accident.
const WARY: Duration = Duration::from_secs(15);
/// A wrong password does not become right by asking again: half a minute to a minute.
const SLOW: Duration = Duration::from_secs(30);

/// The waits between attempts.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    random: fastrand::Rng,
    ceiling: Duration,
}

impl Backoff {
    /// Two nodes should have different seeds.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), ceiling: FIRST }
    }

    /// The wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.ceiling.mul_f64(self.random.f64());
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        wait
    }

    /// The wait before another broker is tried: no failure of that one yet.
    pub(crate) fn brief(&mut self) -> Duration {
        FIRST.mul_f64(self.random.f64())
    }

    /// The wait after a failure that needs a person.
    pub(crate) fn slow(&mut self) -> Duration {
        SLOW + (SLOWEST - SLOW).mul_f64(self.random.f64())
    }

    /// The wait where another client with the same id may be at work, and the broker does not say so: neither is to wear the other
    /// out.
    pub(crate) fn wary(&mut self) -> Duration {
        WARY.mul_f64(0.3 + 0.7 * self.random.f64())
    }

    /// Connected: the next failure is the first.
    pub(crate) fn reset(&mut self) {
        self.ceiling = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_four_seconds_and_starts_again_after_a_connection() {
        let mut backoff = Backoff::new(1);
        for ceiling in [1, 2, 4, 4, 4] {
            assert!(backoff.next() < Duration::from_secs(ceiling));
        }
        backoff.reset();
        assert!(backoff.next() < FIRST);
    }

    #[test]
    fn the_jitter_is_full_and_differs_from_node_to_node() {
        let long = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..20).for_each(|_| _ = backoff.next());
            backoff.next()
        };
        let waits: Vec<Duration> = (0..1000).map(long).collect();
        let mean = waits.iter().sum::<Duration>() / 1000;
        assert!((Duration::from_millis(1800)..Duration::from_millis(2200)).contains(&mean), "{mean:?}");
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(200)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(3800)));
    }

    #[test]
    fn a_refused_login_is_tried_again_slowly() {
        let mut backoff = Backoff::new(2);
        for _ in 0..100 {
            let wait = backoff.slow();
            assert!((SLOW..=SLOWEST).contains(&wait), "{wait:?}");
        }
    }
}
