//! Where in a segment something may be found: by the times and tokens that its footer and index tell.

use disk::Disk;
use model::TraceId;

use crate::file::SegmentFile;
use crate::format::Footer;
use crate::index::{Index, Key};
use crate::key::FIXED;
use crate::summary::earliest;

/// What is looked for: entries that pass all of it. Where the index does not rule an entry out it is a candidate.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Earliest event time, Unix nanoseconds.
    pub from_ns: u64,
    /// Latest event time, inclusive, Unix nanoseconds.
    pub to_ns: u64,
    /// Only entries that may hold parts of this trace.
    pub trace: Option<&'a TraceId>,
    /// Only entries that may hold each of these as a whole string.
    pub texts: &'a [Vec<u8>],
}

impl Search<'_> {
    /// Whether event times lie within what is looked for; 0 as the earliest when they are not known.
    pub fn overlaps(&self, start_ns: u64, end_ns: u64) -> bool {
        start_ns == 0 || (start_ns <= self.to_ns && earliest(end_ns, start_ns).max(end_ns) >= self.from_ns)
    }

    /// Where in a file of `len` bytes it may be: offsets of beginning and end of each stretch. Adds what was read to `read`.
    pub fn candidates<D: Disk>(
        &self,
        disk: &D,
        file: &SegmentFile<D::File>,
        footer: Option<&Footer>,
        len: u64,
        read: &mut u64,
    ) -> Vec<(u64, u64)> {
        let Some(footer) = footer else { return vec![(FIXED, len)] };
        let end = u64::from(footer.data_end);
        if footer.entries == 0 || !self.overlaps(footer.start_ns, footer.end_ns) {
            return Vec::new();
        }
        let Some(index) = Index::read(disk, file, footer, read) else { return vec![(FIXED, end)] };
        let mut wanted = vec![true; index.len()];
        let texts = self.texts.iter().filter_map(|text| Key::text(text));
        for token in self.trace.into_iter().map(Key::trace).chain(texts) {
            if wanted.contains(&true) {
                index.narrow(disk, file, &token, &mut wanted, read);
            }
        }
        if !wanted.contains(&true) {
            return Vec::new();
        }
        let Some(groups) = index.table(disk, file, read) else { return vec![(FIXED, end)] };
        let ends = groups.iter().skip(1).map(|group| u64::from(group.offset)).chain([end]);
        let ranges = groups
            .iter()
            .zip(ends)
            .zip(wanted)
            .filter(|((group, _), wanted)| *wanted && self.overlaps(group.start_ns, group.end_ns));
        ranges.map(|((group, end), _)| (u64::from(group.offset), end)).collect()
    }
}
