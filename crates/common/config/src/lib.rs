//! The one configuration file of `lightship`: strict YAML, typed, every field documented.
//!
//! [`load`] reads and checks a file; nothing here opens a socket or a directory.

mod destination;
mod drift;
mod exec;
mod fault;
mod files;
mod guard;
mod host;
mod lanes;
mod limits;
mod otlp;
mod policy;
mod prometheus;
mod read;
mod red;
mod sampling;
#[cfg(feature = "schema")]
mod schema;
mod statsd;
mod syslog;
mod units;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use destination::{
    Compression, Destination, DestinationKind, LaneName, MaxHold, NameTranslation, OtlpProtocol, SignalName, SignalUrls,
};
pub use drift::{Drift, DurationUnit, Meaning, MeantField};
pub use exec::{ExecFormat, ExecSource, LineOptions};
pub use files::{FileEncoding, FileFormat, FileMultiline, FileSource, FileStart, StackTraces};
pub use guard::{Guard, MaskAction, MaskClass, MaskRule, Redaction, TokenKey};
pub use host::{HostPart, HostSource};
pub use lanes::{LaneBudget, LaneBudgets, LaneRule, LaneWatermarks, Lanes, OwnLane, Watermarks};
pub use limits::{LimitRule, Limits};
pub use otlp::{AckLevel, Cors, OtlpSource};
pub use policy::{Policy, PolicyKind, RateAllocation, SeverityLevel, StatusCode};
pub use prometheus::{
    Authorization, BasicAuth, EscapingScheme, FileDiscovery, PrometheusSource, RelabelAction, RelabelRule,
    RemoteWriteSource, Scheme, ScrapeCommon, ScrapeConfig, ScrapeGlobal, TargetGroup, TlsConfig, ValidationScheme,
    target_groups,
};
pub use read::{ConfigError, load, parse};
pub use red::{Dimension, HistogramKind, Red, Temporality};
pub use sampling::{Adaptive, Incident, IncidentAlert, LogRecordRule, LogRules, RouteShare, Sampling};
#[cfg(feature = "schema")]
pub use schema::schema;
pub use statsd::StatsdSource;
pub use syslog::{JournaldSource, KernelSource, SyslogSource};
pub use units::{ByteSize, DayWindow, Percent, Share, Span};
pub use yaml::Spanned;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this format; 0 is the only one.
    pub version: u32,
    /// The most memory that the whole program may take. Parts that add up to more are refused at start; absent: the
    /// parts' own bounds are all there is.
    pub memory: Option<ByteSize>,
    /// Who this device is.
    pub device: Device,
    /// Directory of the journal; made when missing. Needs a file system that honours fsync.
    pub data_dir: PathBuf,
    /// Whether the kernel may write a core dump when the program crashes. A dump has what was in memory, values before they are masked and
    /// keys of tokens included (docs/masking.md): for the search for a fault only.
    #[serde(default)]
    pub core_dumps: bool,
    /// What is taken in.
    #[serde(default)]
    pub sources: Sources,
    /// What is masked before anything is written.
    #[serde(default)]
    pub guard: Guard,
    /// How much of each kind comes in.
    #[serde(default)]
    pub limits: Limits,
    /// Whether fields that change are looked for.
    #[serde(default)]
    pub drift: Drift,
    /// Which traces are kept.
    #[serde(default)]
    pub sampling: Sampling,
    /// The ring of everything that came in, before sampling.
    #[serde(default)]
    pub recorder: Recorder,
    /// Rate, error and duration metrics of every span.
    #[serde(default)]
    pub red: Red,
    /// What was decided to be delivered, on disk.
    #[serde(default)]
    pub journal: Journal,
    /// Records that go into lanes of their own, and how much each lane may take.
    #[serde(default)]
    pub lanes: Lanes,
    /// Where it is delivered to.
    pub destinations: Vec<Destination>,
    /// What the agent says of itself to the destinations.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Health, metrics and status of the agent itself.
    #[serde(default)]
    pub admin: Admin,
}

/// What the agent says of itself to the destinations: its counters as metrics, and what is lost as log records.
#[derive(Debug, Clone, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// How often its counters go out; 0s: nothing is said. Absent: every minute where there is a destination that is no hub; a hub knows
    /// without being told.
    pub interval: Option<Span>,
}

impl Config {
    /// How often the agent's counters go out; `None`: never, and losses are not told either.
    pub fn own_interval(&self) -> Option<Duration> {
        let is_all_hubs = self.destinations.iter().all(|one| one.kind == DestinationKind::Hub);
        let usual = if is_all_hubs { Duration::ZERO } else { Duration::from_secs(60) };
        Some(self.telemetry.interval.map_or(usual, |interval| interval.0)).filter(|interval| !interval.is_zero())
    }
}

/// Who this device is.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The device's name at the hub, unique in the fleet: 1 to 128 characters of letters, digits, `.`, `_`, `-`.
    pub id: String,
}

/// What is taken in.
#[derive(Debug, Clone, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// OTLP over gRPC and HTTP; absent: none.
    pub otlp: Option<OtlpSource>,
    /// Prometheus targets that are scraped; absent: none.
    pub prometheus: Option<PrometheusSource>,
    /// Prometheus remote write on the port of `otlp.http`; absent: none is taken.
    pub remote_write: Option<RemoteWriteSource>,
    /// StatsD over UDP; absent: none.
    pub statsd: Option<StatsdSource>,
    /// What the host tells of itself; absent: nothing.
    pub host: Option<HostSource>,
    /// Log files; absent: none.
    #[serde(default)]
    pub files: Vec<FileSource>,
    /// Programs that are run, and whose output is taken in; absent: none.
    #[serde(default)]
    pub exec: Vec<ExecSource>,
    /// Log lines on the agent's own standard input; absent: it is not read. Its end ends nothing else.
    pub stdin: Option<LineOptions>,
    /// Syslog from the network; absent: none.
    pub syslog: Option<SyslogSource>,
    /// The kernel's log; absent: it is not read.
    pub kernel: Option<KernelSource>,
    /// The journal of systemd; absent: it is not read.
    pub journald: Option<JournaldSource>,
}

impl Sources {
    /// Whether one of them goes on where it was: what was not committed is read again.
    pub fn have_positions(&self) -> bool {
        !self.files.is_empty() || self.kernel.is_some() || self.journald.is_some()
    }
}

/// The ring of everything that came in, before sampling.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recorder {
    /// Its size in memory. It must hold what comes in during `sampling.decision_wait`.
    #[serde(default = "default_recorder")]
    pub memory: ByteSize,
    /// Its size on disk, beside `journal.budget`: at least four times `memory`. What comes in is then written there too, so
    /// that undecided traces and decisions survive a restart. Absent: in memory only.
    pub files: Option<ByteSize>,
}

impl Config {
    /// What an answer of the OTLP source means.
    pub fn ack(&self) -> AckLevel {
        self.sources.otlp.as_ref().and_then(|otlp| otlp.ack).unwrap_or(self.recorded())
    }

    /// How safe what comes in is where nobody asks for more or less: in the recorder's files where there are some, else in memory.
    pub fn recorded(&self) -> AckLevel {
        if self.recorder.files.is_some() { AckLevel::Written } else { AckLevel::Received }
    }
}

/// What was decided to be delivered, on disk.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The most bytes on disk.
    #[serde(default = "default_budget")]
    pub budget: ByteSize,
    /// Bytes that are left free on the file system for everyone else: below it the journal does not grow.
    #[serde(default = "default_keep_free")]
    pub keep_free: ByteSize,
    /// Bytes of what every destination has confirmed that are kept all the same, for queries on the device and for a hub that
    /// comes back from a backup; the first to go when space is short. Part of `budget`.
    #[serde(default)]
    pub history: Option<ByteSize>,
    /// When room runs short, and before metrics are given up, the oldest are thinned to steps of this length: extremes, count and
    /// sum of what goes up and down, the last of what counts. 0 for never.
    #[serde(default = "default_thin")]
    pub thin: Span,
    /// How long records may wait in memory for others, so that one fsync serves them all.
    #[serde(default = "default_commit_delay")]
    pub commit_delay: Span,
}

/// Health, metrics and status of the agent itself.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address of `/healthz`, `/readyz`, `/metrics` and `/status`; port 0 takes a free one.
    #[serde(default = "default_admin", deserialize_with = "units::address")]
    pub listen: SocketAddr,
    /// File with a bearer token for what changes something (`POST`); read at start. Absent: only the Unix socket in
    /// `data_dir` takes that.
    pub token_file: Option<PathBuf>,
    /// Names beside IP addresses and `localhost` under which it is asked, in the `Host` header; a page that points a name
    /// of its own at this address is refused.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The most connections at once; as many again on the Unix socket. When they run out, the one that has been idle for
    /// longest is closed.
    #[serde(default = "default_admin_connections")]
    pub connections: u16,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

fn default_admin_connections() -> u16 {
    8
}
fn default_recorder() -> ByteSize {
    ByteSize(MIB)
}
fn default_budget() -> ByteSize {
    ByteSize(64 * MIB)
}
fn default_keep_free() -> ByteSize {
    ByteSize(4 * MIB)
}
fn default_thin() -> Span {
    Span(Duration::from_mins(1))
}
fn default_commit_delay() -> Span {
    Span(Duration::from_secs(1))
}
fn default_admin() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8888))
}

impl Default for Recorder {
    fn default() -> Self {
        Self { memory: default_recorder(), files: None }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            budget: default_budget(),
            keep_free: default_keep_free(),
            history: None,
            thin: default_thin(),
            commit_delay: default_commit_delay(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: default_admin(), token_file: None, hosts: Vec::new(), connections: default_admin_connections() }
    }
}

/// All that can be checked of values that are read, as (place, what) in the order of the file; the place may be empty.
fn faults(config: &Config) -> Vec<(String, String)> {
    let whole = |checked: Result<(), String>| checked.map_err(|what| (String::new(), what));
    let placed = |checked: Result<(), (String, String)>| checked;
    [
        whole(check(config)),
        whole(otlp::check(config)),
        whole(files::check(config)),
        whole(exec::check(config)),
        whole(syslog::check(config)),
        whole(statsd::check(config.sources.statsd.as_ref())),
        placed(guard::check(&config.guard)),
        placed(drift::check(&config.drift)),
        placed(limits::check(&config.limits)),
        placed(sampling::check(&config.sampling)),
        placed(lanes::check(&config.lanes, config.journal.budget.0)),
        whole(red::check(&config.red)),
        whole(host::check(config.sources.host.as_ref())),
        whole(prometheus::check(config.sources.prometheus.as_ref())),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}

fn is_name(text: &str, extra: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn check(config: &Config) -> Result<(), String> {
    if config.version != 0 {
        return Err(format!("version: {} is not known; this program reads version 0", config.version));
    }
    if !is_name(&config.device.id, "._-") {
        return Err("device.id: use 1 to 128 letters, digits, '.', '_' or '-'".into());
    }
    let has_http = config.sources.otlp.as_ref().is_some_and(|otlp| otlp.http.is_some());
    if config.sources.remote_write.is_some() && !has_http {
        return Err("sources.remote_write: it is taken on the port of sources.otlp.http, which is not there".into());
    }
    destination::check(&config.destinations)?;
    if config.journal.history.is_some_and(|history| history.0 > config.journal.budget.0 / 2) {
        return Err("journal.history: at most half of journal.budget".into());
    }
    if config.recorder.files.is_some_and(|files| files.0 < 4 * config.recorder.memory.0) {
        return Err("recorder.files: must be at least four times recorder.memory".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration with this section.
    pub(crate) fn with_section(section: &str) -> Result<Config, ConfigError> {
        parse(&format!(
            "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\n\
             destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n{section}\n"
        ))
    }

    const GOOD: &str = r#"
version: 0
device: { id: vessel-1 }
data_dir: /var/lib/lightship
sources:
  otlp: { grpc: 127.0.0.1:4317, http: "127.0.0.1:4318", max_request: 256KiB }
sampling:
  decision_wait: 2s
  policies:
    - { name: errors, type: status_code, status_code: { status_codes: [ERROR] } }
    - { name: slow, type: latency, latency: { threshold_ms: 200 } }
recorder: { memory: 1MiB }
red: { interval: 1s }
journal: { budget: 64MiB, commit_delay: 200ms }
destinations:
  - { name: hub, type: hub, url: "https://127.0.0.1:7443", ca_file: /etc/ca.pem, heartbeat: 1s }
admin: { listen: "127.0.0.1:8888" }
"#;

    /// Scenario: a value with control characters is refused. Guarantees: the error is one line without them.
    #[test]
    fn an_error_shows_control_characters_escaped() {
        let error = parse(&GOOD.replace("https://127.0.0.1:7443", "x\\r\\n\\e[31m")).unwrap_err().to_string();
        assert!(error.contains(r"\r\n\u{1b}[31m") && !error.contains(char::is_control), "{error}");
    }

    /// Scenario: a full file. Guarantees: values arrive with their units.
    #[test]
    fn a_good_file_is_read() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.sampling.decision_wait.0, Duration::from_secs(2));
        assert_eq!(config.journal.commit_delay.0, Duration::from_millis(200));
        assert_eq!(config.sources.otlp.unwrap().max_request.0, 262_144);
        assert_eq!(config.destinations[0].kind, DestinationKind::Hub);
    }

    /// Scenario: destinations on message brokers, with subjects, users and schemes that are and are not of their kind. Guarantees: what is
    /// none is refused under its key, and no password is shown.
    #[test]
    fn brokers_are_read() {
        let read = |destination: &str| {
            let start = GOOD.find("  - { name: hub").unwrap();
            let end = GOOD.find("admin:").unwrap();
            parse(&format!("{}  - {{ name: broker, {destination} }}\n{}", &GOOD[..start], &GOOD[end..]))
        };
        let config =
            read("type: nats, url: 'tls://u:p@nats.example', subject: 'ships.{device}.{signal}', signals: [logs]");
        let destination = &config.unwrap().destinations[0];
        assert_eq!((destination.kind, destination.separate_signals().unwrap().len()), (DestinationKind::Nats, 1));
        let config = read("type: mqtt, url: 'mqtts://mqtt.example', subject: 'fleet/{device}/{signal}'").unwrap();
        assert_eq!(config.destinations[0].separate_signals().unwrap().len(), 3);
        for (bad, says) in [
            ("type: nats, url: 'http://u:secret@nats.example'", "must start with tls:// or nats://"),
            ("type: nats, url: 'nats://h', subject: 'a b'", "subject: 'a b' must be names"),
            ("type: nats, url: 'nats://h', subject: 'a.>'", "subject: "),
            ("type: nats, url: 'nats://h', subject: 'a..b'", "subject: "),
            ("type: nats, url: 'nats://h', subject: '{ship}'", "subject: "),
            ("type: nats, url: 'nats://h', subject: '$JS.API'", "subject: "),
            ("type: nats, url: 'nats://h', labels: [a]", "labels: "),
            ("type: nats, url: 'nats://h', compression: none", "compression: "),
            ("type: mqtt, url: 'nats://h'", "must start with mqtts:// or mqtt://"),
            ("type: mqtt, url: 'mqtt://h', subject: 'a/+'", "subject: "),
            ("type: mqtt, url: 'mqtt://h', subject: '/a'", "subject: "),
            ("type: otlp, url: 'https://h', subject: a", "subject: it is for type: nats"),
            ("type: hub, url: 'https://h', subject: a", "subject: it is for type: nats"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{bad}: {error}");
        }
    }

    /// Scenario: a block of policies as a Collector's users have it, with each type in it.
    /// Guarantees: it is read as it is.
    #[test]
    fn a_pasted_block_is_read() {
        let block = r#"
  decision_wait: 10s
  num_traces: 50000
  expected_new_traces_per_sec: 10
  decision_cache: { sampled_cache_size: 100000, non_sampled_cache_size: 100000 }
  policies:
    [
      { name: all, type: always_sample },
      { name: slow, type: latency, latency: { threshold_ms: 5000, upper_threshold_ms: 10000 } },
      { name: number, type: numeric_attribute, numeric_attribute: { key: key1, min_value: 50, max_value: 100 } },
      { name: some, type: probabilistic, probabilistic: { sampling_percentage: 0.1, hash_salt: x } },
      { name: failed, type: status_code, status_code: { status_codes: [ERROR, UNSET] } },
      { name: text, type: string_attribute, string_attribute: { key: key2, values: [value1, val*], enabled_regex_matching: true, cache_max_size: 10 } },
      { name: not-text, type: string_attribute, string_attribute: { key: http.url, values: ["\/health"], invert_match: true } },
      { name: rate, type: rate_limiting, rate_limiting: { spans_per_second: 35 } },
      { name: bytes, type: bytes_limiting, bytes_limiting: { bytes_per_second: 1048576, burst_capacity: 2097152 } },
      { name: count, type: span_count, span_count: { min_spans: 2, max_spans: 20 } },
      { name: state, type: trace_state, trace_state: { key: key3, values: [value1, value2] } },
      { name: flags, type: trace_flags },
      { name: boolean, type: boolean_attribute, boolean_attribute: { key: key4, value: true } },
      { name: both, type: and, and: { and_sub_policy: [ { name: a, type: always_sample }, { name: n, type: not, not: { not_sub_policy: { type: trace_flags } } } ] } },
      { name: never, type: drop, drop: { drop_sub_policy: [ { name: a, type: string_attribute, string_attribute: { key: url.path, values: [\/health], enabled_regex_matching: true } } ] } },
      { name: mixed, type: composite, composite: {
          max_total_spans_per_second: 1000, policy_order: [first, second, third],
          composite_sub_policy: [
            { name: first, type: numeric_attribute, numeric_attribute: { key: key1, min_value: 50, max_value: 100 } },
            { name: second, type: string_attribute, string_attribute: { key: key2, values: [value1] } },
            { name: third, type: always_sample } ],
          rate_allocation: [ { policy: first, percent: 50 }, { policy: second, percent: 25 } ] } },
      { name: loud, type: log_severity, log_severity: { min_severity: WARN } },
    ]
"#;
        let start = GOOD.find("\n  decision_wait").unwrap();
        let end = GOOD.find("recorder:").unwrap();
        let text = format!("{}{block}{}", &GOOD[..start], &GOOD[end..]);
        let config = parse(&text).unwrap();
        assert_eq!(config.sampling.policies.len(), 17);
        let composite = config.sampling.policies[15].value.composite.as_ref().unwrap();
        assert_eq!(["first", "second", "third"].map(|name| composite.share_of(name)), [500, 250, 333]);
        assert_eq!(SeverityLevel::Warn.number(), 13);
        for (from, to, expected) in [
            ("[value1, val*]", "[value1, 'val(']", ":19:93: sampling.policies[5]: 'val(' is no regular expression"),
            ("[first, second, third]", "[second, first, third]", "policy_order is not the order"),
            ("policy: first, percent", "policy: fourth, percent", "'fourth', which is no part"),
            ("min_value: 50, max_value: 100 } },\n      { name: some", "key: x } },\n      { name: some", "duplicate"),
            ("{ name: a, type: always_sample }", "{ name: a, type: composite }", "needs a block named 'composite'"),
        ] {
            let error = parse(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    /// Scenario: an unknown key, an unknown policy, bad units, a missing block, a forgotten field, no YAML at all.
    /// Guarantees: each is refused with its place and a word on what to do.
    #[test]
    fn bad_files_are_refused_with_their_place() {
        for (from, to, expected) in [
            ("recorder: {", "recoder: {", ":12:1: unknown field"),
            ("type: latency,", "type: ottl_condition,", ":11:27: ottl_condition is not supported; use"),
            ("type: latency,", "type: lateness,", "'lateness' is no policy type; one of always_sample"),
            ("name: slow", "name: errors", ":11:"),
            (
                "decision_wait: 2s",
                "decision_wait: 2s\n  sampling_strategy: span-ingest",
                ":9:22: sampling_strategy span-ingest",
            ),
            ("decision_wait: 2s", "decision_wait: 2s\n  tail_storage: x", ":9:3: unknown field"),
            ("decision_wait: 2s", "decision_wait: 2s\n  memory: 1KiB", "sampling.memory: at least 64KiB"),
            ("threshold_ms: 200 }", "threshold_ms: 200 }, and: { and_sub_policy: [] }", "would be ignored"),
            ("256KiB", "256KX", ":6:70: '256KX' is not a size"),
            ("decision_wait: 2s", "decision_wait: 2", ":8:18: '2' is not a duration"),
            ("latency: {", "status_code: {", ":11:"),
            ("type: latency, latency: { threshold_ms: 200 }", "type: latency", "needs a block named 'latency'"),
            ("url: \"https", "url: \"ftp", "must start with https://"),
            ("id: vessel-1", "id: 'a b'", "device.id"),
            ("heartbeat: 1s", "heartbeat: 1s, max_hold: { bytes: 1MiB }", "destinations[0]: max_hold goes with"),
            ("heartbeat: 1s", "heartbeat: 1s, required: false", "destinations[0]: max_hold goes with"),
            ("budget: 64MiB,", "budget: 64MiB, history: 40MiB,", "journal.history: at most half"),
            (
                "recorder: {",
                "lanes: { rules: [{ filter: 'level>=', lane: audit }] }\nrecorder: {",
                ":12:28: lanes.rules[0].filter: ",
            ),
            (
                "recorder: {",
                "lanes: { rules: [{ filter: 'level>=error last 2h', lane: audit }] }\nrecorder: {",
                "no time range",
            ),
            ("recorder: {", "lanes: { rules: [{ filter: 'x', lane: traces }] }\nrecorder: {", "unknown variant"),
            (
                "recorder: {",
                "lanes: { budgets: { audit: 1KiB } }\nrecorder: {",
                "lanes.budgets.audit: must be at least",
            ),
            ("version: 0", "version: 7", "this program reads version 0"),
            ("data_dir: /var/lib/lightship", "", "missing field"),
            ("version: 0", "version: [", ":"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
