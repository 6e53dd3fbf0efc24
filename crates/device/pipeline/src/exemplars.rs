//! Exemplars inside incoming points are taken out, parked, and go out with their trace (P5).

use model::TraceId;
use model::otlp::{PointView, each_exemplar, for_each_scope};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_field, put_message};

/// Appends `request` to `points` without the exemplars that name a trace, and each of these to `parked` (an
/// `ExemplarsData` with one exemplar per series). Exemplars without a trace are legal and go with their point. Returns how
/// many points there are.
pub(crate) fn split(request: &[u8], points: &mut Vec<u8>, parked: &mut Vec<u8>) -> Result<u64, ProtoError> {
    let mut count = 0;
    let mut found = false;
    for_each_scope::<ProtoError>(request, |scope| {
        for metric in scope.items() {
            let metric = metric?;
            PointView::for_each::<ProtoError>(metric, |point| {
                count += 1;
                each_exemplar::<ProtoError>(point, |trace, exemplar| {
                    if trace.is_some() {
                        found = true;
                        park(scope.resource.resource, scope.scope, metric, point, exemplar, parked)?;
                    }
                    Ok(())
                })
            })?;
        }
        Ok(())
    })?;
    if found {
        // resource_metrics, scope_metrics, metrics, data, data_points
        strip(request, 0, None, points)?;
    } else {
        points.extend_from_slice(request);
    }
    Ok(count)
}

fn park(
    resource: &[u8],
    scope: &[u8],
    metric: &[u8],
    point: PointView<'_>,
    exemplar: &[u8],
    parked: &mut Vec<u8>,
) -> Result<(), ProtoError> {
    let mut failed = None;
    put_message(parked, 1, |out| {
        put_bytes(out, 1, resource);
        put_bytes(out, 2, scope);
        let mut copy = || -> Result<(), ProtoError> {
            let mut reader = Reader::new(metric);
            while let Some((number, value)) = reader.next_field()? {
                match (number, value) {
                    (1, Value::Bytes(name)) => put_bytes(out, 3, name),
                    (3, Value::Bytes(unit)) => put_bytes(out, 4, unit),
                    _ => {}
                }
            }
            let attributes = point.field_numbers().0;
            let mut reader = Reader::new(point.bytes);
            while let Some((number, value)) = reader.next_field()? {
                if let (true, Value::Bytes(pair)) = (number == attributes, value) {
                    put_bytes(out, 5, pair);
                }
            }
            Ok(())
        };
        failed = copy().err();
        put_bytes(out, 6, exemplar);
    });
    failed.map_or(Ok(()), Err)
}

/// Copies a message of the metrics schema, `level` steps below the request, without exemplars that name a trace.
fn strip(message: &[u8], level: u8, kind: Option<u32>, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.next_field()? {
        let Value::Bytes(bytes) = value else {
            put_field(out, number, value);
            continue;
        };
        let (descend, kind) = match level {
            0 => (number == 1, kind),
            1 | 2 => (number == 2, kind),
            3 => (matches!(number, 5 | 7 | 9 | 10 | 11), Some(number)),
            4 => (number == 1, kind),
            _ => (false, kind),
        };
        if descend {
            let mut failed = None;
            put_message(out, number, |out| failed = strip(bytes, level + 1, kind, out).err());
            if let Some(error) = failed {
                return Err(error);
            }
            continue;
        }
        let exemplars = PointView { kind: kind.unwrap_or(5), bytes: &[] }.field_numbers().1;
        if level == 5 && Some(number) == exemplars && trace_of(bytes)?.is_some() {
            continue;
        }
        put_bytes(out, number, bytes);
    }
    Ok(())
}

/// The trace that an exemplar names.
fn trace_of(exemplar: &[u8]) -> Result<Option<TraceId>, ProtoError> {
    let (mut trace, mut reader) = (None, Reader::new(exemplar));
    while let Some((number, value)) = reader.next_field()? {
        if let (5, Value::Bytes(id)) = (number, value) {
            trace = TraceId::from_bytes(id);
        }
    }
    Ok(trace)
}

/// Calls `each` with the trace and the bytes of every series of an `ExemplarsData` that holds one exemplar per series.
pub(crate) fn for_each<'a>(
    data: &'a [u8],
    mut each: impl FnMut(TraceId, &'a [u8]) -> Result<(), ProtoError>,
) -> Result<(), ProtoError> {
    let mut reader = Reader::new(data);
    while let Some((number, value)) = reader.next_field()? {
        let (1, Value::Bytes(series)) = (number, value) else { continue };
        let mut fields = Reader::new(series);
        while let Some((number, value)) = fields.next_field()? {
            let (6, Value::Bytes(exemplar)) = (number, value) else { continue };
            let mut inner = Reader::new(exemplar);
            while let Some((number, value)) = inner.next_field()? {
                if let (5, Value::Bytes(id)) = (number, value)
                    && let Some(trace) = TraceId::from_bytes(id)
                {
                    each(trace, series)?;
                }
            }
        }
    }
    Ok(())
}

/// Appends a series to an `ExemplarsData`.
pub(crate) fn put(series: &[u8], out: &mut Vec<u8>) {
    put_bytes(out, 1, series);
}
