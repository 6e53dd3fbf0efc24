//! Which records of a request a destination is sent: none that its filter does not mean, and none that are too old.

use std::ops::Range;

use model::Signal;
use model::otlp::{LogView, PointView, SpanView, for_each_scope};
use model::proto::{ProtoError, Reader, Value};
use query::What;

use crate::only::Only;

/// Ordinals of a request's records, in runs: those that are young enough, and those that are too old. Those that the destination does not get
/// at all are in neither.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ByAge {
    pub(crate) young: Vec<Range<u64>>,
    pub(crate) old: Vec<Range<u64>>,
}

impl ByAge {
    /// Too old is what ended before `oldest_ns`, Unix nanoseconds; a record without a time is not. `only` says which ones the destination gets;
    /// where there is none, all.
    ///
    /// # Errors
    /// [`ProtoError`] where the request is not protobuf.
    pub(crate) fn of(signal: Signal, request: &[u8], oldest_ns: u64, only: Option<&Only>) -> Result<Self, ProtoError> {
        let (mut found, mut next) = (Self::default(), 0);
        let mut take = |time_ns: u64, is_taken: bool| {
            next += 1;
            if !is_taken {
                return;
            }
            let runs = if (1..oldest_ns).contains(&time_ns) { &mut found.old } else { &mut found.young };
            match runs.last_mut() {
                Some(run) if run.end == next - 1 => run.end = next,
                _ => runs.push(next - 1..next),
            }
        };
        for_each_scope(request, |scope| {
            for item in scope.items() {
                let item = item?;
                let is_taken = |what| only.is_none_or(|only| only.takes(&scope, item, what));
                match signal {
                    Signal::Traces if only.is_none() => take(SpanView::times_of(item)?.1, true),
                    Signal::Traces => take(SpanView::times_of(item)?.1, is_taken(What::Span(SpanView::read(item)?))),
                    Signal::Logs => {
                        let record = LogView::read(item)?;
                        take(record.time_ns, is_taken(What::Log(record)));
                    }
                    Signal::Metrics => PointView::for_each(item, |point| {
                        take(time_of(point.bytes)?, is_taken(What::Point(point)));
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
    use model::proto::{put_bytes, put_fixed64, put_message};

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
            let by_age = |times: &[u64]| ByAge::of(signal, &request(signal, times), 100, None).unwrap();
            let found = by_age(&[100, 99, 1, 0, 200, 5]);
            assert_eq!((found.young, found.old), (vec![0..1, 3..5], vec![1..3, 5..6]), "{signal:?}");
            assert_eq!(by_age(&[]), ByAge::default());
            assert_eq!(ByAge::of(signal, &request(signal, &[1, 2]), 0, None).unwrap().old, vec![], "no bound");
        }
        assert!(ByAge::of(Signal::Logs, &[0x0a, 0x7f], 100, None).is_err());
    }

    /// Scenario: requests of each signal are held against filters of which some records, all and none are meant, with and without an age.
    /// Guarantees: what a filter does not mean is in neither run, whatever its age; what it means is judged by its age as before.
    #[test]
    fn what_a_filter_does_not_mean_is_not_there() {
        for (signal, some) in [(Signal::Traces, "name=b"), (Signal::Logs, "body=b"), (Signal::Metrics, "x=b")] {
            let named = |(time, name): &(u64, &str)| {
                let mut out = Vec::new();
                put_message(&mut out, 1, |out| {
                    put_message(out, 2, |out| {
                        put_message(out, 2, |out| match signal {
                            Signal::Traces => {
                                put_bytes(out, 5, name.as_bytes());
                                put_fixed64(out, 8, *time);
                            }
                            Signal::Logs => {
                                put_fixed64(out, 1, *time);
                                put_message(out, 5, |out| put_bytes(out, 1, name.as_bytes()));
                            }
                            Signal::Metrics => put_message(out, 5, |out| {
                                put_message(out, 1, |out| {
                                    put_fixed64(out, 3, *time);
                                    put_message(out, 7, |out| {
                                        put_bytes(out, 1, b"x");
                                        put_message(out, 2, |out| put_bytes(out, 1, name.as_bytes()));
                                    });
                                });
                            }),
                        });
                    });
                });
                out
            };
            let all: Vec<u8> =
                [(5, "a"), (5, "b"), (200, "b"), (200, "a"), (200, "b")].iter().flat_map(named).collect();
            let found = |filter: &str, oldest_ns| {
                let only = Only::new("d", filter::parse(filter, 0).unwrap().filter);
                let found = ByAge::of(signal, &all, oldest_ns, Some(&only)).unwrap();
                [found.young, found.old].map(|runs| runs.into_iter().flatten().collect::<Vec<u64>>())
            };
            assert_eq!(found(some, 0), [vec![1, 2, 4], vec![]], "{signal:?}");
            assert_eq!(found(some, 100), [vec![2, 4], vec![1]], "{signal:?}");
            assert_eq!(found("device=d", 0), [vec![0, 1, 2, 3, 4], vec![]], "{signal:?}");
            assert_eq!(found("device=e", 100), [vec![], vec![]], "{signal:?}");
        }
    }
}
