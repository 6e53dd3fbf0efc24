//! Borrowed views of the fields that the device itself looks at. Everything else stays bytes.

use super::schema::{any_value, key_value};
use crate::proto::{ProtoError, Reader, Value};
use crate::{Signal, SpanId, TraceId};

/// One `ResourceSpans`, `ResourceLogs` or `ResourceMetrics`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceGroup<'a> {
    /// The bytes of `Resource`; empty when there is none.
    pub resource: &'a [u8],
    /// The group's schema URL.
    pub schema_url: &'a [u8],
}

/// One `ScopeSpans`, `ScopeLogs` or `ScopeMetrics`, with the group that it stands in.
#[derive(Clone, Copy, Debug)]
pub struct ScopeGroup<'a> {
    /// The group around it.
    pub resource: ResourceGroup<'a>,
    /// The bytes of `InstrumentationScope`; empty when there is none.
    pub scope: &'a [u8],
    /// The scope's schema URL.
    pub schema_url: &'a [u8],
    bytes: &'a [u8],
    odd: bool,
}

impl<'a> ScopeGroup<'a> {
    /// An empty group under a resource and a scope, each with its schema URL.
    pub fn of((resource, resource_url): (&'a [u8], &'a [u8]), (scope, schema_url): (&'a [u8], &'a [u8])) -> Self {
        let resource = ResourceGroup { resource, schema_url: resource_url };
        Self { resource, scope, schema_url, bytes: &[], odd: false }
    }

    /// Whether resource or scope stand more than once; the last one counts.
    pub(super) fn is_odd(&self) -> bool {
        self.odd
    }

    /// The fields of the message.
    pub(super) fn reader(&self) -> Reader<'a> {
        Reader::new(self.bytes)
    }

    /// Reads the message of a scope.
    fn read(resource: ResourceGroup<'a>, bytes: &'a [u8]) -> Result<Self, ProtoError> {
        let mut scope = Self { resource, scope: &[], schema_url: &[], bytes, odd: false };
        let mut reader = Reader::new(bytes);
        let mut seen = false;
        loop {
            // Nearly all of it is its items.
            reader.pass_over(2);
            let Some((number, value)) = reader.next_field()? else { break };
            match (number, value) {
                (1, Value::Bytes(bytes)) => {
                    scope.scope = bytes;
                    scope.odd |= std::mem::replace(&mut seen, true);
                }
                (3, Value::Bytes(bytes)) => scope.schema_url = bytes,
                _ => {}
            }
        }
        Ok(scope)
    }

    /// The bytes of each span, log record or metric in it, in order.
    pub fn items(&self) -> impl Iterator<Item = Result<&'a [u8], ProtoError>> + use<'a> {
        messages(self.bytes, 2)
    }
}

/// Calls `each` for every scope of an OTLP export request (or `TracesData`, `LogsData`, `MetricsData`: the same bytes).
/// The resource may stand before or after its scopes.
///
/// # Errors
/// [`ProtoError`] where the bytes are not protobuf, or what `each` returns.
pub fn for_each_scope<'a, E: From<ProtoError>>(
    request: &'a [u8],
    mut each: impl FnMut(ScopeGroup<'a>) -> Result<(), E>,
) -> Result<(), E> {
    for group in messages(request, 1) {
        let group = group?;
        let mut resource = ResourceGroup::default();
        let mut reader = Reader::new(group);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => resource.resource = bytes,
                (3, Value::Bytes(bytes)) => resource.schema_url = bytes,
                _ => {}
            }
        }
        for scope_group in messages(group, 2) {
            each(ScopeGroup::read(resource, scope_group?)?)?;
        }
    }
    Ok(())
}

/// The scopes of an OTLP export request, one after the other. A resource without any gives one that is empty.
pub(super) fn scopes(request: &[u8]) -> Scopes<'_> {
    Scopes { groups: Reader::new(request), group: None, failed: false }
}

/// See [`scopes`].
#[derive(Debug)]
pub(super) struct Scopes<'a> {
    groups: Reader<'a>,
    /// The group that is walked now, and whether a scope of it was seen.
    group: Option<(ResourceGroup<'a>, Reader<'a>, bool, bool)>,
    failed: bool,
}

impl<'a> Scopes<'a> {
    fn advance(&mut self) -> Result<Option<ScopeGroup<'a>>, ProtoError> {
        loop {
            if let Some((resource, mut reader, mut seen, odd)) = self.group.take() {
                while let Some((number, value)) = reader.next_field()? {
                    if let (2, Value::Bytes(bytes)) = (number, value) {
                        seen = true;
                        self.group = Some((resource, reader, seen, odd));
                        let scope = ScopeGroup::read(resource, bytes)?;
                        return Ok(Some(ScopeGroup { odd: odd || scope.odd, ..scope }));
                    }
                }
                if !seen {
                    return Ok(Some(ScopeGroup { resource, scope: &[], schema_url: &[], bytes: &[], odd }));
                }
            }
            let Some((number, value)) = self.groups.next_field()? else { return Ok(None) };
            let (1, Value::Bytes(group)) = (number, value) else { continue };
            let (mut resource, mut resources) = (ResourceGroup::default(), 0);
            let mut reader = Reader::new(group);
            while let Some((number, value)) = reader.next_field()? {
                match (number, value) {
                    (1, Value::Bytes(bytes)) => {
                        resource.resource = bytes;
                        resources += 1;
                    }
                    (3, Value::Bytes(bytes)) => resource.schema_url = bytes,
                    _ => {}
                }
            }
            self.group = Some((resource, Reader::new(group), false, resources > 1));
        }
    }
}

impl<'a> Iterator for Scopes<'a> {
    type Item = Result<ScopeGroup<'a>, ProtoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.advance();
        self.failed = next.is_err();
        next.transpose()
    }
}

/// The messages, texts or bytes of a field, in order; ends at bytes that are not protobuf, with an error.
pub fn messages(bytes: &[u8], wanted: u32) -> impl Iterator<Item = Result<&[u8], ProtoError>> {
    let mut reader = Reader::new(bytes);
    let mut failed = false;
    let key = if wanted < 16 { (wanted << 3) as u8 | 2 } else { 0 };
    std::iter::from_fn(move || {
        // One of them mostly follows the other.
        if let Some(message) = reader.bytes_behind(key) {
            return Some(Ok(message));
        }
        while !failed {
            match reader.next_field() {
                Ok(Some((number, Value::Bytes(message)))) if number == wanted => return Some(Ok(message)),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    })
}

/// The longest duration, and the latest time, that is told: what is more becomes that.
pub const LONGEST_NS: u64 = i64::MAX as u64;

/// What the device reads of a span.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanView<'a> {
    /// `None` when the id is missing, all zero or of the wrong length.
    pub trace_id: Option<TraceId>,
    /// `None` when the id is missing, all zero or of the wrong length.
    pub span_id: Option<SpanId>,
    /// `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// W3C `tracestate`, as bytes; empty when there is none.
    pub trace_state: &'a [u8],
    /// Bits 0 to 7 are the W3C trace flags.
    pub flags: u32,
    /// The span's name, as bytes.
    pub name: &'a [u8],
    /// `SpanKind`'s number.
    pub kind: u64,
    /// Unix nanoseconds.
    pub start_ns: u64,
    /// Unix nanoseconds.
    pub end_ns: u64,
    /// `Status.code`; 0 when unset.
    pub status: u64,
    bytes: &'a [u8],
}

impl<'a> SpanView<'a> {
    /// A view of a `Span` message of which nothing is read yet.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Reads a `Span` message.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes are not protobuf.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ProtoError> {
        let mut view = Self::of(bytes);
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            view.take(number, value)?;
        }
        Ok(view)
    }

    /// Only the trace id of a `Span` message.
    ///
    /// # Errors
    /// As [`SpanView::read`].
    pub fn trace_id_of(bytes: &[u8]) -> Result<Option<TraceId>, ProtoError> {
        Ok(Reader::new(bytes).last_bytes(1)?.and_then(TraceId::from_bytes))
    }

    /// Only the times of a `Span` message: start and end.
    ///
    /// # Errors
    /// As [`SpanView::read`].
    pub fn times_of(bytes: &[u8]) -> Result<(u64, u64), ProtoError> {
        let (mut start_ns, mut end_ns, mut reader) = (0, 0, Reader::new(bytes));
        while let Some(field) = reader.next_field()? {
            match field {
                (7, Value::Fixed64(time)) => start_ns = time,
                (8, Value::Fixed64(time)) => end_ns = time,
                _ => {}
            }
        }
        Ok((start_ns, end_ns))
    }

    /// Takes note of a field of the message; the last one of a number counts.
    #[inline(always)]
    pub(super) fn take(&mut self, number: u32, value: Value<'a>) -> Result<(), ProtoError> {
        match (number, value) {
            (1, Value::Bytes(id)) => self.trace_id = TraceId::from_bytes(id),
            (2, Value::Bytes(id)) => self.span_id = SpanId::from_bytes(id),
            (3, Value::Bytes(state)) => self.trace_state = state,
            (4, Value::Bytes(id)) => self.parent_span_id = SpanId::from_bytes(id),
            (5, Value::Bytes(name)) => self.name = name,
            (6, Value::Varint(kind)) => self.kind = kind,
            (7, Value::Fixed64(time)) => self.start_ns = time,
            (8, Value::Fixed64(time)) => self.end_ns = time,
            (16, Value::Fixed32(flags)) => self.flags = flags,
            (15, Value::Bytes(status)) => {
                let mut reader = Reader::new(status);
                while let Some((number, value)) = reader.next_field()? {
                    if let (3, Value::Varint(code)) = (number, value) {
                        self.status = code;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The whole message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The span's length; 0 when it ends before it starts.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns).min(LONGEST_NS)
    }

    /// Whether its times can be meant: it ends when it starts or later, and both are before the year 2262, as far as clocks and
    /// signed nanoseconds reach.
    pub fn has_sane_times(&self) -> bool {
        self.start_ns <= self.end_ns && self.end_ns <= LONGEST_NS
    }

    /// The span's attributes (see [`attributes`]).
    pub fn attributes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        attributes(self.bytes, 9)
    }
}

/// What the device reads of a log record.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogView {
    /// `None` when the record belongs to no trace.
    pub trace_id: Option<TraceId>,
    /// `None` when the record belongs to no span.
    pub span_id: Option<SpanId>,
    /// Unix nanoseconds; the observed time where the event time is missing.
    pub time_ns: u64,
    /// `SeverityNumber`; 0 when unset.
    pub severity: u64,
}

impl LogView {
    /// Reads a `LogRecord` message.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes are not protobuf.
    pub fn read(bytes: &[u8]) -> Result<Self, ProtoError> {
        let mut fields = LogFields::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            fields.take(number, value);
        }
        Ok(fields.view())
    }
}

/// What was read so far of a `LogRecord`.
#[derive(Default)]
pub(super) struct LogFields {
    view: LogView,
    observed_ns: u64,
}

impl LogFields {
    /// Takes note of a field of the message; the last one of a number counts.
    #[inline]
    pub(super) fn take(&mut self, number: u32, value: Value<'_>) {
        match (number, value) {
            (1, Value::Fixed64(time)) => self.view.time_ns = time,
            (2, Value::Varint(severity)) => self.view.severity = severity,
            (9, Value::Bytes(id)) => self.view.trace_id = TraceId::from_bytes(id),
            (10, Value::Bytes(id)) => self.view.span_id = SpanId::from_bytes(id),
            (11, Value::Fixed64(time)) => self.observed_ns = time,
            _ => {}
        }
    }

    /// The record as it is when nothing more stands in it.
    pub(super) fn view(self) -> LogView {
        let time_ns = if self.view.time_ns == 0 { self.observed_ns } else { self.view.time_ns };
        LogView { time_ns, ..self.view }
    }
}

/// One data point of a metric, whatever its kind.
#[derive(Clone, Copy, Debug)]
pub struct PointView<'a> {
    /// Field number of the metric's data (5 gauge, 7 sum, 9 histogram, 10 exponential histogram, 11 summary).
    pub kind: u32,
    /// The bytes of the data point.
    pub bytes: &'a [u8],
}

impl<'a> PointView<'a> {
    /// The points of a `Metric` message.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes are not protobuf, or what `each` returns.
    pub fn for_each<E: From<ProtoError>>(
        metric: &'a [u8],
        mut each: impl FnMut(PointView<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::new(metric);
        while let Some((number, value)) = reader.next_field()? {
            if let (5 | 7 | 9 | 10 | 11, Value::Bytes(data)) = (number, value) {
                for bytes in messages(data, 1) {
                    each(PointView { kind: number, bytes: bytes? })?;
                }
            }
        }
        Ok(())
    }

    /// Field numbers of this kind of point: (attributes, exemplars); a summary has no exemplars.
    pub fn field_numbers(&self) -> (u32, Option<u32>) {
        match self.kind {
            9 => (9, Some(8)),
            10 => (1, Some(11)),
            11 => (7, None),
            _ => (7, Some(5)),
        }
    }
}

/// Calls `each` with the trace id and the bytes of every exemplar of a point.
///
/// # Errors
/// [`ProtoError`] where the bytes are not protobuf, or what `each` returns.
pub fn each_exemplar<'a, E: From<ProtoError>>(
    point: PointView<'a>,
    mut each: impl FnMut(Option<TraceId>, &'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let Some(number) = point.field_numbers().1 else { return Ok(()) };
    for exemplar in messages(point.bytes, number) {
        let exemplar = exemplar?;
        let mut trace_id = None;
        let mut reader = Reader::new(exemplar);
        while let Some((number, value)) = reader.next_field()? {
            if let (5, Value::Bytes(id)) = (number, value) {
                trace_id = TraceId::from_bytes(id);
            }
        }
        each(trace_id, exemplar)?;
    }
    Ok(())
}

/// The (key, `AnyValue` bytes) pairs of a message whose `repeated KeyValue` has this field number, in order.
/// Pairs that are not protobuf are left out: the walk that took the request in has checked them.
pub fn attributes(bytes: &[u8], number: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
    messages(bytes, number).filter_map(|pair| {
        let (mut key, mut any) = (&[][..], &[][..]);
        let mut reader = Reader::new(pair.ok()?);
        while let Ok(Some((number, value))) = reader.next_field() {
            match (number, value) {
                (key_value::KEY, Value::Bytes(bytes)) => key = bytes,
                (key_value::VALUE, Value::Bytes(bytes)) => any = bytes,
                _ => {}
            }
        }
        Some((key, any))
    })
}

/// The `AnyValue` bytes of one attribute; the first where a key stands twice.
pub fn attribute<'a>(bytes: &'a [u8], number: u32, key: &str) -> Option<&'a [u8]> {
    attributes(bytes, number).find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
}

/// The text of one attribute; `None` when it is not there or not a string.
pub fn string_attribute<'a>(bytes: &'a [u8], number: u32, key: &str) -> Option<&'a [u8]> {
    let mut reader = Reader::new(attribute(bytes, number, key)?);
    while let Ok(Some((number, value))) = reader.next_field() {
        if let (any_value::STRING, Value::Bytes(text)) = (number, value) {
            return Some(text);
        }
    }
    None
}

/// How many records an OTLP export request holds: spans, log records or data points.
///
/// # Errors
/// [`ProtoError`] where the bytes are not protobuf.
pub fn count_records(signal: Signal, request: &[u8]) -> Result<u64, ProtoError> {
    let mut count = 0;
    for_each_scope::<ProtoError>(request, |scope| {
        for item in scope.items() {
            let item = item?;
            match signal {
                Signal::Metrics => PointView::for_each::<ProtoError>(item, |_| {
                    count += 1;
                    Ok(())
                })?,
                Signal::Traces | Signal::Logs => count += 1,
            }
        }
        Ok(())
    })?;
    Ok(count)
}
