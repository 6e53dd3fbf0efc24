//! Lanes that say so before they are full: while what a lane still has to deliver is above its high watermark, requests with
//! records for it are refused whole, until it is below the low one.

use model::Lane;
use segment::MIN_SEGMENT;

const LANES: usize = Lane::ALL.len();

/// Between which bytes of backlog a lane begins and ends to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Above it requests are refused.
    pub high: u64,
    /// Below it they are taken again.
    pub low: u64,
}

impl Watermarks {
    /// Hundredths of the bytes that a lane may take. At least a segment stays free above the high one: where less is free, none
    /// may be to be had any more.
    pub fn of(bytes: u64, high: u8, low: u8) -> Self {
        let most = bytes.saturating_sub(MIN_SEGMENT);
        let wanted = bytes.saturating_mul(high.into()) / 100;
        let high_bytes = wanted.min(most);
        // Where the high one had to come down, the low one does so in proportion.
        Self { high: high_bytes, low: high_bytes.saturating_mul(low.into()) / u64::from(high.max(1)) }
    }
}

/// How a lane with watermarks stands.
#[derive(Debug, Clone, Copy)]
pub struct LaneStanding {
    /// The lane.
    pub lane: Lane,
    /// Its watermarks.
    pub marks: Watermarks,
    /// Bytes on disk that some destination has not confirmed.
    pub backlog: u64,
    /// Whether requests with records for it are refused.
    pub raised: bool,
}

/// The lanes' watermarks, and how they stand.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    marks: [Option<Watermarks>; LANES],
    backlog: [u64; LANES],
    raised: [bool; LANES],
}

impl Pressure {
    pub(crate) fn new(marks: [Option<Watermarks>; LANES]) -> Self {
        Self { marks, ..Self::default() }
    }

    /// Takes what each lane has on disk now, by its number; gives the lanes that begin or end to refuse by that.
    pub(crate) fn set_backlog(&mut self, backlog: [u64; LANES]) -> Vec<LaneStanding> {
        self.backlog = backlog;
        let before = self.raised;
        for (index, marks) in self.marks.iter().enumerate() {
            let Some(marks) = marks else { continue };
            // Between the two it stays as it is.
            self.raised[index] = backlog[index] > marks.high || self.raised[index] && backlog[index] >= marks.low;
        }
        self.lane_standings().filter(|one| one.raised != before[usize::from(one.lane.number())]).collect()
    }

    /// Every lane that has watermarks.
    pub(crate) fn lane_standings(&self) -> impl Iterator<Item = LaneStanding> {
        Lane::ALL.into_iter().filter_map(|lane| {
            let index = usize::from(lane.number());
            let (backlog, raised) = (self.backlog[index], self.raised[index]);
            Some(LaneStanding { lane, marks: self.marks[index]?, backlog, raised })
        })
    }

    /// Whether any lane refuses.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.contains(&true)
    }

    /// The first of the wanted lanes (by number) that refuses.
    pub(crate) fn refuses(&self, wanted: [bool; LANES]) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| {
            let index = usize::from(lane.number());
            wanted[index] && self.raised[index]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    fn logs(bytes: u64) -> [u64; LANES] {
        let mut backlog = [0; LANES];
        backlog[usize::from(Lane::Logs.number())] = bytes;
        backlog
    }

    /// Scenario: a lane's backlog grows over its high watermark, moves between the two, falls below the low one, and grows again.
    /// Guarantees: it begins above the high one and ends below the low one, each told once; in between it stays as it is (P11).
    #[test]
    fn a_lane_that_refuses_does_so_until_it_is_low() {
        let mut marks = [None; LANES];
        marks[usize::from(Lane::Logs.number())] = Some(Watermarks { high: 90, low: 70 });
        let mut pressure = Pressure::new(marks);
        let steps = [
            (90, None),
            (91, Some(true)),
            (95, None),
            (89, None),
            (70, None),
            (69, Some(false)),
            (75, None),
            (90, None),
            (100, Some(true)),
            (0, Some(false)),
        ];
        for (bytes, expected) in steps {
            let changed = pressure.set_backlog(logs(bytes));
            assert_eq!(changed.iter().map(|one| (one.lane, one.raised)).next(), expected.map(|on| (Lane::Logs, on)));
        }
        // A lane without watermarks never says anything.
        assert!(pressure.set_backlog([u64::MAX; LANES]).iter().all(|one| one.lane == Lane::Logs));
    }

    /// Scenario: watermarks of a large budget, and of the smallest one. Guarantees: they are the share that was asked for, but a
    /// segment stays free, so that the lane refuses before it is full.
    #[test]
    fn a_segment_stays_free_above_the_high_watermark() {
        let of = |bytes, high, low| Watermarks::of(bytes, high, low);
        assert_eq!(of(1000 * KIB, 90, 70), Watermarks { high: 900 * KIB, low: 700 * KIB });
        let least = of(128 * KIB, 95, 90);
        assert_eq!(least.high, 96 * KIB);
        assert!(least.low < least.high && least.low > 88 * KIB, "{least:?}");
    }
}
