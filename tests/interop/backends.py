"""Real backends on loopback: how each is started, what the agent is told of it, and what it has."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import vessel
from ports import free_ports

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("LIGHTSHIP_CI_CACHE", Path.home() / ".cache/lightship-ci")) / "backends"


def get(port, path, **parameters):
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}{query}", timeout=60) as answer:
        return answer.read().decode()


class Backend:
    """One program. `signal` is what it takes, `destination` what the agent's configuration says of it, with the port of the link."""

    name = signal = ready = ""
    # Whether it can tell what came twice.
    can_tell = True

    def __init__(self, directory, binary):
        self.directory = directory / self.name
        self.directory.mkdir()
        self.version = self.version_of(binary)
        self.ports = free_ports(4)
        self.log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen(
            [binary, *self.arguments()], stdout=self.log, stderr=self.log, cwd=self.directory, env={**os.environ, **self.environment()}
        )
        self.wait()

    @property
    def port(self):
        """Where it takes what the agent sends."""
        return self.ports[0]

    @classmethod
    def binary(cls):
        """The built program, or none."""
        found = sorted((CACHE / "bin").glob(f"{cls.name}-v*"))
        found = [one for one in found if not one.name.endswith(".partial")]
        return found[-1] if found else None

    def version_of(self, binary):
        return binary.name.removeprefix(f"{self.name}-")

    def environment(self):
        return {}

    def wait(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                get(self.ports[1], self.ready)
                return
            except (OSError, urllib.error.URLError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.2)
        raise SystemExit(f"{self.name} did not start: {(self.directory / 'log').read_text(errors='replace')[-2000:]}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class Metrics(Backend):
    signal = "metrics"

    def query(self, promql, at_s):
        found = json.loads(get(self.ports[1], "/api/v1/query", query=promql, time=at_s, nocache=1))
        return found["data"]["result"]

    def counts(self, names, at_s, hours):
        """Samples of each series: (name, cylinder) -> how many."""
        found = {}
        for name in names:
            for series in self.query(f"count_over_time({name}[{hours}h])", at_s):
                found[(name, series["metric"].get("cylinder", ""))] = int(float(series["value"][1]))
        return found

    def expected(self, steps):
        names = {name: range(vessel.CYLINDERS) for name in ("engine_temperature_celsius", "engine_revolutions_total")}
        expected = {(name, str(number)): steps for name, numbers in names.items() for number in numbers}
        if self.takes_histograms:
            expected[("engine_load", "")] = steps
        return expected

    def whole(self, steps, at_s, hours):
        expected = self.expected(steps)
        found = self.counts(sorted({name for name, _ in expected}), at_s, hours)
        missing = sum(max(0, count - found.get(series, 0)) for series, count in expected.items())
        twice = sum(max(0, found.get(series, 0) - count) for series, count in expected.items())
        return sum(found.values()), missing, twice

    def newest_s(self, at_s):
        """The time of the newest sample."""
        found = self.query('max(timestamp(engine_temperature_celsius{cylinder="0"}))', at_s)
        return float(found[0]["value"][1]) if found else 0.0


class Prometheus(Metrics):
    name, ready, takes_histograms = "prometheus", "/-/ready", True
    destination = "{{ name: prometheus, type: prometheus, url: 'http://127.0.0.1:{port}', max_backoff: 2s }}"
    script, minutes = "build-prometheus.sh", 10
    says = "storage.tsdb.out_of_order_time_window of the longest outage; --web.enable-remote-write-receiver"

    def arguments(self):
        self.ports[1] = self.ports[0]
        (self.directory / "prometheus.yml").write_text("storage: { tsdb: { out_of_order_time_window: 1d } }\n")
        return [
            "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver", "--web.enable-otlp-receiver",
        ]


class VictoriaMetrics(Metrics):
    name, ready, takes_histograms = "victoria-metrics", "/health", False
    destination = (
        "{{ name: victoria-metrics, type: prometheus, url: 'http://127.0.0.1:{port}/api/v1/write', max_backoff: 2s }}"
    )
    script, minutes = "build-victoria-metrics.sh", 1
    says = "nothing: points of any age within its retention; it leaves out exponential histograms"

    def arguments(self):
        self.ports[1] = self.ports[0]
        return [
            f"-httpListenAddr=127.0.0.1:{self.port}", "-storageDataPath=data", "-retentionPeriod=30d",
            "-search.latencyOffset=0s", "-loggerLevel=WARN", "-opentelemetry.usePrometheusNaming",
        ]

    def counts(self, names, at_s, hours):
        get(self.ports[1], "/internal/force_flush")
        return super().counts(names, at_s, hours)


class VictoriaLogs(Backend):
    name, signal, ready = "victoria-logs", "logs", "/health"
    destination = (
        "{{ name: victoria-logs, type: loki, url: 'http://127.0.0.1:{port}/insert/loki/api/v1/push', max_backoff: 2s }}"
    )
    script, minutes = "build-victoria-logs.sh", 1
    says = "nothing: records of any age within its retention"

    def arguments(self):
        self.ports[1] = self.ports[0]
        return [f"-httpListenAddr=127.0.0.1:{self.port}", "-storageDataPath=data", "-loggerLevel=WARN"]

    def records(self, hours):
        get(self.ports[1], "/internal/force_flush")
        text = get(self.ports[1], "/select/logsql/query", query=f"_time:{hours}h", limit=10_000_000)
        return [json.loads(line) for line in text.splitlines() if line]

    def whole(self, steps, at_s, hours):
        found = {}
        for record in self.records(hours):
            found[record["_msg"]] = found.get(record["_msg"], 0) + 1
        expected = [f"record {number}" for number in range(steps * vessel.RECORDS_A_STEP)]
        missing = sum(1 for text in expected if text not in found)
        return sum(found.values()), missing, sum(found.values()) - len(found)

    def newest_s(self, at_s):
        text = get(self.ports[1], "/select/logsql/query", query="_time:3h | stats max(_time) newest")
        newest = json.loads(text.splitlines()[0])["newest"] if text.strip() else ""
        if not newest:
            return 0.0
        whole, _, rest = newest.rstrip("Z").partition(".")
        return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone + float(f"0.{rest or 0}")


class Jaeger(Backend):
    name, signal, ready = "jaeger", "traces", "/api/services"
    destination = (
        "{{ name: jaeger, type: otlp, url: 'http://127.0.0.1:{port}', signals: [traces], max_backoff: 2s }}"
    )
    script, minutes = "build-jaeger.sh", 16
    says = "nothing: spans of any age, as long as its storage keeps them"

    def arguments(self):
        http, query, grpc, telemetry = self.ports
        (self.directory / "jaeger.yaml").write_text(f"""\
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{ receivers: [otlp], exporters: [jaeger_storage_exporter] }}
  telemetry: {{ metrics: {{ level: none }} }}
extensions:
  jaeger_query:
    storage: {{ traces: memory }}
    http: {{ endpoint: "127.0.0.1:{query}" }}
    grpc: {{ endpoint: "127.0.0.1:{telemetry}" }}
  jaeger_storage:
    backends: {{ memory: {{ memory: {{ max_traces: 1000000 }} }} }}
receivers:
  otlp: {{ protocols: {{ http: {{ endpoint: "127.0.0.1:{http}" }}, grpc: {{ endpoint: "127.0.0.1:{grpc}" }} }} }}
exporters:
  jaeger_storage_exporter: {{ trace_storage: memory }}
""")
        return ["--config", "jaeger.yaml"]

    def found(self, limit, from_s, to_s):
        text = get(
            self.ports[1], "/api/traces", service=vessel.NAME, limit=limit, start=int(from_s * 1e6), end=int(to_s * 1e6)
        )
        return json.loads(text)["data"]

    def whole(self, steps, at_s, hours):
        spans = {}
        for trace in self.found(1_000_000, at_s - hours * 3600, at_s + 60):
            for span in trace["spans"]:
                key = (trace["traceID"].zfill(32), span["spanID"].zfill(16))
                spans[key] = spans.get(key, 0) + 1
        expected = [one for step in range(steps) for one in vessel.span_ids(step)]
        missing = sum(1 for one in expected if one not in spans)
        return sum(spans.values()), missing, sum(count - 1 for count in spans.values())

    def newest_s(self, at_s):
        found = self.found(1, at_s - 30, at_s + 60)
        starts = [span["startTime"] / 1e6 for trace in found for span in trace["spans"]]
        return max(starts, default=0.0)


ALL = (Prometheus, VictoriaMetrics, VictoriaLogs, Jaeger)


def build(kind):
    done = subprocess.run([HERE.parent / "backends" / kind.script], stdout=subprocess.PIPE, text=True, check=False)
    return Path(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 and done.stdout.strip() else None
