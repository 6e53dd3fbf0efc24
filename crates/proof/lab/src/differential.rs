//! `differential`: the same traffic through the OpenTelemetry Collector and through the agent, policy by policy. The
//! Collector runs in real time, the agent on its simulated clock.

use crate::clock::monotonic;
use crate::console::Console;
use crate::otlp::value::{attribute, int, text};
use crate::otlp::{Inbox, Pipe, Protocol, Receiver, traces_request};
use crate::program::{Program, path_text};
use crate::replay::{Golden, Outcome, START_NS, Script, run};
use crate::rng::Rng;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use model::{Signal, TraceId};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, TracesData};
use prost::Message;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// A policy that both are given, and what may differ.
struct Case {
    name: &'static str,
    /// Between the brackets of `policies: [...]`.
    policies: &'static str,
    /// Whether rates are compared, and not sets.
    limiting: bool,
}

const fn exact(name: &'static str, policies: &'static str) -> Case {
    Case { name, policies, limiting: false }
}

const fn limiting(name: &'static str, policies: &'static str) -> Case {
    Case { name, policies, limiting: true }
}

const CASES: [Case; 20] = [
    exact("always_sample", "{name: p, type: always_sample}"),
    exact("latency", "{name: p, type: latency, latency: {threshold_ms: 200}}"),
    exact("latency-band", "{name: p, type: latency, latency: {threshold_ms: 100, upper_threshold_ms: 300}}"),
    exact(
        "numeric",
        "{name: p, type: numeric_attribute, numeric_attribute: {key: code, min_value: 400, max_value: 499}}",
    ),
    exact(
        "numeric-inverted",
        "{name: p, type: numeric_attribute, numeric_attribute: {key: code, min_value: 400, max_value: 499, invert_match: \
         true}}",
    ),
    exact("probabilistic", "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 10}}"),
    exact(
        "probabilistic-salt",
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 33.3, hash_salt: pepper}}",
    ),
    exact("status_code", "{name: p, type: status_code, status_code: {status_codes: [ERROR]}}"),
    exact("status_code-two", "{name: p, type: status_code, status_code: {status_codes: [OK, ERROR]}}"),
    exact("string", "{name: p, type: string_attribute, string_attribute: {key: route, values: [/orders, /health]}}"),
    exact(
        "string-regex",
        "{name: p, type: string_attribute, string_attribute: {key: route, values: ['^/h.*th$', 'der'], \
         enabled_regex_matching: true, cache_max_size: 10}}",
    ),
    exact(
        "string-inverted",
        "{name: p, type: string_attribute, string_attribute: {key: route, values: [/orders], invert_match: true}}",
    ),
    exact("span_count", "{name: p, type: span_count, span_count: {min_spans: 2, max_spans: 3}}"),
    exact("trace_state", "{name: p, type: trace_state, trace_state: {key: vendor, values: [a, b]}}"),
    exact("boolean", "{name: p, type: boolean_attribute, boolean_attribute: {key: cached, value: true}}"),
    exact("trace_flags", "{name: p, type: trace_flags}"),
    exact(
        "and-not-drop",
        "{name: d, type: drop, drop: {drop_sub_policy: [{name: r, type: string_attribute, string_attribute: {key: route, \
         values: [/health]}}]}}, {name: a, type: and, and: {and_sub_policy: [{name: l, type: latency, latency: \
         {threshold_ms: 100}}, {name: n, type: not, not: {not_sub_policy: {name: c, type: boolean_attribute, \
         boolean_attribute: {key: cached, value: true}}}}]}}, {name: e, type: status_code, status_code: {status_codes: \
         [ERROR]}}",
    ),
    limiting("rate_limiting", "{name: p, type: rate_limiting, rate_limiting: {spans_per_second: 100}}"),
    limiting("bytes_limiting", "{name: p, type: bytes_limiting, bytes_limiting: {bytes_per_second: 20000}}"),
    limiting(
        "composite",
        "{name: p, type: composite, composite: {max_total_spans_per_second: 200, policy_order: [e, rest], \
         composite_sub_policy: [{name: e, type: status_code, status_code: {status_codes: [ERROR]}}, {name: rest, type: \
         always_sample}], rate_allocation: [{policy: e, percent: 20}, {policy: rest, percent: 50}]}}",
    ),
];

/// Rates may differ by this share.
const TOLERANCE: f64 = 0.05;
const WAIT: Duration = Duration::from_secs(3);
const REQUESTS_PER_SECOND: u64 = 10;
const TRACES_PER_REQUEST: u64 = 15;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct DifferentialArgs {
    pub(crate) agent: PathBuf,
    pub(crate) collector: PathBuf,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
}

/// How one policy came out.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    policy: &'static str,
    compared: &'static str,
    traces: usize,
    collector_kept: usize,
    agent_kept: usize,
    only_collector: usize,
    only_agent: usize,
    /// Of kept spans, agent to Collector.
    spans_ratio: f64,
    pub(crate) equal: bool,
}

/// A request at its time after the start, and how it is sent.
pub(crate) struct Sent {
    pub(crate) at_ms: u64,
    pub(crate) body: Bytes,
    pub(crate) spans: u64,
}

fn trace(rng: &mut Rng, end_ns: u64) -> Vec<Span> {
    let id = rng.id::<16>();
    // Both count the bound differently, by up to a millisecond: see docs/sampling.md.
    let length_ms = loop {
        let length = rng.between(1, 500);
        if !(99..=101).contains(&length) && !(199..=201).contains(&length) && !(299..=301).contains(&length) {
            break length;
        }
    };
    let route = ["/orders", "/health", "/things", ""][rng.between(0, 3) as usize];
    let mut root = Span {
        trace_id: id.to_vec(),
        span_id: rng.id::<8>().to_vec(),
        name: "root".to_owned(),
        kind: 2,
        start_time_unix_nano: end_ns - length_ms * 1_000_000,
        end_time_unix_nano: end_ns,
        ..Span::default()
    };
    if rng.chance(0.8) {
        root.attributes.push(attribute("route", text(route)));
    }
    if rng.chance(0.7) {
        root.attributes.push(attribute("code", int([200, 399, 400, 404, 499, 500][rng.between(0, 5) as usize])));
    }
    if rng.chance(0.5) {
        root.attributes.push(attribute("cached", Value::BoolValue(rng.chance(0.5))));
    }
    if rng.chance(0.3) {
        root.trace_state = ["vendor=a", "vendor=c", "x=1,vendor=b", "y=2"][rng.between(0, 3) as usize].to_owned();
    }
    root.flags = u32::from(rng.chance(0.2));
    let mut spans = vec![root];
    for _ in 0..rng.between(0, 4) {
        let mut child = spans[0].clone();
        child.parent_span_id.clone_from(&spans[0].span_id);
        child.span_id = rng.id::<8>().to_vec();
        child.attributes.clear();
        child.start_time_unix_nano += rng.between(0, 1_000_000);
        if child.end_time_unix_nano < child.start_time_unix_nano {
            child.start_time_unix_nano = child.end_time_unix_nano;
        }
        spans.push(child);
    }
    let code = if rng.chance(0.1) { 2 } else { i32::from(rng.chance(0.3)) };
    if let Some(last) = spans.last_mut() {
        last.status = Some(Status { code, ..Status::default() });
    }
    spans
}

/// Ten requests a second of so many traces, the same for the same seed.
pub(crate) fn traffic(seed: u64, seconds: u64, traces: u64) -> Vec<Sent> {
    let mut rng = Rng::new(seed, 77);
    let every_ms = 1_000 / REQUESTS_PER_SECOND;
    (0..seconds * REQUESTS_PER_SECOND)
        .map(|number| {
            let at_ms = number * every_ms;
            let end_ns = START_NS.unsigned_abs() + at_ms * 1_000_000;
            let spans: Vec<Span> = (0..traces).flat_map(|_| trace(&mut rng, end_ns)).collect();
            let resource =
                Resource { attributes: vec![attribute("service.name", text("differential"))], ..Resource::default() };
            let count = spans.len() as u64;
            Sent { at_ms, body: traces_request(resource, InstrumentationScope::default(), spans), spans: count }
        })
        .collect()
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// One receiver, and for each tail sampling processor a pipeline of its own to an OTLP/HTTP receiver.
fn collector_config(listen: SocketAddr, pipelines: &[(String, SocketAddr)]) -> String {
    use std::fmt::Write;
    let (mut processors, mut exporters, mut rows) = (String::new(), String::new(), String::new());
    for (index, (processor, export)) in pipelines.iter().enumerate() {
        // Writing into a String cannot fail.
        let _ = writeln!(processors, "  tail_sampling/{index}: {processor}");
        let _ = writeln!(
            exporters,
            "  otlphttp/{index}: {{endpoint: 'http://{export}', compression: none, sending_queue: {{queue_size: 100000}}}}"
        );
        let _ = writeln!(
            rows,
            "    traces/{index}: {{receivers: [otlp], processors: [tail_sampling/{index}], exporters: [otlphttp/{index}]}}"
        );
    }
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '{listen}'}}}}}}}}\nprocessors:\n{processors}exporters:\n\
         {exporters}service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n{rows}"
    )
}

/// Starts a Collector with these processors and destinations, and gives where it listens.
pub(crate) async fn collector_of(
    binary: &Path,
    pipelines: &[(String, SocketAddr)],
    directory: &Path,
) -> Result<(Program, SocketAddr)> {
    let listen = free_port()?;
    let file = directory.join("collector.yaml");
    std::fs::write(&file, collector_config(listen, pipelines))?;
    let arguments = ["--config", path_text(&file)?];
    let program = Program::start("the Collector", binary, &arguments, &directory.join("collector.log"))?;
    let begin = monotonic();
    while tokio::net::TcpStream::connect(listen).await.is_err() {
        program.id()?;
        if monotonic().duration_since(begin) > Duration::from_secs(30) {
            let said = std::fs::read_to_string(directory.join("collector.log")).unwrap_or_default();
            bail!("the Collector does not listen on {listen}; it said:\n{said}");
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok((program, listen))
}

/// Sends requests at their times, and waits until all were taken.
pub(crate) async fn send_paced(listen: SocketAddr, sent: &[Sent], seed: u64) -> Result<()> {
    let (_keep, target) = watch::channel(listen);
    let pipe = Pipe::start(Protocol::Http, Signal::Traces, target, Duration::from_secs(20), seed);
    let begin = monotonic();
    for request in sent {
        let due = Duration::from_millis(request.at_ms);
        sleep(due.saturating_sub(monotonic().duration_since(begin))).await;
        pipe.send(request.body.clone(), request.spans).await?;
    }
    pipe.settled().await
}

/// Trace ids and their spans in what a receiver got.
fn received(receiver: &Receiver) -> Result<BTreeMap<TraceId, u64>> {
    let inbox = receiver.inbox.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = BTreeMap::new();
    for request in inbox.kept.iter().flatten() {
        let data = TracesData::decode(request.body.clone())?;
        let scopes = data.resource_spans.iter().flat_map(|group| &group.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            if let Some(trace) = TraceId::from_bytes(&span.trace_id) {
                *found.entry(trace).or_default() += 1;
            }
        }
    }
    Ok(found)
}

/// Sends the traffic through the Collector at its pace, and gives what each pipeline kept.
async fn through_collector(
    args: &DifferentialArgs,
    sent: &[Sent],
    directory: &Path,
    console: Console,
) -> Result<Vec<BTreeMap<TraceId, u64>>> {
    let mut receivers = Vec::new();
    for _ in &CASES {
        receivers.push(Receiver::start(Protocol::Http, Inbox { kept: Some(Vec::new()), ..Inbox::default() }).await?);
    }
    let pipelines: Vec<(String, SocketAddr)> = CASES
        .iter()
        .zip(&receivers)
        .map(|(case, receiver)| {
            let wait = WAIT.as_secs();
            let processor = format!("{{decision_wait: {wait}s, num_traces: 200000, policies: [{}]}}", case.policies);
            (processor, receiver.address)
        })
        .collect();
    let (program, listen) = collector_of(&args.collector, &pipelines, directory).await?;
    console.event(&format!("the Collector runs; {} requests over {} s", sent.len(), args.seconds));
    send_paced(listen, sent, args.seed).await?;
    // The wait, the Collector's ticks of a second, its export, and what a loaded machine adds.
    sleep(WAIT + Duration::from_secs(7)).await;
    program.stop().await?;
    receivers.iter().map(received).collect()
}

/// The same traffic through the agent, with one of the cases.
fn through_agent(args: &DifferentialArgs, case: &Case, sent: &[Sent]) -> Result<BTreeMap<TraceId, u64>> {
    let mut script = Script::default();
    for request in sent {
        script.put(request.at_ms.cast_signed() * 1_000_000, Signal::Traces.name(), &request.body);
    }
    let sampling = format!("decision_wait: {}s\nmemory: 16MiB\npolicies: [{}]", WAIT.as_secs(), case.policies);
    let outcome: Outcome = run(&Golden::of_sampling(sampling, "64MiB"), &script, &args.agent)?;
    Ok(outcome.spans)
}

/// Runs it.
pub(crate) async fn differential(args: &DifferentialArgs, console: Console) -> Result<Vec<Comparison>> {
    let directory =
        tempfile::Builder::new().prefix("lightship-differential-").tempdir().context("no temporary directory")?;
    console.event(&format!("seed {}, {} policies", args.seed, CASES.len()));
    let sent = traffic(args.seed, args.seconds, TRACES_PER_REQUEST);
    let of_collector = through_collector(args, &sent, directory.path(), console).await?;
    let traces = sent.len() * TRACES_PER_REQUEST as usize;
    let mut comparisons = Vec::new();
    for (case, collector) in CASES.iter().zip(of_collector) {
        let agent = through_agent(args, case, &sent).with_context(|| format!("policy {}", case.name))?;
        let keys = |kept: &BTreeMap<TraceId, u64>| kept.keys().copied().collect::<BTreeSet<TraceId>>();
        let (ours, theirs) = (keys(&agent), keys(&collector));
        let spans = |kept: &BTreeMap<TraceId, u64>| kept.values().sum::<u64>() as f64;
        let ratio = spans(&agent) / spans(&collector).max(1.0);
        let equal = if case.limiting { (ratio - 1.0).abs() <= TOLERANCE } else { agent == collector };
        let nothing = theirs.is_empty() || (case.name != "always_sample" && theirs.len() == traces);
        let comparison = Comparison {
            policy: case.name,
            compared: if case.limiting { "rates" } else { "sets" },
            traces,
            collector_kept: theirs.len(),
            agent_kept: ours.len(),
            only_collector: theirs.difference(&ours).count(),
            only_agent: ours.difference(&theirs).count(),
            spans_ratio: (ratio * 1e4).round() / 1e4,
            // A policy that keeps all or nothing proves nothing.
            equal: equal && !nothing,
        };
        let line = format!(
            "{:20} {}: Collector {:5}, agent {:5} of {traces} traces, spans {:.4}",
            case.name, comparison.compared, comparison.collector_kept, comparison.agent_kept, ratio
        );
        if comparison.equal {
            console.event(&line);
        } else {
            console.bad(&line);
        }
        comparisons.push(comparison);
    }
    Ok(comparisons)
}
