//! What has to be reported of what is lost: gap records that are not in their lane yet.

use model::Lane;
use segment::{Extent, GapRecord, earliest};
use wire::Gap;

/// Gap records that wait for room; beyond it neighbours of a lane are joined.
const DUE_CAP: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct GapLog {
    due: Vec<GapRecord>,
    /// Stretches of lanes that are replaced by what the next commit makes durable: their files go after it.
    replaced: Vec<(usize, Extent)>,
}

impl GapLog {
    /// Makes a gap record due. `exact` where nobody can have the stretch any more.
    pub(crate) fn report(&mut self, gap: Gap, extent: &Extent, exact: bool) {
        let alike = |due: &&mut GapRecord| due.gap.lane == gap.lane && due.gap.reason == gap.reason;
        if self.due.len() >= DUE_CAP
            && let Some(due) = self.due.iter_mut().find(alike)
        {
            // Says more than was lost; frames that are stored override a gap at the hub.
            join(&mut due.gap, &gap);
            due.exact = false;
            return;
        }
        self.due.push(GapRecord { gap, before: extent.before, after: extent.after, exact });
    }

    /// Makes a gap record due that is joined with no other.
    pub(crate) fn push(&mut self, record: GapRecord) {
        self.due.push(record);
    }

    /// What is due, in the order in which it came.
    pub(crate) fn due(&self) -> &[GapRecord] {
        &self.due
    }

    /// A gap record stands in its lane.
    pub(crate) fn written(&mut self, record: &GapRecord) {
        self.due.retain(|other| other != record);
    }

    /// Of which lanes, by their numbers, nothing is due.
    pub(crate) fn told(&self) -> [bool; Lane::ALL.len()] {
        Lane::ALL.map(|lane| self.due.iter().all(|due| due.gap.lane != lane))
    }

    /// What is due of a stretch goes with a record that spans it.
    pub(crate) fn goes_with(&self, gap: &Gap) -> impl Iterator<Item = &GapRecord> {
        self.due.iter().filter(move |due| is_within(due, gap))
    }

    /// A record that spans a stretch stands in its lane.
    pub(crate) fn written_with(&mut self, gap: &Gap) {
        self.due.retain(|due| !is_within(due, gap));
    }

    /// A stretch is replaced: its files go when nothing is due any more.
    pub(crate) fn replace(&mut self, lane: usize, extent: Extent) {
        self.replaced.push((lane, extent));
    }

    /// A stretch that is replaced and whose files may go; `None` while something is due.
    pub(crate) fn next_replaced(&self) -> Option<(usize, Extent)> {
        self.replaced.last().copied().filter(|_| self.due.is_empty())
    }

    /// The files of the stretch that [`GapLog::next_replaced`] gave are gone.
    pub(crate) fn removed(&mut self) {
        self.replaced.pop();
    }
}

fn is_within(due: &GapRecord, gap: &Gap) -> bool {
    due.exact && due.gap.lane == gap.lane && gap.first <= due.gap.first && due.gap.last <= gap.last
}

/// Widens a gap so that it spans another one of its lane.
pub(crate) fn join(gap: &mut Gap, other: &Gap) {
    gap.first = gap.first.min(other.first);
    gap.last = gap.last.max(other.last);
    gap.records += other.records;
    gap.start_ns = earliest(gap.start_ns, other.start_ns);
    gap.end_ns = gap.end_ns.max(other.end_ns);
}
