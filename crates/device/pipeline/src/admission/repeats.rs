//! Requests that come again because their answer was lost: recognised by the producer's key, and by what came under it.

use std::collections::{HashMap, VecDeque};

use model::Signal;

/// How many keys are remembered: minutes of requests, and at most about 100 KiB.
const KEYS: usize = 512;
/// Bytes in front of a key: the digest of the request that came under it.
const DIGEST: usize = 8;
/// Large requests that were taken in part, because the room ended in the middle.
const PARTS: usize = 16;

/// A producer's key behind the digest of the request: how it is remembered, in memory and in the recorder's files.
pub(super) fn tag(signal: Signal, body: &[u8], key: &[u8]) -> Box<[u8]> {
    let mut digest = digest(signal, body).to_vec();
    digest.extend_from_slice(key);
    digest.into()
}

/// What tells a request from others.
pub(super) fn digest(signal: Signal, body: &[u8]) -> [u8; DIGEST] {
    let full = wire::digest(body);
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&full[..DIGEST]);
    digest[0] ^= signal as u8;
    digest
}

/// Whether a request came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Its key is new.
    New,
    /// It was accepted.
    Same,
    /// Another request was accepted under its key.
    Other,
}

/// The keys of the last accepted requests. In memory; those of recorded requests come back after a restart.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: HashMap<Box<[u8]>, [u8; DIGEST]>,
    order: VecDeque<Box<[u8]>>,
    parts: VecDeque<([u8; DIGEST], usize)>,
}

fn apart(tagged: &[u8]) -> ([u8; DIGEST], &[u8]) {
    match tagged.split_first_chunk() {
        Some((digest, key)) => (*digest, key),
        None => ([0; DIGEST], tagged),
    }
}

impl Repeats {
    /// Whether a request came before, by its key behind its digest.
    pub(super) fn seen(&self, tagged: &[u8]) -> Seen {
        let (digest, key) = apart(tagged);
        match self.known.get(key) {
            None => Seen::New,
            Some(before) if *before == digest => Seen::Same,
            Some(_) => Seen::Other,
        }
    }

    /// Remembers an accepted request; the oldest one makes room.
    pub(super) fn remember(&mut self, tagged: &[u8]) {
        let (digest, key) = apart(tagged);
        if self.known.insert(key.into(), digest).is_some() {
            return;
        }
        if self.order.len() >= KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(key.into());
    }

    /// Remembers that a request's first pieces were taken, when the room ended.
    pub(super) fn remember_part(&mut self, digest: [u8; DIGEST], pieces: usize) {
        if self.parts.len() >= PARTS {
            self.parts.pop_front();
        }
        self.parts.push_back((digest, pieces));
    }

    /// Whether any request was taken in part.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// How many pieces of a request are taken already; that is forgotten.
    pub(super) fn take_part(&mut self, digest: [u8; DIGEST]) -> usize {
        let Some(position) = self.parts.iter().position(|(other, _)| *other == digest) else { return 0 };
        self.parts.remove(position).map_or(0, |(_, pieces)| pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: more keys than are remembered. Guarantees: the latest are known, the oldest are not, and memory is
    /// bounded (P9).
    #[test]
    fn the_latest_keys_are_known() {
        let mut repeats = Repeats::default();
        let tagged = |number: usize| tag(Signal::Logs, b"body", number.to_string().as_bytes());
        for number in 0..2 * KEYS {
            repeats.remember(&tagged(number));
        }
        assert_eq!((repeats.seen(&tagged(1000)), repeats.seen(&tagged(100))), (Seen::Same, Seen::New));
        assert_eq!((repeats.known.len(), repeats.order.len()), (KEYS, KEYS));
    }

    /// Scenario: a key comes again with the same request, with another body, with another signal. Guarantees: only the
    /// first is a repetition.
    #[test]
    fn i12_a_key_is_bound_to_its_request() {
        let mut repeats = Repeats::default();
        repeats.remember(&tag(Signal::Logs, b"body", b"key"));
        assert_eq!(repeats.seen(&tag(Signal::Logs, b"body", b"key")), Seen::Same);
        assert_eq!(repeats.seen(&tag(Signal::Logs, b"other", b"key")), Seen::Other);
        assert_eq!(repeats.seen(&tag(Signal::Traces, b"body", b"key")), Seen::Other);
        assert_eq!(repeats.seen(&tag(Signal::Logs, b"body", b"yek")), Seen::New);
    }
}
