//! Series that are one point together: buckets, sum and count of a histogram, quantiles of a summary, a counter and its start.

use crate::distribution::whole;
use crate::kind::{Kind, Part};
use crate::labels::Labels;
use crate::writer::Exemplars;

/// The series of one family with the same labels and time.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// What tells it from others of the family.
    pub(crate) key: u64,
    /// The name that all of its series begin with.
    pub(crate) base: String,
    /// What the name of a counter has behind that.
    pub(crate) suffix: &'static str,
    /// Without `le` and `quantile`.
    pub(crate) labels: Labels,
    pub(crate) kind: Kind,
    /// Unix nanoseconds; and whether it is the target's own.
    pub(crate) time: (u64, bool),
    pub(crate) start: Option<u64>,
    pub(crate) number: Option<f64>,
    pub(crate) count: Option<f64>,
    pub(crate) sum: Option<f64>,
    pub(crate) buckets: Vec<(f64, f64)>,
    pub(crate) quantiles: Vec<(f64, f64)>,
    pub(crate) exemplars: Exemplars,
    /// Samples that came a second time.
    pub(crate) duplicates: u64,
}

impl Group {
    /// Begins anew, and keeps the memory.
    pub(crate) fn begin(&mut self, key: u64, base: &str, labels: &Labels, kind: Kind, time: (u64, bool)) {
        self.key = key;
        self.base.clear();
        self.base.push_str(base);
        self.labels.copy(labels);
        (self.kind, self.time, self.start) = (kind, time, None);
        (self.number, self.count, self.sum) = (None, None, None);
        self.buckets.clear();
        self.quantiles.clear();
        self.exemplars.clear();
        self.duplicates = 0;
    }

    /// Adds one of its series; `bound` is that of a bucket or quantile.
    pub(crate) fn add(&mut self, part: Part, bound: f64, value: f64) {
        let place = match part {
            Part::Single => &mut self.number,
            Part::Count => &mut self.count,
            Part::Sum => &mut self.sum,
            Part::Created => {
                // A time, not a number of its own.
                self.start =
                    (value.is_finite() && value > 0.0).then(|| crate::number::of_millis((value * 1000.0) as i64));
                return;
            }
            Part::Bucket | Part::Quantile => {
                let list = if part == Part::Bucket { &mut self.buckets } else { &mut self.quantiles };
                // They come in their order; only where one does not, it may be there already.
                let is_new = list.last().is_none_or(|(last, _)| *last < bound)
                    || !list.iter().any(|(other, _)| other.total_cmp(&bound).is_eq());
                match is_new {
                    true => list.push((bound, value)),
                    false => self.duplicates += 1,
                }
                return;
            }
        };
        match place {
            None => *place = Some(value),
            Some(_) => self.duplicates += 1,
        }
    }

    /// How many series of Prometheus it is.
    pub(crate) fn series(&self) -> u64 {
        let single = [self.number, self.count, self.sum].iter().flatten().count();
        (single + self.buckets.len() + self.quantiles.len()) as u64
    }

    /// The count of a histogram that is whole: OTLP's point then says exactly what its series say. Counts of its buckets go to `counts`.
    pub(crate) fn histogram(&mut self, counts: &mut Vec<u64>) -> Option<u64> {
        counts.clear();
        let count = whole(self.count?)?;
        self.buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let mut below = 0;
        for (_, cumulative) in &self.buckets {
            let cumulative = whole(*cumulative)?;
            counts.push(cumulative.checked_sub(below)?);
            below = cumulative;
        }
        let (last, _) = self.buckets.last()?;
        (*last == f64::INFINITY && below == count).then_some(count)
    }

    /// Count and sum of a summary that is whole.
    pub(crate) fn summary(&mut self) -> Option<(u64, f64)> {
        self.quantiles.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Some((whole(self.count?)?, self.sum?))
    }

    /// The memory that it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.labels.capacity() + (self.buckets.capacity() + self.quantiles.capacity()) * size_of::<(f64, f64)>()
    }
}
