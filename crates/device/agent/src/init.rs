//! `lightship init`: a commented starter configuration.

use std::fs::OpenOptions;
use std::io::Write;

use crate::arguments::Arguments;
use crate::init_backends::{destinations, names};
use crate::{Failure, print};

/// The parts of the starter file that differ between device types.
struct Sizes {
    about: &'static str,
    max_request: &'static str,
    in_flight: &'static str,
    decision_wait: &'static str,
    sampling_memory: &'static str,
    recorder: &'static str,
    journal: &'static str,
}

fn sizes(device_type: &str) -> Option<Sizes> {
    Some(match device_type {
        "sensor" => Sizes {
            about: "a sensor or small controller: up to 50 samples a second, a few traces and lines a minute",
            max_request: "1MiB",
            in_flight: "1536KiB",
            decision_wait: "10s",
            sampling_memory: "256KiB",
            recorder: "512KiB",
            journal: "8MiB",
        },
        "machine" => Sizes {
            about: "a machine with a few services: up to 100 spans and 500 samples a second",
            max_request: "4MiB",
            in_flight: "6MiB",
            decision_wait: "10s",
            sampling_memory: "512KiB",
            recorder: "1MiB",
            journal: "64MiB",
        },
        "vessel" => Sizes {
            about: "a vessel or plant: up to 2,500 spans a second",
            max_request: "16MiB",
            in_flight: "32MiB",
            decision_wait: "10s",
            sampling_memory: "4MiB",
            recorder: "16MiB",
            journal: "1GiB",
        },
        _ => return None,
    })
}

/// The policies of a file whose agent keeps every trace.
const KEEP_ALL: &str =
    "  policies: []                         # every trace is kept; `lightship init` writes the usual policies
";

const POLICIES: &str =
    "  policies:                            # a trace is kept when one of them says so; without any, every trace is
    - name: errors
      type: status_code
      status_code: { status_codes: [ERROR] }
    - name: slow
      type: latency
      latency: { threshold_ms: 200 }   # the whole trace lasts at least this long
";

fn starter(sizes: &Sizes, destination: &str, device: &str, keep_all: bool) -> String {
    format!(
        "# lightship: configuration of {about}
version: 0

device:
  id: {device:<32} # unique in the fleet: letters, digits, '.', '_', '-'

data_dir: /var/lib/lightship           # the journal; needs a file system that honours fsync

sources:
  otlp:
    grpc: 127.0.0.1:4317
    http: 127.0.0.1:4318
    max_request: {max_request}                  # one request, as sent and when inflated
    in_flight: {in_flight}                    # all request bodies together, sent and inflated; beyond it producers wait
  # host: {{ interval: 10s }}            # processor, memory, disks, network, temperatures of this machine
  # prometheus:                        # targets that are scraped: Prometheus' own section
  #   scrape_configs:
  #     - job_name: node
  #       static_configs: [{{ targets: [\"127.0.0.1:9100\"] }}]
  # remote_write: {{}}                     # Prometheus remote write at /api/v1/write of otlp.http
  # statsd: {{}}                           # UDP on 127.0.0.1:8125
  # files:                               # log files, through rotation of every kind
  #   - name: app
  #     include: [/var/log/app/*.log*]   # with what rotation makes of them
  #   - name: pods                       # names of pods and containers come from the path
  #     include: [/var/log/pods/*/*/*.log]
  #     start: beginning                 # without it, what is there at the first start is left
  # exec:                                # any program: log lines, Prometheus text or OTLP in JSON lines
  #   - name: queue
  #     command: [/usr/local/lib/lightship/queue]
  #     interval: 30s                    # without it, it is kept running
  #     output: prometheus
  # stdin: {{ format: json }}            # app | lightship run
  # syslog: {{}}                           # UDP and TCP on 127.0.0.1:5514
  # kernel: {{}}                           # /dev/kmsg
  # journald: {{}}                         # what comes from now on, through journalctl

sampling:
  decision_wait: {decision_wait}                   # from a trace's first span; SDKs batch for 5 s
  memory: {sampling_memory}                     # undecided traces and remembered decisions
{policies}
recorder:
  memory: {recorder}                     # must hold what comes in during decision_wait

red:
  interval: 10s                        # rate, errors and duration of every span, before sampling

journal:
  budget: {journal}                       # on disk; when it is full, metrics yield before traces and logs
  commit_delay: 1s                     # one fsync serves everything that came in meanwhile

destinations:
{destination}
admin:
  listen: 127.0.0.1:8888               # /healthz, /readyz, /metrics, /status
",
        about = sizes.about,
        policies = if keep_all { KEEP_ALL } else { POLICIES },
        max_request = sizes.max_request,
        in_flight = sizes.in_flight,
        decision_wait = sizes.decision_wait,
        sampling_memory = sizes.sampling_memory,
        recorder = sizes.recorder,
        journal = sizes.journal,
    )
}

/// Writes the starter file to standard output, or to a new file.
pub(crate) fn write(arguments: &Arguments) -> Result<(), Failure> {
    let device_type = arguments.device_type.as_deref().unwrap_or("machine");
    let backend = arguments.backend.as_deref().unwrap_or("hub");
    let sizes = sizes(device_type)
        .ok_or_else(|| Failure::usage(format!("no such device type: {device_type}; one of sensor, machine, vessel")))?;
    let destination = destinations(backend)
        .ok_or_else(|| Failure::usage(format!("no such backend: {backend}; one of {}", names())))?;
    let device = match &arguments.device_id {
        Some(id) => id.clone(),
        None => host_name().unwrap_or_else(random_name),
    };
    let text = starter(&sizes, destination, &device, arguments.keep_all);
    // A device's id that the program would refuse is told now.
    config::parse(&text).map_err(|error| Failure::usage(error.to_string()))?;
    let Some(path) = &arguments.output else {
        return print(&text);
    };
    // A configuration that someone wrote is never overwritten.
    let written =
        OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// The machine's name, as far as it can be a device's id and tells machines apart.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = name.trim().chars().filter(|c| fits(*c)).take(128).collect();
    (!name.is_empty() && !["localhost", "(none)", "debian", "raspberrypi"].contains(&name.as_str())).then_some(name)
}

/// A name that no other device has.
fn random_name() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    format!("device-{}", id.split('-').next().unwrap_or("1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init_backends::BACKENDS;

    /// Scenario: the starter file of every device type and backend. Guarantees: the program accepts what it writes.
    #[test]
    fn every_starter_file_is_valid() {
        for device_type in ["sensor", "machine", "vessel"] {
            for backend in BACKENDS {
                for keep_all in [false, true] {
                    let text = starter(&sizes(device_type).unwrap(), backend.destinations, "device-1", keep_all);
                    let read = config::parse(&text).unwrap();
                    assert_eq!(read.sampling.policies.is_empty(), keep_all, "{device_type} {}", backend.name);
                }
            }
        }
        // Two machines get two names (U2).
        assert_ne!(random_name(), random_name());
        assert!(sizes("boat").is_none() && destinations("boat").is_none());
    }
}
