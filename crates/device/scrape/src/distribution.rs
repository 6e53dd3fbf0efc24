//! Histograms and summaries that come as one value: those of protobuf, and composite values of OpenMetrics 2.0.

/// The most buckets of one side of a native histogram, with the empty ones between.
const MAX_NATIVE: usize = 4096;

/// A histogram or summary.
#[derive(Debug, Default)]
pub(crate) struct Distribution {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    /// Upper bounds, and what lies at or below them.
    pub(crate) buckets: Vec<(f64, f64)>,
    pub(crate) quantiles: Vec<(f64, f64)>,
    pub(crate) native: Native,
    pub(crate) is_native: bool,
}

/// Buckets that grow by a factor.
#[derive(Debug, Default)]
pub(crate) struct Native {
    pub(crate) schema: i64,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: f64,
    pub(crate) positive: Side,
    pub(crate) negative: Side,
}

/// The buckets on one side of zero.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// Distance from the span before, and length.
    pub(crate) spans: Vec<(i64, u64)>,
    /// What lies in each bucket.
    pub(crate) counts: Vec<f64>,
}

impl Distribution {
    /// Begins anew, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        (self.count, self.sum, self.is_native) = (0.0, 0.0, false);
        self.buckets.clear();
        self.quantiles.clear();
        let Native { schema, zero_threshold, zero_count, positive, negative } = &mut self.native;
        (*schema, *zero_threshold, *zero_count) = (0, 0.0, 0.0);
        for side in [positive, negative] {
            side.spans.clear();
            side.counts.clear();
        }
    }
}

impl Side {
    /// Writes each bucket's count, with zeros between spans, over `out`: the index of the first one. `None` where spans and counts do not
    /// belong together, or lie too far apart.
    pub(crate) fn dense(&self, out: &mut Vec<u64>) -> Option<i64> {
        out.clear();
        let mut counts = self.counts.iter();
        let first = self.spans.first().map_or(0, |span| span.0);
        if i32::try_from(first).is_err() {
            return None;
        }
        for (place, (offset, length)) in self.spans.iter().enumerate() {
            if place > 0 {
                let gap = usize::try_from(*offset).ok()?;
                if gap > MAX_NATIVE {
                    return None;
                }
                out.resize(out.len() + gap, 0);
            }
            for _ in 0..*length {
                out.push(whole(*counts.next()?)?);
                if out.len() > MAX_NATIVE {
                    return None;
                }
            }
        }
        counts.next().is_none().then_some(first)
    }
}

/// A count as OTLP has it; `None` for one that is none.
pub(crate) fn whole(number: f64) -> Option<u64> {
    // Beyond 2^53 a float is no exact count any more, and 2^63 is far beyond that.
    let fits = (0.0..=9e15).contains(&number) && number.fract() == 0.0;
    fits.then_some(number as u64)
}
