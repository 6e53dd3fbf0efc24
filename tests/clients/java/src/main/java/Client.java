import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.common.Value;
import io.opentelemetry.api.logs.Logger;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Scope;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.data.LogRecordData;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.metrics.Aggregation;
import io.opentelemetry.sdk.metrics.InstrumentSelector;
import io.opentelemetry.sdk.metrics.InstrumentType;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.View;
import io.opentelemetry.sdk.metrics.data.AggregationTemporality;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * A program with OpenTelemetry's Java SDK in its default batch settings. Everything it exports goes to the agent and, from
 * the same objects, to the server that records what was sent. The options are those of ../python/client.py.
 */
public final class Client {
  private static final int BURST = 500;
  private static final long PAUSE = 1500;

  private static final SpanKind[] KINDS = {SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER};

  /** Exports to the agent, then the same to the record of what was sent. */
  private static CompletableResultCode twice(CompletableResultCode agent, Supplier<CompletableResultCode> record) {
    CompletableResultCode outcome = new CompletableResultCode();
    agent.whenComplete(
        () -> {
          if (!agent.isSuccess()) {
            System.out.println("the agent did not take a batch: " + agent.getFailureThrowable());
          }
          CompletableResultCode recorded = record.get();
          recorded.whenComplete(
              () -> {
                if (agent.isSuccess() && recorded.isSuccess()) {
                  outcome.succeed();
                } else {
                  outcome.fail();
                }
              });
        });
    return outcome;
  }

  private record Spans(SpanExporter agent, SpanExporter record) implements SpanExporter {
    @Override
    public CompletableResultCode export(Collection<SpanData> batch) {
      return twice(agent.export(batch), () -> record.export(batch));
    }

    @Override
    public CompletableResultCode flush() {
      return twice(agent.flush(), record::flush);
    }

    @Override
    public CompletableResultCode shutdown() {
      return twice(agent.shutdown(), record::shutdown);
    }
  }

  private record Logs(LogRecordExporter agent, LogRecordExporter record) implements LogRecordExporter {
    @Override
    public CompletableResultCode export(Collection<LogRecordData> batch) {
      return twice(agent.export(batch), () -> record.export(batch));
    }

    @Override
    public CompletableResultCode flush() {
      return twice(agent.flush(), record::flush);
    }

    @Override
    public CompletableResultCode shutdown() {
      return twice(agent.shutdown(), record::shutdown);
    }
  }

  private record Metrics(MetricExporter agent, MetricExporter record) implements MetricExporter {
    @Override
    public CompletableResultCode export(Collection<MetricData> batch) {
      return twice(agent.export(batch), () -> record.export(batch));
    }

    @Override
    public CompletableResultCode flush() {
      return twice(agent.flush(), record::flush);
    }

    @Override
    public CompletableResultCode shutdown() {
      return twice(agent.shutdown(), record::shutdown);
    }

    @Override
    public AggregationTemporality getAggregationTemporality(InstrumentType type) {
      return agent.getAggregationTemporality(type);
    }
  }

  /** What HTTP instrumentation writes, and each kind of value at its bounds. */
  private static Attributes attributes(long index) {
    return Attributes.builder()
        .put("http.request.method", "GET")
        .put("http.route", "/orders/{id}/" + index % 7)
        .put("url.full", "https://shop.example/orders/" + index + "?page=3&sort=asc&filter=caf\u00e9")
        .put(
            "user_agent.original",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36")
        .put("server.address", "shop.example")
        .put("server.port", 443L)
        .put("network.protocol.version", "1.1")
        .put("http.response.status_code", index % 10 == 0 ? 503L : 200L)
        .put("order.number", (1L << 62) + index)
        .put("order.negative", Long.MIN_VALUE)
        .put("order.share", 0.1 + index)
        .put("order.not_a_number", Double.NaN)
        .put("order.infinite", Double.NEGATIVE_INFINITY)
        .put("order.paid", index % 2 == 0)
        .put("order.empty", "")
        .put(AttributeKey.stringArrayKey("order.words"), List.of("a", "", "\u4e2d\u6587", "\ud83d\udea2"))
        .put(AttributeKey.longArrayKey("order.numbers"), List.of(1L, -1L, (1L << 53) + 1))
        .put(AttributeKey.doubleArrayKey("order.shares"), List.of(0.5, Double.POSITIVE_INFINITY))
        .put(AttributeKey.booleanArrayKey("order.flags"), List.of(true, false))
        .build();
  }

  private static void emit(Logger logger, Value<?> body, Severity severity, long index) {
    var record =
        logger
            .logRecordBuilder()
            .setTimestamp(Instant.now())
            .setSeverity(severity)
            .setSeverityText(severity.name())
            .setBody(body)
            .setAttribute(AttributeKey.longKey("index"), index)
            .setAttribute(AttributeKey.longKey("big"), (1L << 62) + index);
    if (index % 4 == 0) {
      record.setEventName("order.answered");
    }
    record.emit();
  }

  private static Value<?> body(long index) {
    if (index % 3 != 0) {
      return Value.of("order " + index + " answered");
    }
    return Value.of(
        Map.of(
            "parts",
            Value.of(
                Value.of(1), Value.of("two"), Value.of(3.0), Value.of(Map.of("deep", Value.of(new byte[] {0, -1}))))));
  }

  private static void oneTrace(Tracer tracer, Logger logger, long index) {
    Span root = tracer.spanBuilder("GET /orders/{id}").setSpanKind(SpanKind.SERVER).setAllAttributes(attributes(index)).startSpan();
    try (Scope ignored = root.makeCurrent()) {
      for (int child = 0; child < 4; child++) {
        var builder = tracer.spanBuilder("step " + child).setSpanKind(KINDS[child]).setAllAttributes(attributes(index + child));
        if (child == 3) {
          builder.addLink(
              root.getSpanContext(), Attributes.builder().put("link.number", (long) child).put("link.name", "caused by").build());
        }
        Span span = builder.startSpan();
        if (child == 1) {
          span.addEvent(
              "cache.miss", Attributes.builder().put("key", "order").put("size", 1L << 40).put("ratio", 0.25).build());
        }
        if (child == 2 && index % 10 == 0) {
          span.recordException(new IllegalArgumentException("no such order \u2603"));
          span.setStatus(StatusCode.ERROR, "no such order");
        }
        span.end();
      }
      emit(logger, body(index), index % 5 == 0 ? Severity.ERROR : Severity.INFO, index);
    }
    root.end();
  }

  public static void main(String[] words) throws InterruptedException {
    Map<String, String> options = new HashMap<>(Map.of("--long", "0", "--bursts", "3"));
    for (int at = 0; at + 1 < words.length; at += 2) {
      options.put(words[at], words[at + 1]);
    }
    String compression = options.get("--compression");
    SpanExporter agentSpans;
    LogRecordExporter agentLogs;
    MetricExporter agentMetrics;
    if (options.get("--protocol").equals("grpc")) {
      String url = "http://" + options.get("--agent-grpc");
      agentSpans = OtlpGrpcSpanExporter.builder().setEndpoint(url).setCompression(compression).build();
      agentLogs = OtlpGrpcLogRecordExporter.builder().setEndpoint(url).setCompression(compression).build();
      agentMetrics = OtlpGrpcMetricExporter.builder().setEndpoint(url).setCompression(compression).build();
    } else {
      String url = options.get("--agent-http");
      agentSpans = OtlpHttpSpanExporter.builder().setEndpoint(url + "/v1/traces").setCompression(compression).build();
      agentLogs = OtlpHttpLogRecordExporter.builder().setEndpoint(url + "/v1/logs").setCompression(compression).build();
      agentMetrics = OtlpHttpMetricExporter.builder().setEndpoint(url + "/v1/metrics").setCompression(compression).build();
    }
    String sent = options.get("--sent");
    Resource resource =
        Resource.create(
            Attributes.builder()
                .put("service.name", options.get("--name"))
                .put("service.version", "1.2.3")
                .put("host.cores", 8L)
                .put("host.load", 0.5)
                .build());
    SdkTracerProvider tracers =
        SdkTracerProvider.builder()
            .setResource(resource)
            .addSpanProcessor(
                BatchSpanProcessor.builder(
                        new Spans(agentSpans, OtlpHttpSpanExporter.builder().setEndpoint(sent + "/v1/traces").build()))
                    .build())
            .build();
    SdkLoggerProvider loggers =
        SdkLoggerProvider.builder()
            .setResource(resource)
            .addLogRecordProcessor(
                BatchLogRecordProcessor.builder(
                        new Logs(agentLogs, OtlpHttpLogRecordExporter.builder().setEndpoint(sent + "/v1/logs").build()))
                    .build())
            .build();
    SdkMeterProvider meters =
        SdkMeterProvider.builder()
            .setResource(resource)
            .registerView(
                InstrumentSelector.builder().setName("queue.wait").build(),
                View.builder().setAggregation(Aggregation.base2ExponentialBucketHistogram()).build())
            .registerMetricReader(
                PeriodicMetricReader.builder(
                        new Metrics(
                            agentMetrics, OtlpHttpMetricExporter.builder().setEndpoint(sent + "/v1/metrics").build()))
                    .setInterval(Duration.ofSeconds(5))
                    .build())
            .build();
    Tracer tracer =
        tracers.tracerBuilder("clients").setInstrumentationVersion("0.1").setSchemaUrl("https://opentelemetry.io/schemas/1.30.0").build();
    Logger logger = loggers.loggerBuilder("clients").setInstrumentationVersion("0.1").build();
    Meter meter = meters.meterBuilder("clients").setInstrumentationVersion("0.1").build();
    var orders = meter.counterBuilder("orders").setUnit("1").setDescription("orders that came in").build();
    var total = meter.counterBuilder("orders.total").setUnit("EUR").ofDoubles().build();
    var waiting = meter.upDownCounterBuilder("orders.waiting").build();
    var took = meter.histogramBuilder("orders.took").setUnit("s").setDescription("time to answer").build();
    var queued = meter.histogramBuilder("queue.wait").setUnit("ms").build();
    meter
        .gaugeBuilder("boiler.temperature")
        .buildWithCallback(measurement -> measurement.record(71.5, Attributes.builder().put("boiler", "aft").build()));
    meter
        .counterBuilder("boiler.burnt")
        .buildWithCallback(
            measurement -> measurement.record((1L << 60) + 1, Attributes.builder().put("boiler", "aft").build()));

    double seconds = Double.parseDouble(options.get("--long"));
    long begin = System.nanoTime();
    Span watch = seconds > 0 ? tracer.spanBuilder("watch").setAllAttributes(attributes(0)).startSpan() : null;
    for (int burst = 0; burst < Integer.parseInt(options.get("--bursts")); burst++) {
      for (long index = (long) burst * BURST / 5; index < (long) (burst + 1) * BURST / 5; index++) {
        oneTrace(tracer, logger, index);
        orders.add((1L << 54) + index, Attributes.builder().put("shop", "aft").put("kind", index % 3).build());
        total.add(0.1, Attributes.builder().put("shop", "aft").build());
        waiting.add(index % 2 * 2 - 1);
        Span measured = tracer.spanBuilder("measured").startSpan();
        try (Scope ignored = measured.makeCurrent()) {
          took.record(0.003 * (index % 400), Attributes.builder().put("shop", "fore").build());
        }
        measured.end();
        queued.record(Math.pow(1.7, index % 40));
        emit(logger, Value.of("no trace " + index), Severity.WARN, index);
      }
      Thread.sleep(PAUSE);
    }
    while (watch != null && System.nanoTime() - begin < seconds * 1e9) {
      try (Scope ignored = watch.makeCurrent()) {
        tracer.spanBuilder("look").setAttribute("at", (System.nanoTime() - begin) / 1_000_000_000).startSpan().end();
        emit(logger, Value.of("all well"), Severity.INFO, 0);
      }
      Thread.sleep(3000);
    }
    if (watch != null) {
      watch.end();
    }
    CompletableResultCode.ofAll(List.of(tracers.shutdown(), loggers.shutdown(), meters.shutdown())).join(60, TimeUnit.SECONDS);
  }
}
