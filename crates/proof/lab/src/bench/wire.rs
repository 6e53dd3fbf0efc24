//! `bench wire`: bytes per span, line and sample, against OTLP with gzip and zstd, for the same batches.

use std::io::Write;

use anyhow::{Context, Result};
use model::{Epoch, Lane, Stamp};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum, metric, number_data_point,
};
use serde::Serialize;
use wire::{BlockEncoder, FrameHeader, SectionRef};

use crate::bench::host::{Host, commit};
use crate::otlp::value::{attribute, text};
use crate::otlp::{logs_request, metrics_request, traces_request};
use crate::rng::Rng;
use crate::vessel::{Fate, lines_of, resource, scope, spans_of};

/// The start of the made-up time, Unix nanoseconds.
const START_NS: u64 = 1_790_000_000_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Samples of a series in the backlog batch.
const BACKLOG_SAMPLES: u64 = 1024;
/// Series of the backlog batch; so many go in one frame.
const BACKLOG_SERIES: u64 = 50;
const SERIES_PER_FRAME: u64 = 5;
/// Frames that wait together for one block when the link is up.
const LIVE_FRAMES: usize = 10;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WireArgs {
    pub(crate) seed: u64,
}

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct WireResults {
    commit: Option<String>,
    host: Host,
    seed: u64,
    /// gzip at level 6 and zstd at level 3 are the levels of the Collector's exporters.
    compared: &'static str,
    batches: Vec<Figure>,
}

/// One batch, all of it.
#[derive(Debug, Serialize)]
struct Figure {
    batch: &'static str,
    /// Spans, lines or samples.
    record: &'static str,
    records: u64,
    otlp_bytes: usize,
    /// Per record.
    otlp_gzip: f64,
    /// Per record.
    otlp_zstd: f64,
    /// Frames before compression, per record.
    frame: f64,
    /// Blocks, as they lie on disk and go over the link, per record.
    block: f64,
    /// Block against OTLP with zstd: below 1 is a win.
    block_to_otlp_zstd: f64,
}

/// A batch as the requests that an exporter would send, one frame each.
struct Batch {
    name: &'static str,
    record: &'static str,
    records: u64,
    lane: Lane,
    requests: Vec<Request>,
}

/// What goes into one frame: export requests of one or two signals.
#[derive(Default)]
struct Request {
    traces: Vec<u8>,
    logs: Vec<u8>,
    metrics: Vec<u8>,
}

impl Request {
    fn parts(&self) -> impl Iterator<Item = &Vec<u8>> {
        [&self.traces, &self.logs, &self.metrics].into_iter().filter(|part| !part.is_empty())
    }

    fn sections(&self) -> Vec<SectionRef<'_>> {
        let all = [
            (SectionRef::Traces(&self.traces), &self.traces),
            (SectionRef::Logs(&self.logs), &self.logs),
            (SectionRef::Metrics(&self.metrics), &self.metrics),
        ];
        all.into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(section, _)| section).collect()
    }
}

/// Measures.
pub(crate) fn wire_results(args: WireArgs) -> Result<WireResults> {
    let batches = batches(args.seed).iter().map(measure).collect::<Result<_>>()?;
    Ok(WireResults {
        commit: commit(),
        host: Host::this(),
        seed: args.seed,
        compared: "OTLP protobuf with gzip level 6 and zstd level 3, each request by itself; frames in zstd blocks",
        batches,
    })
}

fn measure(batch: &Batch) -> Result<Figure> {
    let (mut otlp, mut gzip, mut zstd) = (0, 0, 0);
    let mut frames = Vec::with_capacity(batch.requests.len());
    for (index, request) in batch.requests.iter().enumerate() {
        for part in request.parts() {
            otlp += part.len();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(part)?;
            gzip += encoder.finish()?.len();
            zstd += zstd::bulk::compress(part, 3)?.len();
        }
        let mut body = Vec::new();
        wire::encode_body(&request.sections(), &mut body).context("the batch does not encode")?;
        let header = FrameHeader {
            device: "vessel-1",
            epoch: Epoch(0x1234_5678_9abc_def0),
            lane: batch.lane,
            seq: 1000 + index as u64,
            stamp: Stamp { boot_id: [7; 16], uptime_ns: SECOND_NS, wall_ns: START_NS, synchronised: true },
        };
        let mut frame = Vec::new();
        wire::seal_frame(&header, &body, &mut frame);
        frames.push(frame);
    }
    let mut encoder = BlockEncoder::new().context("no block encoder")?;
    let mut blocks = Vec::new();
    let mut group: Vec<&[u8]> = Vec::new();
    let mut first = 1000;
    for frame in &frames {
        let size: usize = group.iter().map(|frame| frame.len()).sum();
        if !group.is_empty() && size + frame.len() > wire::BLOCK_TARGET {
            encoder.encode(Epoch(1), batch.lane, first, &group, &mut blocks).context("no block")?;
            first += group.len() as u64;
            group.clear();
        }
        group.push(frame);
    }
    encoder.encode(Epoch(1), batch.lane, first, &group, &mut blocks).context("no block")?;
    let per_record = |bytes: usize| (bytes as f64 / batch.records as f64 * 100.0).round() / 100.0;
    Ok(Figure {
        batch: batch.name,
        record: batch.record,
        records: batch.records,
        otlp_bytes: otlp,
        otlp_gzip: per_record(gzip),
        otlp_zstd: per_record(zstd),
        frame: per_record(frames.iter().map(Vec::len).sum()),
        block: per_record(blocks.len()),
        block_to_otlp_zstd: (blocks.len() as f64 / zstd as f64 * 1000.0).round() / 1000.0,
    })
}

fn batches(seed: u64) -> Vec<Batch> {
    let fates: Vec<Fate> = (0..200).map(|number| Fate::decide(seed, number, None)).collect();
    let end_of = |fate: &Fate| START_NS + 10 * SECOND_NS + fate.number * 20_000_000;
    let spans = |fates: &[Fate]| {
        let spans: Vec<_> = fates.iter().flat_map(|fate| spans_of(fate, end_of(fate))).collect();
        (spans.len() as u64, traces_request(resource(), scope(), spans).to_vec())
    };
    let lines = |fates: &[Fate]| {
        let lines: Vec<_> =
            fates.iter().flat_map(|fate| lines_of(fate, end_of(fate))).map(|line| line.record()).collect();
        (lines.len() as u64, logs_request(resource(), scope(), lines).to_vec())
    };
    let mut out = Vec::new();
    for (name, count) in [("1 trace", 1), ("10 traces", 10), ("100 traces", 100)] {
        let (records, traces) = spans(&fates[..count]);
        let requests = vec![Request { traces, ..Request::default() }];
        out.push(Batch { name, record: "span", records, lane: Lane::Traces, requests });
    }
    let (_, traces) = spans(&fates[..10]);
    let (more, logs) = lines(&fates[..10]);
    let (records, _) = spans(&fates[..10]);
    out.push(Batch {
        name: "10 traces with their lines in one frame",
        record: "record",
        records: records + more,
        lane: Lane::Traces,
        requests: vec![Request { traces, logs, ..Request::default() }],
    });
    let mut records = 0;
    let requests = fates[..10 * LIVE_FRAMES]
        .chunks(LIVE_FRAMES)
        .map(|chunk| {
            let (count, traces) = spans(chunk);
            records += count;
            Request { traces, ..Request::default() }
        })
        .collect();
    out.push(Batch {
        name: "10 frames of 10 traces in a block",
        record: "span",
        records,
        lane: Lane::Traces,
        requests,
    });
    for (name, count) in [("lines of 2 requests", 2), ("lines of 200 requests", 200)] {
        let (records, logs) = lines(&fates[..count]);
        let requests = vec![Request { logs, ..Request::default() }];
        out.push(Batch { name, record: "line", records, lane: Lane::Logs, requests });
    }
    out.push(live_metrics("500 series, 1 sample each", 1, seed));
    out.push(live_metrics("500 series, 10 such frames in a block", LIVE_FRAMES as u64, seed));
    out.push(backlog(seed));
    out
}

/// The value of a series at a sample: a quarter each are counters, gauges with two decimals, and flags; the rest are
/// memory sizes and ratios with a full mantissa.
pub(crate) fn value(series: u64, sample: u64, rng: &mut Rng, last: &mut f64) -> f64 {
    match series % 20 {
        0..=4 => {
            *last += rng.between(0, 200) as f64;
            *last
        }
        5..=9 => {
            *last += (rng.unit() - 0.5) * 0.8;
            ((60.0 + *last) * 100.0).round() / 100.0
        }
        10..=13 => f64::from(u8::from((sample / 300) % 2 == series % 2)),
        14..=16 => {
            *last += (rng.between(0, 16) as f64 - 8.0) * 4096.0;
            (200.0 * 1024.0 * 1024.0) + *last
        }
        _ => rng.unit(),
    }
}

fn metric_of(series: u64, points: Vec<(u64, f64)>) -> Metric {
    const NAMES: [&str; 5] =
        ["engine.rpm", "tank.level", "pump.active", "process.memory.usage", "system.cpu.utilization"];
    let kind = match series % 20 {
        0..=4 => 0,
        5..=9 => 1,
        10..=13 => 2,
        14..=16 => 3,
        _ => 4,
    };
    let attributes = vec![attribute("unit.id", text(&format!("u{:03}", series / 5))), attribute("zone", text("aft"))];
    let data_points = points
        .into_iter()
        .map(|(time, value)| NumberDataPoint {
            attributes: attributes.clone(),
            start_time_unix_nano: START_NS,
            time_unix_nano: time,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        })
        .collect();
    let data = if kind == 0 {
        metric::Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        })
    } else {
        metric::Data::Gauge(Gauge { data_points })
    };
    Metric { name: NAMES[kind].to_owned(), unit: "1".to_owned(), data: Some(data), ..Metric::default() }
}

/// What a device of 50 samples a second sends every 10 s while the link is up.
fn live_metrics(name: &'static str, exports: u64, seed: u64) -> Batch {
    let mut rng = Rng::new(seed, 1);
    let mut last = vec![0.0; 500];
    let requests = (0..exports)
        .map(|export| {
            let time = START_NS + export * 10 * SECOND_NS;
            let metrics = (0..500)
                .map(|series| {
                    let value = value(series, export, &mut rng, &mut last[series as usize]);
                    metric_of(series, vec![(time, value)])
                })
                .collect();
            Request { metrics: metrics_request(resource(), scope(), metrics).to_vec(), ..Request::default() }
        })
        .collect();
    Batch { name, record: "sample", records: 500 * exports, lane: Lane::Metrics, requests }
}

/// Series by series, as a backlog may be gathered: one sample a second, half of the series with a jitter of +-4 ms in
/// whole milliseconds.
fn backlog(seed: u64) -> Batch {
    let mut rng = Rng::new(seed, 2);
    let all: Vec<u64> = (0..BACKLOG_SERIES).collect();
    let requests = all
        .chunks(SERIES_PER_FRAME as usize)
        .map(|chunk| {
            let metrics = chunk
                .iter()
                .map(|series| {
                    let mut last = 0.0;
                    let points = (0..BACKLOG_SAMPLES)
                        .map(|sample| {
                            let jitter = if series % 2 == 0 { rng.between(0, 8) * 1_000_000 } else { 0 };
                            let time = START_NS + sample * SECOND_NS + jitter;
                            (time, value(*series, sample, &mut rng, &mut last))
                        })
                        .collect();
                    metric_of(*series, points)
                })
                .collect();
            Request { metrics: metrics_request(resource(), scope(), metrics).to_vec(), ..Request::default() }
        })
        .collect();
    let records = BACKLOG_SERIES * BACKLOG_SAMPLES;
    Batch { name: "backlog: 50 series, 1,024 samples each", record: "sample", records, lane: Lane::Metrics, requests }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the batches of one seed, twice. Guarantees: the results do not depend on chance or time, and every batch
    /// has records.
    #[test]
    fn results_are_reproducible() {
        let results = || {
            let results = wire_results(WireArgs { seed: 5 }).unwrap();
            serde_json::to_value(&results.batches).unwrap()
        };
        let first = results();
        assert_eq!(first, results());
        assert!(first.as_array().unwrap().iter().all(|figure| figure["records"].as_u64().unwrap() > 0));
    }
}
