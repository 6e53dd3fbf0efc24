"""An OpenTelemetry SDK that nobody here wrote sends traces, logs and metrics to the agent, over gRPC and over HTTP, and
they are looked for in the hub by id.

    python3 run.py --agent PATH --hub PATH

Needs the packages of requirements.txt. Prints one line per check and `sdk: N passed, N failed`; exits 0 when all passed.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode

START_SECONDS = 30
FIND_SECONDS = 30

CONFIGURATION = """\
version: 0
device: {{ id: sdk-1 }}
data_dir: {data}
sources:
  otlp: {{ grpc: 127.0.0.1:0, http: 127.0.0.1:0 }}
sampling:
  decision_wait: 1s
  policies:
    - {{ name: errors, type: status_code, status_code: {{ status_codes: [ERROR] }} }}
red: {{ interval: 1s }}
journal: {{ commit_delay: 200ms }}
destinations:
  - {{ name: hub, type: hub, url: "https://{link}", ca_file: {ca}, heartbeat: 1s }}
admin: {{ listen: "127.0.0.1:0" }}
"""


class Programs:
    """The hub and the agent, started on free ports of the loopback interface."""

    def __init__(self, agent, hub, directory):
        self.children = []
        hub_dir, agent_dir = directory / "hub", directory / "agent"
        self.start([hub, "run", "--data-dir", hub_dir, "--http", "127.0.0.1:0", "--link", "127.0.0.1:0"], directory)
        self.hub = self.addresses(hub_dir)
        config = directory / "lightship.yaml"
        ca = hub_dir / "tls" / "ca.pem"
        config.write_text(CONFIGURATION.format(data=agent_dir, link=self.hub["link"], ca=ca))
        self.start([agent, "run", "--config", config], directory)
        self.agent = self.addresses(agent_dir)

    def start(self, command, directory):
        log = open(directory / f"{Path(command[0]).name}.log", "w")
        self.children.append(subprocess.Popen([str(word) for word in command], stdout=log, stderr=log))

    def addresses(self, directory):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                return json.loads((directory / "addresses.json").read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.1)
        raise SystemExit(f"no program wrote {directory}/addresses.json")

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.hub['http']}{path}", timeout=10) as answer:
            return json.load(answer)

    def stop(self):
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()


def send(name, spans, logs, metrics):
    """Sends one failed trace of two spans, one good trace, two log lines in the first, a counter and a histogram."""
    resource = Resource.create({"service.name": name, "service.version": "1.2.3"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(spans))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
    meters = MeterProvider(
        resource=resource, metric_readers=[PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)]
    )
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    handler = LoggingHandler(logger_provider=loggers)
    logger.addHandler(handler)
    tracer, meter = tracers.get_tracer("tests", "0.1"), meters.get_meter("tests")
    with tracer.start_as_current_span("GET /failing", attributes={"http.route": "/failing", "answer": 42}) as root:
        logger.warning("valve %s is stuck", "A7")
        with tracer.start_as_current_span("read valve") as child:
            child.add_event("retry", {"attempt": 2})
            child.set_status(Status(StatusCode.ERROR, "no answer"))
            logger.error("no answer")
    with tracer.start_as_current_span("GET /good") as good:
        logger.info("all well")
    meter.create_counter("pump.starts").add(7, {"pump": "aft"})
    meter.create_histogram("pump.pressure", unit="bar").record(3.5, {"pump": "aft"})
    meters.force_flush()
    for provider in (tracers, loggers, meters):
        provider.shutdown()
    logger.removeHandler(handler)
    trace_id = format(root.get_span_context().trace_id, "032x")
    return trace_id, format(good.get_span_context().trace_id, "032x")


def find(what):
    """The first answer of `what` that is not None, while there is time."""
    end = time.monotonic() + FIND_SECONDS
    while time.monotonic() < end:
        try:
            found = what()
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            found = None
        if found is not None:
            return found
        time.sleep(0.3)
    return None


def checks(programs, name, failed, good):
    """(what, whether it holds) of everything that was sent."""
    trace = find(lambda: programs.get(f"/api/v0/traces/{failed}")) or {"spans": [], "logs": 0}
    by_name = {span["name"]: span for span in trace["spans"]}
    root, child = by_name.get("GET /failing", {}), by_name.get("read valve", {})
    attributes = {pair["key"]: pair["value"] for pair in root.get("attributes", [])}
    yield "both spans of the failed trace are stored once", len(trace["spans"]) == 2 and trace["stored_spans"] == 2
    yield "the child points to its parent", child.get("parent_id") == root.get("span_id") != None  # noqa: E711
    yield "attributes keep their types", attributes.get("answer") == 42 and attributes.get("http.route") == "/failing"
    yield "status and message arrive", child.get("status") == {"code": "error", "message": "no answer"}
    yield "events arrive", [event["name"] for event in child.get("events", [])] == ["retry"]
    yield "the resource arrives", {"key": "service.version", "value": "1.2.3"} in root.get("resource", [])

    lines = find(lambda: programs.get(f"/api/v0/logs?trace_id={failed}"))["logs"]
    bodies = sorted(line["body"] for line in lines)
    yield "the trace's lines came with it", bodies == ["no answer", "valve A7 is stuck"]
    yield "lines name their spans", {line["span_id"] for line in lines} == {root.get("span_id"), child.get("span_id")}

    start = time.time_ns() - 3600 * 10**9
    values = f"start={start}&end={time.time_ns() + 10**9}&step=10s&match=service.name%3D{name}"
    path = f"/api/v0/metrics/range?name=pump.starts&func=value&{values}"
    series = find(lambda: programs.get(path)["series"] or None) or [{"values": []}]
    yield "the counter has its value", [value for value in series[0]["values"] if value is not None][-1:] == [7]
    names = {metric["name"]: metric for metric in programs.get(f"/api/v0/metrics?start={start}")["metrics"]}
    yield "the histogram is stored with its unit", names.get("pump.pressure", {}).get("unit") == "bar"
    red = f"/api/v0/metrics/range?name=traces.span.metrics.calls&func=value&{values}"
    calls = find(lambda: (lambda found: found if len(found) == 3 else None)(programs.get(red)["series"])) or []
    yield "every span is counted, the good trace's too", len(calls) == 3

    try:
        programs.get(f"/api/v0/traces/{good}")
        yield "the good trace was sampled out", False
    except urllib.error.HTTPError as error:
        yield "the good trace was sampled out", error.code == 404
    orphans = programs.get(f"/api/v0/logs?trace_id={good}")["logs"]
    yield "the good trace's line went with it", orphans == []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", required=True, type=Path)
    parser.add_argument("--hub", required=True, type=Path)
    arguments = parser.parse_args()
    # Nothing outside decides where telemetry goes.
    for variable in [name for name in os.environ if name.startswith("OTEL_") or name.lower().endswith("_proxy")]:
        del os.environ[variable]
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="lightship-sdk-") as directory:
        programs = Programs(arguments.agent.resolve(), arguments.hub.resolve(), Path(directory))
        try:
            grpc, http = programs.agent["otlp_grpc"], f"http://{programs.agent['otlp_http']}"
            runs = {
                "sdk-grpc": (
                    GrpcSpans(endpoint=grpc, insecure=True),
                    GrpcLogs(endpoint=grpc, insecure=True),
                    GrpcMetrics(endpoint=grpc, insecure=True),
                ),
                "sdk-http": (
                    HttpSpans(endpoint=f"{http}/v1/traces", compression=Compression.Gzip),
                    HttpLogs(endpoint=f"{http}/v1/logs"),
                    HttpMetrics(endpoint=f"{http}/v1/metrics"),
                ),
            }
            sent = {name: send(name, *exporters) for name, exporters in runs.items()}
            for name, (bad, good) in sent.items():
                for what, holds in checks(programs, name, bad, good):
                    print(f"{'ok    ' if holds else 'FAILED'} {name}: {what}")
                    passed, failed = passed + bool(holds), failed + (not holds)
        finally:
            programs.stop()
            if failed:
                for log in Path(directory).glob("*.log"):
                    print(f"--- {log.name}\n{log.read_text()[-4000:]}")
    print(f"sdk: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
