//! A set of positions, as ranges: what a reader is done with.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges that are told apart: far more than are on their way at a time.
const MOST: usize = 16_384;

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a range. Where more would have to be told apart than can be, the oldest hole is closed, and given: what is in it was
    /// waited for too long.
    pub(crate) fn add(&mut self, range: Range<u64>) -> Option<Range<u64>> {
        if range.is_empty() {
            return None;
        }
        let Range { mut start, mut end } = range;
        while let Some((&first, &last)) = self.0.range(..=end).next_back() {
            if last < start {
                break;
            }
            self.0.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.0.insert(start, end);
        if self.0.len() <= MOST {
            return None;
        }
        let (first, hole) = self.0.pop_first()?;
        let (next, end) = self.0.pop_first()?;
        self.0.insert(first, end);
        Some(hole..next)
    }

    /// Whether a position is in it.
    pub(crate) fn contains(&self, position: u64) -> bool {
        self.0.range(..=position).next_back().is_some_and(|(_, &end)| position < end)
    }

    /// What of a range is not in it.
    pub(crate) fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut open = Vec::new();
        let mut at =
            self.0.range(..=range.start).next_back().map_or(range.start, |(_, &end)| end.max(range.start));
        for (&start, &end) in self.0.range(range.start.saturating_add(1)..) {
            if at >= range.end || start >= range.end {
                break;
            }
            if at < start {
                open.push(at..start);
            }
            at = at.max(end);
        }
        if at < range.end {
            open.push(at..range.end);
        }
        open
    }

    /// The oldest ranges, at most so many.
    pub(crate) fn first(&self, most: usize) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().take(most).map(|(&start, &end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_added(
            added in prop::collection::vec((0_u64..100, 0_u64..10), 0..40),
            (from, length) in (0_u64..110, 0_u64..60),
        ) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (start, length) in added {
                ranges.add(start..start + length);
                set.extend(start..start + length);
            }
            for position in 0..120 {
                prop_assert_eq!(ranges.contains(position), set.contains(&position));
            }
            let missing: Vec<u64> = ranges.missing(from..from + length).into_iter().flatten().collect();
            let expected: Vec<u64> = (from..from + length).filter(|position| !set.contains(position)).collect();
            prop_assert_eq!(missing, expected);
            let runs: Vec<_> = ranges.first(usize::MAX).collect();
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start), "{runs:?}");
        }
    }
}
