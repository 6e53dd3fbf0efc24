"""A program with OpenTelemetry's Python SDK in its default batch settings. Everything it exports goes to the agent and,
from the same objects, to the server that records what was sent.

    python3 client.py --name NAME --protocol grpc|http --compression none|gzip|deflate
                      --agent-grpc HOST:PORT --agent-http URL --sent URL [--long SECONDS] [--bursts N]
"""

import argparse
import math
import time

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

BURST = 500
PAUSE = 1.5


class Twice:
    """Exports to the agent, then the same to the record of what was sent. Both must succeed."""

    def __init__(self, to_agent, to_record, **arguments):
        super().__init__(**arguments)
        self.to_agent, self.to_record = to_agent, to_record

    def export(self, batch, *rest, **more):
        outcome = self.to_agent.export(batch, *rest, **more)
        self.to_record.export(batch, *rest, **more)
        if outcome.name != "SUCCESS":
            print(f"the agent did not take a batch: {outcome}", flush=True)
        return outcome

    def shutdown(self, *rest, **more):
        self.to_agent.shutdown()
        self.to_record.shutdown()

    def force_flush(self, timeout_millis=30_000):
        return True


class SpansTwice(Twice, SpanExporter):
    pass


class LogsTwice(Twice, LogExporter):
    pass


class MetricsTwice(Twice, MetricExporter):
    pass


def attributes(index):
    """What HTTP instrumentation writes, and each kind of value at its bounds."""
    return {
        "http.request.method": "GET",
        "http.route": f"/orders/{{id}}/{index % 7}",
        "url.full": f"https://shop.example/orders/{index}?page=3&sort=asc&filter=caf\u00e9",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
        "server.address": "shop.example",
        "server.port": 443,
        "network.protocol.version": "1.1",
        "http.response.status_code": 200 if index % 10 else 503,
        "order.number": 2**62 + index,
        "order.negative": -(2**63),
        "order.share": 0.1 + index,
        "order.not_a_number": math.nan,
        "order.infinite": -math.inf,
        "order.paid": index % 2 == 0,
        "order.empty": "",
        "order.words": ["a", "", "\u4e2d\u6587", "\U0001f6a2"],
        "order.numbers": [1, -1, 2**53 + 1],
        "order.shares": [0.5, math.inf],
        "order.flags": [True, False],
        "order.none": [],
    }


def one_trace(tracer, logger, index):
    with tracer.start_as_current_span("GET /orders/{id}", kind=SpanKind.SERVER, attributes=attributes(index)) as root:
        first = root.get_span_context()
        for child in range(4):
            links = [Link(first, {"link.number": child, "link.name": "caused by"})] if child == 3 else []
            with tracer.start_as_current_span(
                f"step {child}", kind=SpanKind(child), links=links, attributes=attributes(index + child)
            ) as span:
                if child == 1:
                    span.add_event("cache.miss", {"key": "order", "size": 2**40, "ratio": 0.25})
                if child == 2 and index % 10 == 0:
                    span.record_exception(ValueError("no such order \u2603"))
                    span.set_status(Status(StatusCode.ERROR, "no such order"))
        body = f"order {index} answered" if index % 3 else {"order": index, "parts": [1, "two", 3.0, None, {"deep": b"\x00\xff"}]}
        emit(logger, body, SeverityNumber.INFO if index % 5 else SeverityNumber.ERROR, index)


def emit(logger, body, severity, index):
    context = trace.get_current_span().get_span_context()
    logger.emit(
        LogRecord(
            timestamp=time.time_ns(),
            observed_timestamp=time.time_ns(),
            trace_id=context.trace_id,
            span_id=context.span_id,
            trace_flags=context.trace_flags,
            severity_text=severity.name,
            severity_number=severity,
            body=body,
            attributes={"index": index, "big": 2**62 + index, "raw": b"\x01\x02\xfe", "nested": {"a": [1, {"b": None}]}},
            event_name="order.answered" if index % 4 == 0 else None,
        )
    )


def main():
    parser = argparse.ArgumentParser()
    for name in ("name", "protocol", "compression", "agent-grpc", "agent-http", "sent"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--long", type=float, default=0)
    parser.add_argument("--bursts", type=int, default=3)
    options = parser.parse_args()

    if options.protocol == "grpc":
        from grpc import Compression as GrpcCompression

        chosen = {"none": GrpcCompression.NoCompression, "gzip": GrpcCompression.Gzip}[options.compression]
        own = dict(endpoint=options.agent_grpc, insecure=True, compression=chosen)
        to_agent = GrpcSpans(**own), GrpcLogs(**own), GrpcMetrics(**own)
    else:
        chosen = {"none": Compression.NoCompression, "gzip": Compression.Gzip, "deflate": Compression.Deflate}
        own = dict(compression=chosen[options.compression])
        url = options.agent_http
        to_agent = (
            HttpSpans(endpoint=f"{url}/v1/traces", **own),
            HttpLogs(endpoint=f"{url}/v1/logs", **own),
            HttpMetrics(endpoint=f"{url}/v1/metrics", **own),
        )
    to_record = (
        HttpSpans(endpoint=f"{options.sent}/v1/traces"),
        HttpLogs(endpoint=f"{options.sent}/v1/logs"),
        HttpMetrics(endpoint=f"{options.sent}/v1/metrics"),
    )
    spans, logs, metrics = (kind(*pair) for kind, pair in zip(
        (SpansTwice, LogsTwice, MetricsTwice), zip(to_agent, to_record)
    ))
    resource = Resource.create({"service.name": options.name, "service.version": "1.2.3", "host.cores": 8, "host.load": 0.5})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(spans))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
    reader = PeriodicExportingMetricReader(metrics, export_interval_millis=5_000)
    view = View(instrument_type=Histogram, instrument_name="queue.wait", aggregation=ExponentialBucketHistogramAggregation())
    meters = MeterProvider(resource=resource, metric_readers=[reader], views=[view])
    tracer = tracers.get_tracer("clients", "0.1", schema_url="https://opentelemetry.io/schemas/1.30.0")
    logger = loggers.get_logger("clients", "0.1")
    meter = meters.get_meter("clients", "0.1", schema_url="https://opentelemetry.io/schemas/1.30.0")
    orders = meter.create_counter("orders", unit="1", description="orders that came in")
    total = meter.create_counter("orders.total", unit="EUR")
    waiting = meter.create_up_down_counter("orders.waiting")
    took = meter.create_histogram("orders.took", unit="s", description="time to answer")
    wait = meter.create_histogram("queue.wait", unit="ms")
    meter.create_observable_gauge(
        "boiler.temperature", [lambda _: [Observation(71.5, {"boiler": "aft"}), Observation(math.nan, {"boiler": "fore"})]]
    )
    meter.create_observable_counter("boiler.burnt", [lambda _: [Observation(2**60 + 1, {"boiler": "aft"})]])

    long = tracer.start_span("watch", kind=SpanKind.INTERNAL, attributes=attributes(0)) if options.long else None
    begin = time.monotonic()
    for burst in range(options.bursts):
        for index in range(burst * BURST // 5, (burst + 1) * BURST // 5):
            one_trace(tracer, logger, index)
            orders.add(2**54 + index, {"shop": "aft", "kind": index % 3})
            total.add(0.1, {"shop": "aft"})
            waiting.add(1 if index % 2 else -1)
            with trace.use_span(tracer.start_span("measured"), end_on_exit=True):
                took.record(0.003 * (index % 400), {"shop": "fore"})
            wait.record(1.7 ** (index % 40))
            emit(logger, f"no trace {index}", SeverityNumber.WARN, index)
        time.sleep(PAUSE)
    while long and time.monotonic() - begin < options.long:
        with trace.use_span(long):
            with tracer.start_as_current_span("look", attributes={"at": int(time.monotonic() - begin)}):
                emit(logger, "all well", SeverityNumber.INFO, 0)
        time.sleep(3)
    if long:
        long.end()
    for provider in (tracers, loggers, meters):
        provider.force_flush()
        provider.shutdown()


main()
