//! Request bodies: capped while they come in, counted in the sum of all by the bytes that came.

use std::rc::Rc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use model::Refusal;
use otlp::coding::Buffer;
use tokio::time::Instant;

use crate::Limits;

/// How long a body may take at the least, and beyond that how many bytes have to come in a second.
const GRACE: Duration = Duration::from_secs(10);
const LEAST_RATE: u64 = 16 << 10;
/// Buffers grow by at least so much.
const STEP: usize = 8 << 10;

/// What is wrong with a body and what to do, for the producer.
pub(crate) fn explain(reason: Refusal, limits: &Limits) -> String {
    match reason {
        Refusal::TooLarge => format!(
            "the request is larger than {} bytes, as sent or when inflated, or than {} bytes both together; send smaller \
             batches or raise sources.otlp.max_request and in_flight",
            limits.settings.max_request, limits.settings.in_flight
        ),
        Refusal::NoRoom => "too many requests are in memory; send the same request again a second later".into(),
        Refusal::TooSlow => format!("the request came more slowly than {} KiB a second", LEAST_RATE >> 10),
        Refusal::CutOff => "the request did not arrive whole".into(),
        Refusal::UnsupportedEncoding => "the encoding must be gzip, zstd, deflate or identity".into(),
        Refusal::Undecodable => "the request is not what its encoding says, or is cut off".into(),
        other => format!("the request is refused: {other}"),
    }
}

/// A share of the sum of all bodies; given back when dropped.
#[derive(Debug)]
pub struct Share {
    bytes: usize,
    /// What is held beside the bytes of the body, part of `bytes`.
    beside: usize,
    limits: Rc<Limits>,
}

impl Share {
    /// A share of nothing yet.
    pub fn new(limits: &Rc<Limits>) -> Self {
        Self { bytes: 0, beside: 0, limits: Rc::clone(limits) }
    }

    /// Takes more or less of the sum, until it is so much; false when there is no room.
    pub fn resize(&mut self, bytes: usize) -> bool {
        let bytes = bytes + self.beside;
        let others = self.limits.held().saturating_sub(self.bytes);
        if bytes > self.bytes && !self.limits.has_room(bytes, others) {
            return false;
        }
        self.limits.hold(others + bytes);
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.limits.hold(self.limits.held().saturating_sub(self.bytes));
    }
}

/// Bytes with their share of the sum.
pub(crate) struct Held {
    bytes: Vec<u8>,
    share: Share,
}

impl Held {
    pub(crate) fn new(limits: &Rc<Limits>) -> Self {
        Self { bytes: Vec::new(), share: Share::new(limits) }
    }

    /// As [`Held::new`], with so much that is held beside the body.
    fn beside(bytes: usize, limits: &Rc<Limits>) -> Result<Self, Refusal> {
        let mut held = Self::new(limits);
        held.share.beside = bytes;
        if held.share.resize(0) { Ok(held) } else { Err(Refusal::NoRoom) }
    }

    /// Bytes that are there already.
    pub(crate) fn of(bytes: Vec<u8>, limits: &Rc<Limits>) -> Result<Self, Refusal> {
        let mut held = Self { bytes, share: Share::new(limits) };
        if held.share.resize(held.bytes.capacity()) { Ok(held) } else { Err(Refusal::NoRoom) }
    }

    /// Appends; the buffer grows with what came. `most` is all that may ever come; `announced` what the sender says will come: the
    /// buffer becomes as large at once, but never twice as large as what came.
    pub(crate) fn append(&mut self, data: &[u8], most: usize, announced: Option<usize>) -> Result<(), Refusal> {
        let length = self.bytes.len() + data.len();
        if length > most {
            return Err(Refusal::TooLarge);
        }
        if length > self.bytes.capacity() {
            let announced = announced.unwrap_or(0).min(length * 2);
            let grown = if announced >= length { announced } else { (length + length / 4).max(STEP) };
            let capacity = grown.min(most);
            if !self.share.resize(capacity) {
                return Err(Refusal::NoRoom);
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Leaves out what stands in front.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.bytes.drain(..bytes.min(self.bytes.len()));
    }

    /// How much of the sum is its own.
    pub(crate) fn share(&self) -> usize {
        self.share.bytes
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Both apart.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Share) {
        (self.bytes, self.share)
    }
}

impl Buffer for Held {
    fn empty(&self) -> Self {
        Self::new(&self.share.limits)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn append(&mut self, data: &[u8], beside: &Self) -> Result<(), Refusal> {
        let most = self.share.limits.settings.max_request;
        Held::append(self, data, most, None).map_err(|reason| match reason {
            Refusal::NoRoom => no_room(&self.share.limits, self.share() + beside.share()),
            other => other,
        })
    }

    fn room(&self) -> (usize, Refusal) {
        let limits = &self.share.limits;
        match limits.settings.max_request {
            most if limits.room() < most => (limits.room(), no_room(limits, self.share())),
            most => (most, Refusal::TooLarge),
        }
    }

    fn adopt(&self, bytes: Vec<u8>) -> Result<Self, Refusal> {
        Held::of(bytes, &self.share.limits)
    }
}

/// Why a request that holds so much finds no room for more: others have it, or it would never fit.
pub(crate) fn no_room(limits: &Limits, own: usize) -> Refusal {
    if limits.held() <= own { Refusal::TooLarge } else { Refusal::NoRoom }
}

/// Reads a whole body. `extra` bytes of framing may come on top of `max_request`; `beside` is what the request holds
/// beside its body; `announced` tells from its beginning how long it will be, where no header says so.
pub(crate) async fn collect(
    mut body: Incoming,
    extra: usize,
    beside: usize,
    limits: &Rc<Limits>,
    announced: impl Fn(&[u8]) -> Option<usize>,
) -> Result<Held, Refusal> {
    let exact = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let max = limits.settings.max_request + extra;
    if body.size_hint().lower() > max as u64 {
        return Err(Refusal::TooLarge);
    }
    let mut held = Held::beside(beside, limits)?;
    let started = Instant::now();
    loop {
        let allowed = GRACE + Duration::from_millis(held.bytes.len() as u64 * 1000 / LEAST_RATE);
        let frame = tokio::time::timeout_at(started + allowed, body.frame()).await.map_err(|_| Refusal::TooSlow)?;
        match frame {
            None => return Ok(held),
            Some(Err(_)) => return Err(Refusal::CutOff),
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                let announced = exact.or_else(|| announced(if held.bytes.is_empty() { data } else { &held.bytes }));
                held.append(data, max, announced).map_err(|reason| match reason {
                    Refusal::NoRoom => no_room(limits, held.share()),
                    other => other,
                })?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a body that comes as it was announced, one that was announced far too large, one without a word. Guarantees: the first is
    /// never copied on; memory is never more than twice what came (P9).
    #[test]
    fn buffers_grow_with_what_came() {
        let limits = Limits::new(1 << 20, 1 << 20, 1);
        let grown = |announced: Option<usize>| {
            let mut held = Held::new(&limits);
            held.append(&[0; 16 << 10], 1 << 20, announced).unwrap();
            held.bytes.capacity()
        };
        assert_eq!(grown(Some(30_000)), 30_000);
        assert_eq!(grown(Some(1 << 20)), 32 << 10);
        assert_eq!(grown(Some(5)), 20 << 10);
        assert_eq!(grown(None), 20 << 10);
    }

    /// Scenario: calls of which only the first byte comes, until there is no room; then one alone that is as large as all room.
    /// Guarantees: each is counted with what it holds beside its body, all is given back, and what can never fit is not told to come
    /// again (P9).
    #[test]
    fn i14_a_request_is_counted_with_what_it_holds_beside_its_body() {
        const BESIDE: usize = 4 << 10;
        const ROOM: usize = 100 * (BESIDE + STEP);
        let limits = Limits::new(ROOM, ROOM, 1);
        let begin = || {
            let mut held = Held::beside(BESIDE, &limits)?;
            held.append(b"x", ROOM, None).map(|()| held)
        };
        let mut calls = Vec::new();
        let refused = loop {
            match begin() {
                Ok(held) => calls.push(held),
                Err(reason) => break reason,
            }
        };
        assert_eq!((calls.len(), refused, limits.held()), (100, Refusal::NoRoom, ROOM));
        drop(calls);
        assert_eq!(limits.held(), 0);
        let mut alone = Held::beside(BESIDE, &limits).unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(alone.append(&vec![0; ROOM], ROOM, None), Err(Refusal::NoRoom));
        assert_eq!(no_room(&limits, alone.share()), Refusal::TooLarge);
    }
}
