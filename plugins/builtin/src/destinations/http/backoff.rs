//! How long to wait before a batch is sent again: longer each time, and never the same on two nodes.
//!
//! Drawn evenly between half the ceiling and all of it; the ceiling doubles. The random source is a seed of the caller's,
//! so that a test knows what it draws.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);

/// The waits between attempts.
pub(super) struct Backoff {
    random: fastrand::Rng,
    ceiling: Duration,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), ceiling: FIRST }
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.ceiling.mul_f64(0.5 + self.random.f64() / 2.0);
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        wait
    }

    /// The next failure is the first.
    pub(super) fn reset(&mut self) {
        self.ceiling = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_up_to_half_a_minute_and_differ_from_node_to_node() {
        let (mut one, mut other) = (Backoff::new(1), Backoff::new(2));
        for ceiling in [2, 4, 8, 16, 30, 30] {
            let (wait, ceiling) = (one.next(), Duration::from_secs(ceiling));
            assert!((ceiling / 2..=ceiling).contains(&wait), "{wait:?}");
            assert_ne!(wait, other.next());
        }
        one.reset();
        assert!(one.next() <= FIRST);
    }
}
