//! The gap records of one stream: what its device declared lost. Each costs a step in a tree, however many there are.

use std::collections::BTreeMap;

use crate::coverage::LostSpan;
use crate::intervals::IntervalSet;

/// Gap records by their place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gaps {
    /// First to last of those that name sequences; none lies in another, so that both rise.
    ranges: BTreeMap<u64, (u64, LostSpan)>,
    /// Those that name none (`first` above `last`), as thinning tells them.
    pointless: BTreeMap<(u64, u64), LostSpan>,
}

impl Gaps {
    /// Takes in a gap record; whether it tells something new. The same one twice is one, and a longer one tells again what
    /// the shorter ones in it told: a device whose gap record was itself lost joins it with the next.
    pub(crate) fn add(&mut self, first: u64, last: u64, span: LostSpan) -> bool {
        if last == 0 {
            // It never had a sequence: no other one can tell it again.
            return self.pointless.insert((first, last), span).is_none();
        }
        let before = self.ranges.range(..=first).next_back();
        if before.is_some_and(|(_, (end, _))| *end >= last) {
            return false;
        }
        if first > last {
            return self.pointless.insert((first, last), span).is_none();
        }
        let inside = self.ranges.range(first..).take_while(|(_, (end, _))| *end <= last).map(|(start, _)| *start);
        for start in inside.collect::<Vec<_>>() {
            self.ranges.remove(&start);
        }
        self.ranges.insert(first, (last, span));
        true
    }

    /// Those that are not overridden by frames that came after all.
    pub(crate) fn losses<'a>(&'a self, stored: Option<&'a IntervalSet>) -> impl Iterator<Item = &'a LostSpan> {
        let open = self
            .ranges
            .iter()
            .filter(move |(first, (last, _))| stored.is_none_or(|stored| stored.next_missing(**first) <= *last));
        open.map(|(_, (_, span))| span).chain(self.pointless.values())
    }
}

#[cfg(test)]
mod tests {
    use model::Lane;

    use super::*;

    fn span(records: u64) -> LostSpan {
        LostSpan { lane: Lane::Traces, signal: None, start_ns: 1, end_ns: 2, reason: "evicted".into(), records }
    }

    /// Scenario: 3,000 random gap records (seed 9), also repeated, longer, shorter and without sequences, beside the list that
    /// the store kept before. Guarantees: the same losses.
    #[test]
    fn h10_a_tree_tells_what_a_list_tells() {
        let mut seed = 9u64;
        let mut random = move |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % bound
        };
        for _ in 0..60 {
            let (mut gaps, mut list, mut stored) = (Gaps::default(), Vec::<(u64, u64)>::new(), IntervalSet::default());
            for _ in 0..50 {
                let first = 1 + random(100);
                let last = first + random(12);
                gaps.add(first, last, span(first * 1000 + last));
                if !list.iter().any(|(from, to)| *from <= first && last <= *to) {
                    list.retain(|(from, to)| *from < first || last < *to);
                    list.push((first, last));
                }
                stored.insert(1 + random(110));
            }
            let open = list.iter().filter(|(first, last)| stored.next_missing(*first) <= *last);
            let mut expected: Vec<u64> = open.map(|(first, last)| first * 1000 + last).collect();
            expected.sort_unstable();
            let mut found: Vec<u64> = gaps.losses(Some(&stored)).map(|span| span.records).collect();
            found.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}
