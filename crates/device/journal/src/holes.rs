//! Stretches of a lane that can never be read again.

use segment::Extent;

/// So many holes are kept although every destination is past them.
const KEEP: usize = 64;

/// Known holes in order, without overlaps; neighbours are merged.
#[derive(Debug, Default)]
pub(crate) struct Holes(Vec<Extent>, Vec<Told>);

/// A hole as it was declared, and a sequence that its gap record does not stand before.
#[derive(Debug)]
struct Told {
    first: u64,
    last: u64,
    from: u64,
}

impl Holes {
    /// Whether every sequence of the stretch is in a known hole.
    pub(crate) fn cover(&self, first: u64, last: u64) -> bool {
        self.0.iter().any(|hole| hole.first <= first && last <= hole.last)
    }

    /// The parts of a stretch that are in no known hole.
    pub(crate) fn uncovered(&self, span: Extent) -> Vec<Extent> {
        let mut parts = Vec::new();
        let mut rest = span;
        for hole in self.0.iter().filter(|hole| hole.last >= span.first && hole.first <= span.last) {
            if hole.first > rest.first {
                parts.push(Extent { last: hole.first - 1, after: hole.before.clamp(rest.before, rest.after), ..rest });
            }
            rest.first = hole.last.saturating_add(1);
            rest.before = hole.after.clamp(rest.before, rest.after);
        }
        if rest.first <= rest.last {
            parts.push(rest);
        }
        parts
    }

    /// Adds a stretch, merging it with what it overlaps or touches.
    pub(crate) fn insert(&mut self, span: Extent) {
        let mut merged = span;
        self.0.retain(|hole| {
            let apart = hole.last.saturating_add(1) < merged.first || merged.last.saturating_add(1) < hole.first;
            if !apart {
                if hole.first < merged.first {
                    (merged.first, merged.before) = (hole.first, hole.before);
                }
                if hole.last > merged.last {
                    (merged.last, merged.after) = (hole.last, hole.after);
                }
            }
            apart
        });
        let at = self.0.partition_point(|hole| hole.first < merged.first);
        self.0.insert(at, merged);
    }

    /// Notes that the gap record of a hole stands at `from` or behind it.
    pub(crate) fn tell(&mut self, span: &Extent, from: u64) {
        // What is told again stands at its new place only.
        self.1.retain(|told| told.first < span.first || span.last < told.last);
        if self.1.len() > KEEP {
            // The two oldest become one, told where the later one is: forgotten, a hub that has not got its gap record yet would
            // be taken for one that was restored.
            let oldest = self.1.remove(0);
            if let Some(next) = self.1.first_mut() {
                next.first = next.first.min(oldest.first);
                next.last = next.last.max(oldest.last);
                next.from = next.from.max(oldest.from);
            }
        }
        self.1.push(Told { first: span.first, last: span.last, from });
    }

    /// Whether a sequence is in a hole whose gap record a destination that has confirmed so much cannot have.
    pub(crate) fn is_untold(&self, sequence: u64, confirmed: u64) -> bool {
        self.1.iter().any(|told| told.first <= sequence && sequence <= told.last && told.from > confirmed)
    }

    /// Records in holes, as far as they lie between two record counts of the lane.
    pub(crate) fn records_between(&self, before: u64, after: u64) -> u64 {
        self.0.iter().map(|hole| hole.after.min(after).saturating_sub(hole.before.max(before))).sum()
    }

    /// Forgets holes that end before a sequence, when there are many: a hub that has not got their gap records yet asks for
    /// them.
    pub(crate) fn forget_below(&mut self, sequence: u64) {
        if self.0.len() > KEEP {
            self.0.retain(|hole| hole.last >= sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Extent {
        Extent { first, last, before: first * 10, after: (last + 1) * 10 }
    }

    /// Scenario: holes that are apart, touch and overlap. Guarantees: what is uncovered is told once, with its records.
    #[test]
    fn holes_merge_and_tell_what_is_new() {
        let mut holes = Holes::default();
        holes.insert(span(5, 6));
        holes.insert(span(10, 12));
        assert!(holes.cover(11, 12) && !holes.cover(6, 7));
        assert_eq!(holes.uncovered(span(4, 13)), [span(4, 4), span(7, 9), span(13, 13)]);
        assert_eq!(holes.uncovered(span(5, 6)), []);
        assert_eq!(holes.records_between(0, 1000), 50);
        assert_eq!(holes.records_between(60, 110), 20);
        holes.insert(span(7, 9));
        assert!(holes.cover(5, 12));
        assert_eq!(holes.0.len(), 1);
        for number in 0..KEEP as u64 {
            holes.insert(span(20 + 2 * number, 20 + 2 * number));
        }
        holes.forget_below(13);
        assert!(!holes.cover(5, 12) && holes.cover(20, 20));
    }
}
