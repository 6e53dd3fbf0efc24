//! Which records were found already: what is in the recorder's memory, in its files and in a lane is shown once.

/// Digests of one place that are remembered at once: 512 KiB of them.
const MOST: usize = 64 << 10;
/// The lowest bits of a remembered digest tell where it was met again.
const FLAGS: u64 = 3;

/// Where a record is met again; each of its copies there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the recorder's other form, memory or files.
    Recorder = 1,
    /// In a lane.
    Lane = 2,
}

/// Digests of the records of one place, each as often as it was there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    list: Vec<u64>,
    /// Those of earlier scans, where there were many.
    older: Vec<u64>,
    left_out: usize,
}

impl Seen {
    /// Another scan begins: what was met in a lane is done with.
    pub(crate) fn begin(&mut self) {
        self.list.retain(|digest| digest & Place::Lane as u64 == 0);
        self.left_out = 0;
        if self.list.len() >= MOST / 2 {
            self.older = std::mem::take(&mut self.list);
        }
    }

    /// Remembers a record. [`Seen::settle`] comes before [`Seen::met`].
    pub(crate) fn add(&mut self, digest: u64) {
        if self.list.len() < MOST {
            self.list.push(digest & !FLAGS);
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn settle(&mut self) {
        self.list.sort_unstable();
    }

    /// Whether this copy of a record is one of a remembered one.
    pub(crate) fn met(&mut self, digest: u64, place: Place) -> bool {
        let (digest, flag) = (digest & !FLAGS, place as u64);
        [&mut self.list, &mut self.older].into_iter().any(|list| {
            let start = list.partition_point(|one| *one < digest);
            let mut alike = list[start..].iter_mut().take_while(|one| **one & !FLAGS == digest);
            alike.find(|one| **one & flag == 0).map(|one| *one |= flag).is_some()
        })
    }

    /// In how many parts, by digest, everything has to be gone through so that each fits; 1 when all is remembered.
    pub(crate) fn parts(&self) -> u64 {
        (self.list.len() + self.left_out).div_ceil(MOST).max(1) as u64
    }

    /// Forgets everything, for the next part.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.left_out = 0;
    }

    /// Forgets what was met.
    pub(crate) fn unmeet(&mut self) {
        self.list.iter_mut().chain(&mut self.older).for_each(|digest| *digest &= !FLAGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a record that came twice and is met three times in a lane, and once in the recorder's other form.
    /// Guarantees: two of the three are copies; both places are told apart; what was met in a lane is forgotten with the next
    /// scan.
    #[test]
    fn each_copy_is_met_once() {
        let mut seen = Seen::default();
        [8, 4096, 8].into_iter().for_each(|digest| seen.add(digest));
        seen.settle();
        let met: Vec<bool> = (0..3).map(|_| seen.met(8, Place::Lane)).collect();
        assert_eq!(met, [true, true, false]);
        assert!(seen.met(8, Place::Recorder) && !seen.met(12, Place::Recorder));
        seen.begin();
        assert!(!seen.met(8, Place::Recorder) && seen.met(4096, Place::Lane));
    }
}
