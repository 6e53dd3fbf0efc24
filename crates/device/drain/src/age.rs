//! Which records of a request are older than a destination is to be sent.

use std::ops::Range;

use model::Signal;
use model::otlp::{LogView, PointView, SpanView, for_each_scope};
use model::proto::{ProtoError, Reader, Value};

/// Ordinals of a request's records, in runs: those that are young enough, and those that are too old.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ByAge {
    pub(crate) young: Vec<Range<u64>>,
    pub(crate) old: Vec<Range<u64>>,
}

impl ByAge {
    /// Too old is what ended before `oldest_ns`, Unix nanoseconds; a record without a time is not.
    ///
    /// # Errors
    /// [`ProtoError`] where the request is not protobuf.
    pub(crate) fn of(signal: Signal, request: &[u8], oldest_ns: u64) -> Result<Self, ProtoError> {
        let (mut found, mut next) = (Self::default(), 0);
        let mut take = |time_ns: u64| {
            let runs = if (1..oldest_ns).contains(&time_ns) { &mut found.old } else { &mut found.young };
            match runs.last_mut() {
                Some(run) if run.end == next => run.end += 1,
                _ => runs.push(next..next + 1),
            }
            next += 1;
        };
        for_each_scope(request, |scope| {
            for item in scope.items() {
                let item = item?;
                match signal {
                    Signal::Traces => take(SpanView::times_of(item)?.1),
                    Signal::Logs => take(LogView::read(item)?.time_ns),
                    Signal::Metrics => PointView::for_each(item, |point| {
                        take(time_of(point.bytes)?);
                        Ok::<(), ProtoError>(())
                    })?,
                }
            }
            Ok::<(), ProtoError>(())
        })?;
        Ok(found)
    }
}

/// `time_unix_nano` of a data point, which is field 3 of every kind.
fn time_of(point: &[u8]) -> Result<u64, ProtoError> {
    let (mut time_ns, mut reader) = (0, Reader::new(point));
    while let Some(field) = reader.next_field()? {
        if let (3, Value::Fixed64(time)) = field {
            time_ns = time;
        }
    }
    Ok(time_ns)
}

#[cfg(test)]
mod tests {
    use model::proto::{put_fixed64, put_message};

    use super::*;

    /// A request whose records ended at these times.
    fn request(signal: Signal, times: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        put_message(&mut out, 1, |out| {
            put_message(out, 2, |out| {
                for time in times {
                    put_message(out, 2, |out| match signal {
                        Signal::Traces => put_fixed64(out, 8, *time),
                        Signal::Logs => put_fixed64(out, 1, *time),
                        Signal::Metrics => {
                            put_message(out, 5, |out| put_message(out, 1, |out| put_fixed64(out, 3, *time)));
                        }
                    });
                }
            });
        });
        out
    }

    /// Scenario: requests of each signal with old and new records in turn, without a time, none at all. Guarantees: each record is in one run,
    /// by its own time; one without a time goes (D-rules: one old sample never blocks).
    #[test]
    fn each_record_is_judged_by_its_own_time() {
        for signal in Signal::ALL {
            let by_age = |times: &[u64]| ByAge::of(signal, &request(signal, times), 100).unwrap();
            let found = by_age(&[100, 99, 1, 0, 200, 5]);
            assert_eq!((found.young, found.old), (vec![0..1, 3..5], vec![1..3, 5..6]), "{signal:?}");
            assert_eq!(by_age(&[]), ByAge::default());
            assert_eq!(ByAge::of(signal, &request(signal, &[1, 2]), 0).unwrap().old, vec![], "no bound");
        }
        assert!(ByAge::of(Signal::Logs, &[0x0a, 0x7f], 100).is_err());
    }
}
