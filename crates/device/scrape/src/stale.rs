//! What is known of a target's series from one scrape to the next: enough to say that one of them has ended.

use model::otlp::{attribute, messages};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_head, put_message, put_uint};

use crate::writer::{group_hash, identity};

/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`
const NO_RECORDED_VALUE: u64 = 1;

/// The series of a target that were there at its last scrape.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Their identities, sorted.
    identities: Vec<u64>,
    /// The request that says that all of them have ended, without a time, compressed.
    markers: Vec<u8>,
}

impl Known {
    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.identities.capacity() * size_of::<u64>() + self.markers.capacity()
    }

    /// Whether a series was there.
    pub(crate) fn has(&self, identity: u64) -> bool {
        self.identities.binary_search(&identity).is_ok()
    }

    /// How many there were.
    pub(crate) fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether there were none.
    pub(crate) fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// The request that marks those as ended for which this is true; `None` where there are none.
    pub(crate) fn markers(&self, time: u64, ended: impl Fn(u64) -> bool) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        // It was written here: what cannot be read back would be a fault of this program, and marks nothing.
        let all = lz4_flex::decompress_size_prepended(&self.markers).ok()?;
        let (marked, points) = rewrite(&all, time, |identity, _| ended(identity)).ok()?;
        (points > 0).then_some(marked)
    }

    /// Knows those of a request that was written now, for which this is true.
    pub(crate) fn of(request: &[u8], mut identities: Vec<u64>, is_tracked: impl Fn(u64, u64) -> bool) -> Self {
        identities.sort_unstable();
        identities.dedup();
        identities.shrink_to_fit();
        let mut markers = match rewrite(request, 0, is_tracked) {
            Ok((all, _)) => lz4_flex::compress_prepend_size(&all),
            Err(_) => Vec::new(),
        };
        markers.shrink_to_fit();
        Self { identities, markers }
    }

    /// Knows none any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A request with the points of another one that are wanted, by identity and time, each of which only says that it has no value; and how many
/// they are. Buckets and quantiles stay, so that each series of them is marked.
fn rewrite(request: &[u8], time: u64, wanted: impl Fn(u64, u64) -> bool) -> Result<(Vec<u8>, u64), ProtoError> {
    let (mut out, mut points) = (Vec::new(), 0);
    for group in messages(request, 1) {
        let group = group?;
        let resource = last(group, 1)?;
        let text = |key| attribute(resource, 1, key).and_then(|any| Reader::new(any).last_bytes(1).ok().flatten());
        let (job, instance) = (text("service.name"), text("service.instance.id"));
        let hash = group_hash(job.unwrap_or_default(), instance.unwrap_or_default());
        let mut inside = Vec::new();
        for scope in messages(group, 2) {
            rewrite_scope(scope?, (time, hash), &wanted, &mut inside, &mut points)?;
        }
        if !inside.is_empty() {
            put_message(&mut out, 1, |out| {
                put_bytes(out, 1, resource);
                out.extend_from_slice(&inside);
            });
        }
    }
    Ok((out, points))
}

fn last(message: &[u8], number: u8) -> Result<&[u8], ProtoError> {
    Ok(Reader::new(message).last_bytes(number)?.unwrap_or_default())
}

fn rewrite_scope(
    bytes: &[u8],
    (time, group): (u64, u64),
    wanted: &impl Fn(u64, u64) -> bool,
    out: &mut Vec<u8>,
    points: &mut u64,
) -> Result<(), ProtoError> {
    let (scope, url) = (last(bytes, 1)?, last(bytes, 3)?);
    let mut metrics = Vec::new();
    for metric in messages(bytes, 2) {
        let metric = metric?;
        let name = last(metric, 1)?;
        let mut data = Vec::new();
        let mut reader = Reader::new(metric);
        while let Some(field) = reader.next_field()? {
            let (kind @ (5 | 7 | 9 | 10 | 11), Value::Bytes(found)) = field else { continue };
            let mut kept = Vec::new();
            for point in messages(found, 1) {
                let point = Point::read(kind, point?)?;
                if wanted(identity(group, scope, name, &point.attributes), point.time) {
                    put_message(&mut kept, 1, |out| point.put_ended(out, time));
                    *points += 1;
                }
            }
            if !kept.is_empty() {
                beside_points(found, &mut kept)?;
                put_bytes(&mut data, kind, &kept);
            }
        }
        if data.is_empty() {
            continue;
        }
        put_message(&mut metrics, 2, |out| {
            put_bytes(out, 1, name);
            for number in [2, 3] {
                if let Ok(text @ [_, ..]) = last(metric, number) {
                    put_bytes(out, u32::from(number), text);
                }
            }
            out.extend_from_slice(&data);
            for pair in messages(metric, 12).flatten() {
                put_bytes(out, 12, pair);
            }
        });
    }
    if !metrics.is_empty() {
        put_message(out, 2, |out| {
            if !scope.is_empty() {
                put_bytes(out, 1, scope);
            }
            out.extend_from_slice(&metrics);
            if !url.is_empty() {
                put_bytes(out, 3, url);
            }
        });
    }
    Ok(())
}

/// Copies temporality and whether a sum only grows.
fn beside_points(data: &[u8], out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let mut reader = Reader::new(data);
    while let Some((number, value)) = reader.next_field()? {
        if let Value::Varint(value) = value {
            put_uint(out, number, value);
        }
    }
    Ok(())
}

/// What of a point stays when it only says that it has ended.
#[derive(Default)]
struct Point {
    kind: u32,
    time: u64,
    attributes: Vec<u8>,
    /// Fields of histograms and summaries that tell which series they have, without values.
    series: Vec<u8>,
}

impl Point {
    fn read(kind: u32, bytes: &[u8]) -> Result<Self, ProtoError> {
        let mut point = Self { kind, ..Self::default() };
        let own = match kind {
            9 => 9,
            10 => 1,
            _ => 7,
        };
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match (kind, number, value) {
                (_, 3, Value::Fixed64(time)) => point.time = time,
                (_, number, Value::Bytes(pair)) if number == own => put_bytes(&mut point.attributes, number, pair),
                (9 | 11, 4 | 5, Value::Fixed64(_)) => put_fixed64(&mut point.series, number, 0),
                (9, 6, Value::Bytes(counts)) => {
                    put_head(&mut point.series, 6, counts.len());
                    point.series.resize(point.series.len() + counts.len(), 0);
                }
                (9, 7, Value::Bytes(bounds)) => put_bytes(&mut point.series, 7, bounds),
                (11, 6, Value::Bytes(quantile)) => {
                    let mut reader = Reader::new(quantile);
                    while let Some(field) = reader.next_field()? {
                        if let (1, Value::Fixed64(bits)) = field {
                            put_message(&mut point.series, 6, |out| put_fixed64(out, 1, bits));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(point)
    }

    fn put_ended(&self, out: &mut Vec<u8>, time: u64) {
        out.extend_from_slice(&self.attributes);
        put_fixed64(out, 3, time);
        out.extend_from_slice(&self.series);
        let flags = if matches!(self.kind, 9 | 10) { 10 } else { 8 };
        put_uint(out, flags, NO_RECORDED_VALUE);
    }
}
