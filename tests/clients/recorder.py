"""An OTLP/HTTP server that keeps every request as it came, and what is in them as records that can be compared."""

import gzip
import threading
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from google.protobuf.text_format import MessageToString
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}
# What an agent counts of spans itself.
OWN_METRICS = "traces.span.metrics."
# What it adds to spans: the policy that kept their trace.
POLICY = "tailsampling.policy"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])) if "content-length" in self.headers else self.chunks()
        encoding = self.headers.get("content-encoding", "identity")
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding == "deflate":
            body = zlib.decompress(body)
        elif encoding != "identity":
            raise SystemExit(f"the recorder does not read {encoding}")
        self.server.keep(self.path, body)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass


class Recorder(ThreadingHTTPServer):
    """Listens on a free port of the loopback interface."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.bodies = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keep(self, path, body):
        with self.lock:
            self.bodies.append((path, body))

    def requests(self):
        with self.lock:
            kept = list(self.bodies)
        for path, body in kept:
            request = REQUESTS[path]()
            request.ParseFromString(body)
            yield request


def service_of(resource):
    for pair in resource.attributes:
        if pair.key == "service.name":
            return pair.value.string_value
    return ""


def without_policy(attributes):
    """Takes out what the agent adds to a kept trace's first span, as the Collector's tail sampling does."""
    for at, pair in reversed(list(enumerate(attributes))):
        if pair.key == POLICY:
            del attributes[at]


def exact(*messages):
    return tuple(message.SerializeToString(deterministic=True) for message in messages)


def shown(kind, record):
    """A record of a counter for people; `kind` is the message at its end."""
    try:
        message = MessageToString(kind.FromString(record[-1]), as_one_line=True)
    except Exception:  # noqa: BLE001: what does not parse is shown as it is
        message = repr(record[-1])
    return f"{[part for part in record[:-1] if isinstance(part, str)]} {message}"


class Records:
    """What requests hold: each record with its resource and scope, whatever the request it came in."""

    def __init__(self, requests):
        self.spans, self.logs, self.points, self.exemplars = Counter(), Counter(), Counter(), Counter()
        self.traces, self.log_list, self.metrics = {}, {}, {}
        for request in requests:
            if isinstance(request, ExportTraceServiceRequest):
                self.read_spans(request)
            elif isinstance(request, ExportLogsServiceRequest):
                self.read_logs(request)
            else:
                self.read_metrics(request)

    def read_spans(self, request):
        for group in request.resource_spans:
            for scope in group.scope_spans:
                around = (group.schema_url, scope.schema_url, *exact(group.resource, scope.scope))
                for span in scope.spans:
                    without_policy(span.attributes)
                    self.spans[(*around, *exact(span))] += 1
                    self.traces.setdefault(span.trace_id, []).append((group.resource, scope.scope, span))

    def read_logs(self, request):
        for group in request.resource_logs:
            for scope in group.scope_logs:
                around = (group.schema_url, scope.schema_url, *exact(group.resource, scope.scope))
                for record in scope.log_records:
                    self.logs[(*around, *exact(record))] += 1
                    self.log_list.setdefault(service_of(group.resource), []).append((group.resource, scope.scope, record))

    def read_metrics(self, request):
        for group in request.resource_metrics:
            for scope in group.scope_metrics:
                around = (group.schema_url, scope.schema_url, *exact(group.resource, scope.scope))
                for metric in scope.metrics:
                    if not metric.name.startswith(OWN_METRICS):
                        self.read_metric(around, service_of(group.resource), metric)

    def read_metric(self, around, service, metric):
        kind = metric.WhichOneof("data")
        data = getattr(metric, kind)
        points = list(data.data_points)
        about = (*around, metric.name, metric.unit, metric.description, kind)
        about += (getattr(data, "aggregation_temporality", 0), getattr(data, "is_monotonic", False), *exact(*metric.metadata))
        for point in points:
            series = tuple(sorted(exact(*point.attributes)))
            for exemplar in getattr(point, "exemplars", ()):
                self.exemplars[(*around, metric.name, series, *exact(exemplar))] += 1
            if kind != "summary":
                del point.exemplars[:]
            self.points[(*about, *exact(point))] += 1
            self.metrics.setdefault((service, metric.name), {}).setdefault(series, []).append((metric, kind, point))
