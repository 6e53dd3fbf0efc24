//! A request as pieces that each need little memory, whatever the request is: split between resources, scopes, records and
//! points. On the way rejected records are left out, and what is to be mended is written anew.

use std::borrow::Cow;

use super::Selection;
use super::bounds::{MAX_AROUND, MAX_PARTS, PIECE_BYTES, PIECE_PARTS, PIECE_RECORDS};
use super::findings::{Findings, Part, mend_field, mended};
use super::inspect::{around_bytes, look_around, look_at_log, look_at_metric, look_at_point, look_at_span};
use super::schema;
use super::views::{ScopeGroup, Scopes, scopes};
use crate::Signal;
use crate::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_message};

/// Field 11 of a `LogRecord`.
const OBSERVED_TIME: u32 = 11;

/// The pieces of a request that [`super::inspect()`] found readable; each is a request by itself.
pub struct Pieces<'a> {
    signal: Signal,
    wall_ns: u64,
    scopes: Scopes<'a>,
    group: Option<Group<'a>>,
    last: Option<(&'a [u8], Findings)>,
    items: Reader<'a>,
    points: Option<Points<'a>>,
    piece: Selection,
    parts: usize,
    most: u64,
}

/// What stands around the records that come now.
struct Group<'a> {
    scope: ScopeGroup<'a>,
    found: Findings,
    resource: Cow<'a, [u8]>,
    inner: Cow<'a, [u8]>,
    resource_url: Cow<'a, [u8]>,
    inner_url: Cow<'a, [u8]>,
}

impl<'a> Group<'a> {
    /// Of a scope; `before` is the group before it.
    fn of(
        scope: ScopeGroup<'a>,
        before: Option<Self>,
        last: &mut Option<(&'a [u8], Findings)>,
    ) -> Result<Self, ProtoError> {
        let found = look_around(&scope, last)?;
        // What is refused is not written.
        let clean = !found.needs_mending() || found.fault.is_some();
        let text = |text: &'a [u8]| match String::from_utf8_lossy(text) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        let message = |schema, bytes: &'a [u8]| match clean {
            true => Ok(Cow::Borrowed(bytes)),
            false => mended(schema, bytes).map(Cow::Owned),
        };
        let same = before.filter(|one| std::ptr::eq(one.scope.resource.resource, scope.resource.resource));
        Ok(Self {
            found,
            resource: match same {
                Some(before) => before.resource,
                None => message(&schema::RESOURCE, scope.resource.resource)?,
            },
            inner: message(&schema::SCOPE, scope.scope)?,
            resource_url: text(scope.resource.schema_url),
            inner_url: text(scope.schema_url),
            scope,
        })
    }

    fn as_scope(&self) -> ScopeGroup<'_> {
        ScopeGroup::of((&self.resource, &self.resource_url), (&self.inner, &self.inner_url))
    }
}

/// The rest of a metric that goes in parts.
struct Points<'a> {
    /// All of it but its data.
    header: Vec<u8>,
    metric: Reader<'a>,
    /// The data that comes now: its field, all of it but its points, and the points that are left.
    data: Option<(u32, Vec<u8>, Reader<'a>)>,
}

impl<'a> Pieces<'a> {
    /// Of a request of this signal; records without a time get `wall_ns`.
    pub fn new(signal: Signal, request: &'a [u8], wall_ns: u64) -> Self {
        Self {
            signal,
            wall_ns,
            scopes: scopes(request),
            group: None,
            last: None,
            items: Reader::new(&[]),
            points: None,
            piece: Selection::default(),
            parts: 0,
            most: PIECE_RECORDS,
        }
    }

    /// With fewer records in each.
    #[must_use]
    pub fn with_records(self, most: u64) -> Self {
        Self { most: most.clamp(1, PIECE_RECORDS), ..self }
    }

    fn cut(&mut self) -> Vec<u8> {
        let piece = std::mem::take(&mut self.piece);
        self.parts = 0;
        let mut out = Vec::with_capacity(piece.bytes());
        piece.write(&mut out);
        out
    }

    fn is_full(&self, more: usize, parts: usize) -> bool {
        self.piece.records() > 0
            && (self.piece.bytes() + more > PIECE_BYTES + MAX_AROUND
                || self.piece.item_bytes() + more > PIECE_BYTES
                || self.piece.records() >= self.most
                || self.parts + parts > PIECE_PARTS)
    }

    fn advance(&mut self) -> Result<Option<Vec<u8>>, ProtoError> {
        loop {
            if self.points.is_some() {
                if let Some(piece) = self.more_points()? {
                    return Ok(Some(piece));
                }
                continue;
            }
            let before = self.items;
            match self.items.next_field()? {
                Some((2, Value::Bytes(item))) => {
                    let Some(group) = &self.group else { continue };
                    if group.found.fault.is_some() {
                        continue;
                    }
                    let (found, item) = match self.signal {
                        Signal::Traces => {
                            let (found, _) = look_at_span(item)?;
                            let item = match found.needs_mending() && found.fault.is_none() {
                                true => Cow::Owned(mended(&schema::SPAN, item)?),
                                false => Cow::Borrowed(item),
                            };
                            (found, item)
                        }
                        Signal::Logs => {
                            let (found, log) = look_at_log(item)?;
                            let mut item = match found.needs_mending() {
                                true => Cow::Owned(mended(&schema::LOG_RECORD, item)?),
                                false => Cow::Borrowed(item),
                            };
                            if log.time_ns == 0 {
                                put_fixed64(item.to_mut(), OBSERVED_TIME, self.wall_ns);
                            }
                            (found, item)
                        }
                        Signal::Metrics => {
                            self.points = Points::of(item, around_bytes(&group.scope))?;
                            continue;
                        }
                    };
                    if found.fault.is_some() {
                        continue;
                    }
                    if self.is_full(item.len(), found.parts) {
                        self.items = before;
                        return Ok(Some(self.cut()));
                    }
                    self.parts += found.parts;
                    if let Some(group) = &self.group {
                        self.piece.push(&group.as_scope(), &item);
                    }
                }
                Some(_) => {}
                None => match self.scopes.next().transpose()? {
                    Some(scope) => {
                        self.items = scope.reader();
                        self.group = Some(Group::of(scope, self.group.take(), &mut self.last)?);
                    }
                    None if self.piece.records() > 0 => return Ok(Some(self.cut())),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Puts points of the metric that is taken apart into the piece; gives the piece when it is full before the metric ends.
    fn more_points(&mut self) -> Result<Option<Vec<u8>>, ProtoError> {
        let (Some(mut metric), Some(group)) = (self.points.take(), self.group.as_ref()) else { return Ok(None) };
        let Some((kind, around, mut points)) = metric.next_data()? else { return Ok(None) };
        let (mut data, mut count, mut parts) = (Vec::new(), 0, 0);
        let mut full = false;
        loop {
            let before = points;
            let Some((number, value)) = points.next_field()? else { break };
            let (1, Value::Bytes(point)) = (number, value) else { continue };
            let found = look_at_point(kind, point)?;
            if found.fault.is_some() {
                continue;
            }
            let more = metric.header.len() + around.len() + data.len() + point.len();
            let records = self.piece.records() + count;
            full = records > 0
                && (self.piece.bytes() + more > PIECE_BYTES + MAX_AROUND
                    || self.piece.item_bytes() + more > PIECE_BYTES
                    || records >= self.most
                    || self.parts + parts + found.parts > PIECE_PARTS);
            if full {
                metric.data = Some((kind, around.clone(), before));
                break;
            }
            (count, parts) = (count + 1, parts + found.parts);
            if found.needs_mending() {
                let schema = super::findings::point_schema(kind).unwrap_or(&schema::NUMBER_DATA_POINT);
                put_bytes(&mut data, 1, &mended(schema, point)?);
            } else {
                put_bytes(&mut data, 1, point);
            }
        }
        if count > 0 {
            let mut item = Vec::with_capacity(metric.header.len() + around.len() + data.len() + 8);
            item.extend_from_slice(&metric.header);
            put_message(&mut item, kind, |out| {
                out.extend_from_slice(&data);
                out.extend_from_slice(&around);
            });
            self.piece.push_many(&group.as_scope(), &item, count);
            self.parts += parts;
        }
        self.points = Some(metric);
        Ok(if full { Some(self.cut()) } else { None })
    }
}

impl<'a> Points<'a> {
    /// Of a metric; `None` when none of it is taken.
    fn of(item: &'a [u8], around: usize) -> Result<Option<Self>, ProtoError> {
        let (found, bytes) = look_at_metric(item)?;
        if found.fault.is_some() || bytes + around > MAX_AROUND || found.parts > MAX_PARTS {
            return Ok(None);
        }
        let mut header = Vec::with_capacity(bytes + 16);
        let mut reader = Reader::new(item);
        while let Some((number, value)) = reader.next_field()? {
            if !matches!((number, value), (5 | 7 | 9 | 10 | 11, Value::Bytes(_))) {
                mend_field(Part::Message(&schema::METRIC), number, value, &mut header)?;
            }
        }
        Ok(Some(Self { header, metric: Reader::new(item), data: None }))
    }

    fn next_data(&mut self) -> Result<Option<(u32, Vec<u8>, Reader<'a>)>, ProtoError> {
        if let Some(data) = self.data.take() {
            return Ok(Some(data));
        }
        while let Some((number, value)) = self.metric.next_field()? {
            let (5 | 7 | 9 | 10 | 11, Value::Bytes(data)) = (number, value) else { continue };
            let mut around = Vec::new();
            let mut fields = Reader::new(data);
            while let Some((field, value)) = fields.next_field()? {
                if !matches!((field, value), (1, Value::Bytes(_))) {
                    mend_field(Part::Opaque, field, value, &mut around)?;
                }
            }
            return Ok(Some((number, around, Reader::new(data))));
        }
        Ok(None)
    }
}

impl Iterator for Pieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        // The request was looked at before: it is readable to its end.
        self.advance().unwrap_or_default()
    }
}
