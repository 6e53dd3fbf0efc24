//! The table as OTLP bytes.

use model::otlp::SpanView;
use model::otlp::schema::{any_value, key_value};
use model::proto::{put_bytes, put_fixed64, put_message, put_uint, put_varint, zigzag};

use crate::durations::Durations;
use crate::{OVERFLOW, Options, Series, duration_ms};

const CALLS: &[u8] = b"traces.span.metrics.calls";
const DURATION: &[u8] = b"traces.span.metrics.duration";
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;
const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUSES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

fn string_attribute(out: &mut Vec<u8>, number: u32, key: &str, text: &[u8]) {
    put_message(out, number, |out| {
        put_bytes(out, key_value::KEY, key.as_bytes());
        put_message(out, key_value::VALUE, |out| put_bytes(out, any_value::STRING, text));
    });
}

fn resource(out: &mut Vec<u8>, number: u32, service: &[u8]) {
    put_message(out, number, |out| {
        if !service.is_empty() {
            string_attribute(out, 1, "service.name", service);
        }
    });
}

fn scope(out: &mut Vec<u8>, number: u32) {
    put_message(out, number, |out| put_bytes(out, 1, b"lightship.red"));
}

fn point_attributes(out: &mut Vec<u8>, number: u32, series: &Series, options: &Options) {
    if series.kind == OVERFLOW {
        put_message(out, number, |out| {
            put_bytes(out, key_value::KEY, b"otel.metric.overflow");
            put_message(out, key_value::VALUE, |out| put_uint(out, any_value::BOOL, 1));
        });
        return;
    }
    string_attribute(out, number, "span.name", &series.name);
    string_attribute(out, number, "span.kind", KINDS.get(usize::from(series.kind)).unwrap_or(&KINDS[0]).as_bytes());
    let status = STATUSES.get(usize::from(series.status)).unwrap_or(&STATUSES[0]);
    string_attribute(out, number, "status.code", status.as_bytes());
    for (dimension, text) in options.dimensions.iter().zip(&series.dimensions) {
        if !text.is_empty() {
            string_attribute(out, number, &dimension.key, text);
        }
    }
}

/// Appends one `ExemplarSeries` with the span as its exemplar.
pub(crate) fn exemplar(series: &Series, options: &Options, span: &SpanView<'_>, out: &mut Vec<u8>) {
    put_message(out, 1, |out| {
        resource(out, 1, &series.service);
        scope(out, 2);
        put_bytes(out, 3, DURATION);
        put_bytes(out, 4, b"ms");
        point_attributes(out, 5, series, options);
        put_message(out, 6, |out| {
            put_fixed64(out, 2, span.end_ns);
            put_fixed64(out, 3, duration_ms(span).to_bits());
            if let Some(id) = span.span_id {
                put_bytes(out, 4, &id.0);
            }
            if let Some(id) = span.trace_id {
                put_bytes(out, 5, &id.0);
            }
        });
    });
}

/// Appends all series as the resource metrics of their services, and tells how many points these are. `interval_ns` is where the
/// interval of deltas began; other series begin where they were first seen.
pub(crate) fn metrics(
    series: &[Series],
    options: &Options,
    interval_ns: Option<u64>,
    now_ns: u64,
    out: &mut Vec<u8>,
) -> u64 {
    // A clock that was put back must not make a series begin after its point.
    let start_of = |one: &Series| interval_ns.unwrap_or(one.start_ns).min(now_ns);
    // A delta of nothing is not told.
    let told = || series.iter().filter(|one| !options.delta || one.count > 0);
    let temporality = if options.delta { DELTA } else { CUMULATIVE };
    let mut services: Vec<&[u8]> = Vec::new();
    for one in told() {
        if !services.contains(&&*one.service) {
            services.push(&one.service);
        }
    }
    for service in services {
        let of_service = || told().filter(|one| *one.service == *service);
        put_message(out, 1, |out| {
            resource(out, 1, service);
            put_message(out, 2, |out| {
                scope(out, 1);
                put_message(out, 2, |out| {
                    put_bytes(out, 1, CALLS);
                    put_bytes(out, 3, b"{call}");
                    put_message(out, 7, |out| {
                        for one in of_service() {
                            put_message(out, 1, |out| {
                                put_fixed64(out, 2, start_of(one));
                                put_fixed64(out, 3, now_ns);
                                put_fixed64(out, 6, one.count);
                                point_attributes(out, 7, one, options);
                            });
                        }
                        put_uint(out, 2, temporality);
                        put_uint(out, 3, 1);
                    });
                });
                put_message(out, 2, |out| {
                    put_bytes(out, 1, DURATION);
                    put_bytes(out, 3, b"ms");
                    let field = if options.bounds_ms.is_some() { HISTOGRAM } else { EXPONENTIAL_HISTOGRAM };
                    put_message(out, field, |out| {
                        for one in of_service() {
                            put_message(out, 1, |out| histogram_point(out, one, options, start_of(one), now_ns));
                        }
                        put_uint(out, 2, temporality);
                    });
                });
            });
        });
    }
    2 * told().count() as u64
}

const HISTOGRAM: u32 = 9;
const EXPONENTIAL_HISTOGRAM: u32 = 10;

fn histogram_point(out: &mut Vec<u8>, series: &Series, options: &Options, start_ns: u64, now_ns: u64) {
    // Both kinds of point have times, count and sum at the same places.
    if let Durations::Exponential { .. } = &series.durations {
        point_attributes(out, 1, series, options);
    }
    put_fixed64(out, 2, start_ns);
    put_fixed64(out, 3, now_ns);
    put_fixed64(out, 4, series.count);
    put_fixed64(out, 5, series.sum_ms.to_bits());
    match &series.durations {
        Durations::Explicit(buckets) => {
            put_packed(out, 6, buckets.iter().copied());
            let bounds = options.bounds_ms.as_deref().unwrap_or_default();
            put_packed(out, 7, bounds.iter().map(|bound| bound.to_bits()));
            point_attributes(out, 9, series, options);
        }
        Durations::Exponential { scale, zeros, offset, buckets } => {
            put_uint(out, 6, zigzag(i64::from(*scale)));
            put_fixed64(out, 7, *zeros);
            put_message(out, 8, |out| {
                put_uint(out, 1, zigzag(i64::from(*offset)));
                put_message(out, 2, |out| buckets.iter().for_each(|count| put_varint(out, *count)));
            });
        }
    }
}

fn put_packed(out: &mut Vec<u8>, number: u32, values: impl ExactSizeIterator<Item = u64>) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, 8 * values.len() as u64);
    values.for_each(|bits| out.extend_from_slice(&bits.to_le_bytes()));
}
