//! Frames against owned OTLP messages made by chance.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod chance;

use chance::Chance;
use opentelemetry_proto::tonic::logs::v1::LogsData;
use opentelemetry_proto::tonic::metrics::v1::{MetricsData, metric};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use wire::{FrameHeader, Section, SectionRef, decode_body, decode_frame, encode_body, seal_frame};

fn body(sections: &[SectionRef<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let stats = encode_body(sections, &mut out).unwrap();
    assert_eq!(stats, wire::EncodeStats::default());
    out
}

/// Compares what the bytes say, as text: NaN differs from itself, and prost leaves a negative zero out where it is the
/// default, so that the message that was made and the one that was sent are not always the same.
fn same<T: Message + Default + std::fmt::Debug>(seed: u64, sent: &[u8], received: &[u8]) {
    let sent = format!("{:?}", T::decode(sent).unwrap());
    let received = format!("{:?}", T::decode(received).unwrap_or_else(|error| panic!("seed {seed}: {error}")));
    let differs = sent.bytes().zip(received.bytes()).position(|(a, b)| a != b);
    let at = differs.unwrap_or(0).saturating_sub(40);
    let around = |text: &str| text.chars().skip(at).take(100).collect::<String>();
    assert!(sent == received, "seed {seed}: sent ...{} received ...{}", around(&sent), around(&received));
}

/// Scenario: two thousand batches of all signals made by chance, with every field of the schema, odd ids, NaNs and
/// nested values, go through a frame and back.
/// Guarantees: nothing changes, and encoding the canonical form again gives the same bytes (P7).
#[test]
fn every_batch_survives() {
    for seed in 0..2000 {
        let mut chance = Chance(seed);
        let sent = [chance.traces().encode_to_vec(), chance.logs().encode_to_vec(), chance.metrics().encode_to_vec()];
        let bytes = body(&[SectionRef::Traces(&sent[0]), SectionRef::Logs(&sent[1]), SectionRef::Metrics(&sent[2])]);
        let sections = decode_body(&bytes).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let [Section::Traces(a), Section::Logs(b), Section::Metrics(c)] = sections.as_slice() else {
            panic!("seed {seed}: other sections");
        };
        same::<TracesData>(seed, &sent[0], a);
        same::<LogsData>(seed, &sent[1], b);
        same::<MetricsData>(seed, &sent[2], c);
        let again = body(&[SectionRef::Traces(a), SectionRef::Logs(b), SectionRef::Metrics(c)]);
        assert_eq!(again, bytes, "seed {seed}");
    }
}

/// Scenario: a frame with one byte changed, at every place, and cut at every place.
/// Guarantees: an error or another frame, never a panic, and never an allocation beyond the section limit.
#[test]
fn damaged_frames_are_errors() {
    let mut chance = Chance(7);
    let traces = chance.traces().encode_to_vec();
    let metrics = chance.metrics().encode_to_vec();
    let body = body(&[SectionRef::Traces(&traces), SectionRef::Metrics(&metrics)]);
    let header = FrameHeader {
        device: "vessel-1",
        epoch: model::Epoch(5),
        lane: model::Lane::Traces,
        seq: 9,
        stamp: model::Stamp { boot_id: [1; 16], uptime_ns: 2, wall_ns: 3, synchronised: true },
    };
    let mut frame = Vec::new();
    seal_frame(&header, &body, &mut frame);
    let whole = decode_frame(&frame).unwrap();
    assert_eq!(whole.header.device, "vessel-1");
    assert_eq!((whole.header.epoch, whole.header.seq, whole.header.stamp), (header.epoch, 9, header.stamp));
    for cut in 0..frame.len() {
        assert!(decode_frame(&frame[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..frame.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = frame.clone();
            damaged[at] ^= flip;
            if let Ok(other) = decode_frame(&damaged) {
                assert_ne!(other, whole, "a flip of {flip:#x} at {at} went unseen");
            }
        }
    }
}

/// Scenario: unknown fields, a text that is not UTF-8, a resource after its spans, a message in pieces, unpacked lists.
/// Guarantees: dropped and counted; kept as bytes and counted; the rest reads as protobuf means it.
#[test]
fn odd_protobuf_is_read_as_protobuf() {
    use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_bytes(out, 5, b"bad \xff name");
                put_uint(out, 99, 1);
                put_message(out, 15, |out| put_bytes(out, 2, b"message"));
                put_message(out, 15, |out| put_uint(out, 3, 2));
            });
        });
        put_message(out, 1, |out| put_uint(out, 2, 4));
    });
    let mut out = Vec::new();
    let stats = encode_body(&[SectionRef::Traces(&request)], &mut out).unwrap();
    assert_eq!(stats, wire::EncodeStats { unknown_fields: 1, invalid_utf8: 1 });
    let sections = decode_body(&out).unwrap();
    let Section::Traces(traces) = &sections[0] else { panic!("no traces") };
    assert!(traces.windows(10).any(|window| window == b"bad \xff name"));
    let text: Vec<u8> = traces.iter().map(|byte| if *byte == 0xff { b'?' } else { *byte }).collect();
    let traces = TracesData::decode(text.as_slice()).unwrap();
    assert_eq!(traces.resource_spans[0].resource.as_ref().unwrap().dropped_attributes_count, 4);
    let status = traces.resource_spans[0].scope_spans[0].spans[0].status.clone().unwrap();
    assert_eq!((status.message.as_str(), status.code), ("message", 2));

    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_message(out, 9, |out| {
                    put_message(out, 1, |out| {
                        put_fixed64(out, 6, 3);
                        put_fixed64(out, 6, 4);
                        put_fixed64(out, 7, 2.5f64.to_bits());
                    });
                });
            });
        });
    });
    let mut out = Vec::new();
    assert_eq!(encode_body(&[SectionRef::Metrics(&request)], &mut out).unwrap(), wire::EncodeStats::default());
    let sections = decode_body(&out).unwrap();
    let Section::Metrics(metrics) = &sections[0] else { panic!("no metrics") };
    let metrics = MetricsData::decode(metrics.as_slice()).unwrap();
    let Some(metric::Data::Histogram(histogram)) = &metrics.resource_metrics[0].scope_metrics[0].metrics[0].data else {
        panic!("no histogram");
    };
    assert_eq!(histogram.data_points[0].bucket_counts, [3, 4]);
    assert_eq!(histogram.data_points[0].explicit_bounds, [2.5]);
}
