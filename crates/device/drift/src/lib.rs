//! Fields that change while a service runs: their names, types, units, instruments (docs/drift.md). Sans-IO: requests that were masked, and
//! time, in; findings out. Memory and what is looked at are bounded, whatever comes; nothing is ever dropped by it.
//!
//! - [`Drift`]: a look at a few records of a request, now and then
//! - `stream`: what is known of one kind of record, and what of it changed
//! - [`Finding`], [`Kind`]: what is told, with the ids of OpenTelemetry Weaver's live check

mod finding;
mod looked;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use model::Signal;
use model::proto::ProtoError;

pub use finding::{Finding, KINDS, Kind};

use looked::Looked;
use stream::Stream;

/// Looks at a request, a second and signal.
const LOOKS_A_SECOND: f64 = 1.0;
/// Records that are looked at in one request.
const RECORDS: usize = 16;
/// What fingerprints take at most.
const MAX_BYTES: usize = 40 << 10;
/// A kind of record that was not seen for so long makes room for others.
const FORGET_NS: u64 = 600_000_000_000;
/// Findings that wait to be told; more are counted only.
const MAX_WAITING: usize = 16;

/// Fingerprints of what comes, and what of them changed.
#[derive(Debug, Default)]
pub struct Drift {
    is_on: bool,
    hasher: RandomState,
    streams: HashMap<u64, Stream, RandomState>,
    bytes: usize,
    /// Looks that are left, by signal, and when they were counted.
    looks: [f64; Signal::ALL.len()],
    last_ns: u64,
    /// Where in a request the next look begins.
    turn: usize,
    found: Vec<Finding>,
    counts: [u64; KINDS.len()],
    /// Records of kinds for which there is no room.
    unwatched: u64,
}

impl Drift {
    /// What it takes at most.
    pub const BYTES: u64 = 48 << 10;

    /// One that looks.
    pub fn on() -> Self {
        Self { is_on: true, looks: [LOOKS_A_SECOND; Signal::ALL.len()], ..Self::default() }
    }

    /// Looks at a few records of a request, when it is time for that. Its bytes walk.
    pub fn look(&mut self, signal: Signal, request: &[u8], now_ns: u64) {
        if !self.is_on || !self.is_time(signal, now_ns) {
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let (step, mut left) = (1 + request.len() / (RECORDS * 512), RECORDS);
        let begin = self.turn % step;
        let walked = looked::each(signal, request, begin, step, |looked| -> Result<bool, ProtoError> {
            self.record(&looked, now_ns);
            left -= 1;
            Ok(left > 0)
        });
        // What does not walk was refused at the door.
        debug_assert!(walked.is_ok(), "{walked:?}");
    }

    fn is_time(&mut self, signal: Signal, now_ns: u64) -> bool {
        let passed = now_ns.saturating_sub(self.last_ns) as f64 / 1e9;
        self.last_ns = self.last_ns.max(now_ns);
        for looks in &mut self.looks {
            *looks = (*looks + passed * LOOKS_A_SECOND).min(LOOKS_A_SECOND);
        }
        let place = Signal::ALL.iter().position(|one| *one == signal);
        let Some(looks) = place.and_then(|place| self.looks.get_mut(place)) else { return false };
        if *looks < 1.0 {
            return false;
        }
        *looks -= 1.0;
        true
    }

    fn record(&mut self, looked: &Looked<'_>, now_ns: u64) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u8(looked.signal as u8);
        hasher.write(looked.service);
        hasher.write_u8(0xff);
        hasher.write(looked.name);
        let key = hasher.finish();
        if !self.streams.contains_key(&key) && !self.make_room(Stream::LEAST_BYTES, now_ns) {
            self.unwatched += 1;
            return;
        }
        let stream = self.streams.entry(key).or_insert_with(|| Stream::new(looked));
        let before = stream.bytes();
        let had = if stream.is_new() { 0 } else { before };
        let room = MAX_BYTES.saturating_sub(self.bytes.saturating_sub(had));
        let (found, counts) = (&mut self.found, &mut self.counts);
        stream.look(looked, room, now_ns, |finding| {
            counts[finding.kind as usize] += 1;
            if found.len() < MAX_WAITING {
                found.push(finding);
            }
        });
        self.bytes = self.bytes.saturating_sub(had) + stream.bytes();
    }

    /// Whether there is room for so many bytes; what was not seen for long goes for it.
    fn make_room(&mut self, bytes: usize, now_ns: u64) -> bool {
        if self.bytes + bytes <= MAX_BYTES {
            return true;
        }
        let freed = &mut self.bytes;
        self.streams.retain(|_, stream| {
            let stays = now_ns.saturating_sub(stream.last_ns()) < FORGET_NS;
            *freed -= if stays { 0 } else { stream.bytes().min(*freed) };
            stays
        });
        self.bytes + bytes <= MAX_BYTES
    }

    /// What was found since the last call.
    pub fn take_found(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// How often each kind was found.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> {
        KINDS.into_iter().zip(self.counts)
    }

    /// Kinds of records that are watched, and records of those for which there is no room.
    pub fn watched(&self) -> (usize, u64) {
        (self.streams.len(), self.unwatched)
    }
}
