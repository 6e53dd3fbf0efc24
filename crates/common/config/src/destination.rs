//! Where records are delivered to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::{Lane, Signal};
use serde::Deserialize;

use crate::{ByteSize, DayWindow, MIB, Span, is_name};

/// One place that everything is delivered to.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Names its cursor on disk and its metrics; letters, digits, `_`, `-`. A new name starts with what is in the journal.
    pub name: String,
    /// Its protocol.
    #[serde(rename = "type")]
    pub kind: DestinationKind,
    /// `https://host:port` (or `http://` on a link that is safe by itself); for `type: nats` `tls://host:port` or `nats://`, for
    /// `type: mqtt` `mqtts://` or `mqtt://`, with `user:password@` before the host where it has users; for `type: file` the directory, as `file:/var/log/lightship`, or `stdout:`.
    pub url: String,
    /// PEM file with the certificate authorities to trust; absent: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate that this device shows, and those between it and an authority. It goes with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key of `cert_file`.
    pub key_file: Option<PathBuf>,
    /// File with a bearer token, or for `type: nats` and `type: mqtt` its token or the password of the user in `url`. Like the other files it
    /// is read again when it changes.
    pub token_file: Option<PathBuf>,
    /// A proxy that connects by HTTP CONNECT: `http://host:port`, `http://user:password@host:port`; `none` for no one. Absent: as
    /// `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` of the environment say.
    pub proxy: Option<String>,
    /// File with the password of the user that `proxy` names.
    pub proxy_password_file: Option<PathBuf>,
    /// For `type: otlp`: the signals that it gets, each on its own way: what holds one of them up does not hold up the others.
    pub signals: Option<Vec<SignalName>>,
    /// The lanes that it gets, where it is no hub: `mission`, `audit`, `traces`, `logs`, `metrics`, `debug`; absent: all. What is in others it
    /// is passed by.
    pub lanes: Option<Vec<LaneName>>,
    /// Which records it gets of those signals and lanes, in the filter language (docs/filter.md), without a time range or pipes, where it is no hub;
    /// absent: all. What it does not get it is passed by.
    pub filter: Option<String>,
    /// The most bytes a second that blocks for it may have, as they lie on disk, each signal by itself; absent: as fast as it takes them.
    pub max_rate: Option<ByteSize>,
    /// Parts of the day, UTC, in which it is sent to, such as `22:00-06:00`; absent: always. What comes in between waits.
    #[serde(default)]
    pub windows: Vec<DayWindow>,
    /// Records that ended longer ago than that, by the device's clock, are not sent: they become dead letters. Absent: everything is sent.
    pub max_age: Option<Span>,
    /// For `type: otlp` over HTTP: where a signal goes instead of `url` with `/v1/SIGNAL`.
    #[serde(default)]
    pub signal_urls: SignalUrls,
    /// For `type: otlp`: headers of each request; a value `file:PATH` is read from that file.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// For `type: otlp`: `gzip`, `zstd` where the server takes it, or `none`.
    #[serde(default)]
    pub compression: Compression,
    /// For `type: file`: a file that would become larger is put aside.
    #[serde(default = "default_max_file")]
    pub max_file: ByteSize,
    /// For `type: file`: so many files that were put aside are kept of each signal.
    #[serde(default = "default_keep_files")]
    pub keep_files: u32,
    /// For `type: nats` the subject, for `type: mqtt` the topic of messages; `{device}` and `{signal}` are replaced. Absent:
    /// `lightship.{signal}`, `lightship/{device}/{signal}`.
    pub subject: Option<String>,
    /// For `type: loki`: resource attributes that are labels of streams, beside those that Loki makes labels by default.
    #[serde(default)]
    pub labels: Vec<String>,
    /// For `type: prometheus`: what becomes of names.
    #[serde(default)]
    pub translation: NameTranslation,
    /// For `type: prometheus`: resource attributes that every series gets as labels, beside `job` and `instance`; all of them are labels of
    /// `target_info`.
    #[serde(default)]
    pub promote_resource_attributes: Vec<String>,
    /// For `type: hub`: how often the hub hears from the device when there is nothing to send.
    #[serde(default = "default_heartbeat")]
    pub heartbeat: Span,
    /// For `type: otlp`: `http/protobuf` or `grpc`.
    #[serde(default)]
    pub protocol: OtlpProtocol,
    /// The longest time that one request may take.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// The longest time between two tries. Tries never end.
    #[serde(default = "default_max_backoff")]
    pub max_backoff: Span,
    /// Whether everything waits for it as long as there is room. One that is not required has a `max_hold`.
    #[serde(default = "default_required")]
    pub required: bool,
    /// What waits for a destination that is not required; beyond it the oldest is given up, told by a gap record.
    pub max_hold: Option<MaxHold>,
}

/// What may wait for a destination that is not required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaxHold {
    /// The most bytes.
    pub bytes: ByteSize,
    /// The greatest age, by the device's clock while it is synchronised; absent: any.
    pub age: Option<Span>,
}

fn default_max_file() -> ByteSize {
    ByteSize(16 * MIB)
}

fn default_keep_files() -> u32 {
    4
}

fn default_required() -> bool {
    true
}

/// The protocols of destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DestinationKind {
    /// A Lightship hub or gateway: acknowledged sequence ranges, stored once.
    Hub,
    /// Any OTLP endpoint: at least once, as that protocol has it.
    Otlp,
    /// Whatever takes Prometheus remote write, 2.0 or 1.0: metrics.
    Prometheus,
    /// Whatever takes Loki's push: log records.
    Loki,
    /// MQTT 5 with QoS 1: OTLP export requests as messages.
    Mqtt,
    /// NATS JetStream: OTLP export requests as messages of a stream.
    Nats,
    /// OTLP JSON lines, in files or on standard output.
    File,
}

/// What becomes of OpenTelemetry's names at Prometheus, by its own words (`otlp.translation_strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NameTranslation {
    /// Characters beyond `[a-zA-Z0-9_:]` become underscores; unit and `_total` are put behind.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters beyond `[a-zA-Z0-9_:]` become underscores.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are; unit and `_total` are put behind.
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

/// A signal's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignalName {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
}

/// A lane's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LaneName {
    /// Business messages.
    Mission,
    /// What has to be proven later.
    Audit,
    /// Kept traces with their log records and exemplars.
    Traces,
    /// Log records without a trace.
    Logs,
    /// Metric points.
    Metrics,
    /// What is of use for a short time only.
    Debug,
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Traces => Signal::Traces,
            SignalName::Logs => Signal::Logs,
            SignalName::Metrics => Signal::Metrics,
        }
    }
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Self {
        match name {
            LaneName::Mission => Lane::Mission,
            LaneName::Audit => Lane::Audit,
            LaneName::Traces => Lane::Traces,
            LaneName::Logs => Lane::Logs,
            LaneName::Metrics => Lane::Metrics,
            LaneName::Debug => Lane::Debug,
        }
    }
}

/// Where signals go that do not go where the others do.
#[derive(Debug, Clone, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignalUrls {
    /// The whole URL for spans.
    pub traces: Option<String>,
    /// The whole URL for log records.
    pub logs: Option<String>,
    /// The whole URL for metric points.
    pub metrics: Option<String>,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As every server takes them.
    #[default]
    Gzip,
    /// Smaller, where the server takes it.
    Zstd,
    /// Not at all.
    None,
}

impl Destination {
    /// The signals that go there, each on its own way; `None` where all go together (`type: hub`).
    pub fn separate_signals(&self) -> Option<Vec<Signal>> {
        let takes: &[Signal] = match self.kind {
            DestinationKind::Hub => return None,
            DestinationKind::Otlp | DestinationKind::Mqtt | DestinationKind::Nats | DestinationKind::File => {
                &Signal::ALL
            }
            DestinationKind::Prometheus => &[Signal::Metrics],
            DestinationKind::Loki => &[Signal::Logs],
        };
        let wanted = self.signals.as_ref().map(|names| names.iter().map(|name| Signal::from(*name)).collect());
        Some(wanted.unwrap_or_else(|| takes.to_vec()))
    }

    /// Whether it gets what is in a lane.
    pub fn takes_lane(&self, lane: Lane) -> bool {
        self.lanes.as_ref().is_none_or(|names| names.iter().any(|name| Lane::from(*name) == lane))
    }

    /// The whole URL of a signal, where it has one of its own.
    pub fn signal_url(&self, signal: Signal) -> Option<&str> {
        match signal {
            Signal::Traces => self.signal_urls.traces.as_deref(),
            Signal::Logs => self.signal_urls.logs.as_deref(),
            Signal::Metrics => self.signal_urls.metrics.as_deref(),
        }
    }
}

/// The transports of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OtlpProtocol {
    /// OTLP/HTTP with protobuf bodies.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// OTLP/gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

fn default_heartbeat() -> Span {
    Span(Duration::from_secs(5))
}

fn default_timeout() -> Span {
    Span(Duration::from_secs(20))
}

fn default_max_backoff() -> Span {
    Span(Duration::from_secs(30))
}

/// What is wrong with them, first things first.
pub(crate) fn check(destinations: &[Destination]) -> Result<(), String> {
    if destinations.is_empty() {
        return Err("destinations: name at least one".into());
    }
    for (index, destination) in destinations.iter().enumerate() {
        let name = &destination.name;
        if !is_name(name, "_-") || name.len() > 64 {
            return Err(format!("destinations[{index}].name: use at most 64 letters, digits, '_' or '-'"));
        }
        check_subject(destination)
            .and_then(|()| check_signals(destination))
            .map_err(|why| format!("destinations[{index}].{why}"))?;
        if destinations.iter().filter(|other| other.name == *name).count() > 1 {
            return Err(format!("destinations[{index}].name: '{name}' stands twice; cursors need different names"));
        }
        let (schemes, say): (&[&str], _) = match destination.kind {
            DestinationKind::File => (&["file:/", "stdout:"], "file:/ or be stdout:"),
            DestinationKind::Mqtt => (&["mqtt://", "mqtts://"], "mqtts:// or mqtt://"),
            DestinationKind::Nats => (&["nats://", "tls://"], "tls:// or nats://"),
            _ => (&["http://", "https://"], "https:// or http://"),
        };
        if !schemes.iter().any(|scheme| destination.url.starts_with(scheme)) {
            // There may be a password in it.
            let shown = destination.url.rsplit_once('@').map_or(destination.url.as_str(), |(_, host)| host);
            return Err(format!("destinations[{index}].url: '{shown}' must start with {say}"));
        }
    }
    for (index, destination) in destinations.iter().enumerate() {
        if destination.required == destination.max_hold.is_some() {
            return Err(format!(
                "destinations[{index}]: max_hold goes with required: false, and required: false with max_hold"
            ));
        }
    }
    Ok(())
}

/// What goes to a destination, and with which headers.
fn check_signals(destination: &Destination) -> Result<(), String> {
    let SignalUrls { traces, logs, metrics } = &destination.signal_urls;
    let urls = [traces, logs, metrics];
    if destination.cert_file.is_some() != destination.key_file.is_some() {
        return Err("cert_file, key_file: one goes with the other".into());
    }
    if destination.kind == DestinationKind::Hub {
        let keys = [
            (destination.signals.is_some(), "signals"),
            (destination.lanes.is_some(), "lanes"),
            (destination.filter.is_some(), "filter"),
            (destination.max_rate.is_some(), "max_rate"),
            (destination.max_age.is_some(), "max_age"),
            (!destination.windows.is_empty(), "windows"),
            (urls.iter().any(|url| url.is_some()), "signal_urls"),
            (!destination.headers.is_empty(), "headers"),
            (destination.compression != Compression::Gzip, "compression"),
        ];
        return match keys.iter().find(|(is_there, _)| *is_there) {
            Some((_, key)) => Err(format!("{key}: it is not for a hub, which takes everything together")),
            None => Ok(()),
        };
    }
    if destination.kind != DestinationKind::Otlp {
        let takes_one = matches!(destination.kind, DestinationKind::Prometheus | DestinationKind::Loki);
        let keys = [
            (takes_one && destination.signals.is_some(), "signals", "it takes one signal"),
            (urls.iter().any(|url| url.is_some()), "signal_urls", "url is the whole one"),
            (destination.compression != Compression::Gzip, "compression", "it is for type: otlp"),
            (destination.protocol != OtlpProtocol::HttpProtobuf, "protocol", "it is for type: otlp"),
        ];
        if let Some((_, key, why)) = keys.iter().find(|(is_there, ..)| *is_there) {
            return Err(format!("{key}: not for this type; {why}"));
        }
    }
    let for_prometheus =
        destination.translation != NameTranslation::default() || !destination.promote_resource_attributes.is_empty();
    if destination.kind != DestinationKind::Prometheus && for_prometheus {
        return Err("translation, promote_resource_attributes: they are for type: prometheus".into());
    }
    if destination.kind != DestinationKind::Loki && !destination.labels.is_empty() {
        return Err("labels: they are for type: loki".into());
    }
    if destination.lanes.as_ref().is_some_and(Vec::is_empty) {
        return Err("lanes: name at least one, or leave it out".into());
    }
    if let Some(filter) = &destination.filter {
        let query = filter::parse(filter, 0).map_err(|error| format!("filter: {}", error.message()))?;
        if !query.pipes.is_empty() || query.range != filter::Range::default() {
            return Err("filter: a record is meant by what it is: no time range, and nothing after '|'".into());
        }
    }
    if destination.max_rate.is_some_and(|rate| rate.0 < 1024) {
        return Err("max_rate: at least 1KiB, for each second".into());
    }
    if destination.max_age.is_some_and(|age| age.0 < Duration::from_secs(60)) {
        return Err("max_age: at least 1m: what is on its way is older than now".into());
    }
    if let Some(signals) = &destination.signals {
        if signals.is_empty() {
            return Err("signals: name at least one of traces, logs, metrics, or leave it out".into());
        }
        if signals.iter().enumerate().any(|(place, signal)| signals[..place].contains(signal)) {
            return Err("signals: one of them stands twice".into());
        }
    }
    if let Some(url) =
        urls.into_iter().flatten().find(|url| !url.starts_with("http://") && !url.starts_with("https://"))
    {
        return Err(format!("signal_urls: '{url}' must start with https:// or http://"));
    }
    if destination.protocol == OtlpProtocol::Grpc && urls.iter().any(|url| url.is_some()) {
        return Err("signal_urls: they are for protocol: http/protobuf; gRPC has one address for all signals".into());
    }
    Ok(())
}

/// Where messages are published.
fn check_subject(destination: &Destination) -> Result<(), String> {
    let Some(subject) = &destination.subject else { return Ok(()) };
    let named = subject.replace("{device}", "device").replace("{signal}", "signal");
    let (separator, wildcards) = match destination.kind {
        DestinationKind::Nats => ('.', "*>{}"),
        DestinationKind::Mqtt => ('/', "+#{}"),
        _ => return Err("subject: it is for type: nats and type: mqtt".into()),
    };
    let is_name = |name: &str| {
        !name.is_empty()
            && name.chars().all(|one| !one.is_whitespace() && !one.is_control() && !wildcards.contains(one))
    };
    match named.split(separator).all(is_name) && named.len() <= 256 && !named.starts_with('$') {
        true => Ok(()),
        false => Err(format!(
            "subject: '{subject}' must be names with '{separator}' between them, without spaces and wildcards; {{device}} and {{signal}} \
             are replaced"
        )),
    }
}

#[cfg(test)]
mod tests {
    /// Scenario: filters of destinations: one that says what a record is, one that cannot be read, one with a time range, one with a pipe, one of a
    /// hub. Guarantees: the first arrives; each other one is refused, and it is said why.
    #[test]
    fn filters_of_destinations_are_checked() {
        let read = |kind: &str, filter: &str| {
            crate::parse(&format!(
                "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\n\
                 destinations: [{{ name: one, type: {kind}, url: 'http://localhost:1', filter: '{filter}' }}]\n"
            ))
            .map(|config| config.destinations[0].filter.clone())
            .map_err(|error| error.to_string())
        };
        assert_eq!(read("otlp", "level>=error"), Ok(Some("level>=error".to_owned())));
        for (kind, filter, expected) in [
            ("otlp", "(level", "filter: "),
            ("otlp", "level=error since=2h", "no time range"),
            ("otlp", "level=error | top 3", "nothing after"),
            ("hub", "level=error", "filter: it is not for a hub"),
        ] {
            let error = read(kind, filter).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
