//! A run of a request's records as a request by itself.

use std::ops::Range;

use crate::Signal;
use crate::proto::{ProtoError, Reader, Value, put_bytes, put_field, put_message};

/// The records of an export request with these ordinals (see [`super::count_records`]: points count, not metrics), under what stands
/// around them. Resources, scopes and metrics without any of them are left out.
///
/// # Errors
/// [`ProtoError`] where the bytes are not protobuf.
pub fn slice(signal: Signal, request: &[u8], wanted: Range<u64>) -> Result<Vec<u8>, ProtoError> {
    let mut out = Vec::with_capacity(request.len() / 2);
    let mut slicer = Slicer { signal, wanted, next: 0 };
    slicer.copy(Level::Request, request, &mut out)?;
    Ok(out)
}

/// What a message of the way down to a record is.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Request,
    Resource,
    Scope,
    Metric,
    Data,
}

struct Slicer {
    signal: Signal,
    wanted: Range<u64>,
    /// Ordinal of the record that comes next.
    next: u64,
}

impl Slicer {
    /// What the field of a message leads to: a record (`Some(None)`), a message on the way to one, or neither.
    fn inside(&self, level: Level, field: u32) -> Option<Option<Level>> {
        match (level, field) {
            (Level::Request, 1) => Some(Some(Level::Resource)),
            (Level::Resource, 2) => Some(Some(Level::Scope)),
            (Level::Scope, 2) if self.signal == Signal::Metrics => Some(Some(Level::Metric)),
            (Level::Scope, 2) | (Level::Data, 1) => Some(None),
            (Level::Metric, 5 | 7 | 9 | 10 | 11) => Some(Some(Level::Data)),
            _ => None,
        }
    }

    /// Copies a message without the records that are not wanted; gives how many are in it.
    fn copy(&mut self, level: Level, message: &[u8], out: &mut Vec<u8>) -> Result<u64, ProtoError> {
        let (mut reader, mut taken) = (Reader::new(message), 0);
        while let Some((number, value)) = reader.next_field()? {
            match value {
                Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => put_field(out, number, value),
                Value::Bytes(bytes) => match self.inside(level, number) {
                    None => put_bytes(out, number, bytes),
                    Some(None) => {
                        if self.wanted.contains(&self.next) {
                            put_bytes(out, number, bytes);
                            taken += 1;
                        }
                        self.next += 1;
                    }
                    Some(Some(below)) => {
                        let (start, mut inside) = (out.len(), Ok(0));
                        put_message(out, number, |out| inside = self.copy(below, bytes, out));
                        match inside? {
                            0 => out.truncate(start),
                            records => taken += records,
                        }
                    }
                },
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::count_records;
    use crate::proto::{put_fixed64, put_uint};

    /// Two resources with two scopes of three items each; an item of metrics is a gauge of two points.
    fn request(signal: Signal) -> Vec<u8> {
        let (mut out, mut name) = (Vec::new(), 0u8);
        for _ in 0..2 {
            put_message(&mut out, 1, |out| {
                put_message(out, 1, |out| put_uint(out, 2, 7));
                for _ in 0..2 {
                    put_message(out, 2, |out| {
                        for _ in 0..3 {
                            put_message(out, 2, |out| match signal {
                                Signal::Metrics => {
                                    put_bytes(out, 1, b"metric");
                                    put_message(out, 5, |out| {
                                        for _ in 0..2 {
                                            name += 1;
                                            put_message(out, 1, |out| put_fixed64(out, 3, name.into()));
                                        }
                                    });
                                }
                                _ => {
                                    name += 1;
                                    put_bytes(out, 5, &[name]);
                                }
                            });
                        }
                        put_bytes(out, 3, b"url");
                    });
                }
            });
        }
        out
    }

    /// Scenario: requests of each signal cut into runs of every length. Guarantees: each run holds its records and no other; together they
    /// are all of them; the whole run is the request itself.
    #[test]
    fn every_record_is_in_one_run() {
        for signal in Signal::ALL {
            let request = request(signal);
            let all = count_records(signal, &request).unwrap();
            assert_eq!(all, if signal == Signal::Metrics { 24 } else { 12 });
            assert_eq!(slice(signal, &request, 0..all).unwrap(), request);
            for length in 1..=all {
                let (mut first, mut joined) = (0, Vec::new());
                while first < all {
                    let part = slice(signal, &request, first..first + length).unwrap();
                    assert_eq!(count_records(signal, &part).unwrap(), length.min(all - first));
                    joined.extend(part);
                    first += length;
                }
                assert_eq!(count_records(signal, &joined).unwrap(), all);
            }
            assert_eq!(slice(signal, &request, all..all + 5).unwrap(), b"");
        }
        assert!(slice(Signal::Logs, b"\x0a\x7fshort", 0..1).is_err());
    }
}
