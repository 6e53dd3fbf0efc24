//! The look at a request before anything of it is admitted: whether it came before, what of it can be taken, what has to be
//! mended. A large one is then admitted in pieces.

use model::otlp::{Inspection, PIECE_BYTES, PIECE_PARTS, Pieces, SpanFacts};
use model::{Answer, Refusal, Request, Signal};
use otlp::answer::why_rejected;
use otlp::intake::{self, Unreadable};

use crate::books::NotAdmitted;

use super::Admission;
use super::repeats::{Seen, tag};

/// What the look at a request found.
#[derive(Debug)]
pub struct Looked {
    found: Inspection,
    /// The producer's key with the digest of what came under it.
    key: Option<Box<[u8]>>,
    /// Records that go together at most.
    most: u64,
    /// Of its spans, where all of it can be taken as it is.
    facts: Option<SpanFacts>,
}

/// A request of records that go on as they are, or a piece of one.
#[derive(Debug, Clone)]
pub struct Piece {
    bytes: Vec<u8>,
    /// Of its spans, where they are known: nobody need walk its bytes to read them.
    facts: Option<SpanFacts>,
}

impl Piece {
    /// Of a request, with the facts of its spans where they are known.
    pub(super) fn new(bytes: Vec<u8>, facts: Option<SpanFacts>) -> Self {
        Self { bytes, facts }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, and the facts of its spans where they are known.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<SpanFacts>) {
        (self.bytes, self.facts)
    }
}

impl From<Vec<u8>> for Piece {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, facts: None }
    }
}

impl Looked {
    /// Whether the bytes can go on as they are, at once: they are few, or one record that no piece is smaller than. As a piece it
    /// would be there twice.
    pub fn is_one_piece(&self, body: &[u8]) -> bool {
        let few = body.len() <= PIECE_BYTES && self.found.records <= self.most && self.found.parts <= PIECE_PARTS;
        self.found.is_clean() && (few || self.found.records <= 1)
    }

    /// The request in pieces.
    pub fn pieces<'a>(&'a self, signal: Signal, body: &'a [u8], wall_ns: u64) -> impl Iterator<Item = Piece> + use<'a> {
        let known = self.facts.as_ref().map(|facts| facts.pieces(body, self.most));
        let walked = self.facts.is_none().then(|| Pieces::new(signal, body, wall_ns).with_records(self.most));
        let known = known.into_iter().flatten().map(|(bytes, facts)| Piece { bytes, facts: Some(facts) });
        known.chain(walked.into_iter().flatten().map(Piece::from))
    }

    /// Gives the facts of its spans, where all of it can be taken as it is.
    pub(crate) fn take_facts(&mut self) -> Option<SpanFacts> {
        self.facts.take()
    }

    /// The key of the whole request, which its last piece is admitted with.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// What was found.
    pub(crate) fn found(&self) -> &Inspection {
        &self.found
    }

    /// The answer to a request of which everything is taken that can be.
    pub fn answer(&self) -> Answer {
        let rejected = self.found.rejected.total();
        if rejected == 0 {
            return Answer::Accepted;
        }
        Answer::Partial { rejected, why: why_rejected(&self.found.rejected) }
    }
}

impl Admission {
    /// Looks at a request of which at most so many records can go together.
    pub(crate) fn look(&self, request: &Request, most_together: u64) -> Result<Looked, NotAdmitted> {
        let key = request.key.as_deref().map(|key| tag(request.signal, &request.body, key));
        if let Some(key) = &key {
            self.known(key)?;
        }
        let looked = intake::look_for_facts(request.signal, &request.body);
        let (found, facts) = looked.map_err(|Unreadable { reason, why }| NotAdmitted::Bad { reason, why })?;
        Ok(Looked { found, key, most: most_together, facts })
    }

    /// Whether a request with this key came before.
    fn known(&self, key: &[u8]) -> Result<(), NotAdmitted> {
        match self.repeats.seen(key) {
            Seen::New if self.permits.has(key) => Err(NotAdmitted::OnItsWay),
            Seen::New => Ok(()),
            Seen::Same => Err(NotAdmitted::Repeated),
            Seen::Other => Err(NotAdmitted::Bad {
                reason: Refusal::KeyReused,
                why: "this idempotency-key came before with another request; every request needs its own".into(),
            }),
        }
    }
}
