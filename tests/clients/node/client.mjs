// A program with OpenTelemetry's JavaScript SDK in its default batch settings. Everything it exports goes to the agent and,
// from the same objects, to the server that records what was sent. The options are those of ../python/client.py; --protocol
// is grpc, http/protobuf or http/json.

import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, ValueType, context, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPLogExporter as GrpcLogs } from "@opentelemetry/exporter-logs-otlp-grpc";
import { OTLPLogExporter as JsonLogs } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as HttpLogs } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter as GrpcMetrics } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPMetricExporter as JsonMetrics } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as HttpMetrics } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as GrpcSpans } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonSpans } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as HttpSpans } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const BURST = 500;
const PAUSE = 1500;

const text = { type: "string" };
const { values: options } = parseArgs({
  options: {
    name: text,
    protocol: text,
    compression: text,
    "agent-grpc": text,
    "agent-http": text,
    sent: text,
    long: { type: "string", default: "0" },
    bursts: { type: "string", default: "3" },
  },
});

/** Exports to the agent, then the same to the record of what was sent. */
class Twice {
  constructor(toAgent, toRecord) {
    Object.assign(this, { toAgent, toRecord });
  }
  export(batch, done) {
    this.toAgent.export(batch, (outcome) => {
      if (outcome.code !== 0) console.log(`the agent did not take a batch: ${outcome.error}`);
      this.toRecord.export(batch, (recorded) => {
        if (recorded.code !== 0) console.log(`not recorded: ${recorded.error}`);
        done(outcome);
      });
    });
  }
  selectAggregationTemporality(kind) {
    return this.toAgent.selectAggregationTemporality(kind);
  }
  selectAggregation(kind) {
    return this.toAgent.selectAggregation(kind);
  }
  async forceFlush() {
    await this.toAgent.forceFlush?.();
    await this.toRecord.forceFlush?.();
  }
  async shutdown() {
    await this.toAgent.shutdown();
    await this.toRecord.shutdown();
  }
}

function toAgent() {
  const compression = options.compression;
  if (options.protocol === "grpc") {
    const own = { url: `http://${options["agent-grpc"]}`, compression };
    return [new GrpcSpans(own), new GrpcLogs(own), new GrpcMetrics(own)];
  }
  const own = (signal) => ({ url: `${options["agent-http"]}/v1/${signal}`, compression });
  return options.protocol === "http/json"
    ? [new JsonSpans(own("traces")), new JsonLogs(own("logs")), new JsonMetrics(own("metrics"))]
    : [new HttpSpans(own("traces")), new HttpLogs(own("logs")), new HttpMetrics(own("metrics"))];
}

const [agentSpans, agentLogs, agentMetrics] = toAgent();
const recorded = (signal) => ({ url: `${options.sent}/v1/${signal}` });
const spans = new Twice(agentSpans, new HttpSpans(recorded("traces")));
const logs = new Twice(agentLogs, new HttpLogs(recorded("logs")));
const metrics = new Twice(agentMetrics, new HttpMetrics(recorded("metrics")));

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const resource = resourceFromAttributes({
  "service.name": options.name,
  "service.version": "1.2.3",
  "host.cores": 8,
  "host.load": 0.5,
});
const tracers = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(spans)] });
const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: logs })] });
const meters = new MeterProvider({
  resource,
  readers: [new PeriodicExportingMetricReader({ exporter: metrics, exportIntervalMillis: 5_000, exportTimeoutMillis: 5_000 })],
  views: [{ instrumentName: "queue.wait", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 160 } } }],
});
const tracer = tracers.getTracer("clients", "0.1", { schemaUrl: "https://opentelemetry.io/schemas/1.30.0" });
const logger = loggers.getLogger("clients", "0.1");
const meter = meters.getMeter("clients", "0.1");

// JSON has no word for what is not finite; the SDK writes null, as JavaScript does.
const json = options.protocol === "http/json";

/** What HTTP instrumentation writes, and each kind of value. */
function attributes(index) {
  return {
    "http.request.method": "GET",
    "http.route": `/orders/{id}/${index % 7}`,
    "url.full": `https://shop.example/orders/${index}?page=3&sort=asc&filter=caf\u00e9`,
    "user_agent.original":
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "server.address": "shop.example",
    "server.port": 443,
    "network.protocol.version": "1.1",
    "http.response.status_code": index % 10 ? 200 : 503,
    "order.number": Number.MAX_SAFE_INTEGER - index,
    "order.negative": -(2 ** 31) - index,
    "order.share": 0.1 + index,
    "order.tiny": 5e-324,
    ...(json ? {} : { "order.not_a_number": NaN, "order.infinite": -Infinity }),
    "order.paid": index % 2 === 0,
    "order.empty": "",
    "order.words": ["a", "", "\u4e2d\u6587", "\u{1f6a2}"],
    "order.numbers": [1, -1, 2 ** 40],
    "order.flags": [true, false],
    "order.none": [],
  };
}

function emit(body, severityNumber, index) {
  logger.emit({
    timestamp: Date.now(),
    severityNumber,
    severityText: SeverityNumber[severityNumber],
    body,
    eventName: index % 4 === 0 ? "order.answered" : undefined,
    attributes: {
      index,
      big: Number.MAX_SAFE_INTEGER - index,
      raw: new Uint8Array([1, 2, 254]),
      nested: { a: [1, { b: "c" }], deep: { er: { st: true } } },
    },
  });
}

function within(span, work) {
  context.with(trace.setSpan(context.active(), span), work);
}

function oneTrace(index) {
  const root = tracer.startSpan("GET /orders/{id}", { kind: SpanKind.SERVER, attributes: attributes(index) });
  within(root, () => {
    for (let child = 0; child < 4; child += 1) {
      const links = child === 3 ? [{ context: root.spanContext(), attributes: { "link.number": child, "link.name": "caused by" } }] : [];
      const span = tracer.startSpan(`step ${child}`, { kind: child, links, attributes: attributes(index + child) });
      if (child === 1) span.addEvent("cache.miss", { key: "order", size: 2 ** 40, ratio: 0.25 });
      if (child === 2 && index % 10 === 0) {
        span.recordException(new Error("no such order \u2603"));
        span.setStatus({ code: SpanStatusCode.ERROR, message: "no such order" });
      }
      span.end();
    }
    const body =
      index % 3 ? `order ${index} answered` : { order: index, parts: [1, "two", 3.5, { deep: new Uint8Array([0, 255]) }] };
    emit(body, index % 5 ? SeverityNumber.INFO : SeverityNumber.ERROR, index);
  });
  root.end();
}

const orders = meter.createCounter("orders", { unit: "1", description: "orders that came in", valueType: ValueType.INT });
const total = meter.createCounter("orders.total", { unit: "EUR" });
const waiting = meter.createUpDownCounter("orders.waiting");
const took = meter.createHistogram("orders.took", { unit: "s", description: "time to answer" });
const wait = meter.createHistogram("queue.wait", { unit: "ms" });
meter.createObservableGauge("boiler.temperature").addCallback((result) => {
  result.observe(71.5, { boiler: "aft" });
  if (!json) result.observe(NaN, { boiler: "fore" });
});
meter.createObservableCounter("boiler.burnt", { valueType: ValueType.INT }).addCallback((result) => {
  result.observe(2 ** 50 + 1, { boiler: "aft" });
});

const seconds = Number(options.long);
const begin = performance.now();
const long = seconds ? tracer.startSpan("watch", { attributes: attributes(0) }, ROOT_CONTEXT) : undefined;
for (let burst = 0; burst < Number(options.bursts); burst += 1) {
  for (let index = (burst * BURST) / 5; index < ((burst + 1) * BURST) / 5; index += 1) {
    oneTrace(index);
    orders.add(2 ** 42 + index, { shop: "aft", kind: index % 3 });
    total.add(0.1, { shop: "aft" });
    waiting.add(index % 2 ? 1 : -1);
    const measured = tracer.startSpan("measured");
    within(measured, () => took.record(0.003 * (index % 400), { shop: "fore" }));
    measured.end();
    wait.record(1.7 ** (index % 40));
    emit(`no trace ${index}`, SeverityNumber.WARN, index);
  }
  await sleep(PAUSE);
}
while (long && performance.now() - begin < seconds * 1000) {
  within(long, () => {
    tracer.startSpan("look", { attributes: { at: Math.round(performance.now()) } }).end();
    emit("all well", SeverityNumber.INFO, 0);
  });
  await sleep(3000);
}
long?.end();
for (const provider of [tracers, loggers, meters]) {
  await provider.forceFlush();
  await provider.shutdown();
}
