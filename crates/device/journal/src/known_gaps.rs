//! Stretches of a lane that can never be read again.

use segment::Extent;

/// So many gaps are kept although every destination is past them.
const KEEP: usize = 64;

/// Known gaps of a lane, in order, without overlaps; neighbours are merged.
#[derive(Debug, Default)]
pub(crate) struct KnownGaps {
    /// What is lost, merged.
    extents: Vec<Extent>,
    /// Where the gap records stand that say so.
    reported: Vec<Reported>,
}

/// A gap as it was declared, and a sequence that its gap record does not stand before.
#[derive(Debug)]
struct Reported {
    first: u64,
    last: u64,
    from: u64,
}

impl KnownGaps {
    /// Whether every sequence of the stretch is in a known gap.
    pub(crate) fn cover(&self, first: u64, last: u64) -> bool {
        self.extents.iter().any(|gap| gap.first <= first && last <= gap.last)
    }

    /// The parts of a stretch that are in no known gap.
    pub(crate) fn uncovered(&self, span: Extent) -> Vec<Extent> {
        let mut parts = Vec::new();
        let mut left = span;
        for gap in self.extents.iter().filter(|gap| gap.last >= span.first && gap.first <= span.last) {
            if gap.first > left.first {
                parts.push(Extent { last: gap.first - 1, after: gap.before.clamp(left.before, left.after), ..left });
            }
            left.first = gap.last.saturating_add(1);
            left.before = gap.after.clamp(left.before, left.after);
        }
        if left.first <= left.last {
            parts.push(left);
        }
        parts
    }

    /// Adds a stretch, merging it with what it overlaps or touches.
    pub(crate) fn insert(&mut self, span: Extent) {
        let mut merged = span;
        self.extents.retain(|gap| {
            let apart = gap.last.saturating_add(1) < merged.first || merged.last.saturating_add(1) < gap.first;
            if !apart {
                if gap.first < merged.first {
                    (merged.first, merged.before) = (gap.first, gap.before);
                }
                if gap.last > merged.last {
                    (merged.last, merged.after) = (gap.last, gap.after);
                }
            }
            apart
        });
        let at = self.extents.partition_point(|gap| gap.first < merged.first);
        self.extents.insert(at, merged);
    }

    /// Notes that the gap record of a gap stands at `from` or behind it.
    pub(crate) fn report(&mut self, span: &Extent, from: u64) {
        // What is reported again stands at its new place only.
        self.reported.retain(|one| one.first < span.first || span.last < one.last);
        if self.reported.len() > KEEP {
            // The two oldest become one, reported where the later one is: forgotten, a hub that has not got its gap record yet would
            // be taken for one that was restored.
            let oldest = self.reported.remove(0);
            if let Some(next) = self.reported.first_mut() {
                next.first = next.first.min(oldest.first);
                next.last = next.last.max(oldest.last);
                next.from = next.from.max(oldest.from);
            }
        }
        self.reported.push(Reported { first: span.first, last: span.last, from });
    }

    /// Whether a sequence is in a gap whose gap record a destination that has confirmed so much cannot have.
    pub(crate) fn is_unreported(&self, sequence: u64, confirmed: u64) -> bool {
        self.reported.iter().any(|one| one.first <= sequence && sequence <= one.last && one.from > confirmed)
    }

    /// Records in gaps, as far as they lie between two record counts of the lane.
    pub(crate) fn records_between(&self, before: u64, after: u64) -> u64 {
        self.extents.iter().map(|gap| gap.after.min(after).saturating_sub(gap.before.max(before))).sum()
    }

    /// Forgets gaps that end before a sequence, when there are many: a hub that has not got their gap records yet asks for
    /// them.
    pub(crate) fn forget_below(&mut self, sequence: u64) {
        if self.extents.len() > KEEP {
            self.extents.retain(|gap| gap.last >= sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Extent {
        Extent { first, last, before: first * 10, after: (last + 1) * 10 }
    }

    /// Scenario: gaps that are apart, touch and overlap. Guarantees: what is uncovered is told once, with its records.
    #[test]
    fn gaps_merge_and_report_what_is_new() {
        let mut gaps = KnownGaps::default();
        gaps.insert(span(5, 6));
        gaps.insert(span(10, 12));
        assert!(gaps.cover(11, 12) && !gaps.cover(6, 7));
        assert_eq!(gaps.uncovered(span(4, 13)), [span(4, 4), span(7, 9), span(13, 13)]);
        assert_eq!(gaps.uncovered(span(5, 6)), []);
        assert_eq!(gaps.records_between(0, 1000), 50);
        assert_eq!(gaps.records_between(60, 110), 20);
        gaps.insert(span(7, 9));
        assert!(gaps.cover(5, 12));
        assert_eq!(gaps.extents.len(), 1);
        for number in 0..KEEP as u64 {
            gaps.insert(span(20 + 2 * number, 20 + 2 * number));
        }
        gaps.forget_below(13);
        assert!(!gaps.cover(5, 12) && gaps.cover(20, 20));
    }
}
