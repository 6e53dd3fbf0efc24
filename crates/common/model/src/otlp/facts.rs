//! What the look at a request of spans finds out on its way, so that nobody behind it walks the same bytes again: where resources,
//! scopes and spans stand, and what every part of the device asks of a span.

use super::bounds::{MAX_AROUND, PIECE_BYTES, PIECE_PARTS, PIECE_RECORDS};
use super::views::{ScopeGroup, SpanView, scopes};
use crate::proto::{ProtoError, Reader, Value, put_bytes, put_head, varint_len};
use crate::{SpanId, TraceId};

/// Field of `ScopeSpans`.
const SPANS: u32 = 2;

/// Where bytes stand in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    at: u32,
    length: u32,
}

impl Place {
    /// Of a part of `request`; `None` where it stands beyond 4 GiB. Empty bytes stand nowhere.
    fn of(part: &[u8], request: &[u8]) -> Option<Self> {
        if part.is_empty() {
            return Some(Self::default());
        }
        let at = part.as_ptr().addr().checked_sub(request.as_ptr().addr())?;
        Some(Self { at: u32::try_from(at).ok()?, length: u32::try_from(part.len()).ok()? })
    }

    fn bytes(self, request: &[u8]) -> &[u8] {
        let at = self.at as usize;
        request.get(at..at + self.length as usize).unwrap_or_default()
    }

    /// The bytes that it takes as a field with a number below 16.
    fn field_bytes(self) -> usize {
        if self.length == 0 { 0 } else { 1 + varint_len(u64::from(self.length)) + self.length as usize }
    }

    /// The same bytes, where their first stands at `at`.
    fn moved(self, from: Self, at: usize) -> Self {
        if self.length == 0 {
            return self;
        }
        Self { at: self.at - from.at + at as u32, ..self }
    }
}

/// What stands around the spans of a scope, and how many these are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Group {
    resource: Place,
    resource_url: Place,
    scope: Place,
    scope_url: Place,
    spans: usize,
}

/// A span: where it stands, and what is asked of it. Zeros are ids that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fact {
    span: Place,
    name: Place,
    trace_state: Place,
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: SpanId,
    start_ns: u64,
    end_ns: u64,
    flags: u32,
    /// Messages, values and numbers in it.
    parts: u16,
    kind: u8,
    status: u8,
}

/// The facts of a request of at most [`PIECE_RECORDS`] spans, all of which go on as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanFacts {
    groups: Vec<Group>,
    spans: Vec<Fact>,
}

impl SpanFacts {
    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How often the trace id changes from one span to the next: at least as often as there are traces.
    pub fn trace_runs(&self) -> usize {
        self.spans.chunk_by(|one, next| one.trace_id == next.trace_id).count()
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Fact>() + self.groups.capacity() * size_of::<Group>()
    }

    /// Takes note of what stands around the spans that come next; `None` where it cannot be told.
    pub(super) fn begin(&mut self, scope: &ScopeGroup<'_>, request: &[u8]) -> Option<()> {
        /// About the bytes of a small span.
        const SMALL: usize = 160;
        let place = |part| Place::of(part, request);
        if self.spans.is_empty() {
            self.spans.reserve((request.len() / SMALL).min(PIECE_RECORDS as usize));
        }
        self.groups.push(Group {
            resource: place(scope.resource.resource)?,
            resource_url: place(scope.resource.schema_url)?,
            scope: place(scope.scope)?,
            scope_url: place(scope.schema_url)?,
            spans: 0,
        });
        Some(())
    }

    /// Takes note of a span; `None` where it cannot be told, or there are too many.
    pub(super) fn push(&mut self, span: &SpanView<'_>, parts: usize, request: &[u8]) -> Option<()> {
        if self.spans.len() as u64 >= PIECE_RECORDS {
            return None;
        }
        self.groups.last_mut()?.spans += 1;
        self.spans.push(Fact {
            span: Place::of(span.bytes(), request)?,
            name: Place::of(span.name, request)?,
            trace_state: Place::of(span.trace_state, request)?,
            trace_id: span.trace_id?,
            span_id: span.span_id?,
            parent_span_id: span.parent_span_id.unwrap_or_default(),
            start_ns: span.start_ns,
            end_ns: span.end_ns,
            flags: span.flags,
            parts: u16::try_from(parts).ok()?,
            kind: u8::try_from(span.kind).ok()?,
            status: u8::try_from(span.status).ok()?,
        });
        Some(())
    }

    /// Calls `each` with every scope of the request that these are the facts of, and the spans in it.
    ///
    /// # Errors
    /// What `each` returns.
    pub fn for_each_scope<'r, E>(
        &self,
        request: &'r [u8],
        mut each: impl FnMut(ScopeGroup<'r>, Spans<'r, '_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut spans = self.spans.as_slice();
        for group in &self.groups {
            let (now, later) = spans.split_at(group.spans.min(spans.len()));
            spans = later;
            each(group.scope(request), Spans(SpansOf::Facts { facts: now.iter(), request }))?;
        }
        Ok(())
    }

    /// The request in pieces of at most so many spans, as [`super::Pieces`] cuts it, each with its own facts.
    pub fn pieces<'f>(&'f self, request: &'f [u8], most: u64) -> impl Iterator<Item = (Vec<u8>, Self)> + use<'f> {
        let most = most.clamp(1, PIECE_RECORDS) as usize;
        let (mut group, mut in_group, mut next) = (0, 0, 0);
        std::iter::from_fn(move || {
            let mut piece = Self::default();
            let (mut bytes, mut around_bytes, mut parts) = (0, 0, 0);
            while let Some(fact) = self.spans.get(next) {
                let length = fact.span.length as usize;
                let fits = piece.is_empty()
                    || bytes + length <= PIECE_BYTES
                        && bytes + length + around_bytes <= PIECE_BYTES + MAX_AROUND
                        && piece.len() < most
                        && parts + usize::from(fact.parts) <= PIECE_PARTS;
                if !fits {
                    break;
                }
                while self.groups.get(group).is_some_and(|one| in_group >= one.spans) {
                    (group, in_group) = (group + 1, 0);
                }
                let around = *self.groups.get(group)?;
                if in_group == 0 || piece.is_empty() {
                    piece.groups.push(Group { spans: 0, ..around });
                    around_bytes += around.around_bytes();
                }
                if let Some(group) = piece.groups.last_mut() {
                    group.spans += 1;
                }
                piece.spans.push(*fact);
                (bytes, parts) = (bytes + length, parts + usize::from(fact.parts));
                (in_group, next) = (in_group + 1, next + 1);
            }
            (!piece.is_empty()).then(|| piece.written(request))
        })
    }

    /// These spans as a request of their own, and its facts.
    fn written(mut self, request: &[u8]) -> (Vec<u8>, Self) {
        let items: usize = self.spans.iter().map(|fact| fact.span.field_bytes()).sum();
        let mut out = Vec::with_capacity(items + self.groups.iter().map(Group::around_bytes).sum::<usize>());
        let mut spans = self.spans.iter_mut();
        let (mut first, mut done) = (0, 0);
        while first < self.groups.len() {
            // Scopes of one resource stand together.
            let resource = self.groups[first];
            let same = |one: &Group| (one.resource, one.resource_url) == (resource.resource, resource.resource_url);
            let end = first + self.groups[first..].iter().take_while(|one| same(one)).count();
            let facts = |place: usize| {
                let before: usize = self.groups[first..place].iter().map(|group| group.spans).sum();
                done + before..done + before + self.groups[place].spans
            };
            let lengths: Vec<usize> = (first..end)
                .map(|place| {
                    let spans = spans.as_slice().get(facts(place).start - done..facts(place).end - done);
                    let spans: usize = spans.unwrap_or_default().iter().map(|fact| fact.span.field_bytes()).sum();
                    self.groups[place].scope.field_bytes() + spans + self.groups[place].scope_url.field_bytes()
                })
                .collect();
            let inner: usize = lengths.iter().map(|length| 1 + varint_len(*length as u64) + length).sum();
            put_head(&mut out, 1, resource.resource.field_bytes() + inner + resource.resource_url.field_bytes());
            let moved_resource = put_part(&mut out, 1, resource.resource, request);
            for (group, length) in self.groups[first..end].iter_mut().zip(&lengths) {
                put_head(&mut out, 2, *length);
                group.resource = moved_resource;
                group.scope = put_part(&mut out, 1, group.scope, request);
                for fact in spans.by_ref().take(group.spans) {
                    let from = fact.span;
                    fact.span = put_part(&mut out, 2, from, request);
                    let at = fact.span.at as usize;
                    fact.name = fact.name.moved(from, at);
                    fact.trace_state = fact.trace_state.moved(from, at);
                    done += 1;
                }
                group.scope_url = put_part(&mut out, 3, group.scope_url, request);
            }
            let moved_url = put_part(&mut out, 3, resource.resource_url, request);
            self.groups[first..end].iter_mut().for_each(|group| group.resource_url = moved_url);
            first = end;
        }
        (out, self)
    }
}

impl Group {
    fn scope<'r>(&self, request: &'r [u8]) -> ScopeGroup<'r> {
        ScopeGroup::of(
            (self.resource.bytes(request), self.resource_url.bytes(request)),
            (self.scope.bytes(request), self.scope_url.bytes(request)),
        )
    }

    /// About what it takes besides its spans.
    fn around_bytes(&self) -> usize {
        const HEADS: usize = 12;
        let places = [self.resource, self.resource_url, self.scope, self.scope_url];
        HEADS + places.iter().map(|place| place.field_bytes()).sum::<usize>()
    }
}

/// Appends bytes as a field, unless there are none; gives where they stand now.
fn put_part(out: &mut Vec<u8>, number: u32, part: Place, request: &[u8]) -> Place {
    if part.length == 0 {
        return part;
    }
    put_bytes(out, number, part.bytes(request));
    Place { at: out.len() as u32 - part.length, ..part }
}

impl Fact {
    fn view<'r>(&self, request: &'r [u8]) -> SpanView<'r> {
        let mut view = SpanView::of(self.span.bytes(request));
        view.trace_id = Some(self.trace_id);
        view.span_id = Some(self.span_id);
        view.parent_span_id = Some(self.parent_span_id).filter(|id| *id != SpanId::default());
        view.trace_state = self.trace_state.bytes(request);
        view.flags = self.flags;
        view.name = self.name.bytes(request);
        view.kind = u64::from(self.kind);
        view.start_ns = self.start_ns;
        view.end_ns = self.end_ns;
        view.status = u64::from(self.status);
        view
    }
}

/// The spans of a scope: told from facts, or walked where there are none.
pub struct Spans<'r, 'f>(SpansOf<'r, 'f>);

enum SpansOf<'r, 'f> {
    Facts { facts: std::slice::Iter<'f, Fact>, request: &'r [u8] },
    Walk(Reader<'r>),
}

impl<'r> Iterator for Spans<'r, '_> {
    type Item = Result<SpanView<'r>, ProtoError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            SpansOf::Facts { facts, request } => facts.next().map(|fact| Ok(fact.view(request))),
            SpansOf::Walk(fields) => loop {
                match fields.next_field() {
                    Ok(Some((SPANS, Value::Bytes(span)))) => return Some(SpanView::read(span)),
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(error) => {
                        *fields = Reader::new(&[]);
                        return Some(Err(error));
                    }
                }
            },
        }
    }
}

/// Calls `each` with every scope of a request of spans and the spans in it: by its facts, or by a walk where there are none.
///
/// # Errors
/// [`ProtoError`] where a walk finds bytes that are not protobuf, or what `each` returns.
pub fn for_each_scope_of_spans<'r, E: From<ProtoError>>(
    request: &'r [u8],
    facts: Option<&SpanFacts>,
    mut each: impl FnMut(ScopeGroup<'r>, Spans<'r, '_>) -> Result<(), E>,
) -> Result<(), E> {
    match facts {
        Some(facts) => facts.for_each_scope(request, each),
        None => scopes(request).try_for_each(|scope| {
            let scope = scope?;
            each(scope, Spans(SpansOf::Walk(scope.reader())))
        }),
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
