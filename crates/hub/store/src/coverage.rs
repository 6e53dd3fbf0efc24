//! What is known, per device, lane and time, of what the hub has: complete, arriving, held on the device, lost, unknown.
//!
//! Two layers. The first is a frontier per lane: a hello says "everything up to this time is below that sequence"; once
//! the hub has all sequences below it, everything up to that time is complete. The second marks the spans of time whose
//! data came after an outage. Times are the device's wall clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Lane, Signal};

use crate::proto::{Counters, SpanOfTime};

/// Most checkpoints that wait for their sequences, per lane; further ones replace the newest.
const MAX_CHECKPOINTS: usize = 64;
/// Most spans of late or unknown time kept per lane; the oldest go first.
const MAX_SPANS: usize = 4096;
/// Heartbeat interval assumed until one is learned.
const FIRST_HEARTBEAT_NS: u64 = 5_000_000_000;
/// Contact counts as lost after this many heartbeats, but not before [`MIN_SILENCE_NS`].
const HEARTBEATS_TO_LOSS: u64 = 3;
const MIN_SILENCE_NS: u64 = 2_000_000_000;
/// How far the frontier of a device in contact may be behind before that counts as incomplete, where the device does not
/// say how long its records take to settle: the shipped waits for decisions, a commit, heartbeats, and room.
const LIVE_EDGE_NS: u64 = 60_000_000_000;
/// A device cannot make the live edge longer than this.
const MAX_LIVE_EDGE_NS: u64 = 3_600_000_000_000;
/// A clock that is further ahead of the hub's is not trusted to say what is complete.
const MAX_AHEAD_NS: i64 = 60_000_000_000;

/// The hub's knowledge about a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing is known.
    Unknown,
    /// The agent had ended in good order: it collected nothing.
    Stopped,
    /// Everything is stored.
    Complete,
    /// The device is in contact and sends.
    Arriving,
    /// The device is out of contact and holds it, as far as anybody knows.
    HeldOnDevice,
    /// It is gone.
    Lost,
}

impl State {
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Stopped => "stopped",
            State::Complete => "complete",
            State::Arriving => "arriving",
            State::HeldOnDevice => "held_on_device",
            State::Lost => "lost",
        }
    }
}

/// A stretch of time `[from, to)` with one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// First nanosecond.
    pub from: u64,
    /// First nanosecond after it.
    pub to: u64,
    /// What is known.
    pub state: State,
    /// Whether the data came after an outage.
    pub late: bool,
    /// Why, where it is lost or unknown.
    pub reason: Option<String>,
    /// How many records were lost.
    pub records: Option<u64>,
}

/// A declared loss with its place in time.
#[derive(Debug, Clone)]
pub(crate) struct LostSpan {
    /// The lane.
    pub(crate) lane: Lane,
    /// The one signal of it that is lost; `None` for all that the lane carries.
    pub(crate) signal: Option<Signal>,
    /// Earliest event time, 0 when not known.
    pub(crate) start_ns: u64,
    /// Latest event time, inclusive.
    pub(crate) end_ns: u64,
    /// Why.
    pub(crate) reason: Arc<str>,
    /// How many records, 0 when not known.
    pub(crate) records: u64,
}

/// What a hello says about one lane.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// The lane.
    pub lane: Lane,
    /// Next sequence to be given out.
    pub next: u64,
    /// Oldest sequence still held.
    pub oldest: u64,
    /// Device time up to which everything is below `next`.
    pub watermark_ns: u64,
}

/// What a hello says.
#[derive(Debug, Clone)]
pub struct Contact {
    /// The device's epoch.
    pub epoch: u64,
    /// The device's wall clock.
    pub wall_ns: u64,
    /// Whether that clock is synchronised.
    pub synchronised: bool,
    /// The agent's version.
    pub version: String,
    /// The lanes that exist.
    pub heads: Vec<Head>,
    /// How long records take at most until they are below a watermark, where the device says it.
    pub settles_ns: Option<u64>,
    /// Whether the agent ends behind this hello.
    pub stops: bool,
}

fn push_span(spans: &mut Vec<SpanOfTime>, from: u64, to: u64) {
    if from >= to {
        return;
    }
    match spans.last_mut() {
        Some(last) if from <= last.to && to >= last.from => {
            last.from = last.from.min(from);
            last.to = last.to.max(to);
        }
        _ => spans.push(SpanOfTime { from, to }),
    }
    if spans.len() > MAX_SPANS {
        spans.remove(0);
    }
}

/// A device as the `devices` keyspace keeps it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeviceRow {
    #[prost(uint32, tag = "1")]
    pub(crate) number: u32,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// Epoch of the last hello (or frame, before any hello).
    #[prost(fixed64, tag = "3")]
    pub(crate) epoch: u64,
    /// Hub's wall clock at the first and the last contact.
    #[prost(uint64, tag = "4")]
    pub(crate) first_contact: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) last_contact: u64,
    /// Hub's wall clock at the last hello.
    #[prost(uint64, tag = "6")]
    pub(crate) last_hello: u64,
    /// Device's wall clock minus the hub's, at the last hello.
    #[prost(sint64, tag = "7")]
    pub(crate) ahead_ns: i64,
    #[prost(bool, tag = "8")]
    pub(crate) synchronised: bool,
    /// Learned time between heartbeats.
    #[prost(uint64, tag = "9")]
    pub(crate) heartbeat_ns: u64,
    #[prost(string, tag = "10")]
    pub(crate) version: String,
    #[prost(message, repeated, tag = "11")]
    pub(crate) lanes: Vec<LaneRow>,
    #[prost(message, optional, tag = "12")]
    pub(crate) counters: Option<Counters>,
    /// How long its records take to settle below a watermark, as it says; 0 when it does not.
    #[prost(uint64, tag = "13")]
    pub(crate) settles_ns: u64,
    /// Hub's wall clock at the hello with which it ended in good order; 0 while it runs.
    #[prost(uint64, tag = "14")]
    pub(crate) stopped: u64,
}

/// What is known of one lane of a device's current epoch.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LaneRow {
    #[prost(uint32, tag = "1")]
    pub(crate) lane: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) next: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) oldest: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) watermark: u64,
    /// Device time from which this lane is known.
    #[prost(uint64, tag = "5")]
    pub(crate) since: u64,
    /// Device time up to which everything is stored or declared lost.
    #[prost(uint64, tag = "6")]
    pub(crate) complete_to: u64,
    #[prost(message, repeated, tag = "7")]
    pub(crate) checkpoints: Vec<CheckpointRow>,
    /// Spans of device time whose data came after an outage.
    #[prost(message, repeated, tag = "8")]
    pub(crate) late: Vec<SpanOfTime>,
    /// Spans of device time of which nothing can be known (an epoch ended before it was drained).
    #[prost(message, repeated, tag = "9")]
    pub(crate) unknown: Vec<SpanOfTime>,
    /// Spans of device time in which the agent was down, after an end in good order.
    #[prost(message, repeated, tag = "10")]
    pub(crate) stopped: Vec<SpanOfTime>,
}

/// When every sequence below `next` is there, everything up to `watermark` is.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct CheckpointRow {
    #[prost(uint64, tag = "1")]
    pub(crate) next: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) watermark: u64,
}

impl LaneRow {
    /// The device's clock was put back: what was complete by the old clock is so only up to the new watermark.
    fn put_back(&mut self, watermark: u64) {
        self.checkpoints.retain(|checkpoint| checkpoint.watermark <= watermark);
        self.complete_to = self.complete_to.min(watermark);
        self.since = self.since.min(watermark);
    }

    fn checkpoint(&mut self, next: u64, watermark: u64) {
        if self.checkpoints.last().is_some_and(|last| last.watermark >= watermark) {
            return;
        }
        if self.checkpoints.len() >= MAX_CHECKPOINTS {
            self.checkpoints.pop();
        }
        self.checkpoints.push(CheckpointRow { next, watermark });
    }

    /// Moves the frontier to the last checkpoint below which nothing is missing.
    pub(crate) fn advance(&mut self, next_expected: u64) {
        let reached = self.checkpoints.iter().take_while(|checkpoint| checkpoint.next <= next_expected).count();
        if let Some(checkpoint) = self.checkpoints.drain(..reached).next_back() {
            self.complete_to = self.complete_to.max(checkpoint.watermark);
        }
    }
}

impl DeviceRow {
    fn silence_ns(&self) -> u64 {
        let heartbeat = if self.heartbeat_ns == 0 { FIRST_HEARTBEAT_NS } else { self.heartbeat_ns };
        (heartbeat * HEARTBEATS_TO_LOSS).max(MIN_SILENCE_NS)
    }

    /// Whether the device was heard of lately.
    pub(crate) fn is_connected(&self, now_ns: u64) -> bool {
        self.last_contact != 0 && now_ns.saturating_sub(self.last_contact) <= self.silence_ns()
    }

    /// How far the frontier may be behind while the device is in contact.
    pub(crate) fn live_edge_ns(&self) -> u64 {
        match self.settles_ns {
            0 => LIVE_EDGE_NS,
            settles => settles.min(MAX_LIVE_EDGE_NS),
        }
    }

    /// Device time up to which a lane can be called complete.
    fn trusted(&self, complete_to: u64) -> u64 {
        if self.ahead_ns > MAX_AHEAD_NS { complete_to.min(self.last_contact) } else { complete_to }
    }

    /// A lane that the device does not have: nothing was in it up to the last hello.
    fn empty_lane(&self) -> Option<LaneRow> {
        if self.last_hello == 0 || self.first_contact == 0 {
            return None;
        }
        let since = self.device_time(self.first_contact);
        // What was undecided then is at most as old as the live edge without the wait for the next hello.
        let undecided = if self.stopped == 0 { self.live_edge_ns().saturating_sub(self.silence_ns()) } else { 0 };
        let settled = self.device_time(self.last_hello).saturating_sub(undecided);
        Some(LaneRow { since, complete_to: settled.max(since), ..LaneRow::default() })
    }

    /// The hub's wall time as the device's clock shows it.
    pub(crate) fn device_time(&self, hub_ns: u64) -> u64 {
        hub_ns.saturating_add_signed(self.ahead_ns)
    }

    pub(crate) fn lane(&self, lane: Lane) -> Option<&LaneRow> {
        self.lanes.iter().find(|row| row.lane == u32::from(lane.number()))
    }

    pub(crate) fn lane_mut(&mut self, lane: Lane) -> Option<&mut LaneRow> {
        self.lanes.iter_mut().find(|row| row.lane == u32::from(lane.number()))
    }

    /// Something came from the device. After an outage, what it held becomes late data.
    pub(crate) fn touch(&mut self, now_ns: u64) {
        if self.first_contact == 0 {
            self.first_contact = now_ns;
        } else if !self.is_connected(now_ns) && self.stopped == 0 {
            let (lost, back) = (self.device_time(self.last_contact), self.device_time(now_ns));
            for lane in &mut self.lanes {
                push_span(&mut lane.late, lost.max(lane.complete_to), back);
            }
        }
        self.last_contact = self.last_contact.max(now_ns);
        self.stopped = 0;
    }

    /// Takes in a hello.
    pub(crate) fn hello(&mut self, contact: &Contact, now_ns: u64) {
        let known = self.last_hello != 0;
        if self.stopped != 0 {
            // While the agent was down nothing was collected, and nothing is known.
            let (down, up) = (self.device_time(self.stopped), contact.wall_ns);
            for lane in &mut self.lanes {
                push_span(&mut lane.stopped, down, up);
                if lane.complete_to >= down {
                    lane.complete_to = lane.complete_to.max(up);
                }
            }
        }
        self.settles_ns = contact.settles_ns.unwrap_or(0);
        let since_hello = now_ns.saturating_sub(self.last_hello);
        if known && since_hello <= self.silence_ns() {
            let heartbeat = if self.heartbeat_ns == 0 { since_hello } else { self.heartbeat_ns.midpoint(since_hello) };
            self.heartbeat_ns = heartbeat.max(1);
        }
        let last_contact = self.device_time(self.last_contact);
        let was_connected = self.is_connected(now_ns);
        self.ahead_ns = i64::try_from(i128::from(contact.wall_ns) - i128::from(now_ns)).unwrap_or(0);
        self.touch(now_ns);
        self.last_hello = now_ns;
        self.synchronised = contact.synchronised;
        self.version.clone_from(&contact.version);
        if known && self.epoch != contact.epoch {
            self.end_epoch(contact.wall_ns);
        }
        self.epoch = contact.epoch;
        for head in &contact.heads {
            let first = match head.watermark_ns {
                0 => contact.wall_ns,
                watermark => watermark.min(contact.wall_ns),
            };
            if self.lane(head.lane).is_none() {
                // A lane that is new on a known device began after the last contact.
                let since = if known { last_contact.min(first) } else { first };
                let mut row =
                    LaneRow { lane: u32::from(head.lane.number()), since, complete_to: since, ..LaneRow::default() };
                if known && !was_connected {
                    push_span(&mut row.late, since, contact.wall_ns);
                }
                self.lanes.push(row);
            }
            if let Some(row) = self.lane_mut(head.lane) {
                row.next = head.next;
                row.oldest = head.oldest;
                if head.watermark_ns != 0 && head.watermark_ns < row.watermark {
                    row.put_back(head.watermark_ns);
                }
                row.watermark = head.watermark_ns;
                row.checkpoint(head.next, head.watermark_ns);
            }
        }
        self.stopped = if contact.stops { now_ns } else { 0 };
    }

    /// A new epoch: what the old one had beyond the frontier cannot be told any more.
    fn end_epoch(&mut self, wall_ns: u64) {
        for lane in &mut self.lanes {
            push_span(&mut lane.unknown, lane.complete_to, wall_ns);
            lane.complete_to = lane.complete_to.max(wall_ns);
            lane.checkpoints.clear();
            (lane.next, lane.oldest) = (1, 1);
        }
    }

    /// A frame made at `made_ns` (device time) is there: the lane is known at least from then on. What was recorded
    /// before the first contact is late.
    pub(crate) fn saw_frame(&mut self, lane: Lane, made_ns: u64) {
        let first_contact = self.device_time(self.first_contact);
        if let Some(row) = self.lane_mut(lane).filter(|row| made_ns != 0 && made_ns < row.since) {
            let was = row.since;
            row.since = made_ns;
            let to = first_contact.max(was);
            match row.late.first_mut() {
                Some(first) if first.from <= to => first.from = first.from.min(made_ns),
                _ => row.late.insert(0, SpanOfTime { from: made_ns, to }),
            }
        }
    }

    /// What is known of one signal in `[from, to)`, in order, without overlaps, adjacent equals joined.
    pub(crate) fn coverage(&self, signal: Signal, lost: &[LostSpan], from: u64, to: u64, now_ns: u64) -> Vec<Interval> {
        let lanes: &[Lane] = match signal {
            Signal::Traces => &[Lane::Traces],
            // The lines of kept traces travel with their spans.
            Signal::Logs => &[Lane::Logs, Lane::Traces],
            Signal::Metrics => &[Lane::Metrics],
        };
        let mut pieces = Vec::new();
        let now = self.device_time(now_ns);
        let down = if self.stopped == 0 { now } else { self.device_time(self.stopped).min(now) };
        let open = if self.is_connected(now_ns) && self.stopped == 0 { State::Arriving } else { State::HeldOnDevice };
        let empty = self.empty_lane();
        for row in lanes.iter().filter_map(|lane| self.lane(*lane).or(empty.as_ref())) {
            let complete_to = self.trusted(row.complete_to);
            // A clock that is not trusted may have been put right since: then data lies anywhere from the first contact on.
            let since = if complete_to < row.complete_to { row.since.min(self.first_contact) } else { row.since };
            pieces.push(piece(row.since, complete_to, State::Complete));
            pieces.push(piece(complete_to.max(since), down, open));
            for span in row.stopped.iter().chain(&(self.stopped != 0).then_some(SpanOfTime { from: down, to: now })) {
                pieces.push(Piece {
                    reason: Some("agent-stopped"),
                    overrides: true,
                    ..piece(span.from, span.to, State::Stopped)
                });
            }
            for span in &row.unknown {
                pieces.push(Piece {
                    reason: Some("epoch-ended"),
                    overrides: true,
                    ..piece(span.from, span.to, State::Unknown)
                });
            }
            for span in &row.late {
                pieces.push(Piece { late: true, ..piece(span.from, span.to, State::Unknown) });
            }
        }
        let known = !pieces.is_empty();
        for span in lost.iter().filter(|span| match span.signal {
            Some(of) => of == signal,
            None => lanes.contains(&span.lane) && span.start_ns != 0,
        }) {
            pieces.push(Piece {
                reason: Some(&span.reason),
                records: span.records,
                ..piece(span.start_ns, span.end_ns.saturating_add(1), State::Lost)
            });
        }
        if !known && pieces.is_empty() {
            return Vec::new();
        }
        flatten(&pieces, from, to.min(now.max(from)))
    }
}

/// What is known where nothing but losses is.
pub(crate) fn unknown_but(lost: &[LostSpan], reason: &str, from: u64, to: u64) -> Vec<Interval> {
    let mut pieces = vec![Piece { reason: Some(reason), ..piece(from, to, State::Unknown) }];
    pieces.extend(lost.iter().map(|span| Piece {
        reason: Some(&span.reason),
        ..piece(span.start_ns, span.end_ns.saturating_add(1), State::Lost)
    }));
    flatten(&pieces, from, to)
}

/// One layer of knowledge over a stretch of time; the strongest state wins.
#[derive(Debug, Clone, Copy)]
struct Piece<'a> {
    from: u64,
    to: u64,
    state: State,
    late: bool,
    reason: Option<&'a str>,
    records: u64,
    /// Wins over everything but a loss.
    overrides: bool,
}

fn piece<'a>(from: u64, to: u64, state: State) -> Piece<'a> {
    Piece { from, to, state, late: false, reason: None, records: 0, overrides: false }
}

/// The pieces that lie over one moment, by strength.
#[derive(Default)]
struct Over<'a> {
    by_strength: BTreeMap<(bool, bool, State, usize), &'a Piece<'a>>,
    late: usize,
}

impl<'a> Over<'a> {
    fn key(place: usize, piece: &Piece<'_>) -> (bool, bool, State, usize) {
        (piece.state == State::Lost, piece.overrides, piece.state, place)
    }

    fn begin(&mut self, place: usize, piece: &'a Piece<'a>) {
        self.by_strength.insert(Self::key(place, piece), piece);
        self.late += usize::from(piece.late);
    }

    fn end(&mut self, place: usize, piece: &Piece<'_>) {
        self.by_strength.remove(&Self::key(place, piece));
        self.late -= usize::from(piece.late);
    }

    fn interval(&self, from: u64, to: u64) -> Interval {
        let strongest = self.by_strength.last_key_value().map(|(_, piece)| *piece);
        let state = strongest.map_or(State::Unknown, |piece| piece.state);
        Interval {
            from,
            to,
            state,
            late: !matches!(state, State::Unknown | State::Stopped) && self.late > 0,
            reason: strongest.and_then(|piece| piece.reason).map(str::to_owned),
            records: strongest.map(|piece| piece.records).filter(|records| *records != 0),
        }
    }
}

/// What is strongest at each moment: one pass over where pieces begin and end.
fn flatten(pieces: &[Piece<'_>], from: u64, to: u64) -> Vec<Interval> {
    let mut cuts: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * pieces.len());
    for (place, piece) in pieces.iter().enumerate() {
        let (begin, end) = (piece.from.max(from), piece.to.min(to));
        if begin < end {
            cuts.push((begin, true, place));
            cuts.push((end, false, place));
        }
    }
    cuts.sort_unstable();
    let mut intervals: Vec<Interval> = Vec::new();
    let mut over = Over::default();
    let mut at = from;
    let mut push = |over: &Over<'_>, at: u64, until: u64| {
        if at >= until {
            return;
        }
        let interval = over.interval(at, until);
        match intervals.last_mut() {
            Some(last)
                if last.state == interval.state
                    && last.late == interval.late
                    && last.reason == interval.reason
                    && last.records == interval.records =>
            {
                last.to = until;
            }
            _ => intervals.push(interval),
        }
    };
    for (time, begins, place) in cuts {
        push(&over, at, time);
        at = at.max(time);
        if begins { over.begin(place, &pieces[place]) } else { over.end(place, &pieces[place]) }
    }
    push(&over, at, to);
    intervals
}
