//! What a kill may take without a trace at level `received`: each committed note says how many records may be answered before
//! the next one, and answers beyond that wait for it. So a restart can tell the most that it does not know of (P1).

/// A note lets at least so many records be answered.
const LEAST: u64 = 1_024;
/// It lets so many times as many be answered as came since the last one: a disk that stalls for seconds holds no answer up.
const TIMES: u64 = 8;

/// Records since the last notes.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    /// Taken in since the note that is committed last, and how many it allows.
    since: u64,
    allowed: u64,
    /// The same for a note on its way to the disk.
    coming: Option<(u64, u64)>,
    /// Nothing more is answered.
    closed: bool,
}

impl Reserve {
    /// Records are taken in.
    pub(crate) fn took(&mut self, records: u64) {
        self.since += records;
        if let Some((since, _)) = &mut self.coming {
            *since += records;
        }
    }

    /// Whether more were taken in than may be answered before the next note is committed.
    pub(crate) fn is_beyond(&self) -> bool {
        self.since > self.allowed || self.coming.is_some_and(|(since, allowed)| since > allowed)
    }

    /// A note is made: what it allows.
    pub(crate) fn note(&mut self) -> u64 {
        let allowed = if self.closed { 0 } else { LEAST.max(TIMES * self.since) };
        self.coming = Some((0, allowed));
        allowed
    }

    /// The note that was made last is committed.
    pub(crate) fn committed(&mut self) {
        if let Some((since, allowed)) = self.coming.take() {
            (self.since, self.allowed) = (since, allowed);
        }
    }

    /// Nothing more is answered: the last note allows nothing.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: records come before the first note, between notes, while one is on its way, and one is never committed.
    /// Guarantees: whatever note is the readable one after a kill, no more than it allows was answered since (P1).
    #[test]
    fn a_note_covers_what_is_answered_after_it() {
        let mut reserve = Reserve::default();
        reserve.took(1);
        assert!(reserve.is_beyond(), "no note covers it");
        assert_eq!(reserve.note(), LEAST);
        assert!(reserve.is_beyond(), "it is not committed");
        reserve.committed();
        reserve.took(LEAST);
        assert!(!reserve.is_beyond());
        assert_eq!(reserve.note(), TIMES * LEAST);
        reserve.took(1);
        assert!(reserve.is_beyond(), "the older note still counts");
        reserve.committed();
        assert!(!reserve.is_beyond());
        // The next note fails, and the one after it is made anew.
        assert_eq!(reserve.note(), LEAST);
        reserve.took(LEAST + 1);
        assert!(reserve.is_beyond(), "the newer note may be the readable one already");
        assert_eq!(reserve.note(), TIMES * (LEAST + 2));
        assert!(!reserve.is_beyond());
        reserve.committed();
        reserve.close();
        assert_eq!(reserve.note(), 0);
    }
}
