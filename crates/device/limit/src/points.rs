//! Metrics without some of their points.

use model::proto::{ProtoError, Reader, Value, put_bytes, put_field, put_message};

/// A metric without the points of these positions, which rise.
pub(crate) fn without(metric: &[u8], dropped: &[usize]) -> Result<Vec<u8>, ProtoError> {
    let mut out = Vec::with_capacity(metric.len());
    let (mut position, mut dropped) = (0usize, dropped.iter().copied().peekable());
    let mut reader = Reader::new(metric);
    while let Some((number, value)) = reader.next_field()? {
        let (5 | 7 | 9 | 10 | 11, Value::Bytes(data)) = (number, value) else {
            put_field(&mut out, number, value);
            continue;
        };
        let mut failed = None;
        put_message(&mut out, number, |out| {
            let mut inner = Reader::new(data);
            loop {
                match inner.next_field() {
                    Ok(Some((1, Value::Bytes(point)))) => {
                        if dropped.next_if_eq(&position).is_none() {
                            put_bytes(out, 1, point);
                        }
                        position += 1;
                    }
                    Ok(Some((number, value))) => put_field(out, number, value),
                    Ok(None) => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(out)
}
