//! Sets of sequences as intervals: what is claimed, what is known as a gap.

use std::collections::BTreeMap;

/// A set of numbers kept as disjoint, non-adjacent, inclusive intervals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IntervalSet {
    /// First of an interval to its last.
    runs: BTreeMap<u64, u64>,
}

impl IntervalSet {
    /// Whether `number` is in the set.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.runs.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// Adds one number.
    pub(crate) fn insert(&mut self, number: u64) {
        self.insert_range(number, number);
    }

    /// Adds `first..=last`; nothing when it is empty.
    pub(crate) fn insert_range(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        // Everything that overlaps or touches is swallowed.
        while let Some((&from, &to)) = self.runs.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            first = first.min(from);
            last = last.max(to);
            self.runs.remove(&from);
        }
        self.runs.insert(first, last);
    }

    /// The smallest number not below `from` that is not in the set.
    pub(crate) fn next_missing(&self, from: u64) -> u64 {
        match self.runs.range(..=from).next_back() {
            Some((_, last)) if *last >= from => last.saturating_add(1),
            _ => from,
        }
    }

    /// The intervals, in order, both ends inclusive.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(first, last)| (*first, *last))
    }

    /// How many intervals there are.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The largest number in the set.
    pub(crate) fn last(&self) -> Option<u64> {
        self.runs.values().next_back().copied()
    }

    /// How many numbers are in the set.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.runs.iter().map(|(first, last)| (last - first).saturating_add(1)).fold(0, u64::saturating_add)
    }
}

impl FromIterator<(u64, u64)> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(runs: I) -> Self {
        let mut set = Self::default();
        for (first, last) in runs {
            set.insert_range(first, last);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Scenario: 20,000 random ranges against a plain set of numbers, seed 7. Guarantees: membership, the next hole and
    /// the count are exact, so a claim is neither lost nor invented (P8).
    #[test]
    fn agrees_with_a_plain_set() {
        let mut seed = 7u64;
        let mut random = move |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % bound
        };
        for _ in 0..200 {
            let (mut set, mut plain) = (IntervalSet::default(), BTreeSet::new());
            for _ in 0..100 {
                let first = random(300);
                let last = first + random(6);
                set.insert_range(first, last);
                plain.extend(first..=last);
                let probe = random(310);
                assert_eq!(set.contains(probe), plain.contains(&probe), "probe {probe}");
                let hole = (probe..).find(|number| !plain.contains(number)).unwrap();
                assert_eq!(set.next_missing(probe), hole);
            }
            assert_eq!(set.count(), plain.len() as u64);
            assert_eq!(set.last(), plain.last().copied());
            let rebuilt: IntervalSet = set.iter().collect();
            assert_eq!(rebuilt, set);
            let runs: Vec<_> = set.iter().collect();
            assert!(runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "runs touch: {runs:?}");
        }
    }

    /// Scenario: the largest possible sequence. Guarantees: no overflow.
    #[test]
    fn holds_the_largest_number() {
        let mut set = IntervalSet::default();
        set.insert(u64::MAX);
        set.insert_range(u64::MAX - 3, u64::MAX - 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(u64::MAX - 3, u64::MAX)]);
        assert_eq!(set.next_missing(u64::MAX), u64::MAX);
    }
}
