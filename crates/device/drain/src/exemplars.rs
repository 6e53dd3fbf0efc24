//! Exemplars on their way to an OTLP endpoint. OTLP has a place for them in their points only, while a kept trace's frame
//! carries them apart: so they are held until their trace is confirmed there, and go with the next point of their series
//! (P5).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use model::TraceId;
use model::otlp::{PointView, for_each_scope, messages};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed32, put_fixed64, put_message, put_uint};

/// Exemplars that wait for a point may take so many bytes; the oldest ones go first.
const HELD_BYTES: usize = 64 << 10;
/// So many confirmed traces are remembered, for exemplars that come later than their trace.
const CONFIRMED: usize = 4096;
/// Field of a `Span`. What was decoded from a frame has it once, before all others.
const TRACE_ID: u32 = 1;
/// The most memory that the exemplars of one destination take, bytes.
pub const EXEMPLAR_BYTES: usize = HELD_BYTES + CONFIRMED * size_of::<u64>();
/// What an exemplar takes beside its bytes.
const OVERHEAD: usize = size_of::<Held>() + 16;

struct Held {
    series: u64,
    time_ns: u64,
    exemplar: Box<[u8]>,
}

/// What became of exemplars, since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExemplarCounts {
    /// That went with a point of their series, after their trace was confirmed.
    pub sent: u64,
    /// Whose trace is not known to be there, or that found no point in time.
    pub left_out: u64,
}

/// Exemplars between traces that were confirmed and points that are sent, at one destination or from one to another. What waits lives
/// in memory, at most [`EXEMPLAR_BYTES`].
#[derive(Clone, Default)]
pub struct ExemplarHold(Rc<RefCell<Exemplars>>);

impl ExemplarHold {
    /// What became of them.
    pub fn counts(&self) -> ExemplarCounts {
        let exemplars = self.0.borrow();
        ExemplarCounts { sent: exemplars.sent, left_out: exemplars.left_out }
    }

    /// These spans (`TracesData`) are there: what links to their traces may follow.
    pub(crate) fn confirm(&self, traces: &[u8]) {
        let mut exemplars = self.0.borrow_mut();
        if exemplars.confirm(traces).is_err() {
            exemplars.left_out += 1;
        }
    }

    /// Takes exemplars (`ExemplarsData`) whose traces are confirmed.
    pub(crate) fn hold(&self, data: &[u8]) {
        let mut exemplars = self.0.borrow_mut();
        if exemplars.hold(data).is_err() {
            exemplars.left_out += 1;
        }
    }

    /// The request with those that its points take; `None` when there is none.
    pub(crate) fn attach(&self, metrics: &[u8]) -> Option<Attached> {
        self.0.borrow().attach(metrics).unwrap_or_default()
    }

    /// See [`Exemplars::release`].
    pub(crate) fn release(&self, attached: &Attached, sent: bool) {
        self.0.borrow_mut().release(attached, sent);
    }
}

/// The exemplars of one destination.
#[derive(Default)]
struct Exemplars {
    /// Fingerprints of traces that the destination has, each at a place that follows from it; the later one stays.
    confirmed: Vec<u64>,
    held: VecDeque<Held>,
    bytes: usize,
    /// That went with a point.
    sent: u64,
    /// Whose trace is not known to be there, or that found no point in time.
    left_out: u64,
}

/// A request with exemplars in its points, and how many of the held ones these are, by place.
pub(crate) struct Attached {
    pub(crate) metrics: Vec<u8>,
    places: Vec<usize>,
}

/// Trace ids are random already; 64-bit ones are padded on either side, so that both halves count.
fn fingerprint(trace: &TraceId) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (high, low) = (u128::from_be_bytes(trace.0) >> 64, u128::from_be_bytes(trace.0));
    let mixed = ((high as u64).wrapping_mul(ODD) ^ (low as u64).rotate_left(32)).wrapping_mul(ODD);
    // 0 stands for an empty place.
    (mixed ^ mixed >> 32).max(1)
}

fn series<'a>(
    resource: &[u8],
    scope: &[u8],
    name: &[u8],
    attributes: impl Iterator<Item = Result<&'a [u8], ProtoError>>,
) -> Result<u64, ProtoError> {
    let mut hasher = DefaultHasher::new();
    (resource, scope, name).hash(&mut hasher);
    for pair in attributes {
        pair?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// The last 64-bit number of this field.
fn fixed64(message: &[u8], wanted: u32) -> Result<u64, ProtoError> {
    let (mut found, mut reader) = (0, Reader::new(message));
    while let Some((number, value)) = reader.next_field()? {
        if let (true, Value::Fixed64(bits)) = (number == wanted, value) {
            found = bits;
        }
    }
    Ok(found)
}

fn first(message: &[u8], number: u32) -> Result<&[u8], ProtoError> {
    messages(message, number).next().unwrap_or(Ok(&[]))
}

impl Exemplars {
    /// The destination has these spans (`TracesData`): their traces may be linked to.
    fn confirm(&mut self, traces: &[u8]) -> Result<(), ProtoError> {
        // Spans of a trace mostly stand together.
        let mut last = None;
        for_each_scope::<ProtoError>(traces, |scope| {
            for span in scope.items() {
                let Some(trace) = TraceId::from_bytes(first(span?, TRACE_ID)?).filter(|trace| last != Some(*trace))
                else {
                    continue;
                };
                last = Some(trace);
                if self.confirmed.is_empty() {
                    self.confirmed = vec![0; CONFIRMED];
                }
                let print = fingerprint(&trace);
                self.confirmed[print as usize % CONFIRMED] = print;
            }
            Ok(())
        })
    }

    fn is_confirmed(&self, trace: &TraceId) -> bool {
        let print = fingerprint(trace);
        self.confirmed.get(print as usize % CONFIRMED) == Some(&print)
    }

    /// Holds the exemplars of an `ExemplarsData` whose traces are confirmed, until a point of their series goes.
    fn hold(&mut self, data: &[u8]) -> Result<(), ProtoError> {
        for one in messages(data, 1) {
            let one = one?;
            let series = series(first(one, 1)?, first(one, 2)?, first(one, 3)?, messages(one, 5))?;
            for exemplar in messages(one, 6) {
                let exemplar = exemplar?;
                if !TraceId::from_bytes(first(exemplar, 5)?).is_some_and(|trace| self.is_confirmed(&trace)) {
                    self.left_out += 1;
                    continue;
                }
                self.bytes += exemplar.len() + OVERHEAD;
                self.held.push_back(Held { series, time_ns: fixed64(exemplar, 2)?, exemplar: exemplar.into() });
            }
        }
        while self.bytes > HELD_BYTES
            && let Some(oldest) = self.held.pop_front()
        {
            self.bytes -= oldest.exemplar.len() + OVERHEAD;
            self.left_out += 1;
        }
        Ok(())
    }

    /// The request with each held exemplar in the first point of its series that is not older; `None` when there is none.
    fn attach(&self, metrics: &[u8]) -> Result<Option<Attached>, ProtoError> {
        if self.held.is_empty() {
            return Ok(None);
        }
        // (position of a point in the request, place of an exemplar)
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        let mut position = 0;
        for_each_scope::<ProtoError>(metrics, |scope| {
            for metric in scope.items() {
                let metric = metric?;
                let name = first(metric, 1)?;
                PointView::for_each::<ProtoError>(metric, |point| {
                    let (attributes, place) = point.field_numbers();
                    if place.is_some() {
                        let pairs_of = messages(point.bytes, attributes);
                        let series = series(scope.resource.resource, scope.scope, name, pairs_of)?;
                        let time = fixed64(point.bytes, 3)?;
                        for (place, held) in self.held.iter().enumerate() {
                            let fits = held.series == series && held.time_ns <= time;
                            if fits && !pairs.iter().any(|(_, taken)| *taken == place) {
                                pairs.push((position, place));
                            }
                        }
                    }
                    position += 1;
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        if pairs.is_empty() {
            return Ok(None);
        }
        let mut writer = Writer { held: &self.held, pairs: &pairs, position: 0 };
        let mut with = Vec::with_capacity(metrics.len() + self.bytes);
        writer.copy(metrics, 0, 0, &mut with)?;
        Ok(Some(Attached { metrics: with, places: pairs.into_iter().map(|(_, place)| place).collect() }))
    }

    /// These need not wait any more: they are there, or the destination does not want them.
    fn release(&mut self, attached: &Attached, sent: bool) {
        let count = attached.places.len() as u64;
        if sent {
            self.sent += count;
        } else {
            self.left_out += count;
        }
        let mut place = 0;
        let bytes = &mut self.bytes;
        self.held.retain(|held| {
            let stays = !attached.places.contains(&place);
            place += 1;
            *bytes -= if stays { 0 } else { held.exemplar.len() + OVERHEAD };
            stays
        });
    }
}

struct Writer<'a> {
    held: &'a VecDeque<Held>,
    pairs: &'a [(usize, usize)],
    /// Counts points.
    position: usize,
}

impl Writer<'_> {
    /// Copies a message of the metrics schema, `level` steps below the request, and puts exemplars behind their points.
    fn copy(&mut self, message: &[u8], level: u8, kind: u32, out: &mut Vec<u8>) -> Result<(), ProtoError> {
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.next_field()? {
            let bytes = match value {
                Value::Bytes(bytes) => bytes,
                Value::Varint(value) => {
                    put_uint(out, number, value);
                    continue;
                }
                Value::Fixed64(bits) => {
                    put_fixed64(out, number, bits);
                    continue;
                }
                Value::Fixed32(bits) => {
                    put_fixed32(out, number, bits);
                    continue;
                }
            };
            let mut failed = Ok(());
            match (level, number) {
                // resource_metrics, scope_metrics, metrics, data
                (0, 1) | (1 | 2, 2) | (3, 5 | 7 | 9 | 10 | 11) => {
                    put_message(out, number, |out| failed = self.copy(bytes, level + 1, number, out));
                }
                // data_points
                (4, 1) => put_message(out, number, |out| self.point(PointView { kind, bytes }, out)),
                _ => put_bytes(out, number, bytes),
            }
            failed?;
        }
        Ok(())
    }

    fn point(&mut self, point: PointView<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(point.bytes);
        if let Some(number) = point.field_numbers().1 {
            let of_point = self.pairs.iter().filter(|(position, _)| *position == self.position);
            of_point
                .filter_map(|(_, place)| self.held.get(*place))
                .for_each(|held| put_bytes(out, number, &held.exemplar));
        }
        self.position += 1;
    }
}
