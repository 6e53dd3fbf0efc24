//! What was decided at one commit, as an entry of the ring of decisions.

use segment::FieldReader;

/// What was decided since the commit before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decisions<'a> {
    /// As the sampler persists them.
    pub remembered: &'a [u64],
    /// Traces that were let go without a decision, since they never sent a span; in the same form.
    pub without_spans: &'a [u64],
}

/// Decisions of one commit, read back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionsRead {
    /// See [`Decisions::remembered`].
    pub remembered: Vec<u64>,
    /// See [`Decisions::without_spans`].
    pub without_spans: Vec<u64>,
    /// [`crate::Progress::booked`] of that commit: requests below it are meant.
    pub before: u64,
    /// When it was made, Unix nanoseconds.
    pub wall_ns: u64,
}

impl Decisions<'_> {
    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.remembered.is_empty() && self.without_spans.is_empty()
    }

    pub(crate) fn encode(&self, before: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 8 * (self.remembered.len() + self.without_spans.len()));
        out.extend_from_slice(&before.to_le_bytes());
        out.extend_from_slice(&(self.remembered.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.without_spans.len() as u32).to_le_bytes());
        for bits in self.remembered.iter().chain(self.without_spans) {
            out.extend_from_slice(&bits.to_le_bytes());
        }
        out
    }
}

impl DecisionsRead {
    /// What [`Decisions::encode`] wrote; `None` when the payload is none.
    pub(crate) fn decode(payload: &[u8], wall_ns: u64) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<16>()?;
        let mut fields = FieldReader::at(head, 0);
        let (before, remembered, without_spans) = (fields.u64(), fields.u32() as usize, fields.u32() as usize);
        let (numbers, left) = rest.as_chunks::<8>();
        if !left.is_empty() || remembered.checked_add(without_spans)? != numbers.len() {
            return None;
        }
        let read = |numbers: &[[u8; 8]]| numbers.iter().map(|bits| u64::from_le_bytes(*bits)).collect();
        let (remembered, without_spans) = (read(&numbers[..remembered]), read(&numbers[remembered..]));
        Some(Self { remembered, without_spans, before, wall_ns })
    }
}
