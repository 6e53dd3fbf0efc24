//! How many series a metric may have. Those beyond it end in one overflow series, as OpenTelemetry's SDKs do it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use model::otlp::{PointView, ScopeGroup, Selection, for_each_scope};
use model::proto::{ProtoError, Reader, Value};

use crate::overflow::Overflow;
use crate::points::without;

/// So many series are watched at most, of all metrics together: those of further ones are not counted.
pub(crate) const MAX_SERIES: usize = 3584;
/// So many metrics are watched at most.
const MAX_METRICS: usize = 896;
/// A series that sends nothing for this long to twice as long is forgotten.
const FORGET_NS: u64 = 600_000_000_000;

/// How many series of a metric are known: of this stretch of time, and of the one before that sent nothing since.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    newest: u32,
    older: u32,
}

/// Which series there are. Memory is bounded, whatever comes.
#[derive(Debug)]
pub struct SeriesLimit {
    /// Series of one metric of one resource; 0: without a bound.
    per_metric: u32,
    hasher: RandomState,
    /// Fingerprints: of those that should overflow, one in two million is taken for a known one, and stays.
    newest: HashSet<u32, RandomState>,
    older: HashSet<u32, RandomState>,
    metrics: HashMap<u64, Known, RandomState>,
    rotated_ns: u64,
    /// Points of series that are not watched.
    unwatched: u64,
}

/// A request whose metrics have more series than they may.
#[derive(Debug)]
pub struct Overflowed {
    /// What is left of it.
    pub request: Vec<u8>,
    /// What was taken out of it.
    pub overflow: Overflow,
}

/// What is to be done with a point.
enum Place {
    Stays,
    Overflows,
}

impl Default for SeriesLimit {
    /// Without a bound.
    fn default() -> Self {
        Self::new(0)
    }
}

impl SeriesLimit {
    /// What it takes at most.
    pub const BYTES: u64 = 96 << 10;

    /// So many series may one metric of one resource have; 0: any number.
    pub fn new(per_metric: u32) -> Self {
        Self {
            per_metric,
            hasher: RandomState::default(),
            newest: HashSet::default(),
            older: HashSet::default(),
            metrics: HashMap::default(),
            rotated_ns: 0,
            unwatched: 0,
        }
    }

    /// How many series are known.
    pub fn series(&self) -> usize {
        self.newest.len() + self.older.len()
    }

    /// Points of series that are not watched, because there are too many series or metrics.
    pub fn unwatched(&self) -> u64 {
        self.unwatched
    }

    /// What is left of a `MetricsData` without the points of series beyond what their metrics may have; `None` where all of it stays.
    /// Metrics for which `exempt` says so stay.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes do not walk.
    pub fn admit(
        &mut self,
        request: &[u8],
        now_ns: u64,
        mut exempt: impl FnMut(&ScopeGroup<'_>, &[u8]) -> Result<bool, ProtoError>,
    ) -> Result<Option<Overflowed>, ProtoError> {
        if self.per_metric == 0 {
            return Ok(None);
        }
        self.rotate(now_ns);
        // Nearly always all of it stays: then nothing is copied.
        let mut places = self.overflowing(request)?;
        if places.is_empty() {
            return Ok(None);
        }
        let mut item_number = 0usize;
        for_each_scope::<ProtoError>(request, |scope| {
            for metric in scope.items() {
                if places.iter().any(|(item, _)| *item == item_number) && exempt(&scope, metric?)? {
                    places.retain(|(item, _)| *item != item_number);
                }
                item_number += 1;
            }
            Ok(())
        })?;
        if places.is_empty() {
            return Ok(None);
        }
        let (mut left, mut overflow) = (Selection::default(), Overflow::default());
        let (mut item_number, mut places) = (0usize, places.into_iter().peekable());
        for_each_scope::<ProtoError>(request, |scope| {
            for metric in scope.items() {
                let metric = metric?;
                let mut out = Vec::new();
                while let Some((_, number)) = places.next_if(|(item, _)| *item == item_number) {
                    out.push(number);
                }
                item_number += 1;
                if out.is_empty() {
                    left.push(&scope, metric);
                    continue;
                }
                let mut number = 0usize;
                let mut wanted = out.iter().copied().peekable();
                PointView::for_each::<ProtoError>(metric, |point| {
                    if wanted.next_if_eq(&number).is_some() {
                        overflow.add(&scope, metric, point)?;
                    }
                    number += 1;
                    Ok(())
                })?;
                if out.len() < number {
                    left.push(&scope, &without(metric, &out)?);
                }
            }
            Ok(())
        })?;
        let mut request = Vec::with_capacity(left.bytes());
        left.write(&mut request);
        Ok(Some(Overflowed { request, overflow }))
    }

    /// The points of series that are beyond what their metrics may have, by the positions of metric and point, which rise. It is a function
    /// of its own in the program, so that it is known what it costs.
    #[inline(never)]
    fn overflowing(&mut self, request: &[u8]) -> Result<Vec<(usize, usize)>, ProtoError> {
        let (mut places, mut item_number) = (Vec::new(), 0usize);
        for_each_scope::<ProtoError>(request, |scope| {
            let of_resource = hashed(&self.hasher, 0, scope.resource.resource);
            for metric in scope.items() {
                let metric = metric?;
                let name = Reader::new(metric).last_bytes(1)?.unwrap_or_default();
                let key = hashed(&self.hasher, of_resource, name);
                let mut number = 0usize;
                PointView::for_each::<ProtoError>(metric, |point| {
                    if let Place::Overflows = self.place(key, point) {
                        places.push((item_number, number));
                    }
                    number += 1;
                    Ok(())
                })?;
                item_number += 1;
            }
            Ok(())
        })?;
        Ok(places)
    }

    fn place(&mut self, metric: u64, point: PointView<'_>) -> Place {
        let attributes = point.field_numbers().0;
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(metric);
        let mut reader = Reader::new(point.bytes);
        while let Ok(Some((number, value))) = reader.next_field() {
            if let (true, Value::Bytes(pair)) = (number == attributes, value) {
                hasher.write(pair);
            }
        }
        let series = hasher.finish() as u32;
        if self.newest.contains(&series) {
            return Place::Stays;
        }
        let Some(known) = self.known(metric) else {
            self.unwatched += 1;
            return Place::Stays;
        };
        let count = known.newest + known.older;
        if self.older.remove(&series) {
            self.newest.insert(series);
            self.metrics.insert(metric, Known { newest: known.newest + 1, older: known.older.saturating_sub(1) });
            return Place::Stays;
        }
        if count >= self.per_metric {
            return Place::Overflows;
        }
        if self.newest.len() + self.older.len() >= MAX_SERIES {
            self.unwatched += 1;
            return Place::Stays;
        }
        self.newest.insert(series);
        self.metrics.insert(metric, Known { newest: known.newest + 1, ..known });
        Place::Stays
    }

    /// What is known of a metric; `None` where there is no place for it.
    fn known(&mut self, metric: u64) -> Option<Known> {
        if self.metrics.len() >= MAX_METRICS && !self.metrics.contains_key(&metric) {
            return None;
        }
        Some(*self.metrics.entry(metric).or_default())
    }

    fn rotate(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.rotated_ns) < FORGET_NS {
            return;
        }
        self.rotated_ns = now_ns;
        self.older = std::mem::take(&mut self.newest);
        self.metrics.retain(|_, known| {
            *known = Known { newest: 0, older: known.newest };
            known.older > 0
        });
    }
}

fn hashed(hasher: &RandomState, seed: u64, bytes: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write_u64(seed);
    hasher.write(bytes);
    hasher.finish()
}
