//! Batches in parts: an encoder's columns take far more memory than the bytes of small records (a hundred times as much for an empty
//! point), and a frame has a largest size. So what is encoded at once is bounded by records and by bytes, whatever came in one request.

use model::Signal;
use model::otlp::{Selection, for_each_scope};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_field};

/// The most records of one part: their columns then take about a megabyte.
pub(super) const MOST_RECORDS: u64 = 4096;
/// The most bytes of one part, unless a single record has more.
pub(super) const MOST_BYTES: usize = 192 << 10;

/// Calls `each` with requests that together hold the records of this one, in their order.
///
/// # Errors
/// Where the bytes do not walk: what was given before counts.
pub(super) fn split(signal: Signal, request: &[u8], mut each: impl FnMut(Vec<u8>, u64)) -> Result<(), ProtoError> {
    if signal == Signal::Metrics {
        return split_points(request, each);
    }
    let mut selected = Selection::default();
    let mut flush = |selected: &mut Selection| {
        let full = std::mem::take(selected);
        if full.records() > 0 {
            let mut part = Vec::with_capacity(full.bytes());
            full.write(&mut part);
            each(part, full.records());
        }
    };
    for_each_scope::<ProtoError>(request, |scope| {
        for item in scope.items() {
            let item = item?;
            if selected.records() >= MOST_RECORDS || selected.bytes() + item.len() > MOST_BYTES {
                flush(&mut selected);
            }
            selected.push(&scope, item);
        }
        Ok(())
    })?;
    flush(&mut selected);
    Ok(())
}

fn split_points(request: &[u8], mut each: impl FnMut(Vec<u8>, u64)) -> Result<(), ProtoError> {
    let mut from = 0;
    loop {
        let mut window = Window { from, taken: 0, position: 0, bytes: 0, full: false };
        let mut part = Vec::new();
        window.copy(request, 0, &mut part)?;
        if window.taken == 0 {
            return Ok(());
        }
        from += window.taken;
        let more = window.full;
        each(part, window.taken);
        if !more {
            return Ok(());
        }
    }
}

/// Copies a stretch of the points of a `MetricsData`, with what stands around them.
struct Window {
    /// The first point that is wanted.
    from: u64,
    taken: u64,
    /// The point that comes next.
    position: u64,
    bytes: usize,
    /// There is another one that did not fit.
    full: bool,
}

impl Window {
    /// Copies a message, `level` steps below the request (resource, scope, metric, data, point), without children that hold no wanted
    /// point; false when it holds none itself.
    fn copy(&mut self, message: &[u8], level: u8, out: &mut Vec<u8>) -> Result<bool, ProtoError> {
        let mut reader = Reader::new(message);
        let mut holds = false;
        while let Some((number, value)) = reader.next_field()? {
            match (level, number, value) {
                (0, 1, Value::Bytes(child))
                | (1 | 2, 2, Value::Bytes(child))
                | (3, 5 | 7 | 9 | 10 | 11, Value::Bytes(child)) => {
                    // What is behind the window need not be walked.
                    if self.full {
                        continue;
                    }
                    let mut copied = Vec::new();
                    if self.copy(child, level + 1, &mut copied)? {
                        put_bytes(out, number, &copied);
                        holds = true;
                    }
                }
                (4, 1, Value::Bytes(point)) => holds |= self.point(point, out),
                (_, _, value) => put_field(out, number, value),
            }
        }
        Ok(holds)
    }

    fn point(&mut self, point: &[u8], out: &mut Vec<u8>) -> bool {
        let wanted = self.position >= self.from && !self.full;
        self.position += 1;
        if !wanted {
            return false;
        }
        if self.taken >= MOST_RECORDS || self.taken > 0 && self.bytes + point.len() > MOST_BYTES {
            self.full = true;
            return false;
        }
        self.taken += 1;
        self.bytes += point.len() + 4;
        put_bytes(out, 1, point);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::otlp::count_records;
    use model::proto::{put_message, put_uint};

    /// A `MetricsData` with so many empty points of an exponential histogram, and a gauge behind it.
    fn points(count: usize) -> Vec<u8> {
        let mut request = Vec::new();
        put_message(&mut request, 1, |out| {
            put_message(out, 1, |out| put_bytes(out, 99, b"resource"));
            put_message(out, 2, |out| {
                put_message(out, 2, |out| {
                    put_bytes(out, 1, b"name");
                    put_message(out, 10, |out| {
                        (0..count).for_each(|_| put_bytes(out, 1, b""));
                        put_uint(out, 2, 2);
                    });
                });
                put_message(out, 2, |out| {
                    put_bytes(out, 1, b"other");
                    put_message(out, 5, |out| put_bytes(out, 1, b""));
                });
            });
        });
        request
    }

    /// What stands in the scope of a request.
    fn around(content: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut request = Vec::new();
        put_message(&mut request, 1, |out| put_message(out, 2, content));
        request
    }

    fn parts(signal: Signal, request: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let mut parts = Vec::new();
        split(signal, request, |part, records| parts.push((part, records))).unwrap();
        parts
    }

    /// Scenario: 128,500 empty points in 256 KiB, as many empty log records, and large ones. Guarantees: parts within their bounds, each with
    /// its resource, metric and temporality; every record is in one of them (P9).
    #[test]
    fn i13_small_records_are_encoded_in_parts() {
        let request = points(128_500);
        assert!(request.len() <= 258 << 10, "{}", request.len());
        let all = parts(Signal::Metrics, &request);
        assert_eq!(all.iter().map(|(_, records)| records).sum::<u64>(), 128_501);
        for (part, records) in &all {
            assert!(*records <= MOST_RECORDS && part.len() <= MOST_BYTES + 1000);
            assert_eq!(count_records(Signal::Metrics, part).unwrap(), *records);
            assert!(
                part.windows(8).any(|window| window == b"resource") && part.windows(4).any(|window| window == b"name")
            );
        }
        let last = &all.last().unwrap().0;
        assert!(last.windows(5).any(|window| window == b"other"));
        let log_records = around(|out| (0..9_003).for_each(|_| put_bytes(out, 2, b"")));
        let all = parts(Signal::Logs, &log_records);
        assert_eq!(all.iter().map(|(_, records)| *records).collect::<Vec<_>>(), [4096, 4096, 811]);
    }

    /// Scenario: a request of 4 MiB of ordinary points, one of a single large record, an empty one. Guarantees: frames fit, a large record
    /// is not cut, nothing comes of nothing (P9).
    #[test]
    fn i13_large_requests_are_encoded_in_parts() {
        let mut point = vec![0x3a, 200, 1];
        point.extend([0; 200]);
        let metric = |out: &mut Vec<u8>| put_message(out, 5, |out| (0..9_000).for_each(|_| put_bytes(out, 1, &point)));
        let request = around(|out| put_message(out, 2, metric));
        let all = parts(Signal::Metrics, &request);
        assert!(all.len() > 8 && all.iter().all(|(part, _)| part.len() <= MOST_BYTES + 10_000));
        assert_eq!(all.iter().map(|(_, records)| records).sum::<u64>(), 9_000);
        let large = around(|out| put_message(out, 2, |out| put_bytes(out, 5, &vec![b'x'; 500 << 10])));
        assert_eq!(parts(Signal::Logs, &large), [(large.clone(), 1)]);
        assert_eq!(parts(Signal::Metrics, b""), []);
    }
}
