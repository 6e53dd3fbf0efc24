//! Other programs that do the agent's job, set up to do as much of it as they can.

use crate::clock::monotonic;
use crate::program::{Program, path_text};
use anyhow::{Result, bail};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long one may take until it listens.
const START: Duration = Duration::from_secs(30);

/// A running program, and where it takes OTLP/HTTP.
pub(crate) struct Peer {
    pub(crate) program: Program,
    pub(crate) listen: SocketAddr,
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// What of the usual rules the Collector's `redaction` processor can do: keys that look secret, and values by expressions. It has no check
/// digits, takes no clothing off, and looks at attributes and bodies only.
const REDACTION: &str = "\x20 redaction:\n    allow_all_keys: true\n    blocked_key_patterns: ['(?i).*(password|passwd|passphrase|secret|api.?key|access.?key|private.?key|authorization|credential|cookie).*', \
'(?i).*(token|pwd|cvv2?|cvc2?|card.?number|track_data|pin_block)$']\n    blocked_values: ['\\b4[0-9]{12}(?:[0-9]{3})?\\b', '\\b(?:5[1-5][0-9]{2}|2[2-7][0-9]{2})[0-9]{12}\\b', \
'\\b3[47][0-9]{13}\\b', '\\b6(?:011|5[0-9]{2}|2[0-9]{2})[0-9]{12}\\b', 'eyJ[A-Za-z0-9_-]{7,}\\.[A-Za-z0-9_-]+', '(?i)\\b(?:bearer|basic|negotiate) +[A-Za-z0-9._~+/=-]{6,}', \
'\\b(?:AKIA|ASIA|ghp_|xoxb-|AIza|sk_live_)[A-Za-z0-9_-]{10,}', '-----BEGIN ', '://[^/ @:]+:[^/ @]+@']\n";

/// Starts the Collector: tail sampling, span metrics of every span, and queues in files without fsync; masking, where asked for. Traces wait
/// `wait`.
pub(crate) async fn start_collector(
    binary: &Path,
    sink: SocketAddr,
    directory: &Path,
    wait: Duration,
    masks: bool,
) -> Result<Peer> {
    let (redaction, first) = if masks { (REDACTION, "redaction, ") } else { ("", "") };
    let all = if masks { "processors: [redaction], " } else { "" };
    let (listen, queue) = (free_port()?, directory.join("queue"));
    fs::create_dir_all(&queue)?;
    let config = format!(
        "extensions: {{file_storage: {{directory: {queue}, fsync: false}}}}\n\
         receivers: {{otlp: {{protocols: {{http: {{endpoint: '{listen}'}}}}}}}}\n\
         connectors: {{spanmetrics: {{metrics_flush_interval: 15s}}}}\n\
         processors:\n{redaction}  tail_sampling:\n    decision_wait: {wait}s\n    num_traces: 100000\n    policies:\n      \
         - {{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}\n      \
         - {{name: slow, type: latency, latency: {{threshold_ms: 200}}}}\n\
         exporters: {{otlphttp: {{endpoint: 'http://{sink}', sending_queue: {{storage: file_storage}}}}}}\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  extensions: [file_storage]\n  pipelines:\n    \
         traces/all: {{receivers: [otlp], {all}exporters: [spanmetrics]}}\n    \
         traces/kept: {{receivers: [otlp], processors: [{first}tail_sampling], exporters: [otlphttp]}}\n    \
         metrics: {{receivers: [spanmetrics], exporters: [otlphttp]}}\n",
        queue = path_text(&queue)?,
        wait = wait.as_secs(),
    );
    start("the Collector", binary, &["--config"], &directory.join("collector.yaml"), &config, listen).await
}

/// Starts Fluent Bit: tail sampling, and buffers in files. It has no span metrics. Traces wait `wait`.
pub(crate) async fn start_fluent_bit(
    binary: &Path,
    sink: SocketAddr,
    directory: &Path,
    wait: Duration,
) -> Result<Peer> {
    let (listen, buffers) = (free_port()?, directory.join("buffers"));
    fs::create_dir_all(&buffers)?;
    let config = format!(
        "service: {{flush: 1, log_level: error, storage.path: {buffers}}}\npipeline:\n  inputs:\n    - name: opentelemetry\n      \
         listen: {listen_ip}\n      port: {listen_port}\n      storage.type: filesystem\n      processors:\n        traces:\n          \
         - name: sampling\n            type: tail\n            sampling_settings: {{decision_wait: {wait}s, max_traces: 100000}}\n            \
         conditions:\n              - {{type: status_code, status_codes: [ERROR]}}\n              \
         - {{type: latency, threshold_ms_high: 200}}\n  outputs:\n    - name: opentelemetry\n      match: '*'\n      \
         host: {sink_ip}\n      port: {sink_port}\n      traces_uri: /v1/traces\n      compress: gzip\n",
        buffers = path_text(&buffers)?,
        listen_ip = listen.ip(),
        listen_port = listen.port(),
        wait = wait.as_secs(),
        sink_ip = sink.ip(),
        sink_port = sink.port(),
    );
    start("Fluent Bit", binary, &["--config"], &directory.join("fluent-bit.yaml"), &config, listen).await
}

async fn start(
    name: &'static str,
    binary: &Path,
    arguments: &[&str],
    file: &Path,
    config: &str,
    listen: SocketAddr,
) -> Result<Peer> {
    fs::write(file, config)?;
    let log = file.with_extension("log");
    let arguments: Vec<&str> = arguments.iter().copied().chain([path_text(file)?]).collect();
    let program = Program::start(name, binary, &arguments, &log)?;
    let begin = monotonic();
    while TcpStream::connect(listen).await.is_err() {
        program.id()?;
        if monotonic().duration_since(begin) > START {
            bail!("{name} does not listen on {listen}; it said:\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(Peer { program, listen })
}
