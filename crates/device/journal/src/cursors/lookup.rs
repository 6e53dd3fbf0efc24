//! Where in a lane a destination goes on: what stands there is looked up on disk.

use std::io;

use disk::Disk;
use model::Signals;
use segment::{Entry, Extent, FIXED, Step};
use wire::GapReason;

use super::Cursors;
use super::window::{Known, State, Window};
use crate::error::JournalError;
use crate::log::Log;

/// What stands at the tail of a window.
enum Found {
    Block(Known, Option<Signals>),
    Gap {
        records_after: u64,
        last: u64,
    },
    Nothing,
    /// The segment's file cannot be opened, for a reason that has nothing to do with its bytes.
    Unreachable(JournalError),
}

impl<F> Cursors<F> {
    /// Looks up what stands at the tail of a window. `false` when there is nothing committed there.
    pub(super) fn load_next<D: Disk<File = F>>(
        &mut self,
        log: &mut Log<D>,
        destination: usize,
        index: usize,
    ) -> Result<bool, JournalError> {
        match find_next(&mut self.destinations[destination].windows[index], log, index) {
            Found::Nothing => Ok(false),
            Found::Unreachable(error) => Err(error),
            Found::Block(mut known, signals) => {
                let state = &mut self.destinations[destination];
                if known.state == State::Waiting && state.passes(index, signals) {
                    known.state = State::Passed;
                }
                state.windows[index].load(known);
                state.settle(index);
                Ok(true)
            }
            Found::Gap { records_after, last } => {
                let window = &self.destinations[destination].windows[index];
                let before = window.tail_records();
                let extent = Extent { first: window.tail(), last, before, after: records_after.max(before) };
                let news = log.lanes.lane(index).gaps().uncovered(extent);
                if !news.is_empty() {
                    log.prove_disk()?;
                }
                for part in news {
                    // What another destination has was rightly removed, when this one was not configured.
                    let dropped = self.destinations.iter().any(|other| other.windows[index].confirmed() >= part.last);
                    if !dropped {
                        log.lanes.count_corrupt();
                    }
                    let reason = if dropped { GapReason::Dropped } else { GapReason::Corrupt };
                    self.declare(log, index, part, reason, 0);
                }
                // Whatever of the stretch was declared earlier.
                self.pass_over(destination, index, &extent);
                Ok(true)
            }
        }
    }
}

fn find_next<D: Disk>(window: &mut Window, log: &mut Log<D>, index: usize) -> Found {
    let committed = log.lanes.lane(index).committed();
    loop {
        if window.tail() >= committed.next {
            return Found::Nothing;
        }
        let lane = log.lanes.lane(index);
        let segments = lane.segments();
        let looked_up = window.lookup().and_then(|(first, at)| {
            let position = segments.partition_point(|segment| segment.first < first);
            segments.get(position).filter(|segment| segment.first == first).map(|_| (position, at))
        });
        let Some((position, at)) =
            looked_up.or_else(|| lane.segment_at(window.tail()).map(|position| (position, FIXED)))
        else {
            // What is committed was there.
            return Found::Gap { records_after: committed.records, last: committed.next - 1 };
        };
        let segment = segments[position];
        if segment.first > window.tail() {
            window.look_at(segment.first, FIXED);
            return Found::Gap { records_after: segment.records_before, last: segment.first - 1 };
        }
        let next = segments.get(position + 1).copied();
        let step = match log.lanes.next_entry(index, &segment, at) {
            Ok(step) => step,
            Err(error) if is_damage(&error) => Step::End { dirty: true },
            Err(error) => {
                let dir = segment::lane_dir(log.lanes.lane(index).lane());
                return Found::Unreachable(JournalError::io("open a segment of", dir)(error));
            }
        };
        match step {
            Step::Entry { entry, .. } if next.is_some_and(|next| entry.first >= next.first) => {}
            Step::Entry { at, entry } if entry.last() < window.tail() => {
                window.look_at(segment.first, at + entry.total_len());
                continue;
            }
            Step::Entry { entry, .. } if entry.first >= committed.next => return Found::Nothing,
            Step::Entry { at, entry } if entry.first > window.tail() => {
                window.look_at(segment.first, at);
                return Found::Gap { records_after: entry.records_before, last: entry.first - 1 };
            }
            Step::Entry { at, entry } => {
                window.look_at(segment.first, at + entry.total_len());
                let is_lost = log.lanes.lane(index).gaps().cover(entry.first, entry.last());
                return Found::Block(known(&entry, segment.first, at, is_lost), entry.signals);
            }
            Step::End { .. } => {}
        }
        // Behind the last entry of the segment.
        match next {
            Some(next) => {
                window.look_at(next.first, FIXED);
                if next.first > window.tail() {
                    return Found::Gap { records_after: next.records_before, last: next.first - 1 };
                }
            }
            None => return Found::Gap { records_after: committed.records, last: committed.next - 1 },
        }
    }
}

/// A window at a cursor, at the border of a block. `records` is what the cursor file says of the records before.
pub(super) fn window_at<D: Disk>(log: &mut Log<D>, index: usize, confirmed: u64, records: Option<u64>) -> Window {
    let lane = log.lanes.lane(index);
    let Some(position) = lane.segment_at(confirmed + 1) else {
        let all = confirmed + 1 >= lane.next();
        return Window::new(confirmed, if all { lane.records() } else { records.unwrap_or(lane.records()) });
    };
    let segment = lane.segments()[position];
    if segment.first > confirmed {
        // At its border, or before a gap: then it is to be found out how much is missing.
        let border = segment.first == confirmed + 1;
        let before = segment.records_before;
        return Window::new(confirmed, if border { before } else { records.unwrap_or(before).min(before) });
    }
    let (mut at, mut before) = (FIXED, segment.records_before);
    while let Ok(Step::Entry { at: found, entry }) = log.lanes.next_entry(index, &segment, at) {
        if entry.last() > confirmed {
            let inside = entry.first <= confirmed;
            let confirmed = if inside { entry.first - 1 } else { confirmed };
            let before = if entry.first == confirmed + 1 { entry.records_before } else { before };
            return Window::new_at(confirmed, before, segment.first, at);
        }
        before = entry.records_after();
        at = found + entry.total_len();
    }
    Window::new(confirmed, before)
}

/// Whether an error tells of lost bytes, rather than of a process that is short of something.
fn is_damage(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(EIO)
}

fn known(entry: &Entry, segment: u64, at: u64, is_lost: bool) -> Known {
    Known {
        first: entry.first,
        last: entry.last(),
        confirmed: entry.first - 1,
        records: u64::from(entry.records),
        segment,
        at,
        start_ns: entry.start_ns,
        state: if is_lost { State::Lost } else { State::Waiting },
    }
}
