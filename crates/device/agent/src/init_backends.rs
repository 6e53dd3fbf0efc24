//! Destinations of a starter file, by backend: each of them works as it stands once its host is named.

/// A backend, or several that together take every signal.
pub(crate) struct Backend {
    /// As `--backend` names it.
    pub(crate) name: &'static str,
    /// The entries of `destinations`.
    pub(crate) destinations: &'static str,
}

/// Every backend that `lightship init` knows.
pub(crate) const BACKENDS: [Backend; 10] = [
    Backend {
        name: "hub",
        destinations: "  - name: hub
    type: hub                          # a Lightship hub: acknowledged sequence ranges, stored once
    url: https://hub.example:7443
    ca_file: /etc/lightship/ca.pem     # the hub's authority; without it, those of the system
    # token_file: /etc/lightship/token # sent as a bearer token
    heartbeat: 5s                      # how often the hub hears from an idle device
",
    },
    Backend {
        name: "otlp-http",
        destinations: "  - name: backend
    type: otlp                         # any OTLP endpoint: at least once, as that protocol has it
    url: https://backend.example:4318
    protocol: http/protobuf
    # signals: [traces, logs, metrics] # each goes its own way
    # headers: { x-tenant: vessels }   # a value file:PATH is read from there
    # ca_file: /etc/lightship/ca.pem   # without it, the authorities of the system
    # token_file: /etc/lightship/token # sent as a bearer token
",
    },
    Backend {
        name: "otlp-grpc",
        destinations: "  - name: backend
    type: otlp                         # any OTLP endpoint: at least once, as that protocol has it
    url: https://backend.example:4317
    protocol: grpc
    # signals: [traces, logs, metrics] # each goes its own way
    # headers: { x-tenant: vessels }   # a value file:PATH is read from there
    # ca_file: /etc/lightship/ca.pem   # without it, the authorities of the system
    # token_file: /etc/lightship/token # sent as a bearer token
",
    },
    Backend { name: "prometheus", destinations: PROMETHEUS },
    Backend {
        name: "jaeger",
        destinations: "  - name: jaeger
    type: otlp
    url: http://jaeger.example:4318
    signals: [traces]                  # Jaeger takes nothing else
",
    },
    Backend {
        name: "loki",
        destinations: "  - name: loki
    type: loki                         # Loki takes records at most an hour older than the newest of their stream
    url: http://loki.example:3100
    # headers: { x-scope-orgid: fleet }
",
    },
    Backend {
        name: "nats",
        destinations: "  - name: nats
    type: nats                         # JetStream; first there: nats stream add TELEMETRY --subjects 'lightship.>'
    url: tls://nats.example:4222       # nats:// without TLS; tls://USER@HOST has USER's password in token_file
    subject: 'lightship.{signal}'      # {device} is the device's id
    # token_file: /etc/lightship/token
    # signals: [traces, logs, metrics] # each goes its own way
",
    },
    Backend {
        name: "mqtt",
        destinations: "  - name: mqtt
    type: mqtt                         # MQTT 5, QoS 1: confirmed when the broker has it, whoever subscribes
    url: mqtts://mqtt.example:8883     # mqtt:// without TLS; mqtts://USER@HOST has USER's password in token_file
    subject: 'lightship/{device}/{signal}' # the topic
    # token_file: /etc/lightship/token
    # signals: [traces, logs, metrics] # each goes its own way
",
    },
    Backend {
        name: "grafana",
        destinations: "  - name: prometheus
    type: prometheus                   # remote write; start Prometheus with --web.enable-remote-write-receiver, and set
    url: http://prometheus.example:9090 # storage.tsdb.out_of_order_time_window to the longest outage that you expect
  - name: loki
    type: loki                         # Loki takes records at most an hour older than the newest of their stream
    url: http://loki.example:3100
    # headers: { x-scope-orgid: fleet }
  - name: tempo
    type: otlp                         # Tempo, or Jaeger
    url: http://tempo.example:4318
    signals: [traces]
",
    },
    Backend {
        name: "victoria",
        destinations: "  - name: metrics
    type: prometheus                   # VictoriaMetrics takes points of any age within its retention
    url: http://victoria-metrics.example:8428/api/v1/write
  - name: logs
    type: loki                         # VictoriaLogs
    url: http://victoria-logs.example:9428/insert/loki/api/v1/push
  - name: traces
    type: otlp                         # VictoriaTraces
    url: http://victoria-traces.example:10428/insert/opentelemetry
    signals: [traces]
",
    },
];

const PROMETHEUS: &str = "  - name: prometheus
    type: prometheus                   # remote write; start Prometheus with --web.enable-remote-write-receiver, and set
    url: http://prometheus.example:9090 # storage.tsdb.out_of_order_time_window to the longest outage that you expect
    # promote_resource_attributes: [host.name]
";

/// What a backend's name stands for.
pub(crate) fn destinations(name: &str) -> Option<&'static str> {
    BACKENDS.iter().find(|backend| backend.name == name).map(|backend| backend.destinations)
}

/// The names of all.
pub(crate) fn names() -> String {
    BACKENDS.map(|backend| backend.name).join(", ")
}
