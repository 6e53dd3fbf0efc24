//! From destinations as they are configured to connections with their protocols.

use std::rc::Rc;
use std::time::Duration;

use config::{Config, DestinationKind};
use drain::{Only, Pace, Windows};
#[cfg(feature = "signal-sinks")]
use sinks::Exporter;
#[cfg(feature = "sink-loki")]
use sinks::LokiSink;
#[cfg(feature = "sink-prometheus")]
use sinks::PrometheusSink;
use sinks::{Access, BrokerAddress, BrokerKind, CredentialFiles, Credentials, HubSink, Proxy, Route};
#[cfg(any(feature = "sink-otlp-http", feature = "sink-otlp-grpc"))]
use sinks::{Coding, Compressor, OtlpSink};

use crate::consumers::{Consumer, consumers};
use crate::error::{StartError, start_error};

/// The protocol of a destination.
pub(crate) enum Sink {
    Hub(Box<HubSink>),
    #[cfg(feature = "signal-sinks")]
    Exporter(Box<Exporter>),
}

/// The way to a consumer's server.
pub(crate) struct Outlet {
    pub(crate) sink: Sink,
    /// How its server is reached; `None` for files.
    pub(crate) access: Option<Access>,
    /// Those of its destination, which its consumers share.
    pub(crate) credentials: Rc<Credentials>,
    /// How fast it may be sent to.
    pub(crate) pace: Option<Pace>,
    /// When it may be sent to.
    pub(crate) windows: Windows,
    /// How old what it is sent may be.
    pub(crate) max_age: Option<Duration>,
    /// Which records it is sent; `None` where all are.
    #[cfg_attr(not(feature = "signal-sinks"), allow(dead_code, reason = "a hub takes everything"))]
    pub(crate) only: Option<Rc<Only>>,
}

/// What consumers have in common.
struct Common {
    /// Those of each destination.
    credentials: Vec<Rc<Credentials>>,
    /// The compressors of all.
    #[cfg(any(feature = "sink-otlp-http", feature = "sink-otlp-grpc"))]
    compressors: [Compressor; 2],
}

impl Common {
    /// What bodies are compressed with.
    #[cfg(any(feature = "sink-otlp-http", feature = "sink-otlp-grpc"))]
    fn compressor(&self, wanted: config::Compression) -> Option<Compressor> {
        let coding = match wanted {
            config::Compression::Gzip => Coding::Gzip,
            config::Compression::Zstd => Coding::Zstd,
            config::Compression::None => return None,
        };
        self.compressors.iter().find(|one| one.coding() == coding).cloned()
    }
}

/// Those of all consumers, in their order. Nothing is connected yet.
///
/// # Errors
/// [`StartError`] with the destination, and what is wrong with it or its files.
pub(crate) fn outlets(config: &Config) -> Result<Vec<Outlet>, StartError> {
    let credentials = config.destinations.iter().map(|destination| {
        let read = credentials(destination).map(Rc::new);
        read.map_err(|why| start_error(format!("destination {}: {why}", destination.name)))
    });
    let credentials = credentials.collect::<Result<Vec<_>, _>>()?;
    let common = Common {
        credentials,
        #[cfg(any(feature = "sink-otlp-http", feature = "sink-otlp-grpc"))]
        compressors: [Coding::Gzip, Coding::Zstd].map(Compressor::new),
    };
    let outlet = |consumer: &Consumer| {
        let credentials = Rc::clone(&common.credentials[consumer.destination]);
        let destination = &config.destinations[consumer.destination];
        let pace = destination.max_rate.map(|rate| Pace::new(rate.0));
        let windows = Windows::new(destination.windows.iter().map(|window| (window.0, window.1)));
        let max_age = destination.max_age.map(|age| age.0);
        let only = match &destination.filter {
            None => None,
            Some(text) => {
                let name = &destination.name;
                let fail =
                    |error: filter::ParseError| start_error(format!("destination {name}: filter: {}", error.message()));
                Some(Rc::new(Only::new(&config.device.id, filter::parse(text, 0).map_err(fail)?.filter)))
            }
        };
        let (sink, access) = sink(config, consumer, &common)?;
        Ok(Outlet { sink, access, credentials, pace, windows, max_age, only })
    };
    consumers(config).iter().map(outlet).collect()
}

/// What a destination is shown, and whom it is believed.
fn credentials(destination: &config::Destination) -> Result<Credentials, String> {
    let urls = &destination.signal_urls;
    let own = [&urls.traces, &urls.logs, &urls.metrics].into_iter().flatten();
    let tls = own
        .chain([&destination.url])
        .any(|url| ["https://", "mqtts://", "tls://"].iter().any(|scheme| url.starts_with(scheme)));
    let proxy = match (&destination.proxy_password_file, &destination.proxy) {
        (Some(file), Some(text)) => match Proxy::parse(text, "proxy")?.user() {
            Some(user) => Some((user.to_owned(), file.clone())),
            None => return Err("proxy_password_file: proxy names no user, or has a password itself".into()),
        },
        (Some(_), None) => return Err("proxy_password_file: it goes with proxy: http://user@host:port".into()),
        (None, _) => None,
    };
    let files = CredentialFiles {
        proxy,
        ca_file: destination.ca_file.clone(),
        client: destination.cert_file.clone().zip(destination.key_file.clone()),
        token_file: destination.token_file.clone(),
        headers: destination.headers.clone().into_iter().collect(),
        ..CredentialFiles::default()
    };
    Credentials::read(&files, tls)
}

/// The protocol of a destination, for a consumer of it.
fn sink(config: &Config, consumer: &Consumer, common: &Common) -> Result<(Sink, Option<Access>), StartError> {
    let destination = &config.destinations[consumer.destination];
    let name = &destination.name;
    let fail = |why: String| start_error(format!("destination {name}: {why}"));
    if destination.kind == DestinationKind::File {
        return Ok((file_sink(destination).map_err(fail)?, None));
    }
    let own_url = consumer.signal.and_then(|signal| destination.signal_url(signal));
    let BrokerAddress { endpoint, login } =
        address(destination.kind, own_url.unwrap_or(&destination.url)).map_err(|error| fail(error.to_string()))?;
    #[cfg(not(any(feature = "sink-mqtt", feature = "sink-nats")))]
    drop(login);
    let route = route(destination, &endpoint).map_err(fail)?;
    let access = Access {
        endpoint,
        route,
        credentials: Rc::clone(&common.credentials[consumer.destination]),
        timeout: destination.timeout.0,
    };
    let mut knock = access.clone();
    // There TLS begins when the server has spoken, which the sink itself knows.
    knock.endpoint.tls &= destination.kind != DestinationKind::Nats;
    let sink = match (destination.kind, destination.protocol) {
        (DestinationKind::Hub, _) => Sink::Hub(Box::new(HubSink::new(access))),
        #[cfg(feature = "sink-otlp-http")]
        (DestinationKind::Otlp, config::OtlpProtocol::HttpProtobuf) => {
            let compressor = common.compressor(destination.compression);
            Sink::Exporter(Box::new(Exporter::Otlp(OtlpSink::http(access, own_url.is_some(), compressor))))
        }
        #[cfg(feature = "sink-otlp-grpc")]
        (DestinationKind::Otlp, config::OtlpProtocol::Grpc) => {
            let compressor = common.compressor(destination.compression);
            Sink::Exporter(Box::new(Exporter::Otlp(OtlpSink::grpc(access, compressor))))
        }
        #[cfg(feature = "sink-prometheus")]
        (DestinationKind::Prometheus, _) => {
            let options = sinks::PrometheusOptions {
                translation: translation(destination.translation),
                promote_resource_attributes: destination.promote_resource_attributes.clone(),
            };
            Sink::Exporter(Box::new(Exporter::Prometheus(Box::new(PrometheusSink::new(access, options)))))
        }
        (DestinationKind::File, _) => return Err(fail("it has no address".into())),
        #[cfg(feature = "sink-loki")]
        (DestinationKind::Loki, _) => {
            Sink::Exporter(Box::new(Exporter::Loki(Box::new(LokiSink::new(access, destination.labels.clone())))))
        }
        #[cfg(feature = "sink-mqtt")]
        (DestinationKind::Mqtt, _) => {
            let topic = destination.subject.as_deref().unwrap_or("lightship/{device}/{signal}");
            let device = &config.device.id;
            let client_id = format!("lightship-{device}-{}", consumer.name.replace('/', "-"));
            let sink = sinks::MqttSink::new(access, login, topic, device, client_id);
            Sink::Exporter(Box::new(Exporter::Mqtt(Box::new(sink))))
        }
        #[cfg(not(feature = "sink-mqtt"))]
        (DestinationKind::Mqtt, _) => return Err(fail("this build has no such sink (cargo feature sink-mqtt)".into())),
        #[cfg(feature = "sink-nats")]
        (DestinationKind::Nats, _) => {
            let subject = destination.subject.as_deref().unwrap_or("lightship.{signal}");
            let sink = sinks::NatsSink::new(access, login, subject, &config.device.id);
            Sink::Exporter(Box::new(Exporter::Nats(Box::new(sink))))
        }
        #[cfg(not(feature = "sink-nats"))]
        (DestinationKind::Nats, _) => return Err(fail("this build has no such sink (cargo feature sink-nats)".into())),
        #[cfg(not(feature = "sink-loki"))]
        (DestinationKind::Loki, _) => return Err(fail("this build has no such sink (cargo feature sink-loki)".into())),
        #[cfg(not(feature = "sink-prometheus"))]
        (DestinationKind::Prometheus, _) => {
            return Err(fail("this build has no such sink (cargo feature sink-prometheus)".into()));
        }
        #[cfg(not(all(feature = "sink-otlp-http", feature = "sink-otlp-grpc")))]
        (DestinationKind::Otlp, _) => {
            return Err(fail("this build has no such sink (cargo features sink-otlp-http, sink-otlp-grpc)".into()));
        }
    };
    Ok((sink, Some(knock)))
}

/// Where a destination is, and as whom it is asked.
fn address(kind: DestinationKind, url: &str) -> Result<BrokerAddress, sinks::EndpointError> {
    match kind {
        DestinationKind::Mqtt => BrokerAddress::parse(BrokerKind::Mqtt, url),
        DestinationKind::Nats => BrokerAddress::parse(BrokerKind::Nats, url),
        _ => Ok(BrokerAddress { endpoint: url.parse()?, login: sinks::Login::default() }),
    }
}

/// Whether a proxy stands between: as configured, else as the environment says. What it says of HTTP is not said of a broker.
fn route(destination: &config::Destination, endpoint: &sinks::Endpoint) -> Result<Route, String> {
    match destination.proxy.as_deref() {
        None => Ok(Route::from_environment(endpoint, |name| {
            let is_for_http = name.to_ascii_lowercase().starts_with("http");
            let is_broker = matches!(destination.kind, DestinationKind::Mqtt | DestinationKind::Nats);
            let applies = !(is_for_http && is_broker);
            applies.then(|| std::env::var(name).ok()).flatten()
        })),
        Some("none") => Ok(Route::Direct),
        Some(text) => Proxy::parse(text, "proxy").map(Route::Proxy),
    }
}

/// Which destinations go through which proxies, in lines for people.
///
/// # Errors
/// [`StartError`] when a proxy's address is none.
pub(crate) fn proxies(config: &Config) -> Result<Vec<String>, StartError> {
    let mut lines = Vec::new();
    for destination in config.destinations.iter().filter(|one| one.kind != DestinationKind::File) {
        let fail = |why: String| start_error(format!("destination {}: {why}", destination.name));
        let urls = &destination.signal_urls;
        for url in [Some(&destination.url), urls.traces.as_ref(), urls.logs.as_ref(), urls.metrics.as_ref()] {
            let Some(url) = url else { continue };
            let endpoint = address(destination.kind, url).map_err(|error| fail(error.to_string()))?.endpoint;
            let how = match route(destination, &endpoint).map_err(fail)? {
                Route::Direct => continue,
                Route::Proxy(proxy) => format!("through the proxy {proxy}"),
                Route::Unusable(why) => why,
            };
            let line = format!("destination {}: {} {how}", destination.name, endpoint.authority());
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

/// Files, or standard output.
#[cfg(feature = "sink-file")]
fn file_sink(destination: &config::Destination) -> Result<Sink, String> {
    let sink = match destination.url.strip_prefix("file:") {
        Some(directory) => sinks::FileSink::files(sinks::FileOptions {
            directory: directory.into(),
            max_bytes: destination.max_file.0,
            keep: destination.keep_files,
        }),
        None => sinks::FileSink::stdout(),
    };
    Ok(Sink::Exporter(Box::new(Exporter::File(sink))))
}

#[cfg(not(feature = "sink-file"))]
fn file_sink(_: &config::Destination) -> Result<Sink, String> {
    Err("this build has no such sink (cargo feature sink-file)".into())
}

#[cfg(feature = "sink-prometheus")]
fn translation(name: config::NameTranslation) -> sinks::Translation {
    use config::NameTranslation as Name;
    match name {
        Name::UnderscoreEscapingWithSuffixes => sinks::Translation::UnderscoreEscapingWithSuffixes,
        Name::UnderscoreEscapingWithoutSuffixes => sinks::Translation::UnderscoreEscapingWithoutSuffixes,
        Name::NoUtf8EscapingWithSuffixes => sinks::Translation::NoUtf8EscapingWithSuffixes,
        Name::NoTranslation => sinks::Translation::NoTranslation,
    }
}
