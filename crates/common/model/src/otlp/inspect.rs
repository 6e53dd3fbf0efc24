//! The look at a whole request, once, at the door: what may go on, what is rejected and why, what has to be mended. What
//! passes here, as it is or through [`super::Pieces`], can be walked and encoded later without a fault.

use super::bounds::{MAX_AROUND, MAX_PARTS, MAX_RECORD};
use super::facts::SpanFacts;
use super::findings::{Findings, is_utf8, point_schema};
use super::schema::{self, Kind, Message};
use super::views::{LogFields, LogView, ScopeGroup, SpanView, messages, scopes};
use crate::proto::{ProtoError, Reader, Value};
use crate::{Refusal, RefusalCounts, Signal, SpanId, TraceId};

/// What the look at a request found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Records that go on.
    pub records: u64,
    /// Records that do not, by reason.
    pub rejected: RefusalCounts,
    /// What is mended in those that go on, by reason: texts, ids and times.
    pub mended: RefusalCounts,
    /// Messages, values and numbers in all of it.
    pub parts: usize,
    /// Whether some record or resource names a lane.
    pub names_lane: bool,
}

impl Inspection {
    /// Whether the bytes can go on as they are.
    pub fn is_clean(&self) -> bool {
        self.rejected.total() == 0 && self.mended.total() == 0
    }

    fn count(&mut self, found: &Findings, records: u64, around: Option<Refusal>) {
        match around.or(found.fault) {
            Some(reason) => self.rejected.add(reason, records),
            None => {
                self.records += records;
                self.mend(found);
            }
        }
    }

    fn mend(&mut self, found: &Findings) {
        self.mended.add(Refusal::InvalidUtf8, found.texts);
        self.mended.add(Refusal::InvalidId, found.ids);
        self.parts += found.parts;
        self.names_lane |= found.names_lane;
    }
}

pub(super) fn bounded(mut found: Findings, bytes: usize, most: usize) -> Findings {
    if bytes > most {
        found.refuse(Refusal::TooLarge);
    }
    if found.parts > MAX_PARTS {
        found.refuse(Refusal::TooManyRecords);
    }
    found
}

/// The first bytes of fields that nearly all spans have: number and wire type.
mod keys {
    pub(super) const TRACE_ID: u8 = 1 << 3 | 2;
    pub(super) const SPAN_ID: u8 = 2 << 3 | 2;
    pub(super) const PARENT_SPAN_ID: u8 = 4 << 3 | 2;
    pub(super) const NAME: u8 = 5 << 3 | 2;
    pub(super) const KIND: u8 = 6 << 3;
    pub(super) const START: u8 = 7 << 3 | 1;
    pub(super) const END: u8 = 8 << 3 | 1;
    /// Of the two bytes before the flags.
    pub(super) const FLAGS: [u8; 2] = [0x80 | (16 << 3 | 5) as u8, 1];
}

/// Looks at the next field of a span, where it is one that nearly all have and is written as always; otherwise it stays.
#[inline(always)]
fn glance<'a>(reader: &mut Reader<'a>, found: &mut Findings, span: &mut SpanView<'a>) -> bool {
    let behind = match reader.rest() {
        [keys::TRACE_ID, 16, rest @ ..] if let Some((id, behind)) = rest.split_first_chunk::<16>() => {
            span.trace_id = TraceId::from_bytes(id);
            behind
        }
        [keys::SPAN_ID, 8, rest @ ..] if let Some((id, behind)) = rest.split_first_chunk::<8>() => {
            span.span_id = SpanId::from_bytes(id);
            behind
        }
        [keys::PARENT_SPAN_ID, 8, rest @ ..] if let Some((id, behind)) = rest.split_first_chunk::<8>() => {
            span.parent_span_id = SpanId::from_bytes(id);
            behind
        }
        [keys::NAME, length @ ..0x80, rest @ ..]
            if let Some((name, behind)) = rest.split_at_checked(usize::from(*length)) =>
        {
            found.text(name);
            span.name = name;
            behind
        }
        [keys::KIND, kind @ ..0x80, behind @ ..] => {
            span.kind = u64::from(*kind);
            behind
        }
        [keys::START, rest @ ..] if let Some((time, behind)) = rest.split_first_chunk::<8>() => {
            span.start_ns = u64::from_le_bytes(*time);
            behind
        }
        [keys::END, rest @ ..] if let Some((time, behind)) = rest.split_first_chunk::<8>() => {
            span.end_ns = u64::from_le_bytes(*time);
            behind
        }
        [first, second, rest @ ..]
            if keys::FLAGS == [*first, *second]
                && let Some((flags, behind)) = rest.split_first_chunk::<4>() =>
        {
            span.flags = u32::from_le_bytes(*flags);
            behind
        }
        _ => return false,
    };
    found.parts += 1;
    reader.go_on_at(behind);
    true
}

/// Looks at a span. Its ids are required (trace.proto).
pub(super) fn look_at_span(item: &[u8]) -> Result<(Findings, SpanView<'_>), ProtoError> {
    const ATTRIBUTES: u32 = 9;
    let (mut found, mut span, mut fault) = (Findings::default(), SpanView::of(item), None);
    let mut reader = Reader::new(item);
    loop {
        if glance(&mut reader, &mut found, &mut span) {
            continue;
        }
        found.pairs(&mut reader, ATTRIBUTES)?;
        if glance(&mut reader, &mut found, &mut span) {
            continue;
        }
        let Some((number, value)) = reader.next_field()? else { break };
        if let Err(error) = span.take(number, value) {
            fault.get_or_insert(error);
        }
        match field_of(&schema::SPAN, number) {
            None => found.unknown += 1,
            Some(field) => found.field(field, value, reader.offset())?,
        }
    }
    fault.map_or(Ok(()), Err)?;
    let mut found = bounded(found, item.len(), MAX_RECORD);
    if span.trace_id.is_none() {
        found.refuse(Refusal::InvalidTraceId);
    } else if span.span_id.is_none() {
        found.refuse(Refusal::InvalidSpanId);
    }
    Ok((found, span))
}

/// Looks at a log record. One with invalid ids belongs to no trace (logs.proto).
pub(super) fn look_at_log(item: &[u8]) -> Result<(Findings, LogView), ProtoError> {
    let (mut found, mut log) = (Findings::default(), LogFields::default());
    found.message_with(&schema::LOG_RECORD, item, |number, value| log.take(number, value))?;
    Ok((bounded(found, item.len(), MAX_RECORD), log.view()))
}

/// Looks at a data point in field `kind` of its metric.
pub(super) fn look_at_point(kind: u32, point: &[u8]) -> Result<Findings, ProtoError> {
    let Some(schema) = point_schema(kind) else { return Ok(Findings::default()) };
    Ok(bounded(Findings::of(schema, point)?, point.len(), MAX_RECORD))
}

/// Looks at everything of a metric but its points; gives it with its bytes.
pub(super) fn look_at_metric(item: &[u8]) -> Result<(Findings, usize), ProtoError> {
    let (mut found, mut bytes) = (Findings::default(), 0);
    let mut reader = Reader::new(item);
    while let Some((number, value)) = reader.next_field()? {
        let Some(field) = field_of(&schema::METRIC, number) else {
            found.unknown += 1;
            continue;
        };
        match (field.kind, value) {
            (Kind::Message(data), Value::Bytes(inside)) => {
                let mut fields = Reader::new(inside);
                while let Some((number, value)) = fields.next_field()? {
                    match (number, value, field_of(data, number)) {
                        (1, Value::Bytes(_), _) => {}
                        (_, _, None) => found.unknown += 1,
                        (_, value, Some(field)) => found.field(field, value, fields.offset())?,
                    }
                }
            }
            (_, value) => {
                if let Value::Bytes(inside) = value {
                    bytes += inside.len();
                }
                found.field(field, value, reader.offset())?;
            }
        }
    }
    Ok((found, bytes))
}

pub(super) fn field_of(schema: &'static Message, number: u32) -> Option<&'static schema::Field> {
    schema.index_of(number).and_then(|index| schema.fields.get(index))
}

/// The points of a metric with the field that they stand in.
pub(super) fn points(item: &[u8]) -> impl Iterator<Item = Result<(u32, &[u8]), ProtoError>> {
    let mut reader = Reader::new(item);
    // The metric around them is looked at first: here its fields end where they cannot be read.
    let fields = std::iter::from_fn(move || reader.next_field().ok().flatten());
    fields
        .filter_map(|field| match field {
            (kind @ (5 | 7 | 9 | 10 | 11), Value::Bytes(data)) => Some((kind, data)),
            _ => None,
        })
        .flat_map(|(kind, data)| messages(data, 1).map(move |point| point.map(|point| (kind, point))))
}

/// Looks at what stands around the records of a scope. A resource is looked at once for all of its scopes, which come one
/// after the other: `last` is the one before.
pub(super) fn look_around<'a>(
    scope: &ScopeGroup<'a>,
    last: &mut Option<(&'a [u8], Findings)>,
) -> Result<Findings, ProtoError> {
    let resource = scope.resource.resource;
    let mut found = match last {
        Some((other, found)) if std::ptr::eq(*other, resource) => *found,
        _ => last.insert((resource, Findings::of(&schema::RESOURCE, resource)?)).1,
    };
    found.message(&schema::SCOPE, scope.scope)?;
    for url in [scope.resource.schema_url, scope.schema_url] {
        found.texts += u64::from(!is_utf8(url));
    }
    Ok(bounded(found, around_bytes(scope), MAX_AROUND))
}

pub(super) fn around_bytes(scope: &ScopeGroup<'_>) -> usize {
    scope.resource.resource.len() + scope.resource.schema_url.len() + scope.scope.len() + scope.schema_url.len()
}

/// Looks at every record of an OTLP export request.
///
/// # Errors
/// [`ProtoError`] where any part of it is not protobuf. Offsets count from the start of the innermost message.
pub fn inspect(signal: Signal, request: &[u8]) -> Result<Inspection, ProtoError> {
    look(signal, request, &mut None)
}

/// Looks at every span of a request; also gives its facts, where all of it goes on as it is.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_spans(request: &[u8]) -> Result<(Inspection, Option<SpanFacts>), ProtoError> {
    let mut facts = Some(SpanFacts::default());
    let found = look(Signal::Traces, request, &mut facts)?;
    Ok((found, facts.filter(|_| found.is_clean())))
}

/// As [`inspect`]; `facts` are of the spans, and become `None` when they cannot be told.
fn look(signal: Signal, request: &[u8], facts: &mut Option<SpanFacts>) -> Result<Inspection, ProtoError> {
    let mut all = Inspection::default();
    let mut last = None;
    for scope in scopes(request) {
        let scope = scope?;
        let around = look_around(&scope, &mut last)?;
        all.mend(&around);
        // A group that cannot be taken goes also where it has no records, and of what stands twice one stays.
        let odd = around.fault.or(scope.is_odd().then_some(Refusal::Malformed));
        all.mended.add(odd.unwrap_or(Refusal::Malformed), u64::from(odd.is_some()));
        if let Some(told) = facts
            && told.begin(&scope, request).is_none()
        {
            *facts = None;
        }
        for item in scope.items() {
            let item = item?;
            match signal {
                Signal::Traces => {
                    let (found, span) = look_at_span(item)?;
                    all.count(&found, 1, around.fault);
                    if let Some(told) = facts
                        && told.push(&span, found.parts, request).is_none()
                    {
                        *facts = None;
                    }
                }
                Signal::Logs => {
                    let (found, log) = look_at_log(item)?;
                    all.count(&found, 1, around.fault);
                    if log.time_ns == 0 && around.fault.or(found.fault).is_none() {
                        all.mended.add(Refusal::NoTime, 1);
                    }
                }
                Signal::Metrics => metric(&mut all, item, &scope, around.fault)?,
            }
        }
    }
    Ok(all)
}

fn metric(
    all: &mut Inspection,
    item: &[u8],
    scope: &ScopeGroup<'_>,
    around: Option<Refusal>,
) -> Result<(), ProtoError> {
    let (header, bytes) = look_at_metric(item)?;
    let header = bounded(header, bytes + around_bytes(scope), MAX_AROUND);
    let around = around.or(header.fault);
    if around.is_none() {
        all.mend(&header);
    }
    let mut points_seen = 0;
    for point in points(item) {
        let (kind, point) = point?;
        points_seen += 1;
        all.count(&look_at_point(kind, point)?, 1, around);
    }
    if let Some(reason) = around.filter(|_| points_seen == 0) {
        all.rejected.add(reason, 1);
    }
    Ok(())
}

/// Records that are looked at to tell another signal's request.
const ENOUGH: usize = 16;

/// Whether the bytes are, in every field of their first records, a request of this signal. Requests of all signals look
/// alike on the wire: this tells which one was meant when nothing of it fits where it was sent.
pub fn fits(signal: Signal, request: &[u8]) -> bool {
    let exact =
        |found: Findings| found == Findings { parts: found.parts, names_lane: found.names_lane, ..Findings::default() };
    let mut seen = 0;
    for scope in scopes(request) {
        let Ok(scope) = scope else { return false };
        for item in scope.items().take(ENOUGH - seen) {
            let fits = item.is_ok_and(|item| match signal {
                Signal::Traces => look_at_span(item).is_ok_and(|(found, _)| exact(found)),
                Signal::Logs => look_at_log(item).is_ok_and(|(found, _)| exact(found) && !item.is_empty()),
                Signal::Metrics => {
                    let mut points = points(item).peekable();
                    points.peek().is_some()
                        && look_at_metric(item).is_ok_and(|(found, _)| exact(found))
                        && points
                            .all(|point| point.and_then(|(kind, point)| look_at_point(kind, point)).is_ok_and(exact))
                }
            });
            if !fits {
                return false;
            }
            seen += 1;
        }
        if seen >= ENOUGH {
            break;
        }
    }
    seen > 0
}
