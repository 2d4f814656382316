//! Which readings of a sensor have come already: a backlog may bring again what came live, and a broker may bring anything
//! twice.
//!
//! ```text
//! boot 9f3c21ab: 1–4711, 4713–9000        what is missing in between may still come
//! ```
//!
//! Numbers are kept as ranges, so that a million readings without a hole cost one. Bounded: of too many ranges the two
//! lowest become one, which gives up the oldest hole; of too many boots the oldest is forgotten.

use std::collections::VecDeque;

use sedge_plugin::Boot;

/// Holes that are kept open, and one.
const MOST_RANGES: usize = 128;

/// Starts of the other node's process that are told apart.
const MOST_BOOTS: usize = 4;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Seen(VecDeque<(Boot, Ranges)>);

impl Seen {
    /// Whether a reading is new; from now on it is not.
    pub(super) fn is_new(&mut self, boot: Boot, seq: u64) -> bool {
        if let Some((_, ranges)) = self.0.iter_mut().find(|(known, _)| *known == boot) {
            return ranges.insert(seq);
        }
        if self.0.len() >= MOST_BOOTS {
            self.0.pop_front();
        }
        self.0.push_back((boot, Ranges(vec![(seq, seq)])));
        true
    }
}

/// Ranges of numbers, both ends included, in order and apart.
#[derive(Debug)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn insert(&mut self, seq: u64) -> bool {
        // The first range that begins behind it.
        let at = self.0.partition_point(|&(first, _)| first <= seq);
        if let Some((_, last)) = at.checked_sub(1).and_then(|before| self.0.get_mut(before)) {
            if *last >= seq {
                return false;
            }
            if *last + 1 == seq {
                *last = seq;
                self.join(at);
                return true;
            }
        }
        match self.0.get_mut(at) {
            Some((first, _)) if *first == seq.saturating_add(1) => *first = seq,
            _ => self.0.insert(at, (seq, seq)),
        }
        if self.0.len() > MOST_RANGES {
            let (lowest, _) = self.0.remove(0);
            self.0[0].0 = lowest;
        }
        true
    }

    /// Makes one of two ranges that have met.
    fn join(&mut self, at: usize) {
        let Some(&(first, last)) = self.0.get(at) else { return };
        if self.0[at - 1].1.checked_add(1) == Some(first) {
            self.0[at - 1].1 = last;
            self.0.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_million_readings_in_a_row_cost_one_range() {
        let mut seen = Seen::default();
        assert!((1..=1_000_000).all(|seq| seen.is_new(Boot(1), seq)));
        assert_eq!(seen.0[0].1.0, [(1, 1_000_000)]);
        assert!(!seen.is_new(Boot(1), 500_000));
        assert!(seen.is_new(Boot(2), 500_000), "another start counts anew");
    }

    #[test]
    fn what_is_kept_is_bounded_and_gives_up_the_oldest_hole() {
        let mut seen = Seen::default();
        for boot in 0..20 {
            (0..1000).for_each(|n| _ = seen.is_new(Boot(boot), 2 * n));
        }
        assert_eq!(seen.0.len(), MOST_BOOTS);
        assert!(seen.0.iter().all(|(_, ranges)| ranges.0.len() == MOST_RANGES));
        assert!(seen.is_new(Boot(19), 1997), "a hole of late is open");
        assert!(!seen.is_new(Boot(19), 1), "the oldest is not");
        assert!(seen.is_new(Boot(19), u64::MAX) && !seen.is_new(Boot(19), u64::MAX));
    }

    proptest! {
        #[test]
        fn each_number_is_new_once_in_any_order(seqs in prop::collection::vec(0_u64..120, 0..400)) {
            let (mut seen, mut model) = (Seen::default(), BTreeSet::new());
            for seq in seqs {
                prop_assert_eq!(seen.is_new(Boot(1), seq), model.insert(seq));
            }
            let ranges = &seen.0.front().map(|(_, ranges)| ranges.0.clone()).unwrap_or_default();
            prop_assert!(ranges.is_sorted_by(|a, b| a.1 + 1 < b.0), "apart and in order: {:?}", ranges);
        }
    }
}
