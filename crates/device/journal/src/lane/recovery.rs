//! Recovery of one lane: its segments in order, damage behind and between entries, and the next sequence.

use std::io;

use disk::Disk;
use model::Lane;
use segment::{
    EntryKind, Extent, FIXED, GapRecord, Row, SEQUENCES_PER_SEGMENT, Segment, SegmentFile, SegmentHeader, SegmentKey,
    Step, first_of_name, lane_dir, seal_indexed, stated_epoch,
};
use wire::GapReason;

use super::LaneLog;
use crate::commit_record::{CommitRead, Head};
use crate::cursor_file::Position;
use crate::damage::{Damage, Recovery, span_damage};
use crate::error::JournalError;
use crate::mutants::{self, Mutant};
use crate::shared::Shared;

/// What cursors have to know of a recovered lane.
pub(crate) struct LaneFound {
    /// The first sequence that the files name, or should; the next one when there is no file.
    pub(crate) start: u64,
    /// Records before it, where it is one that a file should name.
    pub(crate) records_before: Option<u64>,
    /// What was committed and is gone.
    pub(crate) lost: Vec<Extent>,
    /// What gap records tell, of that which nothing told before, that no commit knows of.
    pub(crate) told: Vec<Extent>,
}

/// Gap records found in the entries of a lane, with their sequences.
type Gaps = Vec<(GapRecord, u64)>;

/// What one file holds.
struct Walk {
    segment: Segment,
    /// The next sequence after the last readable entry.
    expected: u64,
    /// Sequences that readable headers of unreadable payloads behind it name.
    named: u64,
    /// Whether there is something behind the last readable entry.
    dirty: bool,
    /// What cannot be read between its entries.
    gaps: Vec<Extent>,
    sealed: bool,
    good_header: bool,
    watermark_ns: u64,
}

struct Scan<'a, D: Disk> {
    shared: &'a mut Shared<D>,
    lane: Lane,
    /// What the commit record says is committed.
    head: Head,
    trusted: bool,
    payload: Vec<u8>,
    gaps: Gaps,
}

/// How far destinations have confirmed a lane at least, as their cursors say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// The one that is furthest.
    pub(crate) most: u64,
    /// The one that is least far; `None` when there is no cursor.
    pub(crate) least: Option<Position>,
}

pub(crate) fn recover_lane<D: Disk>(
    shared: &mut Shared<D>,
    lane: Lane,
    record: &CommitRead,
    reached: Reached,
    recovery: &mut Recovery,
) -> Result<(LaneLog<D::File>, LaneFound), JournalError> {
    let mut state = LaneLog::new(lane);
    let head = record.heads[usize::from(lane.number())];
    let mut names = match shared.disk().list(&lane_dir(lane)) {
        Ok(names) => {
            state.dir_made = true;
            // A process that was killed may have left names unsynced that are seen now.
            state.dir_dirty = true;
            names.iter().filter_map(|name| first_of_name(name)).collect::<Vec<u64>>()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(JournalError::io("list", lane_dir(lane))(error)),
    };
    names.sort_unstable();
    let mut scan = Scan { shared, lane, head, trusted: record.trusted, payload: Vec::new(), gaps: Vec::new() };
    scan.set_foreign_aside(&mut names, recovery)?;
    scan.drop_unused(&mut names)?;
    scan.drop_uncommitted(&mut names)?;

    let mut found = LaneFound {
        start: names.first().copied().unwrap_or(0),
        records_before: None,
        lost: Vec::new(),
        told: Vec::new(),
    };
    let mut next = head.next.max(1);
    let mut records = head.records;
    for (position, first) in names.iter().copied().enumerate() {
        let newest = position + 1 == names.len();
        let limit = names.get(position + 1).copied().unwrap_or(u64::MAX);
        let before = state.segments.back().copied();
        let file = SegmentFile::open_settled(scan.shared.disk(), state.key(scan.shared.epoch(), first))?;
        let walk = scan.walk(&file, before.as_ref(), limit, newest)?;
        if position == 0 && (walk.good_header || first == 1) {
            // Also where an eviction is finished: a destination without a cursor begins there.
            found.records_before = Some(walk.segment.records_before);
        }
        state.watermark_ns = state.watermark_ns.max(walk.watermark_ns).max(walk.segment.end_ns);
        for gap in &walk.gaps {
            recovery.corrupt.push(span_damage(lane, first, FIXED, gap));
        }
        found.lost.extend(&walk.gaps);
        if newest {
            (next, records) = scan.finish(&walk, recovery, &mut found.lost);
        }
        scan.keep(&mut state, &walk, file, newest && next == first)?;
    }
    let confirmed = reached.most;
    if next <= confirmed {
        // A destination has confirmed more than is held: those sequences were used.
        let span = Extent { first: next, last: confirmed, before: records, after: records };
        recovery.corrupt.push(span_damage(lane, found.start.max(1), FIXED, &span));
        found.lost.push(span);
        next = confirmed + 1;
    }
    if found.start == 0 {
        found.start = next;
    }
    let gaps = std::mem::take(&mut scan.gaps);
    finish_evictions(scan.shared, &mut state, &gaps, recovery)?;
    for (lost, sequence) in &gaps {
        state.gaps.report(&lost.extent(), *sequence);
        if !lost.exact {
            continue;
        }
        if *sequence >= head.next {
            for part in state.gaps.uncovered(lost.extent()) {
                if part.first < found.start {
                    // Its files are gone: a destination without a cursor lost it all the same.
                    (found.start, found.records_before) = (part.first, Some(part.before));
                }
                found.told.push(part);
            }
        }
        state.gaps.insert(lost.extent());
        found.lost = found.lost.iter().flat_map(|lost| state.gaps.uncovered(*lost)).collect();
    }
    let should_begin = record.starts.map(|starts| starts[usize::from(lane.number())]);
    if let Some(begin) = should_begin.filter(|begin| begin.next < found.start) {
        let after = state.segments.front().map_or(records, |segment| segment.records_before);
        let span =
            Extent { first: begin.next, last: found.start - 1, before: begin.records, after: after.max(begin.records) };
        begins_later(&state, span, reached, &mut found, recovery);
    }
    if mutants::is_on(Mutant::SequenceReused) && next > 1 {
        next -= 1;
    }
    state.next = next;
    state.records = records;
    state.latest_ns = state.watermark_ns;
    state.synced = Head { next, records };
    // The commit record does not know of what lies behind its heads yet: that becomes committed with the commit at the end of open.
    state.committed = if head.next < next { head } else { state.synced };
    Ok((state, found))
}

/// The files begin later than at the last commit. Cursors are durable before history goes, and gap records before what is evicted
/// does; what neither explains was there, and somebody removed it.
fn begins_later<F>(
    state: &LaneLog<F>,
    mut span: Extent,
    reached: Reached,
    found: &mut LaneFound,
    recovery: &mut Recovery,
) {
    // What everyone has is history.
    if let Some(least) = reached.least.filter(|least| least.confirmed >= span.first) {
        (span.first, span.before) = (least.confirmed + 1, least.records.clamp(span.before, span.after));
    }
    if span.first > span.last || mutants::is_on(Mutant::StartForgotten) {
        return;
    }
    let missing = state.gaps.uncovered(span);
    let Some(first) = missing.first() else { return };
    (found.start, found.records_before) = (first.first, Some(first.before));
    for span in &missing {
        recovery.missing.push(span_damage(state.lane, span.first, FIXED, span));
    }
    found.lost.extend(missing);
}

/// Removes segments whose gap record is durable, and that a crash kept.
fn finish_evictions<D: Disk>(
    shared: &mut Shared<D>,
    state: &mut LaneLog<D::File>,
    gaps: &Gaps,
    recovery: &mut Recovery,
) -> Result<(), JournalError> {
    let goes = |lost: &&GapRecord| lost.exact && matches!(lost.gap.reason, GapReason::Evicted | GapReason::Thinned);
    let evicted = gaps.iter().map(|(lost, _)| lost).filter(goes);
    for span in evicted.map(GapRecord::extent) {
        let mut position = 0;
        while position + 1 < state.segments.len() {
            let (first, end) = (state.segments[position].first, state.segments[position + 1].first - 1);
            if span.first <= first && end <= span.last {
                state.remove_segment(shared, position)?;
                recovery.evictions_finished += 1;
            } else {
                position += 1;
            }
        }
    }
    Ok(())
}

impl<D: Disk> Scan<'_, D> {
    fn key(&self, first: u64) -> SegmentKey {
        SegmentKey { epoch: self.shared.epoch(), row: Row::Lane(self.lane), first }
    }

    /// Segments of another epoch, with a right header, were copied here: renamed, so that nothing ever takes them for ours.
    fn set_foreign_aside(&self, names: &mut Vec<u64>, recovery: &mut Recovery) -> Result<(), JournalError> {
        let mut ours = Vec::with_capacity(names.len());
        for first in names.drain(..) {
            let path = self.key(first).path();
            let file = self.shared.disk().open(&path).map_err(JournalError::io("open", &path))?;
            let epoch = stated_epoch(self.shared.disk(), &file, Row::Lane(self.lane), first);
            if epoch.is_none_or(|epoch| epoch == self.shared.epoch()) {
                ours.push(first);
                continue;
            }
            let aside = format!("{path}.foreign");
            self.shared.disk().rename(&path, &aside).map_err(JournalError::io("rename", path))?;
            recovery.foreign.push(aside);
        }
        *names = ours;
        Ok(())
    }

    /// Removes newest segments that never got an entry and stand behind one that was not sealed: the crash came between
    /// making the one and sealing the other, and the tail that counts is the other's.
    fn drop_unused(&self, names: &mut Vec<u64>) -> Result<(), JournalError> {
        while let [.., before, newest] = names[..] {
            if !self.trusted || newest < self.head.next || !self.is_unused(newest)? || self.is_sealed(before)? {
                break;
            }
            let path = self.key(newest).path();
            self.shared.disk().remove(&path).map_err(JournalError::io("remove", path))?;
            names.pop();
        }
        Ok(())
    }

    /// Removes segments that begin behind the last commit, where such frames are to be cut.
    fn drop_uncommitted(&self, names: &mut Vec<u64>) -> Result<(), JournalError> {
        while let [.., _, newest] = names[..] {
            if !self.cuts(newest) {
                break;
            }
            let path = self.key(newest).path();
            self.shared.disk().remove(&path).map_err(JournalError::io("remove", path))?;
            names.pop();
        }
        Ok(())
    }

    /// Whether a sequence is to be cut: its frame was never committed, and what it holds is recorded elsewhere.
    fn cuts(&self, sequence: u64) -> bool {
        self.shared.cuts_uncommitted() && self.trusted && sequence >= self.head.next
    }

    fn is_unused(&self, first: u64) -> Result<bool, JournalError> {
        let file = SegmentFile::open_settled(self.shared.disk(), self.key(first))?;
        let len = file.size(self.shared.disk())?;
        Ok(matches!(file.next_entry(self.shared.disk(), FIXED, len), Step::End { .. }))
    }

    fn is_sealed(&self, first: u64) -> Result<bool, JournalError> {
        let key = self.key(first);
        let file = SegmentFile::open(self.shared.disk(), key).map_err(JournalError::io("open", key.path()))?;
        let len = file.size(self.shared.disk())?;
        Ok(file.footer(self.shared.disk(), len).is_some())
    }

    /// Reads what a file holds: of a sealed one only header and footer, unless it has gap records.
    fn walk(
        &mut self,
        file: &SegmentFile<D::File>,
        before: Option<&Segment>,
        limit: u64,
        newest: bool,
    ) -> Result<Walk, JournalError> {
        let (key, len) = (*file.key(), file.size(self.shared.disk())?);
        let header = file.header(self.shared.disk())?;
        let totals = header.unwrap_or_else(|| self.totals(file, before, len));
        let mut walk = Walk {
            segment: Segment::empty(key.first, totals.records_before, totals.bytes_before, len),
            expected: key.first,
            named: 0,
            dirty: false,
            gaps: Vec::new(),
            sealed: false,
            good_header: header.is_some(),
            watermark_ns: totals.watermark_ns,
        };
        match file.footer(self.shared.disk(), len) {
            Some(footer) if footer.last < limit && !self.cuts(footer.last) => {
                walk.segment.apply_footer(&footer);
                walk.expected = footer.last + 1;
                walk.sealed = true;
                if footer.has_gaps {
                    self.collect_gaps(file, &walk.segment);
                }
            }
            _ => self.walk_entries(file, &mut walk, limit, newest, len),
        }
        Ok(walk)
    }

    /// What a header that cannot be read said, from the first entry behind it, else from the segment before.
    fn totals(&self, file: &SegmentFile<D::File>, before: Option<&Segment>, len: u64) -> SegmentHeader {
        let key = file.key();
        let records_before = match (file.next_entry(self.shared.disk(), FIXED, len), before) {
            _ if key.first == 1 => 0,
            (Step::Entry { entry, .. }, before) if entry.first == key.first || before.is_none() => entry.records_before,
            (_, before) => before.map_or(0, |before| before.records_after),
        };
        let bytes_before = before.map_or(0, |before| before.bytes_at(before.data_end));
        SegmentHeader { records_before, bytes_before, watermark_ns: 0 }
    }

    fn collect_gaps(&mut self, file: &SegmentFile<D::File>, segment: &Segment) {
        let mut at = FIXED;
        while let Step::Entry { at: found, entry } = file.next_entry(self.shared.disk(), at, segment.data_end) {
            at = found + entry.total_len();
            if entry.kind == EntryKind::Gap && file.read_payload(self.shared.disk(), found, &entry, &mut self.payload) {
                self.gaps.extend(GapRecord::decode(self.lane, &self.payload).map(|lost| (lost, entry.first)));
            }
        }
    }

    fn walk_entries(&mut self, file: &SegmentFile<D::File>, walk: &mut Walk, limit: u64, newest: bool, len: u64) {
        let mut at = FIXED;
        loop {
            let (found, entry) = match file.next_entry(self.shared.disk(), at, len) {
                Step::Entry { at, entry } => (at, entry),
                Step::End { dirty } => {
                    walk.dirty |= dirty;
                    return;
                }
            };
            at = found + entry.total_len();
            if self.cuts(entry.first) {
                walk.dirty = true;
                return;
            }
            if entry.first >= limit {
                // Written again in the next segment, after a sync of this one failed.
                return;
            }
            if !file.read_payload(self.shared.disk(), found, &entry, &mut self.payload) {
                walk.named = walk.named.max(entry.last());
                walk.dirty = true;
                continue;
            }
            if entry.first < walk.expected {
                continue;
            }
            if entry.first > walk.expected {
                if newest && self.trusted && entry.first > self.head.next {
                    // Behind a tear in what was never committed: an unfinished write, whatever of it can be read.
                    walk.dirty = true;
                    return;
                }
                walk.gaps.push(Extent {
                    first: walk.expected,
                    last: entry.first - 1,
                    before: walk.segment.records_after,
                    after: entry.records_before,
                });
            }
            if entry.kind == EntryKind::Gap {
                self.gaps.extend(GapRecord::decode(self.lane, &self.payload).map(|lost| (lost, entry.first)));
            }
            walk.segment.absorb(&entry, at);
            walk.expected = entry.last() + 1;
            walk.dirty = false;
        }
    }

    /// Where the lane's sequences and record count go on, and what of its end is lost.
    fn finish(&self, walk: &Walk, recovery: &mut Recovery, lost: &mut Vec<Extent>) -> (u64, u64) {
        let (first, offset) = (walk.segment.first, walk.segment.data_end);
        let records = walk.segment.records_after;
        let torn = Damage {
            lane: self.lane,
            segment: first,
            offset,
            first: walk.expected,
            last: walk.expected - 1,
            records: 0,
        };
        let gone = if self.head.next > walk.expected {
            // Committed, so it was there.
            Some(Extent {
                first: walk.expected,
                last: self.head.next - 1,
                before: records,
                after: self.head.records.max(records),
            })
        } else if walk.dirty && !self.trusted {
            // Bytes that may have been committed, under sequences that are not known: none of them may be used again.
            let beyond = (walk.named + 1).max(first + SEQUENCES_PER_SEGMENT);
            Some(Extent { first: walk.expected, last: beyond - 1, before: records, after: records })
        } else {
            None
        };
        if let Some(span) = gone {
            recovery.corrupt.push(span_damage(self.lane, first, offset, &span));
            lost.push(span);
            return (span.last + 1, span.after);
        }
        if walk.dirty {
            recovery.torn.push(torn);
        }
        // A torn header with no segment before it does not tell how many there were; the commit record does.
        let counted = walk.expected == self.head.next && self.head.next > 1;
        (walk.expected, if counted { records.max(self.head.records) } else { records })
    }

    /// Takes a walked segment into the lane: sealed, or reopened when it is empty and fits. Where nothing in it can be read the
    /// file goes, after its gap record when something of it was committed.
    fn keep(
        &mut self,
        state: &mut LaneLog<D::File>,
        walk: &Walk,
        file: SegmentFile<D::File>,
        may_reopen: bool,
    ) -> Result<(), JournalError> {
        let mut segment = walk.segment;
        if segment.is_empty() && !walk.sealed {
            if may_reopen && walk.good_header && !walk.dirty && segment.disk_bytes > 4 * FIXED {
                let capacity = segment.disk_bytes;
                state.segments.push_back(segment);
                state.reopen_empty(file, capacity);
                return Ok(());
            }
            if may_reopen {
                // Nothing of it was committed, and its name is given out again.
                self.shared.disk().remove(&file.path()).map_err(JournalError::io("remove", file.path()))?;
                state.dir_dirty = true;
            } else {
                // Its name says that it was there until the gap record does.
                state.unreadable.push(file.key().first);
            }
            return Ok(());
        }
        let (disk, counts) = self.shared.io();
        if !walk.sealed
            && let Ok(len) = seal_indexed(disk, &file, &segment, counts)
        {
            segment.disk_bytes = len;
        }
        state.segments.push_back(segment);
        Ok(())
    }
}
